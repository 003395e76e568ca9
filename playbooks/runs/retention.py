"""What the journal may forget, and when: the one rule for all journals.

A run, with the facts about it and its decision, is *needed* while it is open, and for as long afterwards as a guard, an
approval or a decision that comes again could ask for it (`RetentionRule.needed_ns`). What is not needed any more is forgotten
once it is older than it is to be kept, or once there are more runs than are to be kept: those that changed longest ago first.
What is needed stays, however much it is; that is told.

Not forgotten: the audit trail's head and what waits to be published, which are one of each per environment, and the switches: a
stop counts until a person resumes.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from contracts.errors import Fenced
from contracts.ports import Journal, RunEntry
from contracts.settings import ActSettings
from contracts.units import SECOND
from playbooks.guards import HISTORY_S
from playbooks.runs.authenticity import noted_decisions
from playbooks.runs.plan import run_of

_LOG = logging.getLogger(__name__)
OF_A_RUN: Final = ("announced/", "begun/", "identity/", "reference/", "verdict/")
"""Facts under the id of a run."""
OF_A_DECISION: Final = ("approval/", "asked/", "issued/")
"""Facts under the id of a decision."""
BATCH: Final = 500
"""Most runs, and most decisions without one, that are forgotten at once: it is done between other work."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """`kept_ns`: how long what is over is kept; `most`: how many runs, and decisions without one, are kept; `needed_ns`: what is
    younger stays."""

    kept_ns: int
    most: int
    needed_ns: int

    @classmethod
    def of(cls, act: ActSettings) -> RetentionRule:
        """The rule by settings. What could still be asked for is kept whatever they say."""
        needed_s = max(HISTORY_S, act.circuit_reset_s, act.approval_expiry_s, act.decision_expiry_s)
        kept_s = max(act.journal_kept_s, needed_s)
        return cls(int(kept_s * SECOND), act.journal_runs, int(needed_s * SECOND))


class JournalRetention:
    """Forgets by the rule; `forgotten` counts, by what (`run`, `decision`) and why (`age`, `limit`)."""

    def __init__(self, journal: Journal, rule: RetentionRule) -> None:
        self._journal, self._rule = journal, rule
        self.forgotten: Counter[tuple[str, str]] = Counter()
        self.overfull = 0
        """Runs above the limit that are all still needed, as of the last sweep."""

    def sweep(self, now_ns: int) -> int:
        """Forget what may be, up to a batch of each; how many runs and decisions that were."""
        before = self.forgotten.total()
        self._forget_runs(now_ns)
        self._forget_decisions(now_ns)
        count = self.forgotten.total() - before
        if count:
            _LOG.info("the journal forgot %d runs and decisions that nothing asks for any more", count)
        return count

    def _forget_runs(self, now_ns: int) -> None:
        until_ns = now_ns - self._rule.needed_ns
        found = self._journal.ended_runs(until_ns, BATCH)
        # A decision may carry a later time than its run, where clocks differ.
        free = sorted((_last_ns(entry), entry.run) for entry in found if _last_ns(entry) < until_ns)
        leaving = dict(self._leaving(free, self._journal.sizes()["runs"] - self._rule.most, now_ns))
        by_environment: defaultdict[str, list[RunEntry]] = defaultdict(list)
        for entry in found:
            if entry.run in leaving:
                by_environment[entry.environment].append(entry)
        for environment, entries in by_environment.items():
            try:
                with self._journal.together(environment):
                    self._journal.forget_runs([entry.run for entry in entries])
                    self._journal.forget([key for entry in entries for key in facts_of(entry)], environment)
            except Fenced:  # another owner's by now, who forgets it
                continue
            self.forgotten.update(("run", leaving[entry.run]) for entry in entries)
        if len(found) < BATCH:
            self._tell_overfull(max(0, self._journal.sizes()["runs"] - self._rule.most))

    def _forget_decisions(self, now_ns: int) -> None:
        """Those that had no run: with one, they go with it."""
        noted = noted_decisions(self._journal)
        until_ns = now_ns - self._rule.needed_ns
        old = sorted((time_ns, name) for name, (_, time_ns) in noted.items() if time_ns < until_ns)
        alone = (one for one in old if self._journal.load(run_of(one[1])) is None)
        over = len(noted) - self._journal.sizes()["runs"] - self._rule.most
        for name, why in self._leaving(alone, over, now_ns):
            try:
                self._journal.forget([kind + name for kind in OF_A_DECISION], noted[name][0])
            except Fenced:
                continue
            self.forgotten["decision", why] += 1

    def _leaving(self, oldest_first: Iterable[tuple[int, str]], over: int, now_ns: int) -> Iterator[tuple[str, str]]:
        """Names of what is forgotten, and why, up to a batch. `over`: how many there are above the limit."""
        for number, (last_ns, name) in enumerate(islice(oldest_first, BATCH)):
            if last_ns < now_ns - self._rule.kept_ns:
                yield name, "age"
            elif number < over:
                yield name, "limit"
            else:
                return

    def _tell_overfull(self, runs: int) -> None:
        if runs and not self.overfull:
            _LOG.warning(
                "the journal holds %d runs more than act.journal_runs=%d: all of them are needed still, by guards or by a person",
                runs,
                self._rule.most,
            )
        self.overfull = runs


def facts_of(entry: RunEntry) -> list[str]:
    """Keys of the facts that there may be about a run and its decision."""
    return [kind + entry.run for kind in OF_A_RUN] + [kind + entry.decision for kind in OF_A_DECISION]


def _last_ns(entry: RunEntry) -> int:
    """When anything was last about the run, its decision's own time included, epoch nanoseconds."""
    decided_ns = entry.definition.get("decided_ns", 0)
    return max(entry.updated_ns, entry.created_ns, decided_ns if isinstance(decided_ns, int) else 0)
