"""How far time has come: redeliveries, sources that are idle or ahead of the clock, and how many are kept."""

from __future__ import annotations

import pytest

from contracts.units import SECOND as S
from streams.windows import watermark
from streams.windows.sequence import NEW_LOG_GAP
from streams.windows.watermark import AHEAD_NS, Watermarks

T0 = 1_700_000_000 * S
IDLE = 2 * S


def opened(**options: bool) -> Watermarks:
    """One that has been there for as long as it waits, and has heard a source."""
    marks = Watermarks(IDLE, **options)
    marks.admit("a", 1, T0 - S, T0)
    assert marks.advance(T0 + IDLE - 1) == 0, "others may have something to say"
    assert marks.advance(T0 + IDLE) == T0 - S
    return marks


@pytest.mark.parametrize(("sequence", "taken", "new"), [
    (0, False, False), (1, False, False), (2, True, False), (NEW_LOG_GAP, True, False), (NEW_LOG_GAP + 1, True, True),
])  # fmt: skip
def test_what_was_delivered_before_is_not_taken_again(sequence: int, taken: bool, new: bool) -> None:
    marks = opened()
    assert marks.admit("a", sequence, T0, T0 + 3 * S) is taken
    assert (marks.sources["a"].new_log, marks.sources["a"].sequence) == (new, sequence if taken else 1)
    assert (marks.sources["a"].watermark_ns, marks.sources["a"].seen_ns) == (T0, T0 + 3 * S), "it tells the time"
    marks.admit("a", 99, T0 - 9 * S, T0 + S)
    assert (marks.sources["a"].watermark_ns, marks.sources["a"].seen_ns) == (T0, T0 + 3 * S), "which never goes back"


def test_nobody_tells_of_what_has_yet_to_happen() -> None:
    marks = Watermarks(IDLE)
    marks.admit("a", 1, T0 + 9 * S, T0)
    assert marks.furthest == T0 + AHEAD_NS
    marks.admit("a", 2, T0 + 9 * S, T0 + S)
    assert marks.furthest == T0 + S + AHEAD_NS
    assert Watermarks(IDLE).furthest == 0


def test_the_slowest_source_holds_time_back_until_it_is_idle() -> None:
    marks = opened()
    marks.admit("b", 1, T0 - 5 * S, T0 + IDLE)
    marks.admit("a", 2, T0 + S, T0 + IDLE)
    marks.admit("silent", 1, 0, T0 + IDLE)
    assert marks.advance(T0 + IDLE) == T0 - S, "it never goes back"
    marks.admit("a", 3, T0 + 4 * S, T0 + 4 * S)
    assert marks.advance(T0 + 2 * IDLE) == T0 - S
    assert marks.advance(T0 + 2 * IDLE + 1) == T0 + 4 * S, "b was not heard of for longer"


@pytest.mark.parametrize(("extrapolate", "goes_on"), [(True, S // 2), (False, 0)])
def test_where_all_are_idle_time_goes_on_from_the_furthest(extrapolate: bool, goes_on: int) -> None:
    marks = opened(extrapolate=extrapolate)
    marks.admit("a", 2, T0 + S, T0 + 2 * S)
    marks.admit("b", 1, T0 - S, T0 + 3 * S)
    for tick in (4, 5):
        marks.advance(T0 + tick * S)
    assert marks.advance(T0 + 5 * S + S // 2) == T0 + S + goes_on


@pytest.mark.parametrize(("within_s", "slowest"), [(0, 0), (1, 20), (2, 10), (9, 10)])
def test_the_slowest_of_those_that_were_heard_of_lately(within_s: int, slowest: int) -> None:
    marks = Watermarks(60 * S)
    for source, reached, seen in (("a", 20, 9), ("b", 10, 8), ("c", 0, 9), ("d", 30, 9)):
        marks.admit(source, 1, reached, T0 + seen * S)
    assert marks.slowest(T0 + 10 * S, within_s * S) == slowest


def test_what_is_ahead_of_the_clock_is_taken_back() -> None:
    marks = opened()
    marks.admit("a", 2, T0 + 5 * S, T0 + 3 * S)
    marks.admit("b", 1, T0, T0 + 3 * S)
    marks.advance(T0 + 3 * S)
    assert not marks.mend(T0 + 3 * S)
    assert not marks.mend(T0), "no further than clocks differ"
    assert marks.mend(T0 - 1), "what a told is"
    found = [(s.watermark_ns, s.seen_ns) for s in marks.sources.values()]
    assert found == [(T0 - 1, T0 - 1)] * 2
    assert (marks.now_ns, marks.opened_ns, marks.disturbed_ns) == (T0 - 1, T0 - 1, T0 - 1)
    assert not marks.mend(T0 - 1)


@pytest.mark.parametrize("what", ["merged", "now_ns"])
def test_so_is_a_clock_or_a_time_that_was_kept(what: str) -> None:
    for ahead, mended in ((AHEAD_NS, False), (AHEAD_NS + 1, True)):
        marks = Watermarks(IDLE)
        setattr(marks, what, T0 + ahead)
        assert marks.mend(T0) is mended
        assert getattr(marks, what) == (T0 if mended else T0 + ahead)


def test_a_process_that_was_away_waits_for_all_again() -> None:
    marks = opened()
    marks.admit("a", 2, T0, T0 + 2 * S)
    marks.advance(T0 + 4 * S)
    assert marks.opened_ns == T0, "it looked every two seconds"
    marks.advance(T0 + 6 * S + 1)
    assert (marks.opened_ns, marks.disturbed_ns) == (T0 + 6 * S + 1,) * 2
    assert marks.sources["a"].seen_ns == T0 + 6 * S + 1, "nobody was silent meanwhile"


def test_of_many_sources_the_one_longest_unheard_of_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "_MOST_SOURCES", 3)
    marks = Watermarks(60 * S)
    for n, source in enumerate("cab"):
        marks.admit(source, 1, T0, T0 + n * S)
    marks.admit("c", 2, T0, T0 + 3 * S)
    assert sorted(marks.sources) == ["a", "b", "c"]
    marks.admit("d", 1, T0, T0 + 3 * S)
    assert sorted(marks.sources) == ["b", "c", "d"]


def test_a_snapshot_is_the_same() -> None:
    marks = opened()
    for second in (3, 8, 9, 14, 15, 21):
        marks.admit("a", second, T0 + second * S, T0 + second * S)
        again = Watermarks(IDLE)
        again.load(marks.state())
        assert again.state() == marks.state()
        for one in (again, marks):
            one.admit("b", second, T0 + second * S, T0 + (second + 1) * S)
        assert again.state() == marks.state()
    old = {k: v for k, v in marks.state().items() if k in {"sources", "merged", "opened", "now"}}
    again.load(old)
    assert (again.disturbed_ns, again.merged) == (0, marks.merged)
