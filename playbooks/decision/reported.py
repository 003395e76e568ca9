"""What whoever acts has told of an environment: its targets, the runs on them, what can be done there. Deciding believes only what
was told completely, lately, and by the last owner.
"""

from __future__ import annotations

import enum

import msgspec

from contracts.events import ReportedRun, TargetReport
from contracts.ports import RunEntry, StepEntry
from contracts.targets import TargetState
from contracts.units import SECOND
from playbooks.guards import HISTORY_S


class AccountPhase(enum.StrEnum):
    """How much of an account has come."""

    MISSING = "missing"  # one of its reports did not come: all of it may be otherwise, until the next account
    FILLING = "filling"
    WHOLE = "whole"


class ReportedEnvironment(msgspec.Struct):
    """One environment as told; `taken_ns`, `account`, `sequence` are those of the last report, `time_ns` of the last whole state."""

    taken_ns: int = 0
    account: int = -1
    sequence: int = -1
    phase: AccountPhase = AccountPhase.MISSING
    time_ns: int = 0
    actions: tuple[str, ...] = ()
    targets: dict[str, TargetState] = {}
    runs: dict[str, ReportedRun] = {}

    def take(self, report: TargetReport, now_ns: int, stale_s: float) -> bool:
        """Whether the report says anything that was not known. One that comes again changes nothing, nor one of a former owner, unless
        the last one has been silent for `stale_s`."""
        before = self.taken_ns, self.account, self.sequence
        place = report.taken_ns, report.account, report.sequence
        if place <= before and not self._outlives(report, now_ns, stale_s):
            return False
        self.taken_ns, self.account, self.sequence = place
        was_whole = self.phase is AccountPhase.WHOLE
        if report.sequence == 0:
            self.targets, self.runs, self.phase = {}, {}, AccountPhase.FILLING
        elif place[:2] != before[:2] or report.sequence != before[2] + 1:
            self.phase = AccountPhase.MISSING
        if self.phase is AccountPhase.MISSING:
            return False
        changed = bool(report.targets or report.unknown or report.runs) or self.actions != report.actions
        self._apply(report)
        self.phase = AccountPhase.FILLING if report.more else AccountPhase.WHOLE
        if report.more:
            return False
        self.time_ns = report.time_ns
        return changed or not was_whole

    def _outlives(self, report: TargetReport, now_ns: int, stale_s: float) -> bool:
        """The last owner has fallen silent, and another one begins, whose clock is behind: else nobody would be believed again."""
        another = report.sequence == 0 and report.taken_ns != self.taken_ns
        return another and not _young(self.time_ns, now_ns, stale_s) and _young(report.time_ns, now_ns, stale_s)

    def _apply(self, report: TargetReport) -> None:
        self.actions = report.actions
        self.targets = {s: t for s, t in self.targets.items() if s not in report.unknown} | report.targets
        self.runs = self.runs | {r.run: r for r in report.runs}
        since_ns = report.time_ns - int(HISTORY_S * SECOND)
        if any(r.created_ns < since_ns for r in self.runs.values()):
            self.runs = {name: r for name, r in self.runs.items() if r.created_ns >= since_ns}

    def untold_s(self, begun_ns: int, now_ns: int, stale_s: float) -> float:
        """Seconds for which it has not been known how targets are and what is under way; 0 if it is."""
        if self.told(begun_ns, now_ns, stale_s):
            return 0.0
        return max(now_ns - max(self.time_ns, begun_ns), 1) / SECOND

    def told(self, since_ns: int, now_ns: int, stale_s: float) -> bool:
        """Whether it is known how it is now: told completely, not longer than `stale_s` ago, and not before `since_ns`."""
        return self.phase is AccountPhase.WHOLE and self.time_ns >= since_ns and _young(self.time_ns, now_ns, stale_s)

    def entries(self, environment: str) -> list[RunEntry]:
        """The runs as guards count them, oldest first."""
        return [_entry(environment, r) for r in sorted(self.runs.values(), key=lambda r: (r.created_ns, r.run))]


def _young(time_ns: int, now_ns: int, stale_s: float) -> bool:
    return abs(now_ns - time_ns) <= stale_s * SECOND


def _entry(environment: str, run: ReportedRun) -> RunEntry:
    steps = tuple(StepEntry(run.run, s.step, s.phase, "", s.time_ns, {"action": s.action}) for s in run.steps)
    return RunEntry(
        run=run.run,
        decision=run.decision,
        environment=environment,
        target=run.target,
        playbook=run.playbook,
        state=run.state,
        created_ns=run.created_ns,
        updated_ns=run.updated_ns,
        fence=0,
        definition={},
        steps=steps,
        identities=run.identities,
    )
