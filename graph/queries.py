"""What a person asks of the knowledge graph: the path between two services, and why an incident happened.

Each question is a function from a store to a value; `graph.rendering` writes the values as plain text.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from contracts.errors import UnknownName
from contracts.ports import GraphStore
from contracts.units import SECOND
from graph.cypher import text

#: As a time: the calls that still hold.
NOW: Final = 2**63 - 1
MAX_HOPS: Final = 12
MAX_PATHS: Final = 10
LATEST: Final = "latest"
_CHANGE_HORIZON_NS: Final = 600 * SECOND

Row = dict[str, Any]
Layer = Mapping[str, Sequence[str]]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Hop:
    """One call on a path. Counts are those of the interval in which the call holds; `source` says who knows of it."""

    caller: str
    callee: str
    calls: int
    errors: int
    source: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Paths:
    """The shortest chains of calls from one service to another; none, and `reverse` if they go the other way."""

    environment: str
    start: str
    end: str
    paths: tuple[tuple[Hop, ...], ...]
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """One candidate of a ranking; `ruled_out` says why it isn't the cause, "" if it may be."""

    service: str
    kind: str
    probability: float
    rank: int
    evidence: tuple[str, ...]
    path: tuple[str, ...]
    path_text: str
    ruled_out: str


@dataclass(frozen=True, slots=True)
class Symptom:
    """One anomaly of an incident."""

    id: str
    service: str
    phase: str
    onset_ns: int
    decades: float
    text: str


@dataclass(frozen=True, slots=True)
class Deed:
    """One run of a playbook for an incident."""

    run: str
    playbook: str
    service: str
    state: str
    outcome: str
    time_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Changed:
    """One change on a suspected service shortly before or during an incident."""

    service: str
    kind: str
    time_ns: int
    actor: str
    before: str
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Why:
    """An incident, what caused it, and what came of it."""

    incident: str
    environment: str
    phase: str
    severity: str
    onset_ns: int
    time_ns: int
    confidence: float
    story: str
    causes: tuple[Cause, ...]
    symptoms: tuple[Symptom, ...]
    changes: tuple[Changed, ...]
    deeds: tuple[Deed, ...]


def path(store: GraphStore, environment: str, a: str, b: str, at_ns: int = NOW) -> Paths:
    """The shortest chains of calls from `a` to `b` as they were at `at_ns` (default: those that still hold).

    One question per hop, whatever the size of the graph: breadth first from both ends, no service is expanded twice.

    Raises:
        UnknownName: the environment or a service is not in the graph.
    """
    start, end = _services(store, environment, (a, b))
    found = _shortest(store, start, end, at_ns)
    reverse = not found and bool(_shortest(store, end, start, at_ns))
    return Paths(environment, _name(start), _name(end), tuple(found), reverse)


def why(store: GraphStore, incident: str = LATEST) -> Why:
    """An incident by its id (or the beginning of it, or "latest"), with causes, changes and what was done.

    Raises:
        UnknownName: there is no such incident, or more than one begins so.
    """
    node = store.query(text("incident"), {"id": _incident(store, incident)})[0]["incident"]
    onset, time = node.get("onset", 0), node.get("time", 0)
    window = {"id": node["id"], "since": onset - _CHANGE_HORIZON_NS, "until": max(onset, time)}
    return Why(
        incident=node["id"],
        environment=node.get("environment", ""),
        phase=node.get("phase", ""),
        severity=node.get("severity", ""),
        onset_ns=onset,
        time_ns=time,
        confidence=node.get("confidence", 0.0),
        story=node.get("text", ""),
        causes=tuple(_ask(store, "incident_causes", window, _cause)),
        symptoms=tuple(_ask(store, "incident_anomalies", window, _symptom)),
        changes=tuple(_ask(store, "incident_changes", window, _changed)),
        deeds=tuple(_ask(store, "incident_actions", window, _deed)),
    )


def latest(store: GraphStore) -> str | None:
    """The id of the newest incident; None if there was none."""
    found = store.query(text("incidents"), {"limit": 1})
    return str(found[0]["id"]) if found else None


def _services(store: GraphStore, environment: str, wanted: Sequence[str]) -> list[str]:
    """Keys of the services named; a name without its namespace will do if only one service has it."""
    exact = [f"{environment}|{name}" for name in wanted]
    if len(store.query(text("services_named"), {"keys": exact})) == len(set(exact)):
        return exact
    known = {row["service"]: row["key"] for row in store.query(text("services"), {"environment": environment})}
    if not known:
        raise UnknownName("environment", environment, [r["environment"] for r in store.query(text("environments"))])
    return [known[_match(name, known)] for name in wanted]


def _match(name: str, known: Iterable[str]) -> str:
    names = list(known)
    if name in names:
        return name
    short = [n for n in names if n.rpartition("/")[2] == name]
    if len(short) != 1:
        raise UnknownName("service", name, names)
    return short[0]


