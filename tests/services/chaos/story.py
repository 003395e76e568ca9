"""Cycles of trouble over a fleet of workers on a real Kafka, and the account of what was lost or done twice."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from connectors.kafka.client import KafkaBroker
from contracts.settings import BrokerSettings
from tests.services.chaos.accounts import Deeds, Difference, counted, dead_letters, deeds, differences, wrongs
from tests.services.chaos.decisions import ENVIRONMENTS, Decisions
from tests.services.chaos.fleet import Fleet, command_settings, effects_of
from tests.services.chaos.traffic import Traffic
from tests.services.chaos.watch import FeatureWatch
from tests.services.servers.kafka import KafkaServer

PARTITIONS, MOST = 4, 3
SESSION_S = 3.0
CATCH_UP_S, PATIENCE_S = 180.0, 240.0


@dataclass
class Report:
    """What the cycles did, and what came of it."""

    events: Counter[str] = field(default_factory=Counter)
    away_s: list[tuple[str, float]] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    """What workers took from their start until they were ready, each time: how fast this machine is meanwhile."""
    sent: int = 0
    differing: list[Difference] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    deeds: Deeds | None = None
    effects: int = 0
    decisions: int = 0
    tracebacks: dict[str, str] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return sum(max(0, d.sent - d.counted) for d in self.differing)

    @property
    def doubled(self) -> int:
        return sum(max(0, d.counted - d.sent) for d in self.differing)

    def lines(self) -> list[str]:
        """For people."""
        slowest = max(self.away_s, key=lambda x: x[1], default=("", 0.0))
        ends = Counter(self.deeds.ended.values()) if self.deeds else Counter()
        return [
            f"cycles           {sum(self.events.values())}: {dict(self.events)}",
            f"features away    slowest {slowest[1]:.1f} s ({slowest[0]}), median {_median([s for _, s in self.away_s]):.1f} s",
            f"requests         {self.sent} sent, {self.lost} lost, {self.doubled} doubled, {len(self.dead)} dead letters",
            f"decisions        {self.decisions}, effects {self.effects}, runs ended {dict(ends)}",
            f"wrong            {len(self.wrong)}: {self.wrong[:5]}",
        ]


class Story:
    """`await Story(server, folder).play(cycles)`."""

    def __init__(
        self, server: KafkaServer, folder: Path, seed: int = 7, say: Callable[[str], object] = sys.stderr.write
    ) -> None:
        self.server, self.folder, self._rng, self._say = server, folder, random.Random(seed), say
        self.report = Report()
        settings: dict[str, object] = {
            "environment": "prod",
            "broker": {"group": f"chaos-{folder.name}", "session_timeout_s": SESSION_S},
            "detect": {"detectors": ["bank"]},
            "receivers": {"enabled": False},
            "api": {"port": 0},
            "act": {
                **command_settings(folder, (f"env-{n}" for n in range(ENVIRONMENTS))),
                "max_concurrent": 100,
                "foreign_decisions": True,
            },
        }
        self.fleet = Fleet(folder, server.url, settings)
        self.broker = KafkaBroker(BrokerSettings(url=server.url))

    async def play(self, cycles: int, traces_per_s: int = 80) -> Report:
        """All of it."""
        await self.broker.start()
        await self.broker.ensure_topics(PARTITIONS)
        traffic = Traffic(self.server.bootstrap, PARTITIONS, traces_per_s=traces_per_s)
        decisions = Decisions(self.server.bootstrap, PARTITIONS, 0.5)
        watch = FeatureWatch(self.broker)
        try:
            await self._start(2)
            traffic.start()
            watch.start()
            await watch.resumed(time.time_ns(), PATIENCE_S)
            decisions.start()
            await self._cycles(cycles, watch)
            await decisions.stop()
            await traffic.stop()
            await self._account(traffic, decisions)
            await self.fleet.stop(list(self.fleet.members))
            await self._account(traffic, decisions, patience_s=0.0)
        finally:
            await asyncio.gather(traffic.stop(), decisions.stop(), watch.stop(), return_exceptions=True)
            await self.fleet.end()
            await self.broker.stop()
        return self.report

    async def _cycles(self, cycles: int, watch: FeatureWatch) -> None:
        for number in range(1, cycles + 1):
            event = self._choose(number)
            await getattr(self, f"_{event}")()
            since = time.time_ns()
            away = await watch.resumed(since, PATIENCE_S)
            self.report.events[event] += 1
            self.report.away_s.append((event, away))
            names = " ".join(m.name for m in self.fleet.members)
            self._say(
                f"{number:4} {time.strftime('%H:%M:%S', time.gmtime(since // 10**9))} {event:8} features after {away:4.1f} s   {names}\n"
            )
            await asyncio.sleep(self._rng.uniform(0.0, 2.0))

    def _choose(self, number: int) -> str:
        """Every event comes regularly, in an order that varies; never without a worker, never more than `MOST`."""
        if number % 7 == 0:
            return "kafka"
        if number % 6 == 0:
            return "restart"
        if len(self.fleet.members) < 2:
            return "add"
        if len(self.fleet.members) == MOST:
            return "kill"
        return self._rng.choice(("kill", "add"))

    async def _kill(self) -> None:
        await self.fleet.kill(self._rng.choice(self.fleet.members))

    async def _start(self, count: int) -> None:
        began = time.monotonic()
        await self.fleet.ready([await self.fleet.add() for _ in range(count)])
        self.report.starts_s.append(time.monotonic() - began)

    async def _add(self) -> None:
        await self._start(1)

    async def _restart(self) -> None:
        count = len(self.fleet.members)
        await self.fleet.stop(list(self.fleet.members))
        await self._start(count)

    async def _kafka(self) -> None:
        await self.server.kill()
        await asyncio.sleep(self._rng.uniform(0.0, 2.0))
        await self.server.start()

    async def _account(self, traffic: Traffic, decisions: Decisions, patience_s: float = CATCH_UP_S) -> None:
        """Wait until all is accounted for, or for `patience_s`, then say what is not."""
        report, until = self.report, time.monotonic() + patience_s
        while True:
            report.sent = sum(traffic.book.values())
            report.differing = differences(traffic.book, await counted(self.broker))
            report.dead = [f"{d.source_topic}: {d.reason}" for d in await dead_letters(self.broker)]
            report.deeds, effects = await deeds(self.broker), effects_of(self.folder)
            report.effects, report.decisions = len(effects), len(decisions.made)
            report.wrong = wrongs(decisions.made, effects, report.deeds)
            if not (report.differing or report.wrong) or time.monotonic() > until:
                break
            await asyncio.sleep(1.0)
        report.tracebacks = self.fleet.tracebacks()


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
