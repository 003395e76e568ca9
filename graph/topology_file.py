"""What a person declares about services before any telemetry came: a YAML file.

    environment: shop            # optional; else the installation's default
    services:
      web:
        calls: [cart]
      cart:
        kind: service
        version: "1.4"
        labels: {team: orders, tier: gold}
        calls: [db:postgresql/orders]
      db:postgresql/orders:
        kind: database

Who is called must be declared too, so a misspelt name is found where it is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from contracts.errors import InvalidSettings, suggest
from contracts.ports import GraphWrite

SOURCE: Final = "yaml"
_TOP: Final = ("environment", "services")
_SERVICE: Final = ("kind", "version", "labels", "calls")


@dataclass(frozen=True, slots=True)
class DeclaredService:
    """One service of the file; `calls` names others of it."""

    name: str
    kind: str
    version: str
    labels: Mapping[str, str]
    calls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclaredTopology:
    """The file's content."""

    environment: str
    services: tuple[DeclaredService, ...]

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        """(caller, callee), in the file's order."""
        return tuple((s.name, callee) for s in self.services for callee in s.calls)

    def writes(self, now_ns: int) -> list[GraphWrite]:
        """What the knowledge graph is told. Declared calls hold from the beginning of time; those an earlier version of
        the file said and this one doesn't end at `now_ns`."""
        services = tuple(self._service(s) for s in self.services)
        calls = tuple(self._call(caller, callee) for caller, callee in self.calls)
        kept = [f"{row['caller_key']}>{row['callee_key']}" for row in calls]
        retire = ({"environment": self.environment, "time": now_ns, "kept": kept},)
        writes = (
            GraphWrite("declare_services", services),
            GraphWrite("upsert_calls", calls),
            GraphWrite("retire_declared_calls", retire),
        )
        return [write for write in writes if write.rows]

    def _key(self, name: str) -> str:
        return f"{self.environment}|{name}"

    def _service(self, service: DeclaredService) -> dict[str, Any]:
        return {
            "key": self._key(service.name),
            "environment": self.environment,
            "service": service.name,
            "kind": service.kind,
            "version": service.version,
            "labels": json.dumps(service.labels, sort_keys=True, ensure_ascii=False),
        }

    def _call(self, caller: str, callee: str) -> dict[str, Any]:
        return {
            "caller_key": self._key(caller),
            "callee_key": self._key(callee),
            "valid_from": 0,
            "valid_to": 0,
            "last_seen": 0,
            "calls": 0,
            "errors": 0,
            "source": SOURCE,
            "confidence": 1.0,
        }


def read_topology(path: Path, environment: str) -> DeclaredTopology:
    """The topology in a file; `environment` is the one it is about if it doesn't say.

    Raises:
        InvalidSettings: it can't be read or used: one line per mistake, with file:line:column and a suggestion.
    """
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "not UTF-8"
        raise InvalidSettings(f"{path}: {why}", fix="check graph.topology") from e
    return parse_topology(source, str(path), environment)


def parse_topology(source: str, file: str, environment: str) -> DeclaredTopology:
    """Like `read_topology`, from text; `file` is the name used in messages."""
    try:
        root = YAML(typ="rt").load(source)
    except MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        what = (e.problem or e.context or "not YAML").split("\n")[0]
        raise InvalidSettings(f"{at}: {what}", reason="invalid_topology") from e
    except (YAMLError, ValueError) as e:
        raise InvalidSettings(f"{file}: {str(e).splitlines()[0]}", reason="invalid_topology") from e
    reader = _Reader(file)
    topology = reader.topology(root, environment)
    if reader.mistakes:
        raise InvalidSettings("\n".join(m for _, m in sorted(reader.mistakes)), reason="invalid_topology")
    return topology


