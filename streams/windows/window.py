"""One open window: sums per entity in whatever order they arrive, and which rows have been sent."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts.frames.decoded import B1, F64, I64
from contracts.frames.latency import midpoint
from streams.windows.grouping import sum_by
from streams.windows.rows import UNSEEN

_BUCKET_BITS = 11
_BUCKET_MASK = (1 << _BUCKET_BITS) - 1


class Sums:
    """Integer columns and a sparse histogram per key. Adding is cheap; what was added is merged when it is looked at."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self._rows: list[tuple[I64, tuple[I64, ...]]] = []
        self._cells: list[tuple[I64, tuple[I64, ...]]] = []

    def add(self, keys: I64, columns: tuple[I64, ...]) -> None:
        """Add rows (a key may occur again)."""
        self._rows.append((keys, columns))

    def add_cells(self, keys: I64, bucket: I64, count: I64) -> None:
        """Add histogram counts."""
        self._cells.append(((keys << _BUCKET_BITS) | bucket, (count,)))

    def of(self, keys: I64) -> tuple[I64, ...]:
        """The sums of each key; 0 where it has none."""
        self._rows = _merged(self._rows)
        if not self._rows:
            return tuple(np.zeros(len(keys), np.int64) for _ in range(self.columns))
        known, columns = self._rows[0]
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        hit = known[at] == keys
        return tuple(np.where(hit, c[at], 0) for c in columns)

    def quantiles(self, keys: I64, q: tuple[float, ...]) -> F64:
        """(keys, q) quantiles in seconds of each key's histogram, as `contracts.frames.latency.quantiles`; NaN if empty."""
        self._cells = _merged(self._cells)
        result = np.full((len(keys), len(q)), np.nan)
        if not self._cells or not len(self._cells[0][0]):
            return result
        cells, (count,) = self._cells[0]
        total = np.concatenate([[0], np.cumsum(count)])
        low = np.searchsorted(cells, keys << _BUCKET_BITS)
        high = np.searchsorted(cells, (keys + 1) << _BUCKET_BITS)
        events = total[high] - total[low]
        some = events > 0
        for j, part in enumerate(q):
            wanted = total[low[some]] + np.ceil(part * events[some]).astype(np.int64)
            at = np.searchsorted(total[1:], wanted, side="left")
            result[some, j] = midpoint((cells[at] & _BUCKET_MASK).astype(np.int32))
        return result

    def state(self) -> list[Any]:
        """For a snapshot."""
        self._rows, self._cells = _merged(self._rows), _merged(self._cells)
        return [[[k, list(c)] for k, c in part] for part in (self._rows, self._cells)]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._rows, self._cells = ([(k, tuple(c)) for k, c in part] for part in state)
        # A snapshot of before there were as many columns knows nothing of the later ones.
        self._rows = [
            (k, (*c, *(np.zeros(len(k), np.int64) for _ in range(self.columns - len(c))))) for k, c in self._rows
        ]


def _merged(chunks: list[tuple[I64, tuple[I64, ...]]]) -> list[tuple[I64, tuple[I64, ...]]]:
    """The chunks as one, sorted by key and summed."""
    if not chunks or (len(chunks) == 1 and _ascending(chunks[0][0])):
        return chunks
    keys = np.concatenate([k for k, _ in chunks])
    columns = tuple(np.concatenate(c) for c in zip(*(c for _, c in chunks), strict=True))
    return [sum_by(keys, columns)]


def _ascending(keys: I64) -> bool:
    return bool((keys[1:] > keys[:-1]).all())


class Window:
    """Which entities have data (`have`), which of their rows were sent and which of those changed since (`dirty`), and of which
    without data nothing is known (`missing`). `waits` are the entities whose silence could not be judged at the last look.

    `beyond` sums what sampled events stand for besides themselves (see `rows.UNSEEN`).

    `fill`: entities without data get rows too, because time passed this window at its own pace. `due_ns` is the watermark
    at which the next row may become due. `looks`: how often it was looked at before its rows were due.
    """

    def __init__(self, index: int, columns: int, capacity: int) -> None:
        self.index = index
        self.sums = Sums(columns)
        self.beyond = Sums(len(UNSEEN))
        self.have: B1 = np.zeros(capacity, np.bool_)
        self.sent: B1 = np.zeros(capacity, np.bool_)
        self.dirty: B1 = np.zeros(capacity, np.bool_)
        self.missing: B1 = np.zeros(capacity, np.bool_)
        self.waits: I64 = np.empty(0, np.int64)
        self.fill = False
        self.changed = False
        self.revision = 0
        self.due_ns = 0
        self.looks = 0

    def fit(self, capacity: int) -> None:
        """Make room for more entities."""
        more = capacity - len(self.have)
        if more > 0:
            none = np.zeros(more, np.bool_)
            marks = (self.have, self.sent, self.dirty, self.missing)
            self.have, self.sent, self.dirty, self.missing = (np.concatenate([a, none]) for a in marks)

    def touch(self, entity: I64) -> None:
        """Data of some entities came in."""
        self.have[entity] = True
        self.dirty[entity] = self.sent[entity]
        self.due_ns = 0
        self.changed = True

    def spoil(self, entity: I64) -> None:
        """Rows of some entities are to be sent again although nothing was added to them."""
        self.dirty[entity] |= self.sent[entity] & self.have[entity]
        self.due_ns = 0
        self.changed = True

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "index": self.index,
            "sums": self.sums.state(),
            "beyond": self.beyond.state(),
            "marks": [np.packbits(a) for a in (self.have, self.sent, self.dirty, self.missing)],
            "flags": [self.fill, self.changed, self.revision, self.due_ns, len(self.have)],
            "waits": self.waits,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.index = state["index"]
        self.sums.load(state["sums"])
        self.beyond.load(state.get("beyond", [[], []]))
        self.fill, self.changed, self.revision, self.due_ns, size = state["flags"]
        self.waits = state.get("waits", np.empty(0, np.int64))
        marks = [np.unpackbits(m, count=size).astype(np.bool_) for m in state["marks"]]
        self.have, self.sent, self.dirty, self.missing = [*marks, np.zeros(size, np.bool_)][:4]
