"""Points of general series: what a message on `telemetry.series` may say, and which points of metrics a rule takes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, MetricsData

from connectors.encodings.series_points import frames, from_json
from connectors.otlp.chosen_series import SeriesChoice
from connectors.otlp.decode import decode
from contracts.errors import UndecodableTelemetry
from contracts.frames import SeriesMode, SeriesPoint
from contracts.settings import SeriesRule
from contracts.topics import OTLP_METRICS
from contracts.units import SECOND

EVERY = {"*": SeriesRule()}
T0 = 1_790_000_000 * SECOND


def read(*items: Any) -> list[SeriesPoint]:
    return from_json("\n".join(json.dumps(i) for i in items).encode(), T0, "prod")[0]


def test_a_point_says_what_it_wants_and_the_rest_is_assumed() -> None:
    assert read({"series": "orders", "value": 3}) == [SeriesPoint("prod", "orders", T0, 3.0)]
    whole = {
        "series": "cpu",
        "value": 1,
        "time": 1_789_999_999,
        "environment": "eu",
        "group": "host",
        "bad": "high",
        "counter": True,
    }
    assert read(whole) == [SeriesPoint("eu", "cpu", T0 - SECOND, 1.0, "host", "high", SeriesMode.COUNTER)]


@pytest.mark.parametrize(
    "time",
    [
        "2026-09-21T14:13:20Z",
        "2026-09-21T16:13:20+02:00",
        1790000000,
        1790000000.0,
        1790000000000,
        1790000000000000,
        T0,
    ],
)
def test_times_as_people_write_them(time: Any) -> None:
    assert [p.time_ns for p in read({"series": "s", "value": 1, "time": time})] == [T0]


def test_several_points_in_one_message() -> None:
    points = [{"series": "a", "value": 1}, {"series": "b", "value": 2}]
    assert len(read(*points)) == len(from_json(json.dumps(points).encode(), T0, "prod")[0]) == 2


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"series": "s"}, "invalid_field"),
        ({"value": 1}, "invalid_field"),
        ({"series": " ", "value": 1}, "invalid_field"),
        ({"series": "s" * 501, "value": 1}, "invalid_field"),
        ({"series": "s", "value": "much"}, "invalid_field"),
        ({"series": "s", "value": 1, "bad": "worse"}, "invalid_field"),
        ({"series": "s", "value": 1, "vaule": 1}, "invalid_field"),
        ({"series": "s", "value": 1, "time": "yesterday"}, "bad_time"),
        ({"series": "s", "value": 1, "time": T0 + 3600 * SECOND}, "bad_time"),
        ("orders 3", "invalid_field"),
    ],
)
def test_what_cannot_be_a_point_is_left_out_and_a_message_of_nothing_else_is_refused(point: Any, reason: str) -> None:
    points, skips = from_json(json.dumps([point, {"series": "good", "value": 1}]).encode(), T0, "prod")
    assert [p.series for p in points] == ["good"]
    assert skips.as_dict() == {reason: 1}
    with pytest.raises(UndecodableTelemetry):
        from_json(json.dumps([point]).encode(), T0, "prod")


@pytest.mark.parametrize("payload", [b"", b" \n", b"{", b"\xff\xfe", b"[" * 5000])
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    with pytest.raises(UndecodableTelemetry):
        from_json(payload, T0, "prod")


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        points, _ = from_json(payload, T0, "prod")
    except UndecodableTelemetry:
        return
    assert points


def metrics() -> MetricsData:
    message = MetricsData()
    entry = message.resource_metrics.add()
    entry.resource.attributes.add(key="service.name").value.string_value = "shop"
    entry.resource.attributes.add(key="deployment.environment.name").value.string_value = "prod"
    scope = entry.scope_metrics.add()
    gauge = scope.metrics.add(name="orders_open")
    gauge.gauge.data_points.add(time_unix_nano=T0, as_int=7).attributes.add(key="kind").value.string_value = "book"
    gauge.gauge.data_points.add(time_unix_nano=T0, as_double=float("nan"))
    gauge.gauge.data_points.add(time_unix_nano=T0, as_double=1.0, flags=1)
    total = scope.metrics.add(name="orders_total")
    total.sum.is_monotonic, total.sum.aggregation_temporality = (
        True,
        AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
    )
    total.sum.data_points.add(time_unix_nano=T0, as_double=900.0)
    delta = scope.metrics.add(name="orders_refused")
    delta.sum.is_monotonic, delta.sum.aggregation_temporality = (
        True,
        AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
    )
    delta.sum.data_points.add(start_time_unix_nano=T0 - 10 * SECOND, time_unix_nano=T0, as_int=40)
    scope.metrics.add(name="http.server.duration").histogram.data_points.add(time_unix_nano=T0, count=1)
    return message


@pytest.mark.parametrize("as_json", [False, True])
def test_a_rule_takes_metrics_by_name(as_json: bool) -> None:
    message = metrics()
    payload = json_format.MessageToJson(message).encode() if as_json else message.SerializeToString()
    rules = {"orders_*": SeriesRule(bad="low"), "http*": SeriesRule()}
    assert decode(OTLP_METRICS, payload, choice=SeriesChoice(rules)).series == (
        SeriesPoint("prod", "shop orders_open{kind=book}", T0, 7.0, "shop", "low"),
        SeriesPoint("prod", "shop orders_total", T0, 900.0, "shop", "low", SeriesMode.COUNTER),
        SeriesPoint("prod", "shop orders_refused", T0, 4.0, "shop", "low"),
    )
    assert decode(OTLP_METRICS, payload, choice=SeriesChoice({"other": SeriesRule()})).series == ()


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_a_general_series_is_read_for_features_as_if_it_were_none(as_json: bool) -> None:
    message = metrics()
    cpu = message.resource_metrics[0].scope_metrics[0].metrics.add(name="process.cpu.utilization", unit="1")
    cpu.gauge.data_points.add(time_unix_nano=T0, as_double=0.5)
    payload = json_format.MessageToJson(message).encode() if as_json else message.SerializeToString()
    plain, chosen = decode(OTLP_METRICS, payload), decode(OTLP_METRICS, payload, choice=SeriesChoice(EVERY))
    assert {p.series for p in chosen.series} > {"shop process.cpu.utilization", "shop orders_total"}
    assert chosen.points is not None
    assert repr(replace(chosen, series=())) == repr(plain)


def test_one_point_that_cannot_be_read_is_counted_once_and_loses_no_other() -> None:
    body = json.loads(json_format.MessageToJson(metrics()))
    gauge = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]
    gauge["dataPoints"].append({"timeUnixNano": "never"})
    found = decode(OTLP_METRICS, json.dumps(body).encode(), choice=SeriesChoice(EVERY))
    assert len(found.series) == 3
    assert found.skipped["invalid_field"] == 1


def test_what_is_judged_together_goes_to_one_partition_and_nothing_is_lost() -> None:
    points = [
        SeriesPoint(f"env{e}", f"s{n}", T0 + i * SECOND, float(i), group=f"g{n % 3}" if n % 2 else "")
        for e in range(2)
        for n in range(12)
        for i in range(3)
    ]
    found, places = [], {}
    for partition, frame in frames(points, 8):
        for i in range(len(frame.values)):
            row = frame.series[i]
            found.append((frame.environment, frame.names[row], int(frame.times_ns[i]), float(frame.values[i])))
            place = (frame.environment, frame.groups[row] or frame.names[row])
            assert places.setdefault(place, partition) == partition
    assert sorted(found) == sorted((p.environment, p.series, p.time_ns, p.value) for p in points)
