"""What Faust's consumer is made to do that it would not do by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from connectors.kafka.embedded import EmbeddedBroker
from connectors.kafka.tuning import rejoin_after_errors, wait_for_ever, wait_no_longer
from contracts.settings import load
from contracts.topics import RAW
from tests.patience import PATIENCE_S


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
            async with asyncio.timeout(PATIENCE_S):
                while not consumer.assignment():
                    await asyncio.sleep(0.05)
        assert (
            "the consumer group was not joined: GroupAuthorizationFailedError('homeostat'); trying again" in caplog.text
        )
    finally:
        await consumer.stop()
        await broker.stop()


@pytest.mark.parametrize("patient", [True, False])
async def test_a_patient_producer_gives_nothing_up_until_it_is_to_stop(patient: bool) -> None:
    """Else younger messages overtake what is sent again."""
    broker = EmbeddedBroker(load().broker)
    await broker.ensure_topics(4)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, request_timeout_ms=500, linger_ms=0)
    await producer.start()
    await producer.send_and_wait(RAW, b"there", partition=0)
    if patient:
        wait_for_ever(producer)
    del broker  # and its port is closed
    sent = await producer.send(RAW, b"away", partition=0)
    await asyncio.wait([sent], timeout=3 if patient else PATIENCE_S)
    assert sent.done() is not patient
    wait_no_longer(producer)
    await asyncio.wait_for(producer.stop(), PATIENCE_S)
    assert sent.done()
    with contextlib.suppress(KafkaError):
        await sent
