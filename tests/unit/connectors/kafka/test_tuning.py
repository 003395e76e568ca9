"""What Faust's consumer is made to do that it would not do by itself."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError

from connectors.kafka.embedded import EmbeddedBroker
from connectors.kafka.tuning import rejoin_after_errors
from contracts.settings import load
from contracts.topics import RAW


async def test_a_group_that_refused_a_member_is_told_of_and_joined_again(caplog: pytest.LogCaptureFixture) -> None:
    broker = EmbeddedBroker(load().broker)
    await broker.start()
    await broker.ensure_topics(4)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id="homeostat")
    await consumer.start()
    try:
        rejoin_after_errors(consumer)
        coordinator = consumer._coordinator
        known, refusals = coordinator.ensure_coordinator_known, [GroupAuthorizationFailedError("homeostat")]

        async def refused_once() -> None:
            if refusals:
                raise refusals.pop()
            await known()

        coordinator.ensure_coordinator_known = refused_once
        with caplog.at_level(logging.WARNING):
            consumer.subscribe([RAW])
            async with asyncio.timeout(30):
                while not consumer.assignment():
                    await asyncio.sleep(0.05)
        assert (
            "the consumer group was not joined: GroupAuthorizationFailedError('homeostat'); trying again" in caplog.text
        )
    finally:
        await consumer.stop()
        await broker.stop()
