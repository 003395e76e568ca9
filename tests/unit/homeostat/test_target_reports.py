"""Reports of targets and runs: what became otherwise, everything anew for another owner or after a failure, nothing of what isn't ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.actuators.dry_run import DryRunActuator
from connectors.journal.sqlite import SqliteJournal
from contracts.errors import BrokerUnavailable
from contracts.events import Change, ReportedRun, TargetReport, decode
from contracts.ports import ManualClock, StepEntry, Target, TargetState
from contracts.topics import CHANGES, TARGETS
from contracts.verdicts import RunState, StepPhase
from homeostat import target_reports as module
from homeostat import target_states as states_module
from homeostat.target_reports import ACCOUNT_NS, MOST_RUNS, MOST_TARGETS, SILENT_NS, Account, TargetReporter
from homeostat.target_states import TargetStates
from playbooks.decision.reported import ReportedEnvironment
from playbooks.guards import HISTORY_S
from tests.patience import PATIENCE_S
from tests.unit.homeostat.test_target_states import BOUND, NOW, frame

STALE_S = 30.0


class Versioned(DryRunActuator):
    """Describes its targets with a version that a test sets."""

    version = "current"

    async def describe(self, target: Target) -> TargetState:
        return replace(await super().describe(target), version=self.version)


class Bench:
    """A reporter on a journal and a clock, and all that it sent."""

    def __init__(self, folder: Path) -> None:
        self.journal, self.clock = SqliteJournal(folder / "journal.sqlite"), ManualClock(NOW)
        self.takings, self.away, self.sent = {"prod": 1}, False, list[TargetReport]()
        self.refused, self.changes = 0, list[Change]()
        self.actuator = Versioned()
        self.states = TargetStates([self.actuator], self.clock, BOUND, self.changed)
        self.reporter = TargetReporter(
            self.states, self.journal, self.send, lambda e: self.takings.get(e, 0), self.clock
        )
        self.known = ReportedEnvironment()

    def changed(self, environment: str) -> None:
        self.reporter.changed(environment)

    async def send(self, topic: str, key: str, value: bytes, route: str) -> None:
        if self.away:
            self.refused += 1
            raise BrokerUnavailable("away")
        if topic == CHANGES:
            self.changes.append(decode(Change, value))
            assert (key, route) == (self.changes[-1].service, self.changes[-1].environment)
            return
        report = decode(TargetReport, value)
        assert (topic, key, route) == (TARGETS, report.environment, report.environment)
        self.sent.append(report)
        self.known.take(report, self.clock.now_ns(), STALE_S)

    def run(self, name: str, at: int = NOW, environment: str = "prod") -> None:
        self.journal.create(
            run=name,
            decision=f"d-{name}",
            environment=environment,
            target="cart",
            playbook="p",
            definition={"secret": 1},
            now_ns=at,
        )
        self.reporter.ran(environment)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def another(self) -> TargetReport:
        count = len(self.sent)
        await self.until(lambda: len(self.sent) > count)
        return self.sent[-1]


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(module, "REPORT_S", 0.02)
    found = Bench(tmp_path)
    found.reporter.start()
    yield found
    await found.reporter.stop()
    found.journal.close()


async def test_a_run_is_reported_as_guards_count_it(bench: Bench) -> None:
    bench.run("old", NOW - int(HISTORY_S * 1e9) - 1)
    bench.run("r1", NOW - 5)
    bench.run("other", environment="test")
    bench.journal.put("identity/r1", {"steps": {}, "keys": ["k8s/cart"]}, "prod")
    await bench.until(lambda: "r1" in bench.known.runs)
    await bench.until(lambda: len(bench.sent) > 3)
    run = bench.known.runs["r1"]
    assert set(bench.known.runs) == {"r1"}
    assert (run.decision, run.state, run.identities) == ("d-r1", RunState.PENDING, ("k8s/cart",))
    bench.journal.step(
        StepEntry("r1", "grow", StepPhase.INTENT, "k", NOW, {"action": "scale", "before": {"token": "x"}}), 1
    )
    bench.journal.set_state("r1", 1, RunState.RUNNING, NOW + 1)
    bench.reporter.ran("prod")
    await bench.until(lambda: bench.known.runs["r1"].state is RunState.RUNNING)
    (step,) = bench.known.runs["r1"].steps
    assert (step.action, step.phase, step.time_ns) == ("scale", StepPhase.INTENT, NOW)
    assert all(r.environment == "prod" for r in bench.sent), "nothing of what is another's"
    sequences = [(r.account, r.sequence) for r in bench.sent]
    assert sequences == [(1, n) for n in range(len(sequences))]
    assert bench.sent[-1].actions == tuple(sorted(DryRunActuator().actions))


async def test_targets_are_reported_as_they_change(bench: Bench) -> None:
    bench.states.observe(frame("cart"))
    bench.reporter.heard("prod")
    bench.states.start()
    try:
        await bench.until(lambda: bench.known.targets.get("cart") is not None)
        bench.states.forget("prod")
        bench.reporter.changed("prod")
        await bench.until(lambda: "cart" in bench.sent[-1].unknown or not bench.known.targets)
    finally:
        await bench.states.stop()


async def test_a_release_that_nobody_told_of_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states_module, "REFRESH_S", 0.02)
    bench.actuator.version = "v1"
    bench.states.observe(frame("cart"))
    bench.reporter.heard("prod")
    bench.states.start()
    try:
        await bench.until(lambda: bench.known.targets.get("cart") is not None)
        bench.actuator.version = "v2"
        await bench.until(lambda: bool(bench.changes))
        await bench.until(lambda: bench.known.targets["cart"].version == "v2")
        count = len(bench.sent)
        await bench.until(lambda: len(bench.sent) > count + 3)
    finally:
        await bench.states.stop()
    assert [(c.service, c.kind, c.before, c.after) for c in bench.changes] == [("cart", "deploy", "v1", "v2")]


async def test_nothing_is_reported_until_the_journal_is_taken_and_everything_when_it_is_taken_again(
    bench: Bench,
) -> None:
    bench.takings.clear()
    bench.run("r1")
    await asyncio.sleep(0.1)
    assert bench.sent == []
    bench.takings["prod"] = 4
    first = await bench.another()
    assert (first.account, first.sequence, [r.run for r in first.runs]) == (1, 0, ["r1"])
    bench.takings["prod"] = 6
    await bench.until(lambda: bench.sent[-1].account == 2)
    again = next(r for r in bench.sent if r.account == 2)
    assert again.taken_ns > first.taken_ns
    assert (again.sequence, [r.run for r in again.runs]) == (0, ["r1"])


async def test_after_a_failure_and_from_time_to_time_everything_is_told_anew(bench: Bench) -> None:
    bench.run("r1")
    await bench.another()
    bench.away = True
    bench.run("r2")
    await bench.until(lambda: bench.refused > 0)
    bench.away = False
    await bench.until(lambda: bench.sent[-1].account > 1)
    account = bench.sent[-1].account
    again = next(r for r in bench.sent if r.account == account)
    assert (again.sequence, [r.run for r in again.runs]) == (0, ["r1", "r2"])
    bench.clock.advance_to(NOW + ACCOUNT_NS)
    await bench.until(lambda: bench.sent[-1].account == account + 1)


async def test_who_is_not_heard_of_any_more_is_not_reported(bench: Bench) -> None:
    bench.run("r1")
    await bench.another()
    bench.clock.advance_to(NOW + SILENT_NS + 1)
    await bench.until(lambda: not bench.reporter._told)
    count = len(bench.sent)
    await asyncio.sleep(0.1)
    assert len(bench.sent) == count
    bench.reporter.heard("prod")
    assert (await bench.another()).sequence == 0


RUN = ReportedRun(
    run="r", decision="d", target="cart", playbook="p", state=RunState.RUNNING, created_ns=NOW, updated_ns=NOW
)


def test_what_is_too_much_for_a_report_follows_in_the_next() -> None:
    account, known = Account("prod", NOW, 1, NOW), ReportedEnvironment()
    runs = [ReportedRun(**{f: getattr(RUN, f) for f in RUN.__struct_fields__} | {"run": f"r{i}"}) for i in range(1201)]
    targets = {f"s{i}": TargetState(i, i) for i in range(MOST_TARGETS + 1)}
    told = list(account.reports(NOW, frozenset({"scale"}), targets, runs))
    assert [(r.sequence, r.more, len(r.runs)) for r in told] == [
        (0, True, MOST_RUNS),
        (1, True, MOST_RUNS),
        (2, False, 201),
    ]
    for report in told[:-1]:
        assert not known.take(report, NOW, STALE_S)
        assert not known.told(NOW, NOW, STALE_S), "half of it is not believed"
    assert known.take(told[-1], NOW, STALE_S)
    assert (known.targets, len(known.runs)) == (targets, 1201)


WORLD = st.tuples(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2), max_size=3),
    st.dictionaries(st.sampled_from("xyz"), st.sampled_from(list(RunState)), max_size=3),
)


def _of(world: tuple[Mapping[str, int], Mapping[str, RunState]]) -> tuple[dict[str, TargetState], list[ReportedRun]]:
    targets, states = world
    runs = [replace_run(name, state) for name, state in states.items()]
    return {s: TargetState(n, n) for s, n in targets.items()}, runs


def replace_run(name: str, state: RunState) -> ReportedRun:
    return ReportedRun(**{f: getattr(RUN, f) for f in RUN.__struct_fields__} | {"run": name, "state": state})


@given(st.lists(st.tuples(WORLD, st.sampled_from(["sent", "lost", "twice", "anew"])), min_size=1, max_size=12))
def test_who_is_told_knows_what_is_or_that_he_does_not_know(steps: list[tuple[object, str]]) -> None:
    """Whatever is lost or comes again: either the last world is known exactly, or it is not believed; a new account mends it."""
    known, number, runs_known = ReportedEnvironment(), 1, dict[str, RunState]()
    account, sent = Account("prod", NOW, 1, NOW), list[TargetReport]()
    for i, (world, how) in enumerate(steps):
        now = NOW + i
        targets, runs = _of(world)
        runs_known |= {r.run: r.state for r in runs}
        runs = [replace_run(name, state) for name, state in runs_known.items()]  # the journal forgets nothing
        if how == "anew":
            number += 1
            account = Account("prod", NOW, number, now)
        (report,) = account.reports(now, frozenset({"scale"}), targets, runs)
        if how != "lost":
            known.take(report, now, STALE_S)
        if how == "twice":
            assert not known.take(report, now, STALE_S)
            assert not known.take(sent[0] if sent else report, now, STALE_S), "an old one is nothing new"
        sent.append(report)
        if how != "lost" and known.told(now, now, STALE_S):
            assert known.targets == targets
            assert {n: r.state for n, r in known.runs.items()} == runs_known
    (report,) = Account("prod", NOW, number + 1, NOW).reports(NOW + 99, frozenset(), {}, [])
    known.take(report, NOW + 99, STALE_S)
    assert known.told(NOW + 99, NOW + 99, STALE_S)


def test_the_later_owner_is_believed_unless_he_fell_silent() -> None:
    known = ReportedEnvironment()
    (straggler, owner) = (Account("prod", NOW, 1, NOW), Account("prod", NOW + 5, 1, NOW))
    (first,) = straggler.reports(NOW, frozenset(), {"cart": TargetState(1, 1)}, [])
    (later,) = owner.reports(NOW + 6, frozenset(), {"cart": TargetState(2, 2)}, [])
    (late,) = straggler.reports(NOW + 7, frozenset(), {"cart": TargetState(1, 1)}, [RUN])
    assert known.take(first, NOW, STALE_S)
    assert known.take(later, NOW + 6, STALE_S)
    assert not known.take(late, NOW + 7, STALE_S)
    assert known.targets == {"cart": TargetState(2, 2)}
    minute = NOW + 60 * 10**9
    (heir,) = Account("prod", NOW - 7, 1, minute).reports(minute, frozenset(), {"cart": TargetState(3, 3)}, [])
    assert not known.take(heir, NOW + 8, STALE_S), "the owner is there"
    assert known.take(heir, minute, STALE_S), "his clock is behind, but the last owner is gone"
    assert known.targets == {"cart": TargetState(3, 3)}
