"""Reading playbooks from files: all mistakes at once, or the value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from contracts.errors import InvalidPlaybook
from playbooks.language.build import build
from playbooks.language.model import Playbook
from playbooks.language.problems import Problem, refuse
from playbooks.language.reading import BAD, ReadContext
from playbooks.language.rules import RULES, named_in_settings
from playbooks.language.source import MAX_BYTES, parse
from playbooks.language.tables import PLAYBOOK

SUFFIXES = (".yaml", ".yml")
Named = Mapping[str, Collection[str]]
"""By setting (`act.webhooks`), the names that it defines; arguments that a setting not in it defines may be anything."""
Inspected = tuple[Playbook | None, list[Problem], tuple[int, int]]
"""The playbook, or None and what is wrong with it; and the line and column of its name."""
KEPT: Final = 128
"""Files whose reading is kept: what was read last, by its name and its bytes."""


def inspect(file: str, payload: bytes) -> tuple[Playbook | None, list[Problem]]:
    """The playbook in `payload`, or None and everything that is wrong with it. `file` is the name to report."""
    playbook, problems, _ = _inspect(file, payload, {})
    return playbook, problems


@lru_cache(maxsize=KEPT)
def _inspect_once(file: str, payload: bytes, named: tuple[tuple[str, tuple[str, ...]], ...]) -> Inspected:
    """The same bytes say the same for ever, and reading YAML with its places takes a tenth of a second a file."""
    return _inspect(file, payload, dict(named))


def _inspect(file: str, payload: bytes, named: Named) -> Inspected:
    source = parse(file, payload)
    if source.root is None:
        return None, sorted(source.problems), (1, 1)
    to = ReadContext(file, source.text)
    to.nodes[()] = source.root
    document: Any = PLAYBOOK.read(source.root, (), to)
    if document is not BAD:
        for rule in RULES:
            rule(document, to)
        named_in_settings(document, to, named)
    if to.problems:
        return None, sorted(set(to.problems)), _where_named(to)
    return build(document, file), [], _where_named(to)


def _where_named(to: ReadContext) -> tuple[int, int]:
    node = to.nodes.get(("metadata", "name"))
    return (1, 1) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)


def lint(path: Path) -> list[Problem]:
    """Every mistake of one file; a file that can't be opened is one."""
    return lint_all([path])


def lint_all(paths: Iterable[Path], named: Named = MappingProxyType({})) -> list[Problem]:
    """Every mistake of files and folders, and names that are used twice among them."""
    return _load(paths, named)[1]


def read(path: Path) -> Playbook:
    """The playbook in a file.

    Raises:
        InvalidPlaybook: one line per mistake, as `file:line:column: what; suggestion [rule]`.
    """
    playbooks, problems = _load([path], {})
    if problems or len(playbooks) != 1:
        raise (
            refuse(problems) if problems else InvalidPlaybook(f"{path}: one playbook expected, found {len(playbooks)}")
        )
    return playbooks[0]


def read_all(paths: Iterable[Path], named: Named = MappingProxyType({})) -> list[Playbook]:
    """The playbooks in files and folders, by name.

    Raises:
        InvalidPlaybook: all mistakes of all files.
    """
    playbooks, problems = _load(paths, named)
    if problems:
        raise refuse(problems)
    return sorted(playbooks, key=lambda p: p.name)


def library() -> list[Playbook]:
    """The built-in playbooks, by name."""
    return read_all([LIBRARY])


LIBRARY = Path(__file__).parent.parent / "library"


def _load(paths: Iterable[Path], named: Named) -> tuple[list[Playbook], list[Problem]]:
    playbooks: list[Playbook] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    names = tuple((setting, tuple(known)) for setting, known in named.items())
    for path in _files(paths):
        try:
            payload = _bytes(path)
        except OSError as e:
            problems.append(Problem(str(path), 1, 1, "unreadable", f"the file can't be read: {e.strerror or e}"))
            continue
        playbook, found, place = _inspect_once(str(path), payload, names)
        problems += found
        if playbook is not None:
            problems += _twice(playbook, str(path), place, seen)
            playbooks.append(playbook)
    return playbooks, problems


def _bytes(path: Path) -> bytes:
    """At most one byte more than may be read, so that a huge file is refused without being loaded."""
    with path.open("rb") as f:
        return f.read(MAX_BYTES + 1)


def _twice(playbook: Playbook, file: str, place: tuple[int, int], seen: dict[str, str]) -> list[Problem]:
    first = seen.setdefault(playbook.name, file)
    if first == file:
        return []
    message = f"a playbook named {playbook.name!r} exists already, in {first}"
    return [Problem(file, *place, "duplicate_playbook", message, "choose another name")]


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES) if path.is_dir() else [path]
        found.update(dict.fromkeys(inside))
    return list(found)


def by_name(playbooks: Iterable[Playbook]) -> Mapping[str, Playbook]:
    """Playbooks by their name."""
    return {p.name: p for p in playbooks}
