"""State stores pass the shipped checks: the file, and the topic on the embedded broker."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.kafka.embedded import EmbeddedBroker
from connectors.state.kafka import KafkaStateStore
from connectors.state.sqlite import SqliteStateStore
from contracts.checks import state_store
from contracts.errors import BrokerUnavailable
from contracts.settings import BrokerSettings


@pytest.mark.parametrize("check", state_store.CHECKS)
async def test_file(check: state_store.Check, tmp_path: Path) -> None:
    await check(lambda: SqliteStateStore(tmp_path / "data" / "state.sqlite"))


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.ensure_topics(4)
    yield broker
    await broker.stop()


@pytest.mark.parametrize("check", state_store.CHECKS)
async def test_topic(check: state_store.Check, broker: EmbeddedBroker) -> None:
    await check(lambda: KafkaStateStore(broker.bootstrap))


async def test_no_broker() -> None:
    store = KafkaStateStore("127.0.0.1:1")
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await store.load("x")
    await store.close()
