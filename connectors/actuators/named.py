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


class NamedActuator(abc.ABC, Generic[T]):
    """Base of them. Its name is also that of its one action, whose argument `name` is looked up in the setting `act.<name>s`."""

    name: str

    def __init__(self, defined: Mapping[str, T]) -> None:
        """`defined`: what the setting gives a name to."""
        self._defined = dict(defined)
        self._once = OncePerKey()

    @property
    def actions(self) -> frozenset[str]:
        """The one of its own name."""
        return frozenset({self.name})

    async def resolve(self, target: Target) -> Identity:
        """Nothing here knows what is touched: the service that it is done for, by name."""
        return by_name(self.name, target)

    async def describe(self, target: Target) -> TargetState:
        """Always TargetNotFound: none of them is a service."""
        raise TargetNotFound(f"{self.name}s know nothing of {target.service!r}", fix=self._there_are)

    async def apply(self, request: StepRequest) -> StepResult:
        """Do what the argument `name` says, once per key."""
        name = str(request.arguments.get("name", ""))
        if request.action not in self.actions:
            raise ActionFailed(f"the {self.name} actuator can't {request.action}")
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

    @property
    def _there_are(self) -> str:
        return f"there are: {', '.join(sorted(self._defined)) or 'none'}"
