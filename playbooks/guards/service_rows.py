"""A service's own rows of evidence, window by window: what it served before an onset and since, and what the mix of it explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.frames import EvidenceFrame
from contracts.frames.decoded import F64
from contracts.mix import Mix, mix_of
from contracts.units import SECOND
from contracts.verdicts import ServiceState
from playbooks.guards.callers_view import HISTORY_NS

RECENT: Final = 10
"""Windows since the onset that are judged: the latest."""


@dataclass(frozen=True, slots=True)
class Face:
    """The columns in which a signal shows requests served."""

    signal: f.Signal
    rate: str
    errors: str
    latencies: tuple[str, ...]


FACES: Final = (
    Face(f.Signal.SPANS, f.REQUEST_RATE, f.ERROR_RATE, (f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99)),
    Face(
        f.Signal.METRICS,
        f.METRIC_REQUEST_RATE,
        f.METRIC_ERROR_RATE,
        (f.METRIC_LATENCY_P50, f.METRIC_LATENCY_P95, f.METRIC_LATENCY_P99),
    ),
)


@dataclass(frozen=True, slots=True)
class ServiceRows:
    """A service's rows of one signal, one per window, oldest first. Columns are (windows,) arrays by feature."""

    window: NDArray[np.int64]
    width_s: float
    counts: F64
    aside: F64
    """(windows, columns) of what explains them; NaN where nothing is known."""
    values: dict[str, F64]
    low: dict[str, F64]
    high: dict[str, F64]

    def part(self, keep: NDArray[np.bool_]) -> ServiceRows:
        """Some of the windows."""
        cut = ({n: c[keep] for n, c in columns.items()} for columns in (self.values, self.low, self.high))
        return ServiceRows(self.window[keep], self.width_s, self.counts[keep], self.aside[keep], *cut)

    def above(self, *names: str) -> NDArray[np.bool_]:
        """In which windows one of these is above its expected range."""
        out = np.zeros(len(self.window), np.bool_)
        for name in names:
            if name in self.values:
                out |= self.values[name] > self.high[name]
        return out


def rows_of(frames: Sequence[EvidenceFrame], service: str, signal: str) -> ServiceRows | None:
    """The rows of a service and signal that are not stale, of the latest minutes; a later frame of a window counts. None where there is none."""
    found: dict[int, tuple[EvidenceFrame, int]] = {}
    for frame in frames:
        if frame.signal == signal and service in frame.services:
            at = frame.services.index(service)
            if frame.state[at] != ServiceState.STALE:
                found[frame.window_ns] = frame, at
    if not found:
        return None
    newest = max(found)
    order = sorted(w for w in found if w >= newest - HISTORY_NS)
    picked = [found[w] for w in order]
    features = picked[-1][0].features
    picked = [(frame, at) for frame, at in picked if frame.features == features]
    columns = []
    for name in ("values", "low", "high"):
        table = np.array([getattr(frame, name)[at] for frame, at in picked], np.float64)
        columns.append({feature: table[:, j] for j, feature in enumerate(features)})
    counts = np.array([frame.counts[at] for frame, at in picked], np.float64)
    window = np.array([frame.window_ns for frame, _ in picked], np.int64)
    width = len(f.ASIDE.get(f.Signal(signal), ()))
    aside = np.full((len(picked), width), np.nan)
    for row, (frame, at) in zip(aside, picked, strict=True):
        if frame.aside.shape == (len(frame.services), width):
            row[:] = frame.aside[at]
    return ServiceRows(window, picked[-1][0].width_ns / SECOND, counts, aside, *columns)


def asked_mix(rows: ServiceRows | None, onset_ns: int) -> Mix:
    """What of its latency the mix of what it is asked for explains."""
    if rows is None:
        return Mix()
    told = rows.part(np.asarray(np.isfinite(rows.aside).all(axis=1), np.bool_))
    columns = np.column_stack([np.ones(len(told.window)), told.counts, told.aside])
    since = told.window + round(told.width_s * SECOND) > onset_ns
    return mix_of(columns[~since].sum(axis=0), columns[since].sum(axis=0))


def around(
    rows: ServiceRows, face: Face, onset_ns: int, recent: int | None = RECENT
) -> tuple[ServiceRows, ServiceRows]:
    """Windows before the onset, and the latest since (all of them, without `recent`), of those in which requests were counted at all."""
    known = rows.part(np.isfinite(rows.values[face.rate])) if face.rate in rows.values else rows.part(rows.counts < 0)
    width_ns = round(rows.width_s * SECOND)
    since = known.window + width_ns > onset_ns
    latest = since.copy()
    if recent is not None:
        latest[np.flatnonzero(since)[:-recent]] = False
    return known.part(~since), known.part(latest)
