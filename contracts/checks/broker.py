"""What every broker must do.

    await broker.run_all(lambda: MyBroker(...))     # or
    @pytest.mark.parametrize("check", broker.CHECKS)
    async def test_my_broker(check): await check(lambda: MyBroker(...))

The factory makes a client of *the same* log each time it is called within one check, as another worker would. Checks write
to topics of the table under keys of their own, so they can run one after the other on one log, and on one that is in use.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from contracts.checks.expecting import expect
from contracts.checks.running import awaited_on_same
from contracts.errors import HomeostatError
from contracts.ports import Broker, Record
from contracts.supervision import once
from contracts.topics import CHANGES, CONTROL, DEADLETTER, RAW, TOPICS

Factory = Callable[[], Broker]
Check = Callable[[Factory], Awaitable[None]]
PARTITIONS: Final = 4
PATIENCE_S: Final = 20.0


_expect = partial(expect, shown=300)


@asynccontextmanager
async def started(factory: Factory) -> AsyncIterator[Broker]:
    """A started client of a log that has its topics, stopped at the end."""
    broker = factory()
    await broker.start()
    try:
        await broker.ensure_topics(PARTITIONS)
        yield broker
    finally:
        await broker.stop()


def _key() -> bytes:
    return b"check-" + os.urandom(8).hex().encode()


async def _read(broker: Broker, topic: str, key: bytes, **how: int) -> list[Record]:
    return [r async for r in broker.read([topic], last=how.get("last")) if r.key == key]


async def check_topics_of_the_table(factory: Factory) -> None:
    """Every topic of the table exists afterwards, with partitions; asking again changes nothing."""
    async with started(factory) as broker:
        found = await broker.ensure_topics(PARTITIONS)
        _expect(sorted(found), sorted(TOPICS), "topics")
        assert all(n > 0 for n in found.values()), f"topics without partitions: {found}"
        _expect(await broker.ensure_topics(PARTITIONS + 3), found, "topics when asked for again")


async def check_topics_of_ones_own(factory: Factory) -> None:
    """Topics besides the table's exist afterwards, too; where that can be asked for."""
    async with started(factory) as broker:
        found = await broker.ensure_topics(PARTITIONS, ["check.own"])
        _expect(sorted(found), sorted([*TOPICS, "check.own"]), "topics")
        assert found["check.own"] > 0, "a topic of the user's own has no partitions"


async def check_what_is_sent_is_read(factory: Factory) -> None:
    """Value, key, headers and partition come back as they went, in the order of the partition, with rising offsets."""
    key, headers = _key(), (("ce_id", b"1"), ("ce_id", b"again"), ("empty", b""))
    values = [b"", b"\x00\xff" * 50, "grün".encode(), os.urandom(300_000)]
    async with started(factory) as broker:
        for value in values:
            await broker.send(CHANGES, value, key=key, partition=2, headers=headers)
        found = await _read(broker, CHANGES, key)
    _expect([r.value for r in found], values, "values")
    _expect({(r.topic, r.partition, r.headers) for r in found}, {(CHANGES, 2, headers)}, "topic, partition, headers")
    offsets = [r.offset for r in found]
    _expect(offsets, sorted(set(offsets)), "offsets in order")


async def check_keys(factory: Factory) -> None:
    """Without a partition one key always goes to one partition; without a key a message arrives all the same."""
    key, nameless = _key(), _key()
    async with started(factory) as broker:
        for _ in range(5):
            await broker.send(DEADLETTER, b"x", key=key)
        await broker.send(DEADLETTER, nameless)
        found = [r async for r in broker.read([DEADLETTER])]
    _expect(len({r.partition for r in found if r.key == key}), 1, "partitions of one key")
    _expect(sum(r.key == key for r in found), 5, "messages of the key")
    _expect([r.key for r in found if r.value == nameless], [None], "a message without a key")


async def check_many_at_once(factory: Factory) -> None:
    """Messages sent at once by several tasks all arrive, once."""
    key = _key()
    async with started(factory) as broker:
        sends = (broker.send(CHANGES, b"%d" % n, key=key, partition=n % PARTITIONS) for n in range(200))
        await asyncio.gather(*sends)
        found = await _read(broker, CHANGES, key)
    _expect(sorted(int(r.value) for r in found), list(range(200)), "messages")


