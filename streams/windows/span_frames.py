"""Frames of spans on their way to where callers and callees are joined: by partition of their trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from contracts.frames import SpanFrame
from streams.windows.clocks import Tag
from streams.windows.grouping import dense
from streams.windows.names import Names
from streams.windows.pending_spans import NO_SPANS, OF_REQUESTS, PendingSpans, counts
from streams.windows.rows import UNIT, Origin


class SpanPlaces(NamedTuple):
    """What frames of spans are made with: the number of partitions, the clocks and addresses that spans name, and the peers that those
    which failed do."""

    partitions: int
    clocks: tuple[Tag, ...]
    hosts: tuple[str, ...]
    peers: tuple[str, ...]


def span_frames(
    origin: Origin, names: Names, spans: PendingSpans, places: SpanPlaces
) -> Iterator[tuple[int, SpanFrame]]:
    """Spans by partition of their trace. Those without ids can't be joined."""
    partitions = places.partitions
    part = (spans.trace % np.uint64(partitions)).astype(np.uint16)
    order = np.argsort(part, kind="stable")
    usable = (spans.span != 0) & (spans.trace != 0)
    if not usable.all():
        order = order[usable[order]]
    bounds = np.searchsorted(part[order], np.arange(partitions + 1))
    for p in np.flatnonzero(np.diff(bounds)).tolist():
        yield p, span_frame(origin, names, spans.only(order[bounds[p] : bounds[p + 1]], OF_REQUESTS), places)


def span_frame(origin: Origin, names: Names, spans: PendingSpans, places: SpanPlaces | None = None) -> SpanFrame:
    clocks, hosts, peers = (places.clocks, places.hosts, places.peers) if places is not None else ((), (), ())
    listed, place = dense(spans.service, len(names))
    timed, clock = dense(spans.clock[spans.clock >= 0].astype(np.int64))
    column = np.full(len(spans.clock) if len(timed) else 0, -1, np.int32)
    if len(timed):
        column[spans.clock >= 0] = clock
    return SpanFrame(
        environment=origin.environment,
        source=origin.source,
        sequence=origin.sequence,
        watermark_ns=origin.watermark_ns,
        services=tuple(names.text[i] for i in listed.tolist()),
        service=place.astype(np.int32),
        trace=spans.trace,
        span=spans.span,
        parent=spans.parent,
        kind=spans.kind,
        start_ns=spans.start_ns,
        end_ns=spans.end_ns,
        error=spans.error,
        site=spans.site,
        stream=~counts(spans) if spans.stream.any() else NO_SPANS.stream,
        untimed=spans.untimed if spans.untimed.any() else NO_SPANS.untimed,
        weight=spans.weight if (spans.weight != UNIT).any() else NO_SPANS.weight,
        clocks=tuple(clocks[i].source for i in timed.tolist()),
        clock=column,
        clock_shift_ns=np.array([clocks[i].shift_ns for i in timed.tolist()], np.int64),
        clock_floor_ns=np.array([clocks[i].floor_ns for i in timed.tolist()], np.int64),
        hosts=hosts,
        peers=peers,
    )
