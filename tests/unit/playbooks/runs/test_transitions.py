"""The machine's table: it is complete and unambiguous, each of its rows is taken by a run of the real executor, and what it doesn't
list is refused, recorded, and costs no other run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from contracts.errors import ActionFailed, ActuatorUnavailable, BrokerUnavailable, OutcomeUnknown, PolicyUnavailable
from contracts.events import Incident, encode
from contracts.ports import Applied, PolicyVerdict, RunEntry, StepRequest, StepResult
from contracts.settings import ActSettings
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, Autonomy, IncidentPhase, RunState, Severity, StepPhase
from playbooks.language.model import Playbook, Step, Verify
from playbooks.runs import commands as c
from playbooks.runs import events as e
from playbooks.runs import executor, machine, observation
from playbooks.runs.machine import TABLE, MachineState, Transition
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.situation import RunSituation
from tests.checks.crash.stories import flaws
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import (
    BOUND,
    RESTART,
    SCALE,
    T0,
    MemoryJournal,
    World,
    approval,
    control,
    decision,
    frame,
)

EVENTS = [v for v in vars(e).values() if isinstance(v, type) and issubclass(v, e.RunEvent) and v is not e.RunEvent]
OPEN = [state for state in MachineState if not state.terminal]
LISTED = {(row.state, row.event) for row in TABLE}


def situations() -> Iterator[RunSituation]:
    """Every combination of what guards ask about."""
    for done, rollback, checks in product(((), ("grow",)), ((), SCALE.rollback), ((), RESTART.verify.checks)):
        playbook = replace(SCALE, rollback=rollback, verify=Verify(checks))
        plan = plan_of(decision("scale-out"), playbook, now_ns=T0, surroundings=Surroundings())
        yield RunSituation(plan, done)


# --- the table itself


@pytest.mark.parametrize(("state", "event"), sorted(LISTED, key=str))
def test_exactly_one_row_holds_in_every_situation(state: MachineState, event: type[e.RunEvent]) -> None:
    rows = [row for row in TABLE if (row.state, row.event) == (state, event)]
    for situation in situations():
        assert sum(row.guard.holds(situation) for row in rows) == 1, situation


@pytest.mark.parametrize("state", MachineState)
@pytest.mark.parametrize("event", EVENTS)
def test_what_is_not_listed_is_refused(state: MachineState, event: type[e.RunEvent]) -> None:
    if (state, event) in LISTED:
        return
    for situation in situations():
        with pytest.raises(machine.UnlistedTransition, match=f"{state} can't take {event.__name__}"):
            machine.react(state, object.__new__(event), situation)


def test_every_event_is_listed_somewhere_and_every_state_can_be_reached_and_left() -> None:
    assert {row.event for row in TABLE} == set(EVENTS)
    assert {row.to for row in TABLE} == set(MachineState)
    assert {row.state for row in TABLE} == set(OPEN)
    assert {state for state in OPEN if (state, e.MachineFault) in LISTED} == set(OPEN)


def test_steps_of_a_rollback_have_the_same_states_as_steps_forward() -> None:
    """So the diagram of one step in docs/architecture.md is that of both."""
    s = MachineState
    forward = {s.RUNNING: s.ROLLING_BACK, s.PAUSED: s.ROLLBACK_PAUSED, s.IN_DOUBT: s.ROLLBACK_IN_DOUBT,
               s.NOT_APPLIED: s.ROLLBACK_NOT_APPLIED}  # fmt: skip
    within = {
        (forward[r.state], r.event, forward[r.to], r.commands) for r in TABLE if {r.state, r.to} <= forward.keys()
    }
    back = set(forward.values())
    assert within == {(r.state, r.event, r.to, r.commands) for r in TABLE if {r.state, r.to} <= back}


# --- runs of the real executor that take its rows


class Taken:
    """The rows taken, by whatever executor runs meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.rows: set[Transition] = set()
        self._react = machine.react
        patch.setattr(machine, "react", self.react)

    def react(self, state: MachineState, event: e.RunEvent, run: RunSituation) -> machine.Reaction:
        reaction = self._react(state, event, run)
        row = reaction.transition
        changes = row.state.run_state is not row.to.run_state
        assert sum(isinstance(x, c.RecordState) for x in reaction.records) == (changes and not row.to.terminal)
        assert sum(isinstance(x, c.RecordEnd) for x in reaction.records) == row.to.terminal
        assert not (row.to.terminal and reaction.work), "something is left to be done after the end"
        self.rows.add(row)
        return reaction


