"""What single points and groups of series say: evidence in decades, on a scale of false alarms per time and not per point.

A series with a point an hour has sixty times fewer chances of a false alarm than one with a point a minute: its evidence counts for more
by just that. A budget of false alarms a week is then one number for all series, whatever their cadence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.frames.decoded import F64, I64
from models.series.calendar import UNIVERSAL, Calendar
from models.series.distance import Distances
from models.series.forecasting.forecasts import Forecasting
from models.series.residuals import RANGE_POINTS, RANGE_SCALE, WAYS, SeriesResiduals, Way
from models.series.tails import MOST_DECADES, Tails

MINUTE_S: Final = 60.0
WARM_POINTS: Final = 100
"""Points before which a series says nothing."""
_LEAST: Final = 2.0
"""Decades below which a way says nothing."""
_TOGETHER: Final = 0.3
"""Weight of what further ways add to the strongest: they depend on each other (cf. Brown 1975)."""
_COUNTS: Final[F64] = np.ones(WAYS)
_COUNTS[Way.JUMP] = 0.0
"""A jump by itself says nothing that the other ways don't say better; it is told in explanations alone."""
_BEYOND: Final = 0.06
"""Ranges by which values beyond the range exceed it, in the mean."""
_CADENCE: Final = 0.05


class SeriesSaid(NamedTuple):
    """Of each row: `evidence`, `ways` (rows × ways, decades of each), `expected` (rows × 2: level, spread), `distances` (rows × `From`)."""

    evidence: F64
    ways: F64
    expected: F64
    distances: F64


class SeriesScorer:
    """State of `n` series."""

    def __init__(self, n: int = 0, calendar: Calendar = UNIVERSAL, forecasting: Forecasting | None = None) -> None:
        self.residuals = SeriesResiduals(n, calendar, forecasting)
        self.tails, self.distances = Tails(n, WAYS), Distances(n)
        self.last_s, self.cadence = np.zeros(n), np.zeros(n)
        """When each series last had a point (epoch seconds), and the logarithm of its usual seconds between two."""

    def step(self, rows: I64, times_s: F64, values: F64) -> SeriesSaid:
        """Judge one point each of different `rows`, then learn from it. Values must be finite, times per row must grow."""
        cadence = self._cadence_of(rows, times_s)
        residuals, usable, taught, learns, expected = self.residuals.step(rows, times_s, values)
        ways = self.tails.step(rows, residuals, usable, taught, learns)
        ways[:, Way.RANGE] = np.minimum(ways[:, Way.RANGE], self._beyond(rows, residuals[:, Way.RANGE]))
        rarer = np.log10(np.exp(cadence) / MINUTE_S)
        said = np.maximum(0.0, np.where(ways > 0, ways + rarer[:, None], 0.0) - _LEAST) * _COUNTS
        evidence = _TOGETHER * said.sum(axis=1) + (1.0 - _TOGETHER) * said.max(axis=1)
        evidence[self.residuals.count(rows) <= WARM_POINTS] = 0.0
        return SeriesSaid(evidence, ways, expected, self.distances.step(rows, values))

    def _beyond(self, rows: I64, outside: F64) -> F64:
        """The most decades that a value outside of all that was seen may say: of n values the next is the largest once in n, and lies
        beyond by exponentially less than the range is wide."""
        seen = np.minimum(self.residuals.count(rows), RANGE_POINTS)
        found = np.log10(np.maximum(seen, 1.0)) + outside / RANGE_SCALE / _BEYOND / np.log(10.0)
        return np.where(outside > 0.0, np.minimum(found, MOST_DECADES), 0.0)

    def _cadence_of(self, rows: I64, times_s: F64) -> F64:
        last, cadence = self.last_s[rows], self.cadence[rows]
        apart = np.log(np.maximum(times_s - last, 1e-3))
        cadence = np.where(last == 0.0, np.log(MINUTE_S), np.where(cadence == 0.0, apart, cadence))
        moved = cadence + np.clip(apart - cadence, -_CADENCE, _CADENCE)
        self.cadence[rows] = np.where(last == 0.0, 0.0, moved)
        self.last_s[rows] = times_s
        return np.where(last == 0.0, cadence, moved)

    def grow(self, n: int) -> None:
        """Make room for `n` series."""
        more = n - len(self.last_s)
        self.residuals.grow(more)
        self.tails.grow(more)
        self.distances.grow(more)
        self.last_s, self.cadence = np.pad(self.last_s, (0, more)), np.pad(self.cadence, (0, more))

    def counts_in(self, counters: Counter[str]) -> None:
        """Where what comes of forecasters is counted: forecasts, forecasts_used, forecasts_failed."""
        if self.residuals.forecasts is not None:
            self.residuals.forecasts.counters = counters

    def enrol(self, row: int, name: str) -> None:
        """A row is of the series `name`."""
        if self.residuals.forecasts is not None:
            self.residuals.forecasts.enrol(row, name)

    def forecaster(self, row: int) -> str:
        """By whose forecast a row's last point was judged; empty: by its own season."""
        found = self.residuals.forecasts
        return "" if found is None else found.name(row, float(self.last_s[row]))

    @property
    def forecasters(self) -> list[str]:
        """Those that there are, for a snapshot."""
        return [] if self.residuals.forecasts is None else self.residuals.forecasts.titles

    def state(self, rows: I64 | slice) -> dict[str, Any]:
        """Of some rows, as `load` takes it."""
        known = {
            "residuals": self.residuals.arrays(),
            "tails": self.tails.arrays(),
            "distances": self.distances.arrays(),
        }
        return _of_rows({**known, "last": self.last_s, "cadence": self.cadence}, rows)

    def load(self, state: dict[str, Any]) -> None:
        """Take what `state` gave; one of before distances were known starts them anew."""
        self.last_s, self.cadence = state["last"], state["cadence"]
        self.residuals.load(state["residuals"])
        self.tails.load(state["tails"])
        self.distances.load(state["distances"] if "distances" in state else Distances(len(self.last_s)).arrays())

    def restore(self, state: dict[str, Any], forecasters: Sequence[str], names: Sequence[str]) -> None:
        """Take what `state` gave in a process that had these `forecasters`, of the series `names`."""
        theirs = state["residuals"].pop("forecasts", {})
        self.load(state)
        if self.residuals.forecasts is not None:
            self.residuals.forecasts.restore(theirs, forecasters, names)


def _of_rows(arrays: dict[str, Any], rows: I64 | slice) -> dict[str, Any]:
    """Some rows of arrays, and of those of dicts among them."""
    return {n: _of_rows(a, rows) if isinstance(a, dict) else a[rows] for n, a in arrays.items()}
