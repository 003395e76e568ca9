"""How far event time has come over several sources: who is idle, who is ahead, what comes again, and what is remembered of it."""

from __future__ import annotations

import pytest

from contracts.units import SECOND as S
from streams.windows import watermark
from streams.windows.sequence import NEW_LOG_GAP
from streams.windows.watermark import AHEAD_NS, Watermarks

T0 = 1_700_000_000 * S
IDLE_S = 2


def at(second: float) -> int:
    return T0 + round(second * S)


def after(*frames: tuple[str, float, float], extrapolate: bool = True) -> Watermarks:
    """Frames of sources (name, second by the clock, second of its watermark); the first opens what has been open for long."""
    marks = Watermarks(IDLE_S * S, extrapolate=extrapolate)
    marks.advance(at(-1))
    marks.advance(at(0))
    marks.opened_ns = at(-100)
    for number, (source, clock, mark) in enumerate(frames, 1):
        passes(marks, clock)
        marks.admit(source, number, at(mark), at(clock))
    return marks


def passes(marks: Watermarks, second: float) -> None:
    """Time goes on in this process."""
    while marks.now_ns < at(second) - S:
        marks.advance(marks.now_ns + S)


def merged(marks: Watermarks, second: float) -> float:
    passes(marks, second)
    found = marks.advance(at(second))
    return (found - T0) / S if found else 0.0


def test_for_a_while_nothing_is_known_and_after_an_absence_it_is_so_again() -> None:
    marks = Watermarks(IDLE_S * S)
    marks.admit("a", 1, at(9), at(10))
    assert [marks.advance(at(s)) for s in (10, 11.9)] == [0, 0]
    assert merged(marks, 12) == 9
    marks.admit("a", 2, at(12), at(12))
    assert merged(marks, 14) == 12
    assert marks.opened_ns == marks.disturbed_ns == at(10)
    marks.admit("a", 3, at(16.5), at(16.5))  # this process was away
    assert marks.opened_ns == marks.disturbed_ns == at(16.5)
    assert [merged(marks, s) for s in (17, 18.4, 18.5)] == [12, 12, 16.5]


@pytest.mark.parametrize(
    ("frames", "second", "reached"),
    [
        ([("a", 1, 0.9), ("b", 1, 0.5)], 1, 0.5),  # the slowest
        ([("a", 1, 0.9), ("b", 1, 0.5)], 3, 0.5),  # it was heard of two seconds ago: it is not idle
        ([("a", 2, 1.9), ("b", 1, 0.5)], 3.1, 1.9),  # it is
        ([("a", 1, 0.9), ("b", 1, 0.5)], 3.5, 0.9 + 0.5),  # all are: time goes on from the furthest
        ([("a", 1, 0.9), ("b", 1.4, 0.5)], 3.5, 0.9 + 0.1),
        ([("a", 1, 0.9), ("b", 1.4, 0.5)], 9.4, 0.9 + 6.0),
        ([("a", 1, 3.0)], 1, 3.0),
        ([("a", 1, 9.0)], 1, 6.0),  # nobody is believed who is further ahead than five seconds
        ([("a", 1, 0.9), ("a", 1.5, 0.4)], 1.5, 0.9),  # it never goes back
    ],
)
def test_event_time_is_that_of_the_slowest_who_is_not_idle(
    frames: list[tuple[str, float, float]], second: float, reached: float
) -> None:
    assert merged(after(*frames), second) == pytest.approx(reached)


def test_where_time_is_not_to_go_on_by_itself_it_stands_still() -> None:
    marks = after(("a", 1, 0.9), ("b", 1, 0.5), extrapolate=False)
    assert [merged(marks, s) for s in (1, 3, 3.5, 60)] == [0.5, 0.5, 0.9, 0.9]


def test_sources_that_have_no_time_yet_hold_up_nobody() -> None:
    marks = after(("a", 1, 0.9))
    marks.admit("b", 1, 0, at(1))
    assert merged(marks, 1) == 0.9
    assert (marks.slowest(at(1), S), marks.furthest) == (at(0.9), at(0.9))
    assert (Watermarks(S).furthest, Watermarks(S).slowest(at(1), S)) == (0, 0)


def test_a_frame_that_comes_again_is_refused_and_a_new_log_is_told_from_a_gap() -> None:
    marks = after()
    admitted = [marks.admit("a", n, at(1), at(1)) for n in (5, 5, 4, 6, 9)]
    assert admitted == [True, False, False, True, True]
    assert not marks.sources["a"].new_log
    assert marks.admit("a", 8 + NEW_LOG_GAP, at(1), at(1))
    assert not marks.sources["a"].new_log
    assert marks.admit("a", 8 + 2 * NEW_LOG_GAP, at(1), at(1))
    assert marks.sources["a"].new_log
    assert marks.admit("b", 1, at(1), at(1)), "another's numbers are its own"


@pytest.mark.parametrize(("within_s", "slowest"), [(5, 0.5), (3.9, 0.9), (1.9, 0)])
def test_the_slowest_is_one_who_was_heard_of_lately(within_s: float, slowest: float) -> None:
    marks = after(("b", 1, 0.5), ("a", 3, 0.9))
    found = marks.slowest(at(5), round(within_s * S))
    assert (found and (found - T0) / S) == slowest


@pytest.mark.parametrize(("back_s", "mended"), [(0, False), (1, False), (1.5, True), (60, True)])
def test_what_is_ahead_of_the_clock_is_taken_back(back_s: float, mended: bool) -> None:
    """A watermark may be four seconds ahead, and the clock is set back."""
    marks = after(("a", 10, 14.0), ("b", 10, 9.0))
    marks.advance(at(10))
    now = at(10 - back_s)
    assert marks.mend(now) is mended
    assert marks.mend(now) is False
    for source in marks.sources.values():
        assert source.watermark_ns <= now + AHEAD_NS
        assert source.seen_ns <= now or not mended
    assert (marks.merged, marks.disturbed_ns) == ((min(at(9.0), now), now) if mended else (at(9.0), marks.disturbed_ns))
    assert (marks.now_ns, marks.opened_ns <= now) == ((now, True) if mended else (at(10), True))


def test_of_too_many_sources_the_one_unheard_of_for_longest_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "_MOST_SOURCES", 3)
    marks = after(
        ("b", 1.2, 1), ("a", 1.2, 1), ("c", 1.4, 1), ("a", 1.5, 1), ("d", 1.6, 1), ("c", 1.7, 1), ("e", 1.8, 1)
    )
    assert sorted(marks.sources) == ["c", "d", "e"]


def test_a_snapshot_goes_on_where_it_was() -> None:
    marks = after(("a", 1, 0.9), ("b", 1, 0.5), ("a", 4, 3.9))
    again = after(("z", 1, 1.0))
    again.load(marks.state())
    assert again.state() == marks.state()
    for one in (marks, again):
        one.admit("a", 9, at(7), at(7.5))
    assert again.state() == marks.state()
    old = {k: v for k, v in marks.state().items() if k in {"sources", "merged", "opened", "now"}}
    again.load(old)
    assert again.state() == {**old, "disturbed": 0, "silent": 0, "silent_until": 0, "spoke": 0}


@pytest.mark.parametrize("what", ["merged", "now_ns"])
def test_so_is_a_clock_or_a_time_that_was_kept(what: str) -> None:
    for ahead, mended in ((AHEAD_NS, False), (AHEAD_NS + 1, True)):
        marks = Watermarks(IDLE_S * S)
        setattr(marks, what, T0 + ahead)
        assert marks.mend(T0) is mended
        assert getattr(marks, what) == (T0 if mended else T0 + ahead)
