"""The audit trail's shell: what the broker has, what it has not yet, and who is waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from contracts.errors import BrokerUnavailable, Conflict
from contracts.events import ActionRecord, decode
from contracts.verdicts import RunState
from playbooks.audit import verify_chain
from playbooks.runs import audit_trail
from playbooks.runs.audit_trail import Trail
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import T0, MemoryJournal

AT_ONCE_S = 0.02
"""How long is waited for what does not come."""


class Broker:
    """Takes what is published while it is there, up to the record it `stops_at`."""

    def __init__(self) -> None:
        self.away, self.stops_at = False, 1 << 30
        self.has: list[tuple[str, int]] = []
        self.taken = asyncio.Event()

    async def publish(
        self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str
    ) -> None:
        record = decode(ActionRecord, value)
        if self.away or record.sequence >= self.stops_at:
            raise BrokerUnavailable("no broker")
        self.has.append((route, record.sequence))
        self.taken.set()

    async def until(self, count: int) -> None:
        """Wait for so many records; who then asks whether they are acknowledged needs no time to be told so."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.has) < count:
                self.taken.clear()
                await self.taken.wait()


def record(environment: str = "prod") -> ActionRecord:
    return ActionRecord(
        id="", type="io.homeostat.run.running", environment=environment, sequence=0, time_ns=T0, run="r", decision="d",
        incident="i", playbook="p", playbook_version="1", target="cart", state=RunState.RUNNING, actor="test", text="",
    )  # fmt: skip


async def test_a_record_is_acknowledged_with_all_before_it() -> None:
    journal, broker = MemoryJournal(), Broker()
    trail = Trail(journal, broker.publish, PATIENCE_S)
    trail.start()
    for wanted in range(1, 4):
        assert trail.append(record()).sequence == wanted
    assert await trail.acknowledged("prod", 3)
    assert broker.has == [("prod", 1), ("prod", 2), ("prod", 3)]
    assert await trail.acknowledged("prod", 1)
    await trail.stop()
    assert not journal.audit("prod", unpublished=True)


@pytest.mark.parametrize("stops_at", [1, 2, 3])
async def test_what_the_broker_has_not_is_not_acknowledged(stops_at: int) -> None:
    journal, broker = MemoryJournal(), Broker()
    broker.stops_at = stops_at
    trail = Trail(journal, broker.publish, AT_ONCE_S)
    trail.start()
    for _ in range(3):
        trail.append(record())
    await broker.until(stops_at - 1)
    said = [await trail.acknowledged("prod", sequence) for sequence in (1, 2, 3)]
    assert said == [sequence < stops_at for sequence in (1, 2, 3)]
    assert [sequence for sequence, _ in journal.audit("prod", unpublished=True)] == list(range(stops_at, 4))
    await trail.stop()


async def test_acknowledgements_are_of_one_environment() -> None:
    journal, broker = MemoryJournal(), Broker()
    trail = Trail(journal, broker.publish, AT_ONCE_S)
    trail.start()
    for _ in range(3):
        trail.append(record("prod"))
    await broker.until(3)
    assert await trail.acknowledged("prod", 3)
    assert not await trail.acknowledged("stage", 1), "there is no such record"
    assert trail.append(record("stage")).sequence == 1
    await broker.until(4)
    assert await trail.acknowledged("stage", 1)
    assert not await trail.acknowledged("stage", 2)
    await trail.stop()


async def test_what_an_earlier_life_published_is_acknowledged_to_the_next() -> None:
    journal, broker = MemoryJournal(), Broker()
    first = Trail(journal, broker.publish, PATIENCE_S)
    first.start()
    for _ in range(3):
        first.append(record())
    await first.stop()
    assert broker.has == [("prod", 1), ("prod", 2), ("prod", 3)]

    broker.away = True  # it is the journal that knows
    second = Trail(journal, broker.publish, PATIENCE_S)
    second.start()
    assert await second.acknowledged("prod", 3)
    await second.stop()

    broker.away, third = False, Trail(journal, broker.publish, PATIENCE_S)
    third.append(record())
    third.start()
    assert await third.acknowledged("prod", 4)
    await third.stop()
    assert [sequence for _, sequence in broker.has] == [1, 2, 3, 4], "each once, in order"


