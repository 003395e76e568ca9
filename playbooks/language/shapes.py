"""What a value of the playbook language may look like. Each shape reads a YAML node, gives its JSON schema, and describes itself.

`read` returns a plain Python value, or `BAD` after recording what is wrong.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

from playbooks.language import durations, expressions, windows
from playbooks.language.reading import BAD, Path, ReadContext, describe, is_ambiguous, kind_of
from playbooks.language.source import Node

TEMPLATE_SCHEMA: Final = {"type": "string", "pattern": r"\$\{\{.*\}\}"}


class Shape(Protocol):
    """One kind of value."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        """The value, or BAD."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON schema (2020-12)."""
        ...

    def describe(self) -> str:
        """What to write, in a few words."""
        ...


def wrong_type(node: Node, at: Path, to: ReadContext, wanted: str, suggestion: str = "") -> Any:
    """Record that something else was expected."""
    name = next((p for p in reversed(at) if isinstance(p, str)), "the document")
    return to.problem(node, "wrong_type", f"{name!r} must be {wanted}, not {describe(node)}", suggestion)


@dataclass(frozen=True, slots=True)
class Text:
    """Text; `pattern` and what it means in words."""

    pattern: str = ""
    meaning: str = "text"
    longest: int = 2000
    example: str = ""
    refused: tuple[str, ...] = ()

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "text":
            quoted = f'write "{node.value}"' if kind_of(node) in {"int", "float", "bool"} else ""
            return wrong_type(node, at, to, "text", quoted)
        value = node.value
        if is_ambiguous(node):
            return to.problem(
                node, "ambiguous_boolean", f"{value!r} is read as a boolean by other YAML tools", f'write "{value}"'
            )
        if not value.strip() or len(value) > self.longest or (self.pattern and not re.fullmatch(self.pattern, value)):
            hint = f"such as {self.example}" if self.example else ""
            meaning = self.meaning if value.strip() else f"{self.meaning}, and is empty"
            return to.problem(node, "wrong_value", f"{at[-1]!r} must be {meaning}", hint)
        if value in self.refused:
            return to.problem(node, "wrong_value", f"{value!r} is a reserved name", "choose another")
        return value

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": self.longest}
        if self.pattern:
            out["pattern"] = self.pattern
        if self.refused:
            out["not"] = {"enum": list(self.refused)}
        return out

    def describe(self) -> str:
        return self.meaning


@dataclass(frozen=True, slots=True)
class ChoiceShape:
    """One of a list of words. `noun` names the list in messages. `elsewhere` are words that exist but `misplaced` here.

    `always_listed`: a refusal lists the words even where one of them is close to what was written.
    """

    noun: str
    values: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    misplaced: str = ""
    always_listed: bool = False

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "text":
            return wrong_type(node, at, to, f"one of {', '.join(self.values)}")
        if node.value in self.elsewhere:
            return to.problem(node, f"misplaced_{self.noun}", f"{self.noun} {node.value!r} {self.misplaced}")
        if node.value not in self.values:
            # Stricter than for keys: of a few short words, one is always somewhat alike.
            close = difflib.get_close_matches(node.value, self.values, n=1, cutoff=0.7)
            meant, valid = f"did you mean {close[0]!r}?" if close else "", f"valid: {', '.join(self.values)}"
            hint = f"{meant} {valid}".strip() if self.always_listed or not close else meant
            rule = f"unknown_{self.noun.replace(' ', '_').lower()}"
            return to.problem(node, rule, f"unknown {self.noun} {node.value!r}", hint)
        return node.value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.values)}

    def describe(self) -> str:
        return ", ".join(f"`{v}`" for v in self.values)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in [low, high]; `whole` refuses fractions."""

    low: float
    high: float
    whole: bool = False
    above_low: bool = False

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        wanted = "a whole number" if self.whole else "a number"
        if kind_of(node) not in ({"int"} if self.whole else {"int", "float"}):
            return wrong_type(node, at, to, wanted, _unquoted(node))
        value = number_of(node)
        if value is None:
            return wrong_type(node, at, to, wanted)
        if not self.low <= value <= self.high or (self.above_low and value == self.low):
            return to.problem(node, "out_of_range", f"{at[-1]!r} must be {self.describe()}, not {node.value}")
        return value

    def schema(self) -> dict[str, Any]:
        low = "exclusiveMinimum" if self.above_low else "minimum"
        return {"type": "integer" if self.whole else "number", low: self.low, "maximum": self.high}

    def describe(self) -> str:
        if self.above_low:
            return f"above {self.low:g} and at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


def number_of(node: Node) -> int | float | None:
    """The value of a YAML 1.2 number, or None (hexadecimal, octal, .inf and .nan are no amounts)."""
    try:
        value = int(node.value) if kind_of(node) == "int" else float(node.value)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _unquoted(node: Node) -> str:
    numeric = kind_of(node) == "text" and re.fullmatch(r"[+-]?\d+(\.\d+)?", node.value)
    return f"write {node.value} without quotes" if numeric else ""


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration in [low_s, high_s] seconds; reads as seconds."""

    low_s: float
    high_s: float

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        value = durations.parse(node.value) if kind_of(node) == "text" else None
        if value is None:
            hint = f"write {node.value}s" if kind_of(node) in {"int", "float"} else "such as 500ms, 30s, 5m or 1h30m"
            return to.problem(node, "duration", f"{at[-1]!r} must be a duration, not {describe(node)}", hint)
        if not self.low_s <= value <= self.high_s:
            return to.problem(node, "out_of_range", f"{at[-1]!r} must be {self.describe()}, not {node.value}")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": durations.PATTERN}

    def describe(self) -> str:
        return f"{durations.spell(self.low_s)} to {durations.spell(self.high_s)}"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Times of the week."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "text" or windows.parse(node.value) is None:
            return to.problem(
                node, "window", f"{describe(node)} is no time window", "such as Mon-Fri 08:00-18:00 (UTC)"
            )
        return node.value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": windows.PATTERN}

    def describe(self) -> str:
        return "`Mon-Fri 08:00-18:00` (UTC)"


