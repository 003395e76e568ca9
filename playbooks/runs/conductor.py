"""Does the work that the state machine asks for: looks, asks, waits, applies effects. The result of each is one event.

It never asks the machine anything, and writes nothing down that a transition should (`recorder`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from contracts.actions import Touches, action_of, waits
from contracts.errors import ActuatorUnavailable, Retryable
from contracts.ports import Applied, Mark, RunEntry, TargetState
from contracts.supervision import once
from contracts.units import SECOND
from contracts.verdicts import HeldReason, StepPhase
from playbooks.guards import Held
from playbooks.language.actions import probes, touching
from playbooks.language.model import Step
from playbooks.runs import actuator_calls, authenticity, effects, identities, journal_records, permission
from playbooks.runs import commands as c
from playbooks.runs import events as e
from playbooks.runs.audit_trail import Trail
from playbooks.runs.expiry import Expiry
from playbooks.runs.guarding import between, guarded
from playbooks.runs.plan import ROLLBACK_PREFIX, RunPlan
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.progress import NOT_BEGUN, effects_of, progress_of
from playbooks.runs.run import Run
from playbooks.runs.telemetry_view import TelemetryView
from playbooks.verify import Intervention, Verifier

_LOG = logging.getLogger(__name__)
RETRY_S: Final = 1.0
"""How soon is asked again what could not be answered."""
ROLLBACK_RETRY_S: Final = 2.0
_APPROVABLE: Final = frozenset({HeldReason.APPROVAL, HeldReason.TARGET_CONTESTED})
"""Objections that a person's approval overcomes."""
_MAY_CLEAR: Final = frozenset({HeldReason.POLICY_UNAVAILABLE, HeldReason.UNPROVEN})
"""Objections that may go away by themselves before the decision is too old."""
_MAY_CLEAR_ROLLBACK: Final = frozenset(
    {HeldReason.POLICY_UNAVAILABLE, HeldReason.AUDIT_UNAVAILABLE, HeldReason.NO_TARGET, HeldReason.ACTUATOR_FAULT}
)
"""Objections to a rollback step that are waited out until it is too late for it."""


