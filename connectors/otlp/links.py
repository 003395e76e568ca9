"""Span links that are calls: a consumer names the producers of its messages, a service at the edge who called it.

A span that has no parent in its callers' traces (a consumer of batches, a new trace at a trust boundary) links to them. Each such link
becomes a row of its own, a child of the span it names, in that span's trace: so it is joined where that span is.
https://opentelemetry.io/docs/specs/otel/overview/#links-between-spans
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from contracts.frames.decoded import B1, I8, KIND_CONSUMER, U64, SpanBatch

MOST: Final = 32
"""Links of a span that count: those of a batch are mostly of one producer."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
Links = Iterable[tuple[int, int, int]]
"""Row, and the low 64 bits of the linked trace's and span's ids."""


def may_call(kind: I8, parent: U64) -> B1:
    """Which spans may link to who called them."""
    found: B1 = (kind == KIND_CONSUMER) | (parent == 0)
    return found


def linked_batch(spans: SpanBatch, links: Links) -> SpanBatch | None:
    """The links as child spans of those that they name; None where there are none."""
    rows = [(row, trace, span) for row, trace, span in links if trace and span]
    if not rows:
        return None
    at = np.array([row for row, _, _ in rows], np.int64)
    trace, parent = (np.array([r[i] for r in rows], np.uint64) for i in (1, 2))
    new = (spans.parent[at] != parent) | (spans.trace[at] != trace)
    at, trace, parent = at[new], trace[new], parent[new]
    if not len(at):
        return None
    mixed = (spans.span[at] ^ (trace * _MIX) ^ (parent << np.uint64(1))) * _MIX
    none = np.zeros(len(at), np.int32)
    return SpanBatch(
        resource=spans.resource[at],
        trace=trace,
        span=np.where(mixed == 0, _MIX, mixed),
        parent=parent,
        kind=spans.kind[at],
        start_ns=spans.start_ns[at],
        end_ns=spans.end_ns[at],
        error=spans.error[at],
        name=spans.name[at],
        peer=none,
    )
