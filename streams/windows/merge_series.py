"""Merging what is made of series of data points: they wait in their window until its rows go out, and only then become values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.frames.latency import FAILED_ONLY
from contracts.settings import IngestSettings
from streams.windows.metric_window import MetricWindow, Ranks
from streams.windows.series import HISTO, SeriesBook
from streams.windows.signal_merge import SignalMerge
from streams.windows.window import Window

_SERIES_PER_SERVICE: Final = 64


class SeriesMerge(SignalMerge):
    """A counter's increase needs the point before, which may come later: so points are digested when rows are asked for. Nothing is
    filled in between two readings of a metric."""

    fills = False

    def __init__(self, settings: IngestSettings, subject: Callable[[int], int] | None = None) -> None:
        """`subject` gives the number of whoever ranks of metrics are told apart by; an entity by itself where it isn't given."""
        super().__init__(settings)
        most = settings.max_services * _SERIES_PER_SERVICE
        self._series = SeriesBook(self.open.max_delay_ns, most, self.open.counters)
        self._points: dict[int, MetricWindow] = {}
        self._ranks = Ranks() if subject is None else Ranks(subject)

    def _take(self, points: Any, histos: Any, frame: PartialFrame) -> None:
        """Keep a frame's points (`POINT`) and histogram rows (`HISTO`) in their windows until their rows go out."""
        windows = self.open
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

    def _digested(self, window: Window, entity: I64) -> tuple[F64, I64]:
        """Of each entity: what its metrics say, in the order of the features of metrics; the number of requests that they count."""
        points = self._of(window.index)
        points.digest(entity, self._series, self._ranks)
        return points.values(entity)

    def events(self, window: Window, entity: I64) -> I64:
        """Requests of each entity that its metrics count."""
        return self._digested(window, entity)[1]

    def close(self, number: int) -> None:
        """Forget a window's points."""
        self._points.pop(number, None)

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
