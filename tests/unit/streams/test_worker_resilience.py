"""What must not stop the consume loop: bad switches, a broker that refuses, being stopped in the middle of traffic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import MessageSizeTooLargeError

from connectors.kafka.embedded import FETCH_WAIT_MS, EmbeddedBroker
from connectors.state.sqlite import SqliteStateStore
from contracts.errors import ActionFailed, BrokerUnavailable, Forbidden, UnreadableEvent
from contracts.events import DeadLetter, decode
from contracts.ports import Record, SystemClock
from contracts.settings import load
from contracts.topics import CONTROL, DEADLETTER, FEATURES, RAW
from streams.stage import Emit, Output, StageSpec
from streams.worker import Worker, WorkerWiring
from streams.worker.app import ConsumerThread
from tests.patience import PATIENCE_S


class Obedient:
    """Passes on what it hears, and remembers the switches it was told; one that is `nonsense` it cannot read."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.switches: list[bytes] = []

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        if record.topic != CONTROL:
            return [Emit(FEATURES, "heard", record.value if self.switches else b"too early")]
        if record.value == b"nonsense":
            raise UnreadableEvent("no switch")
        self.switches.append(record.value)
        return []

    def tick(self, now_ns: int) -> list[Output]:
        return []

    def snapshot(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        self.switches.clear()


SPEC = StageSpec("obedient", (RAW,), (FEATURES,), lambda topic, partition: Obedient(), overhears=(CONTROL,))


class Moody(EmbeddedBroker):
    """Takes messages, except as often as told: then it fails at once, after a while, or for good."""

    later = now = never = too_late = forbidden = 0

    async def enqueue(self, topic: str, value: bytes, **how: Any) -> asyncio.Future[Any]:
        if topic == FEATURES and self.now:
            self.now -= 1
            raise BrokerUnavailable("not now")
        if topic == FEATURES and self.never:
            self.never -= 1
            raise ActionFailed("too large", reason="too_large")
        if topic == FEATURES and self.forbidden:
            self.forbidden -= 1
            raise Forbidden("not allowed")
        if topic == FEATURES and self.too_late:
            self.too_late -= 1
            refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            refused.set_exception(MessageSizeTooLargeError("the topic allows less"))
            return refused
        if topic == FEATURES and self.later:
            self.later -= 1
            failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            failed.set_exception(BrokerUnavailable("it was lost on the way"))
            return failed
        return await super().enqueue(topic, value, **how)


class Slow(SqliteStateStore):
    """Takes for ever over the first snapshot."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = 0

    async def save(self, key: str, value: bytes) -> None:
        self.asked += 1
        if self.asked == 1:
            await asyncio.Event().wait()
        await super().save(key, value)


async def _worker(
    broker: EmbeddedBroker,
    folder: Path,
    handlers: dict[str, Sequence[Any]],
    store: type[SqliteStateStore] = SqliteStateStore,
) -> Worker:
    state = store(folder / "state.sqlite")
    partitions = await broker.ensure_topics(4)
    return Worker(
        WorkerWiring(
            *(load({"data_dir": folder}), broker, partitions, state, SystemClock(), (SPEC,)),
            graph=lambda write: None,
            log_id="log",
            handlers={k: tuple(v) for k, v in handlers.items()},
            snapshot_s=0.2,
            fetch_wait_ms=FETCH_WAIT_MS,
            drain_s=PATIENCE_S,
        )
    )


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def _values(broker: EmbeddedBroker, topic: str) -> list[bytes]:
    return [r.value async for r in broker.read([topic])]


async def test_nothing_of_this_stops_the_loop(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def acting(record: Record) -> None:
        if record.value == b"nonsense":
            raise ValueError(record.value)
        heard.append(record.value)

    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {CONTROL: [acting]})
    try:
        await broker.send(CONTROL, b"off", key=b"*")
        await broker.send(RAW, b"a", partition=1)
        await worker.start()
        await _switches(broker, worker, heard)
        await _refusals(broker, worker)
        for n in range(300):
            await broker.enqueue(RAW, b"%d" % n, partition=n % 4)
        await worker.stop()
        assert worker.unacknowledged == 0
        found = await _values(broker, FEATURES)
        assert sorted(int(v) for v in found if v.isdigit()) == list(range(300)), "all of the log was taken, once"
    finally:
        await worker.stop()
        await broker.stop()


async def _switches(broker: Moody, worker: Worker, heard: list[bytes]) -> None:
    """Switches set before the start are known before the first message is taken; one that cannot be read is kept, and the next ones arrive."""
    await _until(lambda: "obedient/telemetry.raw/1" in worker.host.instances)
    assert set(_told(worker)) == set(heard) == {b"off"}
    await broker.send(CONTROL, b"nonsense", key=b"other")
    await broker.send(CONTROL, b"on", key=b"*")
    await _until(lambda: heard[-1] == _told(worker)[-1] == b"on")
    await _until(lambda: not worker._outbox.sending)
    letters = [decode(DeadLetter, v) for v in await _values(broker, DEADLETTER)]
    assert {(d.payload, d.source_topic) for d in letters} == {(b"nonsense", CONTROL)}


def _told(worker: Worker) -> list[bytes]:
    stage = worker.host.instances["obedient/telemetry.raw/1"].stage
    assert isinstance(stage, Obedient)
    return stage.switches


async def _refusals(broker: Moody, worker: Worker) -> None:
    """What the broker does not take is sent again before anything is acknowledged; what it never will is counted."""
    broker.now, broker.later = 2, 3
    for value in (b"b", b"c", b"d", b"e"):
        await broker.send(RAW, value, partition=1)
    await _until(lambda: worker.host.counters["obedient", "messages"] == 5)
    await _until(lambda: worker.unacknowledged == 0)
    assert sorted(await _values(broker, FEATURES)) == [b"a", b"b", b"c", b"d", b"e"]
    broker.never, broker.too_late, broker.forbidden = 1, 1, 2
    await broker.send(RAW, b"forbidden, then huge", partition=1)
    await _until(lambda: worker.host.counters["worker", "unsendable"] == 1)
    await broker.send(RAW, b"too large for the topic", partition=1)
    await _until(lambda: worker.host.counters["worker", "unsendable"] == 2)
    await _until(lambda: worker.unacknowledged == 0)
    assert broker.forbidden == 0


async def test_a_snapshot_that_the_stop_cut_off_is_saved_after_all(tmp_path: Path) -> None:
    """Else what it holds would be acknowledged with the next ones, and be nowhere."""
    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {}, Slow)
    try:
        await worker.start()
        for partition in range(4):
            await broker.send(RAW, b"a", partition=partition)
        state = worker._w.state
        assert isinstance(state, Slow)
        await _until(lambda: state.asked == 1 and worker.host.counters["obedient", "messages"] == 4)
        await worker.stop()
        assert worker.unacknowledged == 0
        kept = [await state.load(f"obedient/{RAW}/{partition}") for partition in range(4)]
        assert all(kept), kept
    finally:
        await worker.stop()
        await broker.stop()


class Picky(SqliteStateStore):
    """Cannot be read at first, and never saves the state of partition 1."""

    refusals = 3

    async def load(self, key: str) -> bytes | None:
        if key.endswith("/1") and self.refusals:
            self.refusals -= 1
            raise Forbidden("not now")
        return await super().load(key)

    async def save(self, key: str, value: bytes) -> None:
        if key.endswith("/1"):
            raise ActionFailed("too large", reason="too_large")
        await super().save(key, value)


async def test_state_that_cannot_be_read_or_saved_costs_its_own_partition_alone_and_no_message(tmp_path: Path) -> None:
    async def acting(record: Record) -> asyncio.Future[None] | None:
        if record.value != b"1":
            return None
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(ValueError("it could not be done"))
        return failed

    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {RAW: [acting]}, Picky)
    await broker.send(CONTROL, b"off", key=b"*")
    try:
        await worker.start()
        for n in range(8):
            await broker.send(RAW, b"%d" % n, partition=n % 4)
        await _until(lambda: worker.host.counters["obedient", "messages"] == 8)
        await _until(lambda: worker.unacknowledged == 2)
        assert {t.event.message.partition for t in worker._unacked} == {1}
        assert worker.host.counters["worker", "unsaved"] > 0
        unsaved = worker.host.counters["worker", "unsaved"]
        await _until(lambda: worker.host.counters["worker", "unsaved"] > unsaved + 2)
        assert [decode(DeadLetter, v).payload for v in await _values(broker, DEADLETTER)] == [b"1"]
        await _until(lambda: worker.recovering == 0)
        assert sorted(await _values(broker, FEATURES)) == [b"%d" % n for n in range(8)]
    finally:
        await worker.stop()
        await broker.stop()


async def test_a_stop_in_the_middle_of_sending_again_forgets_nothing(tmp_path: Path) -> None:
    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {})
    await broker.send(CONTROL, b"off", key=b"*")
    try:
        await worker.start()
        broker.later = 3
        for n in range(4):
            await broker.send(RAW, b"%d" % n, partition=1)
        await _until(lambda: worker.host.counters["obedient", "messages"] == 4)
        await worker.stop()
        assert worker.unacknowledged == 0
        assert sorted(await _values(broker, FEATURES)) == [b"0", b"1", b"2", b"3"]
    finally:
        await worker.stop()
        await broker.stop()


async def test_messages_wait_until_those_who_act_know_of_their_partitions(tmp_path: Path) -> None:
    """They come as soon as the group has spoken. One that was passed over then would be acknowledged with the ones behind it."""
    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {})

    async def told(_: frozenset[tuple[str, int]]) -> None:
        await asyncio.sleep(1.5)

    worker._w = replace(worker._w, on_assigned=told)
    try:
        for n in range(40):
            await broker.send(RAW, b"%d" % n, partition=n % 4)
        await worker.start()
        await broker.send(RAW, b"last", partition=1)
        await _until(lambda: worker.host.counters["obedient", "messages"] >= 41)
        await _until(lambda: worker.unacknowledged == 0)
    finally:
        await worker.stop()
        await broker.stop()


async def test_what_is_done_later_holds_up_nothing_but_its_acknowledgement(tmp_path: Path) -> None:
    going: list[asyncio.Future[None]] = []

    async def acting(record: Record) -> asyncio.Future[None] | None:
        if record.value == b"now":
            return None
        going.append(asyncio.get_running_loop().create_future())
        return going[-1]

    broker = Moody(load().broker)
    await broker.start()
    worker = await _worker(broker, tmp_path, {RAW: [acting]})
    try:
        await worker.start()
        for value in (b"now", b"later", b"now", b"fails", b"never", b"now"):
            await broker.send(RAW, value, partition=1)
        await _until(lambda: len(going) == 3)
        await _until(lambda: worker.host.counters["obedient", "messages"] == 6)
        await _until(
            lambda: worker.unacknowledged == 5
        )  # also what is done, behind what is not: a commit covers all before it
        going[0].set_result(None)
        going[1].set_exception(ValueError("it could not be done"))
        going[2].cancel()
        await _until(lambda: worker.unacknowledged == 2)
        letters = [decode(DeadLetter, v) for v in await _values(broker, DEADLETTER)]
        assert [(d.payload, d.reason) for d in letters] == [(b"fails", "internal_error")]
        await worker.stop()
        assert worker.unacknowledged == 2
        admin, place = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap), TopicPartition(RAW, 1)
        await admin.start()
        committed = await admin.list_consumer_group_offsets(load().broker.group, partitions=[place])
        await admin.close()
        assert committed[place].offset == 4
    finally:
        await worker.stop()
        await broker.stop()


async def test_a_partition_that_was_not_fetched_from_yet_ends_no_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust looks for partitions that stand still, and asserts that each has a position: not so between an assignment and the first
    fetch, which takes long where the processor is short. The worker would take nothing any more."""
    place, of_aiokafka = TopicPartition("telemetry.raw", 0), SubscriptionState()
    of_aiokafka.assign_from_user([place])
    thread: Any = object.__new__(ConsumerThread)
    monkeypatch.setattr(ConsumerThread, "_verify_aiokafka_event_path", lambda *_: False)
    monkeypatch.setattr(
        ConsumerThread,
        "_ensure_consumer",
        lambda _: SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=of_aiokafka)),
    )
    thread.consumer = SimpleNamespace(
        app=SimpleNamespace(monitor=object(), topics=SimpleNamespace(acks_enabled_for=bool))
    )
    thread.time_started = 0.0
    thread.verify_event_path(1.0, place)
