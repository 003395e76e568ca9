"""Merging calls that metrics tell of, by caller and callee: edges of whoever sends no spans of his calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from contracts.features import METRIC_ERROR_RATE, METRIC_LATENCY_P95, METRIC_REQUEST_RATE, Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import F64, I64
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.merge_metrics import failures_of, histos_of
from streams.windows.series import FEATURES, POINT, MetricWindow, Ranks, SeriesBook
from streams.windows.signal_merge import SignalMerge
from streams.windows.window import Window

_SERIES_PER_SERVICE: Final = 64
_RATE, _ERRORS, _P95 = (FEATURES.index(n) for n in (METRIC_REQUEST_RATE, METRIC_ERROR_RATE, METRIC_LATENCY_P95))


class MetricCallMerge(SignalMerge):
    """Entities are pairs of caller and callee. Which metric counts is decided per caller; callers of whose calls there are spans have no
    rows here, so that nothing is counted twice. Rows are of the signal `edges`, and come when metrics are read: between two of them
    nobody knows, and nothing is filled in."""

    signal = Signal.EDGES
    per_service = 8
    fills = False

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self.by_spans: Callable[[int], frozenset[str]] = lambda _: frozenset()
        """Callers of whose calls there are spans at a window."""
        self._series = SeriesBook(
            self.open.max_delay_ns, settings.max_services * _SERIES_PER_SERVICE, self.open.counters
        )
        self._points: dict[int, MetricWindow] = {}
        self._callers: dict[str, int] = {}
        self._ranks = Ranks(self._caller)

    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Take frames in, one by one: their points keep their order."""
        for frame in frames:
            self._merge(frame)

    def _merge(self, frame: PartialFrame) -> None:
        windows, entities = self.open, self.open.entities
        pairs = [
            (frame.services[a], frame.services[b])
            for a, b in zip(frame.histo_service.tolist(), frame.histo_peer.tolist(), strict=True)
        ]
        numbers = {pair: entities.number(pair) for pair in dict.fromkeys(pairs)}
        calls = histos_of(frame, np.array([numbers[pair] for pair in pairs], np.int64))
        self._ranks.hear(calls, failures_of(frame, len(calls)))
        entity, number = calls["entity"].astype(np.int64), calls["time"] // windows.width_ns
        usable = windows.usable(entity, number, np.ones(len(number), np.int64))
        for n in np.unique(number[usable]).tolist():
            mine = usable & (number == n)
            self._of(n).add(np.empty(0, POINT), calls[mine], frame)
            windows.noticed(windows.window(n), np.unique(entity[mine]))
        windows.learn_delays(entity[usable], number[usable], np.ones(int(np.count_nonzero(usable)), np.int64))

    def _caller(self, entity: int) -> int:
        return self._callers.setdefault(self.open.entities.keys[entity][0], len(self._callers))

    def _of(self, number: int) -> MetricWindow:
        return self._points.setdefault(number, MetricWindow())

    def silenced(self, window: Window, entity: I64) -> I64:
        """Which of these pairs have no row, because spans tell of their callers' calls, or nothing is known yet."""
        points, spans = self._of(window.index), self.by_spans(window.index)
        points.digest(entity, self._series, self._ranks)
        values, _ = points.values(entity)
        known, keys = np.isfinite(values[:, _RATE]), self.open.entities.keys
        told = np.array([keys[i][0] in spans for i in entity.tolist()], np.bool_)
        found: I64 = entity[told | ~known]
        return found

    def events(self, window: Window, entity: I64) -> I64:
        """Calls of each pair that metrics count."""
        points = self._of(window.index)
        points.digest(entity, self._series, self._ranks)
        return points.values(entity)[1]

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Call rate, error rate and latency; the network gap is not known. The number of calls is that of one window at this rate."""
        points = self._of(window.index)
        points.digest(entity, self._series, self._ranks)
        values, _ = points.values(entity)
        gap = np.full(len(entity), np.nan)
        counts = np.round(np.nan_to_num(values[:, _RATE]) * self.open.width_ns / SECOND).astype(np.int64)
        return np.column_stack([values[:, _RATE], values[:, _ERRORS], values[:, _P95], gap]), counts, ()

    def close(self, number: int) -> None:
        """Forget a window's points."""
        self._points.pop(number, None)

    def expire(self, watermark_ns: int) -> None:
        """Forget series that have ended."""
        self._series.expire(watermark_ns - 10 * self.open.max_delay_ns)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        points = [[n, points.state()] for n, points in self._points.items()]
        return {
            "metrics": points,
            "series": self._series.state(),
            "ranks": self._ranks.state(),
            "callers": self._callers,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._points = {}
        for number, points in state["metrics"]:
            self._of(number).load(points)
        self._series.load(state["series"])
        self._callers = dict(state["callers"])
        self._ranks.load(state["ranks"])
