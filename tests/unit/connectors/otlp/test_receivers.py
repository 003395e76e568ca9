"""Real OpenTelemetry SDK exporters against the receivers."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
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
from contracts.frames.latency import placed, quantiles, requests_in
from contracts.settings import ReceiverSettings, load
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from tests.patience import PATIENCE_S
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
    assert requests_in(rows.bucket, rows.count) == 1
    assert quantiles(*placed(rows.bucket, rows.count), (0.5,))[0] == pytest.approx(0.2, rel=0.2), (
        "bounds for milliseconds, of seconds"
    )


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
    async with asyncio.timeout(PATIENCE_S):
        while running.in_flight[0] < 2:
            await asyncio.sleep(0.01)
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


# What strangers may use up. Each test sets its own limits.

MB = 1 << 20


@asynccontextmanager
async def running(log: Log, **limits: Any) -> AsyncIterator[OtlpReceivers]:
    """Receivers with these settings."""
    found = OtlpReceivers(ReceiverSettings(grpc_port=0, http_port=0, **limits), log.send)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


@asynccontextmanager
async def unfinished(
    receivers: OtlpReceivers, count: int, size: int, peer: str = "127.0.0.1"
) -> AsyncIterator[list[Any]]:
    """Requests of `size` bytes that stop one byte short, from `peer`."""
    port = int(receivers.http_address.rpartition(":")[2])
    head = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
    streams = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(peer, 0))
        writer.write(head % size + b"\n" + bytes(size - 2))
        streams.append((reader, writer))
    try:
        yield streams
    finally:
        for _, writer in streams:
            writer.close()
        await asyncio.gather(*(w.wait_closed() for _, w in streams), return_exceptions=True)
        while any("RequestHandler.start" in str(t.get_coro()) for t in asyncio.all_tasks()):  # they linger
            await asyncio.sleep(0.05)


async def statuses(streams: list[Any], answered: int) -> list[int]:
    """The status of each once so many are answered, and others might have been, too; 0 for these."""

    async def status(reader: asyncio.StreamReader) -> int:
        try:
            return int((await reader.readline()).split()[1])
        except (OSError, IndexError):
            return 0

    asked = [asyncio.create_task(status(r)) for r, _ in streams]
    async with asyncio.timeout(PATIENCE_S):
        while sum(a.done() for a in asked) < answered:
            await asyncio.sleep(0.01)
    await asyncio.wait(asked, timeout=0.5)
    for waiting in asked:
        waiting.cancel()
    return [0 if isinstance(s, BaseException) else s for s in await asyncio.gather(*asked, return_exceptions=True)]


async def test_unfinished_requests_use_up_their_senders_share_only(log: Log) -> None:
    limits = {"max_in_flight_bytes": 16 * MB, "max_request_bytes": 4 * MB, "max_grpc_bytes": MB}
    small = traces(SHOP, {}).SerializeToString()
    async with running(log, **limits) as found, unfinished(found, 30, 4 * MB, "127.0.0.2") as streams:
        answers = await statuses(streams, 28)
        assert answers.count(429) == 28, "two of 4 MiB are the share of one peer"
        assert (await post(f"{found.http_address}/v1/traces", small, PROTOBUF))[0] == 200
        assert await call(found.grpc_address, small) == b""
        assert found.counters()["refused_overloaded"] == 28


async def test_what_does_not_arrive_in_time_gives_its_room_back(log: Log) -> None:
    async with running(log, request_timeout_s=0.3) as found, unfinished(found, 3, MB) as streams:
        assert await statuses(streams, 3) == [408] * 3
        assert found.in_flight == (0, 0)


async def test_a_call_without_a_message_ends_and_gives_its_room_back(log: Log) -> None:
    async with running(log, request_timeout_s=0.3) as found, grpc.aio.insecure_channel(found.grpc_address) as channel:
        never = channel.stream_unary(TRACE_EXPORT)()  # the headers are sent, a message never
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await never
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "no message in 0.3 s" in (caught.value.details() or "")
        assert found.in_flight == (0, 0)
        for _ in range(100):  # a slow machine may need longer than that even for a whole one
            with contextlib.suppress(grpc.aio.AioRpcError):
                assert await call(found.grpc_address, traces(SHOP, {}).SerializeToString()) == b""
                break
        else:
            pytest.fail("nobody else is served")


async def test_too_much_at_once_is_told_with_when_to_come_again(log: Log) -> None:
    small = traces(SHOP, {}).SerializeToString()
    async with running(log, max_requests=2) as found:
        log.gate = asyncio.Event()
        held = asyncio.create_task(post(f"{found.http_address}/v1/traces", small, PROTOBUF))
        async with asyncio.timeout(PATIENCE_S):
            while not found.in_flight[0]:
                await asyncio.sleep(0.01)
        status, headers, _ = await post(f"{found.http_address}/v1/traces", small, PROTOBUF)
        assert (status, headers["Retry-After"]) == (429, "1")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(found.grpc_address, small)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        (info,) = Status.FromString(details).details
        retry = RetryInfo()
        assert info.Unpack(retry)
        assert retry.retry_delay.seconds == 1
        log.gate.set()
        assert (await held)[0] == 200
        assert found.in_flight == (0, 0)


async def test_what_the_log_still_has_counts_after_its_sender_went_away(log: Log) -> None:
    async with running(log) as found:
        log.gate = asyncio.Event()
        gone = asyncio.create_task(call(found.grpc_address, traces(SHOP, {}).SerializeToString()))
        async with asyncio.timeout(PATIENCE_S):
            while not found.in_flight[0]:
                await asyncio.sleep(0.01)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            await asyncio.sleep(0.2)
            assert found.in_flight[0] == 1
            log.gate.set()
            while found.in_flight[0]:
                await asyncio.sleep(0.01)


async def test_a_large_message_over_grpc(log: Log) -> None:
    message = traces(SHOP, *({"name": f"a{i}" * 50} for i in range(12_000))).SerializeToString()
    async with running(log) as found:
        assert 2 * MB < len(message) < 4 * MB
        assert await call(found.grpc_address, message) == b""
        assert len(log.messages) >= 3
        assert sum(len(decode(*m).spans or ()) for m in log.messages) == 12_000
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(found.grpc_address, message + message)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with asyncio.timeout(PATIENCE_S):
            while found.in_flight != (0, 0) or not found.counters()["refused_broke_off"]:
                await asyncio.sleep(0.01)


async def test_connections_have_a_limit_and_a_share(log: Log) -> None:
    async with running(log, max_connections=6) as found:
        port = int(found.http_address.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(5)]
        assert await statuses(opened, 2) == [0, 0, 0, 503, 503]
        assert (await post(f"{found.http_address}/v1/traces", b"", PROTOBUF))[0] == 200
        assert found.counters()["refused_connections"] == 2
        for _, writer in opened:
            writer.close()
        await asyncio.gather(*(w.wait_closed() for _, w in opened), return_exceptions=True)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
async def test_every_compression_on_both_protocols(receivers: OtlpReceivers, log: Log, compress: Any) -> None:
    """Over gRPC by the body alone: the client's library sends no `grpc-encoding` that it is given
    (tests/services/test_collector_compression.py has one that does)."""
    packed = traces(SHOP, {}).SerializeToString()
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate"}.get(compress, "zstd")
    url = f"{receivers.http_address}/v1/traces"
    assert (await post(url, compress(packed), {**PROTOBUF, "Content-Encoding": encoding}))[0] == 200
    async with grpc.aio.insecure_channel(receivers.grpc_address) as channel:
        await channel.unary_unary(TRACE_EXPORT)(compress(packed), metadata=(("grpc-encoding", encoding),))
    assert log.messages == [(OTLP_SPANS, packed)] * 2


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, zstandard.compress])
async def test_a_bomb_is_refused_on_both_protocols(receivers: OtlpReceivers, log: Log, compress: Any) -> None:
    bomb = compress(b"\n" + bytes(200 * MB))
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate"}.get(compress, "zstd")
    url = f"{receivers.http_address}/v1/traces"
    assert (await post(url, bomb, {**PROTOBUF, "Content-Encoding": encoding}))[0] == 413
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(receivers.grpc_address, bomb)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert log.messages == []
    assert receivers.in_flight == (0, 0)


async def test_an_unknown_compression_is_told(receivers: OtlpReceivers) -> None:
    status, _, body = await post(f"{receivers.http_address}/v1/traces", b"x", {**PROTOBUF, "Content-Encoding": "br"})
    assert status == 415
    assert b"gzip, deflate, zstd" in body


async def test_many_small_messages_are_few_in_the_log(log: Log) -> None:
    async with running(log, coalesce_ms=1000) as found:
        async with grpc.aio.insecure_channel(found.grpc_address) as channel:
            export = channel.unary_unary(TRACE_EXPORT)
            await export(traces(SHOP, {"name": "first"}).SerializeToString())
            await asyncio.gather(*(export(traces(SHOP, {"name": f"n{i}"}).SerializeToString()) for i in range(50)))
        assert len(log.messages) <= 5
        assert sorted(names(log.messages)) == sorted(["checkout first", *(f"checkout n{i}" for i in range(50))])
        assert found.counters()["received"] == 51
        assert found.counters()["sent"] == len(log.messages)


@pytest.mark.parametrize(
    ("host", "allowed", "status"),
    [
        ("localhost:4318", (), 200),
        ("127.0.0.1:4318", (), 200),
        ("[::1]:4318", (), 200),
        ("evil.example:4318", (), 421),
        ("127.0.0.1.evil.example", (), 421),
        ("otel.example", ("otel.example",), 200),
        ("localhost", ("otel.example",), 200),
        ("evil.example", ("otel.example",), 421),
    ],
)
async def test_the_host_that_was_asked_for(log: Log, host: str, allowed: tuple[str, ...], status: int) -> None:
    async with running(log, allowed_hosts=allowed) as found:
        headers = {**PROTOBUF, "Host": host}
        assert (await post(f"{found.http_address}/v1/traces", b"", headers))[0] == status


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), "https://shop.example", False),
        (("https://shop.example",), "https://shop.example", True),
        (("https://*.shop.example",), "https://www.shop.example", True),
        (("https://*.shop.example",), "https://evil.example", False),
        (("*",), "https://any.example", True),
    ],
)
async def test_pages_of_which_origins_may_send(log: Log, origins: tuple[str, ...], origin: str, allowed: bool) -> None:
    async with (
        running(log, cors_origins=origins, cors_headers=("X-Tenant",)) as found,
        aiohttp.ClientSession() as session,
    ):
        url, named = f"{found.http_address}/v1/traces", {"Origin": origin}
        asked = {**named, "Access-Control-Request-Method": "POST"}
        async with session.options(url, headers=asked) as answer:
            assert (answer.status == 204) is allowed
            assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed
            assert not allowed or "X-Tenant" in answer.headers["Access-Control-Allow-Headers"]
        async with session.post(url, headers={**named, **PROTOBUF}) as answer:
            assert answer.status == 200
            assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="max_in_flight_bytes"):
        load({"receivers": {"max_in_flight_bytes": 1 << 20}})
