"""One effect on a target: which actuator has it, with which arguments, and what came of it.

Nothing is awaited, and no other task has its turn, between the last look at the switches and the call of the actuator.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.actions import Touches, action_of, not_offered
from contracts.errors import (
    ActionFailed,
    ActuatorUnavailable,
    Conflict,
    Forbidden,
    HomeostatError,
    InvalidTarget,
    OutcomeUnknown,
    TargetNotFound,
)
from contracts.ports import Actuator, Identity, Mark, StepRequest, StepResult, TargetState
from contracts.sanitizing import sanitized
from contracts.settings import ActSettings
from contracts.verdicts import HeldReason, StepPhase
from playbooks.guards import Held
from playbooks.language.model import Step
from playbooks.runs import actuator_calls
from playbooks.runs.arguments import resolve, restore
from playbooks.runs.identities import identity_data, identity_from
from playbooks.runs.journal_records import Announced
from playbooks.runs.plan import ROLLBACK_PREFIX, RunPlan
from playbooks.runs.preflight import capable, senseless
from playbooks.runs.progress import StepProgress, state_data, state_from

_LOG = logging.getLogger(__name__)
GRACE_S = 5.0
"""How much longer than a step's timeout an actuator is waited for before its outcome counts as unknown."""
NO_EFFECT = (ActionFailed, Conflict, ActuatorUnavailable, TargetNotFound, InvalidTarget, Forbidden)
"""Errors that prove that the effect did not happen (see the port's contract); anything else leaves it unknown."""
WORTH_RETRYING = (ActionFailed, Conflict, ActuatorUnavailable)


@dataclass(frozen=True, slots=True)
class Aim:
    """A target as found: the actuator that knows it, what it is, and its state (None where the action needs none)."""

    actuator: Actuator
    identity: Identity
    state: TargetState | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An effect that is checked, and can be applied."""

    aim: Aim
    step: Step
    request: StepRequest

    @property
    def planned(self) -> tuple[int, ...]:
        """The number of replicas that the effect leads to; empty where it leads to none."""
        replicas = action_of(self.request.action).replicas(self.request.arguments)
        return () if replicas is None else (replicas,)

    @property
    def intent(self) -> dict[str, Any]:
        """What the journal keeps with the intent: enough to ask, after a crash, whether it happened."""
        return {
            "action": self.request.action,
            "arguments": dict(self.request.arguments),
            "actuator": self.aim.actuator.name,
            "identity": identity_data(self.request.identity),
            "before": state_data(self.request.before),
            "mark": None if self.request.mark is None else self.request.mark.text,
        }


@dataclass(frozen=True, slots=True)
class EffectOutcome:
    """What became of an effect, as a journal phase."""

    phase: StepPhase
    text: str
    after: TargetState | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    retryable: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """What the journal keeps with the outcome."""
        return {"text": sanitized(self.text), "retryable": self.retryable, "after": state_data(self.after), **self.data}


async def find_target(plan: RunPlan, action: str, actuators: Sequence[Actuator], settings: ActSettings) -> Aim | Held:
    """The first capable actuator that may act for the environment and knows the target, which is the environment's. Nothing is
    changed."""
    found = await _found(plan, action, actuators, settings)
    if isinstance(found, Held):
        return found
    stray = settings.strays(plan.environment, found.actuator.name, found.identity.namespace)
    return Held(HeldReason.UNBOUND_ENVIRONMENT, stray) if stray else found


async def _found(plan: RunPlan, action: str, actuators: Sequence[Actuator], settings: ActSettings) -> Aim | Held:
    does, able = action_of(action), capable(actuators, action)
    if not does.installed or not able:
        return Held(HeldReason.NOT_CAPABLE, not_offered([does]) if does.installed else does.text)
    bound = [a for a in able if settings.binding(plan.environment, a.name) is not None]
    if not bound:
        return Held(HeldReason.UNBOUND_ENVIRONMENT, settings.unbound(plan.environment))
    if does.touches is Touches.TARGET and not does.beside:
        return await _described(plan, bound)
    # What doesn't touch the target (a webhook) needs no state: it only fills in arguments. But it is about what the target is.
    found = await _described(plan, [a for a in actuators if settings.binding(plan.environment, a.name) is not None])
    if does.touches is Touches.TARGET:
        return _by_another(plan, found, bound, settings)
    if isinstance(found, Aim):
        return Aim(bound[0], found.identity, found.state)
    if does.touches is Touches.ANYTHING and found.reason is not HeldReason.NO_TARGET:
        return found  # a webhook tells somebody, and somebody should be told; a command may do anything
    try:
        return Aim(bound[0], await actuator_calls.resolve(bound[0], plan.aim), None)
    except HomeostatError as e:
        return _lost(plan, bound[0], e)


def _by_another(plan: RunPlan, found: Aim | Held, able: Sequence[Actuator], settings: ActSettings) -> Aim | Held:
    """The target as whoever runs it describes it, which is the environment's; the effect is had by the first one that is able to."""
    if isinstance(found, Held) or found.actuator in able:
        return found
    stray = settings.strays(plan.environment, found.actuator.name, found.identity.namespace)
    return Held(HeldReason.UNBOUND_ENVIRONMENT, stray) if stray else Aim(able[0], found.identity, found.state)


