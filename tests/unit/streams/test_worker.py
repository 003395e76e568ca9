"""The consume loop on Faust, over the embedded broker: real clients, real sockets, one process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from faust.types import TP

from connectors.kafka.embedded import FETCH_WAIT_MS, EmbeddedBroker
from contracts.errors import Forbidden, InvalidSettings
from contracts.events import DeadLetter, decode
from contracts.ports import Record, SystemClock
from contracts.settings import load
from contracts.topics import CONTROL, DEADLETTER, FEATURES, PARTIALS, RAW
from streams.host import StageHost
from streams.stage import Emit, Output, StageSpec
from streams.worker import Worker, WorkerWiring
from tests.patience import PATIENCE_S


class Adder:
    """Adds the numbers it is sent to a running sum, and passes the sum on."""

    def __init__(self, to: str) -> None:
        self.to, self.sum = to, 0
        self.counters: Counter[str] = Counter()

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        self.sum += int(record.value)
        return [Emit(self.to, "sum", b"%d" % self.sum)]

    def tick(self, now_ns: int) -> list[Output]:
        return []

    def snapshot(self) -> bytes:
        return b"%d" % self.sum

    def restore(self, state: bytes) -> None:
        self.sum = int(state)


class MemoryState:
    """A state store that outlives a worker."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def load(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def save(self, key: str, value: bytes) -> None:
        self.kept[key] = value

    async def close(self) -> None:
        self.kept = dict(self.kept)


SPECS = (
    StageSpec("first", (RAW,), (PARTIALS,), lambda topic, partition: Adder(PARTIALS)),
    StageSpec("second", (PARTIALS,), (FEATURES,), lambda topic, partition: Adder(FEATURES)),
)


class FailingState(MemoryState):
    """Keeps what is saved while it is not failing."""

    failing = False

    async def save(self, key: str, value: bytes) -> None:
        if self.failing:
            raise Forbidden("the disk is read-only", fix="mount it for writing")
        await super().save(key, value)


@pytest.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    found = EmbeddedBroker(load().broker)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def make(broker: EmbeddedBroker, tmp_path: Path) -> AsyncIterator[Callable[..., Worker]]:
    partitions = await broker.ensure_topics(4)
    made: list[Worker] = []

    def build(state: MemoryState, **more: object) -> Worker:
        made.append(
            Worker(
                WorkerWiring(
                    load({"data_dir": tmp_path}),
                    broker,
                    partitions,
                    state,
                    SystemClock(),
                    SPECS,
                    lambda write: None,
                    "log-1",
                    fetch_wait_ms=FETCH_WAIT_MS,
                    **more,  # type: ignore[arg-type]
                )
            )
        )
        return made[-1]

    yield build
    for worker in made:
        await worker.stop()


async def _until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_messages_flow_through_the_stages_and_what_is_unreadable_is_kept(
    broker: EmbeddedBroker, make: Callable[..., Worker]
) -> None:
    worker = make(MemoryState())
    await worker.start()
    assert len(worker.assigned) == 8
    for value in (b"1", b"2", b"not a number", b"3"):
        await broker.send(RAW, value, partition=2)
    await _until(lambda: worker.host.counters["second", "messages"] == 3)
    sums = [int(r.value) async for r in broker.read([FEATURES])]
    letters = [decode(DeadLetter, r.value) async for r in broker.read([DEADLETTER])]
    assert sums == [1, 1 + 3, 1 + 3 + 6]
    assert [(d.payload, d.source_topic, d.source_partition, d.source_offset) for d in letters] == [
        (b"not a number", RAW, 2, 2)
    ]


async def test_a_worker_that_dies_repeats_messages_and_loses_none(
    broker: EmbeddedBroker, make: Callable[..., Worker]
) -> None:
    state = FailingState()
    first = make(state, snapshot_s=0.2)
    await first.start()
    for value in range(1, 51):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await _until(lambda: bool(state.kept))
    state.failing = True  # as if the process had been killed right after an early snapshot
    for value in range(51, 101):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await _until(lambda: first.host.counters["first", "messages"] == 100)
    await first.stop()
    state.failing = False
    second = make(state)
    for value in range(101, 201):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await second.start()
    await _until(lambda: sum(i.stage.sum for k, i in second.host.instances.items() if k.startswith("first/")) == 20100)


