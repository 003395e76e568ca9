"""One instance of a drill's service: `python -m homeostat.drills.drill_service NAME --system S --folder F --port P …`."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from opentelemetry import propagate
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from contracts.supervision import end, once
from homeostat.demo.shop.directory import Directory
from homeostat.drills.ailments import Ailments, LastingAilments
from homeostat.drills.instance_telemetry import InstanceTelemetry
from homeostat.drills.system_plan import ReleasePlan, RoutePlan, StepPlan
from homeostat.drills.systems import system_named

KEYS: Final = 150
"""Different things that are asked for through a cache."""
KEPT_S: Final = 90.0
_FRESH_S: Final = 0.5


class Unserved(Exception):
    """A request could not be served; the text is for the log and the span."""


class DrillService:
    """Serves the routes of its plan, and /healthz and /admin/ail."""

    def __init__(self, arguments: argparse.Namespace, directory: Directory) -> None:
        a = arguments
        self.name, self.system, self.directory = a.name, system_named(a.system), directory
        self.plan = self.system.services[a.name]
        self.release = self.plan.releases.get(a.version, ReleasePlan())
        self._random = random.Random(f"{a.name}/{a.instance}")
        self._workers = asyncio.Semaphore(self.plan.workers)
        self._pools = {callee: asyncio.Semaphore(n) for callee, n in self.plan.pools.items()}
        self.ailments = Ailments(self._pools, self._random)
        self._lasting = LastingAilments(Path(a.folder) / "lasting.json")
        self._kept: dict[str, float] = {}
        self._messages: deque[tuple[float, dict[str, str]]] = deque()
        identity = {
            "service.namespace": self.system.namespace,
            "service.name": a.name,
            "service.version": a.version,
            "service.instance.id": a.instance,
        }
        backlog = (lambda: len(self._messages)) if self.plan.role == "queue" else None
        self.telemetry = InstanceTelemetry(self.plan.telling, identity, backlog)

    def routes(self) -> list[web.RouteDef]:
        """What it serves."""
        found = [web.get(path, self._handler(path, route)) for path, route in self.plan.routes.items()]
        found += [web.get("/healthz", self._healthz), web.post("/admin/ail", self._ail)]
        if self.plan.role == "cache":
            found += [web.get("/get", self._cached), web.get("/set", self._keep), web.get("/flush", self._flush)]
        if self.plan.role == "queue":
            found += [web.get("/publish", self._publish), web.get("/take", self._take), web.get("/age", self._age)]
        return found

    def _handler(self, path: str, route: RoutePlan) -> Any:
        async def handle(request: web.Request) -> web.Response:
            began = time.monotonic()
            context = propagate.extract(request.headers)
            status, why = 200, ""
            with self.telemetry.tracer.start_as_current_span(f"GET {path}", context, SpanKind.SERVER) as span:
                try:
                    await self._serve(route, request.headers)
                except Unserved as e:
                    status, why = 500, str(e)
                    span.set_status(Status(StatusCode.ERROR, why))
                span.set_attributes(self.telemetry.server(path, status))
                self.telemetry.served(path, status, time.monotonic() - began)
                self.telemetry.say(f"GET {path} failed: {why}" if why else f"served GET {path}", failed=bool(why))
            return web.json_response({"error": why} if why else {"service": self.name}, status=status)

        return handle

    async def _serve(self, route: RoutePlan, headers: Any) -> None:
        lasting = self._lasting.of(self.name)
        await self._work(route.work_s, sum(a.delay_s for a in lasting))
        if self.ailments.fails(self.release.error_rate, *(a.error_rate for a in lasting)):
            raise Unserved("unexpected null in a table of prices")
        for group in route.groups:
            outcomes = await asyncio.gather(*(self._step(s, headers) for s in group), return_exceptions=True)
            for step, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, BaseException) and (step.needed or not isinstance(outcome, Unserved)):
                    raise outcome

    async def _work(self, work_s: float, lasting_s: float) -> None:
        async with self._workers:
            if self.ailments.lock_s:
                async with self.ailments.lock:
                    await asyncio.sleep(self.ailments.lock_s)
            slowness = self.ailments.slowness_s() + self.release.extra_s + lasting_s
            await asyncio.sleep((work_s + slowness) * self._random.uniform(0.8, 1.2))

    async def _step(self, step: StepPlan, headers: Any) -> None:
        key = f"{step.path}/{self._random.randrange(KEYS)}"
        if step.cache and await self._in_cache(step.cache, key):
            return
        for attempt in range(step.retries + 1):
            try:
                await self._call(step, headers)
                break
            except Unserved:
                if attempt == step.retries:
                    raise
        if step.cache:
            await self._ask_cache(step.cache, f"/set?key={key}")

    async def _in_cache(self, cache: str, key: str) -> bool:
        return await self._ask_cache(cache, f"/get?key={key}") == 200

    async def _ask_cache(self, cache: str, path: str) -> int:
        """A cache that does not answer is no reason to fail."""
        try:
            return await self._request(StepPlan(cache, path, 0.3), {}, ok=(200, 404))
        except Unserved:
            return 0

    async def _call(self, step: StepPlan, headers: Any) -> None:
        pool = self._pools.get(step.service)
        if pool is None:
            await self._request(step, headers)
            return
        try:
            async with asyncio.timeout(1.0), pool:
                await self._request(step, headers)
        except TimeoutError as e:
            raise Unserved(f"no free connection to {step.service}") from e

    async def _request(self, step: StepPlan, incoming: Any, ok: tuple[int, ...] = (200,)) -> int:
        callee = self.system.services[step.service]
        host, path, began = callee.host or step.service, step.path.partition("?")[0], time.monotonic()
        kind = SpanKind.PRODUCER if callee.role == "queue" else SpanKind.CLIENT
        name = f"publish {step.service}" if callee.role == "queue" else f"GET {path}"
        with self.telemetry.tracer.start_as_current_span(name, None, kind) as span:
            span.set_attributes(self._attributes(step, host, path))
            headers = _passed_on(incoming) if not self.plan.telling.spans else {}
            propagate.inject(headers)
            status, why = 0, ""
            try:
                status = await self._over_link(step, headers)
            except (aiohttp.ClientError, TimeoutError) as e:
                why = f"{host} does not answer: {type(e).__name__}{f': {e}' if str(e) else ''}"
            self.telemetry.called(host, path, status, time.monotonic() - began)
            if kind is SpanKind.CLIENT and not callee.store and status:
                span.set_attributes(self.telemetry.status(status))
            if not why and status not in ok:
                why = f"{host} answered {status}"
            if why:
                _failed(span, why)
                raise Unserved(why)
        return status

    def _attributes(self, step: StepPlan, host: str, path: str) -> dict[str, str | int]:
        callee = self.system.services[step.service]
        if callee.role == "queue":
            return {"messaging.system": "rabbitmq", "messaging.destination.name": step.service}
        return self.telemetry.client(host, path, callee.store)

    async def _over_link(self, step: StepPlan, headers: dict[str, str]) -> int:
        until = time.monotonic() + step.timeout_s
        for a in self._lasting.of(self.name, step.service):
            await asyncio.sleep(min(a.delay_s, step.timeout_s))
            if a.text:
                raise aiohttp.ClientConnectionError(a.text)
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return await self.directory.get(step.service, step.path, headers, left)

    # --- cache

    async def _cached(self, request: web.Request) -> web.Response:
        found = self._kept.get(request.query["key"], 0.0) > time.monotonic()
        return web.Response(status=200 if found else 404)

    async def _keep(self, request: web.Request) -> web.Response:
        self._kept[request.query["key"]] = time.monotonic() + KEPT_S * self._random.uniform(0.5, 1.5)
        return web.Response()

    async def _flush(self, _: web.Request) -> web.Response:
        self._kept.clear()
        return web.Response()

    # --- queue and worker

    async def _publish(self, request: web.Request) -> web.Response:
        self._messages.append((time.monotonic(), _passed_on(request.headers)))
        return web.Response()

    async def _take(self, _: web.Request) -> web.Response:
        if not self._messages:
            return web.Response(status=204)
        return web.json_response(self._messages.popleft()[1])

    async def _age(self, _: web.Request) -> web.Response:
        """How long the oldest message has waited (seconds), and how many wait."""
        oldest = time.monotonic() - self._messages[0][0] if self._messages else 0.0
        return web.json_response({"age_s": oldest, "waiting": len(self._messages)})

    async def consume(self) -> None:
        """Take messages for ever."""
        assert self.plan.consumes is not None
        queue, step = self.plan.consumes
        while True:
            message = None if self.ailments.stalled else await self._next(queue)
            if message is None:
                await asyncio.sleep(0.1)
                continue
            context = propagate.extract(message)
            with self.telemetry.tracer.start_as_current_span(f"process {queue}", context, SpanKind.CONSUMER) as span:
                span.set_attributes({"messaging.system": "rabbitmq", "messaging.destination.name": queue})
                try:
                    await self._work(0.004, 0.0)
                    await self._step(step, {})
                    self.telemetry.say("confirmation sent", failed=False)
                except Unserved as e:
                    _failed(span, str(e))
                    self.telemetry.say(f"confirmation not sent: {e}", failed=True)

    async def _next(self, queue: str) -> dict[str, str] | None:
        try:
            status, body = await self.directory.fetch(queue, "/take", {}, 1.0)
        except (aiohttp.ClientError, TimeoutError):
            return None
        return dict(await asyncio.to_thread(_message, body)) if status == 200 else None

    # --- how it is

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    async def _ail(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            await self.ailments.begin(body["kind"], float(body.get("size", 0)), body.get("callee", ""))
        except KeyError as e:
            raise web.HTTPBadRequest(text=f"nothing like {e} can befall {self.name}") from e
        return web.json_response(self.ailments.document())


def _message(body: bytes) -> dict[str, str]:
    import json

    return dict(json.loads(body))


def _failed(span: Span, why: str) -> None:
    span.set_attribute("error.type", why.rpartition(": ")[2][:40])
    span.set_status(Status(StatusCode.ERROR, why))


def _passed_on(headers: Any) -> dict[str, str]:
    return {k: headers[k] for k in ("traceparent", "tracestate") if k in headers}


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM; then finish what is under way and flush telemetry."""
    directory = Directory(arguments.manager, _FRESH_S)
    service = DrillService(arguments, directory)
    app = web.Application(handler_args={"handler_cancellation": True})
    app.add_routes(service.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port, backlog=512).start()
    consuming = once("consuming", service.consume()) if service.plan.role == "consume" else None
    stopped = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stopped.set)
    await stopped.wait()
    if consuming is not None:
        await end(consuming)
    await runner.cleanup()
    await directory.close()
    await asyncio.to_thread(service.telemetry.close)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--system", required=True, help="a system's name, or name/seed of a variation")
    parser.add_argument("--folder", required=True, help="where what lasts is kept")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--manager", required=True, help="address of the process manager, which knows who is where")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
