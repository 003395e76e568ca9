"""A small town of services in real time: a gateway that asks orders and catalog, orders that asks stock. Telemetry only."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from contracts.units import SECOND
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, Span, otlp

CALLS = {"gateway": ("orders", "catalog"), "orders": ("stock",), "stock": (), "catalog": ()}
REQUESTS_PER_S = 40
BATCH_S = 0.25
PARTITIONS = 2
"""Half of the usual: each is looked after in every stage, so they are most of what a minute costs."""
FLUSH_MS = 300
"""A town is watched for a minute of real time: a third of the usual flushes tells the same story."""


class Town:
    """Sends the spans of its requests, one every 25 ms, over OTLP/HTTP as they end. Services in `broken` fail two requests of three, and
    so do their callers."""

    def __init__(self, endpoint: str, seed: int = 11) -> None:
        self.broken: set[str] = set()
        self.sent, self.over = 0, False
        self._endpoint, self._rng = endpoint, random.Random(seed)

    async def live(self) -> None:
        """Go on until it is over; what was begun is sent and counted."""
        async with aiohttp.ClientSession() as session:
            done = time.time_ns()
            while not self.over:
                await asyncio.sleep(BATCH_S)
                spans: list[Span] = []
                for end in range(done, time.time_ns(), SECOND // REQUESTS_PER_S):
                    self._serve("gateway", self._id(), 0, end, spans)
                    done = end + SECOND // REQUESTS_PER_S
                await self._send(session, spans)

    async def _send(self, session: aiohttp.ClientSession, spans: list[Span]) -> None:
        headers = {"Content-Type": "application/x-protobuf"}
        async with session.post(f"{self._endpoint}/v1/traces", data=otlp(spans), headers=headers) as response:
            assert response.status == 200, await response.text()
            self.sent += len(spans)

    def _serve(self, service: str, trace: int, parent: int, end: int, spans: list[Span]) -> bool:
        """Serve one request that ends at `end`; whether it failed."""
        me, took = self._id(), int(self._rng.lognormvariate(0.0, 0.3) * 4 * MS)
        failed = service in self.broken and self._rng.random() < 0.67
        start = end
        for callee in CALLS[service]:
            call, closing = self._id(), start - MS
            before = len(spans)
            bad = self._serve(callee, trace, call, closing - MS, spans)
            opening = min(s.start for s in spans[before:]) - MS
            spans.append(Span(service, trace, call, me, CLIENT, opening, closing, bad))
            failed, start = failed or bad, opening
        spans.append(Span(service, trace, me, parent, SERVER, start - took, end, failed))
        return failed

    def _id(self) -> int:
        return self._rng.getrandbits(63) | 1


@asynccontextmanager
async def town(endpoint: str, *broken: str) -> AsyncIterator[Town]:
    """A town that lives while the block runs, and whose telemetry was taken."""
    found = Town(endpoint)
    found.broken.update(broken)
    living = asyncio.create_task(found.live(), name="town")
    try:
        yield found
        assert not living.done(), living.exception()
    finally:
        found.over = True
        await living
