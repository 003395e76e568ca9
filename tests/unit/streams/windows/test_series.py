"""Points of metrics as numbers of their window: what counters and histograms rose by, over how long, and what begins anew."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from contracts.units import SECOND as S
from streams.windows.series import CUMULATIVE, DELTA, GAUGE, HISTO, POINT, SHAPED, SeriesBook

T0 = 1_000_000 * S
FRESH_NS = 30 * S


def book(most: int = 1000) -> SeriesBook:
    return SeriesBook(FRESH_NS, most, Counter())


def at(second: float) -> int:
    return T0 + round(second * S) if second else 0


def rises(
    series: SeriesBook, *points: tuple[float, float, float], mode: int = CUMULATIVE, of: int = 7
) -> list[tuple[float, float, float]]:
    """What points of one series (second, second of its start or 0, value) say: second, number, seconds that it covers."""
    rows = np.zeros(len(points), POINT)
    for row, (second, start, value) in zip(rows, points, strict=True):
        row["series"], row["time"], row["start"], row["value"] = of, at(second), at(start), value
        row["entity"], row["feature"], row["mode"] = of, 0, mode
    return [((int(p["time"]) - T0) / S, float(p["value"]), float(p["span"])) for p in series.parts(rows)]


def test_a_gauge_is_as_it_is_however_often_it_is_told() -> None:
    series = book()
    assert rises(series, (10, 0, 5.0), mode=GAUGE) == [(10, 5.0, 0.0)]
    assert rises(series, (10, 0, 5.0), (9, 0, 4.0), mode=GAUGE) == [(10, 5.0, 0.0), (9, 4.0, 0.0)]


def test_a_counter_tells_what_it_rose_by_since_the_point_before() -> None:
    series = book()
    assert rises(series, (100, 10, 50.0)) == [], "what it counted before anybody looked is no increase of now"
    assert rises(series, (105, 10, 60.0)) == [(105, 10.0, 5.0)]
    assert rises(series, (120, 10, 75.0), (110, 10, 63.0)) == [(110, 3.0, 5.0), (120, 12.0, 10.0)], "in order of time"
    assert rises(series, (120, 10, 99.0)) == rises(series, (119, 10, 99.0)) == [], "told before"
    assert series.counters["stale_points"] == 2
    assert rises(series, (130, 10, 75.0), (130, 10, 75.0)) == [(130, 0.0, 10.0)], "twice in one message"
    assert series.counters["stale_points"] == 3


@pytest.mark.parametrize(("age_s", "counts"), [(1.0, True), (30.0, True), (30.5, False)])
def test_the_first_point_of_a_counter_counts_if_it_began_just_now(age_s: float, counts: bool) -> None:
    assert rises(book(), (100, 100 - age_s, 8.0)) == ([(100, 8.0, age_s)] if counts else [])


@pytest.mark.parametrize(
    ("value", "start", "told"),
    [
        (4.0, 10, 4.0),  # lower: it began anew
        (60.0, 102, 60.0),  # another start
        (60.0, 0, 10.0),  # no start is no other start
        (50.0, 10, 0.0),
    ],
)
def test_a_counter_that_begins_anew_has_counted_its_value_since(value: float, start: float, told: float) -> None:
    series = book()
    rises(series, (100, 10, 50.0))
    assert rises(series, (105, start, value)) == [(105, told, 5.0)]


def test_increments_are_increases_over_their_own_time_or_since_the_one_before() -> None:
    series = book()
    assert rises(series, (100, 90, 8.0), mode=DELTA) == [(100, 8.0, 10.0)]
    assert rises(series, (107, 0, 3.0), mode=DELTA) == [(107, 3.0, 7.0)]
    assert rises(series, (109, 120, 2.0), mode=DELTA) == [(109, 2.0, 2.0)], "a start later than the point is none"
    assert rises(book(), (100, 0, 8.0), mode=DELTA) == [], "over how long can't be told"
    assert rises(book(), (100, 90, float("nan")), mode=DELTA) == []


def test_series_are_told_apart_and_many_of_them_too() -> None:
    series = book()
    for of in range(200):
        assert rises(series, (100, 10, 100.0 * of), of=of) == []
    for of in range(200):
        assert rises(series, (110, 10, 100.0 * of + of), of=of) == [(110, of, 10.0)]


def test_a_snapshot_goes_on_where_it_was() -> None:
    series, again = book(), book()
    for of in range(3):
        rises(series, (100, 10, 5.0 + of), of=of)
        shape(series, 100, 10, {1: 4, 2: 1}, of=10 + of)
    again.load(series.state())
    for of in range(3):
        assert rises(again, (104, 10, 6.0 + of), of=of) == [(104, 1.0, 4.0)]
        assert shape(again, 104, 10, {1: 4, 2: 3}, of=10 + of) == ({2: 2}, 4.0)
    assert rises(again, (104, 99, 9.0), of=50) == [(104, 9.0, 5.0)]


@pytest.mark.parametrize(("silent_since", "left"), [(True, 10), (False, 0)])
def test_where_there_are_too_many_series_those_without_points_leave(silent_since: bool, left: int) -> None:
    series = book(most=20)
    for of in range(20):
        rises(series, (100 if of < 10 and silent_since else 200, 10, 5.0), of=of)
    series.expire(at(150))
    assert series.counters["series_left"] == (left if silent_since else 20 - len(series.state()["series"]))
    kept = set(series.state()["series"].tolist())
    assert kept >= set(range(12, 20)) if silent_since else len(kept) < 20
    for of in sorted(kept):
        assert rises(series, (210, 10, 6.0), of=of) == [(210, 1.0, 10.0)], "those that stay are as they were"


def test_few_series_stay_however_long_they_are_silent_and_it_is_looked_at_now_and_then() -> None:
    series = book(most=20)
    for of in range(19):
        rises(series, (100, 10, 5.0), of=of)
    series.expire(at(10_000))
    assert len(series.state()["series"]) == 19
    rises(series, (100, 10, 5.0), of=19)
    series.expire(at(20_000))
    assert len(series.state()["series"]) == 0
    for of in range(25):
        rises(series, (100, 10, 5.0), of=of)
    assert series.counters["series_over_limit"] == 5
    series.expire(at(20_009))
    assert len(series.state()["series"]) == 25
    series.expire(at(20_010))
    assert len(series.state()["series"]) == 0


# --- histograms -----------------------------------------------------------------------------------------------------


def shape(
    series: SeriesBook, second: float, start: float, cells: dict[int, int], *, mode: int = CUMULATIVE, of: int = 7
) -> tuple[dict[int, int], float] | None:
    """What a histogram point says: the requests by bucket, and the seconds that it covers. None: nothing."""
    row = np.zeros(1, HISTO)
    row["series"], row["time"], row["start"], row["mode"] = of, at(second), at(start), mode
    row["entity"], row["low"], row["high"] = of, 0, len(cells)
    bucket, count = np.array(sorted(cells), np.int64), np.array([cells[b] for b in sorted(cells)], np.int64)
    found = series.differences(row, bucket, count)
    if not found:
        return None
    ((_, buckets, counts, seconds),) = found
    return dict(zip(buckets.tolist(), counts.tolist(), strict=True)), seconds


def test_a_histogram_tells_the_requests_since_the_point_before() -> None:
    series = book()
    assert shape(series, 100, 10, {1: 5, 4: 2}) is None
    assert shape(series, 110, 10, {1: 8, 3: 1, 4: 2}) == ({1: 3, 3: 1}, 10.0)
    assert shape(series, 110, 10, {1: 9}) is None, "told before"
    assert series.counters["stale_points"] == 1
    assert shape(series, 112, 10, {1: 8, 3: 1, 4: 2}) == ({}, 2.0)


@pytest.mark.parametrize(
    ("cells", "start"),
    [({1: 2}, 10), ({1: 9}, 105)],  # fewer than before; or another start
)
def test_a_histogram_that_begins_anew_has_counted_all_it_holds(cells: dict[int, int], start: float) -> None:
    series = book()
    shape(series, 100, 10, {1: 5})
    assert shape(series, 110, start, cells) == (cells, 10.0)


@pytest.mark.parametrize(("age_s", "counts"), [(1.0, True), (30.0, True), (31.0, False)])
def test_the_first_point_of_a_histogram_counts_if_it_began_just_now(age_s: float, counts: bool) -> None:
    assert shape(book(), 100, 100 - age_s, {2: 3}) == (({2: 3}, age_s) if counts else None)
    assert shape(book(), 100, 0, {2: 3}) is None
    assert shape(book(), 100, 100, {2: 3}) is None


def test_increments_of_a_histogram_need_no_point_before() -> None:
    series = book()
    assert shape(series, 100, 95, {2: 3}, mode=DELTA) == ({2: 3}, 5.0)
    assert shape(series, 104, 0, {1: 1}, mode=DELTA) == ({1: 1}, 4.0)
    assert shape(book(), 100, 0, {2: 3}, mode=DELTA) == ({2: 3}, 0.0)


def test_where_only_the_shape_is_known_what_came_is_spread_as_all_is() -> None:
    series = book()
    shape(series, 100, 10, {1: 6, 2: 2, 5: 2}, mode=SHAPED)
    assert shape(series, 105, 10, {1: 12, 2: 4, 5: 4}, mode=SHAPED) == ({1: 6, 2: 2, 5: 2}, 5.0)
    assert shape(series, 110, 10, {1: 13, 2: 4, 5: 4}, mode=SHAPED) == ({1: 1}, 5.0)
    assert shape(series, 115, 10, {1: 13, 2: 4, 5: 4}, mode=SHAPED) == ({}, 5.0)


def test_there_is_room_for_so_many_histograms() -> None:
    series = book(most=2)
    for of in range(3):
        assert shape(series, 100, 95, {1: 1}, of=of) == (({1: 1}, 5.0) if of < 2 else None)
    assert series.counters["series_over_limit"] == 1
    assert shape(series, 101, 95, {1: 3}, of=1) == ({1: 2}, 1.0)


def test_histograms_without_points_leave_too_and_begin_anew() -> None:
    series = book(most=20)
    for of in range(20):
        shape(series, 100 if of < 10 else 200, 10, {1: 5}, of=of)
    series.expire(at(150))
    assert series.counters["series_left"] == 10
    assert [shape(series, 210, 10, {1: 7}, of=of) for of in (3, 9)] == [None, None]
    assert [shape(series, 210, 10, {1: 7}, of=of) for of in (10, 19)] == [({1: 2}, 10.0)] * 2


def test_histograms_are_let_go_where_there_are_too_many_and_single_series_that_are_few_are_kept() -> None:
    series = book(most=2)
    assert series._newest({7: 10, 8: 20}, 15) == {8}, "at the limit those of before go"
    assert series._newest({7: 10}, 15) == {7}, "below it all stay, however old"
