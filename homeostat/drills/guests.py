"""Guests of a system: an open-loop load on its entrances, measured where it hurts, and whether messages are done in time."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import msgspec

from contracts.supervision import Supervised, end, once
from homeostat.demo.load import RouteSecond, Second
from homeostat.demo.shop.directory import Directory
from homeostat.drills.system_plan import STALE_S, SystemDesign


class QueueAge(msgspec.Struct, frozen=True):
    """What a queue says: how long its oldest message waits, and how many do."""

    age_s: float
    waiting: int


@dataclass
class _Answers:
    failed: int = 0
    durations: list[float] = field(default_factory=list)

    def close(self) -> RouteSecond:
        ordered = sorted(self.durations)
        return RouteSecond(len(ordered), self.failed, ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0)


class Guests:
    """Ask at their rates with a little jitter, whether or not earlier requests came back; one `Second` a second."""

    def __init__(self, system: SystemDesign, manager: str, seed: int = 11) -> None:
        self.seconds: list[Second] = []
        self._system, self._directory = system, Directory(manager, 0.5)
        self._rates = {name: entry.rate for name, entry in system.entries.items()}
        self._random = random.Random(seed)
        self._answers: dict[str, _Answers] = defaultdict(_Answers)
        self._late: dict[str, bool] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._coming: list[Supervised] = []

    def start(self) -> None:
        """Begin to ask, and to count."""
        self._coming = [Supervised("guests", partial(self._keep_asking, n), detail=n).start() for n in self._rates]
        self._coming += [Supervised("messages", partial(self._watch, q), detail=q).start() for q in self._system.queues]
        self._coming.append(Supervised("guest-seconds", self._count).start())

    async def stop(self) -> None:
        """Ask no more."""
        await asyncio.gather(*(s.stop() for s in self._coming))
        await end(*self._under_way)
        await self._directory.close()

    def demand(self, entry: str, factor: float) -> None:
        """Ask `factor` times as often as usual."""
        self._rates[entry] = self._system.entries[entry].rate * factor

    async def _count(self) -> None:
        while True:
            began = time.time()
            await asyncio.sleep(1 - began % 1)
            answers, self._answers = self._answers, defaultdict(_Answers)
            routes = {name: a.close() for name, a in sorted(answers.items())}
            routes |= {f"messages of {q}": RouteSecond(1, int(late), 0.0) for q, late in self._late.items()}
            self.seconds.append(Second(began, routes))

    async def _watch(self, queue: str) -> None:
        while True:
            try:
                status, body = await self._directory.fetch(queue, "/age", {}, 1.0)
                self._late[queue] = status != 200 or msgspec.json.decode(body, type=QueueAge).age_s > STALE_S
            except (aiohttp.ClientError, TimeoutError):
                self._late[queue] = True
            await asyncio.sleep(0.5)

    async def _keep_asking(self, name: str) -> None:
        due = time.monotonic()
        while True:
            due = max(due + self._random.uniform(0.7, 1.3) / self._rates[name], time.monotonic() - 0.5)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = once("guest", self._ask(name))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _ask(self, name: str) -> None:
        entry, began = self._system.entries[name], time.monotonic()
        try:
            ok = await self._directory.get(entry.service, entry.path, {}, entry.patience_s) < 500
        except (aiohttp.ClientError, TimeoutError):
            ok = False
        answers = self._answers[name]
        answers.failed += not ok
        answers.durations.append(time.monotonic() - began)