async def _described(plan: RunPlan, able: Sequence[Actuator]) -> Aim | Held:
    why = ""
    for actuator in able:
        try:
            state = await actuator_calls.describe(actuator, plan.aim)
            return Aim(actuator, state.identity or await actuator_calls.resolve(actuator, plan.aim), state)
        except TargetNotFound as e:
            why = why or str(e)
        except HomeostatError as e:
            # Not knowing is no reason to turn to another system: it might have another thing of the same name.
            return _lost(plan, actuator, e)
    return Held(HeldReason.NO_TARGET, why)


def _lost(plan: RunPlan, actuator: Actuator, error: HomeostatError) -> Held:
    if isinstance(error, InvalidTarget):
        reason = next((r for r in HeldReason if r == error.reason), HeldReason.INVALID_TARGET)
        return Held(reason, f"{actuator.name} has no {plan.target!a}: {error}")
    if error.reason == actuator_calls.FAULT:
        return Held(HeldReason.ACTUATOR_FAULT, error.message)
    return Held(HeldReason.NO_TARGET, f"{actuator.name} can't describe {plan.target}: {error}")


def prepare(
    plan: RunPlan, name: str, step: Step, key: str, aim: Aim, undone: TargetState | None = None, *, mark: Mark | None
) -> Prepared | Held:
    """The effect with absolute arguments, if it makes sense on the target as it is. `undone`: the state to go back to; `mark`: what
    is left at the target."""
    back = name.startswith(ROLLBACK_PREFIX)
    try:
        arguments = restore(plan, step, aim.state, undone) if back else resolve(plan, step, aim.state)
    except ActionFailed as e:
        return Held(HeldReason.NOT_CAPABLE, str(e))
    if not back:
        refused = senseless(plan, step, arguments, aim.state)
        if refused is not None:
            return refused
    request = StepRequest(
        key, plan.run, name, step.action, plan.aim, arguments, aim.state, step.timeout_s, aim.identity, mark
    )
    return Prepared(aim, step, request)


def journalled(plan: RunPlan, name: str, step: Step, progress: StepProgress) -> StepRequest:
    """The request of an intent, rebuilt from the journal."""
    return announced(plan, step, Announced(name, progress.key, 0, progress.intent))


def announced(plan: RunPlan, step: Step, announcement: Announced) -> StepRequest:
    """The request of an effect as it was announced."""
    intent = announcement.intent
    return StepRequest(
        key=announcement.key,
        run=plan.run,
        step=announcement.step,
        action=str(intent.get("action", step.action)),
        target=plan.aim,
        arguments=dict(intent.get("arguments", {})),
        before=state_from(intent.get("before")),
        timeout_s=step.timeout_s,
        identity=identity_from(intent.get("identity")),
        mark=Mark.of(str(intent.get("mark") or "")),
    )


async def apply(actuator: Actuator, request: StepRequest, objection: Callable[[], Held | None]) -> EffectOutcome | Held:
    """Apply the effect, unless there is an objection at this very moment (then nothing was tried). Never raises for what the
    actuator does; a cancelled call leaves the intent without outcome."""
    try:
        async with asyncio.timeout(request.timeout_s + GRACE_S):
            held = objection()
            if held is not None:
                return held
            return _applied(actuator, await actuator.apply(request))
    except NO_EFFECT as e:
        return EffectOutcome(
            StepPhase.FAILED, str(e), data={"reason": e.reason}, retryable=isinstance(e, WORTH_RETRYING)
        )
    except OutcomeUnknown as e:
        return EffectOutcome(StepPhase.UNKNOWN, str(e), data={"reason": e.reason})
    except TimeoutError:
        text = f"{actuator.name} did not answer within {request.timeout_s + GRACE_S:g} s"
        return EffectOutcome(StepPhase.UNKNOWN, text, data={"reason": OutcomeUnknown.reason})
    except Exception as e:  # noqa: BLE001 - an actuator may be anybody's: what it raises proves nothing about the effect
        _LOG.exception("actuator %s failed in an unforeseen way", actuator.name)
        text = f"{actuator.name}: {type(e).__name__}: {e}"
        return EffectOutcome(StepPhase.UNKNOWN, text, data={"reason": OutcomeUnknown.reason})


def _applied(actuator: Actuator, result: object) -> EffectOutcome:
    """What an actuator said of an effect that happened; of that, what can be stored."""
    if not isinstance(result, StepResult):
        text = f"{actuator.name} answered with {type(result).__name__}, which says nothing of the effect"
        return EffectOutcome(StepPhase.UNKNOWN, text, data={"reason": OutcomeUnknown.reason})
    data = {
        str(k): v if isinstance(v, bool | int | float | None) else sanitized(str(v)) for k, v in result.data.items()
    }
    return EffectOutcome(
        StepPhase.APPLIED, str(result.text), actuator_calls.storable_state(result.after), {"result": data}
    )
