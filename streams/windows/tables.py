"""Tables of recent 64-bit keys, kept as a few sorted slices: found by binary search, forgotten slice by slice.

A slice holds what arrived while event time moved by one step, so a whole slice expires at once. Each slice has a byte map
over the low bits of its keys, which answers most of the lookups that find nothing (a Bloom filter with one hash; keys are
mixed, so low bits are as good as any).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, I64, U64

Rows = NDArray[np.void]
_MULTIPLY_A = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY_B = np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)


def mix(a: U64, b: U64) -> U64:
    """A 64-bit hash of pairs (multiply and xor-shift rounds, as in SplitMix64: Steele, Lea, Flood, OOPSLA 2014)."""
    h = (a * _MULTIPLY_A) ^ b
    h = (h ^ (h >> _SHIFT)) * _MULTIPLY_B
    h = (h ^ (h >> _SHIFT)) * _MULTIPLY_B
    return h ^ (h >> _SHIFT)


def end_to_end(parts: Sequence[Rows]) -> Rows:
    """Rows of one dtype put end to end. As plain bytes: numpy copies records field by field, twenty times slower."""
    whole = np.dtype((np.void, parts[0].dtype.itemsize))
    joined: Rows = np.concatenate([p.view(whole) for p in parts]).view(parts[0].dtype)
    return joined


class Slice:
    """Sorted keys, and where the row of each is in `rows`. `newest_ns` is the latest event time, `opened_ns` the first
    batch's."""

    __slots__ = ("alive", "at", "filter", "keys", "newest_ns", "opened_ns", "rows")

    def __init__(self, keys: U64, rows: Rows | None, opened_ns: int, newest_ns: int) -> None:
        self.keys, self.rows = keys, rows
        self.at: I64 = np.arange(len(keys))
        self.alive: B1 = np.ones(len(keys), np.bool_)
        self.opened_ns, self.newest_ns = opened_ns, newest_ns
        self.filter: B1 = np.zeros(1 << max(10, (8 * len(keys)).bit_length()), np.bool_)
        self.filter[self._slot(keys)] = True

    def _slot(self, keys: U64) -> I64:
        return (keys & np.uint64(len(self.filter) - 1)).view(np.int64)

    def maybe(self, keys: U64) -> I64:
        """Indices of the keys that may be in this slice."""
        return np.flatnonzero(self.filter[self._slot(keys)])

    def position(self, keys: U64) -> tuple[I64, B1]:
        """Where each key is in `keys`, and whether it is there at all."""
        found = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return found, self.keys[found] == keys

    def living(self) -> Slice:
        """Without the rows that were taken out."""
        if self.alive.all():
            return self
        rows = None if self.rows is None else self.rows.take(self.at[self.alive])
        return Slice(self.keys[self.alive], rows, self.opened_ns, self.newest_ns)

    def merged(self, later: Slice) -> Slice:
        """One slice of both. Rows are only put end to end; the sort finds two sorted runs and merges them."""
        keys = np.concatenate([self.keys, later.keys])
        order = np.argsort(keys, kind="stable")
        rows = None if self.rows is None or later.rows is None else end_to_end([self.rows, later.rows])
        found = Slice(keys[order], rows, self.opened_ns, max(self.newest_ns, later.newest_ns))
        if rows is not None:
            found.at = np.concatenate([self.at, later.at + len(self.rows if self.rows is not None else ())])[order]
        return found


