"""Questions to actuators, which may be anybody's: whatever a plugin raises or answers comes out as an error with a name.

Nothing here has an effect. A run must never hang on, or be tried for ever because of, what an actuator does that its port forbids.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from contracts.errors import ActionFailed, ActuatorUnavailable, HomeostatError
from contracts.ports import Actuator, Applied, Identity, StepRequest, Target, TargetState
from contracts.sanitizing import sanitized
from playbooks.runs.identities import identity_data, identity_from
from playbooks.runs.progress import state_data, state_from

_LOG = logging.getLogger(__name__)
ANSWER_S: Final = 60.0
"""How long an answer is waited for."""
FAULT: Final = "actuator_fault"
"""Reason of an error that an actuator caused by doing what its port forbids."""
_NOT_STORABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
"""What is raised for what can't be written as JSON, or read again."""


async def describe(actuator: Actuator, target: Target) -> TargetState:
    """The target's state. Raises as the port, and ActionFailed (actuator_fault), ActuatorUnavailable."""
    answer = await _ask(actuator, "describe", target.service, lambda: actuator.describe(target))
    state = storable_state(answer)
    if state is None:
        raise _fault(actuator, f"answered with {type(answer).__name__} that is no state of {target.service}")
    return state


async def resolve(actuator: Actuator, target: Target) -> Identity:
    """What the target is. Raises as the port, and ActionFailed (actuator_fault), ActuatorUnavailable."""
    answer = await _ask(actuator, "resolve", target.service, lambda: actuator.resolve(target))
    try:
        identity = identity_from(_round_trip(identity_data(answer))) if isinstance(answer, Identity) else None
    except _NOT_STORABLE:
        identity = None
    if identity is None:
        raise _fault(actuator, f"answered with {type(answer).__name__} that is no identity of {target.service}")
    return identity


async def applied(actuator: Actuator, request: StepRequest) -> Applied:
    """Whether an effect happened; UNKNOWN where that can't be told. Raises ActuatorUnavailable: ask again."""
    try:
        answer = await _ask(actuator, "tell about", request.key, lambda: actuator.applied(request))
    except ActuatorUnavailable:
        raise
    except HomeostatError as e:
        _LOG.warning("%s can't tell about %s: %s", actuator.name, request.run, e)
        return Applied.UNKNOWN
    return answer if isinstance(answer, Applied) else Applied.UNKNOWN


def storable_state(answer: object) -> TargetState | None:
    """A state as it will be read from the journal after a crash; None where it could not be."""
    try:
        return state_from(_round_trip(state_data(answer))) if isinstance(answer, TargetState) else None
    except _NOT_STORABLE:
        return None


def _round_trip(data: object) -> object:
    return msgspec.json.decode(msgspec.json.encode(data))


async def _ask(actuator: Actuator, what: str, about: str, call: Callable[[], Awaitable[object]]) -> object:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await call()
    except HomeostatError:
        raise
    except TimeoutError as e:
        raise ActuatorUnavailable(f"{actuator.name} did not {what} {about} within {ANSWER_S:g} s") from e
    except Exception as e:
        _LOG.exception("actuator %s failed in an unforeseen way", actuator.name)
        raise _fault(actuator, f"failed to {what} {about}: {type(e).__name__}: {e}") from e


def _fault(actuator: Actuator, text: str) -> ActionFailed:
    return ActionFailed(sanitized(f"{actuator.name} {text}"), reason=FAULT)
