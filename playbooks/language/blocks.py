"""Shapes that hold other values: lists, free mappings, and blocks with known keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.errors import suggest
from playbooks.language.reading import BAD, Path, ReadContext, describe, is_ambiguous, kind_of
from playbooks.language.shapes import Shape, Text, check_templates, number_of, wrong_type
from playbooks.language.source import Node


@dataclass(frozen=True, slots=True)
class Many:
    """A list; with `or_one` a single value may stand for a list of one. Reads as a tuple."""

    item: Shape
    or_one: bool = False
    least: int = 0
    most: int = 100
    unlisted: str = ""
    """What to say of text where a list is wanted."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "list":
            if self.or_one and kind_of(node) not in {"null", "mapping"}:
                value = self.item.read(node, at, to)
                return BAD if value is BAD else (value,)
            if self.unlisted and kind_of(node) == "text":
                return to.problem(node, "shell", self.unlisted, f'such as ["{node.value.split(" ")[0]}"]')
            return wrong_type(node, at, to, "a list")
        if not self.least <= len(node.value) <= self.most:
            return to.problem(node, "wrong_value", f"{at[-1]!r} must have {self.least} to {self.most} entries")
        values = []
        for i, child in enumerate(node.value):
            to.nodes[(*at, i)] = child
            values.append(self.item.read(child, (*at, i), to))
        return tuple(v for v in values if v is not BAD)

    def schema(self) -> dict[str, Any]:
        several: dict[str, Any] = {"type": "array", "items": self.item.schema(), "maxItems": self.most}
        if self.least:
            several["minItems"] = self.least
        return {"anyOf": [self.item.schema(), several]} if self.or_one else several

    def describe(self) -> str:
        return f"{self.item.describe()}; {'one or a list' if self.or_one else 'a list'}"


@dataclass(frozen=True, slots=True)
class Texts:
    """A mapping from names to text."""

    most: int = 50

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "mapping":
            return wrong_type(node, at, to, "a mapping of names to text")
        values = {}
        for key, child in pairs(node, at, to):
            value = Text().read(child, (*at, key), to)
            if value is not BAD:
                values[key] = value
        return values

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 2000}}

    def describe(self) -> str:
        return "names and text"


@dataclass(frozen=True, slots=True)
class Body:
    """Text, or a mapping of scalars and lists; `${{ … }}` in any text of it."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        kind = kind_of(node)
        if kind == "mapping":
            return {k: v for k, c in pairs(node, at, to) if (v := self.read(c, (*at, k), to)) is not BAD}
        if kind == "list":
            return [v for i, c in enumerate(node.value) if (v := self.read(c, (*at, i), to)) is not BAD]
        if kind == "text":
            return check_templates(node, to)
        if kind in {"int", "float"}:
            return number_of(node)
        return {"true": True, "false": False}.get(str(node.value).lower()) if kind == "bool" else None

    def schema(self) -> dict[str, Any]:
        return {"type": ["string", "object"]}

    def describe(self) -> str:
        return "text or a mapping; `${{ … }}` in any text"


def pairs(node: Node, at: Path, to: ReadContext) -> list[tuple[str, Node]]:
    """Keys and nodes of a mapping; duplicates and keys that aren't text are recorded and left out."""
    seen: dict[str, Node] = {}
    for key, child in node.value:
        name = str(key.value) if kind_of(key) not in {"mapping", "list"} else ""
        if is_ambiguous(key):
            to.problem(
                key, "ambiguous_boolean", f"{name!r} is read as a boolean by other YAML tools", f'write "{name}"'
            )
        elif kind_of(key) != "text":
            to.problem(key, "wrong_type", f"a key must be text, not {describe(key)}", f'write "{name}"' if name else "")
        elif name in seen:
            to.problem(key, "duplicate_key", f"{name!r} is given twice, first in line {seen[name].start_mark.line + 1}")
        else:
            seen[name] = key
            to.nodes[(*at, name)] = child
            to.nodes[(*at, name, KEY)] = key
    return [(n, to.nodes[(*at, n)]) for n in seen]


KEY: Final = "\0key"
"""Last element of the path of a key itself."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a block. `default` is for the reference; the value itself has it."""

    key: str
    shape: Shape
    text: str
    required: bool = False
    default: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A mapping with known keys."""

    name: str
    fields: tuple[Field, ...]
    one_of: tuple[str, ...] = field(default=())
    """Exactly one of these keys must be there."""

    def read(self, node: Node, at: Path, to: ReadContext) -> Any:
        if kind_of(node) != "mapping":
            return wrong_type(node, at, to, "a mapping") if at else self._no_document(node, to)
        known, values, meant = {f.key: f for f in self.fields}, {}, set[str]()
        for key, child in pairs(node, at, to):
            if key not in known:
                meant.add(self._unknown(key, at, to))
                continue
            meant.add(key)
            value = known[key].shape.read(child, (*at, key), to)
            if value is not BAD:
                values[key] = value
        self._missing(node, meant, to)
        return values

    def _no_document(self, node: Node, to: ReadContext) -> Any:
        return to.problem(node, "wrong_type", f"a playbook is a mapping, not {describe(node)}")

    def _unknown(self, key: str, at: Path, to: ReadContext) -> str:
        """Record it; the key that was probably meant, which is not reported as missing as well."""
        close = suggest(key, [f.key for f in self.fields])
        valid = ", ".join(f.key for f in self.fields)
        hint = f"did you mean {close!r}?" if close else f"valid: {valid}"
        to.problem(to.nodes[(*at, key, KEY)], "unknown_key", f"unknown key {key!r} in {self.name}", hint)
        return close or key

    def _missing(self, node: Node, found: set[str], to: ReadContext) -> None:
        for f in self.fields:
            if f.required and f.key not in found:
                to.problem(node, "missing", f"{self.name} needs {f.key!r}", f"add it: {f.text}")
        chosen = [k for k in self.one_of if k in found]
        if self.one_of and len(chosen) != 1:
            wanted = " or ".join(repr(k) for k in self.one_of)
            has = f"not {' and '.join(repr(k) for k in chosen)}" if chosen else "and has none"
            to.problem(
                node, "missing" if not chosen else "conflict", f"{self.name} needs exactly one of {wanted}, {has}"
            )

    def schema(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            "properties": {f.key: _with_text(f) for f in self.fields},
        }
        required = [f.key for f in self.fields if f.required]
        if required:
            out["required"] = required
        if self.one_of:
            out["oneOf"] = [{"required": [k]} for k in self.one_of]
        return out

    def describe(self) -> str:
        return f"see {self.name}"


def _with_text(f: Field) -> Mapping[str, Any]:
    return {**f.shape.schema(), "description": f.text}
