"""The action `restart`: what runs is replaced by the same, all of it one after another, or one instance at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.actions.action import Action
from contracts.actions.arguments import Argument, ChoiceValue, TextValue
from contracts.targets import TargetState

_STRATEGIES = ("instance", "rolling")


class RestartAction(Action):
    """Normalised arguments are `{strategy, instance?}`."""

    name = "restart"
    text = "Restart the target."
    arguments = (
        Argument(
            key="strategy",
            value=ChoiceValue("strategy", _STRATEGIES),
            text="`instance` replaces one at once: one that isn't ready, else the oldest; `rolling` all of them, one after another, "
            "keeping the rest serving",
            default="rolling",
        ),
        Argument(
            key="instance",
            value=TextValue(longest=253, meaning="the name of an instance", example="cart-5d9c-x2x7k", computed=True),
            text="which one `strategy: instance` replaces, by the name its platform has for it; empty: as above",
        ),
    )
    example = "{strategy: instance}"

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With the strategy, `rolling` where none is given."""
        return {"strategy": "rolling", **given}

    def variant(self, arguments: Mapping[str, Any]) -> str:
        """`restart/instance` or `restart/rolling`."""
        return f"{self.name}/instance" if _one_instance(arguments) else f"{self.name}/rolling"

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """One at most if one instance is restarted; else what the target says a roll-out takes away."""
        if _one_instance(arguments):
            spare = state.ready < state.replicas and not arguments.get("instance")  # one that isn't ready goes first
            return 0 if spare else min(1, state.ready)
        return state.disrupts or 0

    def outage(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """Restarting one instance is no outage in this sense, even of the only one: less can't be done to it."""
        return "" if _one_instance(arguments) else super().outage(arguments, state)


def _one_instance(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("strategy") == "instance"
