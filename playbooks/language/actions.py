"""The arguments of actions as blocks and shapes of the language: the reader, the JSON schema and the reference are made from them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from contracts.actions import (
    BEFORE,
    Action,
    Argument,
    ArgumentValue,
    ChoiceValue,
    DocumentValue,
    DurationValue,
    ListValue,
    NumberValue,
    TextValue,
    Touches,
    action_of,
    installed_actions,
    touches_target,
    waits,
)
from playbooks.language.blocks import Block, Body, Field, Many
from playbooks.language.model import ONE_INSTANCE, Playbook, Step
from playbooks.language.reading import Path, ReadContext
from playbooks.language.shapes import ChoiceShape, Computed, Duration, Either, Number, Shape, Text
from playbooks.language.source import Node

_SCALARS = ("string", "int", "double", "bool")


@functools.lru_cache(maxsize=256)
def block_of(action: Action) -> Block:
    """What a step's `with` may hold."""
    return Block(f"action {action.name}", tuple(_field(a) for a in action.arguments), action.one_of)


def touching(steps: Iterable[Step]) -> list[tuple[Action, Step]]:
    """The steps that change the target itself, each with its action."""
    return [(action_of(s.action), s) for s in steps if touches_target(s.action)]


def variants(playbook: Playbook) -> set[str]:
    """What a playbook does to its target."""
    return {action.variant(step.arguments) for action, step in touching(playbook.steps)}


def tells(playbook: Playbook) -> bool:
    """Whether all that a playbook does is to tell somebody: that takes no certainty, and nobody's leave."""
    acts = [action_of(s.action) for s in (*playbook.steps, *playbook.rollback) if not waits(s.action)]
    return bool(acts) and all(a.touches is Touches.SOMEBODY for a in acts)


def probes(playbook: Playbook) -> bool:
    """Whether a playbook is a probe: one instance of several is replaced to learn of the cause, and looked at beside its siblings."""
    return any(c.service == ONE_INSTANCE for c in playbook.verify.checks)


class ActionName:
    """The name of an action that is installed, built in or by a plugin, at the time of reading."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        """The name; an unknown one is refused with the list of those there are."""
        return self._choice.read(node, at, to)

    def schema(self) -> dict[str, Any]:
        """An enumeration of them."""
        return self._choice.schema()

    def describe(self) -> str:
        """All of them."""
        return self._choice.describe()

    @property
    def _choice(self) -> ChoiceShape:
        return ChoiceShape("action", tuple(installed_actions()), always_listed=True)


def _field(argument: Argument) -> Field:
    shape = _shape(argument.value)
    if argument.before and not isinstance(argument.value, TextValue):
        shape = Either(BEFORE, shape)
    return Field(argument.key, shape, argument.text, argument.required, argument.default)


def _shape(value: ArgumentValue) -> Shape:
    match value:
        case NumberValue():
            number = Number(value.low, value.high, value.whole, value.above_low)
            return Computed(number, ("int",) if value.whole else ("double", "int"))
        case TextValue():
            text = _text(value)
            return Computed(text, ("string",)) if value.computed else text
        case ChoiceValue():
            return ChoiceShape(value.noun, value.values)
        case DurationValue():
            return Duration(value.low_s, value.high_s)
        case ListValue():
            item = _text(value.of)
            return Many(Computed(item, _SCALARS) if value.of.computed else item, unlisted=value.unlisted)
        case DocumentValue():
            return Body()


def _text(value: TextValue) -> Text:
    return Text(value.pattern, value.meaning, value.longest, value.example)