@dataclass(frozen=True, slots=True)
class ConditionShape:
    """A CEL expression that is true or false."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "text":
            return wrong_type(node, at, to, "an expression, as text", 'put it in quotes, such as "replicas < 5"')
        return _checked(node, node.value, 0, to, ("bool",), in_argument=False)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": expressions.MAX_LENGTH}

    def describe(self) -> str:
        return "CEL, true or false"


def _checked(
    node: Node, text: str, skipped: int, to: ReadContext, wanted: tuple[str, ...], *, in_argument: bool
) -> Any:
    """The scalar's value if the expression `text`, which begins `skipped` characters into it, is right."""
    errors = expressions.check(text, wanted, in_argument=in_argument)
    before = node.value[:skipped]
    rows, last = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    for e in errors:
        column = e.column + (last if e.line == 1 else 0)
        to.problem_within(node, (e.line + rows, column), e.rule, e.message, e.suggestion)
    return BAD if errors else node.value


def check_templates(node: Node, to: ReadContext, wanted: tuple[str, ...] = ()) -> Any:
    """The text of a scalar with every `${{ … }}` in it checked."""
    value, good = node.value, True
    if value.count("${{") != len(expressions.TEMPLATE.findall(value)):
        return to.problem(node, "expression_syntax", "'${{' without '}}'", "close the expression")
    for found in expressions.TEMPLATE.finditer(value):
        inner = found.group(1)
        skipped = found.start(1) + len(inner) - len(inner.lstrip())
        good &= _checked(node, inner.strip(), skipped, to, wanted, in_argument=True) is not BAD
    return value if good else BAD


@dataclass(frozen=True, slots=True)
class Computed:
    """A value that may be written as `${{ expression }}` of one of the CEL types `wanted`."""

    inner: Shape
    wanted: tuple[str, ...]

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "text" or "${{" not in node.value:
            return self.inner.read(node, at, to)
        whole = node.value.strip().startswith("${{") and node.value.strip().endswith("}}")
        return check_templates(node, to, self.wanted if whole and node.value.count("${{") == 1 else ("string",))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.inner.schema(), TEMPLATE_SCHEMA]}

    def describe(self) -> str:
        return f"{self.inner.describe()}, or `${{{{ … }}}}`"


@dataclass(frozen=True, slots=True)
class Either:
    """A word with a special meaning, or another shape."""

    word: str
    other: Shape

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        return node.value if kind_of(node) == "text" and node.value == self.word else self.other.read(node, at, to)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": self.word}, self.other.schema()]}

    def describe(self) -> str:
        return f"`{self.word}` or {self.other.describe()}"
