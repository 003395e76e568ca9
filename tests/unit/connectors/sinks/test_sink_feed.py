"""Sinks get their events in order and at least once, whatever they do, and what they don't get is counted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from connectors.kafka.client import KafkaBroker
from connectors.kafka.embedded import EmbeddedBroker
from connectors.kafka.group_reader import GroupReader
from connectors.sinks import sink_feed
from connectors.sinks.sink_feed import SinkFeed
from contracts.checks.sink import published
from contracts.errors import Permanent, Retryable
from contracts.ports import Published
from contracts.retry import Pauses
from contracts.settings import BrokerSettings, SinkSettings
from contracts.topics import DECISIONS, INCIDENTS
from tests.patience import PATIENCE_S

TOPICS = frozenset({INCIDENTS, DECISIONS})


class Listener:
    """A sink that keeps what it is given, and can be told to fail."""

    name = "listener"
    topics = TOPICS

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.calls = 0
        self.closed = False
        self.fails: Callable[[Sequence[Published]], Exception | None] = lambda _: None

    async def deliver(self, events: Sequence[Published]) -> None:
        self.calls += 1
        error = self.fails(events)
        if error is not None:
            raise error
        self.taken += [e.key for e in events]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    found = EmbeddedBroker(BrokerSettings())
    await found.start()
    await found.ensure_topics(4)
    yield found
    await found.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_feed, "PAUSES", Pauses(0.01, 0.05))


async def publish(broker: KafkaBroker, *numbers: int, topic: str = INCIDENTS) -> list[str]:
    events = [published(n, topic) for n in numbers]
    for event in events:
        await broker.send(topic, event.value, key=event.key.encode(), partition=1)
    return [event.key for event in events]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


def feed_of(broker: KafkaBroker, sink: Listener, **settings: float) -> SinkFeed:
    reader = GroupReader(broker, sorted(TOPICS), "homeostat.sink.listener", from_beginning=True)
    return SinkFeed(sink, reader, SinkSettings.model_validate(settings))


async def test_all_that_was_published_comes_in_order_and_the_rest_at_the_end(broker: EmbeddedBroker) -> None:
    sink = Listener()
    keys = await publish(broker, *range(5))
    feed = feed_of(broker, sink)
    feed.start()
    await until(lambda: len(sink.taken) == 5)
    keys += await publish(broker, *range(5, 50))
    await feed.stop(drain_s=PATIENCE_S)
    assert sink.taken == keys
    assert sink.closed
    assert feed.counters == {"delivered": 50}
    assert feed.trouble == ""


async def test_what_fails_comes_again_in_order_and_is_said_meanwhile(broker: EmbeddedBroker) -> None:
    sink = Listener()
    sink.fails = lambda _: Retryable("the pager is away")
    feed = feed_of(broker, sink)
    keys = await publish(broker, *range(3))
    feed.start()
    await until(lambda: sink.calls >= 3)
    assert "events wait: the pager is away" in feed.trouble
    sink.fails = lambda _: (
        ZeroDivisionError() if sink.calls < 8 else None
    )  # a bug of its own is a failure like any other
    keys += await publish(broker, 3)
    await until(lambda: len(sink.taken) == 4)
    await feed.stop(drain_s=PATIENCE_S)
    assert sink.taken == keys
    assert feed.trouble == ""
    assert feed.counters["delivered"] == 4
    assert feed.counters["retried"] >= 3


async def test_what_is_refused_for_good_is_passed_over_alone(broker: EmbeddedBroker) -> None:
    sink = Listener()
    sink.fails = lambda events: Permanent("no") if any(e.key == f"{INCIDENTS}-2" for e in events) else None
    keys = await publish(broker, *range(5))
    feed = feed_of(broker, sink)
    feed.start()
    await until(lambda: len(sink.taken) == 4)
    await feed.stop(drain_s=PATIENCE_S)
    assert sink.taken == [k for k in keys if not k.endswith("-2")]
    assert feed.counters == {"delivered": 4, "refused": 1}


async def test_what_can_not_be_delivered_in_time_is_given_up_and_counted(broker: EmbeddedBroker) -> None:
    sink = Listener()
    sink.fails = lambda events: Retryable("away") if events[0].key == f"{INCIDENTS}-0" else None
    await publish(broker, 0)
    feed = feed_of(broker, sink, retry_s=0.1, batch=1)
    feed.start()
    await until(lambda: feed.counters["given_up"] == 1)
    await publish(broker, 1)
    await until(lambda: sink.taken == [f"{INCIDENTS}-1"])
    await feed.stop()


async def test_one_that_hangs_holds_up_itself_for_so_long_only(broker: EmbeddedBroker) -> None:
    class Hanging(Listener):
        async def deliver(self, events: Sequence[Published]) -> None:
            self.calls += 1
            if self.calls == 1:
                await asyncio.Event().wait()
            self.taken += [e.key for e in events]

    sink = Hanging()
    feed = feed_of(broker, sink, timeout_s=0.05)
    feed.start()
    keys = await publish(broker, 0)
    await until(lambda: sink.taken == keys)
    await feed.stop()
    assert feed.counters["retried"] == 1


async def test_what_is_no_event_is_counted_and_passed_over(broker: EmbeddedBroker) -> None:
    sink = Listener()
    await broker.send(INCIDENTS, b"{}", partition=1)
    keys = await publish(broker, 1)
    feed = feed_of(broker, sink)
    feed.start()
    await until(lambda: sink.taken == keys)
    await feed.stop()
    assert feed.counters["unreadable"] == 1


async def test_a_group_goes_on_where_it_stopped_and_repeats_what_was_not_finished(broker: EmbeddedBroker) -> None:
    outside = KafkaBroker(BrokerSettings(), broker.bootstrap)  # the same log, as one that outlives the process
    sink = Listener()
    feed = feed_of(outside, sink)
    first = await publish(broker, *range(3))
    feed.start()
    await until(lambda: sink.taken == first)
    sink.fails = lambda _: Retryable("away")
    rest = await publish(broker, 3, 4)
    await until(lambda: feed.trouble != "")
    await feed.stop()
    later = Listener()
    feed = feed_of(outside, later)
    feed.start()
    await until(lambda: later.taken[-2:] == rest)
    await feed.stop()
    assert later.taken in (rest, first[-1:] + rest, first + rest), "the position was kept after each delivery"
    assert later.taken == rest


async def test_a_new_group_begins_with_what_comes_from_now_on_and_misses_nothing_after(broker: EmbeddedBroker) -> None:
    outside = KafkaBroker(BrokerSettings(), broker.bootstrap)
    await publish(broker, 0, 1)
    reader = GroupReader(outside, sorted(TOPICS), "homeostat.sink.new")
    await reader.start()
    await reader.stop()  # it took nothing, and its position is kept all the same
    later = await publish(broker, 2, 3)
    sink = Listener()
    feed = SinkFeed(sink, GroupReader(outside, sorted(TOPICS), "homeostat.sink.new"), SinkSettings())
    feed.start()
    await until(lambda: len(sink.taken) >= 2)
    await feed.stop()
    assert sink.taken == later


async def test_who_is_stopped_while_it_joins_leaves_no_member_behind(broker: EmbeddedBroker) -> None:
    """A member that nobody holds would keep its share of the partitions, and read none of them."""
    for turns in range(40):
        reader = GroupReader(broker, sorted(TOPICS), "homeostat.sink.hasty")
        joining = asyncio.create_task(reader.start())
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        await reader.stop()
    gc.collect()  # what is left open says so now, and its tasks are found when the test ends
