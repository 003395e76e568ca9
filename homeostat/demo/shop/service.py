"""One shop service: `python -m homeostat.demo.shop.service NAME --port P --version V --instance I --manager URL`."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import time
from typing import Any

import aiohttp
from aiohttp import web
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from homeostat.demo.shop.blueprint import NAMESPACE, SHOP, Route
from homeostat.demo.shop.directory import Directory
from homeostat.demo.shop.telemetry import Usage, setup

CALL_TIMEOUT_S = 1.0


class Failure(Exception):
    """The request could not be served; the text is for the log and the span."""


class ShopService:
    """Serves the routes of its blueprint, and /healthz and /admin/fault."""

    def __init__(self, name: str, version: str, instance: str, directory: Directory) -> None:
        self.name, self.version, self.directory = name, version, directory
        self.blueprint = SHOP[name]
        self.usage = Usage(self.blueprint.workers)
        self.tracer = trace.get_tracer("homeostat.demo.shop")
        self._workers = asyncio.Semaphore(self.blueprint.workers)
        self._random = random.Random(f"{name}/{instance}")
        self._error_rate = self.blueprint.error_rate.get(version, 0.0)
        self._leaking_since: float | None = None
        self._out = False

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        found = [web.get(path, self._handler(path, route)) for path, route in self.blueprint.routes.items()]
        return [*found, web.get("/healthz", self._healthz), web.post("/admin/fault", self._fault)]

    def _handler(self, path: str, route: Route) -> Any:
        async def handle(request: web.Request) -> web.Response:
            context = propagate.extract(request.headers)
            attributes = {"http.request.method": "GET", "http.route": path, "url.path": path}
            with self.tracer.start_as_current_span(f"GET {path}", context, SpanKind.SERVER, attributes) as span:
                try:
                    await self._serve(route)
                except Failure as e:
                    span.set_attribute("http.response.status_code", 500)
                    span.set_status(Status(StatusCode.ERROR, str(e)))
                    return web.json_response({"error": str(e)}, status=500)
                span.set_attribute("http.response.status_code", 200)
                return web.json_response({"service": self.name, "version": self.version})

        return handle

    async def _serve(self, route: Route) -> None:
        if self._out:
            raise Failure(f"{self.name} is out of service")
        async with self._workers:
            seconds = route.work_s * self._random.uniform(0.8, 1.2) + self._leaked_s()
            await asyncio.sleep(seconds)
            self.usage.worked(seconds)
        if self._random.random() < self._error_rate:
            raise Failure(f"{self.name} {self.version}: unexpected null in price table")
        for service, path in route.calls:
            await self._call(service, path)

    async def _call(self, service: str, path: str) -> None:
        attributes = {"http.request.method": "GET", "server.address": service, "peer.service": _logical(service)}
        with self.tracer.start_as_current_span(f"GET {path}", None, SpanKind.CLIENT, attributes) as span:
            headers: dict[str, str] = {}
            propagate.inject(headers)
            try:
                status = await self.directory.get(service, path, headers, CALL_TIMEOUT_S)
            except (aiohttp.ClientError, TimeoutError) as e:
                span.set_status(Status(StatusCode.ERROR, type(e).__name__))
                raise Failure(f"{service} does not answer: {type(e).__name__}") from e
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
                raise Failure(f"{service} answered {status}")

    def _leaked_s(self) -> float:
        """A leak makes every request slower, the longer it lasts, and memory fuller."""
        if self._leaking_since is None:
            return 0.0
        age = time.monotonic() - self._leaking_since
        self.usage.memory = min(0.99, 0.31 + 0.09 * age)
        return min(0.6, 0.05 * age)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _fault(self, request: web.Request) -> web.Response:
        kind = (await request.json())["kind"]
        if kind == "leak":
            self._leaking_since = time.monotonic()
        elif kind in ("outage", "recover"):
            self._out = kind == "outage"
        elif kind == "hang":  # frozen by the kernel: it keeps its connections and answers nothing, like a deadlock
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGSTOP)
        else:
            raise web.HTTPBadRequest(text=f"unknown fault {kind!r}; valid: hang, leak, outage, recover")
        return web.json_response({"fault": kind})


def _logical(service: str) -> str:
    """The name by which telemetry knows a callee."""
    return f"{NAMESPACE}/{service}" if SHOP[service].instrumented else service


async def serve(name: str, port: int, version: str, instance: str, manager: str) -> None:
    """Serve until SIGTERM; then finish what is under way and flush telemetry."""
    directory = Directory(manager)
    service = ShopService(name, version, instance, directory)
    end = setup(name, version, instance, service.usage) if SHOP[name].instrumented else lambda: None
    service.tracer = trace.get_tracer("homeostat.demo.shop")
    app = web.Application(handler_args={"handler_cancellation": True})
    app.add_routes(service.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=512).start()
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    await stopped.wait()
    await runner.cleanup()
    await directory.close()
    await asyncio.to_thread(end)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(SHOP))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--manager", required=True, help="address of the process manager, which knows who is where")
    a = parser.parse_args()
    asyncio.run(serve(a.name, a.port, a.version, a.instance, a.manager))


if __name__ == "__main__":
    main()
