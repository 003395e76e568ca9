"""Snapshots in a real, compacted topic pass the shipped checks of a state store."""

from __future__ import annotations

import asyncio

import pytest

from connectors.kafka.client import KafkaBroker
from connectors.state.kafka import KafkaStateStore
from contracts.checks import state_store as checks
from contracts.errors import BrokerUnavailable
from contracts.settings import BrokerSettings
from tests.services.servers.kafka import KafkaServer


@pytest.fixture
async def bootstrap(kafka_server: KafkaServer) -> str:
    """Of a Kafka whose topics exist."""
    broker = KafkaBroker(BrokerSettings(url=kafka_server.url))
    await broker.ensure_topics(4)
    return kafka_server.bootstrap


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks(check: checks.Check, bootstrap: str) -> None:
    await check(lambda: KafkaStateStore(bootstrap))


async def test_a_topic_that_is_not_there_is_named(kafka_server: KafkaServer) -> None:
    store = KafkaStateStore(kafka_server.bootstrap, topic="nobody.made.this", timeout_s=5)
    try:
        with pytest.raises(BrokerUnavailable, match=r"nobody\.made\.this"):
            await store.load("x")
    finally:
        await store.close()


async def test_what_was_saved_survives_a_kill(kafka_server: KafkaServer, bootstrap: str) -> None:
    store = KafkaStateStore(bootstrap)
    try:
        for n in range(20):
            await store.save("kill/0", b"%d" % n)
        await kafka_server.kill()
        await asyncio.gather(kafka_server.start())
        assert await store.load("kill/0") == b"19"
        await store.save("kill/0", b"after")
        assert await store.load("kill/0") == b"after"
    finally:
        await store.close()
