"""Ports to what is acted on and who says whether it may be: actuator, policy."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from contracts.errors import Conflict
from contracts.targets import Identity, Mark, Target, TargetState

UNBOUND: Final = frozenset({"dry-run", "webhook"})
"""Actuators that touch nobody's system by themselves, so that an environment need not be bound to be told of."""

BUILT_IN: Final = frozenset({"command", "dry-run", "kubernetes", "process", "webhook"})
"""Actuators that come with Homeostat: of all others only their identities say what they reach."""


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One effect. `key` names it for ever: applying the same key twice must not have a second effect.

    `before` is the state journalled with the intent: an actuator compares with it to tell whether the effect happened.
    `identity` is what guards and policy were asked about: where `target` leads to anything else by now, nothing may be done.
    `mark` is to be left at the target, where its system can keep one, in the same change as the effect (see `ensure_alone`).
    """

    key: str
    run: str
    step: str
    action: str  # the name of one of `contracts.actions`
    target: Target
    arguments: Mapping[str, Any]
    before: TargetState | None
    timeout_s: float
    identity: Identity | None = None
    mark: Mark | None = None


def ensure_alone(request: StepRequest, now: Mark | None) -> None:
    """That no other installation has acted on the target since guards were asked; actuators that keep marks call it right before the
    effect, with the mark as it is, and change nothing where the mark has changed meanwhile.

    Raises:
        Conflict: one has. Guards are asked again, and say how long to wait.
    """
    ours, seen = request.mark, None if request.before is None else request.before.acted
    if ours is not None and now is not None and now.by != ours.by and now != seen:
        raise Conflict(f"{request.target.service} was acted on meanwhile by another Homeostat, {now.words}")


@dataclass(frozen=True, slots=True)
class StepResult:
    """The effect happened. `after` is the target's state once it settled; `text` is for people."""

    text: str
    after: TargetState | None = None
    data: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


class Applied(enum.StrEnum):
    """Whether an effect that was intended has happened."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Actuator(Protocol):
    """Changes a system.

    Errors: InvalidTarget, TargetNotFound, Forbidden, ActionFailed, Conflict, ActuatorUnavailable, OutcomeUnknown.
    """

    @property
    def name(self) -> str:
        """Name it is registered and chosen by."""
        ...

    @property
    def actions(self) -> frozenset[str]:
        """The actions it can do."""
        ...

    async def resolve(self, target: Target) -> Identity:
        """What the target is: asked before anybody is asked whether it may be touched. Changes nothing.

        InvalidTarget where its names are none of this system, or lead to more than one thing; TargetNotFound lists what it
        does know. An actuator that touches no object of its own (a webhook) says so by its scope and vouches for nothing.
        """
        ...

    async def describe(self, target: Target) -> TargetState:
        """The target's state now, with its identity. Errors as `resolve`."""
        ...

    async def apply(self, request: StepRequest) -> StepResult:
        """Do it, wait until it settled or `timeout_s` passed. ActionFailed: it did not happen. OutcomeUnknown: it may.

        Conflict, and no effect, where the target is not, or no longer, `request.identity`; and, where its system can keep
        `request.mark`, where another installation has acted on it (`ensure_alone`).
        """
        ...

    async def applied(self, request: StepRequest) -> Applied:
        """After a crash: has the effect of `request.key` happened? Never causes an effect."""
        ...

    async def close(self) -> None:
        """Release connections. Idempotent; does not undo anything."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What policy says of an action. `denials` are its reasons; empty means allowed."""

    allowed: bool
    denials: tuple[str, ...] = ()
    needs_approval: bool = False


class PolicyEngine(Protocol):
    """Rego over a JSON document. Errors: PolicyUnavailable (then nothing may be done)."""

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """The verdict on one intended action (see docs: policy input)."""
        ...

    async def close(self) -> None:
        """Release it. Idempotent."""
        ...
