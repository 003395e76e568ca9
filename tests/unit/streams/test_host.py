"""The host of stage instances: whatever a stage does, the message is accounted for and the others go on."""

from __future__ import annotations

from collections import Counter

import pytest

from contracts.errors import UndecodableTelemetry, UnreadableEvent
from contracts.events import DeadLetter, decode
from contracts.ports import Record
from contracts.topics import DEADLETTER, FEATURES, PARTIALS, RAW
from streams.host import StageHost
from streams.stage import Emit, Output, StageSpec


class Fragile:
    """Adds up the bytes it is sent; fails on some."""

    def __init__(self) -> None:
        self.sum = 0
        self.counters: Counter[str] = Counter()

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        match record.value:
            case b"undecodable":
                raise UndecodableTelemetry("not telemetry", reason="not_otlp")
            case b"bug":
                raise ZeroDivisionError("one by nought")
        self.sum += len(record.value)
        self.counters["bytes"] += len(record.value)
        return [Emit(FEATURES, "k", b"%d" % self.sum)]

    def tick(self, now_ns: int) -> list[Output]:
        if now_ns == 13:
            raise RuntimeError("unlucky")
        return [Emit(FEATURES, "tick", b"")] if now_ns == 7 else []

    def snapshot(self) -> bytes:
        return b"%d" % self.sum

    def restore(self, state: bytes) -> None:
        if state == b"old":
            raise UnreadableEvent("of another version")
        self.sum = int(state)


ONE = StageSpec("one", (RAW,), (FEATURES,), lambda topic, partition: Fragile())
TWO = StageSpec("two", (RAW, PARTIALS), (FEATURES,), lambda topic, partition: Fragile(), colocated=True)


def record(value: bytes, offset: int = 0, topic: str = RAW, partition: int = 0) -> Record:
    return Record(topic, partition, offset, b"key", value)


def letters(outputs: list[Output]) -> list[DeadLetter]:
    return [decode(DeadLetter, o.value) for o in outputs if isinstance(o, Emit) and o.topic == DEADLETTER]


@pytest.mark.parametrize(("value", "reason"), [(b"undecodable", "not_otlp"), (b"bug", "internal_error")])
def test_what_a_stage_fails_on_is_kept_whole_with_its_reason(value: bytes, reason: str) -> None:
    host = StageHost([ONE])
    (letter,) = letters(host.handle(record(value, 5, partition=3), 99))
    assert (letter.payload, letter.key, letter.reason, letter.time_ns) == (value, b"key", reason, 99)
    assert (letter.source_topic, letter.source_partition, letter.source_offset) == (RAW, 3, 5)
    assert host.totals() == {("one", "messages"): 1, ("one", "dead_letters"): 1}


def test_one_stage_failing_does_not_keep_a_message_from_another() -> None:
    other = StageSpec("other", (RAW,), (), lambda topic, partition: Loud())
    outputs = StageHost([ONE, other]).handle(record(b"bug"), 0)
    assert [o.topic for o in outputs if isinstance(o, Emit)] == [DEADLETTER, PARTIALS]


class Loud(Fragile):
    def handle(self, record: Record, now_ns: int) -> list[Output]:
        return [Emit(PARTIALS, "heard", record.value)]


def test_redelivered_messages_are_dropped_also_those_that_failed() -> None:
    host = StageHost([ONE])
    for offset, value in ((0, b"a"), (1, b"bug"), (0, b"a"), (1, b"bug"), (2, b"bb")):
        host.handle(record(value, offset), 0)
    assert host.totals() == {
        ("one", "messages"): 3,
        ("one", "dead_letters"): 1,
        ("one", "redelivered"): 2,
        ("one", "bytes"): 3,
    }


def test_offsets_are_kept_by_topic_and_partition() -> None:
    host = StageHost([TWO])
    for topic, partition in ((RAW, 0), (PARTIALS, 0), (RAW, 1)):
        host.handle(record(b"a", 0, topic, partition), 0)
    assert host.totals()["two", "messages"] == 3
    assert {k: i.stage.snapshot() for k, i in host.instances.items()} == {"two/0": b"2", "two/1": b"1"}


def test_a_stage_that_fails_while_time_passes_does_not_stop_time_for_others() -> None:
    host = StageHost([ONE, TWO])
    host.handle(record(b"a"), 0)
    assert host.tick(13) == []
    assert host.counters["one", "tick_errors"] == host.counters["two", "tick_errors"] == 1
    assert len(host.tick(7)) == 2


def test_snapshots_bring_back_state_and_offsets() -> None:
    host = StageHost([ONE], log_id="log")
    host.handle(record(b"abc", 8), 0)
    kept = {k: i.snapshot("log") for k, i in host.instances.items()}
    again = StageHost([ONE], kept.get, "log")
    assert again.handle(record(b"abc", 8), 0) == []
    assert again.handle(record(b"d", 9), 0) == [Emit(FEATURES, "k", b"4")]


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"{}"])
def test_a_snapshot_that_cannot_be_read_means_starting_afresh_and_says_so(payload: bytes) -> None:
    host = StageHost([ONE], lambda key: payload)
    assert host.handle(record(b"abc"), 0) == [Emit(FEATURES, "k", b"3")]
    assert host.counters["one", "snapshot_unusable"] == 1


def test_dirty_means_changed_since_the_last_snapshot_that_was_saved() -> None:
    host = StageHost([ONE])
    host.handle(record(b"a"), 0)
    (instance,) = host.instances.values()
    assert instance.dirty
    changes, _ = instance.changes, instance.snapshot("")
    assert instance.dirty, "it may never be saved"
    instance.saved = changes
    assert not instance.dirty
    host.tick(1)
    assert not instance.dirty
    host.tick(7)
    assert instance.dirty


def test_forgetting_a_partition_gives_its_instances_away() -> None:
    host = StageHost([ONE, TWO])
    for partition in (0, 1):
        host.handle(record(b"a", partition=partition), 0)
    assert [i.key for i in host.forget(RAW, 1)] == ["one/telemetry.raw/1", "two/1"]
    assert sorted(host.instances) == ["one/telemetry.raw/0", "two/0"]
    assert host.forget(RAW, 1) == []


def test_what_was_counted_stays_counted_when_a_partition_goes() -> None:
    host = StageHost([ONE, TWO])
    for partition in (0, 1):
        host.handle(record(b"a", partition=partition), 0)
        host.instance(ONE, RAW, partition).stage.counters["late"] += 3
    before = host.totals()
    assert before["one", "late"] == 6
    host.forget(RAW, 1)
    assert host.totals() == before
