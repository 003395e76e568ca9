"""Merging metrics of services: data points of counters, gauges and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames import PartialFrame
from contracts.frames.decoded import F64, I64
from contracts.settings import IngestSettings
from streams.windows.merge_series import SeriesMerge, histos_of
from streams.windows.series import POINT
from streams.windows.window import Window


class MetricMerge(SeriesMerge):
    """Entities are services."""

    signal = Signal.METRICS

    def __init__(self, settings: IngestSettings) -> None:
        super().__init__(settings)
        self._counted: list[tuple[int, int, int, float, float]] = []

    def merge(self, frames: Sequence[PartialFrame], now_ns: int) -> None:
        """Take frames in, one by one: their points keep their order."""
        entities = self.open.entities
        for frame in frames:
            numbers = np.array([entities.number((s, "")) for s in frame.services], np.int64)
            for i, known in enumerate(numbers.tolist()):
                if known >= 0:
                    entities.identify(known, frame.versions[i], frame.attributes[i], frame.source, now_ns)
            self._take(_points(frame, numbers), histos_of(frame, numbers[frame.histo_service]), frame)

    def values(self, window: Window, entity: I64) -> tuple[F64, I64, tuple[str, ...]]:
        """Features of each service, NaN where no metric tells; the number of requests."""
        digested = self._digested(window, entity)
        points = self._of(window.index)
        self._counted += points.counted
        points.counted = []
        return *digested, ()

    def metered(self) -> list[tuple[str, int, int, float, float]]:
        """Requests that went into values since this was last asked: service, begin and end of the interval (ns), requests, failed ones."""
        found, self._counted = self._counted, []
        keys = self.open.entities.keys
        return [(keys[i][0], begin_ns, end_ns, requests, failed) for i, begin_ns, end_ns, requests, failed in found]

    def forget(self, entities: Sequence[int]) -> None:
        """These services have left."""
        for entity in entities:
            self._ranks.forget(entity)


def _points(frame: PartialFrame, numbers: I64) -> Any:
    points = np.empty(len(frame.point_series), POINT)
    points["entity"] = numbers[frame.point_service]
    points["feature"], points["series"], points["mode"] = frame.point_feature, frame.point_series, frame.point_mode
    points["start"], points["time"], points["value"] = frame.point_start_ns, frame.point_time_ns, frame.point_value
    return points