TWO = (Step("grow", "scale", {"by": 1}, retries=1), Step("restart", "restart", needs=("grow",), retries=1))
PAUSE = (Step("pause", "wait", {"seconds": 20}),)
BACK = (Step("shrink", "scale", retries=1),)
UNCHECKED = Verify(())
Story = Callable[[World], Awaitable[None]]
STORIES: list[tuple[Playbook, Story]] = []


def story(**changes: Any) -> Callable[[Story], Story]:
    """A story with a playbook like SCALE."""

    def listed(tell: Story) -> Story:
        STORIES.append((replace(SCALE, **changes), tell))
        return tell

    return listed


async def decide(world: World, **changes: Any) -> None:
    """The target fails, and it is decided to act."""
    for second in range(-40, 0):
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.01 if second < -5 else 0.6)}))
    await world.executor.on_decision(decision("scale-out", **changes))
    await world.executor.idle()


async def over(world: World) -> None:
    await world.executor.on_incident(
        Incident(
            id="i1", environment="test", phase=IncidentPhase.RESOLVED, severity=Severity.WARNING, onset_ns=T0, time_ns=T0,
            revision=9, anomalies=(), services=("cart",), candidates=(), blast_radius=(), confidence=1.0, settled=True,
            text="",
        )
    )  # fmt: skip
    await world.executor.idle()


async def stop(world: World) -> None:
    await world.executor.on_control(control(acting=False))
    await world.executor.idle()


async def die(world: World) -> None:
    """The process ends wherever it is, and another one goes on."""
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    world.born()
    await world.executor.resume()
    await world.executor.idle()


async def die_at(world: World, action: str) -> None:
    """As `die`, while an effect is under way."""
    world.process.block = asyncio.Event()
    while not any(r.action == action for r in world.process.requests):
        await asyncio.sleep(0)
    world.process.block = None
    await die(world)


def failing(world: World, *steps: str, error: Exception | None = None) -> None:
    """The effects of these steps fail."""
    real = world.process.apply

    async def apply(request: StepRequest) -> StepResult:
        if request.step in steps:
            raise error or ActionFailed("it is locked")
        return await real(request)

    world.process.apply = apply  # type: ignore[method-assign]


@story()
async def helps(world: World) -> None:
    await decide(world)
    await world.run_to(5)


@story()
async def worse(world: World) -> None:
    await decide(world)
    await world.run_to(8, error=1.0)


@story(rollback=())
async def worse_for_good(world: World) -> None:
    await decide(world)
    await world.run_to(8, error=1.0)


@story()
async def worse_while_stopped(world: World) -> None:
    await decide(world)
    await stop(world)
    await world.run_to(8, error=1.0)


@story()
async def silence(world: World) -> None:
    await decide(world)
    await world.run_to(32, error=None)


@story(verify=UNCHECKED)
async def unchecked(world: World) -> None:
    await decide(world)


@story(tier=3)
async def approved(world: World) -> None:
    await decide(world)
    await world.executor.on_approval(approval())
    await world.executor.idle()


@story(tier=3)
async def denied(world: World) -> None:
    await decide(world)
    await world.executor.on_approval(approval(approve=False))
    await world.executor.idle()


@story(tier=3)
async def approved_against_policy(world: World) -> None:
    await decide(world)
    world.policy.verdict = PolicyVerdict(allowed=False, denials=("not on Fridays",))
    await world.executor.on_approval(approval())
    await world.executor.idle()


