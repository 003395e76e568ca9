"""OTLP/gRPC and OTLP/HTTP receivers that put requests on the topics as they are.

An export request has the same bytes as the data message a Collector puts on Kafka, so a request is passed through without
decoding: one larger than a message may be is split, small ones go together (`receiving.coalesce`). A sender is answered after the
log has taken its data: a log that is away becomes UNAVAILABLE or 503, too much at once RESOURCE_EXHAUSTED or 429, on which
exporters retry. https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import grpc
from aiohttp import web

from connectors.admission import KEEPALIVE_S, Door
from connectors.otlp.receiving import over_grpc, over_http
from connectors.otlp.receiving.coalesce import Send
from connectors.otlp.receiving.intake import Intake, peer_of
from contracts.errors import InvalidSettings
from contracts.settings import ReceiverSettings

GRACE_S: Final = 5.0
LINGER_S: Final = 1.0
"""How long the rest of a request that was answered already is still read, so that its sender gets to see the answer."""


@dataclass(frozen=True, slots=True)
class _Tls:
    certificate: bytes
    key: bytes
    context: ssl.SSLContext


class OtlpReceivers:
    """Both receivers of one process. `send(topic, value)` puts a message on a topic and returns when the log has it."""

    def __init__(self, settings: ReceiverSettings, send: Send) -> None:
        self._settings = settings
        self._intake = Intake(settings, send)
        share = max(1, int(settings.max_connections * settings.peer_share))
        self._door = Door(settings.max_connections, share, peer_of)
        self._grpc: Any = None
        self._runner: web.AppRunner | None = None
        self._http: asyncio.Server | None = None
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
        runner, self._runner = self._runner, None
        listening, self._http = self._http, None
        self._intake.hurry()
        if listening is not None:
            listening.close()
        if server is not None:
            await server.stop(GRACE_S)
        if runner is not None:
            await runner.cleanup()
        await self._intake.close()

    @property
    def in_flight(self) -> tuple[int, int]:
        """Requests under way, and the bytes they hold."""
        return self._intake.budget.requests, self._intake.budget.bytes

    def counters(self) -> Counter[str]:
        """Messages `received` and `sent` to the log (small ones together), and requests `refused_<reason>`."""
        found = Counter(self._intake.coalescer.counters)
        found.update({f"refused_{reason}": n for reason, n in self._intake.refused.items()})
        found.update({f"left_out_{reason}": n for reason, n in self._intake.left_out.items() if n})
        found["refused_connections"] = self._door.refused
        return found

    async def _start_grpc(self, tls: _Tls | None) -> None:
        server = over_grpc.server(self._settings, self._intake)
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
        # Bodies are decompressed within limits, and off the loop: not by the library.
        self._runner = web.AppRunner(
            over_http.application(self._settings, self._intake),
            access_log=None,
            shutdown_timeout=GRACE_S,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
        )
        await self._runner.setup()
        host, port = self._settings.host, self._settings.http_port
        try:
            self._http = await self._door.open(self._runner, host, port, tls.context if tls else None)
        except OSError as e:
            raise _cannot_listen("http", _address(host, port)) from e
        port = self._http.sockets[0].getsockname()[1]
        self.http_address = f"http{'s' if tls else ''}://{_address(host, port)}"


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
