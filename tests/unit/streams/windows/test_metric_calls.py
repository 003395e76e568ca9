"""Metrics that count the same requests, and calls that metrics tell of: each request counts once, whatever is sent, in whatever pieces."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, CALL_ERROR_RATE, CALL_RATE, METRIC_ERROR_RATE, METRIC_REQUEST_RATE, Signal
from contracts.frames import Decoded, FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import IngestSettings, Settings
from contracts.topics import FEATURES, OTLP_METRICS, PARTIALS
from contracts.units import SECOND
from streams.stage import Emit
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage
from streams.windows.collect import Receipt
from streams.windows.collect_metrics import MetricCallCollector
from streams.windows.metric_window import MetricWindow
from streams.windows.rows import Origin
from streams.windows.series import CUMULATIVE, HISTO
from tests.unit.connectors.otlp.builders import T0, counter, fill, histogram, metrics
from tests.unit.streams.windows.support import histograms

EVERY_S = 5
GRAPH = {"client": "gateway", "server": "cart", "connection_type": ""}
SPAN = {"service.name": "cart", "span.kind": "SPAN_KIND_SERVER"}
COLUMNS = {s: BY_SIGNAL[s] for s in Signal}
Told = tuple[str, dict[str, Any], int]
"""Name, labels and requests per second of a cumulative metric."""
OWN: Told = ("http.server.request.duration", {}, 7)
SPANS: Told = ("traces.span.metrics.duration", SPAN, 11)
COUNTER: Told = ("traces.span.metrics.calls", SPAN, 13)
MESH: Told = ("istio_requests_total", {"reporter": "destination", "destination_workload": "cart"}, 17)
CALLERS: Told = ("traces_service_graph_request_client", GRAPH, 19)
TOTAL: Told = ("traces_service_graph_request_total", GRAPH, 23)
FAILED: Told = ("traces_service_graph_request_failed_total", GRAPH, 2)


def message(second: int, told: Iterable[Told]) -> bytes:
    """What a Collector sends after so many seconds."""
    sent, scope = metrics({"service.name": "cart"})
    for name, labels, rate in told:
        count = rate * second
        if "duration" in name or name.endswith("client"):
            point = histogram(scope, name, [count, 0], [0.5], unit="ms" if "span" in name else "s")
        else:
            point = counter(scope, name, count)
        point.start_time_unix_nano, point.time_unix_nano = T0, T0 + second * SECOND
        fill(point, labels)
    return sent.SerializeToString()


class Line:
    """Ingest and features on one clock; partitions of telemetry take turns."""

    def __init__(self, partitions: int = 1) -> None:
        self.config = Settings()
        self.ingest = [IngestStage(OTLP_METRICS, p, self.config, 1) for p in range(partitions)]
        self.features = FeatureStage(0, self.config)
        self.frames: list[FeatureFrame] = []
        self.sent = 0

    def send(self, second: int, *told: Told) -> None:
        """A message, and time until the next."""
        now = T0 + second * SECOND + SECOND // 10
        stage, self.sent = self.ingest[self.sent % len(self.ingest)], self.sent + 1
        self.take(
            stage.handle(Record(OTLP_METRICS, 0, self.sent, None, message(second, told), (), now // 10**6), now), now
        )
        for tick in range(1, EVERY_S * 5):
            for one in self.ingest:
                self.take(one.tick(now + tick * SECOND // 5), now + tick * SECOND // 5)
            self.take(self.features.tick(now + tick * SECOND // 5), now + tick * SECOND // 5)

    def take(self, outputs: Iterable[Any], now: int) -> None:
        """Pass on what a stage says."""
        for output in outputs:
            assert isinstance(output, Emit)
            if output.topic == PARTIALS:
                self.take(self.features.handle(Record(PARTIALS, 0, 0, None, output.value, (), now), now), now)
            elif output.topic == FEATURES:
                self.frames.append(unpack(FeatureFrame, output.value))

    def again(self) -> None:
        """Everything goes on from snapshots."""
        for i, stage in enumerate(self.ingest):
            self.ingest[i] = IngestStage(OTLP_METRICS, i, self.config, 1)
            self.ingest[i].restore(stage.snapshot())
        saved, self.features = self.features.snapshot(), FeatureStage(0, self.config)
        self.features.restore(saved)

    def values(self, signal: Signal, feature: str) -> dict[tuple[str, ...], list[float]]:
        """Values of a feature in the order of windows, by service or by caller and callee."""
        found: dict[tuple[str, ...], dict[int, float]] = {}
        for frame in self.frames:
            if frame.signal == signal:
                keys = (
                    zip(frame.services, frame.peers, strict=True) if frame.peers else zip(frame.services, strict=True)
                )
                for key, value in zip(keys, frame.values[:, COLUMNS[signal].index(feature)].tolist(), strict=True):
                    found.setdefault(key, {})[frame.window_ns] = value
        return {key: [round(v, 3) for _, v in sorted(values.items())] for key, values in found.items()}


def rates(*told: Told, partitions: int = 1, restart: bool = False) -> tuple[list[float], list[float]]:
    """Rates of requests served, and of calls, of five messages."""
    line = Line(partitions)
    for i in range(1, 6):
        line.send(i * EVERY_S, *told)
        if restart and i == 3:
            line.again()
    served = line.values(Signal.METRICS, METRIC_REQUEST_RATE).get(("cart",), [])
    called = line.values(Signal.EDGES, CALL_RATE).get(("gateway", "cart"), [])
    return [v for v in served if not math.isnan(v)], called


@pytest.mark.parametrize(
    ("told", "rate"),
    [
        ([OWN, MESH, SPANS, COUNTER, TOTAL], 7),
        ([MESH, SPANS, COUNTER, TOTAL], 17),
        ([SPANS, COUNTER, TOTAL], 11),
        ([COUNTER, TOTAL], 13),
        ([TOTAL, FAILED], 23),
        ([TOTAL, COUNTER, SPANS, MESH, OWN], 7),
    ],
)
def test_of_metrics_that_count_the_same_requests_one_counts(told: list[Told], rate: int) -> None:
    served, _ = rates(*told)
    assert set(served) == {float(rate)}


def test_of_metrics_of_the_same_calls_one_counts() -> None:
    assert set(rates(CALLERS, TOTAL, FAILED)[1]) == {19.0}
    assert set(rates(TOTAL, FAILED)[1]) == {23.0}


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("restart", [False, True])
def test_the_same_however_messages_come(partitions: int, restart: bool) -> None:
    served, called = rates(SPANS, CALLERS, TOTAL, partitions=partitions, restart=restart)
    assert served == [11.0] * len(served)
    assert called == [19.0] * len(called)
    assert len(called) >= 4


def test_failures_that_a_counter_tells_are_a_share_of_all() -> None:
    line = Line()
    for i in range(1, 6):
        line.send(i * EVERY_S, TOTAL, FAILED)
    assert set(line.values(Signal.EDGES, CALL_ERROR_RATE)["gateway", "cart"]) == {round(2 / 23, 3)}
    assert set(line.values(Signal.METRICS, METRIC_ERROR_RATE)["cart",]) == {round(2 / 23, 3)}


def test_what_counts_best_is_forgotten_when_it_ends() -> None:
    line = Line()
    for i in range(1, 4):
        line.send(i * EVERY_S, OWN, SPANS)
    for i in range(65, 70):
        line.send(i * EVERY_S, SPANS)
    served = line.values(Signal.METRICS, METRIC_REQUEST_RATE)["cart",]
    assert served[-1] == 11.0


def test_a_window_of_before_there_were_ranks_is_read() -> None:
    window = MetricWindow()
    tables, bucket, count, sums, _ = window.state()
    old = [(name, HISTO[name]) for name in HISTO.names or () if name != "rank"]
    tables[1] = np.ones(2, old).tobytes()
    window.load([tables, bucket, count, sums])
    assert window.histos["rank"].tolist() == [0, 0]
    assert window.histos["series"].tolist() == [1, 1]


def test_each_call_of_several_messages_keeps_its_own_buckets() -> None:
    collector = MetricCallCollector(IngestSettings(), 1, Counter())
    told = [{10: 1}, {20: 2, 21: 5}, {30: 3}, {}, {40: 4}]
    for second, buckets in enumerate(told, 1):
        sent = histograms([("web", 7, CUMULATIVE, T0, T0 + second * SECOND, False, buckets)])
        assert sent.histograms is not None
        calls = dataclasses.replace(sent.histograms, peer=np.array([1], np.int32), rank=np.zeros(1, np.int8))
        now = T0 + second * SECOND
        collector.add(Decoded(strings=("", "cart"), resources=sent.resources, calls=calls), Receipt(now, now))
    [(_, _, frame)] = collector.flush(Origin("prod", "m/0", 1, 0))
    found: list[dict[int, int]] = [{} for _ in told]
    for row, bucket, count in zip(frame.hist_row, frame.hist_bucket, frame.hist_count, strict=True):
        found[row][int(bucket)] = int(count)
    assert found == told
