"""One source's clock by the delays of its batches: ahead, told to be behind, gaining, moving."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.units import MILLISECOND as MS
from contracts.units import SECOND as S
from streams.windows.clocks import AHEAD_NS, TOLD_FOR_NS, Clocks, ClockSource, _about, _newest
from streams.windows.collect import Receipt
from tests.unit.streams.windows.support import SERVER, Span, decoded, logs

T0 = 1_700_000_000 * S


def heard(*delays_ms: float, every_ms: int = 500, told_ms: int = 0, begin_ns: int = T0) -> ClockSource:
    """Batches one after the other, whose newest records were so old."""
    source = ClockSource(told_ns=told_ms * MS, told_at_ns=begin_ns)
    for n, delay in enumerate(delays_ms):
        source.heard(round(delay * MS), begin_ns + n * every_ms * MS)
    return source


@pytest.mark.parametrize(
    ("delays_ms", "shift_ms"),
    [
        ((-300,) * 10, -300),
        ((-250,) * 10, 0),  # within the tolerance
        ((-300, -500, -400), -500),  # all are ahead: the furthest counts
        ((300, -400, -400, -400), -400),  # some are not, the last three are alike
        ((300, -400, 300, -400), -400),  # a browser among others: its batch counts for itself
        ((300, -900, -400, -400), -900),
        ((300, -1600, -400, -400), -400),  # too unlike to be one clock's
    ],
)
def test_who_is_ahead_is_shifted_back_as_far_as_its_clock_or_the_batch_says(
    delays_ms: tuple[float, ...], shift_ms: int
) -> None:
    source = heard(*delays_ms)
    assert source.shift_ns(round(delays_ms[-1] * MS), T0 + 5 * S) == shift_ms * MS


@pytest.mark.parametrize(
    ("told_ms", "floor_ms", "after_ns", "shift_ms"),
    [
        (800, 1000, 0, 800),
        (800, 600, 0, 600),  # never so far that it lies ahead
        (800, -100, 0, 0),
        (-800, 1000, 0, 0),
        (800, 1000, TOLD_FOR_NS - 1, 800),
        (800, 1000, TOLD_FOR_NS, 0),
    ],
)
def test_who_is_told_to_be_behind_is_shifted_while_that_is_so(
    told_ms: int, floor_ms: int, after_ns: int, shift_ms: int
) -> None:
    source = heard(floor_ms, told_ms=told_ms)
    assert source.shift_ns(floor_ms * MS, T0 + after_ns) == shift_ms * MS


def test_the_least_delay_is_that_of_the_last_half_minute() -> None:
    source = ClockSource()
    assert source.floor_ns == 0
    for second, delay_ms in ((0, 100), (3, 900), (6, 700), (29, 800)):
        source.heard(delay_ms * MS, T0 + second * S)
    assert (source.floor_ns, len(source.floors)) == (100 * MS, 3)
    assert source.floors[0][1:] == (100 * MS, 900 * MS)
    source.heard(800 * MS, T0 + 30 * S)
    assert source.floor_ns == 700 * MS
    source.heard(750 * MS, T0 - 60 * S)
    assert source.floor_ns == 750 * MS, "the receiver's clock was set back: nothing is kept of what has yet to come"


def test_of_half_a_second_the_least_delay_is_of_the_course() -> None:
    source = ClockSource()
    for at_ms, delay_ms in ((0, 300), (100, 200), (400, 250), (500, 400), (999, 500)):
        source.heard(delay_ms * MS, T0 + at_ms * MS)
    assert [(at - T0, floor) for _, at, floor in source.course] == [(100 * MS, 200 * MS), (500 * MS, 400 * MS)]


@pytest.mark.parametrize(
    ("delays_ms", "told_ms", "pace"),
    [
        ([-1000 - 100 * n for n in range(8)], 0, 1.2),  # by 100 ms each half second further ahead
        ([-1000 - 10 * n for n in range(8)], 0, 1.0),  # that is hardly any
        ([-1000 + 100 * n for n in range(8)], 0, 1.0),  # its batches wait longer
        ([-1000, -1600, -1000, -1600, -1000, -1600, -1000, -1600], 0, 1.0),  # not straight
        ([-1000] * 3 + [-1000 - 400 * n for n in range(5)], 0, 1.8),  # it began to gain
        ([-1000 - 200 * n for n in range(4)], 0, 1.0),  # too few to say
        ([1000 + 100 * n for n in range(8)], 0, 1.0),  # a backlog, for all that is known
        ([1000 + 100 * n for n in range(8)], 1500, 0.8),  # most of which is its clock's: that loses
        ([1700 - 100 * n for n in range(8)], 900, 1.2),
        ([9000 + 100 * n for n in range(8)], 1500, 1.0),  # which explains little of it
        ([1000 + 100 * n for n in range(8)], 250, 1.0),
    ],
)
def test_a_clocks_pace_is_told_by_a_straight_course(delays_ms: list[int], told_ms: int, pace: float) -> None:
    source = heard(*delays_ms, told_ms=told_ms)
    found = source.pace(delays_ms[-1] * MS, T0 + 4 * S)
    assert found == pytest.approx(pace, abs=1e-6)


@pytest.mark.parametrize(
    ("delays_ms", "moving"),
    [
        ([10] * 5 + [-900], True),  # it was set just now
        ([10] * 5 + [-900, -900], False),  # and is right from then on
        ([10] * 5 + [-300, -600], True),  # it gains
        ([10] * 5 + [-300, -349], False),
        ([10] * 5 + [-235], False),
        ([10, 10, -900], False),  # too little is known of it
        ([10, 900, 10, 10, -900], False),  # its batches came unlike before
        ([-900] * 6, False),
    ],
)
def test_a_clock_that_went_steadily_and_is_ahead_since_moments_is_moving(delays_ms: list[int], moving: bool) -> None:
    assert heard(*delays_ms).is_moving(delays_ms[-1] * MS) is moving
    assert not heard(*delays_ms).is_moving(-AHEAD_NS)


def test_sources_that_were_not_heard_of_for_longest_are_forgotten_and_a_snapshot_is_the_same() -> None:
    clocks = Clocks(2)
    for n, name in enumerate(("a", "b", "a", "c")):
        clocks._source("prod", name).heard(-n * S, T0 + n * S)
        clocks._source("test", name)
    assert {e: list(of) for e, of in clocks.sources.items()} == {"prod": ["a", "c"], "test": ["a", "c"]}
    again = Clocks(2)
    again.load(clocks.state())
    assert again.sources == clocks.sources
    again.forget("prod")
    again.forget("nowhere")
    assert list(again.sources) == ["test"]


@pytest.mark.parametrize(("ago_ns", "learns"), [(0, True), (10 * S, True), (10 * S + 1, False)])
def test_while_a_backlog_is_read_nothing_is_learnt_of_clocks(ago_ns: int, learns: bool) -> None:
    """What was received long ago is as old as its record says; what held it back says nothing of its sender."""
    clocks, end = Clocks(9), T0 - 3 * S
    message = decoded([Span("cart", 1, 1, 0, SERVER, end - MS, end)])
    clocks.correct(message, Receipt(T0 + ago_ns, T0), T0 + 60 * S)
    [source] = clocks.sources["prod"].values()
    assert (len(source.floors), source.floor_ns) == ((1, 3 * S) if learns else (0, 0))


def test_what_a_clock_that_is_being_set_measures_is_no_latency_and_what_others_measure_is() -> None:
    clocks = Clocks(9)

    def correct(now: int, ahead_ns: int) -> list[bool]:
        spans = [
            Span(s, n, n, 0, SERVER, now + by - 20 * MS, now + by)
            for n, (s, by) in enumerate((("set", ahead_ns), ("well", 0)), 1)
        ]
        found = clocks.correct(decoded(spans), Receipt(now, now), now + 60 * S)[0].spans
        assert found is not None
        assert (found.end_ns - found.start_ns).tolist() == [20 * MS] * 2
        assert found.end_ns.tolist() == [now, now]
        return [bool(u) for u in found.untimed] or [False, False]

    assert [correct(T0 + n * 500 * MS, 0) for n in range(6)] == [[False, False]] * 6
    assert correct(T0 + 3 * S, 5 * S) == [True, False], "just now it was as ever"
    assert [correct(T0 + 3500 * MS + n * 500 * MS, 5 * S) for n in range(3)] == [[False, False]] * 3, (
        "it goes on as it did"
    )


@pytest.mark.parametrize(("count", "stray_counts"), [(1, True), (7, True), (8, False), (15, False), (16, False)])
def test_one_record_in_eight_may_be_ahead_of_the_others(count: int, stray_counts: bool) -> None:
    ends = [T0 - n * MS for n in range(count - 1)] + [T0 + 2 * S]
    message = decoded([Span("cart", n + 1, n + 1, 0, SERVER, end - MS, end) for n, end in enumerate(ends)])
    assert _newest(message, T0 + 3 * S).tolist() == [T0 + 2 * S if stray_counts else T0 - (count == 16) * MS]
    alone = [0] if count == 1 else [T0 - (count > 8) * MS]
    assert _newest(message, T0 + S).tolist() == alone, "what will not be believed says nothing"


def test_the_newest_of_each_resource_is_of_any_kind() -> None:
    spans = decoded([Span(s, 1, n, 0, SERVER, T0, T0 + n * S) for s in ("cart", "web") for n in (1, 2)])
    records = logs([("cart", T0 + 5 * S, 9, "x"), ("web", T0 + S, 9, "x")])
    both = dataclasses.replace(spans, logs=records.logs, strings=records.strings)
    assert _newest(both, T0 + 9 * S).tolist() == [T0 + 5 * S, T0 + 2 * S]
    assert _newest(both, T0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("floor_ms", "about_ms"),
    [(-700, -750), (-1, -250), (0, 0), (249, 0), (250, 250), (499, 250), (500, 500)],
)
def test_delays_are_told_in_rough_steps(floor_ms: int, about_ms: int) -> None:
    assert _about(floor_ms * MS) == about_ms * MS


def test_long_delays_are_told_in_longer_steps() -> None:
    for floor_ns in ((1 << 40) + 12345, 1 << 40, (1 << 41) - 1):
        step = 1 << 36
        assert _about(floor_ns) == floor_ns // step * step


def test_a_source_is_ahead_by_more_than_the_tolerance_to_be_in_question() -> None:
    for floor_ns, told in ((250 * MS, False), (250 * MS + 1, True), (-250 * MS, False), (-250 * MS - 1, True)):
        clocks, now = Clocks(10), T0
        message = decoded([Span("cart", 1, 1, 0, SERVER, now - floor_ns - MS, now - floor_ns)])
        _, tags = clocks.correct(message, Receipt(now, now), now + 60 * S)
        assert (len(tags.clocks), tags.of.tolist()) == ((1, [0]) if told else (0, [-1]))
        if told:
            assert (tags.clocks[0].shift_ns, tags.clocks[0].floor_ns) == (min(floor_ns, 0), _about(floor_ns))


@pytest.mark.parametrize(("second_ms", "seen"), [(301, (0, 300)), (300, (0, 300)), (299, (1, 299))])
def test_of_a_half_second_it_is_kept_when_its_least_delay_was_first_seen(second_ms: int, seen: tuple[int, int]) -> None:
    source = heard(300, second_ms, every_ms=1)
    ((_, seen_ns, floor_ns),) = source.course
    assert (seen_ns - T0, floor_ns) == (seen[0] * MS, seen[1] * MS)


@pytest.mark.parametrize(("batches", "first"), [(7, 0), (8, 0), (9, 1), (20, 12)])
def test_a_course_is_of_the_last_eight_half_seconds(batches: int, first: int) -> None:
    source = heard(*range(batches))
    assert [floor_ns // MS for _, _, floor_ns in source.course] == list(range(first, batches))
