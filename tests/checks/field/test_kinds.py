"""Of each kind of input from the field more that are written as others write them: what is read of each."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from connectors.otlp.decode import decode
from connectors.otlp.folding import fold
from contracts.features import BY_SIGNAL, Signal
from contracts.frames.latency import quantiles, requests_in
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import T0, as_json, fill, histogram, logs, metrics, traces

SHOP = {"service.name": "shop"}
NAMES = BY_SIGNAL[Signal.METRICS]
CLIENT, SERVER, PRODUCER, CONSUMER = 3, 2, 4, 5


def spans(attributes: dict[str, Any], kind: int = SERVER, code: int = 0, resource: Any = SHOP) -> Any:
    """What is read of one span, the same in protobuf and JSON, alone and among many."""
    found = []
    for many in (1, 200):
        message = traces(resource, *[{"attributes": attributes, "kind": kind, "code": code}] * many)
        found += [decode(OTLP_SPANS, p) for p in (message.SerializeToString(), as_json(message))]
    for one in found:
        assert one.spans is not None
        assert one.strings[one.spans.peer[0]] == found[0].strings[found[0].spans.peer[0]]
        assert one.spans.error[0] == found[0].spans.error[0]
    return found[0]


def peer(attributes: dict[str, Any], kind: int = CLIENT) -> str:
    """Whom a span calls."""
    found = spans(attributes, kind)
    return str(found.strings[found.spans.peer[0]])


# --- a third party that is known by an address only (F01, F19)
THIRD = "api.payprovider.example"
ADDRESSES: list[dict[str, Any]] = [
    {"server.address": THIRD, "server.port": 443},
    {"net.peer.name": THIRD, "net.peer.port": 443, "http.method": "POST"},
    {"http.url": f"https://{THIRD}/v1/charges"},
    {"url.full": f"https://{THIRD}:443/v1/charges?x=1", "http.request.method": "POST"},
    {"http.host": THIRD, "http.scheme": "https", "http.target": "/v1"},
    {"peer.hostname": THIRD, "span.kind": "client"},
    {"net.sock.peer.name": THIRD, "net.sock.peer.addr": "203.0.113.7"},
    {"server.socket.domain": THIRD, "server.socket.address": "203.0.113.7"},
    {"out.host": THIRD, "component": "net/http"},
    {"destination.address": THIRD},
    {"upstream_cluster.name": f"outbound|443||{THIRD}", "component": "proxy"},
    {"server.address": THIRD.upper()},
    {"rpc.system": "grpc", "rpc.service": "pay.Charges", "server.address": THIRD},
]


@pytest.mark.parametrize("attributes", ADDRESSES)
def test_a_third_party_is_named_by_its_address(attributes: dict[str, Any]) -> None:
    assert peer(attributes) == f"external:{THIRD}"


# --- codes as texts, enums, bools (F02, F18, F30)
CODES: list[tuple[dict[str, Any], int, bool]] = [
    ({"http.status_code": "503", "response_flags": "UH"}, 0, True),
    ({"http.status_code": "500", "component": "proxy"}, 0, True),
    ({"http.response.status_code": "502"}, 0, True),
    ({"http.status": "504"}, 0, True),
    ({"http.response.status": 503}, 0, True),
    ({"http.response_code": "503"}, 0, True),
    ({"response_code": "0", "response_flags": "UF,URX"}, 0, True),
    ({"grpc.status_code": "Unavailable"}, 0, True),
    ({"grpc.status_code": "14", "http.status_code": "200"}, 0, True),
    ({"rpc.error_code": "UNAVAILABLE"}, 0, True),
    ({"error": "true", "http.method": "GET"}, 0, True),
    ({"otel.status_code": "ERROR"}, 0, True),
    ({"http.status_code": "404"}, 2, False),
    ({"rpc.grpc.status_code": 5}, 2, False),
    ({"rpc.grpc.status_code": "5"}, 2, False),
    ({"rpc.response.status_code": "NOT_FOUND"}, 2, False),
    ({"grpc.status_code": "NotFound"}, 2, False),
    ({"grpc.status_code": "StatusCode.NOT_FOUND"}, 2, False),
    ({"rpc.connect_rpc.error_code": "not_found"}, 2, False),
    ({"rpc.grpc.status_code": 3}, 2, False),
    ({"rpc.grpc.status_code": 6}, 2, False),
    ({"rpc.grpc.status_code": 7}, 2, False),
    ({"rpc.grpc.status_code": 16}, 2, False),
    ({"rpc.grpc.status_code": 1}, 2, False),
    ({"rpc.grpc.status_code": "ABORTED"}, 2, False),
    ({"grpc_status": "9"}, 2, False),
]


@pytest.mark.parametrize(("attributes", "code", "failed"), CODES)
def test_codes_are_judged_however_they_are_written(attributes: dict[str, Any], code: int, failed: bool) -> None:
    assert bool(spans(attributes, code=code).spans.error[0]) == failed


# --- one name in several places (F03)
PLACES: list[tuple[dict[str, str], str, str]] = [
    ({"service.namespace": "prod"}, "prod/pay", "default"),
    ({"k8s.namespace.name": "prod"}, "prod/pay", "default"),
    ({"service.namespace": "a", "k8s.namespace.name": "b"}, "a/pay", "default"),
    ({"deployment.environment": "prod"}, "pay", "prod"),
    ({"deployment.environment.name": "prod"}, "pay", "prod"),
    ({"deployment.environment.name": "prod", "k8s.namespace.name": "eu"}, "eu/pay", "prod"),
    ({"service.namespace": "prod", "service.instance.id": "1"}, "prod/pay", "default"),
    ({"k8s.namespace.name": "prod", "k8s.pod.name": "pay-7d9f8b6c5d-x2x4z"}, "prod/pay", "default"),
    ({"service.namespace": ""}, "pay", "default"),
    ({"k8s.cluster.name": "eu-1", "service.namespace": "prod"}, "prod/pay", "eu-1"),
    ({"cloud.region": "eu", "host.name": "a"}, "pay", "default"),
]


@pytest.mark.parametrize(("attributes", "service", "environment"), PLACES)
def test_a_name_is_of_its_place(attributes: dict[str, str], service: str, environment: str) -> None:
    (found,) = spans({}, resource={"service.name": "pay", **attributes}).resources
    assert (found.service, found.environment) == (service, environment)


# --- spans in older envelopes (F06)
@pytest.mark.parametrize(
    "outer", ["scopeSpans", "instrumentationLibrarySpans", "scope_spans", "instrumentation_library_spans"]
)
@pytest.mark.parametrize("scope", ["scope", "instrumentationLibrary", "instrumentation_library"])
def test_spans_in_older_envelopes_are_read(outer: str, scope: str) -> None:
    body = json.loads(as_json(traces(SHOP, {"kind": SERVER}, {"kind": CLIENT})))
    (entry,) = body["resourceSpans"]
    (inner,) = entry.pop("scopeSpans")
    entry[outer] = [{scope: inner.get("scope", {}), "spans": inner["spans"]}]
    if "_" in outer:
        body = {"resource_spans": body["resourceSpans"]}
    found = decode(OTLP_SPANS, json.dumps(body).encode()).spans
    assert found is not None
    assert len(found) == 2


# --- bounds and buckets of histograms (F07)


@pytest.mark.parametrize("last", ["Infinity", "+Inf", "Inf", "inf", "+Infinity", "infinity"])
@pytest.mark.parametrize(
    ("counts", "bounds"),
    [([5, 2, 1], [0.1, 1]), ([5, 2, 1, 0], [0.1, 1]), ([8, 0], []), (["5", "2", "1"], ["0.1", "1"])],
)
def test_bounds_that_end_at_infinity_cost_no_request(last: str, counts: list[Any], bounds: list[Any]) -> None:
    sent, scope = metrics(SHOP)
    histogram(scope, "http.server.request.duration", [1, 1], [0.1], unit="s")
    body = json.loads(as_json(sent))
    (point,) = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["dataPoints"]
    point |= {"bucketCounts": counts, "explicitBounds": [*bounds, last], "count": "8"}
    found = decode(OTLP_METRICS, json.dumps(body).encode())
    assert found.histograms is not None
    assert requests_in(found.histograms.bucket, found.histograms.count) == 8
    assert found.skipped == {}


# --- units spelt out (F08)
UNITS = [
    *(("milliseconds", 7.5), ("Milliseconds", 7.5), ("millis", 7.5), ("msec", 7.5), ("ms", 7.5), ("MILLISECONDS", 7.5)),
    *(("seconds", 0.0075), ("Seconds", 0.0075), ("sec", 0.0075), ("microseconds", 7500), ("us", 7500), ("µs", 7500)),
    *(("nanoseconds", 7.5e6), ("ns", 7.5e6), ("minutes", 0.0075 / 60), ("min", 0.0075 / 60), ("cs", 0.75)),
]


@pytest.mark.parametrize(("unit", "value"), UNITS)
def test_units_spelt_out(unit: str, value: float) -> None:
    sent, scope = metrics(SHOP)
    histogram(scope, "http.server.request.duration", [0, 8, 0], [value * 0.9, value * 1.1], unit=unit)
    found = decode(OTLP_METRICS, sent.SerializeToString()).histograms
    assert found is not None
    (median,) = quantiles(found.bucket, found.count, (0.5,))
    assert median == pytest.approx(0.0075, rel=0.1)


# --- severities in the texts of log records (F09)
BODIES: list[Any] = [
    *(
        'level=error msg="no"',
        'ts=1 lvl=eror msg="no"',
        '{"level":"error","msg":"no"}',
        '{"severity":"ERROR","message":"no"}',
    ),
    *('{"level":50,"msg":"no"}', '{"@l":"Error","@m":"no"}', "E0101 00:00:00.000000 1 a.go:1] no", "ERROR:root:no"),
    *(
        "2026/01/01 00:00:00 [error] 1#1: no",
        "2026-01-01 00:00:00,123 ERROR [main] x.Y - no",
        "<11>1 2026-01-01T00:00:00Z h a 1 - - no",
    ),
    *(
        '{"log.level":"error","message":"no"}',
        '{"levelname":"ERROR","message":"no"}',
        "panic: no",
        "time=1 level=ERROR msg=no",
    ),
]


@pytest.mark.parametrize("body", BODIES)
def test_levels_in_bodies(body: Any) -> None:
    found = decode(OTLP_LOGS, logs(SHOP, {"body": body}).SerializeToString()).logs
    assert found is not None
    assert found.severity[0] >= 17


# --- lag of consumers (F10)
def lag(name: str, rows: list[tuple[dict[str, Any], float]], scope: str = "x") -> dict[str, float]:
    """Lag by whom it is of."""
    sent, inside = metrics({})
    inside.scope.name = scope
    metric = inside.metrics.add(name=name)
    for labels, value in rows:
        fill(metric.gauge.data_points.add(time_unix_nano=T0, as_double=value), labels)
    found = decode(OTLP_METRICS, sent.SerializeToString())
    assert found.points is not None
    assert {NAMES[i] for i in found.points.feature} == {"queue_lag"}
    named = (found.resources[i].service for i in found.points.resource)
    return dict(zip(named, found.points.value.tolist(), strict=True))


LAGS: list[tuple[str, list[tuple[dict[str, Any], float]], str]] = [
    (
        "kafka.consumer_group.lag",
        [({"group": "a", "topic": "orders", "partition": i}, 30.0) for i in range(3)],
        "kafka/orders",
    ),
    (
        "kafka.consumer_group.lag_sum",
        [({"group": "a", "topic": "orders"}, 90.0), ({"group": "b", "topic": "orders"}, 1.0)],
        "kafka/orders",
    ),
    (
        "kafka_consumergroup_lag",
        [({"consumergroup": "a", "topic": "orders", "partition": str(i)}, 45.0) for i in range(2)],
        "kafka/orders",
    ),
    (
        "kafka_consumergroup_group_lag",
        [({"group": "a", "topic": "orders", "partition": "0", "member_host": "h"}, 90.0)],
        "kafka/orders",
    ),
    (
        "kminion_kafka_consumer_group_topic_lag",
        [({"group_id": "a", "topic_name": "orders"}, 90.0), ({"group_id": "b", "topic_name": "orders"}, 9.0)],
        "kafka/orders",
    ),
    (
        "kminion_kafka_consumer_group_topic_partition_lag",
        [({"group_id": "a", "topic_name": "orders", "partition_id": str(i)}, 9.0) for i in range(10)],
        "kafka/orders",
    ),
    (
        "aws_kafka_sum_offset_lag_maximum",
        [({"dimension_Topic": "orders", "dimension_Consumer_Group": "a"}, 90.0)],
        "kafka/orders",
    ),
    ("rabbitmq_queue_messages_ready", [({"queue": "orders"}, 90.0)], "rabbitmq/orders"),
    ("aws.sqs.approximate_number_of_messages_visible", [({"QueueName": "orders"}, 90.0)], "aws_sqs/orders"),
    (
        "pulsar_subscription_back_log",
        [({"topic": "orders", "subscription": s}, v) for s, v in (("a", 90.0), ("b", 2.0))],
        "pulsar/orders",
    ),
    ("jetstream_consumer_num_pending", [({"stream_name": "orders", "consumer_name": "a"}, 90.0)], "nats/orders"),
    ("artemis_message_count", [({"queue": "orders"}, 90.0)], "jms/orders"),
    ("redis_stream_group_lag", [({"stream": "orders", "group": "a"}, 90.0)], "redis/orders"),
    ("azure_activemessages_average", [({"metadata_entityname": "orders"}, 90.0)], "servicebus/orders"),
]


@pytest.mark.parametrize(("name", "rows", "queue"), LAGS)
def test_lag_is_of_the_queue_and_of_its_slowest_group(
    name: str, rows: list[tuple[dict[str, Any], float]], queue: str
) -> None:
    assert lag(name, rows) == {f"messaging:{queue}": 90.0}


# --- generated names (F12)
GENERATED = [
    *("amq.gen-JzTY20BRgKO-HjmUJj0wLg", "amq.gen-Xa2s8Q_TTqyk9bXoPdE1Mw", "spring.gen-ZhQpW7nTSg2nDdQdfH5kyw"),
    *(
        "amq.ctag-5pDhTHPPk3PxXjL9DNQ3aA",
        "orders.0f8fad5b-d9cb-469f-a165-70867728950e",
        "reply.9f86d081884c7d659a2feaa0c55ad015",
    ),
    *(
        "orders-1767225600000",
        "bus-WIN7-dotnet-cdkoyybyrkd8ymthbdpmwyj6oc",
        "temporary-9a8b7c6d5e4f",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV.replies",
    ),
    *("rpc-client-3b241101e2bb4255", "amqpnetlite.gen-aB3dE5fG7h"),
]


@pytest.mark.parametrize("name", GENERATED)
def test_generated_names_are_one_node(name: str) -> None:
    assert "*" in fold(name)
    named = peer({"messaging.system": "rabbitmq", "messaging.destination.name": name}, CONSUMER)
    assert named == f"messaging:rabbitmq/{fold(name)}"


@pytest.mark.parametrize(
    "flag",
    [
        *("messaging.destination.temporary", "messaging.destination.anonymous", "messaging.temp_destination"),
        *("messaging.source.temporary", "messaging.source.anonymous"),
    ],
)
@pytest.mark.parametrize("value", [True, "true"])
def test_queues_that_say_they_are_temporary_are_one_node(flag: str, value: Any) -> None:
    said = {"messaging.system": "jms", "messaging.destination.name": "myReplies", flag: value}
    assert peer(said, CONSUMER) == "messaging:jms/*"


# --- queues, tables and services of clouds; brokers as tracers tell of them (F27)
CLOUD: list[tuple[dict[str, Any], int, str]] = [
    (
        {"messaging.system": "aws_sqs", "messaging.url": "https://sqs.eu-west-1.amazonaws.com/0/orders"},
        PRODUCER,
        "messaging:aws_sqs/orders",
    ),
    (
        {
            "rpc.system": "aws-api",
            "rpc.service": "SQS",
            "aws.queue.url": "https://sqs.eu-west-1.amazonaws.com/0/orders",
        },
        CLIENT,
        "messaging:aws_sqs/orders",
    ),
    (
        {"aws.sqs.queue.url": "https://sqs.us-east-1.amazonaws.com/0/orders.fifo"},
        CLIENT,
        "messaging:aws_sqs/orders.fifo",
    ),
    ({"aws.sqs.queue_name": "orders"}, CLIENT, "messaging:aws_sqs/orders"),
    (
        {"rpc.service": "SNS", "rpc.system": "aws-api", "aws.sns.topic.arn": "arn:aws:sns:eu-west-1:0:orders"},
        CLIENT,
        "messaging:aws_sns/orders",
    ),
    (
        {"messaging.system": "aws.sns", "messaging.destination.name": "arn:aws:sns:eu-west-1:0:orders"},
        PRODUCER,
        "messaging:aws_sns/orders",
    ),
    ({"db.system": "dynamodb", "aws.dynamodb.table_names": ["orders"]}, CLIENT, "db:dynamodb/orders"),
    ({"rpc.system": "aws-api", "rpc.service": "DynamoDB", "aws.table.name": "orders"}, CLIENT, "db:dynamodb/orders"),
    ({"rpc.system": "aws-api", "rpc.service": "S3", "aws.s3.bucket": "orders"}, CLIENT, "external:aws_s3"),
    ({"rpc.system": "aws-api", "rpc.service": "Secrets Manager"}, CLIENT, "external:aws_secretsmanager"),
    (
        {"messaging.system": "gcp_pubsub", "messaging.destination.name": "projects/p/topics/orders"},
        PRODUCER,
        "messaging:gcp_pubsub/orders",
    ),
    (
        {"messaging.system": "servicebus", "messaging.destination.name": "orders/subscriptions/mails"},
        CONSUMER,
        "messaging:servicebus/orders",
    ),
    (
        {"az.namespace": "Microsoft.EventHub", "message_bus.destination": "orders"},
        PRODUCER,
        "messaging:eventhubs/orders",
    ),
    ({"messaging.system": "eventhubs", "messaging.destination.name": "orders"}, CONSUMER, "messaging:eventhubs/orders"),
    ({"kafka.topic": "orders"}, PRODUCER, "messaging:kafka/orders"),
    ({"jms.queue": "orders"}, CONSUMER, "messaging:jms/orders"),
    ({"rabbit.exchange": "orders"}, PRODUCER, "messaging:rabbitmq/orders"),
    ({"messaging.system": "kafka", "messaging.source.name": "orders"}, CONSUMER, "messaging:kafka/orders"),
    (
        {"messaging.system": "kafka", "messaging.destination": "orders", "messaging.destination_kind": "topic"},
        PRODUCER,
        "messaging:kafka/orders",
    ),
    ({"faas.invoked_name": "thumbnails", "faas.invoked_provider": "aws"}, CLIENT, "external:thumbnails"),
]


@pytest.mark.parametrize(("attributes", "kind", "name"), CLOUD)
def test_queues_and_services_of_clouds_have_their_own_names(attributes: dict[str, Any], kind: int, name: str) -> None:
    assert peer(attributes, kind) == name


# --- CPU and memory by their units (F28)
USES: list[tuple[str, str, str, float, tuple[str, float] | None]] = [
    ("container.cpu.utilization", "1", "otelcol/kubeletstatsreceiver", 3.2, ("cpu_cores", 3.2)),
    ("container.cpu.utilization", "%", "otelcol/dockerstatsreceiver", 320.0, ("cpu_cores", 3.2)),
    ("container.cpu.utilization", "1", "mine", 3.2, None),
    ("container.cpu.usage", "{cpu}", "mine", 3.2, ("cpu_cores", 3.2)),
    ("container.cpu.usage", "m{cpu}", "mine", 3200.0, ("cpu_cores", 3.2)),
    ("container.cpu.usage", "nanocores", "mine", 3.2e9, ("cpu_cores", 3.2)),
    ("k8s.pod.cpu.utilization", "1", "otelcol/kubeletstatsreceiver", 3.2, ("cpu_cores", 3.2)),
    ("k8s.container.cpu_limit_utilization", "1", "mine", 0.32, ("cpu_utilization", 0.32)),
    ("k8s.container.cpu_limit_utilization", "1", "mine", 32.0, None),
    ("process.cpu.utilization", "%", "mine", 32.0, ("cpu_utilization", 0.32)),
    ("process.cpu.utilization", "furlong", "mine", 0.3, None),
    ("container.cpu.percent", "1", "mine", 320.0, ("cpu_cores", 3.2)),
    ("container.memory.usage", "MiBy", "mine", 2.0, ("memory_bytes", 2.0 * 2**20)),
    ("container.memory.usage", "furlong", "mine", 2.0, None),
    ("system_runtime_cpu_usage", "", "mine", 32.0, ("cpu_utilization", 0.32)),
    ("system_runtime_working_set", "", "mine", 32.0, ("memory_bytes", 32e6)),
]


@pytest.mark.parametrize(("name", "unit", "scope", "value", "expected"), USES)
def test_use_is_in_the_unit_that_it_is_in_or_unmapped(
    name: str, unit: str, scope: str, value: float, expected: tuple[str, float] | None
) -> None:
    sent, inside = metrics(SHOP)
    inside.scope.name = scope
    inside.metrics.add(name=name, unit=unit).gauge.data_points.add(time_unix_nano=T0, as_double=value)
    found = decode(OTLP_METRICS, sent.SerializeToString())
    if expected is None:
        assert found.points is None
        assert sum(found.skipped.values()) == 1
    else:
        assert found.points is not None
        assert NAMES[found.points.feature[0]] == expected[0]
        assert np.isclose(found.points.value[0], expected[1])
