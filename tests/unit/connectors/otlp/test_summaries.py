"""Summaries of durations: their count and their quantiles on the latency grid; histograms whose bounds or buckets are written oddly."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.decode import decode
from contracts.frames.decoded import Decoded
from contracts.frames.latency import UNPLACED, bucket_of, quantiles, requests_in
from contracts.topics import OTLP_METRICS
from tests.unit.connectors.otlp.builders import T0, as_json, fill, histogram, metrics

SHOP = {"service.name": "shop"}


def summary(given: dict[float, float], count: int, name: str = "http_server_requests_seconds", **labels: str) -> Any:
    """A message with one summary point."""
    message, scope = metrics(SHOP)
    point = scope.metrics.add(name=name).summary.data_points.add(
        time_unix_nano=T0, start_time_unix_nano=T0 - 10**9, count=count
    )
    for q, value in given.items():
        point.quantile_values.add(quantile=q, value=value)
    fill(point, labels)
    return message


def read(message: Any) -> Decoded:
    """The same from both encodings."""
    decoded, again = decode(OTLP_METRICS, message.SerializeToString()), decode(OTLP_METRICS, as_json(message))
    assert (decoded.histograms is None) == (again.histograms is None)
    if decoded.histograms is not None and again.histograms is not None:
        assert decoded.histograms.bucket.tolist() == again.histograms.bucket.tolist()
        assert decoded.histograms.count.tolist() == again.histograms.count.tolist()
    return decoded


@given(
    st.lists(st.floats(1e-4, 100.0), min_size=4, max_size=4).map(sorted),
    st.integers(200, 10**9),
)
def test_its_quantiles_are_met_and_its_count_is_kept(values: list[float], count: int) -> None:
    given = dict(zip((0.5, 0.9, 0.95, 0.99), values, strict=True))
    rows = read(summary(given, count)).histograms
    assert rows is not None
    assert rows.mode.tolist() == [3]
    assert rows.count.sum() == count
    assert (np.diff(rows.bucket) > 0).all()
    for q, value in given.items():
        below = rows.count[rows.bucket < bucket_of(np.array([value]))[0]].sum()
        upto = rows.count[rows.bucket <= bucket_of(np.array([value]))[0]].sum()
        assert below <= q * count + 1
        assert upto >= q * count - 1


@pytest.mark.parametrize("given", [{}, {0.5: math.nan, 0.99: math.nan}])
def test_without_quantiles_its_count_and_failures_are_known(given: dict[float, float]) -> None:
    rows = read(summary(given, 70, status="500", outcome="SERVER_ERROR")).histograms
    assert rows is not None
    assert (rows.bucket.tolist(), rows.count.tolist()) == ([UNPLACED], [70])
    assert (rows.mode.tolist(), rows.error.tolist()) == ([1], [True])


def test_a_summary_of_nothing_is_counted() -> None:
    assert read(summary({}, 0)).skipped == {"summary": 1}
    assert read(summary({0.5: 3.0}, 7, "process.memory.usage")).skipped == {"summary": 1}


@pytest.mark.parametrize("unit", ["ms", "milliseconds"])
def test_micrometer_sends_counts_without_buckets(unit: str) -> None:
    message, scope = metrics(SHOP)
    histogram(scope, "http.server.requests", [], [], unit=unit).count = 12
    point = histogram(scope, "http.server.requests", [], [], unit=unit, temporality=1)
    point.count, point.sum = 4, 400.0
    rows = read(message).histograms
    assert rows is not None
    assert rows.count.tolist() == [12, 4]
    assert rows.bucket[0] == UNPLACED
    assert quantiles(rows.bucket[1:], rows.count[1:], (0.5,))[0] == pytest.approx(0.1, rel=0.02)


PLAIN = ([5, 2, 1], [0.1, 1.0])


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        PLAIN,
        ([5, 2, 1], [0.1, 1.0, "Infinity"]),
        ([5, 2, 1, 0], [0.1, 1.0, "Infinity"]),
        ([5, 2, 0, 1], [0.1, 1.0, "Infinity"]),
        ([5, 2, 1], [0.1, 1.0, "+Inf"]),
        ([5, 2, 1], [0.1, 1.0, "inf"]),
        ([5, 2, 1, 0], [0.1, 1.0, 1.7976931348623157e308]),
        ([5, 2, 1], ["0.1", "1", "Infinity"]),
        (["5", "2", "1", "0"], [0.1, 1, "Infinity"]),
        ([0, 5, 2, 1], ["-Infinity", 0.1, 1.0]),
        ([0, 5, 2, 1, 0], ["-Infinity", 0.1, 1.0, "Infinity"]),
    ],
)
def test_bounds_at_infinity(counts: list[Any], bounds: list[Any]) -> None:
    def rows(counts: list[Any], bounds: list[Any]) -> Any:
        point = {"timeUnixNano": T0, "bucketCounts": counts, "explicitBounds": bounds, "count": 8}
        metric = {"name": "http.server.request.duration", "unit": "s"}
        metric["histogram"] = {"aggregationTemporality": 2, "dataPoints": [point]}
        body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
        found = decode(OTLP_METRICS, json.dumps(body).encode()).histograms
        assert found is not None, (counts, bounds)
        return found.bucket.tolist(), found.count.tolist()

    assert rows(counts, bounds) == rows(*PLAIN)
    bucket, count = (np.array(x) for x in rows(counts, bounds))
    assert requests_in(bucket, count) == 8


@pytest.mark.parametrize(
    ("counts", "bounds"),
    [
        ([5, 2], [0.1, 1.0, math.inf]),
        ([5, 2, 1], [0.1, math.nan]),
        ([5, 2, 1], [math.inf, math.inf]),
        ([5, 2, 1], [0.1, -math.inf]),
    ],
)
def test_bounds_that_are_none(counts: list[int], bounds: list[float]) -> None:
    message, scope = metrics(SHOP)
    histogram(scope, "http.server.request.duration", counts, bounds)
    histogram(scope, "http.server.request.duration", *PLAIN)
    assert decode(OTLP_METRICS, message.SerializeToString()).skipped == {"invalid_field": 1}
