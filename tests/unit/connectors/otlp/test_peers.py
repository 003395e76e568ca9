"""Whom spans call, by all the ways in which that is written."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.otlp.decode import decode
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.topics import OTLP_SPANS
from tests.unit.connectors.otlp.builders import as_json, descending, traces

ACCOUNT = "000000000000"
SQS = f"https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/orders"
MANY = 200

EXTERNAL: list[tuple[dict[str, Any], str]] = [
    ({"server.address": "api.bank.example", "server.port": 443}, "api.bank.example"),
    ({"server.address": "API.Bank.Example."}, "api.bank.example"),
    ({"net.peer.name": "api.bank.example", "net.peer.port": 443}, "api.bank.example"),
    ({"net.peer.name": "api.bank.example:8443"}, "api.bank.example"),
    ({"net.sock.peer.name": "edge.cdn.example", "net.sock.peer.addr": "203.0.113.9"}, "edge.cdn.example"),
    ({"network.peer.address": "203.0.113.9", "network.peer.port": 443}, "203.0.113.9"),
    ({"net.peer.ip": "203.0.113.9"}, "203.0.113.9"),
    ({"net.sock.peer.addr": "2001:db8::7"}, "2001:db8::7"),
    ({"network.peer.address": "[2001:db8::7]:443"}, "2001:db8::7"),
    ({"url.full": "https://api.bank.example/v1/charges?id=7"}, "api.bank.example"),
    ({"http.url": "http://user:" + "hunter2" + "@api.bank.example:8080/pay"}, "api.bank.example"),
    ({"http.url": "https://[2001:db8::7]:8443/pay"}, "2001:db8::7"),
    ({"http.host": "api.bank.example:443", "http.target": "/pay"}, "api.bank.example"),
    ({"peer.hostname": "api.bank.example", "peer.port": 443}, "api.bank.example"),
    ({"peer.address": "203.0.113.9:443"}, "203.0.113.9"),
    (
        {"upstream_cluster.name": "outbound|443||api.bank.example", "peer.address": "203.0.113.9:443"},
        "api.bank.example",
    ),
    ({"upstream_cluster": "outbound|80|v2|reviews.shop.svc.cluster.local"}, "reviews.shop.svc.cluster.local"),
    ({"server.address": "localhost", "url.full": "https://api.bank.example/x"}, "api.bank.example"),
    ({"rpc.system": "grpc", "rpc.service": "bank.Payments", "server.address": "bank.example"}, "bank.example"),
    (
        {"rpc.system": "aws-api", "rpc.service": "S3", "server.address": "s3.eu-west-1.amazonaws.com"},
        "s3.eu-west-1.amazonaws.com",
    ),
    ({"server.address": "job-0f8fad5b-d9cb-469f-a165-70867728950e.example"}, "job-*.example"),
]
NOBODY: list[dict[str, Any]] = [
    {"server.address": "localhost"},
    {"server.address": "127.0.0.1", "server.port": 15001},
    {"net.peer.ip": "::1"},
    {"server.address": "0.0.0.0"},
    {"server.address": "/var/run/docker.sock"},
    {"server.address": "unknown"},
    {"server.address": ""},
    {"server.address": 7},
    {"upstream_cluster.name": "inbound|8080||"},
    {"upstream_cluster": "PassthroughCluster"},
    {"http.url": "/relative/path"},
    {"http.url": "not a url"},
]
QUEUES: list[tuple[dict[str, Any], str]] = [
    ({"messaging.system": "aws_sqs", "messaging.url": SQS}, "aws_sqs/orders"),
    ({"messaging.system": "AmazonSQS", "messaging.destination": "orders", "messaging.url": SQS}, "aws_sqs/orders"),
    ({"messaging.system": "aws.sqs", "messaging.destination.name": "orders"}, "aws_sqs/orders"),
    ({"rpc.system": "aws-api", "rpc.service": "SQS", "rpc.method": "SendMessage", "aws.sqs.queue.url": SQS}, "aws_sqs/orders"),
    ({"rpc.system": "aws-api", "rpc.service": "AmazonSQS", "aws.queue.url": SQS + "?x=1"}, "aws_sqs/orders"),
    ({"rpc.service": "Sqs", "aws.queue_url": SQS + "/"}, "aws_sqs/orders"),
    ({"aws.sqs.queue.url": f"https://eu-west-1.queue.amazonaws.com/{ACCOUNT}/orders"}, "aws_sqs/orders"),
    ({"rpc.service": "SQS", "aws.sqs.queue_name": "orders"}, "aws_sqs/orders"),
    ({"messaging.system": "aws_sqs", "messaging.destination.name": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders"}, "aws_sqs/orders"),
    ({"rpc.service": "SNS", "aws.sns.topic.arn": f"arn:aws:sns:eu-west-1:{ACCOUNT}:paid"}, "aws_sns/paid"),
    ({"messaging.system": "aws_sns", "messaging.destination.name": f"arn:aws:sns:eu-west-1:{ACCOUNT}:paid"}, "aws_sns/paid"),
    ({"messaging.system": "aws.sns", "messaging.destination": "paid"}, "aws_sns/paid"),
    ({"rpc.service": "Kinesis", "aws.kinesis.stream_name": "clicks"}, "aws_kinesis/clicks"),
    ({"messaging.system": "gcp_pubsub", "messaging.destination.name": "orders"}, "gcp_pubsub/orders"),
    ({"messaging.system": "pubsub", "messaging.destination": "projects/shop/topics/orders"}, "gcp_pubsub/orders"),
    ({"messaging.system": "google_pubsub", "messaging.destination.name": "orders-sub"}, "gcp_pubsub/orders-sub"),
    ({"messaging.system": "servicebus", "messaging.destination.name": "orders"}, "servicebus/orders"),
    ({"az.namespace": "Microsoft.ServiceBus", "message_bus.destination": "orders", "peer.address": "shop.servicebus.windows.net"},
     "servicebus/orders"),
    ({"messaging.system": "servicebus", "messaging.destination.name": "orders/Subscriptions/audit"}, "servicebus/orders"),
    ({"az.namespace": "Microsoft.EventHub", "message_bus.destination": "clicks"}, "eventhubs/clicks"),
    ({"messaging.system": "eventhubs", "messaging.destination.name": "clicks/ConsumerGroups/a/Partitions/0"}, "eventhubs/clicks"),
    ({"messaging.system": "rabbitmq", "messaging.destination.name": "amq.gen-JzTY20BRgKO-HjmUJj0wLg"}, "rabbitmq/amq.gen-*"),
    ({"messaging.system": "rabbitmq", "messaging.destination": "spring.gen-PxWz8Jl3RYq1b5a9cD2eFg"}, "rabbitmq/spring.gen-*"),
    ({"messaging.system": "activemq", "messaging.destination.name": "ID:host-4711-1:1", "messaging.destination.temporary": True},
     "activemq/*"),
    ({"messaging.system": "jms", "messaging.destination.name": "reply-7", "messaging.destination.anonymous": "true"}, "jms/*"),
]  # fmt: skip
DATABASES: list[tuple[dict[str, Any], str]] = [
    ({"db.system": "dynamodb", "aws.dynamodb.table_names": ["carts"]}, "dynamodb/carts"),
    (
        {"rpc.system": "aws-api", "rpc.service": "DynamoDB", "aws.dynamodb.table_names": ["carts", "x"]},
        "dynamodb/carts",
    ),
    ({"rpc.service": "AmazonDynamoDBv2", "aws.table.name": "carts"}, "dynamodb/carts"),
    ({"db.system.name": "postgresql", "db.namespace": "orders", "server.address": "10.0.0.1"}, "postgresql/orders"),
    ({"db.type": "sql", "db.instance": "orders", "peer.address": "10.0.0.1:5432"}, "sql/orders"),
    ({"db.system": "redis", "net.peer.name": "cache", "server.address": "cache"}, "redis/cache"),
]


def peers_in(kind: int, attributes: dict[str, Any]) -> set[tuple[str, bool]]:
    """Peers by every way of reading: few spans and many, protobuf in both orders and JSON."""
    plain: dict[str, Any] = {}
    span = {"kind": kind, "attributes": {"http.request.method": "POST", **attributes, "thread.id": 7}}
    few, many = traces({"service.name": "a"}, plain, span, plain), traces({"service.name": "a"}, span, *[plain] * MANY)
    found = set()
    for row, payload in (
        (1, few.SerializeToString()),
        (1, descending(few)),
        (1, as_json(few)),
        (0, many.SerializeToString()),
        (0, descending(many)),
    ):
        read = decode(OTLP_SPANS, payload)
        assert read.spans is not None
        assert not read.spans.by_address[row + 1 :].any()
        found.add((read.strings[read.spans.peer[row]], bool(read.spans.by_address[row])))
    return found


@pytest.mark.parametrize(("attributes", "host"), EXTERNAL)
def test_a_host_that_is_called_is_a_peer_known_by_its_address(attributes: dict[str, Any], host: str) -> None:
    assert peers_in(KIND_CLIENT, attributes) == {(f"external:{host}", True)}


@pytest.mark.parametrize("attributes", NOBODY)
def test_what_names_nobody_else_is_no_peer(attributes: dict[str, Any]) -> None:
    assert peers_in(KIND_CLIENT, attributes) == {("", False)}


@pytest.mark.parametrize("kind", [KIND_CLIENT, KIND_PRODUCER, KIND_CONSUMER])
@pytest.mark.parametrize(("attributes", "queue"), QUEUES)
def test_each_queue_and_topic_is_a_peer_of_its_own(attributes: dict[str, Any], queue: str, kind: int) -> None:
    assert peers_in(kind, attributes) == {(f"messaging:{queue}", False)}


@pytest.mark.parametrize(("attributes", "database"), DATABASES)
def test_databases(attributes: dict[str, Any], database: str) -> None:
    assert peers_in(KIND_CLIENT, attributes) == {(f"db:{database}", False)}


@pytest.mark.parametrize("attributes", [a for a, _ in (*EXTERNAL, *QUEUES, *DATABASES)])
def test_who_serves_names_no_callee(attributes: dict[str, Any]) -> None:
    assert peers_in(KIND_SERVER, attributes) == {("", False)}


def test_a_service_by_name_comes_before_its_address() -> None:
    attributes = {"peer.service": "bank", "server.address": "api.bank.example"}
    assert peers_in(KIND_CLIENT, attributes) == {("external:bank", False)}
    assert peers_in(KIND_CLIENT, {**attributes, "peer.service": "10.0.0.1"}) == {("external:api.bank.example", True)}


def test_many_spans_of_many_peers_keep_their_own() -> None:
    hosts = [f"h{i % 7}.bank.example" for i in range(MANY)]
    rows = [
        {"kind": KIND_CLIENT, "attributes": {"server.address": h, "x": "y" * (i % 90)}} for i, h in enumerate(hosts)
    ]
    read = decode(OTLP_SPANS, traces({"service.name": "a"}, *rows).SerializeToString())
    assert read.spans is not None
    assert [read.strings[i] for i in read.spans.peer] == [f"external:{h}" for h in hosts]