def _shortest(store: GraphStore, start: str, end: str, at_ns: int) -> list[tuple[Hop, ...]]:
    """Breadth first from both ends, always on the side that has fewer services to ask about, until the two meet."""
    if start == end:
        return []
    down: list[Layer] = [{start: ()}]
    up: list[Layer] = [{end: ()}]
    seen_down, seen_up = {start}, {end}
    for _ in range(MAX_HOPS):
        forward = len(down[-1]) <= len(up[-1])
        layers, seen = (down, seen_down) if forward else (up, seen_up)
        layers.append(_layer(store, layers[-1], seen, at_ns, forward=forward))
        seen.update(layers[-1])
        if not layers[-1]:
            return []
        if meeting := down[-1].keys() & up[-1].keys():
            chains = _unroll(_callers(down, up, meeting), start, end)
            return _hops(store, chains, at_ns)
    return []


def _layer(store: GraphStore, near: Iterable[str], seen: set[str], at_ns: int, *, forward: bool) -> Layer:
    """The services one hop further (callees if `forward`, else callers), each with those of `near` it was found by."""
    question = text("callees_at" if forward else "callers_at")
    layer: dict[str, list[str]] = {}
    for row in store.query(question, {"keys": sorted(near), "at": at_ns}):
        for far in row["far"]:
            if far not in seen:
                layer.setdefault(far, []).append(row["near"])
    return layer


def _callers(down: Sequence[Layer], up: Sequence[Layer], meeting: Iterable[str]) -> Layer:
    """Callers by callee, of all calls on a shortest chain (and of some that lead to none)."""
    callers = {callee: list(found_by) for layer in down for callee, found_by in layer.items()}
    reached = set(meeting)
    for layer in reversed(up[1:]):
        calls = [(caller, callee) for caller in layer if caller in reached for callee in layer[caller]]
        for caller, callee in calls:
            callers.setdefault(callee, []).append(caller)
        reached = {callee for _, callee in calls}
    return callers


def _unroll(callers: Layer, start: str, end: str) -> list[tuple[str, ...]]:
    """The first `MAX_PATHS` chains that lead back from `end` to `start`."""
    open_ends: list[tuple[str, ...]] = [(end,)]
    chains: list[tuple[str, ...]] = []
    while open_ends and len(chains) < MAX_PATHS:
        chain = open_ends.pop()
        if chain[0] == start:
            chains.append(chain)
            continue
        open_ends.extend((caller, *chain) for caller in sorted(callers[chain[0]], reverse=True))
    return chains


def _hops(store: GraphStore, chains: Sequence[tuple[str, ...]], at_ns: int) -> list[tuple[Hop, ...]]:
    """What is known of the calls along each chain."""
    keys = sorted({key for chain in chains for key in chain})
    rows = store.query(text("calls_among"), {"keys": keys, "at": at_ns})
    hops = {(row["caller_key"], row["callee_key"]): _hop(row) for row in rows}
    return [tuple(hops[pair] for pair in itertools.pairwise(chain)) for chain in chains]


def _hop(row: Row) -> Hop:
    return Hop(
        _name(row["caller_key"]),
        _name(row["callee_key"]),
        row["calls"],
        row["errors"],
        row["source"],
        row["confidence"],
    )


def _name(key: str) -> str:
    return key.partition("|")[2]


def _incident(store: GraphStore, wanted: str) -> str:
    recent = [row["id"] for row in store.query(text("incidents"), {"limit": 1000})]
    if wanted in recent or store.query(text("incident"), {"id": wanted}):
        return wanted
    if wanted == LATEST and recent:
        return str(recent[0])
    begin = [id_ for id_ in recent if wanted and str(id_).startswith(wanted)]
    if len(begin) != 1:
        raise UnknownName("incident", wanted, begin or recent[:10])
    return str(begin[0])


def _ask(store: GraphStore, name: str, parameters: Row, read: Callable[[Row], _T]) -> list[_T]:
    return [read(row) for row in store.query(text(name), parameters)]


def _cause(row: Row) -> Cause:
    return Cause(
        row["service"] or "",
        row["kind"],
        row["probability"],
        row["rank"],
        tuple(row["evidence"]),
        tuple(row["path"]),
        row["path_text"],
        row["ruled_out"],
    )


def _symptom(row: Row) -> Symptom:
    # An anomaly may be known by its incident alone so far: all but its id is then null.
    return Symptom(
        row["id"],
        row["service"] or "",
        row["phase"] or "",
        row["onset"] or 0,
        row["decades"] or 0.0,
        row["text"] or "",
    )


def _changed(row: Row) -> Changed:
    return Changed(row["service"], row["kind"], row["time"], row["actor"], row["before"], row["after"], row["text"])


def _deed(row: Row) -> Deed:
    return Deed(
        row["run"],
        row["playbook"] or "",
        row["service"] or "",
        row["state"] or "",
        row["outcome"] or "",
        row["time"] or 0,
        row["text"] or "",
    )
