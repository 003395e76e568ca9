"""One environment as a whole: series, topology, changes. Turns a moment into a `Situation`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.capacity import MERIT_NS, leaving, surplus
from contracts.events import OURSELVES, PLATFORM, Anomaly, Change
from contracts.features import (
    ASIDE,
    BY_SIGNAL,
    CALL_ERROR_RATE,
    CALL_RATE,
    ERROR_RATE,
    METRIC_REQUEST_RATE,
    REQUEST_RATE,
    Signal,
)
from contracts.frames import EvidenceFrame
from contracts.mix import Mix, mix_of
from contracts.units import MINUTE
from contracts.verdicts import ENDED
from graph.evidence.flags import FLAG
from graph.evidence.kept import by_metrics, kept_otherwise, weighed
from graph.evidence.shifts import shifts, since_then
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.judgement import BEHIND
from graph.world.aliases import Aliases
from graph.world.instances_told import InstancesTold
from graph.world.log_templates import TemplateStore
from graph.world.log_texts import LogTexts
from graph.world.nodes_told import NodesTold
from graph.world.passages import Passages
from graph.world.series import NEVER, SeriesStore
from graph.world.told_calls import Served, ToldCalls, edge_of, younger_than_callers
from graph.world.topology import Topology, is_observer

MAX_CHANGES: Final = 200
TELEMETRY: Final = "telemetry"
"""Who changed something, where all that is known of it is that spans carry another version."""
SEEN: Final = frozenset({TELEMETRY, PLATFORM})
RELEASED: Final = frozenset({"deploy", "rollback"})
SAME_CHANGE_NS: Final = MINUTE
"""Between what is told of a change and when what runs the service is seen to have made it: a roll-out takes its time."""
MAX_OPERATIONS: Final = 50
MAX_SERVICES: Final = 20_000
LOOK_NS: Final = MINUTE
CLIENT_SPANS: Final = 0.8
"""Share of a caller's calls for which it must have had client spans, to be believed that it makes none where there are none."""
IN_PART: Final = 0.5
"""Share of windows from which on a caller that told of its calls before does not any more."""

Shifts = dict[str, Shift]
Call = tuple[str, str]
I64 = NDArray[np.int64]


