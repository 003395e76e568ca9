"""The action `scale`: another number of replicas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contracts.actions.action import Action, ReplicaBounds, resized
from contracts.actions.arguments import Argument, NumberValue
from contracts.errors import ActionFailed
from contracts.targets import TargetState


class ScaleAction(Action):
    """Absolute arguments are `{replicas}`."""

    name = "scale"
    text = "Change the number of replicas."
    arguments = (
        Argument(
            key="replicas",
            value=NumberValue(0, 10_000, whole=True),
            text="this many; `before` (in rollback) is as many as there were",
            before=True,
            replicas=True,
        ),
        Argument(key="by", value=NumberValue(-10_000, 10_000, whole=True), text="this many more; negative is fewer"),
        Argument(
            key="factor",
            value=NumberValue(0, 100, above_low=True),
            text="times what there are, rounded up, within minReplicas and maxReplicas",
        ),
    )
    one_of = ("replicas", "by", "factor")
    example = "{by: 1}"
    undo = "{name: undo, action: scale, with: {replicas: before}}"
    meets_demand = True

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """`{replicas}`; a `factor` stays within the bounds and what the target itself allows (`TargetState.most`)."""
        if state is None:
            raise ActionFailed("the number of replicas is not known")
        try:
            if "replicas" in arguments:
                return {"replicas": int(arguments["replicas"])}
            if "by" in arguments:
                return {"replicas": state.replicas + int(arguments["by"])}
            grown = math.ceil(state.replicas * float(arguments["factor"]) - 1e-9)
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise ActionFailed(f"scale can't be computed from {dict(arguments)}: {e}") from e
        highest = bounds.most if state.most is None else min(bounds.most, max(state.most, state.replicas))
        return {"replicas": max(min(grown, highest), bounds.least)}

    def restored(
        self, given: Mapping[str, Any], state: TargetState | None, before: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """As many as there were, unless the step says how many."""
        if "replicas" in given:
            return dict(given)
        if given and state is not None:
            return self.absolute(given, state, bounds)
        if before is None:
            raise ActionFailed("the state from before is not known")
        return {"replicas": before.replicas}

    def replicas(self, arguments: Mapping[str, Any]) -> int | None:
        """The number asked for; None while it is not absolute."""
        return int(arguments["replicas"]) if "replicas" in arguments else None

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """Replicas before and after."""
        return "" if before is None else str(before.replicas), str(arguments.get("replicas", ""))

    def simulated(self, arguments: Mapping[str, Any], state: TargetState) -> TargetState:
        """That many replicas, all ready."""
        return resized(state, int(arguments.get("replicas", state.replicas)))