class _Reader:
    """Reads the parsed YAML, noting every mistake with its place."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.mistakes: list[tuple[tuple[int, int], str]] = []

    def topology(self, root: Any, environment: str) -> DeclaredTopology:
        if not isinstance(root, CommentedMap):
            self._mistake((0, 0), "expected a mapping with `services:`")
            return DeclaredTopology(environment, ())
        self._known(root, _TOP)
        said = self._text(root, "environment") or environment
        services = tuple(self._services(root))
        self._declared(root, {s.name for s in services})
        return DeclaredTopology(said, services)

    def _services(self, root: CommentedMap) -> Iterator[DeclaredService]:
        services = root.get("services")
        if not isinstance(services, CommentedMap) or not services:
            self._mistake(_value_at(root, "services"), "expected `services:` with a mapping of at least one service")
            return
        for name, body in services.items():
            if not isinstance(name, str) or not name.strip() or "|" in name:
                self._mistake(services.lc.key(name), f"a service name is text without '|', not {name!r}")
            elif body is None:
                yield DeclaredService(name, "", "", {}, ())
            elif isinstance(body, CommentedMap):
                yield self._service(name, body)
            else:
                self._mistake(services.lc.value(name), f"expected a mapping with {', '.join(_SERVICE)}, or nothing")

    def _service(self, name: str, body: CommentedMap) -> DeclaredService:
        self._known(body, _SERVICE)
        calls = tuple(dict.fromkeys(callee for callee, _ in self._calls(body, report=True)))
        return DeclaredService(name, self._text(body, "kind"), self._text(body, "version"), self._labels(body), calls)

    def _labels(self, body: CommentedMap) -> dict[str, str]:
        labels = body.get("labels")
        if labels is None:
            return {}
        if not isinstance(labels, CommentedMap):
            self._mistake(_value_at(body, "labels"), "expected `labels:` with a mapping of text to text")
            return {}
        return {str(key): self._text(labels, key) for key in labels}

    def _calls(self, body: CommentedMap, *, report: bool = False) -> Iterator[tuple[str, tuple[int, int]]]:
        calls = body.get("calls")
        if calls is None:
            return
        if not isinstance(calls, CommentedSeq):
            if report:
                self._mistake(_value_at(body, "calls"), "expected `calls:` with a list of services")
            return
        for i, callee in enumerate(calls):
            if isinstance(callee, str):
                yield callee, calls.lc.item(i)
            elif report:
                self._mistake(calls.lc.item(i), f"expected the name of a service, not {callee!r}")

    def _declared(self, root: CommentedMap, names: set[str]) -> None:
        """Note calls to services that are nowhere declared."""
        services = root.get("services")
        for body in services.values() if isinstance(services, CommentedMap) else ():
            for callee, at in self._calls(body) if isinstance(body, CommentedMap) else ():
                if callee not in names:
                    close = suggest(callee, names)
                    fix = f"did you mean {close!r}?" if close else "declare it under `services:`"
                    self._mistake(at, f"unknown service {callee!r}, {fix}")

    def _text(self, body: CommentedMap, key: str) -> str:
        value = body.get(key)
        if value is None:
            return ""
        if isinstance(value, str):
            return str(value)
        self._mistake(_value_at(body, key), f"{key}: expected text, not {value!r}; put it in quotes")
        return ""

    def _known(self, body: CommentedMap, valid: tuple[str, ...]) -> None:
        for key in body:
            if key not in valid:
                close = suggest(str(key), valid)
                fix = f"did you mean {close!r}?" if close else f"valid: {', '.join(valid)}"
                self._mistake(body.lc.key(key), f"unknown field {str(key)!r}, {fix}")

    def _mistake(self, at: tuple[int, int], what: str) -> None:
        self.mistakes.append((at, f"{self.file}:{at[0] + 1}:{at[1] + 1}: {what}"))


def _value_at(body: CommentedMap, key: str) -> tuple[int, int]:
    """Line and column (from 0) of a key's value, or of the mapping if the key is not there."""
    at: tuple[int, int] = body.lc.value(key) if key in body else (body.lc.line, body.lc.col)
    return at
