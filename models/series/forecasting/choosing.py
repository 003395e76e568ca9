"""Which forecaster a series is served best by, on data that is held back from it: done in a worker, for one series at a time.

From each of some times of the last two days, and from a week ago where the series is old enough (the coming day may be a Saturday), a day
ahead is forecast from what was known then: by each forecaster, by the plain level and
by the profile that is learnt on line (`models.series.season`). Nothing that a model does is fatal here but the death of the worker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import F64
from models.adapters.recipes import Recipe
from models.series.calendar import Calendar
from models.series.forecasting.forecast_judgement import BETTER, GRACE_S, LEAST_BINS, MOST_S, SPANS, TRUSTED_BINS
from models.series.forecasting.forecaster import forecaster_of
from models.series.forecasting.history import BIN_S, DAY_BINS, Past
from models.series.season import Season

ORIGINS: Final = (7 * DAY_BINS, 96, 72, 48)
"""Bins before the end from which a day ahead is forecast."""
_FEWEST: Final = LEAST_BINS - 96
"""Bins from which that is tried."""
LEVEL, PROFILE, OWN = 0, 1, 2
"""Columns of errors: the plain level, the own profile; and how many come before those of the forecasters."""
NONE: Final = -1


@dataclass(frozen=True)
class ForecastChoice:
    """The forecaster that is used (`NONE`: none), what it says of the bins `ahead` of the past, how many failed, and the mean absolute `errors`
    (origins × level, profile, forecasters; NaN: it failed, or nothing was measured)."""

    chosen: int
    ahead: F64
    failed: int
    errors: F64


def choice(recipes: Sequence[Recipe], past: Past, ahead: int, calendar: Calendar) -> ForecastChoice:
    """Try all on what is held back; the best one forecasts `ahead` bins where it is good enough."""
    errors = np.full((len(ORIGINS), OWN + len(recipes)), np.nan)
    errors[:, :OWN] = _own(past, calendar)
    origins = [i for i, back in enumerate(ORIGINS) if len(past.means) - back >= _FEWEST]
    failed = 0
    for i, recipe in enumerate(recipes):
        found = {origin: _forecast(recipe, past.means[: -ORIGINS[origin]], DAY_BINS) for origin in origins}
        said = {origin: forecast for origin, forecast in found.items() if forecast is not None}
        if len(said) < len(found):
            failed += 1
            continue
        for origin, forecast in said.items():
            errors[origin, OWN + i] = _error(past, ORIGINS[origin], forecast)
    chosen = best(errors)
    used = None if chosen == NONE else _forecast(recipes[chosen], past.means, ahead)
    if used is None:
        return ForecastChoice(NONE, np.full(ahead, np.nan), failed + (chosen != NONE), errors)
    return ForecastChoice(chosen, used, failed, errors)


def best(errors: F64, better: float = BETTER) -> int:
    """The forecaster with the least error over all origins, where that is below the share `better` of the better of level and profile."""
    whole = over_all(errors)
    if not np.isfinite(whole[OWN:]).any() or not np.isfinite(whole[:OWN]).all():
        return NONE
    found = int(np.nanargmin(whole[OWN:]))
    return found if whole[OWN + found] < better * whole[:OWN].min() else NONE


def over_all(errors: F64) -> F64:
    """Errors over all origins at which something was measured; NaN of one that failed."""
    known = errors[np.isfinite(errors[:, LEVEL])]
    return known.mean(axis=0) if len(known) else np.full(errors.shape[1], np.nan)


def _error(past: Past, back: int, forecast: F64) -> float:
    """Mean absolute error over what was measured of the day from `back` bins before the end."""
    start = len(past.means) - back
    known = past.measured[start : start + DAY_BINS]
    apart = np.abs(past.means[start : start + DAY_BINS] - forecast)[known]
    return float(apart.mean()) if len(apart) else float("nan")


def _own(past: Past, calendar: Calendar) -> F64:
    """Errors (origins × level, profile) of what a series forecasts by itself."""
    season, row, found = Season(1, calendar), np.zeros(1, dtype=np.int64), np.full((len(ORIGINS), OWN), np.nan)
    times_s = (past.first + np.arange(len(past.means), dtype=np.float64)) * BIN_S
    spread, level = np.array([float(np.std(past.means))]), float(past.means[0])
    rate = 1.0 - 0.5 ** (1.0 / TRUSTED_BINS)
    for i, value in enumerate(past.means.tolist()):
        back = len(past.means) - i
        if back in ORIGINS and i >= _FEWEST:
            day_s = times_s[i : i + DAY_BINS]
            plain = np.full(DAY_BINS, level)
            profile = season.expected(np.zeros(DAY_BINS, dtype=np.int64), day_s, plain)[0]
            found[ORIGINS.index(back)] = _error(past, back, plain), _error(past, back, profile)
        if back <= min(ORIGINS):
            break
        if past.measured[i]:
            season.learn(row, times_s[i : i + 1], past.means[i : i + 1], spread)
            level += max(rate, 1.0 / (i + 1.0)) * (value - level)
    return found


def _forecast(recipe: Recipe, history: F64, ahead: int) -> F64 | None:
    """None where the model fails, takes too long, or leaves the range of everything sensible."""
    try:
        with _quietly(), within(MOST_S):
            found = np.asarray(forecaster_of(recipe).forecast(history.copy(), ahead), np.float64)
    except Exception:  # noqa: BLE001 - whatever a model does, its series goes on without it
        return None
    if found.shape != (ahead,) or not np.isfinite(found).all():
        return None
    low, high = float(history.min()), float(history.max())
    room = SPANS * (high - low)
    return found if low - room <= found.min() and found.max() <= high + room else None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def within(seconds: float, grace_s: float = GRACE_S) -> Iterator[None]:
    """A model that takes longer is interrupted, where signals allow it; one that can't be (it hangs in code that is no Python) ends its worker
    after `grace_s` more, with its traceback in what the worker writes."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(_number: int, _frame: Any) -> None:
        raise TimeoutError(f"no forecast within {seconds:g} s")

    is_worker = multiprocessing.parent_process() is not None
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if is_worker:
        faulthandler.dump_traceback_later(seconds + grace_s, exit=True)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        if is_worker:
            faulthandler.cancel_dump_traceback_later()
