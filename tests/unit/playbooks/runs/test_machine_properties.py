"""Whatever happens, in whatever order, with crashes at any point: the promises of the state machine hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Approval
from contracts.ports import RunEntry, StepEntry, StepRequest
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, HeldReason, Outcome, RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs import commands as c
from playbooks.runs import events as e
from playbooks.runs import machine
from playbooks.runs.effects import Aim, Prepared
from playbooks.runs.expiry import Expiry
from playbooks.runs.journal_records import Verdict
from playbooks.runs.machine import MachineState
from playbooks.runs.observation import RunInput, observe
from playbooks.runs.plan import RunPlan, Surroundings, definition_of, plan_from, plan_of
from playbooks.runs.situation import RunSituation
from tests.unit.playbooks.runs.support import SCALE, T0, Process, decision

EXPIRY = Expiry(approval_s=60, decision_s=30)
PLAYBOOK = replace(
    SCALE,
    steps=(
        Step("a", "scale", {"by": 1}, retries=2),
        Step("b", "restart", needs=("a",)),
        Step("pause", "wait", {"seconds": 4}),
        Step("c", "restart", needs=("b", "pause"), retries=1),
    ),
    rollback=(Step("back", "scale", retries=1), Step("again", "restart", needs=("back",))),
)


class ProcessDied(Exception):
    """The process is killed: only the journal is left."""


@dataclass
class Simulation:
    """A world that does what the machine says, and loses the process whenever a draw says so.

    `true_effects` is what really happened; the machine only ever learns of it through events.
    """

    plan: RunPlan
    entry: RunEntry
    now: RunInput
    true_effects: dict[str, int] = field(default_factory=dict)
    per_step: dict[str, int] = field(default_factory=dict)
    known: MachineState | None = None

    @property
    def state(self) -> MachineState:
        return machine.state_of(self.entry, self.known)

    def observed(self) -> e.RunEvent:
        return observe(self.state, self.entry, plan_from(self.entry), self.now, EXPIRY)

    def line(self, step: str, phase: StepPhase, key: str, data: Mapping[str, Any] | None = None) -> None:
        entry = StepEntry(self.entry.run, step, phase, key, self.now.now_ns, data or {})
        self.entry = replace(self.entry, steps=(*self.entry.steps, entry))

    def enter(self, state: RunState) -> None:
        assert self.entry.state not in TERMINAL_RUN_STATES, "nothing leaves a terminal state"
        self.entry = replace(self.entry, state=state, updated_ns=self.now.now_ns)

    def react(self, event: e.RunEvent) -> c.Work | None:
        """One transition, recorded as the recorder does it; what is to be done then."""
        before = self.state
        reaction = machine.react(before, event, RunSituation.of(self.entry, self.plan))
        to = reaction.transition.to
        for record in reaction.records:
            match record:
                case c.RecordState():
                    if record.begun:
                        self._begin()
                    self.enter(to.run_state)
                case c.RecordEnd():
                    self.enter(to.run_state)
                case c.RecordStep():
                    self.line(record.name, record.phase, record.key, record.data)
                case c.JournalIntent():
                    self.line(record.effect.request.step, StepPhase.INTENT, record.effect.request.key, {"action": "x"})
                case c.AnnounceIntent():
                    pass
        self.known = to
        assert self.state is to, f"the journal says {self.state}, the machine {to} after {event}"
        return reaction.work

    def _begin(self) -> None:
        if self.plan.needs_approval:
            assert self.now.approval is not None
            assert self.now.approval.approve, "tier 3 without a yes"
            assert self.now.now_ns < EXPIRY.approval_ns(self.plan)
        self.now = replace(self.now, begun_ns=self.now.now_ns)

    def do(self, work: c.Work, draw: st.DataObject) -> e.RunEvent | None:
        """What comes of work."""
        match work:
            case c.Preflight():
                return draw.draw(st.sampled_from(PASSED_OR_NOT if not self._asks(work) else ASKED_OR_NOT))
            case c.CheckStep():
                assert self.now.acting, "an effect while acting is stopped"
                if draw.draw(st.integers(0, 9)) == 9:
                    return e.StepHeld(work.name, work.key, HeldReason.POLICY_UNAVAILABLE, "away")
                return e.StepCleared(self.effect(work))
            case c.AwaitAcknowledgement():
                if draw.draw(st.integers(0, 9)) == 9:
                    self.now = replace(self.now, acting=False)
                return e.IntentAcknowledged(work.effect)
            case c.ApplyEffect():
                return self.apply(work.effect.request, draw)
            case c.AskActuator():
                truth = e.EffectAbsent()
                if work.key in self.true_effects:
                    truth = e.EffectApplied(self.request(work.name, work.step, work.key), {}, "")
                return draw.draw(st.sampled_from([truth, truth, e.EffectUnknown(work.name, work.key, {})]))
            case c.WaitUntil():
                self.now = replace(self.now, now_ns=min(work.until_ns, self.now.now_ns + SECOND))
                return None

    def _asks(self, work: c.Preflight) -> bool:
        return self.plan.needs_approval and not work.approved

    def request(self, name: str, step: Step, key: str) -> StepRequest:
        return StepRequest(key, self.plan.run, name, step.action, self.plan.aim, {}, None, 1.0)

    def effect(self, work: c.CheckStep) -> Prepared:
        aim = Aim(Process(), Process().identity, None)
        return Prepared(aim, work.step, self.request(work.name, work.step, work.key))

    def apply(self, request: StepRequest, draw: st.DataObject) -> e.RunEvent:
        if not self.now.acting:  # the last look at the switches
            return e.ActingStopped(request.step, request.key)
        self._in_time()
        name, key = request.step, request.key
        fate = draw.draw(
            st.sampled_from(["applied", "failed", "unknown", "die-before", "die-after", "not-durable", "held"])
        )
        if fate in {"applied", "die-after"} or (fate == "unknown" and draw.draw(st.booleans())):
            self.true_effects[key] = self.true_effects.get(key, 0) + 1
            self.per_step[name] = self.per_step.get(name, 0) + 1
        match fate:
            case "applied":
                return e.EffectApplied(request, {}, "")
            case "failed":
                return e.EffectFailed(name, key, {"retryable": draw.draw(st.booleans()), "text": "no"}, "no")
            case "unknown":
                return e.EffectUnknown(name, key, {}, "")
            case "not-durable":
                return e.IntentNotDurable(self.now.now_ns + SECOND)
            case "held":
                return e.StepHeld(name, key, HeldReason.LOW_CONFIDENCE, "autonomy is observe")
            case _:
                raise ProcessDied

    def _in_time(self) -> None:
        decided_ns = 0 if self.now.verdict is None else self.now.verdict.time_ns
        last = max([self.now.begun_ns, decided_ns, *(x.time_ns + 4 * SECOND for x in self.entry.steps)])
        assert self.now.now_ns <= last + EXPIRY.decision_ns, "an effect long after anything happened"

    def happen(self, draw: st.DataObject) -> None:
        """Something from outside."""
        match draw.draw(
            st.sampled_from(["time", "time", "long", "stop", "resume", "approve", "deny", "verdict", "over"])
        ):
            case "time":
                self.now = replace(self.now, now_ns=self.now.now_ns + draw.draw(st.integers(0, 5)) * SECOND)
            case "long":
                self.now = replace(self.now, now_ns=self.now.now_ns + 45 * SECOND)
            case "stop":
                self.now = replace(self.now, acting=False)
            case "resume":
                self.now = replace(self.now, acting=True)
            case "approve" | "deny" as answer if self.now.approval is None:
                given_by = Approval(
                    decision="d1", environment="test", approve=answer == "approve", by="a", time_ns=self.now.now_ns
                )
                self.now = replace(self.now, approval=given_by)
            case "verdict" if self.entry.state is RunState.VERIFYING and self.now.verdict is None:
                outcome = draw.draw(st.sampled_from(list(Outcome)))
                self.now = replace(self.now, verdict=Verdict(outcome, "", self.now.now_ns, 1.0))
            case "over":
                self.now = replace(self.now, incident_over=True)
            case _:
                pass

    def turn(self, draw: st.DataObject) -> bool:
        """As the executor's: an event, and what follows from it, until nothing does or the process dies."""
        if self.state.terminal:
            return False
        try:
            if draw.draw(st.integers(0, 9)) == 9:
                raise ProcessDied
            if draw.draw(st.integers(0, 5)) == 5:
                self.happen(draw)
            work = self.react(self.observed())
            while work is not None:
                result = self.do(work, draw)
                work = None if result is None else self.react(result)
        except ProcessDied:
            self.known = None
        self.check()
        return True

    def check(self) -> None:
        for step, count in self.per_step.items():
            assert count <= 1, f"{step} had its effect {count} times"
        if any(line.phase is StepPhase.UNKNOWN for line in self.entry.steps):
            later = self.entry.steps[[x.phase for x in self.entry.steps].index(StepPhase.UNKNOWN) + 1 :]
            assert not later, "something was done after an unknown outcome"


