"""Group-by over columns: integer sums per key and a sparse latency histogram per key, exact in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import I32, I64
from contracts.frames.latency import BASE, BUCKETS, GAMMA, bucket_of
from contracts.units import SECOND

Column = NDArray[Any]
_BUCKET_BITS = 11
_BUCKET_MASK = (1 << _BUCKET_BITS) - 1
assert BUCKETS < 1 << _BUCKET_BITS
APART: Final = (1 << _BUCKET_BITS) - 1
"""A bucket that no duration has, for what has none that counts."""
_LOWER_NS = np.concatenate(
    [[-(1 << 62)], np.ceil(BASE * GAMMA ** np.arange(1, BUCKETS) * SECOND).astype(np.int64), [1 << 62]]
)
"""First nanosecond of each bucket, and of the one after the last."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Sorted unique keys, events per key, sums (columns as given), and histogram rows in the same order."""

    keys: I64
    count: I64
    sums: tuple[I64, ...]
    hist_row: I32
    hist_bucket: I32
    hist_count: I64


def bucket_of_ns(duration_ns: I64) -> I32:
    """Bucket of the latency grid of integer durations. Logarithms guess, the grid's edges decide: free of rounding."""
    guess = bucket_of(duration_ns / SECOND)
    guess -= duration_ns < _LOWER_NS[guess]
    guess += duration_ns >= _LOWER_NS[guess + 1]
    return guess


def aggregate(keys: I64, bucket: I32, sums: tuple[I64, ...], each: I64 | None = None) -> Groups:
    """Group events by key (non-negative, below 2**52). One sort serves both the sums and the histograms, in which an event
    counts as many times as `each` says (None: once)."""
    full = (keys << _BUCKET_BITS) | bucket
    order = np.argsort(full)
    full = full[order]
    cells = run_starts(full)
    if each is None:
        cell_count = np.diff(np.append(cells, len(full)))
    else:
        cell_count = np.add.reduceat(each[order], cells)
    cell_key = full[cells] >> _BUCKET_BITS
    rows = run_starts(cell_key)
    starts = cells[rows]
    return Groups(
        keys=cell_key[rows],
        count=np.diff(np.append(starts, len(full))),
        sums=tuple(np.add.reduceat(s[order], starts) for s in sums),
        hist_row=np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(np.append(rows, len(cells)))),
        hist_bucket=(full[cells] & _BUCKET_MASK).astype(np.int32),
        hist_count=cell_count,
    )


def sum_by(keys: I64, columns: tuple[I64, ...]) -> tuple[I64, tuple[I64, ...]]:
    """Sorted unique keys and the integer sum of each column per key."""
    order = np.argsort(keys)
    keys = keys[order]
    starts = run_starts(keys)
    return keys[starts], tuple(np.add.reduceat(c[order], starts) for c in columns)


def run_starts(keys: Column) -> I64:
    """Where each run of equal values begins in a sorted array."""
    if not len(keys):
        return np.empty(0, np.int64)
    return np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])


def dense(values: I64, below: int = 0) -> tuple[I64, I64]:
    """Sorted distinct values, and the index of each value among them; quick where the values span little.

    `below`: all values are known to lie in [0, below).
    """
    if not len(values):
        return values, values
    if 0 < below <= 65_536:
        place = np.zeros(below, np.int64)
        place[values] = 1
        listed = np.flatnonzero(place)
        place[listed] = np.arange(len(listed))
        return listed, place[values]
    low, high = int(values.min()), int(values.max())
    if high - low > 65_536:
        distinct, index = np.unique(values, return_inverse=True)
        return distinct, index.astype(np.int64)
    offset = values - low
    present = np.zeros(high - low + 1, np.bool_)
    present[offset] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[offset]