async def check_last(factory: Factory) -> None:
    """`last` gives the newest of each partition only."""
    key = _key()
    async with started(factory) as broker:
        for n in range(10):
            await broker.send(CHANGES, b"%d" % n, key=key, partition=n % 2)
        found = await _read(broker, CHANGES, key, last=2)
    _expect(sorted(int(r.value) for r in found), [6, 7, 8, 9], "the last two of both partitions")


async def check_ends(factory: Factory) -> None:
    """Every partition has an end; a message lies between the ends before and after it."""
    key = _key()
    async with started(factory) as broker:
        before = await broker.ends([CHANGES, CONTROL])
        _expect({topic for topic, _ in before}, {CHANGES, CONTROL}, "topics")
        await broker.send(CHANGES, b"x", key=key, partition=1)
        after = await broker.ends([CHANGES, CONTROL])
        (sent,) = await _read(broker, CHANGES, key)
    _expect(after.keys(), before.keys(), "partitions")
    ends = before[CHANGES, 1], sent.offset, after[CHANGES, 1]
    assert ends[0] <= sent.offset < ends[2], f"end, offset of a message, end: {ends}"


async def check_between(factory: Factory) -> None:
    """A stretch of one partition, its first message included, the one at its end not."""
    async with started(factory) as broker:
        for n in range(5):
            await broker.send(CHANGES, b"%d" % n, key=_key(), partition=2)
            await broker.send(CHANGES, b"of another partition", key=_key(), partition=3)
        end = (await broker.ends([CHANGES]))[CHANGES, 2]
        found = [r async for r in broker.between(CHANGES, 2, end - 4, end - 1)]
    _expect([r.value for r in found], [b"1", b"2", b"3"], "messages")
    _expect([r.offset for r in found], [end - 4, end - 3, end - 2], "offsets")


async def check_reading_ends(factory: Factory) -> None:
    """Without `follow` reading ends at the end found at the start, also of a topic without messages."""
    async with started(factory) as broker:
        async with asyncio.timeout(PATIENCE_S):
            before = [r.key async for r in broker.read([RAW])]
            await broker.send(RAW, b"x", key=_key())  # not on a topic of which every word counts
            after = [r.key async for r in broker.read([RAW])]
    _expect(len(after), len(before) + 1, "messages")


async def check_following(factory: Factory) -> None:
    """With `follow` a reader hears what another client sends later; from the end on if so asked."""
    key = _key()
    async with started(factory) as one, started(factory) as two:
        await two.send(CHANGES, b"before", key=key)
        listening = once("listening", _hear(one, key, 3), awaited=True)
        async with asyncio.timeout(PATIENCE_S):
            while not listening.done():  # a reader from the end hears nothing until it has found the end
                await two.send(CHANGES, b"after", key=key)
                await asyncio.sleep(0.1)
            _expect(await listening, [b"after"] * 3, "what was heard")


async def _hear(broker: Broker, key: bytes, count: int) -> Sequence[bytes]:
    heard: list[bytes] = []
    async for record in broker.read([CHANGES], from_beginning=False, follow=True):
        if record.key == key:
            heard.append(record.value)
        if len(heard) == count:
            break
    return heard


async def check_stop(factory: Factory) -> None:
    """What was acknowledged is there for the next client; a stopped client says so, and may be stopped twice."""
    key = _key()
    one, two = factory(), factory()
    await one.start()
    await one.ensure_topics(PARTITIONS)
    await one.send(CHANGES, b"kept", key=key)
    await two.start()
    await one.stop()
    await one.stop()
    try:
        _expect([r.value for r in await _read(two, CHANGES, key)], [b"kept"], "what was acknowledged")
        await one.send(CHANGES, b"x", key=key)
    except HomeostatError:
        return
    finally:
        await two.stop()
    raise AssertionError("a stopped client sent a message")


CHECKS: Final[tuple[Check, ...]] = (
    check_topics_of_the_table,
    check_topics_of_ones_own,
    check_what_is_sent_is_read,
    check_keys,
    check_many_at_once,
    check_last,
    check_ends,
    check_between,
    check_reading_ends,
    check_following,
    check_stop,
)

run_all: Final = awaited_on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
