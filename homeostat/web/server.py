"""Routes and their server. Everything here reads; the only thing a caller can change is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from connectors.admission import KEEPALIVE_S, RETRY_AFTER_S, Door, host_check
from contracts.errors import GraphUnavailable, InvalidSettings
from contracts.ports import GraphStore
from contracts.settings import ApiSettings
from graph.stores.remote import PATH, refuse
from homeostat.explanation import PATH as ANOMALY_PATH
from homeostat.health import Vitals
from homeostat.web.questions import Questions

_JSON: Final = "application/json"
MAX_QUESTION: Final = 1 << 20
_AT_ONCE: Final = 2


async def _nothing_explained(_: str) -> tuple[int, bytes]:
    return 503, b'{"error": "starting", "message": "the log is not open yet"}'


class WebServer:
    """Serves /livez /healthz /readyz /metrics /status /services /anomalies/ID and POST /graph/query on `settings.host:port`.

    It is the first part to start and the last to stop, so `graph` may be None for a while.
    """

    def __init__(
        self,
        settings: ApiSettings,
        registry: CollectorRegistry,
        status: Callable[[], Mapping[str, Any]],
        vitals: Callable[[], Vitals],
        graph: Callable[[], GraphStore | None],
        services: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
        explain: Callable[[str], Awaitable[tuple[int, bytes]]] = _nothing_explained,
    ) -> None:
        self._settings, self._registry, self._status = settings, registry, status
        self._vitals, self._graph, self._services = vitals, graph, services
        self._explain, self._explaining = explain, asyncio.Semaphore(_AT_ONCE)
        self._questions = Questions(settings)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen; `address` is known afterwards.

        Raises:
            InvalidSettings: the address is taken or not allowed.
        """
        s = self._settings
        app = web.Application(
            middlewares=[host_check(s.host, s.allowed_hosts, "api.allowed_hosts")], client_max_size=MAX_QUESTION
        )
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status_page),
                web.get("/services", self._services_page),
                web.get(ANOMALY_PATH, self._anomaly_page),
                web.post(PATH, self._query),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_S)
        await self._runner.setup()
        try:
            # Health and metrics are asked for from one address: no share of a peer here.
            self._server = await Door(s.max_connections, s.max_connections).open(self._runner, s.host, s.port)
        except OSError as e:
            where = f"{s.host}:{s.port}"
            raise InvalidSettings(
                f"cannot listen on {where}: {e.strerror}", fix="set api.port; 0 picks a free one"
            ) from e
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        runner, self._runner = self._runner, None
        if server is not None:
            server.close()
        if runner is not None:
            await runner.cleanup()
        self._questions.close()

    async def _livez(self, _: web.Request) -> web.Response:
        """For whoever restarts processes: 503 only where that would help."""
        vitals = self._vitals()
        return web.json_response({"live": vitals.live, **vitals.report()}, status=200 if vitals.live else 503)

    async def _healthz(self, _: web.Request) -> web.Response:
        """For whoever wants to know: 200 only while it does its share, and lacks nothing."""
        vitals = self._vitals()
        return web.json_response({"live": vitals.live, **vitals.report()}, status=200 if vitals.healthy else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        vitals = self._vitals()
        return web.json_response({"ready": vitals.ready, **vitals.report()}, status=200 if vitals.ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _status_page(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._status()), content_type="application/json")

    async def _services_page(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._services()), content_type="application/json")

    async def _anomaly_page(self, request: web.Request) -> web.Response:
        """One anomaly explained; it is read from the log, so few are asked for at once."""
        async with self._explaining:
            status, body = await self._explain(request.match_info["id"])
        return web.Response(body=body, status=status, content_type="application/json")

    async def _query(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != _JSON:  # what a page of any origin may send without asking is no question
            return web.json_response(
                {"error": "content_type", "message": f"content type {request.content_type}; expected {_JSON}"},
                status=415,
            )
        graph, question = self._graph(), await request.read()
        if graph is None:
            status, pieces = refuse(GraphUnavailable("the graph is not open", fix="ask again when /readyz says 200"))
        else:
            status, pieces = await self._questions.answer(graph, question)
        response = web.StreamResponse(status=status, headers={"Content-Type": f"{_JSON}; charset=utf-8"})
        if status in (429, 503):
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await response.write_eof()
        return response
