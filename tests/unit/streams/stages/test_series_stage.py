"""From points on `telemetry.series`, and from metrics by rule, to anomalies through the stages."""

from __future__ import annotations

import cProfile
import json
import pstats
import re
from collections.abc import Iterable

import numpy as np
import pytest
from google.protobuf import json_format
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from contracts import topics as known
from contracts.events import Anomaly, decode
from contracts.frames import SeriesFrame, unpack
from contracts.ports import Record
from contracts.settings import CalendarSettings, Settings
from contracts.topics import ANOMALIES, INCIDENTS, OTLP_METRICS, SERIES, TOPICS
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind
from homeostat.wiring import perceive_specs
from models.series.calendar import UNIVERSAL, Calendar
from streams.in_memory import MemoryPipeline
from streams.stage import Emit
from streams.stages.general_series import calendar_of
from streams.stages.ingest import IngestStage
from tests.unit.connectors.encodings.writes import first

READS = re.compile(r"FromString|SerializeToString|\bParse\b|decompress|^decode$|^read$")
T0 = 1_790_000_000 * SECOND
POINTS, FAULT = 260, 250


def through(settings: Settings, topic: str, payloads: Iterable[bytes]) -> tuple[list[Record], MemoryPipeline]:
    heard: list[Record] = []
    specs = [
        s for s in perceive_specs(settings, dict.fromkeys(TOPICS, 2)) if s.name in {"ingest", "series", "diagnose"}
    ]
    pipeline = MemoryPipeline(specs, 2, heard.append)
    for i, payload in enumerate(payloads):
        pipeline.feed(topic, payload, T0 + i * 60 * SECOND)
    return heard, pipeline


def levels(seed: int) -> np.ndarray:
    values = 50 + np.random.default_rng(seed).standard_normal(POINTS)
    values[FAULT:] = 5
    return values


def opened(heard: list[Record]) -> list[Anomaly]:
    return [decode(Anomaly, r.value) for r in heard if r.topic == ANOMALIES]


def test_a_business_figure_that_drops_is_told_and_starts_no_incident() -> None:
    points = [json.dumps({"series": "orders per minute", "value": v, "bad": "low"}).encode() for v in levels(1)]
    heard, pipeline = through(Settings(environment="prod"), SERIES, points)
    (anomaly, *_) = opened(heard)
    assert (anomaly.environment, anomaly.service, anomaly.kind) == ("prod", "orders per minute", AnomalyKind.SERIES)
    assert T0 + FAULT * 60 * SECOND <= anomaly.onset_ns <= T0 + (FAULT + 3) * 60 * SECOND
    pipeline.tick(T0 + POINTS * 60 * SECOND)
    assert not [r for r in heard if r.topic == INCIDENTS]


def test_a_metric_by_rule_is_a_series_and_others_are_not() -> None:
    settings = Settings.model_validate({"environment": "prod", "series": {"metrics": {"orders_*": {"bad": "low"}}}})

    def message(i: int, value: float) -> bytes:
        found = MetricsData()
        entry = found.resource_metrics.add()
        entry.resource.attributes.add(key="service.name").value.string_value = "shop"
        scope = entry.scope_metrics.add()
        for name in ("orders_open", "shelves"):
            point = scope.metrics.add(name=name).gauge.data_points.add()
            point.time_unix_nano, point.as_double = T0 + i * 60 * SECOND, value
        return found.SerializeToString()

    heard, _ = through(settings, OTLP_METRICS, [message(i, v) for i, v in enumerate(levels(2))])
    assert {a.service for a in opened(heard)} == {"shop"}
    assert {c.feature for a in opened(heard) for c in a.contributions} == {"shop orders_open"}


def metrics_of_shop() -> MetricsData:
    found = MetricsData()
    entry = found.resource_metrics.add()
    entry.resource.attributes.add(key="service.name").value.string_value = "shop"
    for name in ("orders_open", "shelves"):
        point = entry.scope_metrics.add().metrics.add(name=name).gauge.data_points.add()
        point.time_unix_nano, point.as_double = T0, 7.0
    return found


PAYLOADS = {
    "otlp_proto": metrics_of_shop().SerializeToString(),
    "otlp_json": json_format.MessageToJson(metrics_of_shop()).encode(),
    "prometheus_remote_write": first([(name, {"job": "shop"}, 7.0) for name in ("orders_open", "shelves")]),
}


@pytest.mark.parametrize("encoding", PAYLOADS)
def test_a_message_is_read_once_whatever_it_is_read_for(encoding: str) -> None:
    """Calls of all that reads or makes bytes, with a rule that takes a metric and without: no more with it."""
    found = {}
    for rules in ({}, {"orders_*": {}}):
        topics = {"theirs": {"encoding": encoding, "environment": "staging"}}
        stage = IngestStage(
            "theirs", 0, Settings.model_validate({"ingest": {"topics": topics}, "series": {"metrics": rules}}), 1
        )
        stage.handle(Record("theirs", 0, 1, b"", PAYLOADS[encoding], timestamp_ms=T0 // 10**6), T0)
        profile = cProfile.Profile()
        profile.enable()
        outputs = stage.handle(Record("theirs", 0, 2, b"", PAYLOADS[encoding], timestamp_ms=T0 // 10**6), T0)
        profile.disable()
        points = [unpack(SeriesFrame, o.value) for o in outputs if isinstance(o, Emit) and o.topic == known.POINTS]
        assert [(f.environment, len(f.values)) for f in points] == ([("staging", 1)] if rules else [])
        calls = {name: n for (*_, name), (n, *_) in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
        found[bool(rules)] = {name: n for name, n in calls.items() if READS.search(name)}
    assert found[True] == found[False]
    assert sum(found[False].values()) > 0


def test_every_point_is_accounted_for() -> None:
    lines = [
        {"series": "a", "value": 1, "time": T0},
        {"series": "a", "value": 1, "time": T0},
        {"series": "a", "value": 2, "time": T0 - SECOND},
        {"series": "b", "value": 3},
        {"series": "b"},
    ]
    payload = "\n".join(json.dumps(line) for line in lines).encode()
    _, pipeline = through(Settings(), SERIES, [payload, b"no json"])
    counted = pipeline.host.totals()
    assert (counted["ingest", "series_points"], counted["ingest", "skipped_invalid_field"]) == (4, 1)
    assert counted["ingest", "dead_letters"] == 1
    assert (counted["series", "points"], counted["series", "late_points"]) == (3, 1)


def test_the_calendar_is_that_of_the_environment_else_that_of_all_others() -> None:
    night = np.array([1_790_000_000.0])

    def half_hour(calendar: Calendar) -> int:
        return int(calendar.bins(night)[0][0])

    assert calendar_of({}, "prod") is UNIVERSAL
    given = {"*": CalendarSettings(timezone="Asia/Tokyo"), "staging": CalendarSettings(timezone="America/Lima")}
    assert half_hour(calendar_of(given, "prod")) == (half_hour(UNIVERSAL) + 18) % 48
    assert half_hour(calendar_of(given, "staging")) == (half_hour(UNIVERSAL) - 10) % 48
    assert calendar_of({"staging": given["staging"]}, "prod") is UNIVERSAL
