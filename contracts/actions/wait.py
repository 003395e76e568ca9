"""The action `wait`: nothing but time passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.actions.action import Action, Touches
from contracts.actions.arguments import Argument, DurationValue, NumberValue


class WaitAction(Action):
    """Normalised arguments are `{seconds}`."""

    name = "wait"
    text = "Let time pass."
    touches = Touches.NOTHING
    arguments = (
        Argument(key="seconds", value=NumberValue(0, 3600), text="this long"),
        Argument(key="duration", value=DurationValue(0.0, 3600.0), text="this long, as 5s or 2m"),
    )
    one_of = ("seconds", "duration")
    example = "{duration: 5s}"

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As seconds."""
        return {"seconds": given["duration"]} if isinstance(given.get("duration"), float) else dict(given)

    def pause_s(self, arguments: Mapping[str, Any]) -> float:
        """The seconds given."""
        return float(arguments.get("seconds", 0.0))