class KeyTable:
    """Slices of at most `step_ns` of event time or `slice_rows` rows; at most `most` rows in all, the oldest go first.

    Slices of similar size are merged, so that a row is moved a logarithmic number of times.
    """

    def __init__(self, dtype: np.dtype[Any] | None, step_ns: int, most: int, slice_rows: int = 1 << 18) -> None:
        self.dtype, self.step_ns, self.most, self.slice_rows = dtype, step_ns, most, slice_rows
        self.slices: list[Slice] = []

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(s.alive)) for s in self.slices)

    def insert(self, keys: U64, rows: Rows | None, newest_ns: int) -> int:
        """Add rows sorted by key; how many old rows had to go to make room."""
        if len(keys):
            self.slices.append(Slice(keys, rows, newest_ns, newest_ns))
            while len(self.slices) > 1 and self._alike(self.slices[-2], self.slices[-1]):
                later = self.slices.pop()
                self.slices[-1] = self.slices[-1].living().merged(later.living())
        evicted = 0
        while len(self.slices) > 1 and sum(len(s.keys) for s in self.slices) > self.most:
            evicted += int(np.count_nonzero(self.slices.pop(0).alive))
        return evicted

    def _alike(self, a: Slice, b: Slice) -> bool:
        small = len(a.keys) <= 2 * len(b.keys) and len(a.keys) + len(b.keys) <= self.slice_rows
        return small and b.newest_ns - a.opened_ns < self.step_ns

    def contains(self, keys: U64) -> B1:
        """Which of the keys are in the table."""
        found = np.zeros(len(keys), np.bool_)
        for s in reversed(self.slices):
            at = s.maybe(keys)
            if len(at):
                found[at[s.position(keys[at])[1]]] = True
        return found

    def find(self, keys: U64) -> tuple[I64, Rows]:
        """For each key that is in the table: its index in `keys`, and its row (one per key, the newest slice first)."""
        left = np.arange(len(keys))
        indices: list[I64] = []
        rows: list[Rows] = []
        for s in reversed(self.slices):
            at = s.maybe(keys[left])
            if not len(at) or s.rows is None:
                continue
            pos, hit = s.position(keys[left[at]])
            indices.append(left[at[hit]])
            rows.append(s.rows.take(s.at[pos[hit]]))
            left = np.delete(left, at[hit])
            if not len(left):
                break
        return _joined(indices), end_to_end(rows) if rows else np.empty(0, self.dtype)

    def take(self, keys: U64) -> tuple[I64, Rows]:
        """Take out every row whose key is among `keys` (each given once): index of its key, and the row."""
        indices: list[I64] = []
        rows: list[Rows] = []
        for s in self.slices:
            at = s.maybe(keys)
            if not len(at) or s.rows is None:
                continue
            low = np.searchsorted(s.keys, keys[at], side="left")
            high = np.searchsorted(s.keys, keys[at], side="right")
            which, pos = ranges(low, high)
            live = s.alive[pos]
            s.alive[pos] = False
            indices.append(at[which[live]])
            rows.append(s.rows.take(s.at[pos[live]]))
        return _joined(indices), end_to_end(rows) if rows else np.empty(0, self.dtype)

    def expire(self, before_ns: int) -> int:
        """Forget slices whose newest event is older than `before_ns`; how many rows that were."""
        return sum(int(np.count_nonzero(s.alive)) for s in self._older(before_ns))

    def expired(self, before_ns: int) -> Rows:
        """The same; the rows themselves."""
        gone = [s.rows.take(s.at[s.alive]) for s in self._older(before_ns) if s.rows is not None]
        return end_to_end(gone) if gone else np.empty(0, self.dtype)

    def _older(self, before_ns: int) -> list[Slice]:
        gone = [s for s in self.slices if s.newest_ns < before_ns]
        self.slices = [s for s in self.slices if s.newest_ns >= before_ns]
        return gone

    def column(self, name: str) -> NDArray[Any]:
        """The distinct values of one column of all rows."""
        found = [np.unique(s.rows[name]) for s in self.slices if s.rows is not None]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def mend(self, latest_ns: int) -> None:
        """Nothing in the table is newer than this, whatever was believed."""
        for s in self.slices:
            s.newest_ns, s.opened_ns = min(s.newest_ns, latest_ns), min(s.opened_ns, latest_ns)

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        living = [s.living() for s in self.slices if s.alive.any()]
        return [
            [s.keys, b"" if s.rows is None else s.rows.take(s.at).tobytes(), s.opened_ns, s.newest_ns] for s in living
        ]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self.slices = [
            Slice(keys, None if self.dtype is None else np.frombuffer(rows, self.dtype), opened, newest)
            for keys, rows, opened, newest in state
        ]


def ranges(low: I64, high: I64) -> tuple[I64, I64]:
    """All positions of the half-open ranges [low, high), and which range each belongs to."""
    size = high - low
    which = np.repeat(np.arange(len(low)), size)
    first = np.cumsum(size) - size
    return which, np.arange(int(size.sum())) - first[which] + low[which]


def _joined(parts: list[I64]) -> I64:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
