"""From points on `telemetry.series`, and from metrics by rule, to anomalies through the stages."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from contracts.events import Anomaly, decode
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import ANOMALIES, INCIDENTS, OTLP_METRICS, SERIES, TOPICS
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

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
