"""What a window makes of its points: levels and rates, requests of histograms, what counts by rank, and what is kept of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contracts.features import METRIC_ERROR_RATE, METRIC_LATENCY_P50, METRIC_REQUEST_RATE
from contracts.frames import PartialFrame, empty_columns
from contracts.frames.latency import FAILED_ONLY, SUM_US, UNPLACED, midpoint, wide_bucket
from contracts.settings import IngestSettings
from contracts.units import SECOND as S
from streams.windows.merge_calls import MetricCallMerge
from streams.windows.merge_metrics import MetricMerge
from streams.windows.merge_series import failures_of, histos_of
from streams.windows.metric_window import MetricWindow, Ranks, _fill
from streams.windows.series import CUMULATIVE, DELTA, FEATURES, GAUGE, HISTO, PART, POINT, REQUESTS, SeriesBook

T0 = 1_000_000 * S
BLANK = {"versions": (), "attributes": (), "template_text": (), **empty_columns()}
FRAME = PartialFrame("prod", "metrics", "otlp/0", 1, T0, (), **BLANK)
RATE, ERRORS, P50 = (FEATURES.index(n) for n in (METRIC_REQUEST_RATE, METRIC_ERROR_RATE, METRIC_LATENCY_P50))


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def part(series: int, entity: int, feature: int, second: int, value: float, span: float) -> np.ndarray:
    return np.array([(series, entity, feature, T0 + second * S, value, span)], PART)


def filled(*parts: np.ndarray, entity: tuple[int, ...] = (3, 5)) -> list[list[float]]:
    values = np.full((len(entity), len(FEATURES)), np.nan)
    _fill(values, ints(*entity), np.concatenate(parts) if parts else np.empty(0, PART))
    return values[:, :2].tolist()


def test_levels_are_the_mean_of_the_latest_of_each_series_and_rates_the_sum_of_theirs() -> None:
    found = filled(
        part(1, 3, 0, 5, 10.0, 0.0), part(1, 3, 0, 7, 30.0, 0.0), part(2, 3, 0, 6, 50.0, 0.0),
        part(3, 5, 1, 5, 8.0, 2.0), part(3, 5, 1, 9, 16.0, 4.0), part(4, 5, 1, 9, 6.0, 2.0), part(5, 4, 1, 9, 99.0, 1.0),
    )  # fmt: skip
    assert found[0] == pytest.approx([40.0, math.nan], nan_ok=True)
    assert found[1] == pytest.approx([math.nan, 24.0 / 6 + 3.0], nan_ok=True)
    assert np.isnan(filled()).all()


def test_where_there_is_a_level_it_is_what_is_told_though_the_series_rises_too() -> None:
    assert filled(part(1, 3, 0, 5, 8.0, 2.0), part(1, 3, 0, 6, 7.0, 0.0), entity=(3,))[0][0] == 7.0
    levels = part(1, 3, 0, 5, 8.0, 0.0), part(1, 3, 0, 6, 1.0, 2.0), part(1, 3, 0, 7, 9.0, 0.0)
    assert filled(*levels, entity=(3,))[0][0] == 9.0, "the latest of one series, whatever came in between"
    rises = part(1, 3, 0, 5, 8.0, 2.0), part(1, 3, 0, 6, 1.0, 2.0), part(2, 3, 0, 6, 3.0, 1.0)
    assert filled(*rises, entity=(3,))[0][0] == 9.0 / 4 + 3.0
    assert filled(part(1, 9, 0, 5, 8.0, 2.0), entity=(3,))[0] == pytest.approx([math.nan] * 2, nan_ok=True)


def histo(
    entity: int, cells: tuple[int, int], *, second: float = 10, start: float = 0, rank: int = 0, error: bool = False, series: int = 7,
    mode: int = DELTA,
) -> np.ndarray:  # fmt: skip
    row = np.zeros(1, HISTO)
    row["entity"], row["series"], row["mode"], row["rank"], row["error"] = entity, series, mode, rank, error
    row["start"], row["time"] = T0 + round(start * S) if start else 0, T0 + round(second * S)
    row["low"], row["high"] = cells
    return row


def window(*histos: np.ndarray, cells: dict[int, int]) -> MetricWindow:
    """Histogram rows whose cells are those of a frame."""
    found = MetricWindow()
    frame = replace(
        FRAME, hist_bucket=np.array(list(cells), np.int32), hist_count=np.array(list(cells.values()), np.int64)
    )
    found.add(np.empty(0, POINT), np.concatenate(histos), frame)
    return found


def book() -> SeriesBook:
    return SeriesBook(30 * S, 100, Counter())


def test_requests_of_a_histogram_are_counted_timed_and_told_with_their_interval() -> None:
    found = window(histo(3, (0, 2), start=6), histo(5, (2, 3), start=8, series=8), cells={100: 6, 200: 2, 300: 4})
    found.digest(ints(3, 5), book(), Ranks())
    values, requests = found.values(ints(3, 5))
    assert requests.tolist() == [8, 4]
    assert values[:, RATE].tolist() == [2.0, 2.0]
    assert values[:, ERRORS].tolist() == [0.0, 0.0]
    p50 = midpoint(np.array([100, 300], np.int32)).tolist()
    assert values[:, P50].tolist() == pytest.approx(p50)
    assert found.counted == [(3, T0 + 6 * S, T0 + 10 * S, 8, 0), (5, T0 + 8 * S, T0 + 10 * S, 4, 0)]
    assert len(found.histos) == 0


def test_over_no_time_no_rate_is_known_and_nothing_is_told_of_an_interval() -> None:
    found = window(histo(3, (0, 1)), cells={100: 6})
    found.digest(ints(3), book(), Ranks())
    values, requests = found.values(ints(3))
    assert (requests.tolist(), found.counted, len(found.requests)) == ([6], [], 0)
    assert math.isnan(values[0, RATE])
    assert values[0, ERRORS] == 0.0


def test_what_failed_counts_with_all_and_what_only_failed_for_nothing_else() -> None:
    found = window(
        histo(3, (0, 2), start=6), histo(3, (2, 3), start=6, series=8), histo(5, (3, 4), start=6, series=9, error=True),
        cells={100: 6, UNPLACED: 4, FAILED_ONLY: 3, 101: 5},
    )  # fmt: skip
    found.digest(ints(3, 5), book(), Ranks())
    values, requests = found.values(ints(3, 5))
    assert requests.tolist() == [10, 5]
    assert values[:, ERRORS].tolist() == [0.3, 1.0]
    assert values[:, RATE].tolist() == [2.5, 1.25]
    assert values[0, P50] == pytest.approx(midpoint(np.array([100], np.int32))[0]), "what has no bucket has no duration"
    assert found.counted == [
        (3, T0 + 6 * S, T0 + 10 * S, 10, 0), (3, T0 + 6 * S, T0 + 10 * S, 0, 3), (5, T0 + 6 * S, T0 + 10 * S, 5, 5),
    ]  # fmt: skip
    more = window(histo(3, (0, 1), start=6), histo(3, (1, 2), start=6, series=8), cells={100: 2, FAILED_ONLY: 3})
    more.digest(ints(3), book(), Ranks())
    figures = more.values(ints(3))[0][0]
    assert (figures[ERRORS], figures[P50]) == (1.0, values[0, P50]), (
        "no more than all fail, and failures have no durations here"
    )
    one = window(histo(3, (0, 1), start=9.5), cells={100: 1})
    one.digest(ints(3), book(), Ranks())
    (figures,), requests = one.values(ints(3))
    assert (requests.tolist(), figures[RATE], figures[ERRORS], figures[P50]) == ([1], 2.0, 0.0, values[0, P50])
    assert one.counted == [(3, T0 + 19 * S // 2, T0 + 10 * S, 1, 0)]


def test_points_are_looked_at_for_whom_rows_are_wanted_and_the_rest_is_kept() -> None:
    found = window(histo(3, (0, 1), start=6), histo(5, (1, 2), start=6, series=8), cells={100: 6, 200: 2})
    points = np.zeros(2, POINT)
    points["entity"], points["series"], points["mode"], points["time"], points["value"] = (
        (3, 5),
        (1, 2),
        GAUGE,
        T0,
        (4.0, 9.0),
    )
    found.add(points, np.empty(0, HISTO), FRAME)
    series = book()
    found.digest(ints(5), series, Ranks())
    assert (found.points["entity"].tolist(), found.histos["entity"].tolist()) == ([3], [3])
    values, requests = found.values(ints(3, 5))
    assert (np.isnan(values[0]).all(), values[1, 0], requests.tolist()) == (True, 9.0, [0, 2])
    again = MetricWindow()
    again.load(found.state())
    again.digest(ints(3), series, Ranks())
    values, requests = again.values(ints(3, 5))
    assert (values[:, 0].tolist(), requests.tolist()) == ([4.0, 9.0], [6, 2])
    assert again.state()[4] is True


def test_histograms_that_are_added_later_have_cells_of_their_own() -> None:
    found = window(histo(3, (0, 2)), cells={100: 6, 101: 1})
    frame = replace(FRAME, hist_bucket=np.array([7, 300, 301], np.int32), hist_count=ints(99, 4, 5))
    found.add(np.empty(0, POINT), np.concatenate([histo(5, (1, 1)), histo(4, (1, 3))]), frame)
    assert [found.bucket[h["low"] : h["high"]].tolist() for h in found.histos] == [[100, 101], [], [300, 301]]
    assert found.count.tolist() == [6, 1, 4, 5]


def test_a_point_that_does_not_count_goes_on_all_the_same() -> None:
    """The better metric is heard of in between: the other's increase is none of it, then or later."""
    series, ranks = book(), Ranks()
    ranks.hear(histo(3, (0, 0), rank=2), np.zeros(1, np.bool_))
    found = window(histo(3, (0, 1), start=6, rank=4), histo(3, (0, 1), start=7, rank=2, series=8), cells={100: 6})
    found.digest(ints(3), series, ranks)
    assert [(c[3], (c[2] - c[1]) // S) for c in found.counted] == [(6, 3)]
    assert len(series.state()["histos"]) == 2


def test_rows_of_a_frame_are_told_with_their_cells_and_which_only_failed() -> None:
    frame = replace(
        FRAME, histo_series=np.array([1, 2, 3], np.uint64), histo_mode=np.array([DELTA, CUMULATIVE, DELTA], np.int8),
        histo_error=np.array([False, True, False]), histo_start_ns=ints(1, 2, 3), histo_time_ns=ints(4, 5, 6),
        hist_row=np.array([0, 0, 2], np.int32), hist_bucket=np.array([5, 6, FAILED_ONLY], np.int32), hist_count=ints(1, 1, 1),
    )  # fmt: skip
    found = histos_of(frame, ints(9, 8, 7))
    assert [found[n].tolist() for n in ("entity", "low", "high", "rank")] == [
        [9, 8, 7],
        [0, 2, 2],
        [2, 2, 3],
        [0, 0, 0],
    ]
    assert [found[n].tolist() for n in ("series", "start", "time")] == [[1, 2, 3], [1, 2, 3], [4, 5, 6]]
    assert found["mode"].tolist() == [DELTA, CUMULATIVE, DELTA]
    assert found["error"].tolist() == [False, True, False]
    assert failures_of(frame, 3).tolist() == [False, False, True]
    ranked = histos_of(replace(frame, histo_rank=np.array([2, 0, 4], np.int8)), ints(9, 8, 7))
    assert ranked["rank"].tolist() == [2, 0, 4]


def test_ranks_of_calls_are_told_apart_by_who_calls_and_those_of_services_by_themselves() -> None:
    calls, services = MetricCallMerge(IngestSettings()), MetricMerge(IngestSettings())
    for merge in (calls, services):
        for key in (("web", "cart"), ("web", "pay"), ("shop", "cart")):
            merge.open.entities.number(key)
        merge._ranks.hear(np.concatenate([histo(0, (0, 0), rank=2), histo(1, (0, 0), rank=4)]), np.zeros(2, np.bool_))
    answered = ints(100)
    assert [calls._ranks.counts(histo(1, (0, 0), rank=r)[0], answered) for r in (2, 4)] == [True, False]
    assert [services._ranks.counts(histo(1, (0, 0), rank=r)[0], answered) for r in (2, 4)] == [False, True]
    assert calls._ranks.counts(histo(2, (0, 0), rank=4)[0], answered), "another's calls"
    again = MetricCallMerge(IngestSettings())
    again.open.entities.load(calls.open.entities.state())
    again.load(calls.state())
    assert again.state()["callers"] == calls.state()["callers"] == {"web": 0, "shop": 1}
    assert [again._ranks.counts(histo(1, (0, 0), rank=r)[0], answered) for r in (2, 4)] == [True, False]
    assert REQUESTS == RATE


def test_durations_in_one_wide_bucket_follow_their_sum_from_point_to_point() -> None:
    """Bounds for milliseconds, and seconds measured: all requests lie in the same bucket, whatever they take."""
    book, window = SeriesBook(60 * S, 100, Counter()), MetricWindow()
    wide = wide_bucket(0.0, 5.0)
    told, at = [], 0
    for second, (requests, seconds) in enumerate([(100, 5.0), (120, 6.0), (140, 7.0), (160, 20.0)]):
        bucket, count = ints(wide, SUM_US), ints(requests, round(seconds * 1e6))
        histo = np.zeros(1, HISTO)
        histo["series"], histo["start"], histo["time"], histo["mode"] = 7, T0 - 900 * S, T0 + second * S, CUMULATIVE
        histo["low"], histo["high"] = 0, 2
        for point, cells, counts, span_s in book.differences(histo, bucket, count):
            window = MetricWindow()
            window._take(point, cells.astype(np.int64), counts, span_s)
            values, at = window.values(ints(0))
            told.append((int(at[0]), round(float(values[0, P50]), 2)))
    assert [n for n, _ in told] == [20, 20, 20]
    assert [p for _, p in told] == pytest.approx([0.05, 0.05, 0.6], rel=0.25)
