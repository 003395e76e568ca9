"""The journal forgets what nothing asks for any more, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from contracts.errors import Fenced
from contracts.ports import Identity, StepEntry, Target
from contracts.settings import ActSettings
from contracts.units import DAY, HOUR, SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, DecisionVerdict, RunState, StepPhase
from playbooks.guards import HISTORY_S, CircuitLimits, GuardContext, check_all
from playbooks.runs import authenticity, journal_records, run_of, switches
from playbooks.runs.identities import elsewhere, identified, pin
from playbooks.runs.plan import Surroundings, definition_of, plan_of
from playbooks.runs.retention import OF_A_DECISION, OF_A_RUN, JournalRetention, RetentionRule
from tests.unit.playbooks.runs.support import (
    BOUND,
    RESTART,
    T0,
    MemoryJournal,
    World,
    approval,
    control,
    decision,
)

NEEDED = int(HISTORY_S * SECOND)
RULE = RetentionRule(kept_ns=30 * DAY, most=10, needed_ns=NEEDED)
ONE_EACH = ("control/", "audit/head/", "outbox/", "armed/")
"""Facts of which there is one per environment or scope."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = World(settings=ActSettings(audit_ack_s=60, environments=BOUND))
    yield built
    await built.done()


def filled(*ages_ns: int, now_ns: int = T0, state: RunState = RunState.SUCCEEDED) -> MemoryJournal:
    """A journal with a run of each age, numbered from 0, with every fact that there is about one."""
    journal = MemoryJournal()
    for number, age_ns in enumerate(ages_ns):
        add(journal, f"d{number}", now_ns - age_ns, state)
    return journal


def identity(target: str) -> Identity:
    return Identity("process:here", "process", target, uid=f"uid-{target}")


def add(journal: MemoryJournal, name: str, when_ns: int, state: RunState, target: str = "cart") -> None:
    given_ = decision(name=name, target=target, now_ns=when_ns)
    plan = plan_of(given_, RESTART, now_ns=when_ns, surroundings=Surroundings())
    authenticity.note(journal, given_)
    entry = journal.create(
        run=plan.run,
        decision=name,
        environment="test",
        target=target,
        playbook=RESTART.name,
        definition=definition_of(plan),
        now_ns=when_ns,
    )
    assert entry is not None
    pin(journal, plan, "restart", identity(target))
    journal_records.save_begun(journal, plan, when_ns)
    journal_records.save_announced(journal, plan, None)
    journal_records.save_reference(journal, plan, {})
    verdict = journal_records.Verdict(journal_records.Outcome.BETTER, "better", when_ns, 1.0)
    journal_records.save_verdict(journal, plan, verdict)
    journal_records.save_approval(journal, approval(decision=name))
    journal_records.save_asked(journal, decision(name=name))
    journal.step(StepEntry(plan.run, "restart", StepPhase.INTENT, "k", when_ns, {"action": "restart"}), 1)
    journal.set_state(plan.run, 1, state, when_ns)


def left(journal: MemoryJournal) -> list[str]:
    return sorted(entry.decision for entry in journal.entries.values())


def test_what_is_old_goes_with_all_that_was_noted_of_it() -> None:
    journal = filled(31 * DAY, 29 * DAY, 3 * DAY)
    keeper = JournalRetention(journal, RULE)
    assert keeper.sweep(T0) == 1
    assert left(journal) == ["d1", "d2"]
    gone = {"d0", run_of("d0")}
    assert not [key for key in journal.kept if key.partition("/")[2] in gone]
    for name in ("d1", "d2"):
        mine = {key.partition("/")[0] + "/" for key in journal.kept if key.partition("/")[2] in {name, run_of(name)}}
        assert mine == {*OF_A_RUN, *OF_A_DECISION}
    assert keeper.forgotten == {("run", "age"): 1}


