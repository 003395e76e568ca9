"""OTLP/HTTP and Prometheus' remote write: the handlers, what they answer, and which web pages may send (CORS).

https://opentelemetry.io/docs/specs/otlp/#otlphttp, https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from aiohttp import web
from aiohttp.helpers import parse_mimetype
from aiohttp.http_exceptions import HttpProcessingError
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from connectors.admission import RETRY_AFTER_S, Handler, host_check
from connectors.otlp.reasons import NOT_OTLP, TOO_LARGE, refuse
from connectors.otlp.receiving.budget import OVERLOADED, Hold
from connectors.otlp.receiving.inflate import ENCODINGS, encoding_of
from connectors.otlp.receiving.intake import PATIENCE_S, Intake, peer_of
from connectors.otlp.responses import accepted, accepted_json
from contracts.errors import HomeostatError, Retryable, UndecodableTelemetry
from contracts.settings import ReceiverSettings
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

PATHS: Final = {"/v1/traces": OTLP_SPANS, "/v1/metrics": OTLP_METRICS, "/v1/logs": OTLP_LOGS}
WRITE_PATH: Final = "/api/v1/write"
"""Where Prometheus writes to, 1.0 and 2.0."""
_WRITE_2: Final = "io.prometheus.write.v2.Request"
_WRITES: Final = ("", "prometheus.WriteRequest", _WRITE_2)
_WRITTEN: Final = "X-Prometheus-Remote-Write-{}-Written"
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_SNAPPY: Final = "snappy"
_CHUNK: Final = 64 * 1024
_PREFLIGHT_S: Final = 3600
_AWAY: Final = (Retryable, OSError)


def application(settings: ReceiverSettings, intake: Intake) -> web.Application:
    """Everything behind the HTTP port."""
    checks = [
        host_check(settings.host, settings.allowed_hosts, "receivers.allowed_hosts"),
        cors(settings.cors_origins, settings.cors_headers),
    ]
    app = web.Application(middlewares=checks)
    for path, topic in PATHS.items():
        app.router.add_post(path, _Poster(settings, intake, topic).post)
    app.router.add_post(WRITE_PATH, _Poster(settings, intake, OTLP_METRICS).write)
    return app


class _Poster:
    """Takes the requests of one signal."""

    def __init__(self, settings: ReceiverSettings, intake: Intake, topic: str) -> None:
        self._settings, self._intake, self._topic = settings, intake, topic

    async def post(self, request: web.Request) -> web.Response:
        """Answer one request."""
        kind, encoding = request.content_type, encoding_of(request.headers.get("Content-Encoding", ""))
        if kind not in (_PROTOBUF, _JSON):
            return self._failure(
                _PROTOBUF, 415, "content_type", f"content type {kind}; expected {_PROTOBUF} or {_JSON}"
            )
        if encoding is None:
            return self._failure(kind, 415, "content_encoding", f"content encodings are {', '.join(ENCODINGS)}")
        try:
            rejected = await self._take(request, encoding, kind == _JSON)
        except TimeoutError:
            return self._failure(kind, 408, "timeout", f"no whole request in {self._settings.request_timeout_s:g} s")
        except UndecodableTelemetry as e:
            return self._failure(kind, 413 if e.reason == TOO_LARGE else 400, e.reason, str(e))
        except _AWAY as e:
            reason = e.reason if isinstance(e, HomeostatError) else "unavailable"
            return self._failure(kind, 429 if reason == OVERLOADED else 503, reason, f"not taken now: {e}")
        except HomeostatError as e:
            return self._failure(kind, 500, e.reason, str(e))
        body = accepted_json(self._topic, rejected) if kind == _JSON else accepted(self._topic, rejected)
        return web.Response(body=body, content_type=kind)

    async def write(self, request: web.Request) -> web.Response:
        """Answer one remote write. https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#required-written-response-headers"""
        kind, encoding = request.content_type, request.headers.get("Content-Encoding", _SNAPPY).strip().lower()
        mimetype = parse_mimetype(request.headers.get("Content-Type", _PROTOBUF))
        message = mimetype.parameters.get("proto", "")
        if f"{mimetype.type}/{mimetype.subtype}" != _PROTOBUF or message not in _WRITES:
            expected = f"expected {_PROTOBUF}, with proto={' or '.join(m for m in _WRITES if m)}"
            return self._refused(415, "content_type", f"content type {kind} {message}; {expected}")
        if encoding != _SNAPPY:
            return self._refused(415, "content_encoding", f"the content encoding of remote writes is {_SNAPPY}")
        try:
            with self._intake.budget.enter(peer_of(request.remote or "")) as hold:
                async with asyncio.timeout(self._settings.request_timeout_s):
                    body = await self._body(request, hold)
                try:
                    found = await self._intake.take_write(body, hold)
                except TimeoutError as e:  # the log's, not the sender's
                    raise Retryable(str(e)) from e
        except TimeoutError:
            return self._refused(408, "timeout", f"no whole request in {self._settings.request_timeout_s:g} s")
        except UndecodableTelemetry as e:
            return self._refused(413 if e.reason == TOO_LARGE else 400, e.reason, str(e))
        except _AWAY as e:
            reason = e.reason if isinstance(e, HomeostatError) else "unavailable"
            return self._refused(429 if reason == OVERLOADED else 503, reason, f"not taken now: {e}")
        except HomeostatError as e:
            return self._refused(500, e.reason, str(e))
        written = {"Samples": found.samples, "Histograms": found.histograms, "Exemplars": 0}
        return web.Response(status=204, headers={_WRITTEN.format(k): str(v) for k, v in written.items()})

    def _refused(self, status: int, reason: str, message: str) -> web.Response:
        """An error as remote writes have it: text, and how much was written."""
        self._intake.refused[reason] += 1
        headers = {_WRITTEN.format(k): "0" for k in ("Samples", "Histograms", "Exemplars")}
        if status in (429, 503):
            headers["Retry-After"] = str(RETRY_AFTER_S)
        return web.Response(text=message, status=status, headers=headers)

    async def _take(self, request: web.Request, encoding: str, is_json: bool) -> int:
        with self._intake.budget.enter(peer_of(request.remote or "")) as hold:
            async with asyncio.timeout(self._settings.request_timeout_s):
                body = await self._body(request, hold)
            try:
                return await self._intake.take(self._topic, body, encoding, is_json, hold)
            except TimeoutError as e:  # the log's, not the sender's
                raise Retryable(str(e)) from e

    async def _body(self, request: web.Request, hold: Hold) -> bytes:
        """The body as it was sent. What isn't read yet waits with the sender."""
        most, declared = self._settings.max_request_bytes, request.content_length
        if declared is not None and declared > most:
            raise refuse(TOO_LARGE, f"{declared} bytes; a request may have {most}")
        await hold.room(_CHUNK if declared is None else declared, PATIENCE_S)
        chunks, size = [], 0
        try:
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > most:
                    raise refuse(TOO_LARGE, f"a request may have {most} bytes")
                if size > hold.size:
                    hold.grow(max(_CHUNK, size - hold.size))
                chunks.append(chunk)
        except (HttpProcessingError, web.RequestPayloadError, ConnectionError) as e:
            raise refuse(NOT_OTLP, f"the request broke off: {e}") from e
        hold.shrink_to(size)
        return b"".join(chunks)

    def _failure(self, kind: str, status: int, reason: str, message: str) -> web.Response:
        """An error as OTLP/HTTP has it: a google.rpc.Status in the encoding of the request."""
        self._intake.refused[reason] += 1
        headers = {"Retry-After": str(RETRY_AFTER_S)} if status in (429, 503) else None
        if kind == _JSON:
            return web.json_response({"message": message}, status=status, headers=headers)
        body = Status(message=message).SerializeToString()
        return web.Response(body=body, status=status, headers=headers, content_type=_PROTOBUF)


def cors(origins: Sequence[str], headers: Sequence[str]) -> Any:
    """aiohttp middleware that lets pages of these origins send. `*` in an origin stands for any text."""
    allowed = ", ".join(dict.fromkeys(["Content-Type", "Content-Encoding", *headers]))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin", "")
        ours = bool(origin) and any(fnmatchcase(origin, o) for o in origins)
        if ours and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            answer: web.StreamResponse = web.Response(status=204)
            answer.headers["Access-Control-Allow-Methods"] = "POST"
            answer.headers["Access-Control-Allow-Headers"] = allowed
            answer.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
        else:
            answer = await handler(request)
        if ours:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Vary"] = "Origin"
        return answer

    return middleware
