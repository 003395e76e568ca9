"""`telemetry.raw`: a service's own measurements."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.metrics import FEATURE_INDEX
from contracts.errors import UndecodableTelemetry
from contracts.frames.decoded import KIND_SERVER, Decoded
from contracts.topics import RAW

T = 1_700_000_000


def measured(**fields: Any) -> Decoded:
    """What a measurement becomes."""
    return decode(RAW, json.dumps({"service": "cart", "timestamp": T, **fields}).encode(), default_environment="blue")


def test_a_whole_measurement() -> None:
    decoded = measured(
        latencies_ms=[10, 20.5], responses=[{"status": 200}, {"status": 503}], cpu_percent=40, memory_mb=256
    )
    assert decoded.resources[0].service == "cart"
    assert decoded.resources[0].environment == "blue"
    spans, points = decoded.spans, decoded.points
    assert spans is not None
    assert points is not None
    assert (spans.end_ns == T * 10**9).all()
    assert (spans.end_ns - spans.start_ns).tolist() == [10_000_000, 20_500_000]
    assert spans.error.tolist() == [False, True]
    assert spans.kind.tolist() == [KIND_SERVER] * 2
    assert len(set(spans.span.tolist())) == 2
    assert points.feature.tolist() == [FEATURE_INDEX["cpu_utilization"], FEATURE_INDEX["memory_bytes"]]
    assert points.value.tolist() == [0.4, 256e6]
    assert points.time_ns.tolist() == [T * 10**9] * 2


def test_the_same_bytes_get_the_same_ids_and_other_bytes_others() -> None:
    one, again, other = measured(latencies_ms=[1]), measured(latencies_ms=[1]), measured(latencies_ms=[2])
    assert one.spans is not None
    assert again.spans is not None
    assert other.spans is not None
    assert one.spans.span[0] == again.spans.span[0] != other.spans.span[0]
    assert one.spans.trace[0] != one.spans.span[0]


def test_responses_without_latencies_count_with_the_median() -> None:
    decoded = measured(latencies_ms=[10, 20, 30], responses=[{"status": 200}] * 4 + [{"status": 500}])
    assert decoded.spans is not None
    assert (decoded.spans.end_ns - decoded.spans.start_ns).tolist() == [
        10**7,
        2 * 10**7,
        3 * 10**7,
        2 * 10**7,
        2 * 10**7,
    ]
    assert decoded.spans.error.tolist() == [False] * 4 + [True]


def test_latencies_without_responses_are_successes() -> None:
    decoded = measured(latencies_ms=[10, 20], responses=[{"status": 500}])
    assert decoded.spans is not None
    assert decoded.spans.error.tolist() == [True, False]


def test_impossible_latencies_go_with_their_responses() -> None:
    decoded = measured(latencies_ms=[-1, 20], responses=[{"status": 500}, {"status": 200}])
    assert decoded.spans is not None
    assert decoded.spans.error.tolist() == [False]
    assert decoded.skipped == {"not_finite": 1}


def test_values_beyond_all_measure_are_no_values() -> None:
    decoded = measured(latencies_ms=[1e308, 5], memory_mb=1e308, cpu_percent=10)
    assert decoded.spans is not None
    assert (decoded.spans.start_ns >= 1).all()
    assert decoded.points is not None
    assert decoded.points.value.tolist() == [0.1]
    assert decoded.skipped == {"not_finite": 1}


def test_nothing_measured_is_still_a_message() -> None:
    decoded = measured()
    assert decoded.spans is None
    assert decoded.points is None


@pytest.mark.parametrize(
    ("timestamp", "time_ns"),
    [
        (T + 0.25, T * 10**9 + 250_000_000),
        (T * 1000 + 5, T * 10**9 + 5_000_000),
        (str(T), T * 10**9),
        ("2023-11-14T22:13:20Z", T * 10**9),
        ("2023-11-14T22:13:20", T * 10**9),
        ("2023-11-14T23:13:20.5+01:00", T * 10**9 + 500_000_000),
    ],
)
def test_timestamps(timestamp: Any, time_ns: int) -> None:
    points = measured(timestamp=timestamp, cpu_percent=1).points
    assert points is not None
    assert points.time_ns.tolist() == [time_ns]


@pytest.mark.parametrize(
    "fields",
    [
        {"timestamp": "yesterday"},
        {"timestamp": 0},
        {"timestamp": -5},
        {"timestamp": "nan"},
        {"timestamp": 1e30},
        {"service": ""},
        {"service": "10.0.0.1"},
        {"latencies_ms": 5},
        {"responses": [{}]},
    ],
)
def test_what_is_no_measurement(fields: dict[str, Any]) -> None:
    with pytest.raises(UndecodableTelemetry) as caught:
        measured(**fields)
    assert caught.value.reason == "invalid_field"
