"""The action `flag`: a feature flag, or a setting that is kept beside the target's release, gets another value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from contracts.actions.action import Action, ReplicaBounds
from contracts.actions.arguments import Argument, TextValue
from contracts.errors import ActionFailed
from contracts.targets import TargetState

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_VALUE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%+-]{0,99}")
_UP: Final = re.compile(r"\.\.|//|/$")


class FlagAction(Action):
    """Arguments are `{flag, to}`. Both may come from change events, which anybody may write: what could mean more than a name is refused."""

    name = "flag"
    text = "Give a feature flag of the target another value."
    arguments = (
        Argument(
            key="flag",
            value=TextValue(longest=200, meaning="the name of a flag", example="new-checkout", computed=True),
            text="the flag's name, as whoever tells of its changes names it: `${{ flag.name }}`",
            required=True,
        ),
        Argument(
            key="to",
            value=TextValue(longest=100, meaning="a value of a flag", example="off", computed=True),
            text="the value that it gets, such as the one before: `${{ flag.before }}`",
            required=True,
        ),
    )
    example = '{flag: new-checkout, to: "off"}'
    undo = "{name: undo, action: flag, with: {flag: '${{ flag.name }}', to: '${{ flag.after }}'}}"
    mends_part = True
    beside = True
    unoffered = (
        "nothing is set up that turns flags: act.actions.flag would name the command or webhook that does (docs/actions.md); "
        "until then a person turns it"
    )

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """As given. Raises ActionFailed for what is no name of a flag, or no value of one."""
        del state, bounds
        flag, to = str(arguments.get("flag", "")), str(arguments.get("to", ""))
        if not _NAME.fullmatch(flag) or _UP.search(flag):
            raise ActionFailed(f"{flag[:80]!a} can't be the name of a flag", reason="argument")
        if not _VALUE.fullmatch(to):
            raise ActionFailed(f"{to[:80]!a} can't be the value of a flag", reason="argument")
        return {"flag": flag, "to": to}

    def subject(self, arguments: Mapping[str, Any]) -> str:
        """`flag/new-checkout`."""
        return f"flag/{arguments.get('flag', '')}"

    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        """`turn flag new-checkout of cart to off`."""
        return f"turn flag {arguments.get('flag', '')} of {target} to {arguments.get('to', '')}"

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """What it is turned to; what it was the target's state does not tell."""
        del before
        return "", str(arguments.get("to", ""))
