"""What a silence before data says: a sender that is slow as usual, or something exceptional."""

from __future__ import annotations

from contracts.units import SECOND as S
from streams.windows.watermark import Watermarks

T0 = 1_700_000_000 * S


def heard(marks: Watermarks, *at_s: float, source: str = "a") -> list[int]:
    """Frames of a source at these seconds; `disturbed_ns` after each, in whole seconds."""
    found = []
    for at in at_s:
        now_ns = T0 + int(at * S)
        tick = max(marks.now_ns, T0)
        while tick < now_ns:  # time passes in the process meanwhile
            marks.advance(tick)
            tick += S
        marks.admit(source, now_ns, now_ns, now_ns)
        found.append((marks.disturbed_ns - T0) // S)
    return found


def steady(marks: Watermarks, begin: int, end: int) -> None:
    heard(marks, *(x / 2 for x in range(2 * begin, 2 * end)))


def test_an_outage_is_exceptional() -> None:
    marks = Watermarks(2 * S)
    steady(marks, 0, 60)
    assert heard(marks, 70, 70.1, 70.2) == [70, 70, 70]
    assert heard(marks, *range(71, 75)) == [70] * 4


def test_the_batches_of_a_slow_sender_are_not() -> None:
    marks = Watermarks(2 * S)
    assert heard(marks, *range(0, 50, 5))[2:] == [5] * 8
    assert heard(marks, *range(300, 1200, 60))[2:] == [300] * 13
    in_parts = [minute + part for minute in range(1200, 1500, 60) for part in range(15)]
    assert set(heard(marks, *in_parts)) == {300}


def test_neither_are_those_of_several_senders() -> None:
    """Each sends every 5 s, at a phase of its own: heard for 1.8 s, silent for 3.2 s."""
    marks = Watermarks(2 * S)
    at = [5 * n + phase for n in range(20) for phase in (0.5, 1.5, 2.3)]
    assert set(heard(marks, *at)[-51:]) == {10}
    minutes = [60 * n + part for n in range(2, 10) for part in range(25)]
    assert set(heard(marks, *minutes)[-150:]) == {180}


def test_an_outage_again_soon_is_exceptional_too() -> None:
    marks = Watermarks(2 * S)
    steady(marks, 0, 60)
    assert heard(marks, 70) == [70]
    steady(marks, 71, 80)
    assert heard(marks, 88) == [88]
    steady(marks, 89, 300)
    assert heard(marks, 310) == [310]


def test_a_process_that_was_away() -> None:
    marks = Watermarks(2 * S)
    steady(marks, 0, 20)
    moved = Watermarks(2 * S)
    moved.load(marks.state())
    moved.admit("a", T0 + 40 * S, T0 + 40 * S, T0 + 40 * S)
    assert moved.disturbed_ns == T0 + 40 * S
    moved.load(moved.state())
    assert moved.disturbed_ns == T0 + 40 * S
