"""The actuator `dry-run`: says what would be done. It has no effect on anything, ever."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from connectors.actuators.naming import by_name, ensure_meant
from contracts.actions import action_of, installed_actions, touches_target, waits
from contracts.ports import Applied, Identity, StepRequest, StepResult, Target, TargetState, ensure_alone

_LOG = logging.getLogger(__name__)
_KEPT: Final = 10_000
#: What a target nobody has told us about is taken to be: one replica, and a version to go back to.
_ASSUMED: Final = TargetState(
    replicas=1, ready=1, version="current", previous_version="previous", generation="0", detail={"dry_run": "assumed"}
)


@dataclass(frozen=True, slots=True)
class DryEffect:
    """One effect that would have been had."""

    key: str
    action: str
    target: Target
    arguments: Mapping[str, object]


class DryRunActuator:
    """Knows every target it is told of. Remembers what would have been done, so that a second step sees the first one's result."""

    name = "dry-run"

    def __init__(self) -> None:
        self._done: OrderedDict[str, StepResult] = OrderedDict()
        self._states: dict[tuple[str, str], TargetState] = {}
        self.recorded: list[DryEffect] = []

    @property
    def actions(self) -> frozenset[str]:
        """Every action there is that has an effect, also those of plugins."""
        return frozenset(name for name in installed_actions() if not waits(name))

    async def resolve(self, target: Target) -> Identity:
        """The name itself, within its environment: nothing is behind it."""
        return by_name(self.name, target)

    async def describe(self, target: Target) -> TargetState:
        """The state that what was recorded would have led to."""
        state = self._states.get((target.environment, target.service), _ASSUMED)
        return replace(state, identity=await self.resolve(target))

    async def apply(self, request: StepRequest) -> StepResult:
        """Record it."""
        if request.key in self._done:
            return self._done[request.key]
        identity = await self.resolve(request.target)
        if touches_target(request.action):
            ensure_meant(request, identity)
        state = await self.describe(request.target)
        ensure_alone(request, state.acted)
        state = _after(request, state)
        action, arguments = action_of(request.action), dict(sorted(request.arguments.items()))
        text = f"dry run: would {action.words(request.target.service, arguments)}"
        _LOG.info("%s", text)
        self.recorded.append(DryEffect(request.key, request.action, request.target, dict(request.arguments)))
        self._states[request.target.environment, request.target.service] = state
        result = self._done[request.key] = StepResult(text, state, {"dry_run": True})
        while len(self._done) > _KEPT:
            self._done.popitem(last=False)
        del self.recorded[:-_KEPT]
        return result

    async def applied(self, request: StepRequest) -> Applied:
        """Whether it was recorded. Nothing ever happened, so what is not remembered may safely be recorded again."""
        return Applied.YES if request.key in self._done else Applied.NO

    async def close(self) -> None:
        """Nothing to release."""


def _after(request: StepRequest, state: TargetState) -> TargetState:
    if not touches_target(request.action):
        return state
    after = action_of(request.action).simulated(request.arguments, state)
    return replace(after, generation=str(int(state.generation) + 1), acted=request.mark)
