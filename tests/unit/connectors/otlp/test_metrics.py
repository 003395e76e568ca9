"""Metrics become points of features and histograms on the latency grid."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.convention_table import OF_REQUESTS, MetricRow
from connectors.otlp.conventions import standard
from connectors.otlp.decode import decode
from connectors.otlp.metrics import FEATURE_INDEX
from contracts.errors import UnknownName
from contracts.features import BY_SIGNAL, FEATURES, Signal
from contracts.frames.decoded import Decoded
from contracts.frames.latency import bucket_of, placed, quantiles, requests_in
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import T0, as_json, counter, descending, fill, gauge, histogram, metrics
from tests.unit.connectors.otlp.test_spans import same

SHOP = {"service.name": "checkout", "service.instance.id": "a"}
ENCODERS: Any = pytest.mark.parametrize(
    "encode", [lambda m: m.SerializeToString(), descending, as_json], ids=["ascending", "descending", "json"]
)


def points(decoded: Decoded) -> list[tuple[str, int, float]]:
    """(feature, mode, value) of each point."""
    if decoded.points is None:
        return []
    names = BY_SIGNAL[Signal.METRICS]
    rows = zip(decoded.points.feature, decoded.points.mode, decoded.points.value, strict=True)
    return [(names[f], int(m), round(float(v), 9)) for f, m, v in rows]


def test_every_rule_names_a_feature() -> None:
    for name, rules in standard().rules.items():
        for rule in rules:
            assert rule.kind in (*OF_REQUESTS, "unused") or rule.feature in FEATURE_INDEX, name
            assert rule.kind in (*OF_REQUESTS, "unused") or FEATURES[rule.feature].signal is Signal.METRICS


@ENCODERS
def test_levels_counters_and_units(encode: Any) -> None:
    message, scope = metrics(SHOP)
    gauge(scope, "k8s.container.cpu.limit.utilization", 0.25, "1")
    gauge(scope, "container.memory.percent", 50.0)
    gauge(scope, "process.memory.usage", 2.0, "MiBy")
    counter(scope, "process.cpu.time", 12)
    counter(scope, "container.cpu.usage.total", 3_000_000_000, temporality=1)
    counter(scope, "db.client.connections.pending_requests", 4, monotonic=False)
    gauge(scope, "k8s.container.restarts", 3)
    counter(scope, "kafka.consumer_group.lag", 7, monotonic=False)
    decoded = decode(OTLP_METRICS, encode(message))
    assert points(decoded) == [
        ("cpu_utilization", 0, 0.25),
        ("memory_utilization", 0, 0.5),
        ("memory_bytes", 0, 2.0 * 1024**2),
        ("cpu_cores", 1, 12.0),
        ("cpu_cores", 2, 3.0),
        ("pool_wait", 0, 4.0),
        ("restarts", 1, 3.0),
        ("queue_lag", 0, 7.0),
    ]
    assert decoded.points is not None
    assert decoded.points.start_ns[3] == T0 - 10
    assert decoded.skipped == {}


@ENCODERS
def test_what_is_not_used_is_counted(encode: Any) -> None:
    message, scope = metrics(SHOP)
    gauge(scope, "my.own.metric", 1.0)
    gauge(scope, "process.memory.usage", 1.0).flags = 1
    gauge(scope, "process.memory.usage", 1.0, time=0)
    gauge(scope, "process.memory.usage", math.nan)
    gauge(scope, "process.memory.usage", math.inf)
    counter(scope, "db.client.connections.pending_requests", -1, temporality=1, monotonic=False)
    scope.metrics.add(name="http.server.duration").summary.data_points.add(time_unix_nano=T0)
    gauge(scope, "http.server.duration", 1.0)
    gauge(scope, "process.memory.usage", 5.0)
    scope.metrics[-1].gauge.data_points[0].ClearField("as_double")
    decoded = decode(OTLP_METRICS, encode(message))
    assert points(decoded) == []
    assert decoded.skipped == {
        "bad_time": 1,
        "delta_level": 1,
        "no_recorded_value": 2,
        "not_finite": 2,
        "other_metric_type": 1,
        "summary": 1,
        "unmapped_metric": 1,
    }


@ENCODERS
def test_parts_of_one_level_are_added(encode: Any) -> None:
    message, scope = metrics(SHOP)
    gauge(scope, "process.cpu.utilization", 0.25, **{"cpu.mode": "user"})
    gauge(scope, "process.cpu.utilization", 0.125, **{"cpu.mode": "system"})
    gauge(scope, "process.cpu.utilization", 0.5, time=T0 + 1, **{"cpu.mode": "user"})
    gauge(scope, "system.cpu.utilization", 0.75, state="idle", cpu="cpu0")
    gauge(scope, "system.cpu.utilization", 0.1, state="user", cpu="cpu0")
    gauge(scope, "system.memory.usage", 100.0, state="used")
    gauge(scope, "system.memory.usage", 900.0, state="free")
    decoded = decode(OTLP_METRICS, encode(message))
    assert points(decoded) == [
        ("cpu_utilization", 0, 0.375),
        ("cpu_utilization", 0, 0.5),
        ("cpu_utilization", 0, 0.25),
        ("memory_bytes", 0, 100.0),
    ]
    assert decoded.skipped == {"other_state": 2}


def test_the_table_can_be_extended() -> None:
    message, scope = metrics(SHOP)
    gauge(scope, "my.pool.waiters", 3.0)
    rules = standard().extended([MetricRow(names=("my.pool.waiters",), feature="pool_wait")])
    assert points(decode(OTLP_METRICS, message.SerializeToString(), conventions=rules)) == [("pool_wait", 0, 3.0)]
    with pytest.raises(UnknownName, match="pool_wait"):
        standard().extended([MetricRow(names=("my.pool.waiters",), feature="pool_waits")])


def test_series_do_not_depend_on_order_or_encoding_but_on_everything_else() -> None:
    def series(resource: dict[str, str], name: str = "process.memory.usage", **attributes: str) -> int:
        message, scope = metrics(resource)
        gauge(scope, name, 1.0, **attributes)
        found = decode(OTLP_METRICS, message.SerializeToString()).points
        again = decode(OTLP_METRICS, as_json(message)).points
        assert found is not None
        assert again is not None
        assert found.series[0] == again.series[0]
        return int(found.series[0])

    assert series(SHOP, a="1", b="2") == series(SHOP, b="2", a="1")
    different = [
        series(SHOP),
        series({**SHOP, "service.instance.id": "b"}),
        series({**SHOP, "process.pid": "7"}),
        series(SHOP, a="1"),
        series(SHOP, "process.memory.physical_usage"),
    ]
    assert len(set(different)) == len(different)


@ENCODERS
def test_histograms(encode: Any) -> None:
    message, scope = metrics(SHOP)
    histogram(scope, "http.server.request.duration", [0, 80, 0, 8], [0.1, 0.2, 0.4], unit="s")
    failed = histogram(scope, "http.server.duration", [0, 8, 0], [100, 200], temporality=1, unit="ms")
    fill(failed, {"http.status_code": 502})
    decoded = decode(OTLP_METRICS, encode(message))
    rows = decoded.histograms
    assert rows is not None
    assert rows.mode.tolist() == [1, 2]
    assert rows.error.tolist() == [False, True]
    assert rows.offset.tolist()[0] == 0
    first, second = slice(0, rows.offset[1]), slice(rows.offset[1], None)
    assert requests_in(rows.bucket[first], rows.count[first]) == 88
    median, top = quantiles(*placed(rows.bucket[first], rows.count[first]), (0.5, 0.99))
    assert 0.14 < median < 0.17
    assert top == pytest.approx(0.4, rel=0.03)
    assert requests_in(rows.bucket[second], rows.count[second]) == 8
    assert placed(rows.bucket[second], rows.count[second])[0][0] >= bucket_of(np.array([0.1]))[0]
    assert (np.diff(rows.bucket[first]) > 0).all()


@ENCODERS
def test_exponential_histograms(encode: Any) -> None:
    message, scope = metrics(SHOP)
    metric = scope.metrics.add(name="http.server.request.duration", unit="ms")
    metric.exponential_histogram.aggregation_temporality = 1
    point = metric.exponential_histogram.data_points.add(time_unix_nano=T0, scale=3, zero_count=2, count=12)
    point.positive.offset = 53  # 2 ** (53 / 8) = 98.7 ms
    point.positive.bucket_counts.extend([4, 0, 6])
    decoded = decode(OTLP_METRICS, encode(message))
    rows = decoded.histograms
    assert rows is not None
    assert rows.count.tolist() == [2, 4, 6]
    expected = bucket_of(np.array([2 ** (53.5 / 8), 2 ** (55.5 / 8)]) / 1e3)
    assert rows.bucket.tolist() == [0, *expected.tolist()]


@ENCODERS
def test_histograms_that_cannot_be_used_are_counted(encode: Any) -> None:
    message, scope = metrics(SHOP)
    histogram(scope, "http.server.request.duration", [], [])  # nothing at all
    histogram(scope, "http.server.request.duration", [1, 2, 3], [0.1])  # bounds missing
    histogram(scope, "http.server.request.duration", [1, 2, 3], [0.2, 0.1])  # not increasing
    histogram(scope, "duration", [1, 2], [0.1])  # anybody's duration
    fill(histogram(scope, "traces.span.metrics.duration", [1, 2], [0.1]), {"span.kind": "SPAN_KIND_CLIENT"})
    fill(histogram(scope, "traces.span.metrics.duration", [1, 2], [100.0]), {"span.kind": "SPAN_KIND_SERVER"})
    decoded = decode(OTLP_METRICS, encode(message))
    assert decoded.histograms is not None
    assert len(decoded.histograms) == 1
    assert decoded.skipped == {"invalid_field": 2, "no_buckets": 1, "not_served": 2}


@pytest.mark.parametrize(("field", "value"), [("scale", 99), ("scale", 1 << 70), ("offset", 1 << 70), ("count", -1)])
def test_exponential_histograms_out_of_range(field: str, value: int) -> None:
    good = {"timeUnixNano": T0, "scale": 1, "zeroCount": 1, "positive": {"offset": 0, "bucketCounts": [1]}}
    bad = {**good, field: value} if field != "offset" else {**good, "positive": {"offset": value, "bucketCounts": [1]}}
    if field == "count":
        bad = {**good, "zeroCount": value}
    data = {"aggregationTemporality": 1, "dataPoints": [bad, good]}
    metric = {"name": "http.server.request.duration", "exponentialHistogram": data}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    decoded = decode(OTLP_METRICS, json.dumps(body).encode())
    assert decoded.histograms is not None
    assert len(decoded.histograms) == 1
    assert decoded.skipped == {"invalid_field": 1}


def test_the_mean_stands_for_a_delta_without_buckets() -> None:
    message, scope = metrics(SHOP)
    point = histogram(scope, "http.server.request.duration", [4], [], temporality=1)
    point.sum = 2.0
    rows = decode(OTLP_METRICS, message.SerializeToString()).histograms
    assert rows is not None
    assert rows.count.tolist() == [4]
    assert rows.bucket.tolist() == bucket_of(np.array([0.5])).tolist()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)), min_size=2, max_size=6))
def test_a_cumulative_histogram_stays_cumulative_on_the_grid(steps: list[tuple[int, int, int]]) -> None:
    total = np.zeros(3, int)
    before: dict[int, int] = {}
    for step in steps:
        total = total + np.array(step)
        message, scope = metrics(SHOP)
        histogram(scope, "http.server.request.duration", total.tolist(), [0.05, 0.1])
        rows = decode(OTLP_METRICS, message.SerializeToString()).histograms
        assert rows is not None
        now = dict(zip(rows.bucket.tolist(), rows.count.tolist(), strict=True))
        assert all(now.get(bucket, 0) >= count for bucket, count in before.items())
        assert requests_in(rows.bucket, rows.count) == total.sum()
        before = now


def test_a_changed_layout_is_another_series() -> None:
    found = []
    for bounds in ([0.1], [0.2]):
        message, scope = metrics(SHOP)
        histogram(scope, "http.server.request.duration", [1, 2], bounds)
        rows = decode(OTLP_METRICS, message.SerializeToString()).histograms
        assert rows is not None
        found.append(rows.series[0])
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ({"http.response.status_code": 500}, True),
        ({"http.response.status_code": 404, "error.type": "404"}, False),
        ({"error.type": "timeout"}, True),
        ({"status.code": "STATUS_CODE_ERROR"}, True),
        ({"status.code": "STATUS_CODE_UNSET"}, False),
        ({"rpc.grpc.status_code": 14}, True),
        ({"rpc.grpc.status_code": 5}, False),
        ({}, False),
    ],
)
def test_errors_of_histograms(attributes: dict[str, Any], error: bool) -> None:
    message, scope = metrics(SHOP)
    fill(histogram(scope, "http.server.request.duration", [1, 2], [0.1]), attributes)
    rows = decode(OTLP_METRICS, message.SerializeToString()).histograms
    assert rows is not None
    assert rows.error.tolist() == [error]


def test_metrics_on_another_topic_and_in_snake_case() -> None:
    message, scope = metrics(SHOP)
    gauge(scope, "process.memory.usage", 5.0)
    counter(scope, "process.cpu.time", 12)
    histogram(scope, "http.server.request.duration", [1, 2], [0.1])
    expected = decode(OTLP_METRICS, message.SerializeToString())
    assert same(decode(OTLP_SPANS, message.SerializeToString()), expected)
    assert same(decode(OTLP_METRICS, as_json(message, snake=True)), expected)
    assert same(decode(OTLP_METRICS, as_json(message, enums_as_numbers=False)), expected)
    assert expected.points is not None
    assert expected.points.time_ns.tolist() == [T0, T0]
