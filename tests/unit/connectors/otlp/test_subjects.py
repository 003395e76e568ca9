"""Points of exporters and receivers are about whom their labels name, not about who sent them."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.features import BY_SIGNAL, Signal
from contracts.frames.decoded import Decoded
from contracts.topics import OTLP_METRICS
from tests.unit.connectors.otlp.builders import T0, as_json, fill, histogram, metrics

NAMES = BY_SIGNAL[Signal.METRICS]
SCRAPER = {
    "service.name": "kube-state-metrics",
    "service.instance.id": "10.0.0.9:8080",
    "deployment.environment": "live",
}
CADVISOR = {"namespace": "shop", "pod": "cart-7d9f8b6c5d-x2x4z", "container": "cart", "id": "/kubepods/x"}
Points = list[tuple[str, dict[str, Any], float]]


def sent(points: Points, *, kind: str = "gauge", resource: dict[str, Any] | None = None) -> Decoded:
    """Points of (name, labels, value), read from both encodings alike."""
    message, scope = metrics(SCRAPER if resource is None else resource)
    for name, labels, value in points:
        if kind == "histogram":
            fill(histogram(scope, name, [0, int(value), 0], [0.05, 0.2]), labels)
            continue
        metric = scope.metrics.add(name=name)
        data = getattr(metric, kind)
        if kind == "sum":
            data.aggregation_temporality, data.is_monotonic = 2, True
        fill(data.data_points.add(time_unix_nano=T0, as_double=value), labels)
    decoded = decode(OTLP_METRICS, message.SerializeToString())
    again = decode(OTLP_METRICS, as_json(message))
    assert told(again) == told(decoded)
    assert again.resources == decoded.resources
    return decoded


def told(decoded: Decoded) -> list[tuple[str, str, float]]:
    """(service, feature, value) of each point."""
    if decoded.points is None:
        return []
    p = decoded.points
    services = [decoded.resources[r].service for r in p.resource]
    return list(zip(services, [NAMES[f] for f in p.feature], p.value.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "labels", "kind", "service", "feature"),
    [
        ("container_cpu_usage_seconds_total", CADVISOR, "sum", "cart", "cpu_cores"),
        ("container_memory_working_set_bytes", CADVISOR, "gauge", "cart", "memory_bytes"),
        ("container_memory_working_set_bytes", {"name": "shop-cart-1"}, "gauge", "shop-cart-1", "memory_bytes"),
        (
            "container_memory_usage_bytes",
            {"name": "shop-cart-1", "container_label_com_docker_compose_service": "cart"},
            "gauge",
            "cart",
            "memory_bytes",
        ),
        (
            "container_network_receive_bytes_total",
            {**CADVISOR, "container": "", "interface": "eth0"},
            "sum",
            "cart",
            "network_io",
        ),
        ("kube_pod_container_status_restarts_total", {**CADVISOR, "uid": "u1"}, "sum", "cart", "restarts"),
        (
            "kube_pod_container_status_restarts_total",
            {
                "namespace": "monitoring",
                "pod": "ksm-0",
                "exported_pod": "db-0",
                "exported_container": "db",
                "container": "ksm",
            },
            "sum",
            "db",
            "restarts",
        ),
        (
            "pod_memory_working_set_bytes",
            {"namespace": "shop", "pod": "cart-7d9f8b6c5d-x2x4z"},
            "gauge",
            "cart",
            "memory_bytes",
        ),
        (
            "rabbitmq_queue_messages_ready",
            {"queue": "mails", "vhost": "/"},
            "gauge",
            "messaging:rabbitmq/mails",
            "queue_lag",
        ),
        (
            "aws_sqs_approximate_number_of_messages_visible_average",
            {"dimension_QueueName": "mails"},
            "gauge",
            "messaging:aws_sqs/mails",
            "queue_lag",
        ),
        (
            "pubsub.googleapis.com/subscription/num_undelivered_messages",
            {"subscription_id": "mails"},
            "gauge",
            "messaging:gcp_pubsub/mails",
            "queue_lag",
        ),
        (
            "azure_activemessages_average",
            {"metadata_EntityName": "mails"},
            "gauge",
            "messaging:servicebus/mails",
            "queue_lag",
        ),
        (
            "kafka_consumergroup_lag",
            {"consumergroup": "w", "topic": "orders", "partition": "0"},
            "gauge",
            "messaging:kafka/orders",
            "queue_lag",
        ),
        (
            "kafka.consumer_group.lag_sum",
            {"group": "w", "topic": "orders"},
            "gauge",
            "messaging:kafka/orders",
            "queue_lag",
        ),
    ],
)
def test_labels_say_whom_it_is_about(name: str, labels: dict[str, Any], kind: str, service: str, feature: str) -> None:
    decoded = sent([(name, labels, 5.0)], kind=kind)
    ((who, what, value),) = told(decoded)
    assert who.rpartition("shop/")[2] == service
    assert (what, value) == (feature, 5.0)
    assert decoded.resources[0].environment == "live", "as its sender"


@pytest.mark.parametrize(
    ("name", "labels", "kind"),
    [
        ("container_cpu_usage_seconds_total", {"id": "/", "cpu": "total"}, "sum"),
        ("container_cpu_usage_seconds_total", {**CADVISOR, "container": "POD"}, "sum"),
        (
            "container_cpu_usage_seconds_total",
            {"namespace": "shop", "pod": "cart-7d9f8b6c5d-x2x4z", "container": ""},
            "sum",
        ),
        ("container_network_receive_bytes_total", {"id": "/", "interface": "eth0"}, "sum"),
        ("kube_pod_container_status_restarts_total", {}, "sum"),
        (
            "traces_service_graph_request_server_seconds",
            {"client": "web", "server": "pg", "connection_type": "database"},
            "histogram",
        ),
        ("traces_service_graph_request_server_seconds", {}, "histogram"),
    ],
)
def test_sums_over_nodes_and_what_names_nobody_are_counted(name: str, labels: dict[str, Any], kind: str) -> None:
    decoded = sent([(name, labels, 5.0)], kind=kind)
    assert (decoded.points, decoded.histograms) == (None, None)
    assert decoded.skipped == {"no_subject": 1}


def test_lag_is_the_slowest_groups_sum_over_its_partitions() -> None:
    def lag(topic: str, group: str, partition: int, value: float) -> tuple[str, dict[str, Any], float]:
        return "kafka.consumer_group.lag", {"group": group, "topic": topic, "partition": partition}, value

    points = [
        *(lag("orders", "worker", p, v) for p, v in enumerate((0.0, 30_000.0, 60_000.0))),
        *(lag("orders", "audit", p, v) for p, v in enumerate((80_000.0, 3.0, 0.0))),
        *(lag("mails", "worker", p, v) for p, v in enumerate((1.0, 2.0, 4.0))),
    ]
    decoded = sent(points, resource={})
    assert told(decoded) == [
        ("messaging:kafka/orders", "queue_lag", 90_000.0),
        ("messaging:kafka/mails", "queue_lag", 7.0),
    ]
    assert dict(decoded.resources[0].attributes) == {"messaging.consumer.group.name": "worker"}
    assert decoded.added == 7
    other = sent([(n, a, 200_000.0 - v) for n, a, v in points], resource={})
    assert decoded.points is not None
    assert other.points is not None
    assert other.points.series[0] == decoded.points.series[0], "one series, whoever is the slowest"


def test_a_clients_own_lag_is_its_own() -> None:
    decoded = sent(
        [("kafka.consumer.records_lag_max", {"client-id": "c1", "topic": "orders"}, 9.0)],
        resource={"service.name": "worker"},
    )
    assert told(decoded) == [("worker", "queue_lag", 9.0)]


def test_a_queue_named_by_the_resource() -> None:
    decoded = sent(
        [
            ("rabbitmq.message.current", {"state": "ready"}, 9.0),
            ("rabbitmq.message.current", {"state": "unacknowledged"}, 5.0),
        ],
        resource={"rabbitmq.queue.name": "mails", "rabbitmq.node.name": "r1", "rabbitmq.vhost.name": "/"},
    )
    assert told(decoded) == [("messaging:rabbitmq/mails", "queue_lag", 9.0)]
    assert decoded.skipped == {"other_state": 1}


@pytest.mark.parametrize(
    ("name", "labels", "service"),
    [
        ("traces_service_graph_request_server_seconds", {"client": "web", "server": "cart"}, "cart"),
        ("traces.span.metrics.duration", {"service.name": "cart", "span.kind": "SPAN_KIND_SERVER"}, "cart"),
        ("traces_spanmetrics_latency", {"service": "cart", "span_kind": "SPAN_KIND_SERVER"}, "cart"),
        ("istio_request_duration_milliseconds", {"reporter": "destination", "destination_workload": "cart"}, "cart"),
        ("response_latency_ms", {"direction": "inbound", "deployment": "cart"}, "cart"),
        ("http_server_request_duration_seconds", {"http_route": "/x"}, "kube-state-metrics"),
        ("traces_spanmetrics_latency", {"span_kind": "SPAN_KIND_CONSUMER"}, "kube-state-metrics"),
    ],
)
def test_durations_are_the_callees(name: str, labels: dict[str, Any], service: str) -> None:
    decoded = sent([(name, labels, 8.0)], kind="histogram")
    assert decoded.histograms is not None
    assert [decoded.resources[i].service for i in decoded.histograms.resource] == [service]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("istio_request_duration_milliseconds", {"reporter": "source", "destination_workload": "cart"}),
        ("istio_request_duration_milliseconds", {}),
        ("response_latency_ms", {"direction": "outbound", "deployment": "cart"}),
        ("envoy_http_downstream_rq_time", {"envoy_http_conn_manager_prefix": "outbound_0.0.0.0_80"}),
        ("traces_spanmetrics_latency", {"service": "cart", "span_kind": "SPAN_KIND_CLIENT"}),
        ("traces.span.metrics.duration", {"service.name": "cart"}),
    ],
)
def test_the_callers_side_is_not_what_was_served(name: str, labels: dict[str, Any]) -> None:
    decoded = sent([(name, labels, 8.0)], kind="histogram")
    assert decoded.histograms is None
    assert decoded.skipped == {"not_served": 1}
