"""Sinks and sources on a real Kafka: in order, each at least once, through restarts, shared partitions and a broker that is killed."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from connectors.kafka.client import KafkaBroker
from contracts.checks.sink import published
from contracts.settings import BrokerSettings, Settings, load
from contracts.topics import ACTIONS, DECISIONS, INCIDENTS, RAW
from homeostat.exchange import Sinks, Sources
from tests.patience import PATIENCE_S
from tests.services.servers.kafka import KafkaServer

PARTITIONS = 4
TOPICS = (INCIDENTS, DECISIONS, ACTIONS)


@pytest.fixture
async def broker(kafka_server: KafkaServer) -> AsyncIterator[KafkaBroker]:
    found = KafkaBroker(BrokerSettings(url=kafka_server.url))
    await found.start()
    await found.ensure_topics(PARTITIONS)
    yield found
    await found.stop()


class Shelf:
    """Sinks of one group that append to a file, and what was published for them."""

    def __init__(self, broker: KafkaBroker, url: str, folder: Path) -> None:
        self.broker, self.mark = broker, uuid.uuid4().hex[:8]
        self.file, self.sent = folder / "events.jsonl", list[str]()
        self._options = {
            "broker": {"url": url, "group": f"sinks-{self.mark}"},
            "sinks": {"use": ["file"], "file": str(self.file), "from_beginning": True, "batch": 7},
        }

    def open(self) -> Sinks:
        sinks = Sinks(load(self._options), self.broker)
        sinks.start()
        return sinks

    async def publish(self, count: int) -> None:
        """Events of all three topics, in turn over the partitions."""
        for n in range(len(self.sent), len(self.sent) + count):
            event = published(n, TOPICS[n % 3], self.mark)
            key = f"{self.mark}-{n}"
            await self.broker.send(event.topic, event.value, key=key.encode(), partition=n // 3 % PARTITIONS)
            self.sent.append(key)

    def got(self) -> list[str]:
        """What the file has of this test, in order."""
        if not self.file.exists():
            return []
        keys = [json.loads(line)["key"] for line in self.file.read_text().splitlines()]
        return [key for key in keys if key.startswith(self.mark)]

    def in_order(self) -> bool:
        """Within each partition of each topic: new ones in the order in which they were published, whatever came again."""
        first = list(dict.fromkeys(self.got()))
        numbers = [int(key.rpartition("-")[2]) for key in first]
        lanes = [
            [n for n in numbers if (n % 3, n // 3 % PARTITIONS) == lane]
            for lane in {(n % 3, n // 3 % PARTITIONS) for n in numbers}
        ]
        return all(lane == sorted(lane) for lane in lanes)


@pytest.fixture
def shelf(broker: KafkaBroker, kafka_server: KafkaServer, tmp_path: Path) -> Shelf:
    return Shelf(broker, kafka_server.url, tmp_path)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.05)


async def test_a_restart_goes_on_where_the_group_stopped(shelf: Shelf) -> None:
    sinks = shelf.open()
    await shelf.publish(24)
    await until(lambda: len(shelf.got()) == 24)
    await sinks.stop()
    await shelf.publish(24)
    sinks = shelf.open()
    await until(lambda: len(shelf.got()) >= 48)
    await sinks.stop()
    assert sorted(shelf.got()) == sorted(shelf.sent), "each once"
    assert shelf.in_order()


async def test_two_share_the_partitions_and_one_takes_over_from_the_other(shelf: Shelf) -> None:
    one, two = shelf.open(), shelf.open()
    await shelf.publish(60)
    await until(lambda: set(shelf.got()) >= set(shelf.sent))
    await one.stop()
    await shelf.publish(60)
    await until(lambda: set(shelf.got()) >= set(shelf.sent))
    await two.stop()
    assert shelf.in_order()


async def test_who_is_stopped_while_it_joins_leaves_its_share_to_the_other(shelf: Shelf) -> None:
    one = shelf.open()
    await shelf.publish(12)
    await until(lambda: set(shelf.got()) >= set(shelf.sent))
    two = shelf.open()  # it waits until the other has heard of it, which is at its next heartbeat
    await asyncio.sleep(0.5)
    await two.stop()
    await shelf.publish(60)
    await until(lambda: set(shelf.got()) >= set(shelf.sent))
    await one.stop()
    assert shelf.in_order()


async def test_a_broker_that_is_killed_costs_no_event(shelf: Shelf, kafka_server: KafkaServer) -> None:
    sinks = shelf.open()
    await shelf.publish(12)
    await until(lambda: len(shelf.got()) == 12)
    await kafka_server.kill()
    await kafka_server.start()
    await shelf.publish(12)
    await until(lambda: set(shelf.got()) >= set(shelf.sent))
    await until(lambda: not any(sinks.lacking().values()))
    await sinks.stop()
    assert shelf.in_order()


def followed(url: str, folder: Path) -> Settings:
    return load(
        {
            "broker": {"url": url},
            "data_dir": str(folder),
            "sources": {"use": ["file"], "files": [str(folder / "raw.jsonl")], "from_beginning": True},
        }
    )


async def test_a_source_brings_each_line_once_through_restarts_and_a_killed_broker(
    broker: KafkaBroker, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    mark, written = uuid.uuid4().hex, 0

    def append(count: int) -> None:
        nonlocal written
        lines = [{"service": mark, "timestamp": 1_700_000_000, "number": written + n + 1} for n in range(count)]
        with (tmp_path / "raw.jsonl").open("a") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
        written += count

    async def numbers() -> list[int]:
        values = [r.value async for r in broker.read([RAW]) if mark.encode() in r.value]
        return sorted(json.loads(value)["number"] for value in values)

    async def arrived() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(await numbers()) < written:
                await asyncio.sleep(0.1)

    async def send(topic: str, value: bytes) -> None:
        await broker.send(topic, value)

    for life in range(3):
        append(20)
        sources = Sources(followed(kafka_server.url, tmp_path), send)
        sources.start()
        await arrived()
        if life == 1:
            await kafka_server.kill()
            append(5)
            await kafka_server.start()
            await arrived()
        append(3)  # some of these are on their way when it ends
        await sources.stop()
    sources = Sources(followed(kafka_server.url, tmp_path), send)
    sources.start()
    await arrived()
    await sources.stop()
    assert await numbers() == list(range(1, written + 1))