ASKED_OR_NOT = [e.ApprovalWanted(0, ""), e.PreflightHeld(HeldReason.POLICY, "")]
PASSED_OR_NOT = [e.PreflightPassed(), e.PreflightPassed(), e.PreflightPassed(), *ASKED_OR_NOT[1:]]


def simulation(tier: int) -> Simulation:
    playbook = replace(PLAYBOOK, tier=tier)
    plan = plan_of(decision("scale-out"), playbook, now_ns=T0, surroundings=Surroundings())
    entry = RunEntry(plan.run, "d1", "test", "cart", "scale-out", RunState.PENDING, T0, T0, 1, definition_of(plan))
    return Simulation(plan, entry, RunInput(now_ns=T0))


@settings(max_examples=150, deadline=None)
@given(draw=st.data(), tier=st.sampled_from([1, 2, 3]), begun=st.sampled_from([True, True, False]))
def test_promises_hold(draw: st.DataObject, tier: int, begun: bool) -> None:
    world = simulation(tier)
    if begun:  # most of what can go wrong lies behind the pre-flight
        world.entry = replace(world.entry, state=RunState.RUNNING)
        world.now = replace(world.now, begun_ns=T0)
    for _ in range(40):
        if not world.turn(draw):
            break


@pytest.mark.parametrize("event", sorted({row.event for row in machine.TABLE}, key=lambda event: event.__name__))
@pytest.mark.parametrize("state", sorted(TERMINAL_RUN_STATES))
def test_nothing_follows_a_terminal_state(state: RunState, event: type[e.RunEvent]) -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=state)
    assert world.state.terminal
    with pytest.raises(machine.UnlistedTransition, match=f"a run that is {state} can't take {event.__name__}"):
        machine.react(world.state, object.__new__(event), RunSituation.of(world.entry, world.plan))


