"""Merging calls that metrics tell of, by caller and callee: edges of whoever sends no spans of his calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contracts.features import METRIC_ERROR_RATE, METRIC_LATENCY_P95, METRIC_REQUEST_RATE, Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import F64, I64
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.callees import Callees
from streams.windows.merge_series import SeriesMerge, histos_of
from streams.windows.series import FEATURES, POINT
from streams.windows.window import Window

_RATE, _ERRORS, _P95 = (FEATURES.index(n) for n in (METRIC_REQUEST_RATE, METRIC_ERROR_RATE, METRIC_LATENCY_P95))


class MetricCallMerge(SeriesMerge):
    """Entities are pairs of caller and callee. Which metric counts is decided per caller; callers of whose calls there are spans have no
    rows here, so that nothing is counted twice. Rows are of the signal `edges`, and come when metrics are read: between two of them
    nobody knows."""

    signal = Signal.EDGES
    per_service = 8

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings, self._caller)
        self.by_spans: Callable[[int], frozenset[str]] = lambda _: frozenset()
        """Callers of whose calls there are spans at a window."""
        self._callers: dict[str, int] = {}
        self.callees = Callees(self.per_service * settings.max_services)

    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Take frames in, one by one: their points keep their order."""
        entities = self.open.entities
        for frame in frames:
            ends = zip(frame.histo_service.tolist(), frame.histo_peer.tolist(), strict=True)
            pairs = [(frame.services[a], frame.services[b]) for a, b in ends]
            if self.callees.addresses:
                pairs = [
                    (a, self.callees.told_by_metrics(a, b, time_ns))
                    for (a, b), time_ns in zip(pairs, frame.histo_time_ns.tolist(), strict=True)
                ]
            numbers = {pair: entities.number(pair) for pair in dict.fromkeys(pairs)}
            calls = histos_of(frame, np.array([numbers[pair] for pair in pairs], np.int64))
            self._take(np.empty(0, POINT), calls, frame)

    def _caller(self, entity: int) -> int:
        return self._callers.setdefault(self.open.entities.keys[entity][0], len(self._callers))

    def silenced(self, window: Window, entity: I64) -> I64:
        """Which of these pairs have no row, because spans tell of their callers' calls, or nothing is known yet."""
        spans = self.by_spans(window.index)
        values, _ = self._digested(window, entity)
        known, keys = np.isfinite(values[:, _RATE]), self.open.entities.keys
        told = np.array([keys[i][0] in spans for i in entity.tolist()], np.bool_)
        found: I64 = entity[told | ~known]
        return found

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Call rate, error rate and latency; the network gap is not known. The number of calls is that of one window at this rate."""
        values, _ = self._digested(window, entity)
        gap = np.full(len(entity), np.nan)
        counts = np.round(np.nan_to_num(values[:, _RATE]) * self.open.width_ns / SECOND).astype(np.int64)
        return np.column_stack([values[:, _RATE], values[:, _ERRORS], values[:, _P95], gap]), counts, ()

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {**super().state(), "callers": self._callers}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._callers = dict(state["callers"])
        super().load(state)
