"""Metric points on their way to partials. Rates need a series' earlier points, so points travel as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.frames import Decoded, HistogramBatch, PointBatch
from contracts.frames.decoded import I64
from contracts.settings import IngestSettings
from streams.windows.collect import Collector, EnvironmentPart, Partial, Pending, Receipt
from streams.windows.grouping import Column, dense
from streams.windows.names import Names
from streams.windows.rows import Origin, frame
from streams.windows.tables import ranges

_POINTS = (
    *("point_service", "point_feature", "point_series", "point_mode"),
    *("point_start_ns", "point_time_ns", "point_value"),
)
_HISTOS = (
    *("histo_service", "histo_series", "histo_mode", "histo_start_ns", "histo_time_ns", "histo_error", "histo_rank"),
)
_CALLS = (*_HISTOS, "histo_peer")
METRIC_CALLS = "metric_calls"
"""Signal of partials: calls that metrics tell of."""


class MetricCollector(Collector):
    """Collects points and histogram points."""

    signal = "metrics"

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        super().__init__(settings, partitions, counters)
        self.points, self.histos, self.cells = self.waiting = Pending(), Pending(), Pending()

    @property
    def rows(self) -> int:
        """How much is pending."""
        return self.points.rows + self.histos.rows

    def add(self, decoded: Decoded, receipt: Receipt) -> None:
        """Take the points of a message."""
        points, histos = decoded.points, decoded.histograms
        if not (points and len(points)) and not (histos and len(histos)):
            return
        scopes = self.scopes(decoded)
        if points and len(points):
            keep = self.believable(points.time_ns, receipt)
            for scope in scopes:
                self._add_points(scope, points, scope.pick(points.resource, keep), receipt)
            self.over_limit(scopes, points.resource, keep)
        if histos and len(histos):
            keep = self.believable(histos.time_ns, receipt)
            for scope in scopes:
                self._add_histos(scope, histos, scope.pick(histos.resource, keep), receipt)
            self.over_limit(scopes, histos.resource, keep)

    def _add_points(self, scope: EnvironmentPart, b: PointBatch, at: Any, receipt: Receipt) -> None:
        columns = (scope.numbers[b.resource[at]], *(c[at] for c in (b.feature, b.series, b.mode)))
        self.points.add(scope.names.environment, (*columns, b.start_ns[at], b.time_ns[at], b.value[at]))
        self.note(scope.names.environment, b.time_ns[at], receipt)

    def _add_histos(self, scope: EnvironmentPart, b: HistogramBatch, at: Any, receipt: Receipt) -> None:
        environment = scope.names.environment
        first = sum(len(c[0]) for c in self.histos.batches.get(environment, []))
        low, high = b.offset[:-1][at].astype(np.int64), b.offset[1:][at].astype(np.int64)
        which, cell = ranges(low, high)
        rank = b.rank if len(b.rank) else np.zeros(len(b), np.int8)
        columns = (b.series, b.mode, b.start_ns, b.time_ns, b.error, rank)
        self.histos.add(environment, (scope.numbers[b.resource[at]], *(c[at] for c in columns)))
        self.cells.add(environment, (which + first, b.bucket[cell], b.count[cell]))
        self.note(environment, b.time_ns[at], receipt)

    def flush(self, origin: Origin) -> list[Partial]:
        """Everything since the last flush."""
        points, histos, cells = (dict(p.drain()) for p in (self.points, self.histos, self.cells))
        partials: list[Partial] = []
        sent: set[tuple[str, int]] = set()
        for environment in sorted({*points, *histos}):
            here = Origin(environment, origin.source, origin.sequence, self.watermark(environment))
            names = self.names[environment]
            parts = (points.get(environment), histos.get(environment), cells.get(environment))
            self.counters["points"] += sum(len(p[0]) for p in parts[:2] if p is not None)
            for target in range(self.partitions):
                columns = _of_target(names, target, *parts)
                if columns:
                    partials.append((environment, target, _frame(here, names, columns)))
                    sent.add((environment, target))
        partials += self.heartbeats(origin, sent)
        return partials

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        pending = [p.state() for p in (self.points, self.histos, self.cells)]
        return {**self.base_state(), "pending": pending}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.load_base(state)
        for pending, found in zip((self.points, self.histos, self.cells), state["pending"], strict=True):
            pending.load({e: with_ranks(c) if pending is self.histos else c for e, c in found.items()})


class MetricCallCollector(Collector):
    """Collects the calls that metrics tell of. Their time goes on with frames of their own, which there are none of without such metrics."""

    signal = METRIC_CALLS

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        super().__init__(settings, partitions, counters)
        self.calls, self.cells = self.waiting = Pending(), Pending()

    @property
    def rows(self) -> int:
        """How much is pending."""
        return self.calls.rows

    def add(self, decoded: Decoded, receipt: Receipt) -> None:
        """Take the calls of a message."""
        calls = decoded.calls
        if calls is None:
            return
        scopes, keep = self.scopes(decoded), self.believable(calls.time_ns, receipt)
        for scope in scopes:
            callees = {i: scope.names.number(decoded.strings[i]) for i in np.unique(calls.peer).tolist()}
            peer = np.array([callees[i] for i in calls.peer.tolist()], np.int64)
            self._add(
                scope, calls, (peer, np.flatnonzero((scope.numbers[calls.resource] >= 0) & keep & (peer >= 0))), receipt
            )
        self.over_limit(scopes, calls.resource, keep)

    def _add(self, scope: EnvironmentPart, b: HistogramBatch, place: tuple[I64, I64], receipt: Receipt) -> None:
        environment, (peer, at) = scope.names.environment, place
        first = sum(len(c[0]) for c in self.calls.batches.get(environment, []))
        low, high = b.offset[:-1][at].astype(np.int64), b.offset[1:][at].astype(np.int64)
        which, cell = ranges(low, high)
        columns = (b.series, b.mode, b.start_ns, b.time_ns, b.error, b.rank, peer)
        self.calls.add(environment, (scope.numbers[b.resource[at]], *(c[at] for c in columns)))
        self.cells.add(environment, (which + first, b.bucket[cell], b.count[cell]))
        self.note(environment, b.time_ns[at], receipt)

    def flush(self, origin: Origin) -> list[Partial]:
        """Everything since the last flush."""
        calls, cells = dict(self.calls.drain()), dict(self.cells.drain())
        partials: list[Partial] = []
        sent: set[tuple[str, int]] = set()
        for environment in sorted(calls):
            here = Origin(environment, origin.source, origin.sequence, self.watermark(environment))
            names = self.names[environment]
            for target in range(self.partitions):
                columns = _of_target(names, target, None, calls[environment], cells.get(environment))
                if columns:
                    partials.append((environment, target, _call_frame(here, names, columns)))
                    sent.add((environment, target))
        partials += self.heartbeats(origin, sent)
        return partials

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {**self.base_state(), "pending": [self.calls.state(), self.cells.state()]}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.load_base(state)
        for pending, found in zip((self.calls, self.cells), state["pending"], strict=True):
            pending.load(found)


def with_ranks(columns: Sequence[Column]) -> Sequence[Column]:
    """Columns of histograms as they are now; those of before there were ranks had none."""
    return columns if len(columns) == len(_HISTOS) else (*columns, np.zeros(len(columns[0]), np.int8))


def _of_target(
    names: Names,
    target: int,
    points: tuple[Column, ...] | None,
    histos: tuple[Column, ...] | None,
    cells: tuple[Column, ...] | None,
) -> dict[str, Any]:
    """Columns of one target; services are still numbers of names. Empty if nothing is for it."""
    found: dict[str, Any] = {}
    targets = names.targets()
    if points is not None:
        mine = np.flatnonzero(targets[points[0]] == target)
        if len(mine):
            found.update({n: c[mine] for n, c in zip(_POINTS, points, strict=True)})
    if histos is not None:
        is_mine = targets[histos[0]] == target
        if is_mine.any():
            found.update({n: c[is_mine] for n, c in zip(_CALLS, histos, strict=False)})
            if cells is not None:
                row, bucket, count = (c[is_mine[cells[0]]] for c in cells)
                place = (np.cumsum(is_mine) - 1).astype(np.int32)
                found |= {"hist_row": place[row], "hist_bucket": bucket, "hist_count": count}
    return found


def _call_frame(origin: Origin, names: Names, columns: dict[str, Any]) -> Any:
    listed, place = dense(np.concatenate([columns["histo_service"], columns["histo_peer"]]))
    columns["histo_service"], columns["histo_peer"] = np.split(place.astype(np.int32), 2)
    return frame(origin, METRIC_CALLS, columns, (names, listed))


def _frame(origin: Origin, names: Names, columns: dict[str, Any]) -> Any:
    none = np.empty(0, np.int64)
    point, histo = columns.get("point_service", none), columns.get("histo_service", none)
    listed, place = dense(np.concatenate([point, histo]))
    place = place.astype(np.int32)
    columns |= {"point_service": place[: len(point)], "histo_service": place[len(point) :]}
    return frame(origin, "metrics", columns, (names, listed))
