"""The journal in Kafka, over the embedded broker: that one fences nobody, so fencing is tested on a real one (tests/services)."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from connectors.journal.kafka import KafkaJournal
from connectors.journal.log import PartitionLog
from connectors.journal.partition import OwnedPartition
from connectors.kafka.embedded import PARTITIONS, EmbeddedBroker
from connectors.kafka.librdkafka import options_of
from contracts.checks import journal as checks
from contracts.checks import journal_takeovers as takeovers
from contracts.errors import BrokerUnavailable, Conflict, Fenced, UnknownName, UnreadableEvent
from contracts.ports import StepEntry
from contracts.settings import BrokerSettings
from contracts.topics import JOURNAL, partition_of
from contracts.verdicts import RunState, StepPhase
from tests.patience import PATIENCE_S

SETTINGS = BrokerSettings()


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    found = EmbeddedBroker(SETTINGS)
    await found.start()
    await found.ensure_topics(PARTITIONS)
    yield found
    await found.stop()


Opening = Callable[[], KafkaJournal]


@pytest.fixture
def opening(broker: EmbeddedBroker) -> Opening:
    names = itertools.count()
    return lambda: KafkaJournal(SETTINGS, broker.bootstrap, PARTITIONS, f"node-{next(names)}")


async def taken(opening: Opening, *partitions: int) -> KafkaJournal:
    journal = opening()
    await asyncio.gather(*(journal.take(p) for p in partitions or range(PARTITIONS)))
    return journal


@pytest.mark.parametrize("check", checks.BY_ONE_OWNER)
async def test_checks(check: checks.Check, opening: Opening) -> None:
    await asyncio.to_thread(check, lambda: asyncio.run(taken(opening)))


@pytest.mark.parametrize("check", takeovers.TAKEOVERS)
async def test_takeovers(check: takeovers.Takeover, opening: Opening) -> None:
    await check(lambda: taken(opening))


async def test_what_is_not_owned_is_not_written_and_not_known(opening: Opening) -> None:
    mine = partition_of("e", PARTITIONS)
    journal = await taken(opening, *(p for p in range(PARTITIONS) if p != mine))
    for write in (
        lambda: checks.create(journal, 1),
        lambda: journal.put("verdict/r1", {}, "e"),
        lambda: journal.append_audit("e", b"", 1),
        lambda: journal.set_state("r1", 1, RunState.FAILED, 1),
        lambda: journal.step(StepEntry("r1", "s", StepPhase.INTENT, "k", 1), 1),
    ):
        with pytest.raises(Fenced):
            write()
    with pytest.raises(Fenced):
        await journal.settled("e", 5)
    with pytest.raises(UnknownName):
        journal.claim("r1", 1)
    assert (journal.open_runs("e"), journal.history("e"), journal.audit("e"), journal.load("r1")) == ([], [], [], None)
    journal.close()


async def test_what_was_released_is_written_and_belongs_to_the_next(opening: Opening) -> None:
    first, second = await taken(opening), opening()
    checks.create(first, 1)
    first.put("control/*", {"acting": False})
    await first.release(range(PARTITIONS))
    with pytest.raises(Fenced):
        first.set_state("r1", 1, RunState.FAILED, 2)
    await asyncio.gather(*(second.take(p) for p in range(PARTITIONS)))
    assert [e.run for e in second.open_runs()] == ["r1"]
    assert first.get("control/*") == {"acting": False}
    assert second.get("control/*") is None, "what every process learns by itself is not shared"
    first.close()
    second.close()


async def test_published_audit_records_are_let_go_except_for_the_last(opening: Opening) -> None:
    first = await taken(opening)
    for n in range(1, 6):
        first.append_audit("e", b"%d" % n, n)
    for n in range(1, 4):
        first.mark_published("e", n)
    await first.settled("e", 30)
    assert first.audit("e") == [(3, b"3"), (4, b"4"), (5, b"5")]
    second = await taken(opening)
    assert second.audit("e") == first.audit("e")
    assert second.audit("e", unpublished=True) == [(4, b"4"), (5, b"5")]
    with pytest.raises(Conflict):
        second.append_audit("e", b"other", 5)
    first.close()
    second.close()


async def test_what_is_forgotten_is_a_tombstone_on_the_compacted_topic(
    broker: EmbeddedBroker, opening: Opening
) -> None:
    """Compaction drops a key whose last record has no value: the topic doesn't grow with what was forgotten."""
    first = await taken(opening)
    entry = checks.create(first, 1)
    assert entry is not None
    first.step(StepEntry("r1", "s", StepPhase.INTENT, "k", 1), entry.fence)
    first.step(StepEntry("r1", "s", StepPhase.APPLIED, "k", 2), entry.fence)
    first.put("verdict/r1", {}, "e")
    first.put("verdict/r2", {}, "e")
    first.set_state("r1", 1, RunState.SUCCEEDED, 10)
    first.forget_runs(["r1"])
    first.forget(["verdict/r1", "verdict/nobody's"], "e")
    await first.settled("e", PATIENCE_S)
    first.close()
    log = PartitionLog(
        options_of(SETTINGS, broker.bootstrap),
        topic=JOURNAL,
        partition=partition_of("e", PARTITIONS),
        group="reader",
        owner="reader",
        timeout_s=PATIENCE_S,
    )
    last = dict(log._read())
    log.close()
    assert {key for key, value in last.items() if value is not None} == {"owner", "fact/verdict/r2"}
    assert {key for key, value in last.items() if value is None} == {
        "run/r1",
        "step/0/r1",
        "step/1/r1",
        "fact/verdict/r1",
    }, "what was never there needs no tombstone"


