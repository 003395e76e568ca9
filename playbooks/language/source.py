"""From bytes to YAML nodes with positions. Nothing is constructed, so a file can make nothing happen; aliases are refused.

YAML 1.2: `on`, `yes` and `no` are text. Because other tools read them as true and false, they must be quoted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from playbooks.language.problems import Problem

MAX_BYTES: Final = 65_536
MAX_DEPTH: Final = 20
_ANCHORED: Final = ("ScalarEvent", "SequenceStartEvent", "MappingStartEvent")

Node = Any
"""A ruamel.yaml MappingNode, SequenceNode or ScalarNode."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file's text and its root node; `root` is None where there is none to look at."""

    file: str
    text: str
    root: Node | None
    problems: tuple[Problem, ...]


def parse(file: str, payload: bytes) -> SourceFile:
    """The file's nodes, and whatever is wrong with it as YAML."""
    text, problem = _decode(file, payload)
    if problem is not None:
        return SourceFile(file, text, None, (problem,))
    try:
        problems, documents = _inspect(file, text)
    except MarkedYAMLError as e:
        return SourceFile(file, text, None, (_syntax(file, e),))
    except (YAMLError, ValueError, OverflowError) as e:
        return SourceFile(file, text, None, (Problem(file, 1, 1, "yaml", f"not YAML: {str(e).splitlines()[0]}"),))
    if not documents:
        problems.append(Problem(file, 1, 1, "empty", "the file holds no playbook"))
    if problems:
        return SourceFile(file, text, None, tuple(problems))
    return SourceFile(file, text, YAML(typ="safe", pure=True).compose(io.StringIO(text)), ())


def _decode(file: str, payload: bytes) -> tuple[str, Problem | None]:
    if len(payload) > MAX_BYTES:
        message = f"the file is larger than {MAX_BYTES} bytes"
        return "", Problem(file, 1, 1, "too_large", message, "one playbook per file")
    try:
        return payload.decode("utf-8-sig"), None
    except UnicodeDecodeError as e:
        before = payload[: e.start]
        line, column = before.count(b"\n") + 1, e.start - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{payload[e.start]:02x} is not UTF-8"
        return "", Problem(file, line, column, "encoding", message, "save the file as UTF-8")


def _inspect(file: str, text: str) -> tuple[list[Problem], int]:
    problems: list[Problem] = []
    documents = depth = 0
    anchors: set[str] = set()
    for event in YAML(typ="rt", pure=True).parse(io.StringIO(text)):
        kind, line, column = type(event).__name__, event.start_mark.line + 1, event.start_mark.column + 1
        if kind == "DocumentStartEvent":
            documents += 1
            if documents == 2:
                problems.append(
                    Problem(file, line, column, "documents", "a second document begins here", "one playbook per file")
                )
        elif event.anchor if kind in _ANCHORED else kind == "AliasEvent" and event.anchor not in anchors:
            anchors.add(event.anchor)
            message = f"{event.anchor}: YAML anchors and aliases are not allowed"
            problems.append(Problem(file, line, column, "alias", message, "write the value out"))
        depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
        if depth > MAX_DEPTH + 2:
            problems.append(Problem(file, line, column, "depth", f"nested more than {MAX_DEPTH} levels deep"))
            break
    return problems, 0 if documents == 1 and _blank(text) else documents


def _blank(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    return all(not line or line.startswith(("#", "---", "...")) for line in lines)


def _syntax(file: str, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    said = str(error.problem or error.context or error).splitlines()[0]
    if "'\\t'" in said:
        return Problem(file, line, column, "tab", "a tab can't indent YAML", "use spaces")
    return Problem(file, line, column, "yaml", f"not YAML: {said}")


def position(node: Node) -> tuple[int, int]:
    """Line and column of a node, from 1."""
    return node.start_mark.line + 1, node.start_mark.column + 1


def position_within(node: Node, text: str, line: int, column: int) -> tuple[int, int]:
    """Where line and column (from 1) of a scalar's *value* are in the file.

    Exact for plain, quoted and literal scalars on their own lines; for folded ones the start of the scalar.
    """
    first_line, first_column = position(node)
    if node.style == "|":
        return _in_literal(node, text, line, column)
    if node.style == ">" or line > 1 or node.start_mark.line != node.end_mark.line:
        return first_line, first_column
    return first_line, first_column + _offset(node, text, column - 1)


def _in_literal(node: Node, text: str, line: int, column: int) -> tuple[int, int]:
    rows = text.splitlines()
    body = node.start_mark.line + 1
    while body < len(rows) and not rows[body].strip():
        body += 1
    indent = len(rows[body]) - len(rows[body].lstrip()) if body < len(rows) else 0
    leading = len(node.value) - len(node.value.lstrip("\n"))
    return body + line - leading, indent + column


def _offset(node: Node, text: str, characters: int) -> int:
    """Characters of source that stand for the first `characters` of the value."""
    if node.style not in ("'", '"'):
        return characters
    row = text.splitlines()[node.start_mark.line]
    at = first = int(node.start_mark.column) + 1
    for _ in range(characters):
        doubled = row[at : at + 2] == "''" if node.style == "'" else row[at : at + 1] == "\\"
        at += 2 if doubled else 1
    return at - first + 1