@story(tier=3)
async def unanswered(world: World) -> None:
    await decide(world)
    await world.run_to(world.settings.approval_expiry_s + 1, error=None)


@story(tier=3)
async def stopped_while_asking(world: World) -> None:
    await decide(world)
    await stop(world)


@story(tier=3)
async def over_while_asking(world: World) -> None:
    await decide(world)
    await over(world)


@story()
async def refused(world: World) -> None:
    world.policy.verdict = PolicyVerdict(allowed=False, denials=("not on Fridays",))
    await decide(world)


@story()
async def away_until_it_is_too_late(world: World) -> None:
    world.policy.verdict = PolicyUnavailable("opa is away")
    await decide(world)
    await world.run_to(3, error=0.6)
    world.clock.advance_to(T0 + int(world.settings.decision_expiry_s + 1) * SECOND)
    await world.run_to(world.settings.decision_expiry_s + 3, error=0.6)


@story()
async def stopped_before(world: World) -> None:
    await world.executor.on_control(control(acting=False))
    await decide(world)


@story()
async def over_before(world: World) -> None:
    await over(world)
    await decide(world)


@story(steps=PAUSE)
async def stopped_in_a_pause(world: World) -> None:
    await decide(world)
    await stop(world)


@story(steps=PAUSE)
async def over_in_a_pause(world: World) -> None:
    await decide(world)
    await over(world)


