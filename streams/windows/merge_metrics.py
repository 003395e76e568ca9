"""Merging metrics: data points of counters, gauges and histograms, which become values per window only when its rows go out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.frames.latency import FAILED_ONLY
from contracts.settings import IngestSettings
from streams.windows.series import HISTO, POINT, MetricWindow, Ranks, SeriesBook
from streams.windows.signal_merge import SignalMerge
from streams.windows.window import Window

_SERIES_PER_SERVICE = 64


class MetricMerge(SignalMerge):
    """Points wait in their window until its rows go out: a counter's increase needs the point before, which may come later."""

    signal = Signal.METRICS
    fills = False

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        most = settings.max_services * _SERIES_PER_SERVICE
        self._series = SeriesBook(self.open.max_delay_ns, most, self.open.counters)
        self._points: dict[int, MetricWindow] = {}
        self._ranks = Ranks()
        self._counted: list[tuple[int, int, int, float, float]] = []

    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Take frames in, one by one: their points keep their order."""
        for frame in frames:
            self._merge(frame, now_ns)

    def _merge(self, frame: PartialFrame, now_ns: int) -> None:
        windows, entities = self.open, self.open.entities
        numbers = np.array([entities.number((s, "")) for s in frame.services], np.int64)
        for i, known in enumerate(numbers.tolist()):
            if known >= 0:
                entities.identify(known, frame.versions[i], frame.attributes[i], frame.source, now_ns)
        points, histos = _points(frame, numbers), histos_of(frame, numbers[frame.histo_service])
        self._ranks.hear(histos, failures_of(frame, len(histos)))
        number = np.concatenate([points["time"], histos["time"]]) // windows.width_ns
        entity = np.concatenate([points["entity"], histos["entity"]]).astype(np.int64)
        usable = windows.usable(entity, number, np.ones(len(number), np.int64))
        for n in np.unique(number[usable]).tolist():
            mine = usable & (number == n)
            self._of(n).add(points[mine[: len(points)]], histos[mine[len(points) :]], frame)
            windows.noticed(windows.window(n), np.unique(entity[mine]))
        windows.learn_delays(entity[usable], number[usable], np.ones(int(np.count_nonzero(usable)), np.int64))

    def _of(self, number: int) -> MetricWindow:
        found = self._points.get(number)
        if found is None:
            found = self._points[number] = MetricWindow()
        return found

    def events(self, window: Window, entity: I64) -> I64:
        """Requests of each service that its metrics count."""
        points = self._of(window.index)
        points.digest(entity, self._series, self._ranks)
        return points.values(entity)[1]

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Features of each service, NaN where no metric tells; the number of requests."""
        points = self._of(window.index)
        points.digest(entity, self._series, self._ranks)
        self._counted += points.counted
        points.counted = []
        return *points.values(entity), ()

    def metered(self) -> list[tuple[str, int, int, float, float]]:
        """Requests that went into values since this was last asked: service, begin and end of the interval (ns), requests, failed ones."""
        found, self._counted = self._counted, []
        keys = self.open.entities.keys
        return [(keys[i][0], begin_ns, end_ns, requests, failed) for i, begin_ns, end_ns, requests, failed in found]

    def close(self, number: int) -> None:
        """Forget a window's points."""
        self._points.pop(number, None)

    def forget(self, entities: Sequence[int]) -> None:
        """These services have left."""
        for entity in entities:
            self._ranks.forget(entity)

    def expire(self, watermark_ns: int) -> None:
        """Forget series that have ended."""
        self._series.expire(watermark_ns - 10 * self.open.max_delay_ns)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        points = [[n, points.state()] for n, points in self._points.items()]
        return {"metrics": points, "series": self._series.state(), "ranks": self._ranks.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._points = {}
        for number, points in state["metrics"]:
            self._of(number).load(points)
        self._series.load(state["series"])
        self._ranks.load(state.get("ranks", []))


def _points(frame: PartialFrame, numbers: I64) -> Any:
    points = np.empty(len(frame.point_series), POINT)
    points["entity"] = numbers[frame.point_service]
    points["feature"], points["series"], points["mode"] = frame.point_feature, frame.point_series, frame.point_mode
    points["start"], points["time"], points["value"] = frame.point_start_ns, frame.point_time_ns, frame.point_value
    return points


def failures_of(frame: PartialFrame, rows: int) -> B1:
    """Which histogram rows of a frame only tell what failed."""
    failures = np.zeros(rows, np.bool_)
    failures[frame.hist_row[frame.hist_bucket == FAILED_ONLY]] = True
    return failures


def histos_of(frame: PartialFrame, entity: I64) -> Any:
    """The histogram rows of a frame; `low` and `high` are where the cells of each are in the frame."""
    histos = np.zeros(len(frame.histo_series), HISTO)
    histos["entity"] = entity
    histos["rank"] = frame.histo_rank if len(frame.histo_rank) else 0
    histos["series"], histos["mode"], histos["error"] = frame.histo_series, frame.histo_mode, frame.histo_error
    histos["start"], histos["time"] = frame.histo_start_ns, frame.histo_time_ns
    rows = np.arange(len(histos))
    histos["low"] = np.searchsorted(frame.hist_row, rows, side="left")
    histos["high"] = np.searchsorted(frame.hist_row, rows, side="right")
    return histos
