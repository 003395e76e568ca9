"""The journal in a real Kafka: takeovers, and stragglers fenced by transactions."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable

import pytest

from connectors.journal.kafka import KafkaJournal
from connectors.kafka.client import KafkaBroker
from contracts.checks import journal as checks
from contracts.checks import journal_takeovers as takeovers
from contracts.errors import BrokerUnavailable, Fenced
from contracts.ports import StepEntry
from contracts.settings import BrokerSettings
from contracts.topics import JOURNAL, partition_of
from contracts.verdicts import StepPhase
from tests.services.servers.kafka import KafkaServer

Opening = Callable[[], KafkaJournal]


@pytest.fixture
async def partitions(kafka_server: KafkaServer) -> int:
    """Of the journal's topic, which is there."""
    broker = KafkaBroker(BrokerSettings(url=kafka_server.url))
    await broker.start()
    found = await broker.ensure_topics(4)
    await broker.stop()
    return found[JOURNAL]


@pytest.fixture
def opening(kafka_server: KafkaServer, partitions: int, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Journals of the workers of one group, of which nothing is left from other tests."""
    topic = f"journal-{uuid.uuid4().hex[:8]}"
    _create(kafka_server, topic, partitions)
    monkeypatch.setattr("connectors.journal.kafka.JOURNAL", topic)
    settings, names = BrokerSettings(url=kafka_server.url, group=topic), itertools.count()
    return lambda: KafkaJournal(settings, kafka_server.bootstrap, partitions, f"node-{next(names)}")


def _create(server: KafkaServer, topic: str, partitions: int) -> None:
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    made = admin.create_topics([NewTopic(topic, partitions, 1, config={"cleanup.policy": "compact"})])
    made[topic].result(30)


async def taken(opening: Opening, partitions: int) -> KafkaJournal:
    journal = opening()
    await asyncio.gather(*(journal.take(p) for p in range(partitions)))
    return journal


@pytest.mark.parametrize("check", checks.BY_ONE_OWNER)
async def test_checks(check: checks.Check, opening: Opening, partitions: int) -> None:
    await asyncio.to_thread(check, lambda: asyncio.run(taken(opening, partitions)))


@pytest.mark.parametrize("check", [*takeovers.TAKEOVERS, *takeovers.FENCING, *takeovers.OWNERS_FENCING])
async def test_takeovers(check: takeovers.Takeover, opening: Opening, partitions: int) -> None:
    await check(lambda: taken(opening, partitions))


async def test_a_straggler_that_lost_its_connection_does_not_shut_out_its_successor(
    opening: Opening, partitions: int
) -> None:
    """Reconnecting under the same transactional id would fence the new owner: it looks first."""
    first = await taken(opening, partitions)
    second = await taken(opening, partitions)
    for n in range(1, 4):
        first.put("verdict/old", {"n": n}, "e") if not first.lost else None
        with pytest.raises(Fenced):
            await first.settled("e", 30)
        second.put("verdict/new", {"n": n}, "e")
        await second.settled("e", 30)
    assert partition_of("e", partitions) in first.lost
    assert not second.lost
    first.close()
    second.close()


async def test_with_kafka_away_nothing_settles_and_nothing_is_lost(
    opening: Opening, partitions: int, kafka_server: KafkaServer
) -> None:
    journal = await taken(opening, partitions)
    entry = checks.create(journal, 1)
    assert entry is not None
    await journal.settled("e", 30)
    await kafka_server.kill()
    try:
        journal.step(StepEntry("r1", "s", StepPhase.INTENT, "k", 5), entry.fence)
        with pytest.raises(BrokerUnavailable, match="did not take"):
            await journal.settled("e", 2)
    finally:
        await kafka_server.start()
    async with asyncio.timeout(60):
        while journal.pending:
            await asyncio.sleep(0.1)
    await journal.settled("e", 30)
    other = await taken(opening, partitions)
    found = other.load("r1")
    assert found is not None
    assert [(s.step, s.phase) for s in found.steps] == [("s", StepPhase.INTENT)]
    journal.close()
    other.close()
