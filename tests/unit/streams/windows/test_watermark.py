"""What a silence before data says: a sender that is slow as usual, or something exceptional."""

from __future__ import annotations

import pytest

from contracts.units import SECOND as S
from streams.windows import watermark
from streams.windows.sequence import NEW_LOG_GAP
from streams.windows.watermark import AHEAD_NS, Watermarks

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


def disturbed(*parts: float) -> bool:
    """Whether the last of some silences held something up, each of so many seconds, or so many times a second of speech (negative)."""
    marks, now = Watermarks(2 * S), T0
    marks.admit("a", now, now, now)
    for part in parts:
        for length in [part] if part > 0 else [1.0] * round(-part):  # a second is no silence
            until = now + round(length * S)
            while now < until:
                now = min(now + S, until)
                marks.advance(now)
            marks.admit("a", now, now, now)
    return marks.disturbed_ns == now


def test_a_silence_is_usual_after_speech_of_half_its_length_and_one_at_least_half_as_long() -> None:
    assert not disturbed(10, -5, 10)
    assert disturbed(10, -6, 10)
    assert not disturbed(5, -5, 10)
    assert disturbed(4, -5, 10)
    assert not disturbed(10, -1, 3)


def test_speech_and_silence_as_long_as_before_are_a_rhythm() -> None:
    assert not disturbed(4, -8, 4, -8, 4), "speech of twice the length of a silence"
    assert disturbed(4, -8, 4, -9, 4), "it is longer"
    assert disturbed(4, -8, 4, -6, 4), "by more than a quarter"
    assert not disturbed(4, -8, 4, -7, 4)
    assert not disturbed(4, -8, 4, -8, 5)
    assert disturbed(4, -8, 4, -8, 6)
    assert disturbed(4, -8, 4, -8, 3)


def test_a_silence_is_longer_than_is_waited_for() -> None:
    for silent_ns, silence in ((2 * S, False), (2 * S + 1, True)):
        marks = Watermarks(2 * S)
        marks.admit("a", 0, T0, T0)
        marks.advance(T0 + S)
        marks.admit("a", 1, T0, T0 + silent_ns)
        assert (marks.disturbed_ns > T0) is silence
        assert (marks.state()["silent"] > 0) is silence


def test_a_frame_that_came_before_is_none_and_one_from_far_on_begins_a_new_log() -> None:
    marks = Watermarks(2 * S)
    assert marks.admit("a", 5, T0, T0)
    for sequence, watermark_ns, taken in ((5, T0 + 2, False), (4, T0 + 1, False), (6, T0 + 1, True)):
        assert marks.admit("a", sequence, watermark_ns, T0 + 1) is taken
        assert marks.sources["a"].watermark_ns == T0 + 2, "it never goes back"
    assert not marks.sources["a"].new_log
    assert marks.admit("a", 6 + NEW_LOG_GAP, T0, T0 - 9)
    assert (marks.sources["a"].new_log, marks.sources["a"].seen_ns) == (True, T0 + 1)
    assert marks.admit("a", 5 + 2 * NEW_LOG_GAP, T0, T0)
    assert not marks.sources["a"].new_log
    assert marks.admit("b", 1, T0 + 60 * S, T0)
    assert (marks.furthest, marks.sources["b"].watermark_ns) == (T0 + AHEAD_NS, T0 + AHEAD_NS)


@pytest.mark.parametrize(("extrapolate", "at_3", "at_10"), [(True, 3, 10), (False, 3, 3)])
def test_time_goes_on_from_the_furthest_where_all_are_silent(extrapolate: bool, at_3: int, at_10: int) -> None:
    marks = Watermarks(2 * S, extrapolate=extrapolate)
    assert marks.advance(T0 - S) == 0
    marks.admit("a", 1, T0 + S, T0)
    marks.admit("b", 1, T0 + 3 * S, T0)
    marks.admit("c", 1, 0, T0)
    assert [marks.advance(T0 + n) for n in (0, S - 1)] == [0, 0], "others may yet say something"
    assert marks.advance(T0 + S) == marks.advance(T0 + 2 * S) == T0 + S
    assert marks.advance(T0 + 2 * S + 1) == T0 + at_3 * S + (1 if extrapolate else 0)
    for n in range(3, 10):
        marks.advance(T0 + n * S)
    assert marks.merged == T0 + at_10 * S
    assert marks.slowest(T0 + 2 * S, 2 * S) == T0 + S
    assert marks.slowest(T0 + 2 * S + 1, 2 * S) == 0
    assert Watermarks(2 * S).furthest == 0


