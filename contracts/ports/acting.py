"""Ports to what is acted on and who says whether it may be: actuator, policy."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is aimed at: a service of an environment, with the identity attributes telemetry gave for it."""

    environment: str
    service: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the actuator knows of a target now. `replicas` are wanted, `ready` are serving.

    `most`: more replicas than this are not to be had, as whoever owns the target's own autoscaler says; None: no such limit.
    """

    replicas: int
    ready: int
    version: str = ""
    previous_version: str = ""
    generation: str = ""
    instances: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One effect. `key` names it for ever: applying the same key twice must not have a second effect.

    `before` is the state journalled with the intent: an actuator compares with it to tell whether the effect happened.
    """

    key: str
    run: str
    step: str
    action: str  # scale | restart | rollback | webhook | command
    target: Target
    arguments: Mapping[str, Any]
    before: TargetState | None
    timeout_s: float


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
    """Changes a system. Errors: TargetNotFound, Forbidden, ActionFailed, Conflict, ActuatorUnavailable, OutcomeUnknown."""

    @property
    def name(self) -> str:
        """Name it is registered and chosen by."""
        ...

    @property
    def actions(self) -> frozenset[str]:
        """The actions it can do."""
        ...

    async def describe(self, target: Target) -> TargetState:
        """The target's state now. TargetNotFound lists what it does know."""
        ...

    async def apply(self, request: StepRequest) -> StepResult:
        """Do it, wait until it settled or `timeout_s` passed. ActionFailed: it did not happen. OutcomeUnknown: it may."""
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
