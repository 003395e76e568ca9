"""Tells deciding, on `autonomous.targets`, how targets are and what is done to them: for each environment that this process acts for.

Where a target became another by no doing of ours, a change is told as well, on `telemetry.changes` (`homeostat.target_changes`).

Deciding counts on it: a report says all that the journal holds of runs at its time, it comes at least every two seconds, and at once
when a run changes. It may be late or missing, then deciding waits; it is never the last word: guards are asked again before each effect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.errors import HomeostatError
from contracts.events import ReportedRun, ReportedStep, TargetReport, encode
from contracts.ports import Clock, Journal, RunEntry
from contracts.supervision import Supervised
from contracts.targets import TargetState
from contracts.topics import CHANGES, TARGETS
from contracts.units import SECOND
from homeostat.target_changes import TargetChanges
from homeostat.target_states import TargetStates
from playbooks.guards import HISTORY_S
from playbooks.runs.identities import identified

log = logging.getLogger(__name__)
REPORT_S = 2.0
ACCOUNT_NS: Final = 300 * SECOND
"""After this long everything is told anew: whoever missed a report need not wait longer."""
SILENT_NS: Final = 600 * SECOND
"""An environment that was not heard of for this long is not reported any more."""
MOST_RUNS: Final = 500
MOST_TARGETS: Final = 500
"""In one report; the rest follows in the next."""
Send = Callable[[str, str, bytes, str], Awaitable[None]]
"""Topic, key, value, and what the partition is chosen by."""


@dataclass(slots=True)
class Account:
    """What has been told of an environment since the account began: each report holds what became otherwise."""

    environment: str
    taken_ns: int
    number: int
    begun_ns: int
    sequence: int = 0
    targets: dict[str, TargetState] = field(default_factory=dict)
    runs: dict[str, ReportedRun] = field(default_factory=dict)

    def reports(
        self, now_ns: int, actions: frozenset[str], targets: Mapping[str, TargetState], runs: Sequence[ReportedRun]
    ) -> Iterator[TargetReport]:
        """All that is to be sent, in order, so that everything is told. There is always one: it says that the rest is as it was."""
        changed = {s: t for s, t in targets.items() if self.targets.get(s) != t}
        unknown = tuple(sorted(self.targets.keys() - targets.keys()))
        news = [r for r in runs if self.runs.get(r.run) != r]
        self.targets, self.runs = dict(targets), {r.run: r for r in runs}
        services = sorted(changed)
        count = max(-(-len(services) // MOST_TARGETS), -(-len(news) // MOST_RUNS), 1)
        for n in range(count):
            yield TargetReport(
                environment=self.environment,
                time_ns=now_ns,
                taken_ns=self.taken_ns,
                account=self.number,
                sequence=self.sequence,
                more=n < count - 1,
                actions=tuple(sorted(actions)),
                targets={s: changed[s] for s in services[n * MOST_TARGETS : (n + 1) * MOST_TARGETS]},
                unknown=unknown if n == 0 else (),
                runs=tuple(news[n * MOST_RUNS : (n + 1) * MOST_RUNS]),
            )
            self.sequence += 1


@dataclass(slots=True)
class _Told:
    """One environment: its account, for which taking of the journal, and what is known of runs since they last changed."""

    heard_ns: int
    taking: int = 0
    taken_ns: int = 0
    accounts: int = 0
    account: Account | None = None
    runs: tuple[ReportedRun, ...] | None = None
    due: bool = True
    changes: TargetChanges | None = None


class TargetReporter:
    """Reports the environments whose journal this process has taken; `taking` numbers the takings (0: it has not)."""

    def __init__(
        self, states: TargetStates, journal: Journal, send: Send, taking: Callable[[str], int], clock: Clock
    ) -> None:
        self._states, self._journal, self._send, self._taking, self._clock = states, journal, send, taking, clock
        self._told: dict[str, _Told] = {}
        self._news = asyncio.Event()
        self._task = Supervised("target-reports", self._run, clock=clock)

    def start(self) -> None:
        """Begin reporting."""
        self._task.start()

    async def stop(self) -> None:
        """End reporting."""
        await self._task.stop()

    def heard(self, environment: str) -> None:
        """Something came in of an environment: it is there."""
        now_ns = self._clock.now_ns()
        if environment not in self._told:
            self._told[environment] = _Told(now_ns)
            self._news.set()
        self._told[environment].heard_ns = now_ns

    def changed(self, environment: str) -> None:
        """A target of the environment is otherwise than before: report soon."""
        told = self._told.get(environment)
        if told is not None:
            told.due = True
            self._news.set()

    def ran(self, environment: str) -> None:
        """The journal says something new of the environment's runs: report soon."""
        self.heard(environment)
        self._told[environment].runs = None
        self.changed(environment)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(REPORT_S):
                    await self._news.wait()
            except TimeoutError:
                for told in self._told.values():
                    told.due = True
            self._news.clear()
            for environment, told in list(self._told.items()):
                if self._clock.now_ns() - told.heard_ns > SILENT_NS:
                    del self._told[environment]
                    self._states.forget(environment)
                elif told.due:
                    await self._tell(environment, told)

    async def _tell(self, environment: str, told: _Told) -> None:
        """Send what is to be told. Whatever fails, everything is told anew then."""
        told.due, taking, account = False, self._taking(environment), None
        if not taking:
            told.account = None
            return
        try:
            account, told.account = self._account(environment, told, taking), None
            for report in self._reports(account, told):
                await self._send(TARGETS, environment, encode(report), environment)
            told.account = account
            await self._tell_changes(environment, told)
        except HomeostatError as e:
            log.debug("the targets of %s could not be reported: %s", environment, e)

    async def _tell_changes(self, environment: str, told: _Told) -> None:
        """Send what became of targets since the last time. What could not be sent is found again."""
        told.changes = told.changes or TargetChanges(environment)
        looks = self._states.looks(environment)
        for change in told.changes.found(looks, told.runs or ()):
            await self._send(CHANGES, change.service, encode(change), environment)
        told.changes.keep(looks)

    def _account(self, environment: str, told: _Told, taking: int) -> Account:
        now_ns = self._clock.now_ns()
        if told.taking != taking:
            told.taking, told.taken_ns, told.account, told.runs = taking, max(now_ns, told.taken_ns + 1), None, None
        if told.account is not None and abs(now_ns - told.account.begun_ns) < ACCOUNT_NS:
            return told.account
        told.accounts, told.runs = told.accounts + 1, None
        return Account(environment, told.taken_ns, told.accounts, now_ns)

    def _reports(self, account: Account, told: _Told) -> list[TargetReport]:
        environment, now_ns = account.environment, self._clock.now_ns()
        if told.runs is None:
            since_ns = now_ns - int(HISTORY_S * SECOND)
            history = self._journal.history(environment, since_ns=since_ns)
            told.runs = tuple(reported_run(run) for run in identified(self._journal, history))
        targets = self._states.known(environment)
        return list(account.reports(now_ns, self._states.actions(environment), targets, told.runs))


def reported_run(run: RunEntry) -> ReportedRun:
    """A run as the journal has it, as far as guards count by it."""
    return ReportedRun(
        run=run.run,
        decision=run.decision,
        target=run.target,
        playbook=run.playbook,
        state=run.state,
        created_ns=run.created_ns,
        updated_ns=run.updated_ns,
        steps=tuple(
            ReportedStep(step=s.step, phase=s.phase, action=str(s.data.get("action", "")), time_ns=s.time_ns)
            for s in run.steps
        ),
        identities=run.identities,
    )
