"""The forecasts of libraries that the series of one environment use: asked for, chosen and taken into use by time of events.

Once a day of its own each series' forecasters are tried in the worker; what came of it is taken into use `SPARE` bins later and holds until
the next is there. Half a day's series are not asked for together: the hour is by the series' name. Without points nothing is asked for.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.frames.decoded import B1, F64, I64
from models.adapters import refits
from models.adapters.recipes import Recipe
from models.series.calendar import UNIVERSAL, Calendar
from models.series.forecasting.choosing import LEVEL, NONE, OWN, PROFILE, ForecastChoice, choice, over_all
from models.series.forecasting.history import DAY_BINS, NEVER, SPARE, History, Past, bins_of

AHEAD: Final = DAY_BINS + 2 * SPARE
"""Bins that are forecast: until the next forecast is in use, and some more where points are missing."""


@dataclass(frozen=True)
class Forecasting:
    """Which forecasters there are (their `services` are patterns of series), by name, and the calendar of the profile they must beat."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    calendar: Calendar = UNIVERSAL


class Forecasts:
    """Of `n` series."""

    def __init__(self, n: int, given: Forecasting) -> None:
        self._given = given
        self._names, self._recipes = list(given.recipes), list(given.recipes.values())
        self.counters: Counter[str] = Counter()
        self.history = History(n)
        self.meant = np.zeros((n, len(self._recipes)), dtype=np.bool_)
        self.phase = np.zeros(n, dtype=np.int64)
        self.turn, self.asked = np.full(n, NEVER, dtype=np.int64), np.full(n, NEVER, dtype=np.int64)
        """The day that a forecast was last due in, and the bin that the one under way begins with."""
        self.first, self.chosen = np.zeros(n, dtype=np.int64), np.full(n, NONE, dtype=np.int64)
        self.ahead = np.full((n, AHEAD), np.nan, dtype=np.float32)
        """In use: the first bin, whose it is, and what it says."""
        self.errors = np.full((n, OWN + len(self._recipes)), np.nan, dtype=np.float32)
        """Of the last choice: mean absolute errors of level, profile and each forecaster on what was held back."""
        self._fits: dict[int, Future[ForecastChoice]] = {}

    def expected(self, rows: I64, times_s: F64) -> tuple[F64, B1]:
        """What is forecast of `rows` for a time, and where something is."""
        at = bins_of(times_s) - self.first[rows]
        covered = (self.chosen[rows] != NONE) & (at >= 0) & (at < AHEAD)
        return self.ahead[rows, np.where(covered, at, 0)].astype(np.float64), covered

    def learn(self, rows: I64, times_s: F64, values: F64) -> None:
        """Keep points; ask for what is due, and take into use what was asked for long enough ago."""
        bins = bins_of(times_s)
        new = bins != self.history.bins[rows]
        if new.any():
            self._turn(rows[new], bins[new])
        self.history.add(rows, values)

    def name(self, row: int, time_s: float) -> str:
        """Whose forecast is used of a row at a time; empty: none."""
        covered = self.expected(np.array([row]), np.array([time_s]))[1][0]
        return self._names[self.chosen[row]] if covered else ""

    def enrol(self, row: int, name: str) -> None:
        """A row is of the series `name`."""
        self.meant[row] = [recipe.meant((name,))[0] for recipe in self._recipes]
        self.phase[row] = zlib.crc32(name.encode()) % DAY_BINS

    def _turn(self, rows: I64, bins: I64) -> None:
        asked = self.asked[rows]
        for row in rows[(asked != NEVER) & (bins >= asked + SPARE)].tolist():
            self._take(row)  # before a gap takes the place of what was learnt from
        self.history.close(rows, bins)
        turn = (bins + self.phase[rows]) // DAY_BINS
        due = (turn > self.turn[rows]) & (self.asked[rows] == NEVER) & self.meant[rows].any(axis=1)
        self.turn[rows] = turn
        for row, until in zip(rows[due].tolist(), bins[due].tolist(), strict=True):
            self._ask(row, until)

    def _ask(self, row: int, until: int) -> None:
        work = self._work(row, until)
        if work is not None:
            self.asked[row], self._fits[row] = until, refits.submit(choice, *work)

    def _work(self, row: int, until: int) -> tuple[list[Recipe], Past, int, Calendar] | None:
        past = self.history.past(row, until)
        return past and (self._meant(row), past, AHEAD, self._given.calendar)

    def _meant(self, row: int) -> list[Recipe]:
        return [self._recipes[i] for i in np.flatnonzero(self.meant[row]).tolist()]

    def _take(self, row: int) -> None:
        until, fit = int(self.asked[row]), self._fits.pop(row, None)
        self.asked[row], self.chosen[row] = NEVER, NONE
        work = self._work(row, until)
        if work is None:
            return
        found = refits.survived(fit or refits.submit(choice, *work), choice, *work)
        self.counters["forecasts"] += 1
        self.errors[row] = np.nan
        if found is None:
            self.counters["forecasts_failed"] += 1
            return
        which = np.flatnonzero(self.meant[row])
        self.errors[row, [LEVEL, PROFILE, *(OWN + which)]] = over_all(found.errors)
        self.counters["forecasts_failed"] += found.failed
        if found.chosen != NONE:
            self.counters["forecasts_used"] += 1
            self.chosen[row], self.first[row], self.ahead[row] = which[found.chosen], until, found.ahead

    def grow(self, more: int) -> None:
        """Make room for `more` series."""
        fresh = self.none(more)
        self._set({name: np.concatenate([values, fresh[name]]) for name, values in self.arrays().items()})

    def none(self, n: int) -> dict[str, npt.NDArray[Any]]:
        """The state of `n` series of which nothing is known."""
        return Forecasts(n, self._given).arrays()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, by name."""
        own = ("meant", "phase", "turn", "asked", "first", "chosen", "ahead", "errors")
        return {name: getattr(self, name) for name in own} | self.history.arrays()

    def _set(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        kept = self.history.arrays()
        self.history.load({name: arrays[name] for name in kept})
        for name in self.arrays().keys() - kept.keys():
            setattr(self, name, arrays[name])

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave, of the same forecasters; what was under way is asked for again."""
        for fit in self._fits.values():
            fit.cancel()
        self._fits = {}
        self._set(arrays)
        self._ask_again()

    def _ask_again(self) -> None:
        for row in np.flatnonzero(self.asked != NEVER).tolist():
            until, self.asked[row] = int(self.asked[row]), NEVER
            self._ask(row, until)

    @property
    def titles(self) -> list[str]:
        """The forecasters by name, class and parameters, for a snapshot."""
        return [f"{name}={recipe.title}" for name, recipe in zip(self._names, self._recipes, strict=True)]

    def restore(self, arrays: dict[str, npt.NDArray[Any]], titles: Sequence[str], names: Sequence[str]) -> None:
        """Take what `arrays` gave (empty: nothing was kept) in a process whose forecasters were `titles`, for the series `names`; a forecast is
        used no further where its forecaster is gone.

        Raises:
            KeyError, ValueError: it is damaged.
        """
        arrays = arrays or self.none(len(names))
        new = [self.titles.index(title) if title in self.titles else NONE for title in titles]
        errors = np.full((len(names), OWN + len(self._recipes)), np.nan, dtype=np.float32)
        errors[:, :OWN] = arrays["errors"][:, :OWN]
        for old, at in enumerate(new):
            if at != NONE:
                errors[:, OWN + at] = arrays["errors"][:, OWN + old]
        chosen = np.array([*new, NONE], dtype=np.int64)[arrays["chosen"]]  # NONE, the last one, stays itself
        self._set(
            {
                **arrays,
                "chosen": chosen,
                "errors": errors,
                "meant": np.zeros((len(names), len(self._recipes)), np.bool_),
            }
        )
        for row, name in enumerate(names):
            self.enrol(row, name)
        self._ask_again()
