"""Replay lets time pass between messages: in fine steps while something may happen, and not at all through long silences."""

from __future__ import annotations

import time

from connectors.otlp.recording import RecordedMessage
from contracts.settings import load
from contracts.topics import RAW, TOPICS
from contracts.units import SECOND
from homeostat.replay.recording import BUSY_S, QUIET_S, replay
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

STEP = SECOND // 10
T0 = 1_700_000_000 * SECOND


class Counting(MemoryPipeline):
    """Remembers when time was let pass."""

    def __init__(self) -> None:
        super().__init__(perceive_specs(load(), dict.fromkeys(TOPICS, 4)), 4)
        self.ticks: list[int] = []

    def tick(self, now_ns: int) -> None:
        self.ticks.append(now_ns)
        super().tick(now_ns)


def message(at_s: float) -> RecordedMessage:
    at = T0 + int(at_s * SECOND)
    return RecordedMessage(time_ns=at, topic=RAW, payload=b'{"service": "a", "timestamp": %d}' % (at // SECOND))


def ticks(*at_s: float) -> tuple[list[float], list[float]]:
    """Seconds at which time was let pass, and what the replay gave its caller."""
    pipeline = Counting()
    given = list(replay([message(s) for s in at_s], pipeline, STEP))
    return [(t - T0) / SECOND for t in pipeline.ticks], [(t - T0) / SECOND for t in given]


def test_steps_between_messages_are_those_of_the_flush() -> None:
    passed, _ = ticks(0, 1)
    assert passed[:10] == [n / 10 for n in range(1, 11)]


def test_a_long_silence_is_fine_at_first_then_in_seconds_then_jumped_over() -> None:
    passed, given = ticks(0, 86_400)
    gap = [t for t in passed if t <= 86_400]
    assert gap[: BUSY_S * 10] == [n / 10 for n in range(1, BUSY_S * 10 + 1)]
    assert gap[BUSY_S * 10 :] == [float(n) for n in range(BUSY_S + 1, QUIET_S + 2)]
    assert 86_400 in given


def test_after_the_last_message_time_goes_on_until_all_is_closed() -> None:
    passed, _ = ticks(0)
    assert passed[-1] == QUIET_S


def test_time_never_goes_back() -> None:
    passed, given = ticks(3, 1, 2, 400)
    assert passed == sorted(passed)
    assert given == sorted(given)


def test_no_messages_no_time() -> None:
    assert len(ticks()[0]) <= QUIET_S * 10


def test_speed_is_a_multiple_of_real_time() -> None:
    pipeline, began = Counting(), time.monotonic()
    steps = replay([message(0), message(3)], pipeline, STEP, speed=20)
    next(t for t in steps if t >= T0 + 3 * SECOND)
    assert time.monotonic() - began >= 2.8 / 20
