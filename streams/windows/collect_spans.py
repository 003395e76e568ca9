"""Spans on their way to partials: duplicates out, requests per service, calls to uninstrumented peers, frames to be joined."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from connectors.otlp.folding import fold_route
from contracts.frames import Decoded, SpanBatch, SpanFrame
from contracts.frames.decoded import (
    I8,
    I32,
    I64,
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_INTERNAL,
    KIND_SERVER,
    PROXY_PASSED,
    U64,
)
from contracts.settings import IngestSettings
from contracts.units import MINUTE
from streams.windows.clocks import Tag, Tags
from streams.windows.collect import Collector, EnvironmentPart, Partial, Pending, Receipt
from streams.windows.grouping import Column, dense
from streams.windows.names import Names
from streams.windows.pending_spans import NO_SPANS, PendingSpans, complete, requests_of
from streams.windows.routes import THOUSANDTHS, RouteComparison, Routes
from streams.windows.rows import UNIT, Origin
from streams.windows.sampling import Sampling
from streams.windows.span_frames import SpanPlaces, span_frame, span_frames
from streams.windows.span_partials import operations_of, peer_edges, request_sums
from streams.windows.statements import asking, keys_of
from streams.windows.tables import KeyTable, mix

_SERVED_HALF = np.uint64(0x2545F4914F6CDD1D)
"""Callers and callees may share an id (`streams.windows.shared_ids`): what is served is told apart from what is called."""
_MOST_REMEMBERED = 1 << 20
_ROUTES_PER_SERVICE = 8
"""On average; a single service may have more."""
OWN_NS = 5 * MINUTE
"""So long an application that served by its own spans is taken to tell of what its proxy tells of."""


class SpanCollector(Collector):
    """Collects spans. A span belongs to the window in which it ended."""

    signal = "spans"

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        super().__init__(settings, partitions, counters)
        self.pending, self.linked = self.waiting = Pending(), Pending()
        self.recent: dict[str, KeyTable] = {}
        self.clocks: dict[Tag, int] = {}
        self.hosts: dict[str, dict[str, None]] = {}
        """Addresses that pending spans name, by environment."""
        self.routes: dict[str, Routes] = {}
        self.sampling = Sampling()
        self.applications: dict[str, dict[str, int]] = {}
        """Services whose own spans say that they serve, by environment, and until when that was so."""

    def add(self, decoded: Decoded, receipt: Receipt, tags: Tags | None = None) -> None:
        """Take the spans of a message. `tags` say which of them were timed by clocks in question."""
        batch = decoded.spans
        if batch is None or not len(batch):
            return
        keep, scopes = self.believable(batch.end_ns, receipt), self.scopes(decoded)
        clocks = self._clocks_of(tags, len(decoded.resources))
        for scope in scopes:
            at = scope.pick(batch.resource, keep)
            named = self._named(scope.names.environment, batch, at, decoded.strings)
            peer = _peers(scope.names, named, decoded.strings)
            service = scope.numbers[batch.resource[at]]
            kind = self._kinds(scope.names, service, batch, at)
            ids = (batch.trace[at], batch.span[at], batch.parent[at])
            rest: tuple[Column, ...] = (*ids, kind, batch.start_ns[at], batch.end_ns[at], batch.error[at])
            site, clock = _sites(batch, at, kind, decoded.strings), clocks[batch.resource[at]]
            stream = batch.stream if len(batch.stream) else np.zeros(len(batch), np.bool_)
            *compared, route, cut = self._compared(scope.names, (service, peer), (batch, at), decoded.strings)
            if scope.names.counts_parts:
                _count_by_part(scope, decoded, at, compared)
            said = (*compared, self._weights(scope.names.environment, batch, at), route.astype(np.int32))
            columns = PendingSpans(*cast("Any", (service, *rest, peer, site, stream[at] | cut, clock, *said)))
            self.pending.add(scope.names.environment, columns)
            self.note(scope.names.environment, columns.end_ns, receipt)
            if decoded.linked is not None:
                self._add_linked(scope, decoded.linked, receipt)
        self.over_limit(scopes, batch.resource, keep)

    def _add_linked(self, scope: EnvironmentPart, linked: SpanBatch, receipt: Receipt) -> None:
        """Take links in: they are joined with the spans they name, and are no spans themselves."""
        at = scope.pick(linked.resource, linked.end_ns <= receipt.now_ns + self.max_delay_ns)
        ids = (linked.trace[at], linked.span[at], linked.parent[at], linked.kind[at])
        rest = (linked.start_ns[at], linked.end_ns[at], linked.error[at])
        columns: list[Column] = [scope.numbers[linked.resource[at]], *ids, *rest, np.full(len(ids[0]), -1, np.int64)]
        self.linked.add(scope.names.environment, tuple(complete(columns)))

    def _kinds(self, names: Names, service: I64, batch: SpanBatch, at: I64 | slice) -> I8:
        """Kinds of spans. A proxy's server span is none where the application's own says the same; what a proxy answered itself
        tells of no application."""
        kind = batch.kind[at]
        known = self.applications.get(names.environment)
        if not len(batch.proxy) and known is None:
            return kind
        serves, proxy = kind == KIND_SERVER, batch.proxy[at] if len(batch.proxy) else np.zeros(len(kind), np.int8)
        if known is None:
            known = self.applications[names.environment] = {}
        newest_ns = int(batch.end_ns[at].max(initial=0))
        for number in np.unique(service[serves & (proxy == 0)]).tolist():
            known[names.text[number]] = max(newest_ns, known.get(names.text[number], 0))
        if len(known) > names.most:
            known.clear()
        passed = serves & (proxy == PROXY_PASSED)
        own = [n for n in np.unique(service[passed]).tolist() if newest_ns - known.get(names.text[n], 0) < OWN_NS]
        return np.where(passed & np.isin(service, own), KIND_INTERNAL, kind).astype(np.int8) if own else kind

    def _named(self, environment: str, batch: SpanBatch, at: I64 | slice, strings: tuple[str, ...]) -> I32:
        """The peers of spans that are told as they come. Who is known by an address alone is told where calls are joined: it may be
        a service."""
        peer = batch.peer[at]
        if not len(batch.by_address) or not (by_address := batch.by_address[at]).any():
            return peer
        known = self.hosts.setdefault(environment, {})
        known.update((strings[i], None) for i in np.unique(peer[by_address]).tolist())
        return np.where(by_address, 0, peer).astype(np.int32)

    def _compared(
        self, names: Names, ends: tuple[I64, I64], spans: tuple[SpanBatch, I64 | slice], strings: tuple[str, ...]
    ) -> RouteComparison:
        """What routes say of spans (see `streams.windows.routes`), and what spans say of themselves; 0 where one is no request, nor
        asks a database. `ends` are those who tell of spans, and their peers."""
        batch, at = spans
        kind, parent, end_ns = batch.kind[at], batch.parent[at], batch.end_ns[at]
        stream = batch.stream[at] if len(batch.stream) else np.zeros(len(kind), np.bool_)
        untimed = batch.untimed[at].copy() if len(batch.untimed) else np.zeros(len(kind), np.bool_)
        request = (kind == KIND_SERVER) | (kind == KIND_CONSUMER) | (parent == 0)
        asks = asking(batch, at, ends[1])
        some = np.flatnonzero((request | asks) & ~stream & ~untimed)
        columns = (np.zeros(len(kind), np.int64), np.zeros(len(kind), np.int64), np.zeros(len(kind), np.int64))
        route, cut = np.full(len(kind), -1, np.int64), np.zeros(len(kind), np.bool_)
        if len(some):
            routes = self.routes.get(names.environment)
            if routes is None:
                most = _ROUTES_PER_SERVICE * self.settings.max_services
                routes = self.routes[names.environment] = Routes(most, self.counters)
            keys, which = keys_of(names, ends, (batch, at), (some, asks[some]), strings)
            duration = end_ns[some] - batch.start_ns[at][some]
            *found, learnt, route[some], of_cut = routes.compare(
                keys, which, end_ns[some], duration, batch.error[at][some]
            )
            for column, of_some in zip(columns, found, strict=True):
                column[some] = of_some
            # What is learnt of a statement says how it is judged, and nothing of the call that makes it.
            untimed[some], cut[some] = learnt & request[some], of_cut & request[some]
        return RouteComparison(*columns, untimed, route, cut)

    def _weights(self, environment: str, batch: SpanBatch, at: I64 | slice) -> I32:
        """How many spans each stands for, in thousandths."""
        said = batch.weight[at] if len(batch.weight) else np.zeros(len(batch.kind[at]), np.int32)
        return self.sampling.weights(environment, said, batch.trace[at], batch.parent[at])

    def _clocks_of(self, tags: Tags | None, resources: int) -> I32:
        """Per resource the number of its clock among those since the last flush; -1 where it is not in question."""
        if tags is None or not tags.clocks:
            return np.full(resources, -1, np.int32)
        numbers = [self.clocks.setdefault(tag, len(self.clocks)) for tag in tags.clocks]
        return np.where(tags.of < 0, -1, np.array(numbers, np.int32)[tags.of]).astype(np.int32)

    def flush(self, origin: Origin) -> tuple[list[Partial], list[tuple[str, int, SpanFrame]]]:
        """Everything since the last flush: partials (spans and edges), and span frames per partition of traces."""
        partials: list[Partial] = []
        frames: list[tuple[str, int, SpanFrame]] = []
        sent: set[tuple[str, int]] = set()
        joined: set[tuple[str, int]] = set()
        linked = {e: PendingSpans(*c) for e, c in self.linked.drain()}
        for environment, columns in self.pending.drain():
            here = Origin(environment, origin.source, origin.sequence, self.watermark(environment))
            names = self.names[environment]
            spans = self._fresh(environment, PendingSpans(*columns))
            self.counters["spans"] += len(spans.span)
            for what, marked in (
                ("long_lived", spans.stream),
                ("untimed", spans.untimed),
                ("sampled", spans.weight > UNIT),
            ):
                if marked.any():
                    self.counters[what] += int(np.count_nonzero(marked))
            requests = requests_of(spans)
            for target, frame in request_sums(here, names, requests, self.width_ns):
                partials.append((environment, target, frame))
                sent.add((environment, target))
            if environment in self.routes:
                partials += operations_of(here, names, self.routes[environment], spans)
            partials += peer_edges(here, names, spans, self.width_ns)
            named = np.unique(spans.peer[spans.error & (spans.kind == KIND_CLIENT) & (spans.peer >= 0)]).tolist()
            hosts, peers = tuple(self.hosts.pop(environment, ())), tuple(names.text[n] for n in named)
            places = SpanPlaces(self.partitions, tuple(self.clocks), hosts, peers)
            if environment in linked:
                spans = spans.and_also(linked[environment])
            for partition, frame_of_spans in span_frames(here, names, spans, places):
                frames.append((environment, partition, frame_of_spans))
                joined.add((environment, partition))
        self.clocks = {}
        frames += self._span_heartbeats(origin, joined)
        partials += self.heartbeats(origin, sent)
        return partials, frames

    def _fresh(self, environment: str, spans: PendingSpans) -> PendingSpans:
        """Spans that were not seen before: exporters and Collectors send a batch again when no answer came."""
        table = self.recent.get(environment)
        if table is None:
            table = self.recent[environment] = self._table()
        keys = mix(spans.trace, spans.span) ^ np.where(spans.kind == KIND_SERVER, _SERVED_HALF, np.uint64(0))
        order = np.argsort(keys)
        ordered = keys[order]
        again = table.contains(ordered)
        again[1:] |= ordered[1:] == ordered[:-1]
        again &= spans.span[order] != 0
        reached = self.watermark(environment)
        table.insert(ordered[~again], None, reached)
        table.expire(reached - self.max_delay_ns)
        if not again.any():
            return spans
        self.counters["duplicates"] += int(np.count_nonzero(again))
        return spans.where(np.sort(order[~again]))

    def _span_heartbeats(self, origin: Origin, sent: set[tuple[str, int]]) -> Iterator[tuple[str, int, SpanFrame]]:
        for here in self.news(origin):
            empty = span_frame(here, self.names[here.environment], NO_SPANS)
            partitions = [(here.environment, p) for p in range(self.partitions)]
            yield from ((e, p, empty) for e, p in partitions if (e, p) not in sent)

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        super().forget(environment)
        self.recent.pop(environment, None)
        self.hosts.pop(environment, None)
        self.routes.pop(environment, None)
        self.sampling.forget(environment)
        self.applications.pop(environment, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        recent = {k: v.state() for k, v in self.recent.items()}
        return {
            **self.base_state(),
            "pending": self.pending.state(),
            "linked": self.linked.state(),
            "recent": recent,
            "clocks": [list(c) for c in self.clocks],
            "hosts": {e: list(h) for e, h in self.hosts.items()},
            "routes": {e: r.state() for e, r in self.routes.items()},
            "sampling": self.sampling.state(),
            "applications": self.applications,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.load_base(state)
        self.pending.load({e: complete(c) for e, c in state["pending"].items()})
        self.linked.load({e: complete(c) for e, c in state.get("linked", {}).items()})
        self.clocks = {Tag(*c): i for i, c in enumerate(state.get("clocks", ()))}
        self.hosts = {e: dict.fromkeys(h) for e, h in state.get("hosts", {}).items()}
        self.applications = {e: dict(a) for e, a in state.get("applications", {}).items()}
        self.routes = {}
        for environment, routes in state.get("routes", {}).items():
            found = self.routes[environment] = Routes(_ROUTES_PER_SERVICE * self.settings.max_services, self.counters)
            found.load(routes)
        self.sampling.load(state.get("sampling", {}))
        self.recent = {}
        for environment, slices in state["recent"].items():
            self.recent[environment] = self._table()
            self.recent[environment].load(slices)

    def _table(self) -> KeyTable:
        return KeyTable(None, self.max_delay_ns // 8, _MOST_REMEMBERED)


def _count_by_part(scope: EnvironmentPart, decoded: Decoded, at: I64 | slice, compared: list[Any]) -> None:
    """Count how requests fare by who sent them, for workloads that share a name and services of several instances."""
    batch, n = decoded.spans, len(decoded.resources)
    assert batch is not None
    known, _, pace, untimed = compared
    kind, resource = batch.kind[at], batch.resource[at].astype(np.int64)
    asked = (kind == KIND_SERVER) | (kind == KIND_CONSUMER) | (batch.parent[at] == 0)
    timed = asked & ~untimed
    sums = [
        np.bincount(resource[asked], minlength=n),
        np.bincount(resource[asked & batch.error[at]], minlength=n),
        np.bincount(resource[timed], weights=known[timed], minlength=n),
        np.bincount(resource[timed], weights=pace[timed], minlength=n) / THOUSANDTHS,
    ]
    scope.names.count_by_part(decoded.resources, scope.numbers, np.stack(sums, axis=1).astype(np.float64))


def _peers(names: Names, peer: Column, strings: tuple[str, ...]) -> I64:
    """Numbers of the peers' names; -1 where there is none (or no room for it)."""
    if not peer.any():
        return np.full(len(peer), -1, np.int64)
    listed, place = dense(peer.astype(np.int64), len(strings))
    return np.array([names.number(strings[i]) if i else -1 for i in listed.tolist()], np.int64)[place]


def _sites(batch: SpanBatch, at: I64 | slice, kind: I8, strings: tuple[str, ...]) -> U64:
    """Per client span a hash of its peer or, where it names none, of its own name; per request one of its route; 0 for other spans.
    What is generated in names is folded."""
    peer, name, parent = batch.peer[at], batch.name[at], batch.parent[at]
    found = np.zeros(len(kind), np.uint64)
    client = kind == KIND_CLIENT
    some = np.flatnonzero(client | (kind == KIND_SERVER) | (kind == KIND_CONSUMER) | (parent == 0))
    by_peer = client[some] & (peer[some] > 0)
    said = np.where(by_peer, peer[some], name[some].astype(np.int64) + len(strings)).astype(np.int64)
    listed, place = dense(said, 2 * len(strings))
    told = (strings[i] if i < len(strings) else fold_route(strings[i - len(strings)]) for i in listed.tolist())
    found[some] = np.array([site_of(text) for text in told], np.uint64)[place]
    return found


@functools.lru_cache(1 << 14)
def site_of(text: str) -> int:
    """The hash of a peer's name, or of a span's where it names none."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
