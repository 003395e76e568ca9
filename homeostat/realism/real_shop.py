"""The demo's shop as it is: local processes, their customers, and one listener for all they send, for a few minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import aiohttp
from aiohttp import web

from contracts.errors import HomeostatError
from contracts.ports import SystemClock
from contracts.units import SECOND
from homeostat.demo.play import until
from homeostat.demo.shop.blueprint import BAD, GOOD
from homeostat.demo.shop.shop import Shop
from homeostat.realism.course import (
    AFTER_S,
    FAILING_S,
    LEAK_MOST_S,
    LEAK_S,
    LOAD_S,
    LOADS,
    PAUSE_S,
    RESTARTS,
    SHARE_FAILING,
    WARM_S,
    ShopCourse,
    Stretch,
    by_second,
)
from homeostat.realism.reading_otlp import senders_of, spans_of

_LATE_S: Final = 1.5
"""What is sent last comes so much later at most."""
_PATIENCE_S: Final = 120.0
_ROUTE: Final = "/browse"

Say = Callable[[str], None]


class SpanListener:
    """Takes OTLP over HTTP and notes when each message came; it is read afterwards, so as to disturb nobody."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int, bytes]] = []
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.post(f"/v1/{what}", self._take) for what in ("traces", "metrics")])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.messages.append((request.path.rpartition("/")[2], SystemClock().now_ns(), body))
        return web.Response(content_type="application/x-protobuf")


async def measured(folder: Path, say: Say) -> ShopCourse:
    """Run the shop, do to it what is done, and give what was seen. Minutes of real time."""
    async with SpanListener() as listener:
        async with Shop(listener.address, folder) as shop:
            course = await _Run(shop, say).run()
            await asyncio.sleep(_LATE_S)
        _read(course, listener)
    return course.whole


class _Run:
    """One run, by the wall clock; `zero_ns` is its beginning."""

    def __init__(self, shop: Shop, say: Say) -> None:
        self._shop, self._say = shop, say
        self.zero_ns, self.whole = 0, ShopCourse("real")

    async def run(self) -> _Run:
        await self._until_served()
        self.zero_ns = SystemClock().now_ns()
        self._say(f"real     the shop is open; {WARM_S} s to warm up")
        await asyncio.sleep(WARM_S)
        for factor in LOADS:
            self._say(f"real     {factor:g} times the usual customers who browse, {LOAD_S} s")
            await self._shop.demand(_ROUTE, factor)
            await self._stretch("load", factor, LOAD_S)
        await self._shop.demand(_ROUTE, 1.0)
        await asyncio.sleep(PAUSE_S)
        self._say(f"real     cart's bad release, {FAILING_S} s")
        await self._shop.deploy("cart", BAD)
        await self._stretch("failing", SHARE_FAILING, FAILING_S)
        await self._shop.deploy("cart", GOOD)
        await asyncio.sleep(PAUSE_S)
        self._say(f"real     pricing leaks for {LEAK_S} s, and is started anew; so it is {RESTARTS} times more")
        await self._shop.fault("pricing", "leak")
        await self._stretch("leak", LEAK_MOST_S, LEAK_S)
        for number in range(1 + RESTARTS):
            await self._restart(number)
        return self

    async def _until_served(self) -> None:
        if not await until(lambda: any(s.routes for s in self._shop.seconds), _PATIENCE_S):
            raise HomeostatError(f"the shop serves nobody after {_PATIENCE_S:.0f} s", fix="leave it a processor")

    def _now_s(self) -> float:
        return (SystemClock().now_ns() - self.zero_ns) / SECOND

    async def _stretch(self, what: str, level: float, lasts_s: float) -> None:
        begin = self._now_s()
        await asyncio.sleep(lasts_s)
        self.whole.stretches.append(Stretch(what, level, begin, self._now_s()))

    async def _restart(self, number: int) -> None:
        """One that is replaced at once: it ends before its successor serves."""
        begin = self._now_s()
        url = f"{self._shop.manager.url}/services/pricing/restart"
        order = {"strategy": "instance", "key": f"realism-{number}"}
        async with aiohttp.ClientSession() as session, session.post(url, json=order) as reply:
            reply.raise_for_status()
        self.whole.start_s.append(self._now_s() - begin)
        await asyncio.sleep(max(0.0, begin + AFTER_S - self._now_s()))
        self.whole.stretches.append(Stretch("restart", 0.0, begin, self._now_s()))


def _read(run: _Run, listener: SpanListener) -> None:
    course, zero_ns = run.whole, run.zero_ns
    for what, arrived_ns, body in listener.messages:
        arrived_s = (arrived_ns - zero_ns) / SECOND
        if what == "traces":
            course.spans += spans_of(body, zero_ns, arrived_s)
        else:
            for name in senders_of(body):
                course.metrics_s.setdefault(name, []).append(arrived_s)
    course.seconds = by_second(course.spans)