@story(steps=(*PAUSE, *TWO))
async def late_in_a_pause(world: World) -> None:
    await decide(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    world.executor.wake()
    await world.executor.idle()


@story(steps=(TWO[0], replace(PAUSE[0], needs=("grow",))))
async def late_in_a_pause_with_something_done(world: World) -> None:
    await decide(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    world.executor.wake()
    await world.executor.idle()


@story(steps=(Step("pause", "wait", {"seconds": "${{ replicas }}"}),))
async def a_pause_of_unknown_length(world: World) -> None:
    await decide(world)


@story(steps=PAUSE)
async def a_pause_to_its_end(world: World) -> None:
    await decide(world)
    await world.run_to(22, error=0.6)


@story()
async def fails(world: World) -> None:
    failing(world, "grow")
    await decide(world)


@story(steps=TWO)
async def fails_half_way(world: World) -> None:
    failing(world, "restart")
    await decide(world)
    await world.run_to(4, error=0.6)


def later_policy(world: World, after: int, verdict: PolicyVerdict) -> None:
    """Policy changes its mind after so many questions."""

    class Changing(type(world.policy)):  # type: ignore[misc]
        async def evaluate(self, document: Any) -> PolicyVerdict:
            if len(self.asked) >= after:
                self.verdict = verdict
            return await super().evaluate(document)

    world.policy.__class__ = Changing


NO = PolicyVerdict(allowed=False, denials=("not on Fridays",))


@story()
async def held_right_before(world: World) -> None:
    later_policy(world, 1, NO)
    await decide(world)


@story(steps=TWO)
async def held_half_way(world: World) -> None:
    later_policy(world, 3, NO)
    await decide(world)


@story(steps=TWO, rollback=())
async def held_half_way_for_good(world: World) -> None:
    later_policy(world, 3, NO)
    await decide(world)


class AwayWithIntents(MemoryJournal):
    """Can't settle once there are `n` intents, until `back`; `then` happens at that moment."""

    def __init__(self, n: int = 1, then: Callable[[], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self.n, self.then, self.back = n, then, False

    async def settled(self, environment: str, timeout_s: float) -> None:
        intents = sum(line.phase is StepPhase.INTENT for entry in self.entries.values() for line in entry.steps)
        if intents >= self.n and not self.back:
            if self.then is not None:
                await self.then()
                self.back = True
                return
            raise BrokerUnavailable("the journal's log is away")


def with_journal(world: World, journal: AwayWithIntents) -> AwayWithIntents:
    world.journal = journal
    world.born()
    return journal


def quieter(world: World) -> Callable[[], Awaitable[None]]:
    """Autonomy is turned down at the last moment."""

    async def turn() -> None:
        await world.executor.on_control(control(acting=True, autonomy=Autonomy.OBSERVE))

    return turn


@story()
async def held_with_an_intent(world: World) -> None:
    with_journal(world, AwayWithIntents(then=quieter(world)))
    await decide(world)


@story(steps=TWO)
async def held_with_an_intent_half_way(world: World) -> None:
    with_journal(world, AwayWithIntents(2, quieter(world)))
    await decide(world)


@story(steps=TWO, rollback=())
async def held_with_an_intent_half_way_for_good(world: World) -> None:
    with_journal(world, AwayWithIntents(2, quieter(world)))
    await decide(world)


@story()
async def stopped_with_an_intent(world: World) -> None:
    async def turn() -> None:
        await world.executor.on_control(control(acting=False))

    with_journal(world, AwayWithIntents(then=turn))
    await decide(world)


@story()
async def not_durable_for_a_while(world: World) -> None:
    journal = with_journal(world, AwayWithIntents())
    await decide(world)
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.run_to(2, error=0.6)
    world.policy.verdict = PolicyVerdict(allowed=True)
    journal.back = True
    await world.run_to(8)


@story()
async def not_durable_for_too_long(world: World) -> None:
    with_journal(world, AwayWithIntents())
    await decide(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    await world.run_to(3602, error=0.6)


@story()
async def not_durable_then_stopped(world: World) -> None:
    with_journal(world, AwayWithIntents())
    await decide(world)
    await stop(world)


@story()
async def not_durable_then_held(world: World) -> None:
    with_journal(world, AwayWithIntents())
    await decide(world)
    world.policy.verdict = NO
    await world.run_to(3, error=0.6)


@story(steps=TWO)
async def not_durable_then_held_half_way(world: World) -> None:
    with_journal(world, AwayWithIntents(2))
    await decide(world)
    world.policy.verdict = NO
    await world.run_to(3, error=0.6)


@story(steps=TWO, rollback=())
async def not_durable_then_held_half_way_for_good(world: World) -> None:
    with_journal(world, AwayWithIntents(2))
    await decide(world)
    world.policy.verdict = NO
    await world.run_to(3, error=0.6)


@story(steps=TWO)
async def too_late_for_the_first_step(world: World) -> None:
    world.process.errors = [ActuatorUnavailable("away")]
    await decide(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    world.executor.wake()
    await world.executor.idle()


@story(steps=TWO)
async def too_late_for_the_second_step(world: World) -> None:
    failing(world, "restart", error=ActuatorUnavailable("away"))
    await decide(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    world.executor.wake()
    await world.executor.idle()


@story(steps=TWO)
async def stopped_between_steps(world: World) -> None:
    failing(world, "restart", error=ActuatorUnavailable("away"))
    await decide(world)
    await stop(world)


@story(steps=TWO)
async def over_between_steps(world: World) -> None:
    world.process.errors = [ActuatorUnavailable("away")]
    await decide(world)
    await over(world)


@story()
async def lost(world: World) -> None:
    world.process.errors = [OutcomeUnknown("the connection was lost")]
    await decide(world)


async def died_with(world: World, answer: Applied | Exception) -> None:
    world.process.block = asyncio.Event()
    world.process.answer = answer
    await world.executor.on_decision(decision("scale-out"))
    await die_at(world, "scale")


@story()
async def died_and_it_had_happened(world: World) -> None:
    await died_with(world, Applied.YES)


@story()
async def died_and_it_had_not_happened(world: World) -> None:
    await died_with(world, Applied.NO)


@story()
async def died_and_nobody_can_tell(world: World) -> None:
    await died_with(world, ActuatorUnavailable("away"))
    await world.run_to(3, error=None)


# --- the same while rolling back


async def worse_first(world: World) -> None:
    await decide(world)
    await world.run_to(8, error=1.0)


@story(rollback=BACK)
async def rollback_fails(world: World) -> None:
    failing(world, "rollback/shrink")
    await worse_first(world)


@story(rollback=BACK)
async def rollback_is_lost(world: World) -> None:
    failing(world, "rollback/shrink", error=OutcomeUnknown("the connection was lost"))
    await worse_first(world)


@story(rollback=BACK)
async def rollback_is_held(world: World) -> None:
    later_policy(world, 2, NO)
    await worse_first(world)


@story(rollback=BACK)
async def rollback_waits_and_is_stopped(world: World) -> None:
    later_policy(world, 2, NO)
    await decide(world)
    world.process.describe_error = ActuatorUnavailable("away")
    await world.run_to(8, error=1.0)
    await stop(world)


@story(rollback=BACK)
async def rollback_waits_until_it_is_too_late(world: World) -> None:
    await decide(world)
    world.process.describe_error = ActuatorUnavailable("away")
    await world.run_to(8, error=1.0)
    world.clock.advance_to(T0 + 3600 * SECOND)
    await world.run_to(3605, error=1.0)


@story(rollback=(*PAUSE, *BACK))
async def rollback_pauses(world: World) -> None:
    await worse_first(world)
    await world.run_to(40, error=1.0)


@story(rollback=(*PAUSE, *BACK))
async def rollback_pauses_too_long(world: World) -> None:
    await worse_first(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    world.executor.wake()
    await world.executor.idle()


@story(rollback=(*PAUSE, *BACK))
async def rollback_pauses_and_is_stopped(world: World) -> None:
    await worse_first(world)
    await stop(world)


@story(rollback=(Step("pause", "wait", {"seconds": "${{ replicas }}"}),))
async def rollback_pauses_for_an_unknown_time(world: World) -> None:
    await worse_first(world)


@story(rollback=BACK)
async def rollback_is_held_with_an_intent(world: World) -> None:
    with_journal(world, AwayWithIntents(2, quieter(world)))
    await worse_first(world)


@story(rollback=BACK)
async def rollback_is_stopped_with_an_intent(world: World) -> None:
    async def turn() -> None:
        await world.executor.on_control(control(acting=False))

    with_journal(world, AwayWithIntents(2, turn))
    await worse_first(world)


@story(rollback=BACK)
async def rollback_is_not_durable_for_a_while(world: World) -> None:
    journal = with_journal(world, AwayWithIntents(2))
    await worse_first(world)
    world.process.describe_error = ActuatorUnavailable("away")
    await world.run_to(10, error=1.0)
    world.process.describe_error = None
    journal.back = True
    await world.run_to(15, error=1.0)


@story(rollback=BACK)
async def rollback_is_not_durable_for_too_long(world: World) -> None:
    with_journal(world, AwayWithIntents(2))
    await worse_first(world)
    world.clock.advance_to(T0 + 3600 * SECOND)
    await world.run_to(3602, error=1.0)


@story(rollback=BACK)
async def rollback_is_not_durable_then_stopped(world: World) -> None:
    with_journal(world, AwayWithIntents(2))
    await worse_first(world)
    await stop(world)


@story(rollback=BACK)
async def rollback_is_not_durable_then_held(world: World) -> None:
    with_journal(world, AwayWithIntents(2))
    await worse_first(world)
    world.policy.verdict = NO
    await world.run_to(11, error=1.0)


async def rollback_died(world: World, answer: Applied | Exception) -> None:
    await decide(world)
    world.process.answer = answer
    world.process.requests.clear()
    world.process.block = asyncio.Event()
    for second in range(8):
        window = T0 + second * SECOND
        world.clock.advance_to(window + SECOND)
        await world.executor.on_evidence(frame(window, {"cart": (50.0, 1.0)}))
        world.executor.wake()
        for _ in range(50):
            await asyncio.sleep(0)
    await die_at(world, "scale")
    await world.run_to(11, error=1.0)


@story(rollback=BACK)
async def rollback_died_and_it_had_happened(world: World) -> None:
    await rollback_died(world, Applied.YES)


@story(rollback=BACK)
async def rollback_died_and_it_had_not_happened(world: World) -> None:
    await rollback_died(world, Applied.NO)


@story(rollback=BACK)
async def rollback_died_and_nobody_can_tell(world: World) -> None:
    await rollback_died(world, ActuatorUnavailable("away"))


ENDS = {
    "helps": "succeeded",
    "worse": "rolled_back",
    "worse_for_good": "failed",
    "worse_while_stopped": "failed",
    "silence": "inconclusive",
    "unchecked": "succeeded",
    "approved": "verifying",
    "denied": "refused",
    "approved_against_policy": "refused",
    "unanswered": "refused",
    "stopped_while_asking": "cancelled",
    "over_while_asking": "cancelled",
    "refused": "refused",
    "away_until_it_is_too_late": "refused",
    "stopped_before": "cancelled",
    "over_before": "cancelled",
    "stopped_in_a_pause": "cancelled",
    "over_in_a_pause": "cancelled",
    "late_in_a_pause": "refused",
    "late_in_a_pause_with_something_done": "failed",
    "a_pause_of_unknown_length": "failed",
    "a_pause_to_its_end": "verifying",
    "fails": "failed",
    "fails_half_way": "rolled_back",
    "held_right_before": "refused",
    "held_half_way": "failed",
    "held_half_way_for_good": "failed",
    "held_with_an_intent": "refused",
    "held_with_an_intent_half_way": "failed",
    "held_with_an_intent_half_way_for_good": "failed",
    "stopped_with_an_intent": "cancelled",
    "not_durable_for_a_while": "succeeded",
    "not_durable_for_too_long": "failed",
    "not_durable_then_stopped": "cancelled",
    "not_durable_then_held": "refused",
    "not_durable_then_held_half_way": "failed",
    "not_durable_then_held_half_way_for_good": "failed",
    "too_late_for_the_first_step": "refused",
    "too_late_for_the_second_step": "failed",
    "stopped_between_steps": "cancelled",
    "over_between_steps": "cancelled",
    "lost": "unknown",
    "died_and_it_had_happened": "verifying",
    "died_and_it_had_not_happened": "verifying",
    "died_and_nobody_can_tell": "running",
    "rollback_fails": "failed",
    "rollback_is_lost": "unknown",
    "rollback_is_held": "failed",
    "rollback_waits_and_is_stopped": "cancelled",
    "rollback_waits_until_it_is_too_late": "failed",
    "rollback_pauses": "rolled_back",
    "rollback_pauses_too_long": "failed",
    "rollback_pauses_and_is_stopped": "cancelled",
    "rollback_pauses_for_an_unknown_time": "failed",
    "rollback_is_held_with_an_intent": "failed",
    "rollback_is_stopped_with_an_intent": "cancelled",
    "rollback_is_not_durable_for_a_while": "rolled_back",
    "rollback_is_not_durable_for_too_long": "failed",
    "rollback_is_not_durable_then_stopped": "cancelled",
    "rollback_is_not_durable_then_held": "failed",
    "rollback_died_and_it_had_happened": "rolled_back",
    "rollback_died_and_it_had_not_happened": "rolled_back",
    "rollback_died_and_nobody_can_tell": "rolling_back",
}
"""Where each story leaves its run."""


# --- what was taken


async def told(world: World, playbook: Playbook, tell: Story) -> World:
    """The world after a story; its audit trail is whole."""
    async with asyncio.timeout(PATIENCE_S):
        await tell(world)
        await world.done()
    ended = [r.run for r in world.actions if r.state in TERMINAL_RUN_STATES]
    assert flaws([json.loads(encode(r)) for r in world.actions if r.run in ended]) == [], tell.__name__
    return world


def world_of(playbook: Playbook) -> World:
    return World(playbook, RESTART, settings=ActSettings(environments=BOUND, audit_ack_s=PATIENCE_S))


FAULTS: dict[MachineState, Story] = {
    MachineState.PENDING: helps,
    MachineState.AWAITING_APPROVAL: approved,
    MachineState.RUNNING: helps,
    MachineState.PAUSED: a_pause_to_its_end,
    MachineState.IN_DOUBT: died_and_nobody_can_tell,
    MachineState.NOT_APPLIED: not_durable_for_a_while,
    MachineState.VERIFYING: helps,
    MachineState.ROLLING_BACK: worse,
    MachineState.ROLLBACK_PAUSED: rollback_pauses,
    MachineState.ROLLBACK_IN_DOUBT: rollback_died_and_nobody_can_tell,
    MachineState.ROLLBACK_NOT_APPLIED: rollback_is_not_durable_for_a_while,
}
"""A story that comes by each state."""


async def faulty(state: MachineState, patch: pytest.MonkeyPatch) -> World:
    """A world in which a run meets an unlisted event in a state; a second one is decided after that, and goes on."""
    tell = FAULTS[state]
    playbook = next(playbook for playbook, listed in STORIES if listed is tell)
    unlisted = next(event for event in EVENTS if (state, event) not in LISTED)

    def observe(at: MachineState, entry: RunEntry, *others: Any) -> e.RunEvent:
        if at is state and entry.decision == "d1":
            return object.__new__(unlisted)
        return observation.observe(at, entry, *others)

    async def both(world: World) -> None:
        await tell(world)
        world.process.errors, world.process.answer = [], None
        await world.executor.on_decision(decision(name="d2", now_ns=world.clock.now_ns()))
        await world.executor.idle()

    with patch.context() as only_here:
        only_here.setattr(executor, "observe", observe)
        return await told(world_of(playbook), playbook, both)


@pytest.mark.parametrize("state", OPEN)
async def test_an_unlisted_event_ends_its_run_on_record_and_no_other(
    state: MachineState, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await faulty(state, monkeypatch)
    end = next(r for r in reversed(world.actions) if r.decision == "d1")
    assert (end.state, end.data["reason"]) == (world.state("d1"), "unlisted_transition")
    assert end.text.startswith(f"a run that is {state} can't take ")
    assert end.text.endswith("a person must look")
    wanted = RunState.UNKNOWN if state.in_doubt else RunState.FAILED
    assert world.state("d1") is (RunState.CANCELLED if state in BEFORE_EFFECTS else wanted)
    if state.in_doubt:  # what may have happened to the target keeps others off it: that run went on, too
        assert world.state("d2") is RunState.REFUSED
        assert "whether scale-out had its effect on cart is not known" in world.actions[-1].text
    else:
        assert world.state("d2") is RunState.VERIFYING


BEFORE_EFFECTS = {MachineState.PENDING, MachineState.AWAITING_APPROVAL}


async def test_every_row_is_taken_by_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Taken(monkeypatch)
    for playbook, tell in STORIES:
        world = await told(world_of(playbook), playbook, tell)
        assert world.state() == ENDS[tell.__name__], tell.__name__
    for state in OPEN:
        await faulty(state, monkeypatch)
    left = [
        f"{row.state} × {row.event.__name__} [{row.guard.text}] → {row.to}" for row in TABLE if row not in taken.rows
    ]
    print(f"{len(taken.rows)} of {len(TABLE)} transitions taken")
    assert left == []


async def test_whoever_reports_runs_hears_of_everything_that_the_journal_has_of_them() -> None:
    for playbook, tell in STORIES:
        world = await told(world_of(playbook), playbook, tell)
        known = {r.run: r for r in world.journal.history("test")}
        assert known, tell.__name__
        assert world.last_changed == known, tell.__name__
