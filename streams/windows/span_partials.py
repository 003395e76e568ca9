"""Partials that spans make: requests of services, sums by operation, and calls to peers that send no spans themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from contracts.frames.decoded import I64, KIND_CLIENT, KIND_CONSUMER, KIND_SERVER
from streams.windows.collect import Partial
from streams.windows.names import Names
from streams.windows.operations import operation_frames
from streams.windows.pending_spans import OF_JOINS, PendingSpans, counts, is_request, standing
from streams.windows.routes import THOUSANDTHS, Routes
from streams.windows.rows import Events, Origin, group, row_frame

SERVED, ROOT = 0, 1
"""Roles of a row: requests served (SERVER, CONSUMER), and other root spans (see PartialFrame.role)."""


def operations_of(origin: Origin, names: Names, routes: Routes, spans: PendingSpans) -> Iterator[Partial]:
    """Sums by operation of requests, and of what databases are asked (`streams.windows.statements`). Their durations are in
    logarithms, of those that are known and timed."""
    some = spans.only(np.flatnonzero((is_request(spans) | (spans.route >= 0)) & counts(spans)), OF_JOINS)
    log = np.log(np.maximum(some.end_ns - some.start_ns, 1)) * THOUSANDTHS * some.known
    columns = (np.ones(len(log), np.int64), some.error.astype(np.int64), some.known, some.level, some.pace)
    asked = (some.end_ns, _owners(names, routes, some), some.route.astype(np.int64))
    for target, frame in operation_frames(origin, names, routes, asked, (*columns, np.rint(log).astype(np.int64))):
        yield origin.environment, target, frame


def _owners(names: Names, routes: Routes, spans: PendingSpans) -> I64:
    """Whose operation each span is: that of who serves it, and of a statement the database's."""
    found = spans.service.copy()
    asks = np.flatnonzero((spans.kind == KIND_CLIENT) & (spans.route >= 0))
    slots, which = np.unique(spans.route[asks], return_inverse=True)
    owners = np.array([names.number(routes.owner(slot)) for slot in slots.tolist()], np.int64)
    of_asks = owners[which.ravel()]
    found[asks] = np.where(of_asks >= 0, of_asks, spans.service[asks])
    return found


def request_sums(origin: Origin, names: Names, some: PendingSpans, width_ns: int) -> Iterator[tuple[int, Any]]:
    """`some` are spans that are requests."""
    served = (some.kind == KIND_SERVER) | (some.kind == KIND_CONSUMER)
    duration = np.maximum(some.end_ns - some.start_ns, 0)
    role = np.where(served, SERVED, ROOT).astype(np.int64)
    sums = (some.error.astype(np.int64), duration, some.known, some.level, some.pace)
    events = Events(some.end_ns, some.service, role, 2, duration, sums, **standing(some))
    for cut in group(events, names, width_ns):
        yield cut.target, row_frame(origin, "spans", names, cut)


def peer_edges(origin: Origin, names: Names, spans: PendingSpans, width_ns: int) -> list[Partial]:
    """Calls to what sends no spans itself, known from the caller's attributes; and from a queue to who consumes it.

    These frames carry no watermark: that of the edges comes from where callers and callees are joined.
    """
    some = spans.where(np.flatnonzero((spans.peer >= 0) & (spans.kind != KIND_SERVER)))
    consumes = some.kind == KIND_CONSUMER
    caller, callee = np.where(consumes, some.peer, some.service), np.where(consumes, some.service, some.peer)
    duration = np.maximum(some.end_ns - some.start_ns, 0)
    none = np.zeros(len(duration), np.int64)
    sums = (some.error.astype(np.int64), duration, none, none)
    events = Events(some.end_ns, caller, callee, len(names), duration, sums, **standing(some))
    here = Origin(origin.environment, origin.source, origin.sequence, 0)
    return [
        (origin.environment, cut.target, row_frame(here, "edges", names, cut)) for cut in group(events, names, width_ns)
    ]
