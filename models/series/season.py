"""What a series usually does at this time of day, and of the week: profiles learnt on line, used only where they beat the plain level.

By which clock, and whether days off have a profile of their own, a `Calendar` says.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.frames.decoded import B1, F64, I64
from models.series.calendar import DAY_BINS, UNIVERSAL, WEEK_BINS, Calendar

_KINDS: Final = 2
"""Of days: every day, or those on which people work; and days off."""
_TRUST: Final = 0.3
"""Weight of the newest day (week) once several were seen."""
_WEEKS: Final = 2.0
"""Weeks from which the hour of the week counts beside the time of day."""
_LIMIT: Final = 8.0
"""Spreads beyond which a value changes a profile no further."""


class Season:
    """Profiles of `n` series, in bins of half an hour of the day (by kind of day) and of an hour of the week."""

    def __init__(self, n: int = 0, calendar: Calendar = UNIVERSAL) -> None:
        self._calendar = calendar
        self.day, self.days = np.zeros((n, _KINDS * DAY_BINS)), np.zeros((n, _KINDS * DAY_BINS))
        self.week, self.weeks = np.zeros((n, WEEK_BINS)), np.zeros((n, WEEK_BINS))
        self.bins = np.full((n, 2), -1, dtype=np.int64)
        """Where each series was last: bin of the day, hour of the week."""
        self.inside, self.per_bin = np.zeros(n), np.zeros(n)

    def expected(self, rows: I64, times_s: F64, level: F64) -> tuple[F64, B1, B1]:
        """What `rows` do at `times_s`, and whether that is known: a whole day was seen; else their `level`. And where it isn't, whether it is
        of days of the other kind, so that this one may well be otherwise."""
        day, hour = self._calendar.bins(times_s)
        known = self.days[rows, day] >= 1.0
        by_day, by_week = self.day[rows, day], self.week[rows, hour]
        profile = np.where(self.weeks[rows, hour] >= _WEEKS, 0.5 * (by_day + by_week), by_day)
        other = self.days[rows, (day + DAY_BINS) % (_KINDS * DAY_BINS)] >= 1.0
        return np.where(known, profile, level), known, ~known & other

    def learn(self, rows: I64, times_s: F64, values: F64, spread: F64) -> None:
        """Take `values` into the profiles; what lies far outside of `spread` counts as if it lay at its limit."""
        day, hour = self._calendar.bins(times_s)
        self._learn_day(rows, day, values, spread)
        self._learn_hour(rows, hour, values, spread)
        self.bins[rows] = np.stack([day, hour], axis=1)

    def _learn_day(self, rows: I64, day: I64, values: F64, spread: F64) -> None:
        seen, before = self.days[rows, day], self.day[rows, day]
        weight = 1.0 - (1.0 - np.maximum(_TRUST, 1.0 / (seen + 1.0))) ** (1.0 / np.maximum(1.0, self.per_bin[rows]))
        step = np.where(
            seen >= 1.0,
            weight * np.clip(values - before, -_LIMIT * spread, _LIMIT * spread),
            (values - before) / (self.inside[rows] + 1.0),
        )
        was = self.bins[rows, 0]
        left = (was != day) & (was >= 0)
        self.days[rows[left], was[left]] += 1.0
        inside, per_bin = self.inside[rows], self.per_bin[rows]
        smoothed = np.where(per_bin > 0, per_bin + _TRUST * (inside - per_bin), inside)
        self.per_bin[rows] = np.where(left, smoothed, per_bin)
        self.inside[rows] = np.where(was == day, inside + 1.0, 1.0)
        self.day[rows, day] = before + step

    def _learn_hour(self, rows: I64, hour: I64, values: F64, spread: F64) -> None:
        seen, before = self.weeks[rows, hour], self.week[rows, hour]
        in_hour = np.maximum(1.0, 2.0 * self.per_bin[rows])
        weight = 1.0 - (1.0 - np.maximum(_TRUST, 1.0 / (seen + 1.0))) ** (1.0 / in_hour)
        was = self.bins[rows, 1]
        left = (was != hour) & (was >= 0)
        self.weeks[rows[left], was[left]] += 1.0
        first = (seen == 0.0) & (was != hour)
        step = weight * np.clip(values - before, -_LIMIT * spread, _LIMIT * spread)
        self.week[rows, hour] = np.where(first, values, before + step)

    def grow(self, more: int) -> None:
        """Make room for `more` series."""
        for name, values in Season(more).arrays().items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, by name."""
        return {n: getattr(self, n) for n in ("day", "days", "week", "weeks", "bins", "inside", "per_bin")}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave; one of before days off were told apart knows nothing of them."""
        for name in self.arrays():
            setattr(self, name, arrays[name])
        missing = _KINDS * DAY_BINS - self.day.shape[1]
        self.day, self.days = (np.pad(found, ((0, 0), (0, missing))) for found in (self.day, self.days))
