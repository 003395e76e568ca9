"""The action `drain`: a node, or all nodes of a zone, are set aside, and the instances that the target has there move elsewhere,
one after another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from contracts.actions.action import Action
from contracts.actions.arguments import Argument, ChoiceValue, TextValue
from contracts.targets import TargetState

ASIDE: Final = "drain/aside"
BACK: Final = "drain/back"
"""Its variants: a node (or zone) is set aside, and it gets instances again."""


class DrainAction(Action):
    """Normalised arguments are `{node, set}` or `{zone, set}`."""

    name = "drain"
    text = "Set a node, or all nodes of a zone, aside, and move the target's instances off."
    arguments = (
        Argument(
            key="node",
            value=TextValue(longest=253, meaning="the name of a node", example="node-7", computed=True),
            text="which node; what other services have there stays until they are acted on themselves",
        ),
        Argument(
            key="zone",
            value=TextValue(longest=253, meaning="the name of a zone", example="eu-1a", computed=True),
            text="instead of a node: all nodes of which zone",
        ),
        Argument(
            key="set",
            value=ChoiceValue("state of the node", ("aside", "back")),
            text="`aside`: nothing new is put there, and the target's instances go one after another, keeping the rest serving, and the only one "
            "that serves once its successor does, where its system can do that; "
            "`back`: it gets instances again, if it was set aside by us",
            default="aside",
        ),
    )
    one_of = ("node", "zone")
    one_of_several = True
    example = "{node: node-7}"
    undo = "{name: undo, action: drain, with: {node: node-7, set: back}}"

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With what becomes of the node, `aside` where nothing is given."""
        return {"set": "aside", **given}

    def variant(self, arguments: Mapping[str, Any]) -> str:
        """`drain/aside` or `drain/back`."""
        return BACK if arguments.get("set") == "back" else ASIDE

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """One at a time; of the only one that serves what a roll-out takes away, as its successor is started first where it can be. None
        where a node only gets instances again."""
        if self.variant(arguments) == BACK:
            return 0
        rolled = state.ready == 1 and state.disrupts is not None
        return min(state.disrupts or 0, 1) if rolled else min(1, state.ready)

    def unable(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """A node or zone must be named."""
        del state
        named = arguments.get("node") or arguments.get("zone")
        return "" if named else "no node or zone is named that could be set aside"
