"""From frames, whose rows come in any subset and order, to dense arrays over all series of an environment and signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import UnknownName
from contracts.features import BY_SIGNAL, COUNT_OF, FEATURES, Signal
from contracts.frames.features import FeatureFrame
from contracts.frames.telemetry import B1, F64
from models.service.state import Slots

NS = 1_000_000_000
FORGET_NS = 6 * 3600 * NS
"""A series unseen for this long gives its row back."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One window of all rows. NaN is missing. `trials` requests per row; `learn`: may be learnt from; `deployed`: a new
    version was seen in this window; `present`: the frame has the row."""

    values: F64
    trials: F64
    present: B1
    learn: B1
    deployed: B1


@dataclass(frozen=True, slots=True)
class Aligned:
    """A frame laid over the rows and columns known so far. `rows[i]` is the dense row of frame row i, `columns[j]` the
    frame's column of dense column j, or -1. `evicted`: the rows to keep, where others are to be dropped first."""

    inputs: Inputs
    rows: NDArray[np.intp]
    columns: tuple[int, ...]
    evicted: NDArray[np.intp] | None
    widened: NDArray[np.intp] | None
    fresh: bool
    """Whether this is news to learn from; false for a correction or a window that is past."""


class Alignment:
    """Which dense row and column is which series and feature, of one environment and signal."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.slots = Slots()
        self.names: tuple[str, ...] = ()
        self.versions: list[str] = []
        self.seen_ns: NDArray[np.int64] = np.zeros(0, np.int64)
        self.clock_ns = -1
        self._said: tuple[NDArray[np.intp], tuple[str, ...]] | None = None

    def align(self, frame: FeatureFrame, learn: B1) -> Aligned:
        """Lay `frame` over what is known, which grows as needed.

        Raises:
            UnknownName: a column that is not a feature.
        """
        widened = self._widen(frame)
        evicted = self._evict(frame.window_ns)
        rows = self.slots.rows(frame.services, frame.peers)
        total = len(self.slots)
        self.versions += [""] * (total - len(self.versions))
        self.seen_ns = np.concatenate([self.seen_ns, np.full(total - len(self.seen_ns), frame.window_ns, np.int64)])
        fresh = frame.revision == 0 and frame.window_ns >= self.clock_ns
        if fresh:
            self.clock_ns = frame.window_ns
            self.seen_ns[rows] = frame.window_ns
        columns = tuple(frame.features.index(n) if n in frame.features else -1 for n in self.names)
        inputs = self._inputs(frame, learn, rows, columns)
        return Aligned(inputs, rows, columns, evicted, widened, fresh)

    def _inputs(self, frame: FeatureFrame, learn: B1, rows: NDArray[np.intp], columns: tuple[int, ...]) -> Inputs:
        total = len(self.slots)
        by_feature = np.full((len(columns), total), np.nan)
        for dense, column in enumerate(columns):
            if column >= 0:
                by_feature[dense, rows] = frame.values[:, column]
        by_feature[np.isinf(by_feature)] = np.nan
        values = by_feature.T
        trials, present = np.zeros(total), np.zeros(total, np.bool_)
        may, deployed = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
        trials[rows], present[rows], may[rows] = frame.counts, True, learn
        if self.signal is Signal.METRICS and COUNT_OF[self.signal] in self.names:
            rate = values[:, self.names.index(COUNT_OF[self.signal])] * frame.width_ns / NS
            trials = np.where(np.isfinite(rate), rate, trials)
        for row, version in self._changed(rows, frame.versions):
            deployed[row] = self.versions[row] != ""
            self.versions[row] = version
        return Inputs(values, trials, present, may, deployed)

    def _changed(self, rows: NDArray[np.intp], versions: tuple[str, ...]) -> list[tuple[int, str]]:
        """Rows whose version is not the one on record, with the new one. Versions said together last time are on record."""
        if self._said is not None and self._said[0] is rows and self._said[1] == versions:
            return []
        self._said = rows, versions
        told = zip(rows.tolist(), versions, strict=True)
        return [(row, version) for row, version in told if version and version != self.versions[row]]

    def _widen(self, frame: FeatureFrame) -> NDArray[np.intp] | None:
        """Take in features that have a value for the first time; where the old columns went, or None."""
        known = set(self.names)
        new = [n for j, n in enumerate(frame.features) if n not in known and np.isfinite(frame.values[:, j]).any()]
        if not new:
            return None
        for name in new:
            if name not in FEATURES:
                raise UnknownName("feature", name, BY_SIGNAL[self.signal])
        order = list(FEATURES)
        names = tuple(sorted((*self.names, *new), key=order.index))
        where = np.array([names.index(n) for n in self.names], np.intp)
        self.names = names
        return where

    def _evict(self, window_ns: int) -> NDArray[np.intp] | None:
        """Drop series unseen for `FORGET_NS`, looking only when they are at least half of all; the rows kept, or None."""
        stale = self.seen_ns < window_ns - FORGET_NS
        if stale.sum() * 2 <= len(stale):
            return None
        kept = np.flatnonzero(~stale)
        self.slots.keep(kept)
        self.versions = [self.versions[i] for i in kept]
        self.seen_ns = self.seen_ns[kept]
        return kept

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {
            "signal": self.signal.value,
            "keys": [list(k) for k in self.slots.keys],
            "names": list(self.names),
            "versions": self.versions,
            "seen_ns": self.seen_ns,
            "clock_ns": self.clock_ns,
        }

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Alignment:
        """Inverse of `plain`."""
        it = cls(Signal(plain["signal"]))
        it.slots = Slots(tuple((s, p) for s, p in plain["keys"]))
        it.names, it.versions = tuple(plain["names"]), list(plain["versions"])
        it.seen_ns, it.clock_ns = plain["seen_ns"], plain["clock_ns"]
        return it


def spread(dense: F64, aligned: Aligned, width: int, missing: float) -> F64:
    """Rows and columns of the frame (rows, `width` features) from a dense array; `missing` where there is no column."""
    out = np.full((width, len(aligned.rows)), missing)
    for j, column in enumerate(aligned.columns):
        if column >= 0:
            out[column] = dense[:, j][aligned.rows]
    return out.T
