"""How forecasters of libraries do on labelled series, a day ahead, and where they would be used; and how the command line names them."""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from contracts.errors import InvalidSettings
from contracts.frames.decoded import F64
from homeostat.bench.labelled_series import LabelledSeries
from models.adapters.recipes import Recipe
from models.series.forecasting.choosing import LEVEL, NONE, OWN, PROFILE, best, choice, over_all
from models.series.forecasting.forecaster import SETTING, forecaster_of
from models.series.forecasting.forecasts import AHEAD, Forecasting
from models.series.forecasting.history import DAY_BINS, History, bins_of

_NEWEST: Final = -1
"""Of the origins: the day that a choice of a day before did not see."""


@dataclass(frozen=True, slots=True)
class ForecastFigures:
    """Of one set, a choice a day and dimension. Errors are mean absolute ones a day ahead, as shares of the plain level's, in the median
    over the series of their medians over days."""

    series: int
    """Dimensions with enough history for a choice."""
    series_with_one: int
    """Those of which a forecaster was used on some day."""
    choices: int
    used: int
    errors: dict[str, float | None]
    """Of the profile and of each forecaster, whether used or not; None: it never gave one."""
    next_day: float | None
    """What was chosen, on the day after: its error as a share of the profile's; geometric mean over days, of these the mean over series."""
    next_day_better: float | None
    """Share of these days on which it errs less than the profile."""

    def lines(self) -> Iterator[str]:
        """For people."""
        told = ", ".join(f"{name} {'fails' if e is None else f'{e:.2f}'}" for name, e in self.errors.items())
        yield f"  a day ahead, error by that of the plain level (median series): {told}"
        line = f"  a forecaster is used on {self.used} of {self.choices} days, of {self.series_with_one} of {self.series} series"
        if self.next_day is not None and self.next_day_better is not None:
            line += f"; the day after its error is {self.next_day:.2f} of the profile's, less on {self.next_day_better:.0%} of days"
        yield line


def named(given: Sequence[str]) -> Forecasting | None:
    """Forecasters as the command line has them, `package.Class(parameter=value)`; None where there are none.

    Raises:
        InvalidSettings: one can't be read, or is no forecaster.
    """
    recipes = {}
    for text in given:
        recipe = _recipe(text)
        forecaster_of(recipe)
        short = recipe.path.rpartition(".")[2]
        recipes[short if short not in recipes else recipe.title] = recipe
    return Forecasting(recipes) if recipes else None


def _recipe(text: str) -> Recipe:
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            return Recipe(ast.unparse(call), setting=SETTING)
        parameters: dict[str, Any] = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        if call.args or "None" in parameters:
            raise ValueError("parameters are given by name")
    except (SyntaxError, ValueError) as e:
        raise InvalidSettings(f"{text!r} is no forecaster as `package.Class(parameter=value)`: {e}") from e
    return Recipe(ast.unparse(call.func), parameters, setting=SETTING)


def forecast_figures(series: Sequence[LabelledSeries], forecasting: Forecasting) -> ForecastFigures:
    """A choice at each midnight of each series, and what came of those of the day before."""
    recipes = list(forecasting.recipes.values())
    shares: dict[int, list[float]] = defaultdict(list)
    after, days, used, tried, with_one = [], 0, 0, 0, 0
    better: list[bool] = []
    for one in series:
        for values in one.values.T:
            found = list(_choices(one.times_s, values, forecasting))
            tried, days = tried + bool(found), days + len(found)
            chosen = [best(e) for _, e in found]
            used, with_one = used + sum(c != NONE for c in chosen), with_one + any(c != NONE for c in chosen)
            for column in range(PROFILE, OWN + len(recipes)):
                theirs = [float(whole[column] / whole[LEVEL]) for _, e in found if (whole := over_all(e))[LEVEL] > 0]
                known = [share for share in theirs if np.isfinite(share)]
                shares[column] += [statistics.median(known)] if known else []
            logs = list(_after(found, chosen))
            better += [log < 0 for log in logs]
            after += [statistics.mean(logs)] if logs else []
    names = ["profile", *forecasting.recipes]
    return ForecastFigures(
        series=tried,
        series_with_one=with_one,
        choices=days,
        used=used,
        errors={
            n: statistics.median(shares[PROFILE + i]) if shares[PROFILE + i] else None for i, n in enumerate(names)
        },
        next_day=float(np.exp(statistics.mean(after))) if after else None,
        next_day_better=statistics.mean(better) if better else None,
    )


def _choices(times_s: F64, values: F64, forecasting: Forecasting) -> Iterator[tuple[int, F64]]:
    """The day and the errors of each choice."""
    history, row, bins = History(1), np.zeros(1, dtype=np.int64), bins_of(times_s)
    known = np.isfinite(values)
    for i in np.flatnonzero(known).tolist():
        at = int(bins[i])
        if at != history.bins[0]:
            before = int(history.bins[0])
            history.close(row, bins[i : i + 1])
            past = history.past(0, at) if at // DAY_BINS != before // DAY_BINS else None
            if past is not None:
                recipes = list(forecasting.recipes.values())
                yield at // DAY_BINS, choice(recipes, past, AHEAD, forecasting.calendar).errors
        history.add(row, values[i : i + 1])


def _after(found: list[tuple[int, F64]], chosen: list[int]) -> Iterator[float]:
    """By how much (logarithm) what was chosen errs less than the profile on the day after."""
    for (day, _), (following, errors), which in zip(found, found[1:], chosen, strict=False):
        if which == NONE or following != day + 1:
            continue
        theirs, own = errors[_NEWEST, OWN + which], errors[_NEWEST, PROFILE]
        if theirs > 0 and own > 0:
            yield float(np.log(theirs / own))
