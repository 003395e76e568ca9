"""Real OpenTelemetry SDK exporters against the receivers."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

from connectors.otlp.decode import decode
from connectors.otlp.receivers import OtlpReceivers
from contracts.errors import ActionFailed, BrokerUnavailable, InvalidSettings
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import as_json, logs, metrics, traces

LIMIT = 2048
SHOP = {"service.name": "checkout"}
TRACE_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Log:
    """Keeps what is sent; fails on demand."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    async def send(self, topic: str, value: bytes) -> None:
        """Take a message."""
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.messages.append((topic, value))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def receivers(log: Log) -> AsyncIterator[OtlpReceivers]:
    running = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0, max_message_bytes=LIMIT), log.send)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


def export_a_span(exporter: Any) -> None:
    """Make a span with the SDK and export it."""
    provider = TracerProvider(resource=Resource.create({"service.name": "checkout"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("GET /orders"):
        pass
    provider.shutdown()


def the_span(log: Log) -> str:
    """Service and name of the only span sent."""
    ((topic, value),) = log.messages
    assert topic == OTLP_SPANS
    decoded = decode(topic, value)
    assert decoded.spans is not None
    assert len(decoded.spans) == 1
    return f"{decoded.resources[0].service} {decoded.strings[decoded.spans.name[0]]}"


async def test_sdk_over_grpc(receivers: OtlpReceivers, log: Log) -> None:
    exporter = GrpcSpanExporter(endpoint=receivers.grpc_address, insecure=True, compression=grpc.Compression.Gzip)
    await asyncio.to_thread(export_a_span, exporter)
    assert the_span(log) == "checkout GET /orders"


async def test_sdk_over_http(receivers: OtlpReceivers, log: Log) -> None:
    await asyncio.to_thread(export_a_span, HttpSpanExporter(endpoint=f"{receivers.http_address}/v1/traces"))
    assert the_span(log) == "checkout GET /orders"


async def test_sdk_metrics_over_http(receivers: OtlpReceivers, log: Log) -> None:
    def export() -> None:
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"{receivers.http_address}/v1/metrics"), export_interval_millis=60_000
        )
        provider = MeterProvider([reader], Resource.create(SHOP), shutdown_on_exit=False)
        provider.get_meter("test").create_histogram("http.server.request.duration", "s").record(0.2)
        provider.shutdown()

    await asyncio.to_thread(export)
    ((topic, value),) = log.messages
    rows = decode(topic, value).histograms
    assert topic == OTLP_METRICS
    assert rows is not None
    assert rows.count.sum() == 1


async def test_tls(certificate: tuple[Path, Path], log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # these would win over the exporter's own certificate
        monkeypatch.delenv(name, raising=False)
    cert, key = certificate
    running = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0, tls_cert=cert, tls_key=key), log.send)
    await running.start()
    try:
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        await asyncio.to_thread(
            export_a_span, GrpcSpanExporter(endpoint=f"https://{running.grpc_address}", credentials=credentials)
        )
        assert the_span(log) == "checkout GET /orders"
        log.messages.clear()
        assert running.http_address.startswith("https://")
        exporter = HttpSpanExporter(endpoint=f"{running.http_address}/v1/traces", certificate_file=str(cert))
        await asyncio.to_thread(export_a_span, exporter)
        assert the_span(log) == "checkout GET /orders"
    finally:
        await running.stop()


async def post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, dict(answer.headers), await answer.read()


async def call(address: str, request: bytes, method: str = TRACE_EXPORT) -> bytes:
    """The answer to an export request of raw bytes."""
    async with grpc.aio.insecure_channel(address) as channel:
        answer: bytes = await channel.unary_unary(method)(request)
        return answer


@pytest.mark.parametrize(
    ("path", "topic", "message"),
    [
        ("/v1/traces", OTLP_SPANS, traces(SHOP, {})),
        ("/v1/metrics", OTLP_METRICS, metrics(SHOP)[0]),
        ("/v1/logs", OTLP_LOGS, logs(SHOP, {"body": "x"})),
    ],
)
async def test_bytes_pass_as_they_are(receivers: OtlpReceivers, log: Log, path: str, topic: str, message: Any) -> None:
    url = receivers.http_address + path
    text, packed = as_json(message), message.SerializeToString()
    assert (await post(url, text, {"Content-Type": "application/json"}))[0::2] == (200, b"{}")
    assert (await post(url, gzip.compress(packed), {**PROTOBUF, "Content-Encoding": "gzip"}))[0] == 200
    assert log.messages == [(topic, text), (topic, packed)]


