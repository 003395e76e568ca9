"""From frames, whose rows come in any subset and order, to dense arrays over all series of an environment and signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import UnknownName
from contracts.features import BY_SIGNAL, COUNT_OF, FEATURES, Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.units import HOUR, SECOND
from models.service.state import LATELY, Slots

FORGET_NS = 6 * HOUR
"""A series unseen for this long gives its row back."""


Own = Callable[[tuple[str, ...], Signal], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """One window of some rows. NaN is missing. `trials` requests per row; `learn`: may be learnt from; `deployed`: a new
    version was seen in this window; `present`: there is something to be said of the row (it is not missing); `apart`: windows since the
    row's last."""

    values: F64
    trials: F64
    present: B1
    learn: B1
    deployed: B1
    apart: F64

    def of(self, rows: NDArray[np.intp]) -> Inputs:
        """Some of the rows."""
        return Inputs(
            self.values[rows],
            self.trials[rows],
            self.present[rows],
            self.learn[rows],
            self.deployed[rows],
            self.apart[rows],
        )


@dataclass(frozen=True, slots=True)
class Aligned:
    """A frame laid over the rows and columns known so far. `rows[i]` is the dense row of frame row i (`inputs` are in the order
    of the frame), `columns[j]` the frame's column of dense column j, or -1. `evicted`: the rows to keep, where others are to
    be dropped first."""

    inputs: Inputs
    rows: NDArray[np.intp]
    columns: tuple[int, ...]
    evicted: NDArray[np.intp] | None
    widened: NDArray[np.intp] | None
    fresh: B1
    """Per row whether this is news to learn from; false for a correction, or where the series is further already."""


class Alignment:
    """Which dense row and column is which series and feature, of one environment and signal. Each row has its own clock: its
    newest window (`contracts.frames.FeatureFrame` says what may come in which order)."""

    def __init__(self, signal: Signal, own: Own | None = None) -> None:
        """`own`: what gives the names of a model's own columns behind those of the frames."""
        self.signal, self._own = signal, own
        self.slots = Slots()
        self.names: tuple[str, ...] = ()
        self.versions: list[str] = []
        self._lately: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[str, ...]] = {}
        self.seen_ns: NDArray[np.int64] = np.zeros(0, np.int64)
        """Newest window of each row; -1 before its first."""

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
        self.seen_ns = np.concatenate([self.seen_ns, np.full(total - len(self.seen_ns), -1, np.int64)])
        seen_ns = self.seen_ns[rows]
        fresh: B1 = (seen_ns < frame.window_ns) & (frame.revision == 0)
        apart = np.where(seen_ns >= 0, np.maximum((frame.window_ns - seen_ns) / frame.width_ns, 1.0), 1.0)
        self.seen_ns[rows[fresh & ~frame.missing]] = frame.window_ns
        columns = tuple(frame.features.index(n) if n in frame.features else -1 for n in self.names)
        inputs = self._inputs(frame, learn, (rows, apart, fresh), columns)
        return Aligned(inputs, rows, columns, evicted, widened, fresh)

    def _inputs(
        self, frame: FeatureFrame, learn: B1, where: tuple[NDArray[np.intp], F64, B1], columns: tuple[int, ...]
    ) -> Inputs:
        rows, apart, fresh = where
        by_feature = np.full((len(columns), len(rows)), np.nan)
        for dense, column in enumerate(columns):
            if column >= 0:
                by_feature[dense] = frame.values[:, column]
        present = ~frame.missing
        by_feature[np.isinf(by_feature)] = np.nan
        by_feature[:, ~present] = np.nan
        values = by_feature.T
        trials = np.where(present, frame.counts, 0).astype(np.float64)
        deployed = np.zeros(len(rows), np.bool_)
        if self.signal is Signal.METRICS and COUNT_OF[self.signal] in self.names:
            # a rate that is read every minute is of all requests since
            rate = (
                values[:, self.names.index(COUNT_OF[self.signal])] * np.minimum(apart, 120.0) * frame.width_ns / SECOND
            )
            trials = np.where(np.isfinite(rate), rate, trials)
        for i, row, version in self._changed(rows, frame, fresh):
            deployed[i] = self.versions[row] != ""
            if fresh[i]:
                self.versions[row] = version
        return Inputs(values, trials, present, np.asarray(learn & present, np.bool_), deployed, apart)

    def _changed(self, rows: NDArray[np.intp], frame: FeatureFrame, fresh: B1) -> list[tuple[int, int, str]]:
        """Frame rows whose version is not the one on record, with their dense row and the new one, which is put on record where the row is
        news. The same series as lately with the same versions cost one look-up together."""
        key = frame.services, frame.peers
        if self._lately.get(key) == frame.versions:
            return []
        told = zip(range(len(rows)), rows.tolist(), frame.versions, strict=True)
        changed = [(i, row, version) for i, row, version in told if version and version != self.versions[row]]
        if changed or len(self._lately) >= LATELY:
            self._lately.clear()
        if fresh.all():
            self._lately[key] = frame.versions
        return changed

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
        kept = (n for n in self.names if n in FEATURES)
        names = tuple(sorted((*kept, *new), key=order.index))
        names = self._own(names, self.signal) if self._own is not None else names
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
        self._lately.clear()
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
        }

    @classmethod
    def of(cls, plain: dict[str, Any], own: Own | None = None) -> Alignment:
        """Inverse of `plain`."""
        it = cls(Signal(plain["signal"]), own)
        it.slots = Slots(tuple((s, p) for s, p in plain["keys"]))
        it.names, it.versions = tuple(plain["names"]), list(plain["versions"])
        it.seen_ns = plain["seen_ns"]
        return it


def spread(dense: F64, aligned: Aligned, width: int, missing: float) -> F64:
    """Columns of the frame (rows, `width` features) from the dense columns of the same rows; `missing` where there is none."""
    out = np.full((width, len(dense)), missing)
    for j, column in enumerate(aligned.columns):
        if column >= 0:
            out[column] = dense[:, j]
    return out.T