def test_above_the_limit_those_that_changed_longest_ago_go_first() -> None:
    journal = filled(*((20 - n) * DAY for n in range(13)))
    keeper = JournalRetention(journal, RULE)
    keeper.sweep(T0)
    assert left(journal) == sorted(f"d{n}" for n in range(3, 13))
    assert keeper.forgotten == {("run", "limit"): 3}
    assert keeper.overfull == 0


def test_what_guards_look_back_on_stays_however_much_it_is(caplog: pytest.LogCaptureFixture) -> None:
    journal = filled(*(NEEDED - n * HOUR for n in range(40)))
    keeper = JournalRetention(journal, RULE)
    for _ in range(3):
        assert keeper.sweep(T0) == 0
    assert len(journal.entries) == 40
    assert keeper.overfull == 30
    told = [r.message for r in caplog.records if "act.journal_runs" in r.message]
    assert len(told) == 1, "told once"


@pytest.mark.parametrize("state", [s for s in RunState if s not in TERMINAL_RUN_STATES])
def test_an_open_run_is_never_forgotten(state: RunState) -> None:
    journal = filled(900 * DAY, 800 * DAY, state=state)
    assert JournalRetention(journal, replace(RULE, most=1)).sweep(T0) == 0
    assert left(journal) == ["d0", "d1"]
    assert journal_records.approval_of(journal, "d0") is not None


def test_a_run_whose_decision_carries_a_later_time_stays() -> None:
    """Its decision, sent again, would not be too old to begin."""
    journal = filled(31 * DAY)
    (entry,) = journal.entries.values()
    journal.entries[entry.run] = replace(entry, definition={**entry.definition, "decided_ns": T0})
    assert JournalRetention(journal, RULE).sweep(T0) == 0


def test_decisions_without_a_run_go_by_age_and_by_the_limit_with_their_answers() -> None:
    journal = MemoryJournal()
    for number in range(20):
        authenticity.note(journal, decision(name=f"d{number}", now_ns=T0 - (20 - number) * 2 * DAY))
    journal.put("approval/d0", {}, "test")
    keeper = JournalRetention(journal, RULE)
    keeper.sweep(T0)
    assert sorted(authenticity.noted_decisions(journal)) == sorted(f"d{n}" for n in range(10, 20))
    assert journal.get("approval/d0") is None
    assert keeper.forgotten == {("decision", "age"): 5, ("decision", "limit"): 5}
    young = MemoryJournal()
    for number in range(50):
        authenticity.note(young, decision(name=f"d{number}", now_ns=T0 - number * HOUR))
    assert JournalRetention(young, RULE).sweep(T0) == 0, "an answer may still come"


def test_decisions_without_a_run_are_counted_beside_runs_and_those_of_another_owner_are_left_to_it() -> None:
    class Shared(MemoryJournal):
        def forget(self, keys: Collection[str], environment: str = "") -> None:
            if environment == "theirs":
                raise Fenced("another one's")
            assert environment == "test"
            super().forget(keys, environment)

    journal = Shared()
    for number in range(5):
        add(journal, f"r{number}", T0 - 20 * DAY, RunState.SUCCEEDED)
    for number in range(12):
        authenticity.note(journal, decision(name=f"d{number:02}", now_ns=T0 - (25 - number) * DAY))
    assert JournalRetention(journal, RULE).sweep(T0) == 2, "ten without a run stay"
    theirs = msgspec.structs.replace(decision(name="their", now_ns=T0 - 60 * DAY), environment="theirs")
    authenticity.note(journal, theirs)
    authenticity.note(journal, decision(name="old", now_ns=T0 - 50 * DAY))
    keeper = JournalRetention(journal, RULE)
    assert keeper.sweep(T0) == 1, "ours behind theirs, and no more"
    names = {f"d{n:02}" for n in range(2, 12)} | {f"r{n}" for n in range(5)}
    assert authenticity.noted_decisions(journal).keys() == names | {"their"}
    assert keeper.forgotten == {("decision", "age"): 1}


