"""What the real Collector makes of the same telemetry in each of its encodings, exporters and connectors is read as the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np
import pytest
import yaml
from google.protobuf.message import Message

from connectors.encodings.sources import STANDARD_READING, decode_record
from connectors.kafka.client import KafkaBroker
from connectors.otlp.decode import decode
from connectors.otlp.receivers import OtlpReceivers
from contracts.frames import Decoded
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.frames.latency import UNPLACED, requests_in
from contracts.settings import BrokerSettings, ReceiverSettings, TopicSettings
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from contracts.units import MICROSECOND, MILLISECOND, SECOND
from tests.patience import PATIENCE_S
from tests.services.servers.collector import collector
from tests.services.servers.kafka import KafkaServer
from tests.services.servers.process import free_port
from tests.unit.connectors.otlp import builders as build

CART: Final = {"service.name": "cart", "service.namespace": "shop", "service.instance.id": "cart-0"}
Config = dict[str, Any]


def spans(now_ns: int) -> Message:
    """A trace whose spans say each in their way what they called and whether that failed."""
    trace = now_ns.to_bytes(16, "big")
    begun = now_ns // MICROSECOND * MICROSECOND
    served, called = {"kind": KIND_SERVER}, {"kind": KIND_CLIENT}
    rows: tuple[dict[str, Any], ...] = (
        {**served, "attributes": {"http.response.status_code": 200}},
        {**called, "attributes": {"peer.service": "payment", "http.status_code": 503}, "code": 2},
        {**called, "attributes": {"server.address": "api.bank.example", "http.status_code": 404}, "code": 2},
        {**called, "attributes": {"db.system": "postgresql", "db.name": "orders"}},
        {"kind": KIND_PRODUCER, "attributes": {"messaging.system": "kafka", "messaging.destination.name": "orders"}},
        {"kind": KIND_CONSUMER, "attributes": {"messaging.system": "kafka", "messaging.destination.name": "orders"}},
        {**served, "attributes": {"error": True}, "code": 2},
        {"kind": 1, "code": 2},
    )
    numbered = [
        {
            "trace_id": trace,
            "span_id": (now_ns + i).to_bytes(8, "big"),
            "parent_span_id": now_ns.to_bytes(8, "big") if i else b"",
            "name": f"span {i}",
            "start_time_unix_nano": begun + i * MILLISECOND,
            "end_time_unix_nano": begun + (10 + i) * MILLISECOND,
            **row,
        }
        for i, row in enumerate(rows)
    ]
    return build.traces(CART, *numbered)


def rows_of(decoded: Decoded) -> set[tuple[Any, ...]]:
    """What the pipeline knows of each span."""
    found = decoded.spans
    if found is None:
        return set()
    columns = (found.trace, found.span, found.parent, found.kind, found.start_ns, found.end_ns, found.error)
    services = [decoded.resources[i].service for i in found.resource]
    names, peers = ([decoded.strings[i] for i in column] for column in (found.name, found.peer))
    return {*zip(*(c.tolist() for c in columns), services, names, peers, strict=True)}


@asynccontextmanager
async def running(folder: Path, config: Config, *arguments: str) -> AsyncIterator[str]:
    """A Collector that takes OTLP over HTTP, at the address that comes out; `{otlp}` is its receiver."""
    port = free_port()
    whole = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        **config,
        "service": {**config["service"], "telemetry": {"metrics": {"level": "none"}}},
    }
    async with collector(folder, yaml.safe_dump(whole), *arguments):
        yield f"http://127.0.0.1:{port}"


async def export(url: str, signal: str, message: Message) -> None:
    """Send a message as an SDK does."""
    headers = {"Content-Type": "application/x-protobuf"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/{signal}", data=message.SerializeToString(), headers=headers) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def until(enough: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(PATIENCE_S):
        while not enough():
            await asyncio.sleep(0.05)


async def read(
    server: KafkaServer, topic: str, settings: TopicSettings, enough: Callable[[list[Decoded]], bool]
) -> list[Decoded]:
    """The messages of a topic, decoded, as soon as there are enough."""
    broker, found = KafkaBroker(BrokerSettings(url=server.url)), list[Decoded]()
    async with asyncio.timeout(PATIENCE_S), aclosing(broker.read([topic], follow=True)) as records:  # type: ignore[type-var]
        async for record in records:
            found.append(decode_record(record, {topic: settings}, STANDARD_READING))
            if enough(found):
                break
    return found


@pytest.mark.parametrize(
    "encoding", ["otlp_proto", "otlp_json", "jaeger_proto", "jaeger_json", "zipkin_proto", "zipkin_json"]
)
async def test_spans_in_every_encoding_of_the_kafka_exporter(
    encoding: str, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    topic = f"shop.{encoding}"
    await KafkaBroker(BrokerSettings(url=kafka_server.url)).ensure_topics(4, [topic])
    exporter = {"brokers": [kafka_server.bootstrap], "traces": {"topic": topic, "encoding": encoding}}
    pipeline = {"traces": {"receivers": ["otlp"], "exporters": ["kafka"]}}
    message = spans(time.time_ns())
    wanted = rows_of(decode(OTLP_SPANS, message.SerializeToString()))
    async with running(tmp_path, {"exporters": {"kafka": exporter}, "service": {"pipelines": pipeline}}) as url:
        await export(url, "traces", message)
        settings = TopicSettings.model_validate({"encoding": encoding})
        found = await read(
            kafka_server, topic, settings, lambda all_: len(set().union(*map(rows_of, all_))) >= len(wanted)
        )
    assert set().union(*map(rows_of, found)) == wanted
    assert not any(one.skipped for one in found)


async def test_logs_in_the_raw_encoding_of_the_kafka_exporter(kafka_server: KafkaServer, tmp_path: Path) -> None:
    topic = "shop.raw"
    await KafkaBroker(BrokerSettings(url=kafka_server.url)).ensure_topics(4, [topic])
    exporter = {"brokers": [kafka_server.bootstrap], "logs": {"topic": topic, "encoding": "raw"}}
    pipeline = {"logs": {"receivers": ["otlp"], "exporters": ["kafka"]}}
    bodies = ('{"level": "error", "msg": "no"}', "2026-01-02T10:00:00Z WARN slow", "plain")
    message = build.logs(CART, *({"time_unix_nano": time.time_ns(), "body": body} for body in bodies))
    async with running(tmp_path, {"exporters": {"kafka": exporter}, "service": {"pipelines": pipeline}}) as url:
        await export(url, "logs", message)
        settings = TopicSettings(encoding="raw", service="cart", namespace="shop")
        found = await read(kafka_server, topic, settings, lambda all_: len(all_) >= len(bodies))
    assert {one.resources[0].service for one in found} == {"shop/cart"}
    assert sorted(one.logs.severity[0] for one in found if one.logs is not None) == [0, 13, 17]
    assert all(abs(one.logs.time_ns[0] - time.time_ns()) < 60 * SECOND for one in found if one.logs is not None)


def measured(now_ns: int) -> Message:
    """Points of each kind that a remote write has."""
    message, scope = build.metrics(CART)
    build.gauge(scope, "process.memory.usage", 3e8, "By", now_ns)
    build.counter(scope, "process.cpu.time", 12, unit="s").time_unix_nano = now_ns
    failed = build.histogram(scope, "http.server.request.duration", [4, 3, 2, 1], [0.1, 0.5, 1.0], unit="s")
    failed.time_unix_nano, failed.sum = now_ns, 4.5
    build.fill(failed, {"http.response.status_code": 503})
    native = scope.metrics.add(name="rpc.server.call.duration", unit="s").exponential_histogram
    native.aggregation_temporality = 2
    point = native.data_points.add(time_unix_nano=now_ns, count=8, scale=0, sum=3.0)
    point.positive.offset = -3
    point.positive.bucket_counts.extend([5, 0, 3])
    return message


def figures(all_: list[Decoded]) -> tuple[set[tuple[str, int, float]], set[tuple[str, bool, int]]]:
    """Points and histograms of messages by service: feature and value; failed and number of requests."""
    points, histograms = set(), set()
    for one in all_:
        if one.points is not None:
            services = [one.resources[i].service for i in one.points.resource]
            points |= {*zip(services, one.points.feature.tolist(), one.points.value.tolist(), strict=True)}
        if one.histograms is not None:
            services = [one.resources[i].service for i in one.histograms.resource]
            counts = np.add.reduceat(one.histograms.count, one.histograms.offset[:-1]).tolist()
            histograms |= {*zip(services, one.histograms.error.tolist(), counts, strict=True)}
    return points, histograms


@pytest.mark.parametrize("version", [1, 2])
async def test_remote_writes_of_the_collector(version: int, tmp_path: Path) -> None:
    messages: list[tuple[str, bytes]] = []

    async def keep(topic: str, value: bytes) -> None:
        messages.append((topic, value))

    receivers = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0), keep)
    await receivers.start()
    try:
        exporter: Config = {"endpoint": f"{receivers.http_address}/api/v1/write", "tls": {"insecure": True}}
        gates = []
        if version == 2:
            exporter["protobuf_message"] = "io.prometheus.write.v2.Request"
            gates = ["--feature-gates=exporter.prometheusremotewritexporter.enableSendingRW2"]
        pipeline = {"metrics": {"receivers": ["otlp"], "exporters": ["prometheusremotewrite"]}}
        config = {"exporters": {"prometheusremotewrite": exporter}, "service": {"pipelines": pipeline}}
        message = measured(time.time_ns())
        wanted = figures([decode(OTLP_METRICS, message.SerializeToString())])
        async with running(tmp_path, config, *gates) as url:
            await export(url, "metrics", message)
            await until(lambda: figures([decode(*m) for m in messages]) == wanted)
    finally:
        await receivers.stop()
    assert not {n for n in receivers.counters() if n.startswith("refused_") and receivers.counters()[n]}


def _requests(decoded: Decoded) -> int:
    found = decoded.histograms
    return 0 if decoded.calls is None or found is None else requests_in(found.bucket, found.count)


@pytest.mark.parametrize("histograms", [True, False])
async def test_span_metrics_of_the_collector(histograms: bool, kafka_server: KafkaServer, tmp_path: Path) -> None:
    topic = f"shop.spanmetrics.{histograms}"
    await KafkaBroker(BrokerSettings(url=kafka_server.url)).ensure_topics(4, [topic])
    dimensions = [
        "peer.service",
        "server.address",
        "db.system",
        "db.name",
        "messaging.system",
        "messaging.destination.name",
    ]
    config = {
        "connectors": {
            "spanmetrics": {
                "metrics_flush_interval": "1s",
                "add_resource_attributes": True,
                "histogram": {} if histograms else {"disable": True},
                "dimensions": [{"name": name} for name in dimensions],
            }
        },
        "exporters": {"kafka": {"brokers": [kafka_server.bootstrap], "metrics": {"topic": topic}}},
        "service": {
            "pipelines": {
                "traces": {"receivers": ["otlp"], "exporters": ["spanmetrics"]},
                "metrics": {"receivers": ["spanmetrics"], "exporters": ["kafka"]},
            }
        },
    }
    async with running(tmp_path, config) as url:
        await export(url, "traces", spans(time.time_ns()))
        # Sums begin with a point of 0, so that what follows is known to be an increase.
        (*_, found) = await read(kafka_server, topic, TopicSettings(), lambda all_: _requests(all_[-1]) == 3)
    served, calls = found.histograms, found.calls
    assert served is not None
    assert calls is not None
    assert {found.resources[i].service for i in (*served.resource, *calls.resource)} == {"shop/cart"}
    assert requests_in(served.bucket, served.count) == 3
    callees = {"external:payment", "external:api.bank.example", "db:postgresql/orders", "messaging:kafka/orders"}
    assert {found.strings[i] for i in calls.peer} == callees
    assert {found.strings[i] for i in calls.peer[calls.error]} == {"external:payment", "external:api.bank.example"}
    assert bool((served.bucket == UNPLACED).all()) is not histograms


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_otlp_over_grpc_of_the_collector(compression: str, tmp_path: Path) -> None:
    messages: list[tuple[str, bytes]] = []

    async def keep(topic: str, value: bytes) -> None:
        messages.append((topic, value))

    receivers = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0), keep)
    await receivers.start()
    try:
        exporter = {"endpoint": receivers.grpc_address, "tls": {"insecure": True}, "compression": compression}
        pipeline = {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}}
        message = spans(time.time_ns())
        async with running(tmp_path, {"exporters": {"otlp": exporter}, "service": {"pipelines": pipeline}}) as url:
            await export(url, "traces", message)
            await until(lambda: bool(messages))
    finally:
        await receivers.stop()
    assert [rows_of(decode(*m)) for m in messages] == [rows_of(decode(OTLP_SPANS, message.SerializeToString()))]
