"""The embedded broker passes the shipped checks, as itself and through the client that real Kafka is used through."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from contracts.checks import broker as checks
from contracts.errors import BrokerUnavailable, InvalidSettings
from contracts.settings import BrokerSettings
from contracts.topics import OTLP_LOGS, OTLP_SPANS

BY_ONE_CLIENT = (
    checks.check_topics_of_the_table,
    checks.check_topics_of_ones_own,
    checks.check_what_is_sent_is_read,
    checks.check_keys,
    checks.check_many_at_once,
    checks.check_last,
    checks.check_reading_ends,
)


@pytest.fixture
async def embedded() -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.ensure_topics(checks.PARTITIONS)
    yield broker
    await broker.stop()


@pytest.mark.parametrize("check", [c for c in checks.CHECKS if c is not checks.check_topics_of_ones_own])
async def test_client(check: checks.Check, embedded: EmbeddedBroker) -> None:
    await check(lambda: KafkaBroker(BrokerSettings(url=f"kafka://{embedded.bootstrap}")))


@pytest.mark.parametrize("check", BY_ONE_CLIENT)
async def test_embedded(check: checks.Check, embedded: EmbeddedBroker) -> None:
    await check(lambda: embedded)


async def test_the_embedded_log_is_given_topics_by_its_own_process_alone(embedded: EmbeddedBroker) -> None:
    client = KafkaBroker(BrokerSettings(url=f"kafka://{embedded.bootstrap}"))
    with pytest.raises(InvalidSettings, match=r"our\.spans"):
        await client.ensure_topics(checks.PARTITIONS, ["our.spans"])
    await embedded.ensure_topics(checks.PARTITIONS, ["our.spans"])
    assert (await client.ensure_topics(checks.PARTITIONS, ["our.spans"]))["our.spans"] == checks.PARTITIONS


async def test_topics_whose_time_is_their_senders_word(embedded: EmbeddedBroker) -> None:
    """The embedded log keeps the time that its producer wrote; topics without messages are not told of."""
    client = KafkaBroker(BrokerSettings(url=f"kafka://{embedded.bootstrap}"))
    await client.start()
    assert await client.stamped_by_broker([OTLP_SPANS, OTLP_LOGS, "no_such_topic"]) == {}
    await client.send(OTLP_SPANS, b"{}")
    assert await client.stamped_by_broker([OTLP_SPANS, OTLP_LOGS]) == {OTLP_SPANS: False}
    await client.stop()


async def test_two_embedded_brokers_are_two_logs(embedded: EmbeddedBroker) -> None:
    other = EmbeddedBroker(BrokerSettings())
    assert other.bootstrap != embedded.bootstrap
    await other.stop()


async def test_no_broker() -> None:
    client = KafkaBroker(BrokerSettings(url="kafka://127.0.0.1:1"))
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 cannot be reached.*check broker\.url"):
        await client.start()
    await client.stop()