class Conductor:
    """Carries out work for runs. One per executor."""

    def __init__(self, wiring: ExecutorWiring, trail: Trail, expiry: Expiry) -> None:
        self._w, self._trail, self._expiry = wiring, trail, expiry
        self._gates: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.idle = asyncio.Event()
        """Set whenever a run begins to wait."""

    @asynccontextmanager
    async def exclusive(self, run: Run, work: c.Work) -> AsyncIterator[None]:
        """Hold off other pre-flights of the same environment, or of the same target, until the result of this one is recorded:
        between the count of concurrent runs and this one's start lies an await."""
        if not isinstance(work, c.Preflight):
            yield
            return
        async with self._gates[run.plan.environment], self._gates[await self._target_key(run.plan)]:
            yield

    async def carry_out(self, run: Run, work: c.Work, view: TelemetryView) -> e.RunEvent | None:
        """Do the work; what came of it. None after a wait: what is there to see then is to be observed."""
        match work:
            case c.Preflight():
                return await self._preflight(run.plan, view, work.approved)
            case c.CheckStep():
                return await self._check_step(run.plan, work, view)
            case c.AwaitAcknowledgement():
                return await self._await_acknowledgement(run, work.effect, view)
            case c.ApplyEffect():
                return await self._apply(run, work.effect)
            case c.AskActuator():
                return await self._ask_actuator(run, work)
            case c.WaitUntil():
                await self._wait(run, work.until_ns)
                return None

    async def _wait(self, run: Run, until_ns: int) -> None:
        left_s = max(0.0, (until_ns - self._now()) / SECOND)
        run.waiting = True
        self.idle.set()
        try:
            async with asyncio.timeout(min(left_s, 1.0) + 0.001):
                await run.wake.wait()
        except TimeoutError:
            pass
        finally:
            run.waiting = False
            run.wake.clear()

    def verifier(self, plan: RunPlan, when: Intervention, view: TelemetryView) -> Verifier:
        """A verifier of the run's action that has seen all there is to see."""
        reference = journal_records.reference_of(self._w.journal, plan.run)
        patient = probes(plan.playbook) or any(a.one_of_several for a, _ in touching(plan.playbook.steps))
        callers, entries = ((), ()) if patient else (plan.callers, plan.entries)
        verifier = Verifier(plan.playbook.verify, plan.target, callers, when, entries, reference, patient=patient)
        for frame in view.frames():
            verifier.observe(frame)
        return verifier

    # --- before the run begins

    async def _preflight(self, plan: RunPlan, view: TelemetryView, approved: bool) -> e.RunEvent:
        """All that may be against the run: switches, then every step's guards, validation and policy on the target as it is."""
        held = await self._objection(plan, view, approved)
        if held is None or (approved and held.reason in _APPROVABLE):
            if not approved and plan.needs_approval:
                return e.ApprovalWanted(self._expiry.approval_ns(plan), self._question(plan, _why_ask(plan)))
            held = self._switches(plan, approved=approved)
            # others may have been asked about for long before this one
            if held is None and not approved and self._now() > self._expiry.begin_ns(plan):
                held = Held(HeldReason.STALE_TELEMETRY, "the decision is too old to act on")
            if held is None:
                return e.PreflightPassed()
        elif held.reason in _APPROVABLE:
            return e.ApprovalWanted(self._expiry.approval_ns(plan), self._question(plan, held.text))
        if held.reason is HeldReason.KILL_SWITCH:
            return e.ActingStopped()
        if self._may_clear(plan, held, approved):
            return self._soon()
        return e.PreflightHeld(held.reason, held.text)

    async def _objection(self, plan: RunPlan, view: TelemetryView, approved: bool) -> Held | None:
        """The first objection that counts; that a person must agree counts last, as it can be overcome."""
        refused = self._switches(plan, approved=approved) or self._other_version(plan)
        asked: Held | None = None if approved else permission.contested(plan, view.attributes(plan.target))
        for step in plan.playbook.steps:
            if refused is None and not waits(step.action):
                refused = await self._objection_to(plan, step, view, approved)
            if refused is not None and refused.reason is HeldReason.APPROVAL:
                asked, refused = asked or refused, None
        return refused or asked

    async def _objection_to(self, plan: RunPlan, step: Step, view: TelemetryView, approved: bool) -> Held | None:
        aim = await self._aim(plan, step.name, step)
        if isinstance(aim, Held):
            return aim
        effect = effects.prepare(plan, step.name, step, "", aim, mark=None)
        planned = () if isinstance(effect, Held) else effect.planned
        held = guarded(plan, aim, planned, view, self._w, untouched=True)
        if held is not None:
            return held
        if isinstance(effect, Held):
            return effect
        held = await self._policy(plan, effect, approved)
        return held or permission.outage(effect.request, aim.state, approved=approved)

    def _other_version(self, plan: RunPlan) -> Held | None:
        playbook = self._w.playbooks.get(plan.playbook.name)
        if playbook is None or playbook.version == plan.playbook.version:
            return None
        text = f"decided with version {plan.playbook.version}, but {playbook.version} is loaded now"
        return Held(HeldReason.NOT_CAPABLE, text)

    def _question(self, plan: RunPlan, why: str) -> str:
        """What a person is asked: who agrees reads what would really be touched."""
        touched = {one.words: None for one in identities.identities_of(self._w.journal, plan.run).values()}
        acts_on = f"; it acts on {', '.join(touched)}" if touched else ""
        return f"{plan.playbook.name} on {plan.target} needs an approval: {why}{acts_on}"

    async def _target_key(self, plan: RunPlan) -> str:
        """The key of what the run is about; its own name where that can't be told (then nothing will be done)."""
        step = next((s for s in plan.playbook.steps if not waits(s.action)), None)
        aim = (
            None if step is None else await effects.find_target(plan, step.action, self._w.actuators, self._w.settings)
        )
        return aim.identity.key if isinstance(aim, effects.Aim) else plan.run

    # --- before a step

    async def _check_step(self, plan: RunPlan, work: c.CheckStep, view: TelemetryView) -> e.RunEvent:
        """The target looked at again, and guards, validation and policy asked again, right before the effect."""
        entry, approved = self._entry(plan), self._approved(plan)
        back = work.name.startswith(ROLLBACK_PREFIX)
        aim = await self._aim(plan, work.name, work.step)
        if isinstance(aim, Held):
            return self._held(plan, work.name, work.key, aim)
        if not back and not approved and (doubtful := permission.contested(plan, view.attributes(plan.target))):
            return self._held(plan, work.name, work.key, doubtful)
        effect = self._effect_of(plan, entry, work, aim)
        if isinstance(effect, Held):
            return self._held(plan, work.name, work.key, effect)
        held = self._switches(plan, approved=approved) or between(plan, aim, self._w)
        if held is None and not back:  # going back is bounded by where it came from
            held = guarded(plan, aim, effect.planned, view, self._w, untouched=not effects_of(entry))
            held = held or permission.outage(effect.request, aim.state, approved=approved)
        held = held or await self._policy(plan, effect, approved)
        return e.StepCleared(effect) if held is None else self._held(plan, work.name, work.key, held)

    def _effect_of(
        self, plan: RunPlan, entry: RunEntry, work: c.CheckStep, aim: effects.Aim
    ) -> effects.Prepared | Held:
        """The effect as it was journalled or announced, if it was; else as the target is now."""
        if work.again:
            intent = progress_of(entry)[work.name]
            return effects.Prepared(aim, work.step, effects.journalled(plan, work.name, work.step, intent))
        announced = journal_records.announced_of(self._w.journal, plan.run)
        if announced is not None and announced.key == work.key:
            return effects.Prepared(aim, work.step, effects.announced(plan, work.step, announced))
        by = self._w.settings.installation
        mark = Mark(by, work.step.action, self._now()) if by else None
        return effects.prepare(plan, work.name, work.step, work.key, aim, _state_before(entry, work.step), mark=mark)

    async def _aim(self, plan: RunPlan, name: str, step: Step) -> effects.Aim | Held:
        """What a step would touch, which must be what it was when the run began."""
        aim = await effects.find_target(plan, step.action, self._w.actuators, self._w.settings)
        if isinstance(aim, Held):
            return aim
        changed = identities.pin(self._w.journal, plan, name, aim.identity)
        if action_of(step.action).touches is Touches.SOMEBODY:  # who is told of it need not be what it is
            return aim
        return changed or aim

    async def _policy(self, plan: RunPlan, effect: effects.Prepared, approved: bool) -> Held | None:
        approval = authenticity.approval_of(self._w.journal, plan) if approved else None
        by = "" if approval is None or not approval.approve else approval.by
        request = effect.request
        document = permission.policy_document(plan, request.action, request.arguments, effect.aim, by)
        return await permission.ask_policy(self._w.policy, document)

    async def _await_acknowledgement(self, run: Run, effect: effects.Prepared, view: TelemetryView) -> e.RunEvent:
        """Held unless the world can read of the effect before it happens, and nobody has stopped acting meanwhile."""
        plan, request = run.plan, effect.request
        announced = journal_records.announced_of(self._w.journal, plan.run)
        if announced is None or not await self._trail.acknowledged(plan.environment, announced.sequence):
            text = f"the broker did not take the audit event within {self._w.settings.audit_ack_s:g} s"
            return self._held(plan, request.step, request.key, Held(HeldReason.AUDIT_UNAVAILABLE, text))
        held = self._switches(plan, approved=self._approved(plan))
        if held is not None:
            return self._held(plan, request.step, request.key, held)
        if not effects_of(self._entry(plan)):
            now_ns = self._now()
            levels = self.verifier(plan, Intervention(plan.onset_ns, now_ns, now_ns), view).reference()
            journal_records.save_reference(self._w.journal, plan, levels)
        return e.IntentAcknowledged(effect)

    # --- the effect

    async def _apply(self, run: Run, effect: effects.Prepared) -> e.RunEvent:
        """The effect, once its intent outlives this process, the run is known to be still ours, and every switch is known that
        was turned up to now. It is a task of its own: who ends this run's task waits for it."""
        plan, request = run.plan, effect.request
        try:
            await self._w.journal.settled(plan.environment, self._w.settings.audit_ack_s)
            await self._w.caught_up()
        except Retryable as error:
            _LOG.warning("%s waits with %s: %s", plan.run, request.step, error)
            return e.IntentNotDurable(self._soon().until_ns)

        def objection() -> Held | None:
            return self._switches(plan, approved=self._approved(plan))

        run.effect = once("effect", effects.apply(effect.aim.actuator, request, objection), detail=request.key)
        try:
            outcome = await run.effect
        finally:
            run.effect = None
        if isinstance(outcome, Held):
            return _step_held(request.step, request.key, outcome)
        if outcome.phase is StepPhase.APPLIED:
            return e.EffectApplied(request, outcome.line, outcome.text)
        failed = e.EffectFailed if outcome.phase is StepPhase.FAILED else e.EffectUnknown
        return failed(request.step, request.key, outcome.line, outcome.text)

    async def _ask_actuator(self, run: Run, work: c.AskActuator) -> e.RunEvent:
        """Ask whether an effect happened. Never causes one; an unreachable actuator is asked again for a while."""
        plan = run.plan
        progress = progress_of(self._entry(plan)).get(work.name, NOT_BEGUN)
        request = effects.journalled(plan, work.name, work.step, progress)
        name = str(progress.intent.get("actuator", ""))
        actuator = next((a for a in self._w.actuators if a.name == name), None)
        run.unanswered_since_ns = run.unanswered_since_ns or self._now()
        try:
            answer = Applied.UNKNOWN if actuator is None else await actuator_calls.applied(actuator, request)
        except ActuatorUnavailable as error:
            if self._now() - run.unanswered_since_ns < self._expiry.decision_ns:
                _LOG.warning("cannot ask %s about %s yet: %s", name, plan.run, error)
                return self._soon()
            answer = Applied.UNKNOWN
        if answer is Applied.NO:
            return e.EffectAbsent()
        if answer is Applied.YES:
            text = "the effect had happened"
            return e.EffectApplied(request, {"text": text, "recovered": True}, text)
        text = "whether the effect happened can't be known"
        return e.EffectUnknown(work.name, work.key, {"text": text, "recovered": True}, text)

    # --- objections

    def _switches(self, plan: RunPlan, *, approved: bool) -> Held | None:
        """Switches that forbid; that an approval is wanted is no objection where there is one or it is asked for anyway."""
        held = permission.switches(self._w.journal, plan, self._w.autonomy)
        if held is not None and held.reason is HeldReason.APPROVAL and (approved or plan.needs_approval):
            return None
        return held

    def _held(self, plan: RunPlan, name: str, key: str, held: Held) -> e.RunEvent:
        """What an objection right before a step means: it is waited out where it may clear, and holds the step where not."""
        if name.startswith(ROLLBACK_PREFIX) and held.reason in _MAY_CLEAR_ROLLBACK:
            _LOG.warning("rollback of %s is held: %s", plan.run, held.text)
            return e.NotYet(self._now() + int(ROLLBACK_RETRY_S * SECOND))
        if not name.startswith(ROLLBACK_PREFIX) and self._may_clear(plan, held, self._approved(plan)):
            return self._soon()
        return _step_held(name, key, held)

    def _may_clear(self, plan: RunPlan, held: Held, approved: bool) -> bool:
        """Whether policy can't be asked, or the target has not sent telemetry yet, and there is time to ask again: nothing is done
        meanwhile."""
        if held.reason not in _MAY_CLEAR:
            return False
        until_ns = self._expiry.begin_ns(plan)
        approval = authenticity.approval_of(self._w.journal, plan) if approved else None
        if approval is not None:
            until_ns = min(approval.time_ns + self._expiry.decision_ns, self._expiry.approval_ns(plan))
        left_s = (until_ns - self._now()) / SECOND
        if left_s <= 2 * RETRY_S:
            return False
        _LOG.warning("%s waits, for %.0f s at most: %s", plan.run, left_s, held.text)
        return True

    def _approved(self, plan: RunPlan) -> bool:
        approval = authenticity.approval_of(self._w.journal, plan)
        return approval is not None and approval.approve

    def _entry(self, plan: RunPlan) -> RunEntry:
        entry = self._w.journal.load(plan.run)
        assert entry is not None, "the journal has no run that this process owns"
        return entry

    def _soon(self) -> e.NotYet:
        return e.NotYet(self._now() + int(RETRY_S * SECOND))

    def _now(self) -> int:
        return self._w.clock.now_ns()


def _step_held(name: str, key: str, held: Held) -> e.RunEvent:
    if held.reason is HeldReason.KILL_SWITCH:
        return e.ActingStopped(name, key)
    return e.StepHeld(name, key, held.reason, held.text)


def _why_ask(plan: RunPlan) -> str:
    if plan.playbook.tier >= 3:
        return f"it is tier {plan.playbook.tier}"
    return "a person was to be asked" if plan.ask else f"autonomy is {plan.autonomy}"


def _state_before(entry: RunEntry, step: Step) -> TargetState | None:
    """The state from before the run's first effect of the kind that a rollback step undoes."""
    done = effects_of(entry)
    same = [so_far for _, so_far in done if so_far.intent.get("action") == step.action]
    first = next(iter(same or [so_far for _, so_far in done]), None)
    return None if first is None else first.before
