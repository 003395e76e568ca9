"""What Kafka's clients are made to do that they would not do by themselves, and that a changed library is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from faust import streams

from connectors.kafka.driver_internals import (
    RELEASES,
    check_releases,
    is_compiled,
    rejoin_after_errors,
    tune_consumer,
    wait_for_ever,
    wait_no_longer,
)
from connectors.kafka.embedded import EmbeddedBroker
from contracts.errors import InvalidSettings
from contracts.settings import load
from contracts.topics import RAW
from tests.patience import PATIENCE_S


@pytest.mark.parametrize(("name", "release"), RELEASES.items())
def test_the_installed_library_is_the_one_that_was_read(name: str, release: str) -> None:
    """When this fails, read the new release for what `driver_internals` touches, then write its number there."""
    assert metadata.version(name) == release


@pytest.mark.parametrize(
    ("installed", "taken"), [("0.14.0", True), ("0.14.7", True), ("0.15.0", False), ("1.14.0", False)]
)
def test_another_minor_release_is_refused(monkeypatch: pytest.MonkeyPatch, installed: str, taken: bool) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: installed if name == "aiokafka" else RELEASES[name])
    with contextlib.nullcontext() if taken else pytest.raises(InvalidSettings, match=f"aiokafka is {installed}"):
        check_releases()


@pytest.mark.parametrize(
    "touch",
    [
        lambda of: tune_consumer(of, 20),
        rejoin_after_errors,
        wait_for_ever,
        wait_no_longer,
        is_compiled,
    ],
)
def test_a_field_that_is_gone_is_told_of_and_not_added(touch: Callable[[Any], object]) -> None:
    changed = SimpleNamespace()
    with pytest.raises(InvalidSettings, match="has no field _"):
        touch(changed)
    assert not vars(changed)


async def test_every_field_is_where_the_library_keeps_it() -> None:
    consumer = tune_consumer(AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1"), 20)
    assert consumer._fetch_max_wait_ms == 20
    producer = wait_for_ever(AIOKafkaProducer(bootstrap_servers="127.0.0.1:1"))
    assert producer._message_accumulator._batch_ttl == math.inf
    wait_no_longer(producer)
    assert producer._message_accumulator._batch_ttl == 0.0
    await consumer.stop()
    await producer.stop()
    assert is_compiled(streams) is not is_compiled(SimpleNamespace(_CStreamIterator=None))


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
