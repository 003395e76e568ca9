"""OTLP/gRPC and OTLP/HTTP receivers that put requests on the topics as they are.

An export request has the same bytes as the data message a Collector puts on Kafka, so a request is passed through without
decoding; only one larger than a message may be is split. A sender is answered after the log has taken its data: a log that
is away becomes UNAVAILABLE or 503, on which exporters retry. https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from connectors.otlp.reasons import NOT_OTLP, TOO_LARGE, refuse
from connectors.otlp.responses import accepted, accepted_json
from connectors.otlp.split import split
from contracts.errors import HomeostatError, InvalidSettings, Retryable, UndecodableTelemetry
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

Send = Callable[[str, bytes], Awaitable[None]]

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024
MAX_CONCURRENT: Final = 1024
GRACE_S: Final = 5.0
RETRY_AFTER_S: Final = 1
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_JSON_SPACE: Final = b" \t\r\n"
_FIRST_BYTE: Final = 0x0A
_GRPC_SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": OTLP_SPANS,
    "opentelemetry.proto.collector.metrics.v1.MetricsService": OTLP_METRICS,
    "opentelemetry.proto.collector.logs.v1.LogsService": OTLP_LOGS,
}
_HTTP_PATHS: Final = {"/v1/traces": OTLP_SPANS, "/v1/metrics": OTLP_METRICS, "/v1/logs": OTLP_LOGS}
_UNAVAILABLE: Final = (Retryable, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class _Tls:
    certificate: bytes
    key: bytes
    context: ssl.SSLContext


class OtlpReceivers:
    """Both receivers of one process. `send(topic, value)` puts a message on a topic and returns when the log has it."""

    def __init__(self, settings: ReceiverSettings, send: Send) -> None:
        self._settings = settings
        self._send = send
        self._grpc: Any = None
        self._http: web.AppRunner | None = None
        self.grpc_address = ""
        """`host:port` once started."""
        self.http_address = ""
        """`http[s]://host:port` once started."""

    async def start(self) -> None:
        """Listen on both ports.

        Raises:
            InvalidSettings: an address is taken or not allowed, or the certificate cannot be used.
        """
        tls = await asyncio.to_thread(_tls, self._settings)
        try:
            await self._start_grpc(tls)
            await self._start_http(tls)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Take no more requests, finish those under way (at most `GRACE_S` seconds). Idempotent."""
        server, self._grpc = self._grpc, None
        runner, self._http = self._http, None
        if server is not None:
            await server.stop(GRACE_S)
        if runner is not None:
            await runner.cleanup()

    async def _start_grpc(self, tls: _Tls | None) -> None:
        options = [("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
        server = grpc.aio.server(options=options, maximum_concurrent_rpcs=MAX_CONCURRENT)
        for service, topic in _GRPC_SERVICES.items():
            # Without serializers requests and responses stay bytes.
            handler = grpc.unary_unary_rpc_method_handler(self._exporter(topic))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        address = _address(self._settings.host, self._settings.grpc_port)
        try:
            if tls is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, grpc.ssl_server_credentials([(tls.key, tls.certificate)]))
        except RuntimeError as e:
            raise _cannot_listen("grpc", address) from e
        self._grpc = server
        await server.start()
        self.grpc_address = _address(self._settings.host, port)

    async def _start_http(self, tls: _Tls | None) -> None:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        for path, topic in _HTTP_PATHS.items():
            app.router.add_post(path, self._poster(topic))
        self._http = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_S)
        await self._http.setup()
        host, port = self._settings.host, self._settings.http_port
        site = web.TCPSite(self._http, host, port, ssl_context=tls.context if tls else None)
        try:
            await site.start()
        except OSError as e:
            raise _cannot_listen("http", _address(host, port)) from e
        self.http_address = f"http{'s' if tls else ''}://{_address(host, self._http.addresses[0][1])}"

    def _exporter(self, topic: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(request: bytes, context: Any) -> bytes:
            try:
                return accepted(topic, await self._forward(topic, request, is_json=False))
            except UndecodableTelemetry as e:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(e))
            except _UNAVAILABLE as e:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"telemetry cannot be taken now: {e}")
            except HomeostatError as e:
                await context.abort(grpc.StatusCode.INTERNAL, str(e))
            raise AssertionError("abort raises")

        return export

    def _poster(self, topic: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def post(request: web.Request) -> web.Response:
            kind = request.content_type
            if kind not in (_PROTOBUF, _JSON):
                return _failure(_PROTOBUF, 415, f"content type {kind}; expected {_PROTOBUF} or {_JSON}")
            is_json = kind == _JSON
            try:
                rejected = await self._forward(topic, await _body(request), is_json)
            except web.HTTPRequestEntityTooLarge:
                return _failure(kind, 413, f"a request may have {MAX_REQUEST_BYTES} bytes after decompression")
            except UndecodableTelemetry as e:
                return _failure(kind, 413 if e.reason == TOO_LARGE else 400, str(e))
            except _UNAVAILABLE as e:
                return _failure(kind, 503, f"telemetry cannot be taken now: {e}")
            except HomeostatError as e:
                return _failure(kind, 500, str(e))
            body = accepted_json(topic, rejected) if is_json else accepted(topic, rejected)
            return web.Response(body=body, content_type=kind)

        return post

    async def _forward(self, topic: str, payload: bytes, is_json: bool) -> int:
        """Put a request on its topic; the number of items that were too large. An empty request is a sender that looks
        whether somebody is there (OTLP specification: answer with success)."""
        if not payload:
            return 0
        start = payload.lstrip(_JSON_SPACE)[:1] if is_json else payload[:1]
        if start != (b"{" if is_json else b"\n"):
            raise refuse(NOT_OTLP, f"it starts with {start!r}")
        pieces, rejected = [payload], 0
        if len(payload) > self._settings.max_message_bytes:
            pieces, rejected = await asyncio.to_thread(split, topic, payload, self._settings.max_message_bytes)
        for piece in pieces:
            await self._send(topic, piece)
        return rejected


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except (HttpProcessingError, web.RequestPayloadError) as e:
        raise refuse(NOT_OTLP, f"content encoding {request.headers.get('Content-Encoding', '')}: {e}") from e


def _failure(kind: str, status: int, message: str) -> web.Response:
    """An error as OTLP/HTTP has it: a google.rpc.Status in the encoding of the request."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    if kind == _JSON:
        return web.json_response({"message": message}, status=status, headers=headers)
    body = Status(message=message).SerializeToString()
    return web.Response(body=body, status=status, headers=headers, content_type=_PROTOBUF)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(protocol: str, address: str) -> InvalidSettings:
    return InvalidSettings(
        f"cannot listen on {address}", fix=f"is the port taken? set receivers.{protocol}_port; 0 picks a free one"
    )


def _tls(settings: ReceiverSettings) -> _Tls | None:
    """The certificate, if TLS is on. Reads files."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise InvalidSettings("tls_cert and tls_key go together", fix="set both, or neither")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
        return _Tls(settings.tls_cert.read_bytes(), settings.tls_key.read_bytes(), context)
    except OSError as e:  # ssl.SSLError is one
        raise InvalidSettings(f"the certificate cannot be used: {e}", fix="check tls_cert and tls_key") from e
