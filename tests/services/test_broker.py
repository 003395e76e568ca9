"""Apache Kafka passes the shipped checks of a broker, and an absent one is said to be absent."""

from __future__ import annotations

import pytest

from connectors.kafka.client import KafkaBroker
from contracts.checks import broker as checks
from contracts.errors import BrokerUnavailable
from contracts.settings import BrokerSettings
from contracts.topics import CHANGES, TOPICS
from tests.services.servers.kafka import KafkaServer


@pytest.mark.parametrize("check", checks.CHECKS)
async def test_checks(check: checks.Check, kafka_server: KafkaServer) -> None:
    await check(lambda: KafkaBroker(BrokerSettings(url=kafka_server.url)))


async def test_topics_are_made_as_the_table_says(kafka_server: KafkaServer) -> None:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    async with checks.started(lambda: KafkaBroker(BrokerSettings(url=kafka_server.url))):
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
        await admin.start()
        try:
            asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in TOPICS]
            answers = await admin.describe_configs(asked)
        finally:
            await admin.close()
    found = {r[3]: {entry[0]: entry[1] for entry in r[4]} for answer in answers for r in answer.resources}
    for topic in TOPICS.values():
        assert found[topic.name]["cleanup.policy"] == ("compact" if topic.compacted else "delete")
        if not topic.compacted:
            assert found[topic.name]["retention.ms"] == str(topic.retention_ms)


async def test_what_was_acknowledged_survives_a_kill(kafka_server: KafkaServer) -> None:
    broker = KafkaBroker(BrokerSettings(url=kafka_server.url))
    await broker.start()
    try:
        await broker.ensure_topics(checks.PARTITIONS)
        for n in range(50):
            await broker.send(CHANGES, b"%d" % n, key=b"survives-a-kill")
        await kafka_server.kill()
        away = KafkaBroker(BrokerSettings(url=kafka_server.url))
        with pytest.raises(BrokerUnavailable, match=r"cannot be reached.*broker\.url"):
            await away.start()
        await kafka_server.start()
        await broker.send(CHANGES, b"50", key=b"survives-a-kill")
        found = [r.value async for r in broker.read([CHANGES]) if r.key == b"survives-a-kill"]
    finally:
        await broker.stop()
    assert found == [b"%d" % n for n in range(51)]