class World:
    """The world model of one environment. Event time only: every time comes from frames and events."""

    def __init__(self, environment: str) -> None:
        self.environment = environment
        self.topology = Topology()
        self.series = {s: SeriesStore(BY_SIGNAL[s], ASIDE.get(s, ())) for s in Signal}
        self.log_templates = TemplateStore()
        self.instances = InstancesTold()
        self.nodes_told = NodesTold()
        self.changes: deque[Change] = deque(maxlen=MAX_CHANGES)
        self.new_changes: list[Change] = []
        """Changes that the graph has not been told of."""
        self.log_texts = LogTexts()
        self.operations: dict[str, dict[str, Anomaly]] = {}
        """By service, its operations that stand out."""
        self.time_ns = 0
        """End of the newest window seen."""
        self.aliases = Aliases(self.topology)
        self._passages = Passages()
        self._calls_ns = self._looked_ns = 0

    @property
    def calls_until_ns(self) -> int:
        """Up to when calls are known; where there are none, that is no reason to wait."""
        return self._calls_ns or self.time_ns

    def take(self, frame: EvidenceFrame) -> None:
        """Learn from one frame."""
        signal = Signal(frame.signal)
        frame = self.nodes_told.take(self.instances.take(frame) if signal is Signal.SPANS else frame)
        self.time_ns = max(self.time_ns, frame.window_ns + frame.width_ns)
        self.series[signal].take(frame)
        if signal is Signal.EDGES:
            self._calls_ns = max(self._calls_ns, frame.window_ns + frame.width_ns)
            self._take_edges(frame)
            self._passages.look(self.topology, self.series[Signal.SPANS].index, self.time_ns)
        else:
            self._take_services(frame)
            self.log_templates.take(frame)
            self.log_texts.take(frame)

    def _take_services(self, frame: EvidenceFrame) -> None:
        for i, name in enumerate(frame.services):
            self.topology.see(name, frame.window_ns, own=True)
            version = frame.versions[i] if i < len(frame.versions) else ""
            attributes = frame.attributes[i] if i < len(frame.attributes) else ""
            before = self.topology.describe(name, version, attributes)
            if before:
                self._note_version(name, before, version, frame.window_ns)

    def _note_version(self, name: str, before: str, after: str, time_ns: int) -> None:
        if any(c.service == name and c.after == after and c.kind in RELEASED for c in self.changes):
            return
        told = Change(
            environment=self.environment,
            service=name,
            kind="deploy",
            time_ns=time_ns,
            actor=TELEMETRY,
            before=before,
            after=after,
            text=f"{name} reports version {after} instead of {before}",
        )
        if not any(_same_change(c, told) for c in self.changes if c.actor == PLATFORM):
            self._remember(told)

    def _remember(self, change: Change) -> None:
        self.changes.append(change)
        self.new_changes.append(change)

    def _take_edges(self, frame: EvidenceFrame) -> None:
        errors = frame.features.index(CALL_ERROR_RATE) if CALL_ERROR_RATE in frame.features else None
        for i, (caller, named, missing) in enumerate(zip(frame.services, frame.peers, frame.missing, strict=True)):
            if missing:
                continue
            self.topology.see(caller, frame.window_ns, own=True)
            callee = self.aliases.resolve(caller, named, frame.window_ns)
            if not callee:
                continue
            self.topology.see(callee, frame.window_ns)
            calls = int(frame.counts[i])
            share = float(frame.values[i, errors]) if errors is not None else 0.0
            failed = round(calls * share) if math.isfinite(share) else 0
            self.topology.call(caller, callee, frame.window_ns, calls, failed)

    def change(self, event: Change) -> None:
        """Remember a reported change (it replaces one derived from a version, or from how what runs the service describes it)."""
        if event.actor == PLATFORM and any(_same_change(event, c) for c in self.changes if c.actor != TELEMETRY):
            return
        kept = [c for c in self.changes if not _same_change(c, event)]
        self.changes = deque(kept, maxlen=MAX_CHANGES)
        self._remember(event)

    def operation(self, event: Anomaly) -> None:
        """Remember that an operation stands out, until it is over."""
        known = self.operations.setdefault(event.service, {})
        if event.phase in ENDED:
            known.pop(event.operation, None)
        elif event.operation in known or len(known) < MAX_OPERATIONS:
            known[event.operation] = event
        if not known:
            del self.operations[event.service]

    def make_room(self, kept: set[str]) -> dict[str, int]:
        """Forget services (and peers) that are least of use where there are too many; who left, and when each was last seen. Those
        `kept` do not."""
        services = [s for s in self.topology.services.values() if s.name not in kept]
        wanted = surplus(len(self.topology.services), MAX_SERVICES)
        if not wanted or self.time_ns - self._looked_ns < LOOK_NS:
            return {}
        self._looked_ns = self.time_ns
        times = np.array([(s.first_seen_ns, s.last_seen_ns) for s in services], np.int64).reshape(-1, 2)
        left = leaving(times[:, 0], times[:, 1], self.time_ns - LOOK_NS, MERIT_NS, wanted)
        gone = {services[i].name: services[i].last_seen_ns for i in left.tolist()}
        if gone:
            self.topology.forget_all(set(gone))
            self.aliases.forget(set(gone))
            for store in self.series.values():
                store.forget(set(gone))
            self.log_templates.forget(set(gone))
            self.instances.forget(set(gone))
            self.nodes_told.forget(set(gone))
            self.log_texts.forget(gone)
            for name in gone:
                self.operations.pop(name, None)
        return gone

    def freeze(self, services: Iterable[str], onset_ns: int) -> None:
        """Stop learning what is usual for these services and their calls from `onset_ns` on."""
        names = set(services)
        for store in self.series.values():
            if store.width_ns:
                store.freeze(self._rows(store, names), onset_ns // store.width_ns - 2)
        if self.log_templates.width_ns:
            self.log_templates.freeze(names, onset_ns // self.log_templates.width_ns - 2)

    def thaw(self, services: Iterable[str]) -> None:
        """Learn from these services again."""
        names = set(services)
        for store in self.series.values():
            store.thaw(self._rows(store, names))
        self.log_templates.thaw(names)

    @staticmethod
    def _rows(store: SeriesStore, names: set[str]) -> list[int]:
        # Calls on both sides: how many a service makes per request is learnt from the same windows as its requests.
        return [i for i, (a, b) in enumerate(store.keys) if a in names or b in names]

    def situation(
        self,
        names: Iterable[str],
        onset_ns: int,
        onsets: dict[str, int] | None = None,
        horizon_ns: int = 0,
        amid: AbstractSet[str] = frozenset(),
    ) -> Situation:
        """What changed since `onset_ns` at `names` and the calls between them; changes at most `horizon_ns` before it. Services `amid`
        another incident are compared with what that one has made of them."""
        wanted = set(names)
        chosen = [n for n in self.topology.services if n in wanted]
        per_node: dict[str, dict[str, Shift]] = {n: {} for n in chosen}
        for signal in (Signal.SPANS, Signal.METRICS, Signal.LOGS):
            for (name, _), found in self._shifts(signal, [(n, "") for n in chosen], onset_ns, amid).items():
                per_node[name].update(found)
        nodes = self._nodes(chosen, {n: since_then(s) for n, s in per_node.items()}, onset_ns, onsets or {})
        pairs = [(a, b) for a in chosen for b in self.topology.callees_at(a, onset_ns) if b in nodes]
        edges = self._edges(pairs, self._served(chosen, onset_ns, amid), onset_ns, amid)
        otherwise = {n for n, node in nodes.items() if kept_otherwise(node)}
        nodes |= {n: by_metrics(nodes[n]) for n in otherwise}
        edges = weighed(edges, nodes, otherwise, self.aliases.views.keys())
        lately = [c for c in self.changes if c.service in nodes and onset_ns - horizon_ns <= c.time_ns <= self.time_ns]
        # What was done in answer to an incident is no cause of it.
        recent, turned = (c for c in lately if c.actor != OURSELVES), (c for c in lately if c.kind == FLAG)
        return Situation(self.environment, onset_ns, self.time_ns, nodes, edges, tuple(recent), turned=tuple(turned))

    def _served(
        self, names: Iterable[str], onset_ns: int, amid: AbstractSet[str], until_ns: int = 0
    ) -> dict[str, Served]:
        """Requests served up to where calls are known, too: what came later would look as if it had made no calls."""
        until = (until_ns or self.calls_until_ns) // (self.series[Signal.EDGES].width_ns or 1) - 1
        names = list(names)
        found = self._shifts(Signal.SPANS, [(n, "") for n in names], onset_ns, amid, until)
        told = {n: found.get((n, ""), {}) for n in names}
        return {n: Served(t.get(REQUEST_RATE), t.get(ERROR_RATE)) for n, t in told.items()}

    def _along(
        self, pairs: list[tuple[str, str]], onset_ns: int, amid: AbstractSet[str], until: Mapping[Call, int]
    ) -> dict[tuple[str, str], tuple[Shifts, Shift | None]]:
        """Shifts of calls, and of the calls made, these as far as `until` where the others are still to come. Where the caller names its
        callee, its own view of how they went counts: it knows of those that were never answered."""
        joined = self._shifts(Signal.EDGES, pairs, onset_ns, amid)
        named = {pair: (pair[0], self.aliases.views[pair]) for pair in pairs if pair in self.aliases.views}
        seen = self._shifts(Signal.EDGES, list(named.values()), onset_ns, amid)
        made = {pair: view.get(CALL_RATE) for pair, key in named.items() if (view := seen.get(key))}
        width_ns = self.series[Signal.EDGES].width_ns or 1
        for until_ns in sorted({until[p] for p in named if p in until}):
            held = [p for p in named if until.get(p) == until_ns]
            then = self._shifts(Signal.EDGES, [named[p] for p in held], onset_ns, amid, until_ns // width_ns - 1)
            made |= {p: then.get(named[p], {}).get(CALL_RATE) for p in held}
        along = {}
        for pair in pairs:
            view = seen.get(named.get(pair, pair), {})
            how = {name: shift for name, shift in view.items() if name != CALL_RATE}
            along[pair] = ({**joined.get(pair, {}), **how}, made.get(pair))
        return along

    def _edges(
        self,
        pairs: list[tuple[str, str]],
        served: dict[str, Served],
        onset_ns: int,
        amid: AbstractSet[str],
    ) -> dict[tuple[str, str], Edge]:
        store = self.series[Signal.EDGES]
        known = store.rows_of(pairs)
        rows = np.array(list(known.values()), np.int64)
        known_ns = dict(zip(known, store.known_ns(rows), strict=True))
        told = dict(zip(known, self._told(rows, onset_ns), strict=True))
        coming, late_ns = self._still_to_come(known, known_ns)
        until, due_ns = coming | late_ns, self.calls_until_ns - onset_ns
        heard = {p: min(1.0, max(0, t - onset_ns) / due_ns) for p, t in until.items() if due_ns > 0}
        did = {p: (served[p[0]], heard.get(p, 1.0)) for p in pairs}
        for until_ns in sorted({t for p, t in until.items() if p in heard and onset_ns < t < self.calls_until_ns}):
            late = [p for p in heard if until[p] == until_ns]  # what their callers did until then, and not since
            then = self._served({p[0]: None for p in late}, onset_ns, amid, until_ns)
            did |= {p: (then[p[0]], 1.0) for p in late if then[p[0]].requests is not None}
        along, younger = (
            self._along(pairs, onset_ns, amid, until),
            younger_than_callers(store, self.series[Signal.SPANS], known),
        )
        return {
            p: edge_of(
                p, *along[p], (did[p][0], told.get(p, ToldCalls())), (known_ns.get(p, 0), did[p][1]), p in younger
            )
            for p in pairs
        }

    def _still_to_come(
        self, known: Mapping[Call, int], known_ns: Mapping[Call, int]
    ) -> tuple[dict[Call, int], dict[Call, int]]:
        """Calls of whose answers less is known than of others', which is no wonder yet, and up to when it is: callers, and those whom they
        call, tell of a window at different times. And those of whom that is known that usually come late, overdue or not."""
        store = self.series[Signal.EDGES]
        late = dict(zip(known, store.late_ns(np.array(list(known.values()), np.int64)), strict=True))
        behind = {p: self.calls_until_ns - t for p, t in known_ns.items() if t}
        coming = {p: known_ns[p] for p, ns in behind.items() if 0 < ns <= late[p] + store.width_ns}
        return coming, {p: known_ns[p] for p in behind if late[p] >= BEHIND * store.width_ns}

    def _told(self, rows: I64, onset_ns: int) -> list[ToldCalls]:
        """What callers tell of their calls since the onset, by their client spans or by the routes of what they served."""
        edges = self.series[Signal.EDGES]
        onset = onset_ns // (edges.width_ns or 1)
        before, since = edges.aside_since(rows, onset)
        in_part = (before[:, 0] > 0) & (edges.untold_since(rows, onset) > IN_PART)
        (_, made, asked, due, failed, blamed), (windows, _, asked_since, due_since, failed_since, blamed_since) = (
            before.T,
            since.T,
        )
        known, made, both = (windows > 0) & (made > 0), np.maximum(made, 1), asked + due
        by_client, by_route = known & (asked >= CLIENT_SPANS * made), known & (due > 0) & (both >= CLIENT_SPANS * made)
        scale = np.where(by_route, made / np.where(by_route, both, 1.0), np.nan)
        more = np.maximum(failed_since - failed / np.where(by_route, due, 1.0) * due_since, 0.0)
        seldom = np.maximum(before[:, 0], 1.0)
        tells = by_client | by_route | (blamed_since > 0)
        hit = np.where(tells, np.maximum(blamed_since - blamed / seldom * windows, 0.0), np.nan)
        # What never had an answer misses none.
        share = np.where(by_client, np.minimum(1.0, made / np.maximum(asked, 1.0)), 1.0)
        told = np.where(by_client, asked_since * share, np.nan), scale * (asked_since + due_since), scale * more, hit
        return [ToldCalls(*row) for row in zip(*(c.tolist() for c in (*told, in_part, share)), strict=True)]

    def _nodes(
        self, names: list[str], found: dict[str, Shifts], onset_ns: int, onsets: dict[str, int]
    ) -> dict[str, Node]:
        spans = self.series[Signal.SPANS]
        known = spans.rows_of((n, "") for n in names)
        rows = np.array(list(known.values()), np.int64)
        told = zip(
            known,
            spans.lately(rows),
            spans.known_ns(rows),
            spans.late_ns(rows),
            map(mix_of, *spans.aside_since(rows, onset_ns // (spans.width_ns or 1))),
            strict=True,
        )
        seen = {name: (lately, known_ns, late_ns, mix) for (name, _), lately, known_ns, late_ns, mix in told}
        otherwise = [n for n in names if METRIC_REQUEST_RATE in found[n] and not seen.get(n, ({}, 0))[1]]
        seen |= {n: ({}, *heard, Mix()) for n, heard in self.series[Signal.METRICS].heard(otherwise).items()}
        nodes = {n: self._node(n, found[n], onset_ns, onsets.get(n, 0), seen.get(n, ({}, 0, 0, Mix()))) for n in names}
        asked_otherwise = {n for n in names if nodes[n].mix.otherwise}
        missing = self.log_templates.missing(names, onset_ns // (self.log_templates.width_ns or 1), asked_otherwise)
        nodes |= {n: replace(nodes[n], missing=m) for n, m in missing.items()}
        several = ((n, self.instances.of(n, self.time_ns)) for n in names)
        nodes |= {n: replace(nodes[n], instances=c) for n, c in several if c is not None}
        where, there = self.nodes_told, {n: g for n in names if (g := self.nodes_told.at(n, onset_ns))}
        return nodes | {n: replace(nodes[n], grounds=g, moved=where.moved_since(n, onset_ns)) for n, g in there.items()}

    def _node(
        self, name: str, found: Shifts, onset_ns: int, first_ns: int, seen: tuple[dict[str, float], int, int, Mix]
    ) -> Node:
        service = self.topology.services[name]
        texts, complaints = self.log_texts.since(name, onset_ns), self.log_texts.complaints(name, found, self.topology)
        own = service.own and service.kind == "service"
        operations = tuple(self.operations.get(name, {}).values())
        return Node(name, service.kind, own, is_observer(name), found, texts, complaints, first_ns, *seen, operations)

    def _shifts(
        self,
        signal: Signal,
        keys: list[tuple[str, str]],
        onset_ns: int,
        amid: AbstractSet[str] = frozenset(),
        until: int = NEVER,
    ) -> dict[tuple[str, str], dict[str, Shift]]:
        store = self.series[signal]
        known = [k for k in keys if k in store.index]
        if not known or not store.width_ns:
            return {}
        rows = np.array([store.index[k] for k in known], np.int64)
        held = np.array([not amid.isdisjoint(k) for k in known], np.bool_) if amid else None
        before, after, detected = store.before_after(rows, onset_ns // store.width_ns, until=until, amid=held)
        return dict(zip(known, shifts(store.features, store.kinds, before, after, detected), strict=True))


def _same_change(a: Change, b: Change) -> bool:
    if a == b:
        return True
    if PLATFORM in (a.actor, b.actor) and a.actor in SEEN:  # which may call versions by other names
        alike = b.kind == a.kind or {a.kind, b.kind} <= RELEASED
        return alike and a.service == b.service and abs(a.time_ns - b.time_ns) <= SAME_CHANGE_NS
    return a.actor == TELEMETRY and (a.service, a.after) == (b.service, b.after) and bool(a.after)
