"""The state of reading one file: problems found so far, and which node each value came from."""

from __future__ import annotations

from typing import Any, Final

from playbooks.language.problems import Problem
from playbooks.language.source import Node, position, position_within

Path = tuple[str | int, ...]
"""Where a value is in the document: keys and indices from the root."""

BAD: Final = object()
"""Stands for a value that was wrong; the problem is recorded."""

_TAG: Final = "tag:yaml.org,2002:"
AMBIGUOUS: Final = frozenset({"on", "off", "yes", "no", "y", "n"})


class ReadContext:
    """Collects while shapes read."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.problems: list[Problem] = []
        self.nodes: dict[Path, Node] = {}

    def problem(self, node: Node, rule: str, message: str, suggestion: str = "") -> object:
        """Record what is wrong at a node; returns `BAD`."""
        line, column = position(node)
        self.problems.append(Problem(self.file, line, column, rule, message, suggestion))
        return BAD

    def problem_at(self, path: Path, rule: str, message: str, suggestion: str = "") -> object:
        """The same for a path; what is absent is reported at the nearest thing around it that is there."""
        while path and path not in self.nodes:
            path = path[:-1]
        return self.problem(self.nodes[path], rule, message, suggestion)

    def problem_within(
        self, node: Node, place: tuple[int, int], rule: str, message: str, suggestion: str = ""
    ) -> object:
        """The same for line and column (from 1) of a scalar's value."""
        line, column = position_within(node, self.text, *place)
        self.problems.append(Problem(self.file, line, column, rule, message, suggestion))
        return BAD


def kind_of(node: Node) -> str:
    """What a node is: mapping, list, text, int, float, bool, null, or its foreign tag."""
    tag = str(node.tag or "")
    plain = tag.removeprefix(_TAG)
    names: dict[str, str] = {"map": "mapping", "seq": "list", "str": "text"}
    return names.get(plain, plain if plain in {"int", "float", "bool", "null"} else tag)


def describe(node: Node) -> str:
    """What a node is, in words."""
    kind = kind_of(node)
    words = {"mapping": "a mapping", "list": "a list", "null": "nothing"}
    if kind in words:
        return words[kind]
    if kind == "text":
        return f"the text {_cut(node.value)!r}"
    if kind in {"int", "float"}:
        return f"the number {_cut(node.value)}"
    return f"the boolean {node.value}" if kind == "bool" else f"a value of type {kind}"


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def is_ambiguous(node: Node) -> bool:
    """Whether YAML 1.1 would read this unquoted text as a boolean."""
    return kind_of(node) == "text" and node.style is None and node.value.lower() in AMBIGUOUS
