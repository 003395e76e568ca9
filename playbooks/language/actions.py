"""The actions a step may take and their arguments: one table. The reader, the JSON schema and the reference are made from it.

An action is added with one entry here, and by an actuator that lists it in `Actuator.actions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from playbooks.language.blocks import Block, Body, Field, Many
from playbooks.language.shapes import ChoiceShape, Computed, Duration, Either, Number, Text

BEFORE: Final = "before"
"""Argument of a rollback step that stands for the state journalled before the effect it undoes."""

_REFERENCE: Final = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
_LABEL: Final = "lower-case letters, digits, - and _"


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action. `on_target`: it changes the target itself, so its state must be known. `undo`: what a playbook that uses
    it must say about undoing: `nothing` (there is nothing to undo) or `steps` (rollback must be written)."""

    name: str
    text: str
    arguments: Block
    on_target: bool
    undo: str
    example: str


def _action(
    name: str,
    text: str,
    fields: tuple[Field, ...],
    on_target: bool,
    undo: str,
    example: str,
    one_of: tuple[str, ...] = (),
) -> ActionSpec:
    return ActionSpec(name, text, Block(f"action {name}", fields, one_of), on_target, undo, example)


ACTIONS: Final[dict[str, ActionSpec]] = {
    a.name: a
    for a in (
        _action(
            "scale",
            "Change the number of replicas.",
            (
                Field(
                    "replicas",
                    Either(BEFORE, Computed(Number(0, 10_000, whole=True), ("int",))),
                    "this many; `before` (in rollback) is as many as there were",
                ),
                Field(
                    "by", Computed(Number(-10_000, 10_000, whole=True), ("int",)), "this many more; negative is fewer"
                ),
                Field(
                    "factor",
                    Computed(Number(0, 100, above_low=True), ("double", "int")),
                    "times what there are, rounded up, within minReplicas and maxReplicas",
                ),
            ),
            True,
            "steps",
            "{by: 1}",
            ("replicas", "by", "factor"),
        ),
        _action(
            "restart",
            "Restart the target.",
            (
                Field(
                    "strategy",
                    ChoiceShape("strategy", ("instance", "rolling")),
                    "`instance` replaces what runs at once; `rolling` one after another, keeping the rest serving",
                    default="rolling",
                ),
            ),
            True,
            "nothing",
            "{strategy: instance}",
        ),
        _action(
            "rollback",
            "Go back to another version of the target.",
            (
                Field(
                    "to",
                    Computed(
                        Text(meaning="a version, `previous`, or (in rollback) `before`", longest=200), ("string",)
                    ),
                    "version to run; `previous` is the one before the present one",
                    default="previous",
                ),
            ),
            True,
            "steps",
            "{to: previous}",
        ),
        _action(
            "wait",
            "Let time pass.",
            (
                Field("seconds", Computed(Number(0, 3600), ("double", "int")), "this long"),
                Field("duration", Duration(0.0, 3600.0), "this long, as 5s or 2m"),
            ),
            False,
            "nothing",
            "{duration: 5s}",
            ("seconds", "duration"),
        ),
        _action(
            "webhook",
            "Call a webhook that the settings name (`act.webhooks`).",
            (
                Field("name", Text(_REFERENCE, _LABEL, 63, "pager"), "its name in the settings", required=True),
                Field("body", Body(), "what is sent, besides the run's own data"),
            ),
            False,
            "nothing",
            "{name: pager, body: {text: look at ${{ service.name }}}}",
        ),
        _action(
            "command",
            "Run a command that the settings name (`act.commands`). There is no shell.",
            (
                Field(
                    "name",
                    Text(_REFERENCE, "a command's name in the settings, not a command line", 63, "flush-cache"),
                    "its name in the settings",
                    required=True,
                ),
                Field(
                    "args",
                    Many(
                        Computed(Text(longest=500), ("string", "int", "double", "bool")),
                        unlisted="'args' must be a list: no shell splits it into words",
                    ),
                    "arguments appended to the command's own, one entry each; only what is written here may begin with `-`, never a value",
                ),
            ),
            False,
            "steps",
            "{name: flush-cache, args: [--all]}",
        ),
    )
}

TARGET_ACTIONS: Final = frozenset(a.name for a in ACTIONS.values() if a.on_target)
