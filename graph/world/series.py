"""Columnar rings of one signal: the last windows of every row (service or edge), and what was usual before them.

Windows are numbered `window_ns // width_ns`. A window that leaves the ring is folded into decayed moments per row and feature
(weight, sum, sum of squares of the transformed value), unless it belongs to an open incident: the usual is learnt from
healthy time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.features import FEATURES, FeatureKind
from contracts.frames import EvidenceFrame
from graph.judgement import AMID_WINDOWS, DECAY

RING: Final = 120
"""Windows kept per row."""
LATELY: Final = 3
"""Windows that say whether a service answers at this moment."""
LATE_DECAY: Final = 0.98
"""What is kept of how late a row came, per window: half a minute makes half of it."""
NEVER: Final = np.iinfo(np.int64).max
_LARGEST: Final = 1e17
"""No telemetry is truly larger; squares and sums of what is must not overflow single precision."""

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


def transform(values: NDArray[Any], kinds: Sequence[FeatureKind]) -> F64:
    """Values (..., features) on the scale where differences are compared: log for latencies, as is for the rest."""
    out = np.asarray(values, np.float64).copy()
    log = np.array([k is FeatureKind.LATENCY for k in kinds], bool)
    if log.any():
        out[..., log] = np.log(np.maximum(out[..., log], 1e-5))
    return out


class SeriesStore:
    """Rings and moments of one signal. Rows are `(service, peer)`, peer "" for services; rows are never removed."""

    def __init__(self, features: tuple[str, ...], aside: tuple[str, ...] = ()) -> None:
        self.features = features
        self.aside_names = aside
        self.kinds = [FEATURES[f].kind for f in features]
        self.ratios = np.array([k is FeatureKind.RATIO for k in self.kinds], bool)
        self.logarithmic = np.array([k is FeatureKind.LATENCY for k in self.kinds], bool)
        self.width_ns = 0
        self.keys: list[tuple[str, str]] = []
        self.index: dict[tuple[str, str], int] = {}
        self.covered_to: dict[int, int] = {}
        self.slot = np.full(RING, -1, np.int64)
        self.allocate(0)

    def allocate(self, rows: int) -> None:
        """Begin with empty arrays for so many rows."""
        n = len(self.features)
        self.levels: F32 = np.full((rows, RING, n), np.nan, np.float32)
        """Values on the scale where differences are compared (see `transform`); NaN where nothing was observed."""
        self.score: F32 = np.zeros((rows, RING, n), np.float32)
        self.counts: F32 = np.full((rows, RING), -1.0, np.float32)
        self.partition: I64 = np.zeros(rows, np.int64)
        self.late: F32 = np.zeros(rows, np.float32)
        """By how many windows rows came behind the newest one, lately at most."""
        self.first: I64 = np.full(rows, NEVER, np.int64)
        self.frozen: I64 = np.full(rows, NEVER, np.int64)
        self.moments: F64 = np.zeros((3, rows, n))
        self.aside: F32 = np.full((rows, RING, len(self.aside_names)), np.nan, np.float32)
        """What explains rows (see `contracts.features.ASIDE`); NaN where nothing is known of it."""
        self.aside_before: F64 = np.zeros((rows, 2 + len(self.aside_names)))
        """Of the windows that left the ring, decayed: how many, their counts, and the sums of what explains them."""

    @property
    def latest(self) -> int:
        """Number of the newest window seen, -1 before the first."""
        return max(self.covered_to.values(), default=-1)

    def take(self, frame: EvidenceFrame) -> None:
        """Write a frame's rows into their window; windows older than the ring are ignored."""
        self.width_ns = self.width_ns or frame.width_ns
        window = frame.window_ns // self.width_ns
        self.covered_to[frame.partition] = max(self.covered_to.get(frame.partition, -1), window)
        if window <= self.latest - RING:
            return
        self._open(window)
        rows = self._rows(frame)
        if not len(rows):
            return
        at = window % RING
        columns = [self.features.index(f) for f in frame.features if f in self.features]
        source = [j for j, f in enumerate(frame.features) if f in self.features]
        kinds = [self.kinds[c] for c in columns]
        self.levels[rows[:, None], at, columns] = transform(
            np.clip(frame.values[:, source], -_LARGEST, _LARGEST), kinds
        )
        self.score[rows[:, None], at, columns] = np.nan_to_num(frame.score[:, source])
        if self.aside_names and frame.aside.shape == (len(rows), len(self.aside_names)):
            self.aside[rows, at] = frame.aside
        self.counts[rows, at] = np.where(frame.missing, np.nan, frame.counts)
        self.partition[rows] = frame.partition
        self.late[rows] = np.maximum(self.latest - window, LATE_DECAY * self.late[rows])
        self.first[rows] = np.minimum(self.first[rows], window)

    def _rows(self, frame: EvidenceFrame) -> I64:
        peers = frame.peers or ("",) * len(frame.services)
        keys = list(zip(frame.services, peers, strict=True))
        fresh = [k for k in dict.fromkeys(keys) if k not in self.index]
        for key in fresh:
            self.index[key] = len(self.keys)
            self.keys.append(key)
        if len(self.keys) > len(self.first):
            self._grow(max(64, 2 * len(self.keys)))
        return np.array([self.index[k] for k in keys], np.int64)

    def forget(self, names: set[str]) -> None:
        """Take the series of services that left out, and of the calls of and to them."""
        kept = [i for i, key in enumerate(self.keys) if names.isdisjoint(key)]
        if len(kept) == len(self.keys):
            return
        old, self.keys = self.columns(), [self.keys[i] for i in kept]
        self.index = {key: i for i, key in enumerate(self.keys)}
        self.allocate(max(64, 2 * len(kept)))
        for name, array in old.items():
            target = getattr(self, name)
            if name == "moments":
                target[:, : len(kept)] = array[:, kept]
            else:
                target[: len(kept)] = array[kept]

    def _grow(self, rows: int) -> None:
        old = self.columns()
        self.allocate(rows)
        n = len(old["first"])
        for name, array in old.items():
            target = getattr(self, name)
            target[(slice(None), slice(0, n)) if name == "moments" else slice(0, n)] = array

    def columns(self) -> dict[str, NDArray[Any]]:
        """The arrays that grow with the rows, by attribute name."""
        plain = (
            "levels",
            "score",
            "counts",
            "partition",
            "late",
            "first",
            "frozen",
            "moments",
            "aside",
            "aside_before",
        )
        return {n: getattr(self, n) for n in plain}

    def _open(self, window: int) -> None:
        at = window % RING
        if self.slot[at] == window:
            return
        if self.slot[at] >= 0:
            self._fold(at)
        self.slot[at] = window
        self.levels[:, at], self.score[:, at], self.counts[:, at] = np.nan, 0.0, -1.0
        self.aside[:, at] = np.nan

    def _fold(self, at: int) -> None:
        learn = self.frozen > self.slot[at]
        known = self.first <= self.slot[at]
        weight, value = self._weighted(self.levels[:, at], self.counts[:, at])
        weight = weight * (learn & known)[:, None]
        decay = np.where(weight > 0, DECAY, 1.0)
        for k, power in enumerate((weight, weight * value, weight * value**2)):
            self.moments[k] = self.moments[k] * decay + power
        self._fold_aside(at, learn & known)

    def _fold_aside(self, at: int, some: NDArray[np.bool_]) -> None:
        told = some & np.isfinite(self.aside[:, at]).all(axis=1) & (self.counts[:, at] >= 0)
        if self.aside_names and told.any():
            sums: list[NDArray[Any]] = [np.ones((len(told), 1)), self.counts[:, at, None], self.aside[:, at]]
            decayed = self.aside_before[told] * DECAY
            self.aside_before[told] = decayed + np.concatenate(sums, axis=1)[told]

    def aside_since(self, rows: I64, onset: int, lead: int = 2) -> tuple[F64, F64]:
        """How many windows, their counts, and the sums of what explains them, (rows, 2 + aside names): before `onset - lead`, and
        from `onset` on."""
        counts, aside = self.counts[rows], self.aside[rows]
        told = (self.slot >= 0) & (counts >= 0) & np.isfinite(aside).all(axis=2)
        healthy = told & (self.slot < onset - lead) & (self.slot < self.frozen[rows][:, None])
        before, since = (
            np.concatenate(
                [
                    chosen.sum(axis=1)[:, None],
                    np.where(chosen, counts, 0.0).sum(axis=1, dtype=np.float64)[:, None],
                    np.where(chosen[..., None], aside, 0.0).sum(axis=1, dtype=np.float64),
                ],
                axis=1,
            )
            for chosen in (healthy, told & (self.slot >= onset))
        )
        return before + self.aside_before[rows], since

    def untold_since(self, rows: I64, onset: int) -> F64:
        """Of the windows from `onset` on that rows say something of, the share of which nothing explains it; 0 where there are none."""
        known = (self.counts[rows] >= 0) & (self.slot >= onset)
        untold = known & ~np.isfinite(self.aside[rows]).all(axis=2)
        share: F64 = untold.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return share

    def _weighted(self, levels: NDArray[Any], counts: NDArray[Any]) -> tuple[F64, F64]:
        """Weights and levels (..., features), 0 where nothing is known: ratios weigh their trials. Where there is no row, nothing is
        known: who is silent has rows that say so."""
        known = np.isfinite(levels)
        weight = known.astype(np.float64)
        if self.ratios.any():
            trials = np.nan_to_num(np.maximum(counts, 0.0))[..., None]
            weight[..., self.ratios] *= trials
        return weight, np.where(known, levels, 0.0).astype(np.float64)

    def freeze(self, rows: Iterable[int], window: int) -> None:
        """From this window on, these rows don't teach what is usual."""
        for row in rows:
            self.frozen[row] = min(int(self.frozen[row]), window)

    def thaw(self, rows: Iterable[int]) -> None:
        """These rows teach again, from now on; what was seen while frozen is forgotten (unknown, not zero)."""
        for row in rows:
            hidden = self.slot >= self.frozen[row]
            self.levels[row, hidden], self.score[row, hidden], self.counts[row, hidden] = np.nan, 0.0, np.nan
            self.frozen[row] = NEVER

    def before_after(
        self, rows: I64, onset: int, lead: int = 2, until: int = NEVER, amid: NDArray[np.bool_] | None = None
    ) -> tuple[F64, F64, F64]:
        """Moments (3, rows, features) before `onset - lead`, and from `onset` on, and the detector's decades since (mean of the
        three strongest windows, signed). Windows after `until` are left out.

        Windows of which a row says nothing (it is missing, or has not come yet) count neither way. Rows `amid` another incident are
        compared with what that one has long made of them, not with what is usual: what was there before began before.
        """
        old, new = (
            np.flatnonzero((self.slot >= 0) & (self.slot <= until) & m)
            for m in (self.slot < onset - lead, self.slot >= onset)
        )
        healthy = self.slot[old] < self.frozen[rows][:, None]
        held = np.zeros(len(rows), bool) if amid is None else amid & (self.frozen[rows] <= onset - lead - AMID_WINDOWS)
        usual = self._known(rows, old) & np.where(held[:, None], ~healthy, healthy)
        weight, level = self._weighted(self.levels[rows[:, None], old], self.counts[rows[:, None], old])
        before = _moments(weight * usual[..., None], level) + np.where(held[None, :, None], 0.0, self.moments[:, rows])
        since = self._known(rows, new)
        weight, level = self._weighted(self.levels[rows[:, None], new], self.counts[rows[:, None], new])
        weight *= since[..., None]
        after = self._without_largest(_moments(weight, level), level, weight)
        after *= self._independent(rows, onset, until)
        score = np.where(since[..., None], self.score[rows[:, None], new], 0.0)
        return before, after, _strongest(score)

    def _known(self, rows: I64, slots: I64) -> NDArray[np.bool_]:
        """Of which windows (in these places of the ring) a row says something: (rows, windows)."""
        known: NDArray[np.bool_] = (self.slot[slots] >= self.first[rows][:, None]) & (
            self.counts[rows[:, None], slots] >= 0
        )
        return known

    def lately(self, rows: I64, windows: int = LATELY) -> list[dict[str, float]]:
        """Means of what was observed in the last windows of each row that are known, by feature; silence is a rate of 0."""
        order = np.argsort(-self.slot, kind="stable")
        known = (self.counts[rows] >= 0)[:, order] & (self.slot[order] >= 0)
        chosen = known & (np.cumsum(known, axis=1) <= windows)
        at, column = np.nonzero(chosen)
        levels = self.levels[rows[at], order[column]].astype(np.float64)
        seen = np.isfinite(levels)
        values = np.where(
            seen, np.where(self.logarithmic, np.exp(np.where(seen & self.logarithmic, levels, 0.0)), levels), 0.0
        )
        sums, n = np.zeros((len(rows), len(self.features))), np.zeros((len(rows), len(self.features)))
        np.add.at(sums, at, values)
        np.add.at(n, at, seen)
        return [
            {f: s / k for f, s, k in zip(self.features, row, times, strict=True) if k}
            for row, times in zip(sums.tolist(), n.tolist(), strict=True)
        ]

    def known_ns(self, rows: I64) -> list[int]:
        """End of the last window of each row that is known, epoch nanoseconds; 0 where none is."""
        last = np.where((self.slot >= 0) & (self.counts[rows] >= 0), self.slot, -1).max(axis=1, initial=-1)
        return [int(w + 1) * self.width_ns for w in last.tolist()]

    def late_ns(self, rows: I64) -> list[int]:
        """How late the windows of each row come, lately at most, nanoseconds."""
        return [round(late * self.width_ns) for late in self.late[rows].tolist()]

    def heard(self, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Of services that have a row, up to when they are known and how late their windows come, nanoseconds."""
        known = self.rows_of((n, "") for n in names)
        rows = np.array(list(known.values()), np.int64)
        told = zip(known, self.known_ns(rows), self.late_ns(rows), strict=True)
        return {name: (known_ns, late_ns) for (name, _), known_ns, late_ns in told}

    def rows_of(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Rows of those keys that have one."""
        return {k: self.index[k] for k in keys if k in self.index}

    def _independent(self, rows: I64, onset: int, until: int) -> F64:
        """Factor (rows, features) by which latency windows since onset count: where requests are rare, neighbouring windows
        hold parts of one request's work and say the same, so runs of windows count, not windows."""
        if not self.logarithmic.any():
            return np.ones((len(rows), len(self.features)))
        order = np.argsort(self.slot, kind="stable")
        order = order[(self.slot[order] >= 0) & (self.slot[order] <= until)]
        known = self._known(rows, order)
        busy = (self.counts[rows[:, None], order] > 0) & known
        follows = np.zeros_like(busy)
        follows[:, 1:] = busy[:, :-1] & (np.diff(self.slot[order]) == 1)
        fresh = known & (self.slot[order] >= onset)
        windows, runs = (busy & fresh).sum(axis=1), (busy & fresh & ~follows).sum(axis=1)
        often = busy.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        factor = np.where(windows > 0, often + (1 - often) * runs / np.maximum(windows, 1), 1.0)
        return np.where(self.logarithmic, factor[:, None], 1.0)

    def _without_largest(self, after: F64, value: F64, weight: F64) -> F64:
        """Latency moments less their largest window, from three windows on: one outlier in sparse traffic is no shift."""
        top = np.where(weight > 0, value, -np.inf).max(axis=1, initial=-np.inf)
        drop = (after[0] >= 3) & self.logarithmic & np.isfinite(top)
        top = np.where(drop, top, 0.0)
        less: F64 = after - np.stack([drop.astype(np.float64), top, top**2])
        return less


def _moments(weight: F64, level: F64) -> F64:
    """Sums over windows of weight, weight × level and weight × level²: (rows, windows, features) -> (3, rows, features)."""
    heavy = weight * level
    return np.stack([weight.sum(axis=1), heavy.sum(axis=1), np.einsum("rtf,rtf->rf", heavy, level)])


def _strongest(score: NDArray[Any], n: int = 3) -> F64:
    """Signed mean over the n windows where |score| is largest: (rows, windows, features) -> (rows, features)."""
    if not score.shape[1]:
        return np.zeros((score.shape[0], score.shape[2]))
    order = np.argsort(-np.abs(score), axis=1, kind="stable")[:, :n]
    return np.asarray(np.take_along_axis(score, order, axis=1).mean(axis=1), np.float64)
