"""An outage that is told in the words of Jaeger or Zipkin, on topics of somebody's own, is the same outage."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from contracts.settings import Settings
from contracts.verdicts import IncidentPhase
from tests.representatives import representatives
from tests.scenarios.traffic import END_S, ONSET_S, SERVER, T0, Plan, S, Shop, Trouble, through

TROUBLE = Plan(trouble={"payment": Trouble(fails=0.6)}, names_callees=True)
STEP_NS = S // 2
Spans = list[tuple[int, str, dict[str, Any]]]


def jaeger(service: str, span: dict[str, Any]) -> dict[str, Any]:
    """As Go's jsonpb writes it, one a message."""
    trace, own = (base64.b64encode(bytes.fromhex(span[k])).decode() for k in ("traceId", "spanId"))
    parent = span.get("parentSpanId")
    begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    tags: list[dict[str, Any]] = [{"key": "span.kind", "vStr": "server" if span["kind"] == SERVER else "client"}]
    if "status" in span:
        tags.append({"key": "error", "vType": "BOOL", "vBool": True})
    found = {
        "traceId": trace,
        "spanId": own,
        "operationName": span["name"],
        "startTime": f"{begin // 1000}",
        "duration": f"{(end - begin) / S:.9f}s",
        "tags": tags,
        "process": {"serviceName": service},
    }
    if parent:
        found["references"] = [{"traceId": trace, "spanId": base64.b64encode(bytes.fromhex(parent)).decode()}]
    return found


def zipkin(service: str, span: dict[str, Any], shared: frozenset[str]) -> dict[str, Any]:
    """As Brave writes it: a server has the id of the client span that called it."""
    begin, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    server = span["kind"] == SERVER
    found = {
        "traceId": span["traceId"],
        "id": span["spanId"],
        "parentId": span.get("parentSpanId"),
        "kind": "SERVER" if server else "CLIENT",
        "name": span["name"],
        "timestamp": begin // 1000,
        "duration": max((end - begin) // 1000, 1),
        "localEndpoint": {"serviceName": service},
        "tags": {"error": "500"} if "status" in span else {},
    }
    if server and span.get("parentSpanId") in shared:
        found |= {"id": span["parentSpanId"], "shared": True, "parentId": None}
    return {k: v for k, v in found.items() if v is not None}


def as_jaeger(spans: Spans) -> Iterator[tuple[int, bytes]]:
    """A message a span."""
    for end, service, span in spans:
        if end < T0 + END_S * S:
            yield (end // STEP_NS + 1) * STEP_NS, json.dumps(jaeger(service, span)).encode()


def as_zipkin(spans: Spans) -> Iterator[tuple[int, bytes]]:
    """A list a service and step. The children of a shared span name its id."""
    clients = frozenset(s["spanId"] for _, _, s in spans if s["kind"] != SERVER)
    served = {
        s["spanId"]: s["parentSpanId"] for _, _, s in spans if s["kind"] == SERVER and s.get("parentSpanId") in clients
    }
    steps: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for end, service, span in spans:
        if end < T0 + END_S * S:
            renamed = {**span, "parentSpanId": served.get(span.get("parentSpanId", ""), span.get("parentSpanId"))}
            steps.setdefault((end // STEP_NS + 1, service), []).append(zipkin(service, renamed, clients))
    for (step, _), some in sorted(steps.items()):
        yield step * STEP_NS, json.dumps(some).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "written"),
    representatives([("jaeger_json", as_jaeger), ("zipkin_json", as_zipkin)], ("zipkin_json", as_zipkin)),
)
def test_an_outage_in_other_words(encoding: str, written: Any) -> None:
    settings = Settings(detect={"detectors": ("bank",)}, ingest={"topics": {"our.spans": encoding}})
    found = through(written(Shop(TROUBLE, 1).spans_by_end()), settings, "our.spans")
    opened = [(i.time_ns - T0) / S for i in found.incidents if i.phase is not IncidentPhase.RESOLVED]
    assert opened, found.told()
    assert ONSET_S < opened[0] < ONSET_S + 8, found.told()
    assert found.blamed == {"payment"}, found.told()
    assert [s.service for s in found.incidents[-1].candidates[0].path] == ["gateway", "checkout", "payment"]