@pytest.mark.parametrize(("ahead_ns", "mended"), [(AHEAD_NS, False), (AHEAD_NS + 1, True)])
@pytest.mark.parametrize("what", ["merged", "now_ns", "source"])
def test_what_is_ahead_of_the_clock_is_taken_back(what: str, ahead_ns: int, mended: bool) -> None:
    marks = Watermarks(2 * S)
    marks.admit("a", 1, T0 - S, T0 - S)
    if what == "source":
        marks.sources["a"].watermark_ns = T0 + ahead_ns
    else:
        setattr(marks, what, T0 + ahead_ns)
    assert marks.mend(T0) is mended
    if mended:
        known = marks.sources["a"]
        assert max(marks.merged, marks.now_ns, marks.opened_ns, known.watermark_ns, known.seen_ns) <= T0
        assert (marks.disturbed_ns, known.seen_ns, marks.opened_ns) == (T0, T0 - S, T0 - S)


def test_of_so_many_sources_the_one_that_was_not_heard_of_for_longest_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watermark, "_MOST_SOURCES", 2)
    marks = Watermarks(9 * S)
    for n, name in enumerate(("b", "a", "b", "c")):
        marks.admit(name, n, T0, T0 + n)
    assert sorted(marks.sources) == ["b", "c"]
    marks.admit("d", 1, T0, T0 + 9)
    assert sorted(marks.sources) == ["c", "d"]


def test_a_snapshot_says_what_silences_were_like() -> None:
    marks = Watermarks(2 * S)
    heard(marks, *range(0, 20, 5))
    again = Watermarks(2 * S)
    again.load(marks.state())
    assert again.state() == marks.state()
    assert [marks.state()[name] for name in ("silent", "spoke", "silent_until")] == [5 * S, 0, T0 + 15 * S]
    older = Watermarks(2 * S)
    names = ("sources", "merged", "opened", "now")
    older.load({name: marks.state()[name] for name in names})
    assert older.state() == {**dict.fromkeys(marks.state(), 0), **{name: marks.state()[name] for name in names}}


def test_a_process_that_was_away_for_longer_than_is_waited_for_begins_anew() -> None:
    marks = Watermarks(2 * S)
    marks.admit("a", 1, T0, T0)
    marks.advance(T0 + 2 * S)
    assert (marks.opened_ns, marks.sources["a"].seen_ns) == (T0, T0)
    marks.advance(T0 + 4 * S + 1)
    assert (marks.opened_ns, marks.disturbed_ns, marks.sources["a"].seen_ns) == (T0 + 4 * S + 1,) * 3
    marks.advance(T0)
    assert marks.now_ns == T0 + 4 * S + 1
    assert (Watermarks(S).opened_ns, Watermarks(S).now_ns, Watermarks(S).merged) == (-1, -1, 0)


def test_a_silence_is_since_the_last_of_all_spoke_and_so_is_time_that_goes_on_by_itself() -> None:
    marks = Watermarks(2 * S)
    marks.admit("a", 1, T0, T0)
    marks.admit("b", 1, T0 + S, T0 + S)
    marks.admit("a", 2, T0 + S, T0 + 3 * S)
    assert marks.state()["silent"] == 0, "two seconds are none"
    marks.sources["b"].seen_ns = T0
    for n in range(4, 7):
        marks.advance(T0 + n * S)
    assert marks.merged == T0 + S + S, "three seconds after the last word, of which two are waited for"
    marks.admit("a", 3, T0 + 6 * S, T0 + 6 * S)
    marks.admit("a", 4, T0 + 7 * S, T0 + 7 * S)
    for n in (9, 10, 11):
        marks.advance(T0 + n * S)
    marks.admit("a", 5, T0 + 11 * S, T0 + 11 * S)
    saved = marks.state()
    assert [saved[name] for name in ("silent", "spoke", "silent_until")] == [4 * S, S, T0 + 11 * S]
    again = Watermarks(2 * S)
    again.load(saved)
    assert again.state() == saved
    again.mend(T0)
    assert again.state()["silent_until"] == T0
    again.load(saved)
    again.merged = T0 + 60 * S
    again.mend(T0 + 20 * S)
    assert again.state()["silent_until"] == T0 + 11 * S
