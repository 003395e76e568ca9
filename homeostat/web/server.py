"""Routes and their server. Everything here reads; the only thing a caller can change is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from contracts.errors import GraphUnavailable, InvalidSettings
from contracts.ports import GraphStore
from contracts.settings import ApiSettings
from graph.stores.remote import PATH, answer, refuse
from homeostat.health import Vitals


class ApiServer:
    """Serves /livez /healthz /readyz /metrics /status /services and POST /graph/query on `settings.host:port`.

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
    ) -> None:
        self._settings, self._registry, self._status = settings, registry, status
        self._vitals, self._graph, self._services = vitals, graph, services
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        """Listen; `address` is known afterwards.

        Raises:
            InvalidSettings: the address is taken or not allowed.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status_page),
                web.get("/services", self._services_page),
                web.post(PATH, self._query),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except OSError as e:
            where = f"{self._settings.host}:{self._settings.port}"
            raise InvalidSettings(
                f"cannot listen on {where}: {e.strerror}", fix="set api.port; 0 picks a free one"
            ) from e
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

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

    async def _query(self, request: web.Request) -> web.Response:
        graph, question = self._graph(), await request.read()
        if graph is None:
            status, body = refuse(GraphUnavailable("the graph is not open", fix="ask again when /readyz says 200"))
        else:
            status, body = await asyncio.to_thread(answer, graph, question)
        return web.Response(status=status, body=body, content_type="application/json")