def test_steps_run_in_the_order_written_once_their_needs_are_done() -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=RunState.RUNNING)
    world.now = replace(world.now, begun_ns=T0)
    order = []
    for _ in range(20):
        event = world.observed()
        if isinstance(event, e.StepsDone):
            break
        work = world.react(event)
        if isinstance(event, e.StepDue):
            order.append(event.name)
            assert isinstance(work, c.CheckStep)
            world.react(e.IntentAcknowledged(world.effect(work)))
            world.react(e.EffectApplied(world.effect(work).request, {}, ""))
        elif isinstance(event, e.PauseDue):
            order.append(event.name)
        elif isinstance(work, c.WaitUntil):
            world.now = replace(world.now, now_ns=work.until_ns)
    assert order == ["a", "b", "pause", "c"]


@pytest.mark.parametrize(
    ("late_s", "acting", "wanted"), [(1, True, e.StepDue), (45, True, e.TooLate), (1, False, e.ActingStopped)]
)
def test_an_effect_that_had_not_happened_is_done_only_if_it_still_may_be(
    late_s: int, acting: bool, wanted: type[e.RunEvent]
) -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=RunState.RUNNING)
    world.line("a", StepPhase.INTENT, "key", {"action": "scale"})
    world.now = replace(world.now, begun_ns=T0, acting=acting, now_ns=T0 + late_s * SECOND)
    assert isinstance(world.react(world.observed()), c.AskActuator)
    assert world.react(e.EffectAbsent()) is None
    event = world.observed()
    assert isinstance(event, wanted)
    assert event.key == "key", "under the same key"  # type: ignore[attr-defined]
    work = world.react(event)
    if work is None:
        assert [line.phase for line in world.entry.steps] == [StepPhase.INTENT, StepPhase.SKIPPED]
    else:
        assert work == c.CheckStep("a", world.plan.step("a"), "key", again=True)
