"""Spans that wait to be flushed, as columns: which of them count as requests, and how many each stands for."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, cast

import numpy as np

from contracts.frames.decoded import B1, I8, I32, I64, KIND_CONSUMER, KIND_SERVER, U64
from contracts.units import SECOND
from streams.windows.grouping import Column
from streams.windows.rows import UNIT

OPENING_NS: Final = SECOND
"""A stream that fails this soon was never opened."""
OF_JOINS: Final = frozenset({"trace", "span", "parent", "site", "peer", "clock"})
OF_REQUESTS: Final = frozenset({"peer", "known", "level", "pace", "route"})
"""Columns that only the other of the two needs: joins with callers, sums of requests."""


class PendingSpans(NamedTuple):
    """Columns of pending spans; `service` and `peer` are numbers of names, `peer` is -1 where there is none, and so
    is `clock`, the number of a clock that is in question. `weight` is how many spans each stands for, in thousandths; `route`
    is the slot of a request's route, or -1."""

    service: I64
    trace: U64
    span: U64
    parent: U64
    kind: I8
    start_ns: I64
    end_ns: I64
    error: B1
    peer: I64
    site: U64
    stream: B1
    clock: I32
    known: I64
    level: I64
    pace: I64
    untimed: B1
    weight: I32
    route: I32

    def where(self, index: I64 | B1) -> PendingSpans:
        """The spans at some index."""
        return PendingSpans(*[c[index] for c in cast("tuple[Any, ...]", self)])

    def only(self, index: I64 | B1, without: frozenset[str]) -> PendingSpans:
        """The spans at some index, for who does not look at some of the columns: these are empty."""
        pairs = zip(self._fields, cast("tuple[Any, ...]", self), strict=True)
        return PendingSpans(*[c[:0] if name in without else c[index] for name, c in pairs])

    def and_also(self, others: PendingSpans) -> PendingSpans:
        """These spans and others."""
        return PendingSpans(*[np.concatenate(c) for c in zip(cast("Any", self), cast("Any", others), strict=True)])


_DTYPES = (
    *(np.int64, np.uint64, np.uint64, np.uint64, np.int8, np.int64, np.int64, np.bool_, np.int64),
    *(np.uint64, np.bool_, np.int32, np.int64, np.int64, np.int64, np.bool_, np.int32, np.int32),
)
NO_SPANS = PendingSpans(*cast("Any", [np.empty(0, t) for t in _DTYPES]))


def complete(columns: list[Column]) -> list[Column]:
    """Columns of a snapshot; one from before spans had sites, could be streams, had clocks, routes or weights, has fewer."""
    rows = len(columns[0])
    later: list[Column] = [np.zeros(rows, np.uint64), np.zeros(rows, np.bool_), np.full(rows, -1, np.int32)]
    later += [np.zeros(rows, np.int64) for _ in range(3)]
    later += [np.zeros(rows, np.bool_), np.full(rows, UNIT, np.int32), np.full(rows, -1, np.int32)]
    return (
        [*columns, *later[len(columns) - len(PendingSpans._fields) :]]
        if len(columns) < len(PendingSpans._fields)
        else columns
    )


def counts(spans: PendingSpans) -> B1:
    """Spans that are requests, with a duration that means something. How long a stream lasts is its user's choice, and when many
    end at once nothing has happened to requests; one that fails as soon as it is opened was a request that failed."""
    return ~spans.stream | (spans.error & (spans.end_ns - spans.start_ns <= OPENING_NS))


def standing(spans: PendingSpans) -> dict[str, Any]:
    """Which spans count, which are timed and how many each stands for, as `Events` has it."""
    return {
        "counted": counts(spans) if spans.stream.any() else None,
        "timed": ~spans.untimed if spans.untimed.any() else None,
        "weight": spans.weight if (spans.weight != UNIT).any() else None,
    }


def requests_of(spans: PendingSpans) -> PendingSpans:
    """Requests served, and root spans, which stand for those of a service that serves none."""
    return spans.only(np.flatnonzero(is_request(spans)), OF_JOINS)


def is_request(spans: PendingSpans) -> B1:
    """Which spans are requests."""
    found: B1 = (spans.kind == KIND_SERVER) | (spans.kind == KIND_CONSUMER) | (spans.parent == 0)
    return found
