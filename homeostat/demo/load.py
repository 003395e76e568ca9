"""Customers: an open-loop load on the front end, measured where it hurts, by its own clients.

A process of its own: `python -m homeostat.demo.load --manager URL`. One JSON line a second on standard output:
{"at": epoch seconds, "routes": {"/browse": {"sent": n, "failed": n, "p95_s": x}}}. On standard input: `rate /browse 60`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import msgspec

from contracts.supervision import Supervised, end, once
from homeostat.demo.shop.blueprint import LOAD
from homeostat.demo.shop.directory import Directory

PATIENCE_S = 1.5


class RouteSecond(msgspec.Struct, frozen=True):
    """What customers of one route saw in one second."""

    sent: int
    failed: int
    p95_s: float


class Second(msgspec.Struct, frozen=True):
    """What customers saw in one second; `at` is its start."""

    at: float
    routes: dict[str, RouteSecond]


@dataclass
class _RouteCounts:
    sent: int = 0
    failed: int = 0
    durations: list[float] = field(default_factory=list)

    def close(self) -> RouteSecond:
        """The second's figures."""
        ordered = sorted(self.durations)
        return RouteSecond(self.sent, self.failed, ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0)


class Customers:
    """Requests at fixed rates with a little jitter, whether or not earlier ones came back."""

    def __init__(self, manager: str, seed: int = 7) -> None:
        self.rates = dict(LOAD)
        self._directory = Directory(manager)
        self._random = random.Random(seed)
        self._counts: dict[str, _RouteCounts] = defaultdict(_RouteCounts)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Shop for ever; report every second."""
        shoppers = [
            Supervised("shopper", partial(self._keep_asking, route), detail=route).start() for route in self.rates
        ]
        try:
            while True:
                began = time.time()
                await asyncio.sleep(1 - began % 1)
                counts, self._counts = self._counts, defaultdict(_RouteCounts)
                second = Second(began, {r: t.close() for r, t in sorted(counts.items())})
                sys.stdout.write(msgspec.json.encode(second).decode() + "\n")
                sys.stdout.flush()
        finally:
            await asyncio.gather(*(s.stop() for s in shoppers))
            await end(*self._under_way)
            await self._directory.close()

    async def obey(self, line: str) -> None:
        """`rate ROUTE PER_SECOND`."""
        match line.split():
            case ["rate", route, per_second] if route in self.rates:
                self.rates[route] = float(per_second)

    async def _keep_asking(self, route: str) -> None:
        due = time.monotonic()
        while True:
            due = max(due + self._random.uniform(0.8, 1.2) / self.rates[route], time.monotonic() - 0.5)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = once("customer", self._ask(route))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _ask(self, route: str) -> None:
        began = time.monotonic()
        try:
            ok = await self._directory.get("frontend", route, {}, PATIENCE_S) < 500
        except (aiohttp.ClientError, TimeoutError):
            ok = False
        counts = self._counts[route]
        counts.sent += 1
        counts.failed += not ok
        counts.durations.append(time.monotonic() - began)


async def _main(manager: str) -> None:
    customers = Customers(manager)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    shopping = once("customers", customers.run())
    while line := await reader.readline():
        await customers.obey(line.decode())
    await end(shopping)  # whoever started this has gone


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manager", required=True)
    asyncio.run(_main(parser.parse_args().manager))
