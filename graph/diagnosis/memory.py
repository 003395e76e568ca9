"""The engine's state as bytes (msgpack): arrays as buffers, everything else as plain values, versioned."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import msgspec
import numpy as np

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, Change, EvidenceGap, Incident
from contracts.features import Signal
from graph.diagnosis.case import Case
from graph.world.aliases import Aliases
from graph.world.log_templates import TemplateStore
from graph.world.log_texts import MAX_NOTES, LogTexts
from graph.world.nodes_told import Stay
from graph.world.series import SeriesStore, transform
from graph.world.topology import Call, ServiceNode, Topology
from graph.world.world import MAX_CHANGES, World

VERSION: Final = 2
"""1 kept the values of the windows themselves, not their levels."""


class Saved(msgspec.Struct, kw_only=True):
    """The engine's own part of a snapshot."""

    cases: list[Case]
    bad: dict[str, int]
    anomalies: dict[str, Anomaly]
    absorbed: list[Incident]
    judged_ns: int
    dirty: bool
    written_s: int
    counters: dict[str, int]
    gaps: dict[str, tuple[EvidenceGap, ...]] = {}
    outlived: dict[str, int] = {}


class _Array(msgspec.Struct):
    dtype: str
    shape: list[int]
    data: bytes


class _Series(msgspec.Struct):
    features: list[str]
    width_ns: int
    keys: list[tuple[str, str]]
    covered_to: dict[int, int]
    slot: _Array
    columns: dict[str, _Array]


class _Templates(msgspec.Struct):
    width_ns: int
    names: list[str]
    slots: list[dict[int, int]]
    texts: list[dict[int, str]]
    versions: list[str]
    block: _Array
    columns: dict[str, _Array]


class _World(msgspec.Struct):
    environment: str
    time_ns: int
    services: list[ServiceNode]
    calls: list[Call]
    changed_services: list[str]
    changed_calls: list[tuple[str, str]]
    ended: list[Call]
    new_changes: list[Change]
    changes: list[Change]
    notes: dict[str, list[tuple[int, str]]]
    series: dict[str, _Series]
    new_calls: bool = False
    operations: list[Anomaly] = []
    log_templates: _Templates | None = None
    instances: dict[str, tuple[str, int]] = {}
    nodes_told: dict[str, dict[str, Stay]] = {}


class _Snapshot(msgspec.Struct):
    version: int
    world: _World
    engine: Saved


def dump(world: World, engine: dict[str, Any]) -> bytes:
    """Bytes of a world and the engine's own fields (those of `Saved`)."""
    return msgspec.msgpack.encode(_Snapshot(VERSION, _world(world), Saved(**engine)))


def load(world: World, state: bytes) -> Saved:
    """Fill `world` from a snapshot; the engine's own fields.

    Raises:
        UnreadableEvent: not such a snapshot, or of a newer version.
    """
    try:
        found = msgspec.msgpack.decode(state, type=_Snapshot)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise UnreadableEvent(f"not a diagnosis snapshot: {e}") from e
    if found.version > VERSION:
        raise UnreadableEvent(f"diagnosis snapshot v{found.version} is newer than v{VERSION}", fix="upgrade Homeostat")
    _fill(world, found.world)
    return found.engine


def _pack(array: np.ndarray[Any, Any]) -> _Array:
    plain = np.ascontiguousarray(array)
    return _Array(plain.dtype.newbyteorder("<").str, list(plain.shape), plain.tobytes())


def _unpack(array: _Array) -> np.ndarray[Any, Any]:
    return np.frombuffer(array.data, np.dtype(array.dtype)).reshape(array.shape).copy()


def _world(world: World) -> _World:
    topology = world.topology
    return _World(
        world.environment,
        world.time_ns,
        list(topology.services.values()),
        list(topology.calls.values()),
        list(topology.changed_services),
        list(topology.changed_calls),
        topology.ended,
        world.new_changes,
        list(world.changes),
        {n: list(v) for n, v in world.log_texts.notes.items()},
        {s.value: _series(store) for s, store in world.series.items()},
        topology.new_calls,
        [a for known in world.operations.values() for a in known.values()],
        _templates(world.log_templates),
        world.instances.by,
        world.nodes_told.by,
    )


def _templates(store: TemplateStore) -> _Templates:
    columns = {k: _pack(v[: len(store.names)]) for k, v in store.columns().items()}
    return _Templates(
        store.width_ns, store.names, store.slots, store.texts, store.versions, _pack(store.block), columns
    )


def _series(store: SeriesStore) -> _Series:
    n = len(store.keys)
    columns = {k: _pack(v[:, :n] if k == "moments" else v[:n]) for k, v in store.columns().items()}
    return _Series(list(store.features), store.width_ns, store.keys, store.covered_to, _pack(store.slot), columns)


def _fill(world: World, saved: _World) -> None:
    world.environment, world.time_ns = saved.environment, saved.time_ns
    topology = world.topology = Topology()
    world.aliases = Aliases(topology)
    topology.services = {s.name: s for s in saved.services}
    for edge in saved.calls:
        topology.calls[edge.caller, edge.callee] = edge
        topology.callees.setdefault(edge.caller, {})[edge.callee] = None
        topology.callers.setdefault(edge.callee, {})[edge.caller] = None
    topology.changed_services = dict.fromkeys(saved.changed_services)
    topology.changed_calls = dict.fromkeys(saved.changed_calls)
    topology.new_calls = saved.new_calls
    topology.ended, world.new_changes = saved.ended, saved.new_changes
    world.changes = deque(saved.changes, maxlen=MAX_CHANGES)
    world.log_texts = LogTexts()
    world.log_texts.notes = {n: deque(v, maxlen=MAX_NOTES) for n, v in saved.notes.items()}
    world.operations = {}
    for anomaly in saved.operations:
        world.operation(anomaly)
    for signal in Signal:
        _fill_series(world.series[signal], saved.series[signal.value])
    world.instances.by = dict(saved.instances)
    world.nodes_told.by = dict(saved.nodes_told)
    if saved.log_templates is not None:
        _fill_templates(world.log_templates, saved.log_templates)


def _fill_templates(store: TemplateStore, saved: _Templates) -> None:
    store.width_ns, store.names, store.versions = saved.width_ns, list(saved.names), list(saved.versions)
    store.index = {name: i for i, name in enumerate(store.names)}
    store.slots, store.texts = [dict(s) for s in saved.slots], [dict(t) for t in saved.texts]
    store.block = _unpack(saved.block)
    for name, array in saved.columns.items():
        setattr(store, name, _unpack(array))


def _fill_series(store: SeriesStore, saved: _Series) -> None:
    if tuple(saved.features) != store.features:
        # The vocabulary has changed since: what was usual is learnt anew.
        return
    store.width_ns, store.keys, store.covered_to = saved.width_ns, list(saved.keys), saved.covered_to
    store.index = {k: i for i, k in enumerate(store.keys)}
    store.slot = _unpack(saved.slot)
    store.allocate(len(store.keys))
    for name, array in saved.columns.items():
        if name == "values":  # version 1
            store.levels = transform(_unpack(array), store.kinds).astype(np.float32)
        else:
            kept = _unpack(array)
            wanted = getattr(store, name).shape
            if name.startswith("aside") and kept.shape[-1] < wanted[-1]:  # of before there were as many columns
                kept = np.concatenate(
                    [kept, np.zeros((*kept.shape[:-1], wanted[-1] - kept.shape[-1]), kept.dtype)], axis=-1
                )
            setattr(store, name, kept)
