"""Ports to what is acted on and who says whether it may be: actuator, policy."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote

UNBOUND: Final = frozenset({"dry-run", "webhook"})
"""Actuators that touch nobody's system by themselves, so that an environment need not be bound to be told of."""

BUILT_IN: Final = frozenset({"command", "dry-run", "kubernetes", "process", "webhook"})
"""Actuators that come with Homeostat: of all others only their identities say what they reach."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is aimed at: a service of an environment, with the identity attributes telemetry gave for it.

    All of it is a claim: whoever may send telemetry chose it. What it comes to is an `Identity`.
    """

    environment: str
    service: str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identity:
    """What will really be touched, as its own system knows it. Two names that lead to one thing have one identity.

    `scope` names the system: `kubernetes:<uid of the cluster>`, `process:<address of the manager>`. `uid` is that of the
    present incarnation, where the system has one: what was deleted and made anew has another. `attributes` say the same in
    telemetry's words (`k8s.namespace.name`), and nothing that the system does not vouch for.
    """

    scope: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What guards count by. The uid is left out: a pause after a repair outlives a re-creation under the same name."""
        return "/".join(quote(part, safe=":") for part in (self.scope, self.kind, self.namespace, self.name))

    @property
    def words(self) -> str:
        """For people: `Deployment shop/cart in kubernetes:6f0c…`."""
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name} in {self.scope}"


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the actuator knows of a target now. `replicas` are wanted, `ready` are serving.

    `most`: more replicas than this are not to be had, as whoever owns the target's own autoscaler says; None: no such limit.
    `identity`: what this is the state of, as `resolve` gives it.
    `disrupts`: ready instances that a rolling restart or a roll-back takes away before others serve; None: not known.
    `refusals`: why the actuator would not do an action, by its name or `Action.variant` (`restart/rolling`), and what to do instead:
    whoever owns the target decides. What isn't in it may be done as far as that goes.
    """

    replicas: int
    ready: int
    version: str = ""
    previous_version: str = ""
    generation: str = ""
    instances: tuple[str, ...] = ()
    detail: Mapping[str, str] = field(default_factory=dict)
    most: int | None = None
    identity: Identity | None = None
    disrupts: int | None = None
    refusals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One effect. `key` names it for ever: applying the same key twice must not have a second effect.

    `before` is the state journalled with the intent: an actuator compares with it to tell whether the effect happened.
    `identity` is what guards and policy were asked about: where `target` leads to anything else by now, nothing may be done.
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

        Conflict, and no effect, where the target is not, or no longer, `request.identity`.
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
