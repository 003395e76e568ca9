"""Arguments of an action as data: the playbook reader, the JSON schema and the reference are made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BEFORE: Final = "before"
"""Argument of a rollback step that stands for the state journalled before the effect it undoes."""


@dataclass(frozen=True, slots=True)
class NumberValue:
    """A number in [low, high], which `${{ … }}` may compute. `whole` refuses fractions, `above_low` the lower end itself."""

    low: float
    high: float
    whole: bool = False
    above_low: bool = False


@dataclass(frozen=True, slots=True)
class TextValue:
    """Text that matches `pattern` (`meaning` says in words what that is). `computed`: it may hold `${{ … }}`."""

    pattern: str = ""
    meaning: str = "text"
    longest: int = 2000
    example: str = ""
    computed: bool = False


@dataclass(frozen=True, slots=True)
class ChoiceValue:
    """One of a few words; `noun` names the list in messages."""

    noun: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DurationValue:
    """A duration in [low_s, high_s] seconds, written as `5s` or `2m`; the action gets seconds."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class ListValue:
    """A list of texts, each of which `${{ … }}` may compute. `unlisted`: what to say of text where a list is wanted."""

    of: TextValue
    unlisted: str = ""


@dataclass(frozen=True, slots=True)
class DocumentValue:
    """Text, or a mapping of scalars and lists; `${{ … }}` in any text of it."""


ArgumentValue = NumberValue | TextValue | ChoiceValue | DurationValue | ListValue | DocumentValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of an action.

    `before`: in a rollback step it may be `before`, and only there. `replicas`: it is an absolute number of replicas, which the
    playbook's minReplicas and maxReplicas bound. `named_by`: the setting that defines what it names, as `act.webhooks`.
    `default` is for the reference; the value itself is the action's to fill in (`Action.normalised`).
    """

    key: str
    value: ArgumentValue
    text: str
    required: bool = False
    default: str = ""
    before: bool = False
    replicas: bool = False
    named_by: str = ""


def name_from(setting: str, meaning: str, example: str) -> Argument:
    """The argument `name`: that of something which a setting (`act.webhooks`) defines; `meaning` says in words what it looks like."""
    value = TextValue(r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", meaning, 63, example)
    return Argument(key="name", value=value, text="its name in the settings", required=True, named_by=setting)
