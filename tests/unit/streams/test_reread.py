"""Messages that were acknowledged and are in no state."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from connectors.kafka.client import KafkaBroker
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import PARTIALS, RAW
from streams.host import StageHost
from streams.stage import StageSpec
from streams.worker.reread import OLDEST_MS, messages_to_reread
from tests.unit.streams.test_worker import Adder

SPECS = tuple(
    StageSpec(name, (RAW,), (PARTIALS,), lambda topic, partition: Adder(PARTIALS)) for name in ("one", "other")
)


class Log(KafkaBroker):
    """A partition with a message every second."""

    async def between(self, topic: str, partition: int, first: int, end: int) -> AsyncGenerator[Record]:
        for offset in range(first, end):
            yield record(offset, topic, partition)


def record(offset: int, topic: str = RAW, partition: int = 0) -> Record:
    return Record(topic, partition, offset, None, b"1", (), offset * 1000)


def host(ends: dict[str, int], log_id: str = "log") -> StageHost:
    """With states that end before these offsets, in the log `log`."""
    before, kept = StageHost(SPECS, log_id="log"), dict[str, bytes]()
    for spec in SPECS:
        instance = before.instance(spec, RAW, 0)
        for offset in range(ends.get(spec.name, 0)):
            instance.handle(record(offset), 0)
        if spec.name in ends:
            kept[instance.key] = instance.snapshot("log")
    return StageHost(SPECS, kept.get, log_id)


async def offsets(found: StageHost, first: int) -> list[int]:
    return [r.offset async for r in messages_to_reread(found, Log(load().broker), record(first))]


async def test_what_the_state_that_is_furthest_behind_lacks() -> None:
    found = host({"one": 7, "other": 5})
    assert await offsets(found, 9) == [5, 6, 7, 8]
    assert found.counters["worker", "read_again"] == 4


async def test_the_state_of_a_living_instance_counts() -> None:
    found = host({"one": 7, "other": 5})
    for offset in range(5, 9):
        found.handle(record(offset), 0)
    assert await offsets(found, 9) == []


@pytest.mark.parametrize(
    "found",
    [host({}), host({"one": 9, "other": 12}), host({"one": 5}, log_id="another")],
    ids=["no state", "states that have all of it", "offsets of another log"],
)
async def test_nothing_is_lacking(found: StageHost) -> None:
    assert await offsets(found, 9) == []
    assert not found.counters


class Cleaned(KafkaBroker):
    """What was between has been deleted."""

    async def between(self, topic: str, partition: int, first: int, end: int) -> AsyncGenerator[Record]:
        for deleted in range(0):
            yield record(deleted)


async def test_what_was_deleted_is_not_lacking() -> None:
    found = host({"one": 7, "other": 5})
    assert [r async for r in messages_to_reread(found, Cleaned(load().broker), record(9))] == []
    assert not found.counters


async def test_a_state_that_is_too_old_is_left_as_it_is() -> None:
    """As when an operator sets the group's offsets forward."""
    found, first = host({"one": 7, "other": 7}), 8 + OLDEST_MS // 1000
    assert await offsets(found, first) == []
    assert found.counters["worker", "left_out"] == first - 7
    assert len(await offsets(found, first - 1)) == first - 8
