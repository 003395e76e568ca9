"""The action `shift`: the calls of one service to another take another path, as a mesh, a proxy or a balancer can have them do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from contracts.actions.action import Action, ReplicaBounds
from contracts.actions.arguments import Argument, ChoiceValue, TextValue
from contracts.errors import ActionFailed
from contracts.targets import TargetState

_SERVICE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,252}")
_PATHS: Final = ("other", "usual")


class ShiftAction(Action):
    """Normalised arguments are `{caller, callee, path}`. The target is the caller: it is its calls that are led elsewhere."""

    name = "shift"
    text = "Lead the target's calls of another service over another path than the usual one."
    arguments = (
        Argument(
            key="caller",
            value=TextValue(longest=253, meaning="a service", example="shop/checkout", computed=True),
            text="whose calls are led elsewhere: `${{ cause.caller }}`",
            required=True,
        ),
        Argument(
            key="callee",
            value=TextValue(longest=253, meaning="a service", example="shop/payment", computed=True),
            text="whom they are for: `${{ cause.callee }}`",
            required=True,
        ),
        Argument(
            key="path",
            value=ChoiceValue("path", _PATHS),
            text="`other`: away from the usual one; `usual`: back to it",
            default="other",
        ),
    )
    example = "{caller: shop/checkout, callee: shop/payment}"
    undo = (
        "{name: undo, action: shift, with: {caller: '${{ cause.caller }}', callee: '${{ cause.callee }}', path: usual}}"
    )
    mends_part = True
    beside = True
    at_caller = True
    unoffered = (
        "nothing is set up that leads traffic over another path: act.actions.shift would name the command or webhook that does, such as "
        "that of a mesh or a balancer (docs/actions.md); until then a person sees to it"
    )

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With the path, `other` where none is given."""
        return {"path": "other", **given}

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """As given. Raises ActionFailed for what is no name of a service."""
        del state, bounds
        for key in ("caller", "callee"):
            name = str(arguments.get(key, ""))
            if not _SERVICE.fullmatch(name) or ".." in name:
                raise ActionFailed(f"{name[:80]!a} can't be the {key}: it is no name of a service", reason="argument")
        return dict(arguments)

    def subject(self, arguments: Mapping[str, Any]) -> str:
        """`calls/shop/payment`."""
        return f"calls/{arguments.get('callee', '')}"

    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        """`lead the calls of cart to stock over another path`."""
        path = "its usual path again" if arguments.get("path") == "usual" else "another path"
        return f"lead the calls of {target} to {arguments.get('callee', '')} over {path}"

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """The path; which one it was the target's state does not tell."""
        del before
        return "", str(arguments.get("path", ""))
