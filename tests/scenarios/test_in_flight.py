"""Requests that hang end nowhere: that they are in flight is all that tells of them. As many as are asked for, or streams, are no sign."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest

from contracts.topics import OTLP_METRICS
from contracts.verdicts import CauseKind
from tests.scenarios.samplers import BUSY, SETTINGS, STEP_NS, Spans, sent
from tests.scenarios.traffic import END_S, ONSET_S, SERVER, T0, Found, PipelineRun, Plan, Route, S, Shop

INSTANCES = ("a", "b", "c")
MORE = tuple(Route(r.name, 3 * r.rate, r.own_ms, r.calls) for r in BUSY)


def instance_of(span: dict) -> str:
    return random.Random(span["traceId"]).choice(INSTANCES)


def split(spans: Spans, hung: str = "") -> tuple[Spans, list[tuple[int, int, str]]]:
    """What is seen of requests where one instance of the entrance hangs from the onset on, and all that it took: begin, end, instance."""
    lost = {s["traceId"] for _, service, s in spans if service == "gateway" and hung and _hangs(s, hung)}
    taken = [
        (int(s["startTimeUnixNano"]), T0 * 2 if s["traceId"] in lost else end, instance_of(s))
        for end, service, s in spans
        if service == "gateway" and s["kind"] == SERVER
    ]
    return [x for x in spans if x[2]["traceId"] not in lost], taken


def _hangs(span: dict, hung: str) -> bool:
    return int(span["startTimeUnixNano"]) >= T0 + ONSET_S * S and instance_of(span) == hung


def active(taken: Iterable[tuple[int, int, str]]) -> list[tuple[int, bytes, str]]:
    """How many requests each instance of the entrance has in flight, once a second."""
    told, taken = [], list(taken)
    for second in range(1, END_S + 1):
        now = T0 + second * S
        entries = []
        for name in INSTANCES:
            held = sum(begin < now <= end for begin, end, instance in taken if instance == name)
            point = {"timeUnixNano": str(now - 1), "asInt": str(held)}
            pairs = {"service.name": "gateway", "service.instance.id": name}
            attributes = [{"key": k, "value": {"stringValue": v}} for k, v in pairs.items()]
            levels = {"aggregationTemporality": 2, "isMonotonic": False, "dataPoints": [point]}
            metric = {"name": "http.server.active_requests", "unit": "{request}", "sum": levels}
            entries.append({"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": [metric]}]})
        told.append((now, json.dumps({"resourceMetrics": entries}).encode(), OTLP_METRICS))
    return told


def watched(seen: Spans, taken: Iterable[tuple[int, int, str]]) -> Found:
    run = PipelineRun(SETTINGS, T0, STEP_NS)
    run.take(sorted((m for m in [*sent(seen), *active(taken)] if m[0] <= T0 + END_S * S), key=lambda m: m[0]))
    return run.found


@pytest.mark.slow
def test_an_instance_that_hangs_is_seen_by_what_it_never_answers():
    found = watched(*split(Shop(Plan(usual=BUSY), 41).spans_by_end(), hung="b"))
    parts = {p.feature for a in found.anomalies if a.service == "gateway" for p in a.contributions}
    assert "in_flight" in parts, parts
    assert found.blamed == {"gateway"}, found.told()
    last = found.incidents[-1].candidates[0]
    assert last.kind is CauseKind.HANG, found.told()
    assert any("in flight" in x.text or "in_flight" in x.text for x in last.evidence), last


@pytest.mark.slow
def test_as_many_as_are_asked_for_are_no_sign():
    found = watched(*split(Shop(Plan(usual=BUSY, changed=MORE), 42).spans_by_end()))
    assert not found.incidents, found.told()
    assert not [a.text for a in found.anomalies if "in flight" in a.text]


@pytest.mark.slow
def test_streams_that_stay_open_are_no_sign():
    seen, taken = split(Shop(Plan(usual=BUSY), 43).spans_by_end())
    streams = [(T0 - 200 * S + i * S, T0 * 2, INSTANCES[i % 3]) for i in range(200 + END_S)]
    found = watched(seen, [*taken, *streams])
    assert not found.incidents, found.told()
