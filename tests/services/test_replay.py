"""Replaying a real Kafka: what a worker did, and what another did that took over from it after a kill, byte for byte."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from connectors.kafka.client import KafkaBroker
from contracts.events import Decision, Feedback
from contracts.settings import BrokerSettings
from contracts.topics import DECISIONS, OTLP_SPANS
from contracts.verdicts import DecisionVerdict, Outcome
from tests.scenarios.story import Story, listening, until
from tests.scenarios.test_replay_log import SETTINGS, STAGES, replay
from tests.scenarios.town import CALLS, Town
from tests.services.chaos.fleet import Fleet
from tests.services.servers.kafka import kafka
from tests.unit.streams.windows.support import Span, otlp

EDGE_S = 11
"""What was made this long ago is certainly within what is compared."""


class KafkaTown(Town):
    """Its Collector writes to Kafka."""

    def __init__(self, broker: KafkaBroker) -> None:
        super().__init__("")
        self._broker = broker

    async def _send(self, session: aiohttp.ClientSession, spans: list[Span]) -> None:
        if spans:
            await self._broker.send(OTLP_SPANS, otlp(spans))
            self.sent += len(spans)


@asynccontextmanager
async def living(url: str) -> AsyncIterator[KafkaTown]:
    """A town whose telemetry goes to Kafka."""
    broker = KafkaBroker(BrokerSettings(url=url))
    await broker.start()
    await broker.ensure_topics(4)
    town = KafkaTown(broker)
    life = asyncio.create_task(town.live(), name="town")
    try:
        yield town
        assert not life.done(), life.exception()
    finally:
        town.over = True
        await asyncio.gather(life, return_exceptions=True)
        await broker.stop()


@pytest.mark.timeout(600)
async def test_a_killed_worker_and_its_successor(tmp_path: Path) -> None:
    async with kafka(tmp_path / "kafka") as server:
        fleet = Fleet(tmp_path, server.url, SETTINGS)
        try:
            async with living(server.url) as town, listening(server.bootstrap) as story:
                first = await fleet.add()
                await fleet.ready()
                await _repaired(story, town, "stock", 0)
                await asyncio.sleep(EDGE_S)
                await _same(tmp_path, server.bootstrap, STAGES)

                await fleet.add()
                await fleet.ready()
                town.broken.add("catalog")
                await fleet.kill(first)
                await _decided(story, "catalog", len(story.events))
                await _same(tmp_path, server.bootstrap, ("decide",))
                await _from_the_last(tmp_path, server.bootstrap, story)
            await fleet.stop(fleet.members)
        finally:
            await fleet.end()
        assert not fleet.tracebacks()


async def _repaired(story: Story, town: KafkaTown, service: str, since: int) -> None:
    await until(lambda: len(story.states) == len(CALLS) and all(len(s) > 12 for s in story.states.values()), 90)
    town.broken.add(service)
    await _decided(story, service, since)
    town.broken.clear()
    assert (await story.want(Feedback)).outcome is Outcome.BETTER


async def _decided(story: Story, service: str, since: int) -> None:
    await story.want(Decision, lambda d: d.verdict is DecisionVerdict.ACT and d.cause_service == service, since)


async def _same(folder: Path, bootstrap: str, stages: tuple[str, ...]) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    for stage in stages:
        status, out, err = await replay(folder, bootstrap, "--stage", stage, "--until", now, "--compare")
        assert status == 0, f"{stage}: {out}{err[:3000]}"
        assert "the same as in the log, byte for byte" in out
        assert not out.startswith("0 events"), stage


async def _from_the_last(folder: Path, bootstrap: str, story: Story) -> None:
    """From an offset of the decisions on."""
    last, now = [r for r in story.records if r.topic == DECISIONS][-1], dt.datetime.now(dt.UTC).isoformat()
    place = f"{DECISIONS}/{last.partition}@{last.offset}"
    status, out, err = await replay(folder, bootstrap, "--from-offset", place, "--until", now, "--compare", "--json")
    assert status == 0, err
    assert last.value in out.encode().splitlines()