@pytest.mark.parametrize("count", [1, 2, 64, 65, 66, 130])
async def test_what_an_earlier_life_could_not_publish_is_published_though_nobody_waits_for_it(count: int) -> None:
    journal, broker = MemoryJournal(), Broker()
    died = Trail(journal, broker.publish, PATIENCE_S)
    for _ in range(count):
        died.append(record())
    trail = Trail(journal, broker.publish, PATIENCE_S)
    trail.start()
    await trail.stop()
    assert broker.has == [("prod", sequence) for sequence in range(1, count + 1)]


class ReadJournal(MemoryJournal):
    """Counts how many records were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    def audit(self, environment: str, *, after: int = 0, unpublished: bool = False) -> list[tuple[int, bytes]]:
        found = super().audit(environment, after=after, unpublished=unpublished)
        self.read += len(found)
        return found


@pytest.mark.parametrize("count", [1, 63, 64, 65, 66, 129, 200])
async def test_to_go_on_with_a_chain_few_of_its_records_are_read(count: int) -> None:
    journal, broker = ReadJournal(), Broker()
    before = Trail(journal, broker.publish, PATIENCE_S)
    for _ in range(count):
        before.append(record())
    assert journal.read == 0, "who wrote them knows them"
    after = Trail(journal, broker.publish, PATIENCE_S)
    assert after.append(record()).sequence == count + 1
    assert journal.read < 64, "however long it is"
    assert verify_chain(body for _, body in journal.audit("prod")).intact


async def test_an_environment_that_is_taken_over_is_asked_about_when_somebody_waits() -> None:
    """Its records came into the journal after this process looked there first, and another one published them."""
    journal, broker = MemoryJournal(), Broker()
    here = Trail(journal, broker.publish, PATIENCE_S)
    here.start()
    there = Trail(journal, broker.publish, PATIENCE_S)
    there.start()
    there.append(record())
    assert await there.acknowledged("prod", 1)
    await there.stop()
    assert await here.acknowledged("prod", 1)
    await here.stop()
    assert broker.has == [("prod", 1)]


async def test_a_broker_that_comes_back_has_all_in_order() -> None:
    journal, broker = MemoryJournal(), Broker()
    broker.stops_at = 2
    trail = Trail(journal, broker.publish, PATIENCE_S)
    trail.start()
    for _ in range(3):
        trail.append(record())
    waiting = asyncio.ensure_future(trail.acknowledged("prod", 3))
    await broker.until(1)
    assert not waiting.done()
    broker.stops_at = 1 << 30
    assert await waiting
    assert [sequence for _, sequence in broker.has] == [1, 2, 3]
    assert trail.failures > 0
    await trail.stop()


class SlowJournal(MemoryJournal):
    """One whose writes outlive this process only once somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.durable = asyncio.Event(), asyncio.Event()

    async def settled(self, environment: str, timeout_s: float) -> None:
        self.asked.set()
        await self.durable.wait()


async def test_the_world_is_told_of_nothing_that_the_next_owner_might_not_know() -> None:
    journal, broker = SlowJournal(), Broker()
    trail = Trail(journal, broker.publish, PATIENCE_S)
    trail.start()
    trail.append(record())
    async with asyncio.timeout(PATIENCE_S):
        await journal.asked.wait()
    await asyncio.sleep(AT_ONCE_S)
    assert broker.has == []
    journal.durable.set()
    assert await trail.acknowledged("prod", 1)
    assert broker.has == [("prod", 1)]
    await trail.stop()


async def test_other_events_wait_in_order_for_a_broker_and_for_the_next_life() -> None:
    journal, has = MemoryJournal(), []

    async def publish(topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str) -> None:
        assert list(headers) == []
        has.append((topic, key, decode(ActionRecord, value).text, route))

    async def nowhere(topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str) -> None:
        raise BrokerUnavailable("no broker")

    trail = Trail(journal, nowhere, PATIENCE_S)
    trail.start()
    for n in range(3):
        trail.send("autonomous.feedback", f"run-{n}", replace(record(), text=str(n)), "prod")
    await trail.stop()
    assert has == []
    trail = Trail(journal, publish, PATIENCE_S)
    trail.start()
    await trail.stop()
    assert has == [("autonomous.feedback", f"run-{n}", str(n), "prod") for n in range(3)]
    trail = Trail(journal, publish, PATIENCE_S)
    trail.start()
    await trail.stop()
    assert len(has) == 3, "once"


