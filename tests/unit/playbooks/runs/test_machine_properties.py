"""Whatever happens, in whatever order, with crashes at any point: the promises of the state machine hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Approval
from contracts.ports import Applied, RunEntry, StepEntry
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, HeldReason, Outcome, RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs import commands as c
from playbooks.runs import machine as m
from playbooks.runs.plan import RunPlan, Surroundings, definition_of, plan_from, plan_of
from tests.unit.playbooks.runs.support import SCALE, T0, decision

LIMITS = m.RunLimits(approval_expiry_s=60, decision_expiry_s=30)
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


@dataclass
class Simulation:
    """A world that does what the machine says, and loses the process whenever a draw says so.

    `true_effects` is what really happened; the machine only ever learns of it through outcomes and `resolved`.
    """

    plan: RunPlan
    entry: RunEntry
    now: m.RunInput
    true_effects: dict[str, int] = field(default_factory=dict)
    per_step: dict[str, int] = field(default_factory=dict)
    resolved: dict[str, Applied] = field(default_factory=dict)

    def line(self, step: str, phase: StepPhase, key: str, data: dict[str, object] | None = None) -> None:
        entry = StepEntry(self.entry.run, step, phase, key, self.now.now_ns, data or {})
        self.entry = replace(self.entry, steps=(*self.entry.steps, entry))

    def enter(self, state: RunState) -> None:
        assert self.entry.state not in TERMINAL_RUN_STATES, "nothing leaves a terminal state"
        self.entry = replace(self.entry, state=state, updated_ns=self.now.now_ns)

    def apply(self, command: c.ApplyStep, draw: st.DataObject) -> None:
        assert self.now.acting, "an effect while acting is stopped"
        self._in_time()
        key = m.keyed(self.plan.run, command)
        if not command.again:
            self.line(command.name, StepPhase.INTENT, key, {"action": command.step.action, "arguments": {}})
        self.resolved.pop(key, None)
        fate = draw.draw(st.sampled_from(["applied", "failed", "unknown", "die-before", "die-after"]))
        if fate in {"applied", "die-after"} or (fate == "unknown" and draw.draw(st.booleans())):
            self.true_effects[key] = self.true_effects.get(key, 0) + 1
            self.per_step[command.name] = self.per_step.get(command.name, 0) + 1
        if fate in {"applied", "failed", "unknown"}:
            phase = {"applied": StepPhase.APPLIED, "failed": StepPhase.FAILED, "unknown": StepPhase.UNKNOWN}[fate]
            self.line(command.name, phase, key, {"retryable": draw.draw(st.booleans()), "text": "no"})

    def _in_time(self) -> None:
        last = max([self.now.begun_ns, self.now.decided_ns, *(e.time_ns + 4 * SECOND for e in self.entry.steps)])
        assert self.now.now_ns <= last + LIMITS.decision_expiry_s * SECOND, "an effect long after anything happened"

    def resolve(self, command: c.Resolve, draw: st.DataObject) -> None:
        truth = Applied.YES if command.key in self.true_effects else Applied.NO
        self.resolved[command.key] = draw.draw(st.sampled_from([truth, truth, Applied.UNKNOWN]))

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
            case "verdict" if self.entry.state is RunState.VERIFYING and self.now.outcome is None:
                outcome = draw.draw(st.sampled_from(list(Outcome)))
                self.now = replace(self.now, outcome=outcome, decided_ns=self.now.now_ns)
            case "over":
                self.now = replace(self.now, incident_over=True)
            case _:
                pass

    def obey(self, command: c.Next, draw: st.DataObject) -> None:  # noqa: C901, PLR0912 - one arm per command
        match command:
            case c.PreFlight():
                held = draw.draw(st.sampled_from([None, None, None, c.Refuse(HeldReason.POLICY, ""), _ASK]))
                self.obey(m.after_preflight(self.plan, held, command, LIMITS), draw)
            case c.RequestApproval():
                self.enter(RunState.AWAITING_APPROVAL)
            case c.Begin():
                if self.plan.needs_approval:
                    assert self.now.approval is not None
                    assert self.now.approval.approve, "tier 3 without a yes"
                    assert self.now.now_ns < m.expires_ns(self.plan, LIMITS)
                self.now = replace(self.now, begun_ns=self.now.now_ns)
                self.enter(RunState.RUNNING)
            case c.Refuse():
                self.enter(RunState.REFUSED)
            case c.ApplyStep():
                if draw.draw(st.integers(0, 9)) == 9:
                    self.line(command.name, StepPhase.SKIPPED, m.keyed(self.plan.run, command))
                    self.obey(m.after_held(self.entry, self.plan, command.name, _AWAY), draw)
                else:
                    self.apply(command, draw)
            case c.Resolve():
                self.resolve(command, draw)
            case c.Settle():
                phase = {Applied.YES: StepPhase.APPLIED, Applied.NO: StepPhase.SKIPPED}
                self.line(command.name, phase.get(command.applied, StepPhase.UNKNOWN), command.key)
            case c.BeginWait():
                self.line(command.name, StepPhase.INTENT, command.key, {"action": "wait", "seconds": 4})
            case c.EndWait():
                self.line(command.name, StepPhase.APPLIED, command.key)
            case c.VerifyCommand():
                self.enter(RunState.VERIFYING)
            case c.RollBack():
                self.enter(RunState.ROLLING_BACK)
            case c.Finish():
                self.enter(command.state)
            case c.Wait():
                self.now = replace(self.now, now_ns=min(command.until_ns, self.now.now_ns + SECOND))

    def step(self, draw: st.DataObject) -> bool:
        if draw.draw(st.integers(0, 9)) == 9:
            self.resolved = {}  # the process died: only the journal is left
        if draw.draw(st.integers(0, 5)) == 5:
            self.happen(draw)
        self.now = replace(self.now, resolved=self.resolved)
        command = m.next_command(self.entry, plan_from(self.entry), self.now, LIMITS)
        if command is not None:
            self.obey(command, draw)
        self.check()
        return command is not None

    def check(self) -> None:
        for step, count in self.per_step.items():
            assert count <= 1, f"{step} had its effect {count} times"
        if any(line.phase is StepPhase.UNKNOWN for line in self.entry.steps):
            later = self.entry.steps[[x.phase for x in self.entry.steps].index(StepPhase.UNKNOWN) + 1 :]
            assert not later, "something was done after an unknown outcome"


_ASK = c.Refuse(HeldReason.APPROVAL, "policy wants one")
_AWAY = c.Refuse(HeldReason.POLICY_UNAVAILABLE, "away")


def simulation(tier: int) -> Simulation:
    playbook = replace(PLAYBOOK, tier=tier)
    plan = plan_of(decision("scale-out"), playbook, now_ns=T0, surroundings=Surroundings())
    entry = RunEntry(plan.run, "d1", "test", "cart", "scale-out", RunState.PENDING, T0, T0, 1, definition_of(plan))
    return Simulation(plan, entry, m.RunInput(now_ns=T0))


@settings(max_examples=150, deadline=None)
@given(draw=st.data(), tier=st.sampled_from([1, 2, 3]), begun=st.sampled_from([True, True, False]))
def test_promises_hold(draw: st.DataObject, tier: int, begun: bool) -> None:
    world = simulation(tier)
    if begun:  # most of what can go wrong lies behind the gate
        world.entry = replace(world.entry, state=RunState.RUNNING)
        world.now = replace(world.now, begun_ns=T0)
    for _ in range(40):
        if not world.step(draw):
            break


@settings(max_examples=50, deadline=None)
@given(draw=st.data(), state=st.sampled_from(sorted(TERMINAL_RUN_STATES)))
def test_nothing_follows_a_terminal_state(draw: st.DataObject, state: RunState) -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=state)
    for _ in range(5):
        world.happen(draw)
    assert m.next_command(world.entry, world.plan, world.now, LIMITS) is None


def test_steps_run_in_the_order_written_once_their_needs_are_done() -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=RunState.RUNNING)
    world.now = replace(world.now, begun_ns=T0)
    order = []
    for _ in range(20):
        command = m.next_command(world.entry, world.plan, world.now, LIMITS)
        if isinstance(command, c.VerifyCommand):
            break
        if isinstance(command, c.ApplyStep | c.BeginWait):
            order.append(command.name)
        if isinstance(command, c.ApplyStep):
            key = m.keyed(world.plan.run, command)
            world.line(command.name, StepPhase.INTENT, key, {"action": command.step.action})
            world.line(command.name, StepPhase.APPLIED, key)
        elif isinstance(command, c.BeginWait):
            world.line(command.name, StepPhase.INTENT, command.key, {"action": "wait", "seconds": 4})
        elif isinstance(command, c.Wait):
            world.now = replace(world.now, now_ns=command.until_ns)
        elif isinstance(command, c.EndWait):
            world.line(command.name, StepPhase.APPLIED, command.key)
    assert order == ["a", "b", "pause", "c"]


@pytest.mark.parametrize(
    ("late_s", "acting", "wanted"), [(1, True, c.ApplyStep), (45, True, c.Settle), (1, False, c.Settle)]
)
def test_an_effect_that_had_not_happened_is_done_only_if_it_still_may_be(
    late_s: int, acting: bool, wanted: type[c.Next]
) -> None:
    world = simulation(1)
    world.entry = replace(world.entry, state=RunState.RUNNING)
    world.line("a", StepPhase.INTENT, "key", {"action": "scale"})
    world.now = replace(world.now, begun_ns=T0, acting=acting, now_ns=T0 + late_s * SECOND)
    assert isinstance(m.next_command(world.entry, world.plan, world.now, LIMITS), c.Resolve)
    world.now = replace(world.now, resolved={"key": Applied.NO})
    command = m.next_command(world.entry, world.plan, world.now, LIMITS)
    assert isinstance(command, wanted)
    assert command.key == "key", "under the same key"  # type: ignore[union-attr]