async def test_an_empty_request_is_a_success_without_a_message(receivers: OtlpReceivers, log: Log) -> None:
    assert await call(receivers.grpc_address, b"") == b""
    assert (await post(f"{receivers.http_address}/v1/traces", b"", PROTOBUF))[0] == 200
    assert log.messages == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"hello", {"Content-Type": "text/plain"}, 415),
        (b"hello", PROTOBUF, 400),
        (b"\n\x00", {"Content-Type": "application/json"}, 400),
        (b"no gzip", {**PROTOBUF, "Content-Encoding": "gzip"}, 400),
        (b"\n" + bytes(LIMIT), PROTOBUF, 400),
        (b"{" + b" " * LIMIT, {"Content-Type": "application/json"}, 400),
        (gzip.compress(bytes(40 * 1024 * 1024)), {**PROTOBUF, "Content-Encoding": "gzip"}, 413),
    ],
)
async def test_http_refuses(
    receivers: OtlpReceivers, log: Log, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert (await post(f"{receivers.http_address}/v1/traces", body, headers))[0] == status
    assert log.messages == []


async def test_grpc_refuses_what_is_not_otlp(receivers: OtlpReceivers) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(receivers.grpc_address, b"hello")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("failure", "code", "status"),
    [
        (BrokerUnavailable("away"), grpc.StatusCode.UNAVAILABLE, 503),
        (OSError("reset"), grpc.StatusCode.UNAVAILABLE, 503),
        (ActionFailed("refused"), grpc.StatusCode.INTERNAL, 500),
    ],
)
async def test_a_log_that_is_away_makes_exporters_retry(
    receivers: OtlpReceivers, log: Log, failure: Exception, code: Any, status: int
) -> None:
    log.failure = failure
    request = traces(SHOP, {}).SerializeToString()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(receivers.grpc_address, request)
    assert caught.value.code() is code
    found, headers, _ = await post(f"{receivers.http_address}/v1/traces", request, PROTOBUF)
    assert found == status
    assert (headers.get("Retry-After") == "1") is (status == 503)


def big(items: int, padding: int = 0) -> Any:
    """A message of two services with many spans, one of them too large by itself if `padding`."""
    message = traces(SHOP, *({"name": f"a{i}"} for i in range(items)))
    message.MergeFrom(traces({"service.name": "cart"}, *({"name": f"b{i}"} for i in range(3))))
    message.resource_spans[1].scope_spans[0].spans[1].name = "x" * padding or "b1"
    return message


def names(messages: list[tuple[str, bytes]]) -> list[str]:
    """Service and name of all spans sent, in order."""
    found = []
    for topic, value in messages:
        decoded = decode(topic, value)
        assert decoded.spans is not None
        rows = zip(decoded.spans.resource, decoded.spans.name, strict=True)
        found += [f"{decoded.resources[r].service} {decoded.strings[n]}" for r, n in rows]
    return found


@pytest.mark.parametrize("encode", [lambda m: m.SerializeToString(), as_json, lambda m: as_json(m, snake=True)])
async def test_large_requests_are_split(receivers: OtlpReceivers, log: Log, encode: Callable[[Any], bytes]) -> None:
    message = big(100)
    kind = "application/json" if encode(message)[:1] == b"{" else "application/x-protobuf"
    url = f"{receivers.http_address}/v1/traces"
    assert (await post(url, encode(message), {"Content-Type": kind}))[0] == 200
    assert len(log.messages) > 2
    assert all(len(value) <= LIMIT for _, value in log.messages)
    assert names(log.messages) == names([(OTLP_SPANS, encode(message))])


async def test_an_item_too_large_by_itself_is_reported(receivers: OtlpReceivers, log: Log) -> None:
    message = big(5, padding=LIMIT)
    answer = ExportTraceServiceResponse.FromString(await call(receivers.grpc_address, message.SerializeToString()))
    assert answer.partial_success.rejected_spans == 1
    assert "max_message_bytes" in answer.partial_success.error_message
    assert len(names(log.messages)) == 7
    log.messages.clear()
    headers = {"Content-Type": "application/json"}
    _, _, body = await post(f"{receivers.http_address}/v1/traces", as_json(message), headers)
    assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"


async def test_stopping_finishes_what_is_under_way(log: Log) -> None:
    running = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0), log.send)
    await running.start()
    log.gate = asyncio.Event()
    request = traces(SHOP, {}).SerializeToString()
    grpc_call = asyncio.create_task(call(running.grpc_address, request))
    http_call = asyncio.create_task(post(f"{running.http_address}/v1/traces", request, PROTOBUF))
    await asyncio.sleep(0.2)
    stopping = asyncio.create_task(running.stop())
    await asyncio.sleep(0.05)
    log.gate.set()
    await stopping
    assert await grpc_call == b""
    assert (await http_call)[0] == 200
    assert len(log.messages) == 2
    await running.stop()


async def test_a_taken_port_is_said_with_what_to_do(receivers: OtlpReceivers, log: Log) -> None:
    port = int(receivers.http_address.rpartition(":")[2])
    with pytest.raises(InvalidSettings, match="http_port"):
        await OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=port), log.send).start()
    port = int(receivers.grpc_address.rpartition(":")[2])
    with pytest.raises(InvalidSettings, match="grpc_port"):
        await OtlpReceivers(ReceiverSettings(grpc_port=port, http_port=0), log.send).start()


async def test_half_a_certificate_is_refused(certificate: tuple[Path, Path], log: Log, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="go together"):
        await OtlpReceivers(ReceiverSettings(tls_cert=certificate[0]), log.send).start()
    settings = ReceiverSettings(tls_cert=certificate[0], tls_key=tmp_path / "none.pem")
    with pytest.raises(InvalidSettings, match="cannot be used"):
        await OtlpReceivers(settings, log.send).start()


async def test_exporters_see_the_failure(receivers: OtlpReceivers, log: Log) -> None:
    log.failure = ActionFailed("refused")
    exporter = HttpSpanExporter(endpoint=f"{receivers.http_address}/v1/traces", timeout=2)
    provider = TracerProvider(shutdown_on_exit=False)
    span = provider.get_tracer("test").start_span("a")
    span.end()
    assert await asyncio.to_thread(exporter.export, [span]) is SpanExportResult.FAILURE
    provider.shutdown()
