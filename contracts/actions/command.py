"""The action `command`: a program that the settings name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from contracts.actions.action import Action, Mistake, Touches
from contracts.actions.arguments import Argument, ListValue, TextValue, name_from
from contracts.errors import ActionFailed

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "cmd", "powershell", "pwsh"})


class CommandAction(Action):
    """Arguments are `{name, args?}`."""

    name = "command"
    text = "Run a command that the settings name (`act.commands`). There is no shell."
    touches = Touches.ANYTHING
    arguments = (
        name_from("act.commands", "a command's name in the settings, not a command line", "flush-cache"),
        Argument(
            key="args",
            value=ListValue(
                TextValue(longest=500, computed=True), "'args' must be a list: no shell splits it into words"
            ),
            text="arguments appended to the command's own, one entry each; only what is written here may begin with `-`, never a value",
        ),
    )
    example = "{name: flush-cache, args: [--all]}"
    undo = "a command that reverts it"

    def mistakes(self, given: Mapping[str, Any]) -> Iterator[Mistake]:
        """A command's arguments do not bring a shell along."""
        if given.get("name") in _SHELLS:
            message = f"command {given['name']!r} would be a shell"
            yield Mistake("name", "shell", message, "name the program itself in the settings")

    def ensure_as_written(self, written: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """A program takes what begins with `-` for an option: only the playbook's author may write one, never telemetry."""
        templates = written.get("args", ())
        for i, argument in enumerate(arguments.get("args", ())):
            listed = isinstance(templates, Sequence) and not isinstance(templates, str)
            template, text = str(templates[i]) if listed else "", str(argument)
            if text.startswith("-") and not template.startswith("-"):
                raise ActionFailed(f"argument {i + 1} would be an option: {text[:80]!a}", reason="argument")
            if not text.isprintable() and text != template:
                raise ActionFailed(f"argument {i + 1} is not printable: {text[:80]!a}", reason="argument")
