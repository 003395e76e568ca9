"""Forecasters of libraries in the watch of an environment's series: told by name, kept in snapshots, gone with their series."""

from __future__ import annotations

import numpy as np

from contracts.events import Anomaly
from contracts.frames.decoded import F64
from contracts.frames.series_frame import SeriesFrame
from contracts.units import MINUTE, SECOND
from models.adapters.recipes import Recipe
from models.series.forecasting.forecasts import Forecasting
from models.series.series_watch import SeriesWatch

T0 = 1_789_948_800 * SECOND
STEP = 15 * MINUTE
DAY = 96
DAYS = 13
FAULT = DAYS * DAY - 20
WEEKLY = Recipe(f"{__name__}.LastWeek")


class LastWeek:
    """The same half hour of the week before."""

    def forecast(self, history: F64, ahead: int) -> F64:
        week = history[-336:] if len(history) >= 336 else history[-48:]
        return np.resize(week, ahead)


def values(names: int) -> F64:
    """What rises for half of a week and falls for the other: no profile of half hours of the day follows it."""
    at = np.arange(DAYS * DAY)
    rng = np.random.default_rng(5)
    week = 200 * np.abs((at % (7 * DAY)) / (7 * DAY) - 0.5)
    return 500 + (week + 20 * np.sin(2 * np.pi * at / DAY))[:, None] + rng.normal(0, 1.0, (len(at), names))


def watching(most: int = 100) -> SeriesWatch:
    return SeriesWatch("prod", most=most, forecasting=Forecasting({"weekly": WEEKLY}))


def told(watch: SeriesWatch, rows: F64, start: int, names: tuple[str, ...]) -> list[Anomaly]:
    found, n = [], len(names)
    none, which = np.zeros(n, dtype=np.int8), np.arange(n, dtype=np.int32)
    for i in range(start, start + len(rows)):
        times = np.full(n, T0 + i * STEP, dtype=np.int64)
        frame = SeriesFrame("prod", names, ("",) * n, none, none, which, times, rows[i - start])
        found += watch.observe(frame, T0 + i * STEP)
    return found


def test_what_a_forecast_did_not_expect_is_told_with_its_name_and_a_snapshot_goes_on_the_same() -> None:
    rows, names = values(1), ("orders",)
    rows[FAULT:] -= 60
    kept = watching()
    told(kept, rows[:FAULT], 0, names)
    restored = watching()
    restored.restore(kept.snapshot())
    found, again = (told(watch, rows[FAULT:], FAULT, names) for watch in (kept, restored))
    assert found == again
    assert kept.counters["forecasts_used"] > 0
    assert kept.snapshot() == restored.snapshot()
    row = kept._scorer.forecaster(0)
    assert row == "weekly"
    assert abs(kept._expected[0, 0] - rows[-1, 0] - 60) < 25


def test_words_say_whose_forecast_it_was() -> None:
    rows, names = values(1), ("orders",)
    kept = watching()
    told(kept, rows, 0, names)
    kept._ways[0] = 0.0
    kept._ways[0, 3] = 5.0
    assert kept._way_words(0) == "unusual for this time, as weekly forecasts it"
    kept._ways[0, 1] = 6.0
    assert kept._way_words(0) == "far from its level"


def test_a_snapshot_of_before_forecasters_is_read_and_one_with_them_is_read_without() -> None:
    rows, names = values(2), ("a", "b")
    before = SeriesWatch("prod")
    told(before, rows[: 3 * DAY], 0, names)
    now = watching()
    now.restore(before.snapshot())
    told(now, rows[3 * DAY :], 3 * DAY, names)
    assert now.counters["forecasts"] > 0
    back = SeriesWatch("prod")
    back.restore(now.snapshot())
    told(back, rows[-3:], DAYS * DAY, names)
    assert back.counters["points"] == 6


def test_a_forecast_stays_with_its_series_where_others_leave() -> None:
    rows, names = values(3), ("gone", "left", "stays")
    watch = watching()
    told(watch, rows[: 9 * DAY], 0, names)
    assert watch._scorer.forecaster(2) == "weekly"
    expected = watch._scorer.residuals.forecasts
    assert expected is not None
    ahead = expected.ahead[2].tolist()
    watch._keep(np.array([2]))
    assert watch._scorer.forecaster(0) == "weekly"
    assert expected.ahead[0].tolist() == ahead
    told(watch, rows[9 * DAY :, 2:], 9 * DAY, ("stays",))
    assert watch._scorer.forecaster(0) == "weekly"
