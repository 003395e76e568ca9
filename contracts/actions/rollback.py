"""The action `rollback`: another version of the target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from contracts.actions.action import Action, ReplicaBounds
from contracts.actions.arguments import BEFORE, Argument, TextValue
from contracts.errors import ActionFailed
from contracts.targets import TargetState


class RollbackAction(Action):
    """Normalised arguments are `{version?}`; without one it is the version before the present one."""

    name = "rollback"
    text = "Go back to another version of the target."
    arguments = (
        Argument(
            key="to",
            value=TextValue(meaning="a version, `previous`, or (in rollback) `before`", longest=200, computed=True),
            text="version to run; `previous` is the one before the present one",
            default="previous",
            before=True,
        ),
    )
    example = "{to: previous}"
    undo = "{name: undo, action: rollback, with: {to: before}}"
    mends_part = True

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Versions under `version`; none for the previous one."""
        to = given.get("to", "previous")
        return {} if to == "previous" else {"version": BEFORE if to == BEFORE else to}

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """With the previous version by its name, where that is known."""
        del bounds
        if "version" not in arguments and state is not None and state.previous_version:
            return {**arguments, "version": state.previous_version}
        return dict(arguments)

    def restored(
        self, given: Mapping[str, Any], state: TargetState | None, before: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """The version from before, unless the step names one. Where that is the present one, too, as a setting or a limit was taken back, it is
        the release before the present one."""
        del bounds
        if "version" in given:
            return dict(given)
        if before is None:
            raise ActionFailed("the state from before is not known")
        same = state is not None and state.version == before.version and state.previous_version
        return {"version": state.previous_version if state is not None and same else before.version}

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """What the target says that a roll-out takes away."""
        del arguments
        return state.disrupts or 0

    def unable(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """Going to the version before needs one."""
        to_previous = "version" not in arguments
        return "no earlier version to go back to" if to_previous and not state.previous_version else ""

    def pointless(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """It runs that version already."""
        return "no other version to go to" if arguments.get("version") in {None, "", state.version} else ""

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """Versions before and after."""
        return "" if before is None else before.version, str(arguments.get("version", ""))

    def simulated(self, arguments: Mapping[str, Any], state: TargetState) -> TargetState:
        """That version, and the present one to go back to."""
        version = str(arguments.get("version") or state.previous_version)
        return replace(state, version=version, previous_version=state.version)
