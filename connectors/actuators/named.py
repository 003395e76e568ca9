"""What actuators have in common that do what settings give a name to, and whose systems know no service: commands, webhooks."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Generic, TypeVar

from connectors.actuators.idempotency import OncePerKey
from connectors.actuators.naming import by_name
from contracts.errors import ActionFailed, TargetNotFound
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState

T = TypeVar("T")


def filled(text: str, given: Mapping[str, str]) -> str:
    """The text with each `{name}` that something is given for replaced by it, and every other brace as it is."""
    for name, value in given.items():
        text = text.replace(f"{{{name}}}", value)
    return text


class NamedActuator(abc.ABC, Generic[T]):
    """Base of them. Its name is also that of its one action, whose argument `name` is looked up in the setting `act.<name>s`; what else it
    does, and by which of them, the setting `act.actions` says."""

    name: str

    def __init__(self, defined: Mapping[str, T], beside: Mapping[str, str]) -> None:
        """`defined`: what the setting gives a name to; `beside`: other actions, each with the name of what does it."""
        self._defined, self._beside = dict(defined), dict(beside)
        self._once = OncePerKey()

    @property
    def actions(self) -> frozenset[str]:
        """The one of its own name, and those that the settings have it do."""
        return frozenset({self.name, *self._beside})

    async def resolve(self, target: Target) -> Identity:
        """Nothing here knows what is touched: the service that it is done for, by name."""
        return by_name(self.name, target)

    async def describe(self, target: Target) -> TargetState:
        """Always TargetNotFound: none of them is a service."""
        raise TargetNotFound(f"{self.name}s know nothing of {target.service!r}", fix=self._there_are)

    async def apply(self, request: StepRequest) -> StepResult:
        """Do what the argument `name` says, or what the settings name for the action, once per key."""
        if request.action not in self.actions:
            raise ActionFailed(f"the {self.name} actuator can't {request.action}")
        name = self._beside.get(request.action) or str(request.arguments.get("name", ""))
        if name not in self._defined:
            raise TargetNotFound(f"no {self.name} {name!r} in act.{self.name}s", fix=self._there_are)
        return await self._once.run(request.key, lambda: self._do(name, self._defined[name], request))

    async def applied(self, request: StepRequest) -> Applied:
        """YES if this process saw it end well; else UNKNOWN: nothing else keeps a record of keys."""
        return self._once.applied(request.key)

    async def close(self) -> None:
        """Release connections; there are none unless a subclass has some."""

    @abc.abstractmethod
    async def _do(self, name: str, defined: T, request: StepRequest) -> StepResult:
        """Have the effect of what the setting defines under this name."""

    def _given(self, request: StepRequest) -> dict[str, str]:
        """What may be filled in where the settings say so: the arguments of an action that they have it do; none of its own."""
        if request.action not in self._beside:
            return {}
        about = {"service": request.target.service, "environment": request.target.environment}
        return {**about, **{key: str(value) for key, value in request.arguments.items()}}

    @property
    def _there_are(self) -> str:
        return f"there are: {', '.join(sorted(self._defined)) or 'none'}"
