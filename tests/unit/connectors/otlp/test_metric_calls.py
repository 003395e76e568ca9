"""Calls that metrics tell of: by the labels of service graphs, and by those of metrics made of client spans."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.frames import Decoded
from contracts.frames.latency import FAILED_ONLY, UNPLACED, requests_in
from contracts.topics import OTLP_METRICS
from tests.unit.connectors.otlp.builders import as_json, counter, fill, histogram, metrics

COLLECTOR = {"service.name": "collector", "deployment.environment.name": "prod"}
GRAPH = {"client": "gateway", "server": "cart", "connection_type": ""}
CALLS = "traces_service_graph_request_total"
CLIENT = "traces_service_graph_request_client"


def read(name: str, labels: dict[str, Any], kind: str = "counter", unit: str = "", in_json: bool = False) -> Decoded:
    """What one point of seven requests is decoded to."""
    message, scope = metrics(COLLECTOR)
    point = (
        counter(scope, name, 7, unit=unit) if kind == "counter" else histogram(scope, name, [3, 4], [0.5], unit=unit)
    )
    fill(point, labels)
    return decode(OTLP_METRICS, as_json(message) if in_json else message.SerializeToString())


def called(decoded: Decoded) -> list[tuple[str, str, int]]:
    """Caller, callee and number of calls."""
    calls = decoded.calls
    if calls is None:
        return []
    services = [decoded.resources[i].service for i in calls.resource]
    rows = [slice(a, b) for a, b in pairwise(calls.offset.tolist())]
    counts = [requests_in(calls.bucket[r], calls.count[r]) for r in rows]
    return list(zip(services, [decoded.strings[i] for i in calls.peer], counts, strict=True))


@pytest.mark.parametrize("in_json", [False, True])
def test_a_service_graph_tells_of_calls_and_of_who_serves_them(in_json: bool) -> None:
    found = read(CALLS, GRAPH, in_json=in_json)
    assert called(found) == [("gateway", "cart", 7)]
    assert found.histograms is not None
    assert found.resources[found.histograms.resource[0]].service == "cart"
    assert found.histograms.bucket.tolist() == [UNPLACED]
    assert {r.environment for r in found.resources} == {"prod"}
    assert found.added == 0


def test_durations_of_callers_are_of_calls_alone() -> None:
    for name, unit in ((CLIENT, "s"), (f"{CLIENT}_seconds", "")):
        found = read(name, GRAPH, "histogram", unit)
        assert called(found) == [("gateway", "cart", 7)]
        assert (found.histograms, found.added) == (None, 1)


@pytest.mark.parametrize(
    ("labels", "callee"),
    [
        ({**GRAPH, "connection_type": "messaging_system"}, "cart"),
        ({**GRAPH, "server_service.namespace": "shop"}, "shop/cart"),
        ({**GRAPH, "server_service_namespace": "shop"}, "shop/cart"),
        ({**GRAPH, "server": "orders", "connection_type": "database"}, "db:orders"),
        ({**GRAPH, "server": "api.bank.example", "connection_type": "virtual_node"}, "external:api.bank.example"),
        ({**GRAPH, "server": "10.1.2.3", "connection_type": "virtual_node"}, "external:10.1.2.3"),
    ],
)
def test_what_callees_are_called(labels: dict[str, str], callee: str) -> None:
    assert called(read(CLIENT, labels, "histogram", "s")) == [("gateway", callee, 7)]


@pytest.mark.parametrize(
    "labels",
    [
        {**GRAPH, "client": "user", "connection_type": "virtual_node"},
        {**GRAPH, "server": "unknown", "connection_type": "virtual_node"},
        {"server": "cart"},
        {},
    ],
)
def test_calls_of_nobody_and_to_nobody_are_counted(labels: dict[str, str]) -> None:
    found = read(CLIENT, labels, "histogram", "s")
    assert not called(found)
    assert found.skipped == {"no_subject": 1}


def test_who_failed_is_said_by_a_label_or_by_a_counter() -> None:
    for failed in (True, "true"):
        found = read(CALLS, {**GRAPH, "failed": failed})
        assert found.calls is not None
        assert found.calls.error.tolist() == [True]
    beside = read("traces_service_graph_request_failed_total", {**GRAPH, "failed": True})
    assert (beside.calls, beside.skipped) == (None, {"unused_metric": 1})
    alone = read("traces_service_graph_request_failed_total", GRAPH)
    assert alone.calls is not None
    assert alone.calls.bucket.tolist() == [FAILED_ONLY]


@pytest.mark.parametrize(
    ("kind", "labels", "callee"),
    [
        ("SPAN_KIND_CLIENT", {"peer.service": "payment"}, "external:payment"),
        ("SPAN_KIND_CLIENT", {"peer_service": "payment"}, "external:payment"),
        ("Client", {"server.address": "api.bank.example"}, "external:api.bank.example"),
        ("SPAN_KIND_CLIENT", {"db_system": "postgresql", "db_name": "orders"}, "db:postgresql/orders"),
        (
            "SPAN_KIND_PRODUCER",
            {"messaging.system": "kafka", "messaging.destination.name": "orders"},
            "messaging:kafka/orders",
        ),
    ],
)
def test_metrics_of_client_spans_tell_of_calls(kind: str, labels: dict[str, str], callee: str) -> None:
    found = read(
        "traces.span.metrics.duration", {"service.name": "cart", "span.kind": kind, **labels}, "histogram", "ms"
    )
    assert called(found) == [("cart", callee, 7)]
    assert found.histograms is None


def test_metrics_of_client_spans_that_name_nobody_are_counted() -> None:
    labels = {"service.name": "cart", "span.kind": "SPAN_KIND_CLIENT"}
    assert read("traces.span.metrics.calls", labels).skipped == {"not_served": 1}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("traces.span.metrics.calls", {"service.name": "cart", "span.kind": "SPAN_KIND_SERVER"}),
        ("traces_spanmetrics_calls_total", {"service": "cart", "span_kind": "SPAN_KIND_CONSUMER"}),
        ("calls_total", {"service_name": "cart", "span_kind": "SPAN_KIND_SERVER"}),
        ("istio_requests_total", {"reporter": "destination", "destination_workload": "cart"}),
    ],
)
def test_counters_tell_of_requests(name: str, labels: dict[str, str]) -> None:
    found = read(name, labels)
    assert found.histograms is not None
    assert requests_in(found.histograms.bucket, found.histograms.count) == 7
    assert found.resources[found.histograms.resource[0]].service == "cart"
    assert found.calls is None


OF_CLIENTS = {
    "HTTP": ("http.client.request.duration", "s", {"server.address": "cart", "server.port": 80}, "external:cart"),
    "HTTP before": ("http.client.duration", "ms", {"net.peer.name": "cart"}, "external:cart"),
    "through Prometheus": ("http_client_request_duration_seconds", "", {"server_address": "cart"}, "external:cart"),
    "Micrometer": ("http.client.requests", "s", {"client.name": "cart", "uri": "/items/{id}"}, "external:cart"),
    "RPC": ("rpc.client.duration", "ms", {"rpc.system": "grpc", "server.address": "bank"}, "external:bank"),
    "database": (
        "db.client.operation.duration",
        "s",
        {"db.system.name": "postgresql", "db.namespace": "orders", "db.operation.name": "SELECT"},
        "db:postgresql/orders",
    ),
    "its pool alone": (
        "db.client.operation.duration",
        "s",
        {"db.system.name": "redis", "server.address": "cache"},
        "db:redis/cache",
    ),
}


@pytest.mark.parametrize(("name", "unit", "labels", "callee"), OF_CLIENTS.values(), ids=list(OF_CLIENTS))
def test_what_a_service_measures_of_its_own_calls(name: str, unit: str, labels: dict[str, Any], callee: str) -> None:
    found = read(name, labels, "histogram", unit)
    assert called(found) == [("collector", callee, 7)]
    assert (found.histograms, found.added) == (None, 1)


@pytest.mark.parametrize("labels", [{"error.type": "timeout"}, {"http.response.status_code": 503}])
def test_a_call_that_failed_as_its_caller_measured_it(labels: dict[str, Any]) -> None:
    found = read("http.client.request.duration", {"server.address": "cart", **labels}, "histogram", "s")
    assert found.calls is not None
    assert found.calls.error.tolist() == [True]


def test_a_call_to_nobody_that_is_named_is_counted() -> None:
    found = read("http.client.request.duration", {"http.request.method": "GET"}, "histogram", "s")
    assert not called(found)
    assert sum(found.skipped.values()) == 1
