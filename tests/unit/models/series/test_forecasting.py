"""Forecasters of libraries: reached by what their classes offer, chosen on data held back, used where they are better."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from contracts.errors import InvalidSettings
from contracts.frames.decoded import F64
from contracts.settings import ForecasterSettings, SeriesSettings
from models.adapters import refits
from models.adapters.recipes import Recipe
from models.series.calendar import UNIVERSAL
from models.series.forecasting.choosing import LEVEL, NONE, OWN, PROFILE, choice, over_all, within
from models.series.forecasting.forecaster import forecaster_of
from models.series.forecasting.forecasters import check, forecasting_of
from models.series.forecasting.forecasts import AHEAD, Forecasting, Forecasts
from models.series.forecasting.history import BIN_S, DAY_BINS, LENGTH, SPARE, History, Past
from models.series.residuals import Way
from models.series.scorer import SeriesScorer
from tests.patience import PATIENCE_S

HERE = __name__
FIRST_S = 20_000 * 86_400.0
DAYS = 9
MONDAY_BINS = int(FIRST_S / BIN_S)
HOLT_WINTERS = Recipe(
    "river.time_series.HoltWinters",
    {"alpha": 0.05, "beta": 0.005, "gamma": 0.3, "seasonality": 48, "multiplicative": True},
)


class LikeStatsforecast:
    """As its models are: the whole series at once, and a dict back."""

    def __init__(self, season_length: int) -> None:
        self.season_length = season_length

    def forecast(self, y: F64, h: int, X: Any = None, level: Any = None) -> dict[str, F64]:  # noqa: N803 - theirs
        return {"mean": np.resize(y[-self.season_length :], h)}


class Drifting:
    """Yesterday once more, and a day's growth."""

    def forecast(self, history: F64, ahead: int) -> F64:
        day, before = history[-DAY_BINS:], history[-2 * DAY_BINS : -DAY_BINS]
        grown: F64 = np.resize(day, ahead) + (day - before).mean() * (1 + np.arange(ahead) // DAY_BINS)
        return grown


class Slow(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        time.sleep(0.2)
        return super().forecast(history, ahead)


class Raising(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        raise RuntimeError("no")


class Unknowing(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        return np.full(ahead, np.nan)


class Exploding(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        return np.full(ahead, 1e30)


class Short(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        return history[:1]


class Deadly(Drifting):
    def forecast(self, history: F64, ahead: int) -> F64:
        os._exit(3)


class Nothing:
    def forecast(self, steps: int) -> F64:
        return np.zeros(steps)


def own(kind: type[Any], **parameters: Any) -> Recipe:
    return Recipe(f"{HERE}.{kind.__name__}", parameters)


def growing(bins: int, seed: int = 3) -> F64:
    """A day's shape that grows every day by as much: what no profile of times of day follows."""
    at = np.arange(bins)
    shape = 40 * np.sin(2 * np.pi * at / DAY_BINS)
    values: F64 = 500 + shape + 60.0 * (at // DAY_BINS) + np.random.default_rng(seed).normal(0, 2, bins)
    return values


def past_of(values: F64) -> Past:
    return Past(values, np.ones(len(values), np.bool_), MONDAY_BINS)


@pytest.fixture(autouse=True)
def _no_pool_is_left() -> Iterator[None]:
    yield
    while refits._POOL:
        refits._POOL.pop().shutdown()


# --- what a class offers ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "most"),
    [
        (HOLT_WINTERS, 6.0),
        (Recipe("river.time_series.SNARIMAX", {"p": 0, "d": 0, "q": 0, "m": 48, "sp": 0, "sd": 1}), 6.0),
        (own(LikeStatsforecast, season_length=DAY_BINS), 3.0),
        (own(Drifting), 3.0),
    ],
)
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_each_kind_of_class_forecasts_a_season_in_any_unit(recipe: Recipe, most: float, unit: float) -> None:
    at = np.arange(10 * DAY_BINS + AHEAD)
    values = 500 + 40 * np.sin(2 * np.pi * at / DAY_BINS) + np.random.default_rng(1).normal(0, 1, len(at))
    found = forecaster_of(recipe).forecast(values[:-AHEAD] * unit, AHEAD)
    assert found.shape == (AHEAD,)
    assert np.abs(found / unit - values[-AHEAD:]).mean() < most


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (own(Nothing), "is no forecaster: it needs"),
        (Recipe("river.anomaly.HalfSpaceTrees"), "is no forecaster: it needs"),
        (Recipe("river.time_series.HoltWinter"), "no class"),
        (Recipe("river.time_series.HoltWinters", {"gama": 1}), "can't be made with"),
    ],
)
def test_a_class_that_does_not_forecast_is_told_at_the_start(recipe: Recipe, words: str) -> None:
    given = ForecasterSettings(model=recipe.path, parameters=dict(recipe.parameters))
    with pytest.raises(InvalidSettings, match=rf"series\.forecasters\.mine: .*{words}"):
        check(SeriesSettings(forecasters={"mine": given}))


def test_what_is_no_class_path_is_refused_by_the_settings_themselves() -> None:
    with pytest.raises(ValidationError):
        ForecasterSettings(model="HoltWinters")


def test_without_forecasters_nothing_is_kept() -> None:
    assert forecasting_of(SeriesSettings(), UNIVERSAL) is None
    assert "forecasts" not in SeriesScorer(3).state(slice(3))["residuals"]


# --- history --------------------------------------------------------------------------------------------------------------------------------------


def kept(history: History, times_s: F64, values: F64) -> int:
    row = np.zeros(1, dtype=np.int64)
    for at, value in zip((times_s // BIN_S).astype(np.int64), values, strict=True):
        if at != history.bins[0]:
            history.close(row, np.array([at]))
        history.add(row, np.array([value]))
    return int(history.bins[0])


def test_history_is_means_of_half_hours_and_forgets_what_is_older_than_three_weeks() -> None:
    history, bins = History(1), LENGTH + 100
    times_s, values = FIRST_S + np.arange(bins * 6) * 300.0, np.arange(bins * 6.0)
    past = history.past(0, kept(history, times_s, values))
    assert past is not None
    assert past.measured.all()
    assert past.means.tolist() == values.reshape(-1, 6).mean(axis=1)[-LENGTH - 1 : -1].astype(np.float32).tolist()
    assert past.until == MONDAY_BINS + bins - 1


def test_an_hourly_series_is_filled_between_its_points_and_one_with_long_gaps_is_not_learnt_from() -> None:
    hourly, gaps, rare, young = History(1), History(1), History(1), History(1)
    times_s = FIRST_S + np.arange(400) * 3600.0
    past = hourly.past(0, kept(hourly, times_s, np.arange(400.0)))
    assert past is not None
    assert past.measured.sum() == 399
    assert np.diff(past.means).tolist() == pytest.approx([0.5] * 796 + [0.0])
    missing = np.r_[0:200, 210:400]
    assert gaps.past(0, kept(gaps, times_s[missing], times_s[missing])) is None
    assert rare.past(0, kept(rare, times_s * 3, times_s)) is None
    assert young.past(0, kept(young, times_s[:100], times_s[:100])) is None


def test_what_was_asked_some_bins_ago_can_be_asked_again() -> None:
    history, times_s = History(1), FIRST_S + np.arange((LENGTH + 50) * 2) * 900.0
    values = np.random.default_rng(1).normal(0, 1, len(times_s))
    until = kept(history, times_s, values)
    asked = history.past(0, until)
    later = times_s[-1] + 900.0 * np.arange(1, 2 * SPARE)
    kept(history, later, later)
    again = history.past(0, until)
    assert asked is not None
    assert again is not None
    assert asked.means.tolist() == again.means.tolist()


# --- the choice -----------------------------------------------------------------------------------------------------------------------------------


def test_the_best_one_is_chosen_where_it_beats_level_and_profile_on_days_held_back() -> None:
    values = growing(12 * DAY_BINS + AHEAD)
    recipes = [own(LikeStatsforecast, season_length=DAY_BINS), own(Drifting), own(Raising)]
    found = choice(recipes, past_of(values[:-AHEAD]), AHEAD, UNIVERSAL)
    assert found.chosen == 1
    assert found.failed == 1
    level, profile, naive, drifting, raising = over_all(found.errors)
    assert drifting < naive < min(level, profile)
    assert np.isnan(raising)
    assert np.abs(found.ahead - values[-AHEAD:]).mean() < 5


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_where_nothing_is_better_than_what_a_series_knows_itself_none_is_chosen(noise: float) -> None:
    values = 100 + np.random.default_rng(2).normal(0, 1, 12 * DAY_BINS) * noise
    found = choice([HOLT_WINTERS, own(Drifting)], past_of(values), AHEAD, UNIVERSAL)
    assert found.chosen == NONE
    assert found.failed == 0


def test_only_what_was_known_then_is_used_to_forecast_a_day_that_was_held_back() -> None:
    values, changed = growing(12 * DAY_BINS), growing(12 * DAY_BINS)
    changed[-DAY_BINS:] += 1e4
    before, after = (choice([own(Drifting)], past_of(v), AHEAD, UNIVERSAL) for v in (values, changed))
    assert before.errors[:2].tolist() == after.errors[:2].tolist(), "these days end before it"
    assert (before.errors[3] < after.errors[3]).all()


@pytest.mark.parametrize("kind", [Raising, Unknowing, Exploding, Short])
def test_a_model_that_fails_in_whatever_way_is_counted_and_not_chosen(kind: type[Any]) -> None:
    found = choice([own(kind)], past_of(growing(12 * DAY_BINS)), AHEAD, UNIVERSAL)
    assert (found.chosen, found.failed) == (NONE, 1)
    assert np.isfinite(found.errors[:, [LEVEL, PROFILE]]).all()
    assert np.isnan(found.errors[:, OWN]).all()


def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.series.forecasting.choosing.MOST_S", 0.05)
    found = choice([own(Slow)], past_of(growing(12 * DAY_BINS)), AHEAD, UNIVERSAL)
    assert (found.chosen, found.failed) == (NONE, 1)


# --- in use ---------------------------------------------------------------------------------------------------------------------------------------


def run(forecasts: Forecasts, rows: list[int], values: F64, start: int = 0) -> list[F64]:
    """Points each quarter of an hour, bins x rows, and what was expected of them."""
    said, which = [], np.array(rows)
    for i in range(start, len(values) * 2):
        at_s = np.full(len(rows), FIRST_S + i * BIN_S / 2)
        expected, covered = forecasts.expected(which, at_s)
        said.append(np.where(covered, expected, np.nan))
        forecasts.learn(which, at_s, values[i // 2])
    return said


def watched(*recipes: Recipe, names: tuple[str, ...] = ("a", "b", "c")) -> Forecasts:
    forecasts = Forecasts(len(names), Forecasting({f"m{i}": recipe for i, recipe in enumerate(recipes)}))
    for row, name in enumerate(names):
        forecasts.enrol(row, name)
    return forecasts


def many(rows: int = 3, days: int = DAYS) -> F64:
    return np.stack([growing(days * DAY_BINS, seed) for seed in range(rows)], axis=1)


def test_a_forecast_is_used_from_a_fixed_time_after_it_was_asked_for_however_fast_the_worker_is() -> None:
    fast, slow = watched(own(Drifting)), watched(own(Slow))
    said, late = run(fast, [0, 1, 2], many(days=7)), run(slow, [0, 1, 2], many(days=7))
    np.testing.assert_array_equal(said, late)
    known = np.isfinite(said)
    assert known.any(axis=0).all()
    assert len(set(known.argmax(axis=0).tolist())) == 3, "they are not asked for together"
    values = np.repeat(many(days=7), 2, axis=0)
    assert np.abs(np.array(said) - values)[known].mean() < 5
    assert fast.counters["forecasts_used"] == fast.counters["forecasts"] > 0
    assert fast.name(0, FIRST_S + 7 * 86_400 - 1) == "m0"
    assert fast.name(0, FIRST_S + 70 * 86_400) == "", "none covers so late a time"


def test_a_forecaster_is_only_for_series_that_its_patterns_name() -> None:
    recipe = Recipe(own(Drifting).path, {}, ("b*",))
    forecasts = watched(recipe, HOLT_WINTERS, names=("a", "b1"))
    forecasts._recipes[1] = Recipe(HOLT_WINTERS.path, HOLT_WINTERS.parameters, ("nobody",))
    for row, name in enumerate(("a", "b1")):
        forecasts.enrol(row, name)
    said = np.array(run(forecasts, [0, 1], many(2, 7)))
    assert np.isfinite(said).any(axis=0).tolist() == [False, True]


def test_a_model_that_kills_its_worker_costs_its_own_series_a_forecast_and_no_other() -> None:
    deadly = Recipe(own(Deadly).path, {}, ("b",))
    mild = Recipe(own(Drifting).path, {}, ("a", "c"))
    forecasts = watched(deadly, mild)
    said = np.array(run(forecasts, [0, 1, 2], many(days=7)))
    assert np.isfinite(said).any(axis=0).tolist() == [True, False, True]
    assert forecasts.counters["forecasts_failed"] > 0


def test_a_snapshot_amid_a_fit_goes_on_as_if_nothing_had_been() -> None:
    values, cut = many(), 0
    whole = watched(own(Drifting))
    said = run(whole, [0, 1, 2], values)
    first = watched(own(Drifting))
    for cut in range(2 * 6 * DAY_BINS, 2 * 7 * DAY_BINS):
        run(first, [0, 1, 2], values[: cut // 2 + 1], start=0 if cut == 2 * 6 * DAY_BINS else cut - 1)
        if (first.asked >= 0).any():
            break
    done = cut // 2 * 2 + 2
    second = watched(own(Drifting))
    arrays = {name: found.copy() for name, found in first.arrays().items()}
    second.restore(arrays, first.titles, ["a", "b", "c"])
    assert (second.asked >= 0).any()
    np.testing.assert_array_equal(said[done:], run(second, [0, 1, 2], values, start=done))


def test_of_forecasters_that_are_gone_nothing_is_used_and_others_keep_their_place() -> None:
    both = watched(own(Raising), own(Drifting))
    run(both, [0, 1, 2], many(days=7))
    assert (both.chosen == 1).all()
    kept_one, other = watched(own(LikeStatsforecast, season_length=DAY_BINS)), Forecasts(3, Forecasting())
    moved = Forecasts(3, Forecasting({"m1": own(Drifting)}))
    for found in (kept_one, other, moved):
        found.restore({n: a.copy() for n, a in both.arrays().items()}, both.titles, ["a", "b", "c"])
    assert (kept_one.chosen == NONE).all()
    assert (other.chosen == NONE).all()
    assert (moved.chosen == 0).all()
    assert moved.errors[:, OWN].tolist() == both.errors[:, OWN + 1].tolist()


def test_a_forecast_takes_the_place_of_the_season_and_what_it_did_not_expect_is_unusual_for_its_time() -> None:
    values = np.repeat(many(1, 12), 2, axis=0)
    values[-20:] -= 50.0
    recipes = {"drifting": own(Drifting)}
    plain, helped = SeriesScorer(1), SeriesScorer(1, forecasting=Forecasting(recipes))
    helped.enrol(0, "orders")
    row, evidence, errors, expected = np.zeros(1, dtype=np.int64), [], [], 0.0
    for i, value in enumerate(values):
        at_s = np.array([FIRST_S + i * BIN_S / 2])
        said = [scorer.step(row, at_s, value) for scorer in (plain, helped)]
        evidence.append([float(s.ways[0, Way.SEASON]) for s in said])
        errors.append([abs(float(s.expected[0, 0] - value[0])) for s in said])
        expected = float(said[1].expected[0, 0])
    assert helped.forecaster(0) == "drifting"
    assert plain.forecaster(0) == ""
    assert abs(expected - values[-1, 0] - 50.0) < 10
    usual, fault = np.array(evidence[-500:-20]), np.array(evidence[-20:])
    assert fault[:, 1].max() > 3.0
    assert usual[:, 1].max() < 1.5
    assert np.mean(errors[-500:-20], axis=0)[1] < 0.3 * np.mean(errors[-500:-20], axis=0)[0]


def test_a_worker_ends_with_the_process_that_it_works_for() -> None:
    code = "import os; from models.adapters import refits; print(refits.submit(os.getpid).result(), flush=True); os._exit(9)"
    # the worker has its output: that is at an end once both are
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert int(done.stdout) > 0


def test_work_that_was_cancelled_or_whose_worker_died_of_other_work_is_done_again() -> None:
    lost: Future[int] = Future()
    lost.cancel()
    assert refits.survived(lost, abs, -3) == 3
    assert refits.survived(refits.submit(os._exit, 3), os._exit, 3) is None


def _cannot_be_interrupted() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    with within(0.1, 0.2):
        time.sleep(2 * PATIENCE_S)


def test_a_model_that_cannot_be_interrupted_ends_its_worker_and_holds_nobody_up() -> None:
    assert refits.survived(refits.submit(_cannot_be_interrupted), _cannot_be_interrupted) is None
    assert refits.survived(refits.submit(abs, -3), abs, -3) == 3