def test_batches_follow_each_other_until_nothing_is_left_to_forget() -> None:
    journal = filled(*(40 * DAY for _ in range(1234)))
    keeper = JournalRetention(journal, RULE)
    assert [keeper.sweep(T0) for _ in range(4)] == [500, 500, 234, 0]
    assert not journal.kept


def test_another_owners_environment_is_left_to_it() -> None:
    class Lost(MemoryJournal):
        @contextmanager
        def together(self, environment: str) -> Iterator[None]:
            raise Fenced("another one's")
            yield

    journal = Lost()
    add(journal, "d0", T0 - 40 * DAY, RunState.FAILED)
    assert JournalRetention(journal, RULE).sweep(T0) == 0
    assert left(journal) == ["d0"]


def test_beside_another_owners_environment_ones_own_is_cleared_all_the_same() -> None:
    class Shared(MemoryJournal):
        @contextmanager
        def together(self, environment: str) -> Iterator[None]:
            if environment == "theirs":
                raise Fenced("another one's")
            with super().together(environment):
                yield

    journal = Shared()
    for number in range(4):  # theirs are the oldest, and one's own lie between them
        add(journal, f"d{number}", T0 - (50 - number) * DAY, RunState.FAILED)
    for run, entry in journal.entries.items():
        if entry.decision in {"d0", "d2"}:
            journal.entries[run] = replace(entry, environment="theirs")
    keeper = JournalRetention(journal, RULE)
    assert keeper.sweep(T0) == 2
    assert left(journal) == ["d0", "d2"]
    assert keeper.forgotten == {("run", "age"): 2}


def test_the_settings_can_not_have_needed_things_forgotten() -> None:
    rule = RetentionRule.of(ActSettings(journal_kept_s=1, journal_runs=1))
    assert rule.needed_ns == rule.kept_ns == NEEDED
    long = RetentionRule.of(ActSettings(journal_kept_s=1, circuit_reset_s=HISTORY_S * 3))
    assert long.needed_ns == 3 * NEEDED
    assert RetentionRule.of(ActSettings(journal_kept_s=HISTORY_S + 1.5)) == RetentionRule(
        kept_ns=NEEDED + 3 * SECOND // 2, most=ActSettings().journal_runs, needed_ns=NEEDED
    )


AGES = st.lists(
    st.tuples(st.integers(0, 40 * DAY), st.sampled_from(RunState), st.sampled_from(["cart", "web", "db"])),
    max_size=30,
)


@settings(deadline=None)
@given(runs=AGES, most=st.integers(1, 30), kept=st.integers(0, 40 * DAY))
def test_guards_say_the_same_before_and_after(runs: list[tuple[int, RunState, str]], most: int, kept: int) -> None:
    """Whatever there is and however little is to be kept: cooldown, rate, circuit, concurrency and unknown outcomes."""
    journal = MemoryJournal()
    for number, (age_ns, state, target) in enumerate(runs):
        add(journal, f"d{number}", T0 - age_ns, state, target)

    def said() -> list[object]:
        found: list[object] = []
        for target in ("cart", "web", "db"):
            key = identity(target).key
            plan = plan_of(decision(target=target, name="new"), RESTART, now_ns=T0, surroundings=Surroundings())
            context = GuardContext(
                now_ns=T0,
                history=[
                    *identified(journal, journal.history("test", since_ns=T0 - NEEDED)),
                    *elsewhere(journal, replace(plan, environment="other"), key, T0 - NEEDED),
                ],
                open_runs=identified(journal, journal.open_runs("test")),
                known_services=["cart", "web", "db"],
                identity=key,
                circuit=CircuitLimits(2, HISTORY_S),
                run=plan.run,
            )
            book = replace(RESTART, guards=replace(RESTART.guards, cooldown_s=HISTORY_S - 1, max_per_hour=2))
            found.append(check_all(book, Target("test", target), None, context))
        return found

    before = said()
    JournalRetention(journal, replace(RULE, most=most, kept_ns=max(kept, NEEDED))).sweep(T0)
    assert said() == before