async def test_a_record_that_cannot_be_read_is_refused_with_its_name(broker: EmbeddedBroker, opening: Opening) -> None:
    await broker.send(JOURNAL, b'{"no": "run"}', key=b"run/r7", partition=2)
    journal = opening()
    with pytest.raises(UnreadableEvent, match=r"run/r7.*later release"):
        await journal.take(2)
    assert journal.owned == frozenset()
    journal.close()


@pytest.mark.parametrize("released", [True, False])
async def test_a_taking_that_was_cancelled_does_not_shut_out_the_one_after_it(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """Its thread goes on. Were the partition taken meanwhile, that would be fenced by our own straggler."""
    go, order = threading.Event(), list[str]()
    take, close = PartitionLog.take, PartitionLog.close

    def slowly(self: PartitionLog) -> dict[str, bytes]:
        order.append("begun")
        go.wait(PATIENCE_S)
        found = take(self)
        order.append("taken")
        return found

    def closed(self: PartitionLog) -> None:
        order.append("closed")
        close(self)

    monkeypatch.setattr(PartitionLog, "take", slowly)
    monkeypatch.setattr(PartitionLog, "close", closed)
    monkeypatch.setattr("connectors.journal.kafka._PATIENCE_S", 0.05)
    journal = opening()
    first = asyncio.create_task(journal.take(1))
    while not order:
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait([first])
    if released:
        await journal.release([1])  # a rebalance is not held up for ever
    second = asyncio.create_task(journal.take(1))
    await asyncio.sleep(0.05)
    assert order == ["begun"]
    go.set()
    await second
    assert order == ["begun", "taken", "closed", "begun", "taken"]
    assert journal.owned == {1}
    journal.close()


class Troubled(PartitionLog):
    """Its broker is away as often as told."""

    away = 0

    def write(self, changes: object) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable("not now")
        super().write(changes)  # type: ignore[arg-type]


def troubled(broker: EmbeddedBroker, owner: str) -> Troubled:
    options = options_of(SETTINGS, broker.bootstrap)
    return Troubled(options, topic=JOURNAL, partition=1, group="g", owner=owner, timeout_s=PATIENCE_S)


def test_writes_wait_for_the_broker_in_order_and_nothing_settles_meanwhile(broker: EmbeddedBroker) -> None:
    from connectors.journal.changes import Image, fact_change, image_of

    log = troubled(broker, "one")
    log.take()
    log.away = 1_000_000
    owned = OwnedPartition(log, Image(), "1")
    owned.queue([fact_change("a", {"n": n}) for n in range(50)])
    with pytest.raises(BrokerUnavailable, match=r"within 0\.2 s"):
        asyncio.run(owned.settled(0.2))
    assert owned.pending == 50
    log.away = 3
    asyncio.run(owned.settled(PATIENCE_S))
    assert owned.pending == 0
    owned.close()
    assert image_of(troubled(broker, "two").take()).facts == {"a": {"n": 49}}


def test_who_reconnects_looks_whether_it_is_the_owner_still(broker: EmbeddedBroker) -> None:
    one, two = troubled(broker, "one"), troubled(broker, "two")
    one.take()
    one.write([("fact/a", b"1")])
    one.close()
    one.write([("fact/a", b"2")])
    assert two.take() == {"fact/a": b"2"}
    one.close()
    with pytest.raises(Fenced, match="another worker"):
        one.write([("fact/a", b"3")])
    assert troubled(broker, "three").take() == {"fact/a": b"2"}


async def test_without_a_broker_it_says_so(broker: EmbeddedBroker) -> None:
    journal = KafkaJournal(SETTINGS, "127.0.0.1:1", PARTITIONS, "n", timeout_s=1.0)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await journal.take(0)
    journal.close()
