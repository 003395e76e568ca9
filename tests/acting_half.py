"""The half that acts, as far as deciding hears of it: reports of targets and runs, made as the real reporter makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contracts.events import Decision, TargetReport
from contracts.ports import RunEntry, TargetState
from contracts.verdicts import RunState
from homeostat.target_reports import Account, reported_run


class ActingHalf:
    """Targets, actions and a journal of one environment. `report` says what became otherwise since it was called last."""

    def __init__(self, targets: Mapping[str, TargetState], environment: str = "prod") -> None:
        self.environment, self.targets = environment, dict(targets)
        self.actions = frozenset({"scale", "restart", "rollback", "webhook"})
        self.runs: dict[str, RunEntry] = {}
        self._account: Account | None = None

    def take(self, now_ns: int) -> None:
        """Take the journal (again): what follows is another account."""
        self._account = Account(self.environment, now_ns, 1, now_ns)

    def report(self, now_ns: int) -> TargetReport:
        """What is, at this time."""
        if self._account is None:
            self.take(now_ns)
        assert self._account is not None
        runs = [reported_run(r) for r in self.runs.values()]
        (report,) = self._account.reports(now_ns, self.actions, self.targets, runs)
        return report

    def journal(self, decision: Decision, state: RunState, now_ns: int) -> None:
        """The run of a decision has this state from now on."""
        known, chosen = self.runs.get(decision.id), decision.chosen
        created_ns = known.created_ns if known else now_ns
        self.runs[decision.id] = RunEntry(
            "run-" + decision.id, decision.id, self.environment, chosen.target, chosen.playbook, state, created_ns, now_ns, 1, {}
        )  # fmt: skip


def whole(
    environment: str,
    now_ns: int,
    targets: Mapping[str, TargetState],
    actions: Sequence[str] = ("restart",),
    number: int = 1,
) -> TargetReport:
    """One report that says everything; nothing has been done yet."""
    account = Account(environment, number, 1, now_ns)
    (report,) = account.reports(now_ns, frozenset(actions), targets, ())
    return report
