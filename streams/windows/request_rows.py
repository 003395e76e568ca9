"""Rows of spans where calls are joined: their layout, and which request a span was made in."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.frames.decoded import B1, I64, KIND_CLIENT
from streams.windows.tables import KeyTable, Rows, mix

SPAN: Final = np.dtype(
    [
        *(("trace", "<u8"), ("span", "<u8"), ("parent", "<u8"), ("start_ns", "<i8"), ("end_ns", "<i8")),
        *(("service", "<i4"), ("kind", "i1"), ("error", "?"), ("site", "<u8"), ("clock", "<i4"), ("weight", "<i4")),
    ]
)
STREAM, UNTIMED = 8, 16
"""Bits in the kind of a span's row: it lasts as long as its user likes, or its duration is no latency (kinds are 0 to 5). So rows and
snapshots keep their layout."""
_KIND_BITS: Final = 7
_STEPS: Final = 3
"""Spans between a call and the request that made it, of one service, that are looked at."""


def kinds_of(rows: Rows) -> I64:
    """Kinds of spans, without marks."""
    kinds: I64 = rows["kind"].astype(np.int64) & _KIND_BITS
    return kinds


def begins(spans: Rows) -> B1:
    """Which spans are requests, with a route: others but client spans have no site."""
    found: B1 = (spans["site"] != 0) & (kinds_of(spans) != KIND_CLIENT) & (spans["kind"] & STREAM == 0)
    return found


def requests_behind(spans: Rows, known: KeyTable) -> tuple[I64, Rows]:
    """The requests, of the same service, in which spans were made: the index of each span of which it is known, and the request."""
    at, found, requests = np.arange(len(spans)), [], []
    for step in range(_STEPS + 1):
        begun = begins(spans)
        found.append(at[begun])
        requests.append(spans[begun])
        rest = np.flatnonzero(~begun & (spans["kind"] & STREAM == 0))
        if not len(rest) or step == _STEPS:
            break
        below, at = spans[rest], at[rest]
        which, above = known.find(mix(below["trace"], below["parent"]))
        own = (above["service"] == below["service"][which]) & (above["trace"] == below["trace"][which])
        at, spans = at[which[own]], above[own]
    return np.concatenate(found), np.concatenate(requests)
