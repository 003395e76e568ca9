"""A recorded stage lives its life again: the same events at the same times, whatever it took, forgot or failed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Permanent, UnreadableEvent
from contracts.events import Handling, Lookup, decode
from contracts.ports import Record
from contracts.topics import HANDLING
from contracts.units import SECOND as S
from streams.replay.player import NotHeld, RecordedLife, lives, play
from streams.replay.recorder import FLUSH_NS, IDLE_FLUSH_NS, MAX_STATE, RecordedStage, Recorder
from streams.stage import Emit, Output

T0 = 1_700_000_000 * S


class Diary:
    """A stage that emits all it depends on: state and time."""

    def __init__(self) -> None:
        self.total = 0
        self.counters: Counter[str] = Counter()

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        if record.value == b"bad":
            self.total += 1
            raise UnreadableEvent("bad")
        self.total += len(record.value)
        return self._said(now_ns) if record.value.startswith(b"a") else []

    def tick(self, now_ns: int) -> list[Output]:
        if self.total % 3:
            return []
        self.total += 1
        return self._said(now_ns)

    def _said(self, now_ns: int) -> list[Output]:
        return [Emit("out", "k", f"{self.total} {now_ns}".encode())]

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(self.total)

    def restore(self, state: bytes) -> None:
        self.total = msgspec.msgpack.decode(state, type=int)


def recorded(life_ns: int = 0) -> RecordedStage:
    return RecordedStage(Diary, Recorder("diary", "in", 2, "m"), life_ns)


def split(outputs: Iterable[Output]) -> tuple[list[Handling], list[bytes]]:
    emits = [o for o in outputs if isinstance(o, Emit)]
    handlings = [decode(Handling, e.value) for e in emits if e.topic == HANDLING]
    return handlings, [e.value for e in emits if e.topic != HANDLING]


def again(life: RecordedLife, records: dict[tuple[str, int, int], Record]) -> list[bytes]:
    return [e.value for _, e in play(life, Diary(), records)]


STEPS = st.lists(
    st.one_of(st.sampled_from([b"a", b"b", b"cc", b"bad"]), st.none(), st.just("restart")),
    max_size=60,
)


@given(STEPS, st.sampled_from([0, 5 * S]))
def test_every_life_is_the_same_again(steps: list[object], life_ns: int) -> None:
    stage = recorded(life_ns)
    records, said, now = {}, [], T0
    for i, step in enumerate(steps):
        now += S // 4
        if isinstance(step, bytes):
            records["in", 2, i] = record = Record("in", 2, i, None, step)
            try:
                said += stage.handle(record, now)
            except UnreadableEvent:
                continue
        elif step == "restart":  # the process died, and what it had not sent with it
            state, stage = stage.snapshot(), recorded(life_ns)
            stage.restore(state)
        else:
            said += stage.tick(now)
    handlings, events = split(said)
    whole, broken = lives(reversed([*handlings, *handlings]))
    assert not broken
    assert [event for life in whole for event in again(life, records)] == events


def test_the_record_goes_before_what_it_explains() -> None:
    stage = recorded()
    outputs = stage.handle(Record("in", 2, 0, None, b"a"), T0)
    assert [o.topic for o in outputs if isinstance(o, Emit)] == [HANDLING, "out"]
    assert next(o.partition for o in outputs if isinstance(o, Emit)) == 2


def test_quiet_stretches_are_sent_from_time_to_time() -> None:
    stage = recorded()
    assert stage.handle(Record("in", 2, 0, None, b"b"), T0) == []
    assert len(stage.tick(T0 + FLUSH_NS)) == 1
    idle, quiet = T0 + 2 * FLUSH_NS, T0 + 2 * FLUSH_NS + IDLE_FLUSH_NS
    assert stage.tick(idle) == []
    assert stage.tick(quiet - 1) == []
    assert len(stage.tick(quiet)) == 1


def test_a_long_life_ends_and_another_begins_with_its_state() -> None:
    stage = recorded(life_ns=5 * S)
    handlings, _ = split(o for i in range(8) for o in stage.handle(Record("in", 2, i, None, b"a"), T0 + i * S))
    assert len({h.life for h in handlings}) == 2
    (later,) = [h for h in handlings if h.sequence == 0 and h.state]
    assert msgspec.msgpack.decode(later.state) == 6


def test_what_cannot_be_replayed_is_named() -> None:
    stage = recorded()
    handlings, _ = split(o for i in range(3) for o in stage.handle(Record("in", 2, i, None, b"a"), T0 + i))
    whole, broken = lives([handlings[0], handlings[2]])
    assert [len(life.messages) for life in whole] == [1]
    assert "message 1 of its record is not in the log" in broken[0].text
    whole, broken = lives(handlings[1:])
    assert (whole, [b.beginless for b in broken]) == ([], [True])
    assert (broken[0].begin_ns, broken[0].end_ns) == (T0 + 1, T0 + 2)
    stage.restore(msgspec.msgpack.encode(0))
    lost, _ = split(stage.handle(Record("in", 2, 4, None, b"a"), T0))
    assert "too large" in lives([msgspec.structs.replace(lost[0], state_lost=True)])[1][0].text


def test_a_large_state_is_not_kept() -> None:
    recorder = Recorder("s", "t", 0, "m")
    recorder.begin(b"x" * (MAX_STATE + 1))
    recorder.ticked(T0)
    handling = decode(Handling, recorder.message().value)
    assert (handling.state_lost, handling.state) == (True, b"")


def test_a_recording_of_a_former_release_that_looked_things_up_is_named() -> None:
    stage = recorded()
    handlings, _ = split(stage.handle(Record("in", 2, 7, None, b"a"), T0))
    lookup = Lookup(number=0, question="known_services", about=("prod",), answer=["cart"])
    (life,), broken = lives([msgspec.structs.replace(handlings[0], lookups=(lookup,))])
    assert broken == []
    with pytest.raises(Permanent, match="a former release recorded it") as raised:
        again(life, {("in", 2, 7): Record("in", 2, 7, None, b"a")})
    assert raised.value.reason == "replay_diverged"
    assert "with the release that recorded it" in str(raised.value.fix)


def test_a_message_the_log_no_longer_holds_is_named() -> None:
    stage = recorded()
    handlings, _ = split(stage.handle(Record("in", 2, 7, None, b"a"), T0))
    (life,), _ = lives(handlings)
    with pytest.raises(NotHeld, match=r"in/2 no longer holds offset 7"):
        again(life, {})


def test_a_state_of_another_release_is_named() -> None:
    stage = recorded()
    stage.restore(msgspec.msgpack.encode(3))
    handlings, _ = split(stage.handle(Record("in", 2, 7, None, b"a"), T0))
    (life,), _ = lives([msgspec.structs.replace(handlings[0], state=b"\xa1x")])
    with pytest.raises(Permanent, match="cannot be read") as raised:
        again(life, {})
    assert raised.value.reason == "replay_diverged"
