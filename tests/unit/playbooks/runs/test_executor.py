"""Scripts of whole runs: what is done, what is written down, and above all what is not done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    BrokerUnavailable,
    OutcomeUnknown,
    PolicyUnavailable,
    Retryable,
)
from contracts.events import Change, Feedback, Incident, decode
from contracts.ports import Applied, PolicyVerdict
from contracts.settings import ActSettings
from contracts.units import SECOND
from contracts.verdicts import (
    TERMINAL_RUN_STATES,
    Autonomy,
    DecisionVerdict,
    IncidentPhase,
    Outcome,
    RunState,
    Severity,
    StepPhase,
)
from playbooks.audit import from_cloudevent, verify_chain
from playbooks.language.model import Guards, Playbook, Step
from playbooks.runs import run_of
from playbooks.runs.journal_records import announced_of
from playbooks.runs.plan import Surroundings, definition_of, plan_of
from playbooks.runs.switches import LogPosition
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


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = World()
    yield built
    await built.done()


async def healthy_then_broken(world: World) -> None:
    for second in range(-40, 0):
        error = 0.01 if second < -5 else 0.6
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, error)}))


async def test_a_remedy_that_helps(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert world.state() is RunState.VERIFYING
    await world.run_to(2)
    assert world.state() is RunState.VERIFYING, "three windows are wanted"
    await world.run_to(4)
    assert world.state() is RunState.SUCCEEDED
    await world.done()
    assert world.story == [
        "run.pending",
        "run.running",
        "step.intent",
        "step.applied",
        "run.verifying",
        "run.succeeded",
    ]
    assert len(world.process.applied_keys) == 1
    feedback = decode(Feedback, world.on("autonomous.feedback")[0])
    assert feedback.outcome is Outcome.BETTER
    assert feedback.measures[0].during == pytest.approx(0.6)
    assert feedback.measures[0].after == 0.0
    change = decode(Change, world.on("telemetry.changes")[0])
    assert (change.kind, change.actor, change.service) == ("restart", "homeostat", "cart")
    assert [w.rows[0]["state"] for w in world.graph] == ["pending", "running", "verifying", "succeeded"]
    assert world.graph[-1].rows[0]["outcome"] == "better"
    assert world.graph[-1].rows[0]["service_key"] == "test|cart"


async def test_every_event_is_a_cloudevent_of_one_chain(world: World) -> None:
    await world.executor.on_decision(decision())
    await world.run_to(5)
    await world.done()
    messages = [m for m in world.topic if m[0] == "autonomous.actions"]
    assert [from_cloudevent(headers, body).run for _, _, body, headers, _ in messages] == [
        key for _, key, _, _, _ in messages
    ]
    assert {route for *_, route in messages} == {"test"}
    assert verify_chain(body for _, _, body, _, _ in messages).intact


async def test_one_decision_has_one_run(world: World) -> None:
    for _ in range(3):
        await world.executor.on_decision(decision())
    await world.run_to(5)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert len(world.process.applied_keys) == 1


async def test_worse_is_rolled_back_to_the_state_before(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.idle()
    assert world.process.state.replicas == 3
    await world.run_to(8, error=1.0)
    assert world.state() is RunState.ROLLED_BACK
    assert world.process.state.replicas == 2
    await world.done()
    assert world.story[-4:] == ["run.rolling_back", "step.intent", "step.applied", "run.rolled_back"]
    assert decode(Feedback, world.on("autonomous.feedback")[0]).outcome is Outcome.WORSE


async def test_no_change_by_the_time_limit_undoes_what_costs(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision("scale-out"))
    await world.run_to(32, error=0.6)
    assert world.state() is RunState.ROLLED_BACK
    assert world.process.state.replicas == 2


async def test_no_change_after_a_restart_has_nothing_to_undo(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.run_to(32, error=0.6)
    assert world.state() is RunState.FAILED


async def test_silence_is_not_recovery(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.run_to(32, error=None)
    assert world.state() is RunState.INCONCLUSIVE
    await world.done()
    assert "a person must look" in world.actions[-1].text


@pytest.mark.parametrize(
    ("error", "attempts", "state"),
    [
        (ActionFailed("no"), 2, RunState.VERIFYING),
        (ActuatorUnavailable("away"), 2, RunState.VERIFYING),
        (OutcomeUnknown("who knows"), 1, RunState.UNKNOWN),
        (TimeoutError(), 1, RunState.UNKNOWN),
        (OSError("reset"), 1, RunState.UNKNOWN),
    ],
)
async def test_only_what_proves_no_effect_is_retried(error: Exception, attempts: int, state: RunState) -> None:
    world = World(replace(RESTART, steps=(Step("restart", "restart", retries=2),)))
    world.process.errors = [error]
    await world.executor.on_decision(decision())
    await world.run_to(2, error=None)
    assert (len(world.process.requests), world.state()) == (attempts, state)
    await world.done()


async def test_retries_run_out(world: World) -> None:
    world.process.errors = [ActionFailed("no")] * 5
    await world.executor.on_decision(decision())
    await world.run_to(3, error=None)
    assert (len(world.process.requests), world.state()) == (1, RunState.FAILED)


async def test_a_half_done_run_is_undone_when_a_later_step_fails() -> None:
    world = World(replace(SCALE, steps=(Step("grow", "scale", {"by": 1}), Step("restart", "restart", needs=("grow",)))))
    await world.executor.on_decision(decision("scale-out"))
    world.process.errors = []
    original = world.process.apply

    async def apply(request):  # type: ignore[no-untyped-def]
        if request.action == "restart":
            raise ActionFailed("cannot restart")
        return await original(request)

    world.process.apply = apply  # type: ignore[method-assign]
    await world.executor.idle()
    assert world.state() is RunState.ROLLED_BACK
    assert world.process.state.replicas == 2
    await world.done()


async def test_undoing_goes_back_to_what_was_before_the_step_that_is_undone() -> None:
    steps = (
        Step("restart", "restart"),
        Step("grow", "scale", {"by": 1}, needs=("restart",)),
        Step("again", "restart", needs=("grow",)),
    )
    world = World(replace(SCALE, steps=steps))
    original = world.process.apply

    async def apply(request):  # type: ignore[no-untyped-def]
        if request.step == "again":
            raise ActionFailed("cannot restart")
        done = await original(request)
        if request.step == "restart":  # and somebody else scales it meanwhile
            world.process.state = replace(world.process.state, replicas=5, ready=5)
        return done

    world.process.apply = apply  # type: ignore[method-assign]
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.idle()
    assert [r.arguments.get("replicas") for r in world.process.requests] == [None, 6, 5]
    assert (world.state(), world.process.state.replicas) == (RunState.ROLLED_BACK, 5)
    await world.done()


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (PolicyVerdict(allowed=False, denials=("not on Fridays",)), "policy"),
    ],
)
async def test_without_policy_no_action_and_it_says_so(
    world: World, verdict: PolicyVerdict | Exception, reason: str
) -> None:
    world.policy.verdict = verdict
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == reason


async def test_without_a_broker_no_action_and_it_says_so_later() -> None:
    world = World(settings=ActSettings(audit_ack_s=0.2, environments=BOUND))
    world.broker_away = True
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    assert world.topic == []
    world.broker_away = False
    await world.done()
    assert world.story == ["run.pending", "run.running", "step.intent", "step.skipped", "run.refused"]
    assert world.actions[-1].data["reason"] == "audit_unavailable"
    assert verify_chain(world.on("autonomous.actions")).intact


async def test_with_policy_away_nothing_is_done_until_it_is_back(world: World) -> None:
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_decision(decision())
    await world.run_to(20, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.PENDING, [])
    world.policy.verdict = PolicyVerdict(allowed=True)
    await world.run_to(25, error=0.6)
    assert len(world.process.requests) == 1


async def test_policy_that_goes_away_between_the_two_questions_holds_the_effect(world: World) -> None:
    class Leaving(type(world.policy)):  # type: ignore[misc]
        async def evaluate(self, document: object) -> PolicyVerdict:
            if self.asked:
                raise PolicyUnavailable("opa has gone away")
            return await super().evaluate(document)

    world.policy = Leaving()
    executor = world.born()
    await executor.on_decision(decision())
    await world.run_to(20, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.RUNNING, [])
    await world.run_to(world.settings.decision_expiry_s, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "policy_unavailable"


async def test_policy_away_for_too_long_is_a_no_and_it_says_so(world: World) -> None:
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_decision(decision())
    await world.run_to(world.settings.decision_expiry_s, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "policy_unavailable"


class Full(MemoryJournal):
    """Has no room for the audit trail, `times` times."""

    times = 1

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        if self.times:
            self.times -= 1
            raise Retryable("no room", reason="disk_full")
        super().append_audit(environment, record, sequence, published)


async def test_a_decision_that_could_not_be_announced_is_begun_when_it_comes_again(world: World) -> None:
    world.journal = Full()
    executor = world.born()
    with pytest.raises(Retryable):
        await executor.on_decision(decision())
    assert executor.runs == ()
    await executor.on_decision(decision())
    await executor.on_decision(decision())
    await world.run_to(20)
    assert len(world.process.requests) == 1
    await world.done()
    assert world.story.count("run.pending") == 1


async def test_a_decision_that_comes_again_to_who_took_over_is_begun_once(world: World) -> None:
    await world.executor.on_decision(decision())
    await world.executor.stop()
    assert world.state() is RunState.PENDING, "it died before it began"
    executor = world.born()
    for _ in range(2):
        await executor.on_decision(decision())
        assert executor.runs == (run_of("d1"),)
    await world.run_to(3)
    await executor.on_decision(decision())
    await world.run_to(20)
    assert (len(world.process.requests), world.state()) == (1, RunState.SUCCEEDED)


class Forgetful(MemoryJournal):
    """Loses touch with its log as soon as there is an intent, until `back`."""

    back = False

    async def settled(self, environment: str, timeout_s: float) -> None:
        if not self.back and any(s.phase is StepPhase.INTENT for e in self.entries.values() for s in e.steps):
            raise BrokerUnavailable("the journal's log is away")


async def test_an_intent_that_would_be_forgotten_has_no_effect_until_it_is_kept(world: World) -> None:
    world.journal = journal = Forgetful()
    executor = world.born()
    await executor.on_decision(decision())
    await executor.idle()
    assert (world.state(), world.process.requests) == (RunState.RUNNING, [])
    journal.back = True
    await world.run_to(3)
    assert len(world.process.applied_keys) == 1
    assert [s.phase for s in journal.entries[run_of("d1")].steps] == [StepPhase.INTENT, StepPhase.APPLIED]


async def test_an_intent_that_cannot_be_kept_is_given_up_when_the_decision_is_too_old(world: World) -> None:
    world.journal = journal = Forgetful()
    executor = world.born()
    await executor.on_decision(decision())
    await executor.idle()
    await world.run_to(world.settings.decision_expiry_s + 5)
    assert (world.state() in TERMINAL_RUN_STATES, world.process.requests) == (True, [])
    assert [s.phase for s in journal.entries[run_of("d1")].steps] == [StepPhase.INTENT, StepPhase.SKIPPED]


async def well(world: World, seconds: range) -> None:
    for second in seconds:
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.01)}))


@pytest.mark.parametrize("playbook", [RESTART, SCALE])
async def test_what_answers_as_before_is_not_touched(playbook: Playbook) -> None:
    world = World(playbook)
    await well(world, range(-60, 0))
    await world.executor.on_decision(decision(playbook.name))
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    last = world.actions[-1]
    assert (last.type, last.data["reason"]) == ("io.homeostat.run.refused", "innocent")
    assert "cart is not to blame: it answers as before" in last.text


async def test_what_has_recovered_while_a_person_was_asked_is_left_alone() -> None:
    world = World(replace(RESTART, tier=3))
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.run_to(30, error=0.01)
    assert world.state() is RunState.AWAITING_APPROVAL
    await world.executor.on_approval(approval(now_ns=T0 + 30 * SECOND))
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "innocent"


async def test_it_is_looked_at_again_right_before_the_effect(world: World) -> None:
    """Between the two looks lies the question to policy: a target that recovers meanwhile is left alone."""
    await healthy_then_broken(world)
    executor = world.executor

    class Slow(type(world.policy)):  # type: ignore[misc]
        async def evaluate(self, document: object) -> PolicyVerdict:
            if len(self.asked) == 0:
                await well(world, range(12))
            return await super().evaluate(document)

    world.policy.__class__ = Slow
    await executor.on_decision(decision())
    await executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert "step.skipped" in world.story
    assert world.actions[-1].data["reason"] == "innocent"


async def test_released_runs_are_left_to_the_next_owner_who_goes_on(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.executor.release(lambda environment: environment != "test")
    assert world.executor.runs == ()
    assert world.state() is RunState.VERIFYING
    assert await world.executor.resume(["test"]) == [run_of("d1")]
    await world.run_to(5)
    assert (world.state(), len(world.process.requests)) == (RunState.SUCCEEDED, 1)


async def test_runs_that_are_driven_here_or_are_of_other_environments_are_not_taken_over(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert [await world.executor.resume(which) for which in (None, ["test"])] == [[], []]
    await world.executor.release(lambda environment: environment != "test")
    assert [await world.executor.resume(which) for which in (["other"], [])] == [[], []]
    assert world.executor.runs == ()
    assert await world.executor.resume() == [run_of("d1")]
    assert world.executor.runs == (run_of("d1"),)
    await world.run_to(5)
    assert (world.state(), len(world.process.requests)) == (RunState.SUCCEEDED, 1)


async def test_the_intent_is_on_the_topic_before_the_effect(world: World) -> None:
    world.process.block = asyncio.Event()
    await world.executor.on_decision(decision())
    while not world.process.requests:
        await asyncio.sleep(0)
    assert world.story[-1] == "step.intent"
    assert world.actions[-1].data["key"] == world.process.requests[0].key
    assert world.executor.effects == world.executor.runs == (run_of("d1"),)
    announced = announced_of(world.journal, run_of("d1"))
    assert announced is not None
    assert announced.key == world.process.requests[0].key
    world.process.block.set()
    await world.executor.idle()
    assert (world.executor.effects, world.executor.runs) == ((), (run_of("d1"),))
    assert announced_of(world.journal, run_of("d1")) is None, "its outcome is recorded: nothing is announced any more"


async def test_tier_3_waits_for_a_person(world: World) -> None:
    world = World(replace(RESTART, tier=3))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert len(world.process.applied_keys) == 1
    assert world.policy.asked[-1]["approved_by"] == "ann"
    await world.done()


async def test_a_denial_refuses() -> None:
    world = World(replace(RESTART, tier=3))
    await world.executor.on_decision(decision())
    await world.executor.on_approval(approval(approve=False))
    await world.executor.on_approval(approval(approve=True))
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()


async def test_an_approval_that_comes_too_late_is_none() -> None:
    world = World(replace(RESTART, tier=3), settings=ActSettings(approval_expiry_s=10, environments=BOUND))
    await world.executor.on_decision(decision())
    await world.run_to(11, error=None)
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "approval_expired"


async def test_what_a_person_approved_late_waits_for_policy_as_long_as_what_was_just_decided() -> None:
    world = World(replace(RESTART, tier=3))
    late = world.settings.decision_expiry_s + 60
    await world.executor.on_decision(decision())
    await world.run_to(late, error=None)
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_approval(approval(now_ns=T0 + int(late * SECOND)))
    await world.run_to(late + 20, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    world.policy.verdict = PolicyVerdict(allowed=True)
    await world.run_to(late + 25, error=0.6)
    assert len(world.process.requests) == 1
    await world.done()


async def test_policy_that_is_away_until_the_approval_expires_is_said_to_be_the_reason() -> None:
    world = World(replace(RESTART, tier=3))
    expires = world.settings.approval_expiry_s
    await world.executor.on_decision(decision())
    await world.run_to(expires - 30, error=None)
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_approval(approval(now_ns=T0 + int((expires - 30) * SECOND)))
    await world.run_to(expires + 5, error=0.6)
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == "policy_unavailable"


@pytest.mark.parametrize("how", ["ask", "suggest", "policy"])
async def test_other_reasons_to_ask(world: World, how: str) -> None:
    if how == "policy":
        world.policy.verdict = PolicyVerdict(allowed=False, needs_approval=True)
    if how == "suggest":
        await world.executor.on_control(control(acting=True, autonomy=Autonomy.SUGGEST))
    verdict = DecisionVerdict.ASK if how == "ask" else DecisionVerdict.ACT
    await world.executor.on_decision(decision(verdict=verdict))
    await world.executor.idle()
    assert world.state() is RunState.AWAITING_APPROVAL
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert len(world.process.applied_keys) == 1


async def test_the_kill_switch_stops_before_the_next_effect() -> None:
    steps = (Step("one", "restart"), Step("pause", "wait", {"seconds": 5}, needs=("one",)), Step("two", "restart"))
    steps = (steps[0], steps[1], replace(steps[2], needs=("pause",)))
    world = World(replace(RESTART, steps=steps))
    await world.executor.on_decision(decision())
    await world.run_to(2, error=None)
    assert len(world.process.applied_keys) == 1
    await world.executor.on_control(control(acting=False))
    await world.run_to(8, error=None)
    assert (len(world.process.applied_keys), world.state()) == (1, RunState.CANCELLED)
    await world.done()
    assert "done and not undone: one" in world.actions[-1].text


async def test_a_switch_pulled_while_the_audit_event_is_on_its_way(world: World) -> None:
    original = world.publish

    async def publish(topic, key, value, headers, route):  # type: ignore[no-untyped-def]
        if b"step.intent" in value:
            await world.executor.on_control(control(acting=False))
        await original(topic, key, value, headers, route)

    world.publish = publish  # type: ignore[method-assign]
    world.born()
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.CANCELLED, [])
    (entry,) = world.journal.entries.values()
    assert "intent" not in [line.phase for line in entry.steps], "nothing was about to happen any more"
    assert "reference/" + entry.run not in world.journal.kept


async def test_older_switches_do_not_undo_newer_ones(world: World) -> None:
    """Older is what was written before in the log, whatever times they carry."""
    await world.executor.on_control(control(acting=False, now_ns=T0), LogPosition("log", 1, 9))
    await world.executor.on_control(control(acting=True, now_ns=T0 + SECOND), LogPosition("log", 1, 8))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.CANCELLED, [])


async def test_an_incident_that_is_over_needs_no_action() -> None:
    world = World(replace(RESTART, tier=3))
    await world.executor.on_decision(decision())
    await world.executor.on_incident(
        Incident(
            id="i1",
            environment="test",
            phase=IncidentPhase.RESOLVED,
            severity=Severity.WARNING,
            onset_ns=T0,
            time_ns=T0,
            revision=9,
            anomalies=(),
            services=("cart",),
            candidates=(),
            blast_radius=(),
            confidence=1.0,
            settled=True,
            text="",
        )
    )
    await world.executor.idle()
    assert world.state() is RunState.CANCELLED
    await world.done()


@pytest.mark.parametrize(
    ("playbook", "target", "reason"),
    [
        (RESTART, "nobody", "no_target"),
        (replace(RESTART, steps=(Step("call", "webhook"),)), "cart", "not_capable"),
        (replace(SCALE, steps=(Step("grow", "scale", {"replicas": 50}),)), "cart", "max_replicas"),
    ],
)
async def test_preflight_refuses(playbook: Playbook, target: str, reason: str) -> None:
    world = World(playbook)
    await world.executor.on_decision(decision(playbook.name, target=target))
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert world.actions[-1].data["reason"] == reason


async def test_repeated_harm_opens_the_circuit() -> None:
    playbook = replace(RESTART, guards=replace(RESTART.guards, cooldown_s=0.0, max_per_hour=100))
    world = World(playbook, settings=ActSettings(circuit_failures=2, circuit_reset_s=1000, environments=BOUND))
    for n in range(3):
        world.process.errors = [ActionFailed("no")]
        await world.executor.on_decision(decision(name=f"d{n}"))
        await world.run_to(n + 1, error=None)
    assert [world.state(f"d{n}") for n in range(3)] == [RunState.FAILED, RunState.FAILED, RunState.REFUSED]
    await world.done()
    assert world.actions[-1].data["reason"] == "circuit_open"


@pytest.mark.parametrize(
    ("happened", "answer", "state", "effects"),
    [
        (True, None, RunState.VERIFYING, 1),
        (False, None, RunState.VERIFYING, 1),
        (True, Applied.UNKNOWN, RunState.UNKNOWN, 1),
        (False, Applied.UNKNOWN, RunState.UNKNOWN, 0),
    ],
)
async def test_resuming_a_run_that_died_at_its_effect(
    world: World, happened: bool, answer: Applied | None, state: RunState, effects: int
) -> None:
    world.process.block = asyncio.Event()
    await world.executor.on_decision(decision())
    while not world.process.requests:
        await asyncio.sleep(0)
    for task in list(world.executor._tasks.values()):
        await task.stop()
    await world.executor.stop()
    if happened:
        world.process.applied_keys.append(world.process.requests[0].key)
    world.process.block, world.process.answer = None, answer
    world.born()
    assert len(await world.executor.resume()) == 1
    await world.executor.idle()
    assert (world.state(), len(world.process.applied_keys)) == (state, effects)
    await world.done()
    assert verify_chain(world.on("autonomous.actions")).intact


async def test_an_owner_that_was_replaced_stops(world: World) -> None:
    world.process.block = asyncio.Event()
    await world.executor.on_decision(decision())
    while not world.process.requests:
        await asyncio.sleep(0)
    run = world.executor.runs[0]
    world.journal.claim(run, T0)
    world.process.block.set()
    await world.executor.idle()
    assert world.executor.runs == ()
    assert [line.phase for line in world.journal.entries[run].steps] == ["intent"], "not its to write any more"


async def test_a_decision_that_was_left_lying_is_not_acted_on() -> None:
    world = World(settings=ActSettings(decision_expiry_s=60, environments=BOUND))
    world.journal.create(
        run=run_of("d1"),
        decision="d1",
        environment="test",
        target="cart",
        playbook=RESTART.name,
        definition=_definition(),
        now_ns=T0,
    )
    world.clock.advance_to(T0 + 61 * SECOND)
    await world.executor.resume()
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()


async def test_an_old_decision_read_again_from_the_topic_is_not_acted_on(world: World) -> None:
    await world.executor.on_decision(decision(now_ns=T0 - 3600 * SECOND))
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])


async def test_a_rollback_waits_for_policy_to_come_back(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.idle()
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.run_to(10, error=1.0)
    assert (world.state(), world.process.state.replicas) == (RunState.ROLLING_BACK, 3)
    world.policy.verdict = PolicyVerdict(allowed=True)
    world.clock.advance_to(T0 + 15 * SECOND)
    world.executor.wake()
    await world.executor.idle()
    while world.executor.runs:
        await asyncio.sleep(0.01)
    assert (world.state(), world.process.state.replicas) == (RunState.ROLLED_BACK, 2)


async def test_one_run_at_a_time_in_an_environment() -> None:
    other = replace(RESTART, name="other")
    world = World(RESTART, other)
    await asyncio.gather(
        world.executor.on_decision(decision()), world.executor.on_decision(decision("other", name="d2"))
    )
    await world.executor.idle()
    assert sorted([world.state("d1"), world.state("d2")]) == [RunState.REFUSED, RunState.VERIFYING]
    await world.done()


async def test_expressions_in_arguments_are_computed_on_the_target() -> None:
    world = World(replace(SCALE, steps=(Step("grow", "scale", {"replicas": "${{ replicas * 2 }}"}),)))
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.idle()
    assert world.process.requests[0].arguments == {"replicas": 4}
    assert world.policy.asked[-1]["action"] == {"kind": "scale", "arguments": {"replicas": 4}, "touches": "target"}
    await world.done()


@pytest.mark.parametrize(("asked", "replicas"), [(1.0, 4), (1.5, 4), (3.0, 8), (40.0, 10)])
async def test_a_playbook_may_scale_by_what_a_service_is_asked_for(asked: float, replicas: int) -> None:
    """As many times its replicas as its usual requests, and a quarter; at least twice, and no more than the playbook allows."""
    step = Step("grow", "scale", {"factor": "${{ demand > 1.6 ? 1.25 * demand : 2.0 }}"})
    growing = replace(SCALE, steps=(step,), guards=Guards(blast_radius=1.0, max_replicas=10))
    world = World(growing)
    for second in range(-60, 0):
        rate, error = (50.0 * asked, 0.6) if second >= -5 else (50.0, 0.01)
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (rate, error)}))
    await world.executor.on_decision(decision(growing.name))
    await world.executor.idle()
    assert [r.arguments for r in world.process.requests] == [{"replicas": replicas}]
    await world.done()


async def test_a_crash_in_verification_forgets_neither_baseline_nor_verdict(world: World) -> None:
    await healthy_then_broken(world)
    await world.executor.on_decision(decision())
    await world.run_to(1)
    await world.executor.stop()
    world.born()
    await world.executor.resume()
    await world.run_to(6)
    assert world.state() is RunState.SUCCEEDED
    await world.done()
    feedback = decode(Feedback, world.on("autonomous.feedback")[0])
    assert (feedback.measures[0].baseline, feedback.measures[0].during) == (pytest.approx(0.01), pytest.approx(0.6))


def _definition() -> dict[str, object]:
    return definition_of(plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings()))


async def test_what_takes_away_all_that_serve_waits_for_a_person_whatever_its_tier() -> None:
    world = World(replace(RESTART, tier=1))
    world.process.state = replace(world.process.state, disrupts=2)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    asked = world.policy.asked[-1]
    assert (asked["playbook"]["tier"], asked["target"]["taken_at_once"]) == (3, 2)
    assert "cart" in asked["blast_radius"]
    await world.executor.on_approval(approval())
    await world.executor.idle()
    assert len(world.process.applied_keys) == 1
    await world.done()
    assert any("all 2 instances that serve at once" in record.text for record in world.actions)


async def test_what_would_be_an_outage_by_now_is_held_back_at_the_last_check() -> None:
    """Between the decision and the effect the other instance stopped serving."""
    world = World(replace(RESTART, tier=1))
    asked: list[Mapping[str, Any]] = []

    async def evaluate(document: Mapping[str, Any]) -> PolicyVerdict:
        asked.append(document)
        world.process.state = replace(world.process.state, ready=1, disrupts=1)
        return PolicyVerdict(allowed=True)

    world.policy.evaluate = evaluate  # type: ignore[method-assign]
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert world.process.requests == []
    await world.done()


async def test_what_its_owner_would_undo_is_refused_with_his_name() -> None:
    world = World()
    world.process.state = replace(world.process.state, refusals={"restart/rolling": "it is Canary cart's"})
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert (world.actions[-1].data["reason"], world.actions[-1].text) == ("owned", "it is Canary cart's")


async def test_that_a_person_is_asked_to_take_over_is_on_record_once(world: World) -> None:
    asks = decision("ask-a-person", verdict=DecisionVerdict.ASK)
    for _ in range(2):  # an own decision may be made again after a kill
        await world.executor.on_decision(asks)
    await world.done()
    (record,) = world.actions
    assert (record.type, record.decision, record.text) == ("io.homeostat.person.asked", asks.id, asks.text)
    assert not world.journal.entries