async def test_a_life_of_the_executor_leaves_nothing_that_grows(world: World) -> None:
    """Every kind of fact that it writes is one that is forgotten, or one of each environment or scope."""
    await world.executor.on_decision(decision(name="d1"))
    await world.run_to(40)
    await world.executor.on_decision(
        decision(name="d2", target="web", verdict=DecisionVerdict.ASK, now_ns=world.clock.now_ns())
    )
    await world.executor.on_approval(approval(decision="d2", now_ns=world.clock.now_ns()))
    world.executor.issued(decision(name="d3"))
    world.executor.issued(decision("ask-a-person", name="d4", verdict=DecisionVerdict.ASK))
    await world.executor.on_control(control(acting=True))
    switches.arm(world.journal, control(acting=False))
    await world.run_to(60)
    kinds = {key.partition("/")[0] + "/" for key in world.journal.kept}
    assert set(OF_A_RUN) | set(OF_A_DECISION) <= kinds, "the life should have written one of each"
    await world.run_to(400)
    later = world.clock.now_ns() + 31 * DAY
    JournalRetention(world.journal, RetentionRule.of(world.settings)).sweep(later)
    assert [key for key in world.journal.kept if not key.startswith(ONE_EACH)] == []
    assert world.journal.entries == {}


async def test_a_decision_that_comes_again_after_its_run_was_forgotten_does_nothing(world: World) -> None:
    """Its own note is gone, and where that isn't asked for, it is too old."""
    old = decision()
    await world.executor.on_decision(old)
    await world.run_to(40)
    assert world.state() is RunState.SUCCEEDED
    done = len(world.process.requests)
    assert done == 1
    world.clock.advance_to(T0 + 31 * DAY)
    JournalRetention(world.journal, RetentionRule.of(world.settings)).sweep(world.clock.now_ns())
    assert world.journal.entries == {}
    await world.executor.on_decision(old)  # notes it first, as the decide stage would that reads its log again
    await world.executor.on_approval(approval(decision="d1"))
    await world.executor.idle()
    await asyncio.sleep(0)
    assert world.state() is RunState.REFUSED
    assert len(world.process.requests) == done


def test_what_was_armed_and_is_in_force_is_not_kept_twice() -> None:
    journal = MemoryJournal()
    for number in range(50):
        switches.arm(journal, control(acting=False, scope=f"shop-{number}"))
        switches.disarm(journal, f"shop-{number}")
    assert journal.kept == {}


@pytest.mark.parametrize(
    ("decided_ns", "forgotten"), [(T0 - NEEDED, 0), (T0 - NEEDED - 1, 1), ("lately", 1), (None, 1)]
)
def test_above_the_limit_a_run_whose_decision_is_needed_yet_stays(decided_ns: object, forgotten: int) -> None:
    """Though it ended long ago by the clock of who drove it; what says no time says nothing."""
    journal = filled(NEEDED + DAY)
    (entry,) = journal.entries.values()
    definition = {k: v for k, v in entry.definition.items() if k != "decided_ns"}
    told = {} if decided_ns is None else {"decided_ns": decided_ns}
    journal.entries[entry.run] = replace(entry, definition={**definition, **told})
    keeper = JournalRetention(journal, replace(RULE, most=0))
    assert keeper.sweep(T0) == forgotten
    assert keeper.overfull == 1 - forgotten
    assert keeper.forgotten == ({("run", "limit"): 1} if forgotten else {})


@pytest.mark.parametrize(("age_ns", "why"), [(30 * DAY, None), (30 * DAY + 1, "age")])
def test_what_is_as_old_as_it_is_to_be_kept_is_kept(age_ns: int, why: str | None) -> None:
    keeper = JournalRetention(filled(age_ns), RULE)
    assert keeper.sweep(T0) == (1 if why else 0)
    assert keeper.forgotten == ({("run", why): 1} if why else {})