async def test_what_was_acknowledged_but_is_in_no_state_is_read_again(
    broker: EmbeddedBroker, make: Callable[..., Worker]
) -> None:
    """As when a snapshot of an owner that was given up arrives late, over the one of the next owner."""
    state = MemoryState()
    first = make(state)
    await first.start()
    for value in range(1, 41):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await _until(lambda: first.host.counters["first", "messages"] == 40)
    await first.stop()
    assert first.unacknowledged == 0
    before = StageHost(SPECS, log_id="log-1")
    async for record in broker.between(RAW, 1, 0, 4):
        before.handle(record, 0)
    (old,) = (i for k, i in before.instances.items() if k.startswith("first/"))
    state.kept[old.key] = old.snapshot("log-1")
    second = make(state)
    await second.start()
    for value in range(41, 61):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await _until(lambda: _sum(second) == sum(range(1, 61)))
    assert second.host.counters["worker", "read_again"] == 6
    assert second.host.counters["first", "redelivered"] == 0
    await second.stop()
    third = make(state)
    await third.start()
    for value in range(61, 65):
        await broker.send(RAW, b"%d" % value, partition=value % 4)
    await _until(lambda: _sum(third) == sum(range(1, 65)))
    assert third.host.counters["worker", "read_again"] == 0


def _sum(worker: Worker) -> int:
    """Of what was added in the first stage."""
    return sum(i.stage.sum for k, i in worker.host.instances.items() if k.startswith("first/"))


def test_faust_without_its_compiled_part_is_refused(
    make: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faust.streams._CStreamIterator", None)
    with pytest.raises(InvalidSettings, match="would lose messages"):
        make(MemoryState())


def test_snapshots_of_another_log_keep_the_state_but_not_the_offsets() -> None:
    host = StageHost(SPECS, log_id="monday")
    host.handle(Record(RAW, 0, 41, None, b"5"), 0)
    kept = {"first/telemetry.raw/0": host.instances["first/telemetry.raw/0"].snapshot("monday")}
    for log_id, total in (("monday", 5), ("tuesday", 7)):
        fresh = StageHost(SPECS, kept.get, log_id)
        fresh.handle(Record(RAW, 0, 0, None, b"2"), 0)
        assert fresh.instances["first/telemetry.raw/0"].stage.snapshot() == b"%d" % total


async def test_control_reaches_every_worker(broker: EmbeddedBroker, make: Callable[..., Worker]) -> None:
    heard: list[bytes] = []

    async def hear(record: Record) -> None:
        heard.append(record.value)

    worker = make(MemoryState(), handlers={CONTROL: (hear,)})
    await broker.send(CONTROL, b"before", partition=1)
    await worker.start()
    await broker.send(CONTROL, b"after", partition=3)
    await _until(lambda: sorted(heard) == [b"after", b"before"])


class SlowState(MemoryState):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()

    async def load(self, key: str) -> bytes | None:
        await self.let.wait()
        return await super().load(key)


async def test_a_worker_recovers_the_state_of_its_partitions_before_their_first_message(
    make: Callable[..., Worker],
) -> None:
    state = SlowState()
    worker = make(state)
    await worker.start()
    assert (worker.member, len(worker.assigned), worker.recovering) == (True, 8, 8)
    state.let.set()
    await _until(lambda: worker.recovering == 0)
    assert worker.host.instances == {}, "and no message has come yet"
    assert worker.loop_age_s < PATIENCE_S


async def test_lag_is_what_has_not_been_taken(broker: EmbeddedBroker, make: Callable[..., Worker]) -> None:
    worker = make(MemoryState())
    await worker.start()
    assert worker.lag == {}
    async with worker._taking:  # as if one message took long
        for _ in range(20):
            await broker.send(RAW, b"1", partition=1)
    await _until(lambda: worker.host.counters["first", "messages"] == 20)
    await _until(lambda: worker.lag.get(RAW) == 0)
    worker._taken[RAW, 1] -= 5
    assert worker.lag[RAW] == 5


async def test_a_loop_that_is_held_up_is_behind_by_its_oldest_message(
    broker: EmbeddedBroker, make: Callable[..., Worker]
) -> None:
    gate = asyncio.Event()

    async def held_up(record: Record) -> None:
        if record.offset:
            await gate.wait()

    worker = make(MemoryState(), handlers={RAW: (held_up,)})
    await worker.start()
    assert worker.behind_s == 0.0
    for value in (b"1", b"2", b"3"):
        await broker.send(RAW, value, partition=0)
    async with asyncio.timeout(PATIENCE_S):
        while not worker.behind_s > 0.3:
            await asyncio.sleep(0.02)
    assert worker.lag[RAW] >= 1
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        while worker.behind_s > 0 or worker.lag[RAW]:
            await asyncio.sleep(0.02)


async def test_a_worker_without_partitions_is_a_member_and_gets_its_own_later(make: Callable[..., Worker]) -> None:
    """The embedded broker has four partitions and dislikes crowds: what the group says is said by hand."""
    worker = make(MemoryState())
    await worker._on_assigned(None, set())
    assert (worker.member, worker.assigned, worker.recovering) == (True, frozenset(), 0)
    await worker._on_revoked(None, set())
    assert not worker.member, "until the group says so again"
    await worker._on_assigned(None, {TP(RAW, 0)})
    assert (worker.member, worker.assigned, worker.recovering) == (True, {(RAW, 0)}, 1)
    await _until(lambda: worker.recovering == 0)