async def test_of_other_events_the_latest_are_kept_for_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "_OUTBOX_LIMIT", 3)
    sent: list[int] = []

    async def publish(topic: str, key: str, value: bytes, headers: object, route: str) -> None:
        if not sent and len(refused) < 2:
            refused.append(topic)
            raise BrokerUnavailable("no broker")
        sent.append(decode(ActionRecord, value).time_ns - T0)
        if len(sent) == 3:
            all_of_them.set()

    all_of_them = asyncio.Event()
    refused: list[str] = []
    trail = Trail(MemoryJournal(), publish, PATIENCE_S)
    for number in range(5):
        trail.send("a topic", "k", replace(record(), time_ns=T0 + number), "prod")
    trail.start()
    async with asyncio.timeout(PATIENCE_S):
        await all_of_them.wait()
    assert (sent, refused, trail.failures) == ([2, 3, 4], ["a topic"] * 2, 2)
    await trail.stop()


async def test_who_takes_a_chain_over_again_goes_on_where_the_owner_meanwhile_left_it() -> None:
    journal, broker = MemoryJournal(), Broker()
    first, second = (Trail(journal, broker.publish, PATIENCE_S) for _ in range(2))
    assert [first.append(record()).sequence, second.append(record()).sequence] == [1, 2]
    first.forget("prod")
    assert [first.append(record()).sequence, first.append(record("stage")).sequence] == [3, 1]


async def test_what_is_another_owners_now_is_not_published_here() -> None:
    journal, broker = MemoryJournal(), Broker()
    trail = Trail(journal, broker.publish, PATIENCE_S)
    trail.append(record("prod"))
    trail.append(record("stage"))
    trail.forget("prod")
    trail.forget("nowhere")
    assert await trail._flush_all()
    assert broker.has == [("stage", 1)]
    there = Trail(journal, broker.publish, PATIENCE_S)
    assert there.append(record("prod")).sequence == 2
    assert await there._flush_all()
    assert broker.has == [("stage", 1), ("prod", 1), ("prod", 2)]
    assert trail.append(record("prod")).sequence == 3, "its chain is read again"


class Contested(MemoryJournal):
    """Another owner writes a record right before each of the first few of this one."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        if self.times:
            self.times -= 1
            there = Trail(self._plain(), Broker().publish, PATIENCE_S)
            there.append(globals()["record"](environment))
            raise Conflict("it is taken")
        super().append_audit(environment, record, sequence, published)

    def _plain(self) -> MemoryJournal:
        plain = MemoryJournal()
        plain.__dict__ = self.__dict__
        return plain


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_where_another_owner_writes_at_the_same_time_the_chain_goes_on_from_its_record(times: int) -> None:
    journal = Contested(times)
    trail = Trail(journal, Broker().publish, PATIENCE_S)
    assert trail.append(record()).sequence == times + 1
    assert trail.append(record()).sequence == times + 2
    assert verify_chain(body for _, body in journal.audit("prod")).intact


@pytest.mark.parametrize(("before", "kept_from"), [(998, 0), (999, 0), (1000, 1)])
def test_of_the_events_that_wait_a_thousand_are_kept_and_the_oldest_give_way(before: int, kept_from: int) -> None:
    journal = MemoryJournal()
    waiting = [{"topic": "t", "key": str(number), "value": ""} for number in range(before)]
    journal.put("outbox/prod", {"items": waiting}, "prod")
    Trail(journal, Broker().publish, AT_ONCE_S).send("t", str(before), record(), "prod")
    fact = journal.get("outbox/prod")
    assert fact is not None
    assert [item["key"] for item in fact["items"]] == [str(number) for number in range(kept_from, before + 1)]


async def test_what_was_being_published_when_that_was_cancelled_is_still_to_be_published() -> None:
    journal, broker, begun, hangs = MemoryJournal(), Broker(), asyncio.Event(), True

    async def publish(topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]], route: str) -> None:
        begun.set()
        if hangs:
            await asyncio.Event().wait()
        await broker.publish(topic, key, value, headers, route)

    trail = Trail(journal, publish, PATIENCE_S)
    trail.append(record())
    task = asyncio.create_task(trail._flush_all())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hangs = False
    assert await trail._flush_all()
    assert broker.has == [("prod", 1)]
