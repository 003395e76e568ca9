"""How far a point of a series lies from what was expected of it, measured in ten ways that faults show differently.

All is learnt on line with clipped (robust) exponential means, in units of the series' own spread, so that neither its unit nor its range
matters; half-lives are counted in points. The forecast is a normalised least-mean-squares filter (Widrow and Hoff 1960) over the last
points, the level and the season.
"""

from __future__ import annotations

import enum
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.frames.decoded import B1, F64, I64
from models.series.calendar import UNIVERSAL, Calendar
from models.series.forecasting.forecasts import Forecasting, Forecasts
from models.series.season import Season


class Way(enum.IntEnum):
    """In what way a point is unusual."""

    FAST = 0  # beside the mean of the last few points
    SLOW = 1  # beside the level of long
    JUMP = 2  # beside the point before
    SEASON = 3  # beside this time of day and week
    SHIFT = 4  # the mean of some dozen points beside the level of long
    VOLATILITY = 5  # how much points differ from each other
    RANGE = 6  # outside of everything seen
    FLAT = 7  # the same value for longer than ever
    SEASON_SHIFT = 8  # the mean of some dozen points beside the season
    FORECAST = 9  # beside a forecast from the last points


WAYS: Final = len(Way)
FAST_POINTS: Final = 6.0
SHIFT_POINTS: Final = 40.0
SLOW_POINTS: Final = 600.0
VOLATILITY_POINTS: Final = 20.0
RANGE_POINTS: Final = 4000.0
"""Half-lives."""
RANGE_SCALE: Final = 20.0
"""By what a distance in ranges is multiplied, so that it is measured as the other ways are."""
_LIMIT: Final = 6.0
"""Spreads beyond which a value teaches no further."""
_FLOOR: Final = 0.02
"""Least spread: this share of a twentieth of the level and a tenth of the range."""
_SIGMA: Final = 1.2533
"""Standard deviations per mean absolute deviation, of a normal distribution."""
_YOUNG: Final = 30.0
_SETTLED: Final = 300.0
"""Points below which nothing is clipped, and below which no season is believed."""
_FIRST: Final = 4.0
"""Points of which nothing is learnt about how large residuals are: no spread is known yet. The next few, whose spreads are uncertain,
stand for the heavy tails that a series may have."""
_BETTER: Final = 0.8
"""A season is believed where its residuals are below this share of the plain level's."""
_TAPS: Final = 6
_RATE: Final = 0.05
_WIDEST: Final = 12.0
_MOST: Final = 1e3
_MOVES: Final = 30.0
"""Points that differed from the one before: fewer, and it is a value that is set now and then."""
_REPEATS: Final = 3.0
"""Repeats of a value that say little where none was ever seen."""
_TINY: Final = 1e-12

_NAMES: Final = [
    "count",
    "fast",
    "fast_spread",
    "slow",
    "slow_spread",
    "last",
    "step_spread",
    "volatility",
    "low",
    "high",
    "middle",
    "run",
    "moves",
    "longest_run",
    "seasonal_middle",
    "seasonal_middle_spread",
    "season_spread",
    "season_error",
    "level_error",
    "offset",
    "forecast_spread",
]
_AT: Final = {name: i for i, name in enumerate(_NAMES)}


class Look(NamedTuple):
    """Of each row: `residuals` (rows × ways, in spreads), which of them are `usable`, what is `taught` of how large they are where
    something is (`learns`: of a run of one value its length, once, when it is over), and what was `expected` (rows × 2: level, spread)."""

    residuals: F64
    usable: B1
    taught: F64
    learns: B1
    expected: F64


class SeriesResiduals:
    """State of `n` series. Where there are forecasters, what they say takes the place of the season while one is in use."""

    def __init__(self, n: int = 0, calendar: Calendar = UNIVERSAL, forecasting: Forecasting | None = None) -> None:
        self.state = np.zeros((n, len(_NAMES)))
        self.lags, self.weights = np.zeros((n, _TAPS)), np.zeros((n, _TAPS))
        self.season = Season(n, calendar)
        self.forecasts = Forecasts(n, forecasting) if forecasting is not None else None

    def step(self, rows: I64, times_s: F64, values: F64) -> Look:
        """What `values` of different `rows` look like; then learn from them."""
        s = self.state[rows]
        _begin(s, values)
        look = _Step(self, rows, s, times_s, values)
        found = look.residuals()
        usable = np.repeat((look.count > _FIRST)[:, None], WAYS, axis=1)
        usable[:, [Way.SEASON, Way.SEASON_SHIFT]] &= look.seasonal[:, None]
        usable[:, Way.FLAT] &= s[:, _AT["moves"]] >= _MOVES
        learns, taught = usable.copy(), found.copy()
        learns[:, Way.FLAT] &= look.run == 0.0
        taught[:, Way.FLAT] = np.minimum(s[:, _AT["run"]] / (s[:, _AT["longest_run"]] + _REPEATS), _MOST)
        expected = np.stack(
            [np.where(look.seasonal, look.profile + s[:, _AT["offset"]], s[:, _AT["slow"]]), look.slow_spread], 1
        )
        look.learn()
        self.state[rows] = s
        return Look(found, usable, taught, learns, expected)

    def count(self, rows: I64) -> F64:
        """Points that each row has had."""
        found: F64 = self.state[rows, _AT["count"]]
        return found

    def grow(self, more: int) -> None:
        """Make room for `more` series."""
        self.state = np.pad(self.state, ((0, more), (0, 0)))
        self.lags, self.weights = np.pad(self.lags, ((0, more), (0, 0))), np.pad(self.weights, ((0, more), (0, 0)))
        self.season.grow(more)
        if self.forecasts is not None:
            self.forecasts.grow(more)

    def arrays(self) -> dict[str, Any]:
        """The state, by name."""
        own = {"state": self.state, "lags": self.lags, "weights": self.weights, "season": self.season.arrays()}
        return own if self.forecasts is None else {**own, "forecasts": self.forecasts.arrays()}

    def load(self, arrays: dict[str, Any]) -> None:
        """Take what `arrays` gave, but for forecasts of another process (`Forecasts.restore`)."""
        self.state, self.lags, self.weights = arrays["state"], arrays["lags"], arrays["weights"]
        self.season.load(arrays["season"])
        if self.forecasts is not None:
            self.forecasts.load(arrays.get("forecasts") or self.forecasts.none(len(self.state)))


def _begin(s: F64, values: F64) -> None:
    first = s[:, _AT["count"]] == 0.0
    for name in ("fast", "slow", "last", "middle", "low", "high"):
        s[first, _AT[name]] = values[first]
    s[:, _AT["count"]] += 1.0


def _rate(half_life: float, count: F64) -> F64:
    found: F64 = np.maximum(1.0 - 0.5 ** (1.0 / half_life), 1.0 / count)
    return found


def _clip(values: F64, most: F64 | float) -> F64:
    return np.clip(values, -most, most)


class _Step:
    """One step: what is seen of the rows before anything is learnt. `s` is their state, changed in place by `learn`."""

    def __init__(self, of: SeriesResiduals, rows: I64, s: F64, times_s: F64, x: F64) -> None:
        self.of, self.rows, self.s, self.times_s, self.x = of, rows, s, times_s, x
        self.count = s[:, _AT["count"]].copy()
        self.eps = _TINY + _FLOOR * (0.05 * np.abs(self._of("slow")) + 0.1 * (self._of("high") - self._of("low")))
        self.fast_spread = self._of("fast_spread") * _SIGMA + self.eps
        self.slow_spread = self._of("slow_spread") * _SIGMA + self.eps
        self.step = x - self._of("last")
        self.profile, self.known, self.awaited = of.season.expected(rows, times_s, self._of("slow"))
        self.forecast = self._forecast()
        self.season_error = x - self.profile - self._of("offset")
        self.seasonal = (
            self.known
            & (self._of("level_error") > 0)
            & (self.forecast | (self._of("season_error") < _BETTER * self._of("level_error")))
            & (self.count > _SETTLED)
        )
        self.middle_rate = _rate(SHIFT_POINTS, self.count)
        self.middle = self._of("middle") + self.middle_rate * (x - self._of("middle"))
        self.seasonal_middle = self._of("seasonal_middle") + self.middle_rate * (
            (x - self.profile) - self._of("seasonal_middle")
        )
        most = 8.0 * (self._of("step_spread") + self.eps)
        volatility = self._of("volatility")
        self.volatility = volatility + _rate(VOLATILITY_POINTS, self.count) * (
            np.minimum(np.abs(self.step), most) - volatility
        )
        self.run = np.where(self.step == 0.0, self._of("run") + 1.0, 0.0)
        self.lags = of.lags[rows]
        self.lags[:, 4] = np.where(self.known, _clip((self.profile - self._of("slow")) / self.slow_spread, 8.0), 0.0)
        self.scaled = _clip((x - self._of("slow")) / self.slow_spread, _WIDEST)
        self.forecast_error = self.scaled - (of.weights[rows] * self.lags).sum(axis=1)

    def _forecast(self) -> B1:
        """Where a library's forecast is in use: it is what is expected then. It was chosen on data held back from it, and begins at the
        level of its day, without the profile's offset."""
        if self.of.forecasts is None:
            return np.zeros(len(self.x), dtype=np.bool_)
        ahead, found = self.of.forecasts.expected(self.rows, self.times_s)
        self.profile, self.known = np.where(found, ahead, self.profile), self.known | found
        self.awaited &= ~found
        self._set("offset", np.where(found, 0.0, self._of("offset")))
        return found

    def _of(self, name: str) -> F64:
        return self.s[:, _AT[name]]

    def residuals(self) -> F64:
        """Rows × ways, each at least 0."""
        x, eps = self.x, self.eps
        span = self._of("high") - self._of("low")
        outside = np.maximum(0.0, np.maximum(x - self._of("high"), self._of("low") - x))
        noise = np.sqrt(self.middle_rate / (2.0 - self.middle_rate))
        ways = np.empty((len(x), WAYS))
        ways[:, Way.FAST] = np.abs(x - self._of("fast")) / self.fast_spread
        ways[:, Way.SLOW] = np.abs(x - self._of("slow")) / self.slow_spread
        ways[:, Way.JUMP] = np.abs(self.step) / (self._of("step_spread") * _SIGMA + eps)
        ways[:, Way.SEASON] = np.abs(self.season_error) / (self._of("season_spread") * _SIGMA + eps)
        ways[:, Way.SHIFT] = np.abs(self.middle - self._of("slow")) / (self.slow_spread * 3.0 * noise + eps)
        ways[:, Way.VOLATILITY] = np.abs(np.log((self.volatility + eps) / (self._of("step_spread") + eps)))
        ways[:, Way.RANGE] = np.where(span > 0, outside / (span + eps) * RANGE_SCALE, 0.0)
        ways[:, Way.FLAT] = self.run / (self._of("longest_run") + _REPEATS)
        ways[:, Way.SEASON_SHIFT] = np.abs(self.seasonal_middle) / (self._of("seasonal_middle_spread") * _SIGMA + eps)
        ways[:, Way.FORECAST] = np.abs(self.forecast_error) / (self._of("forecast_spread") * _SIGMA + 0.02)
        ways[:, [Way.SEASON, Way.SEASON_SHIFT]] *= self.seasonal[:, None]
        return np.minimum(ways, _MOST)

    def learn(self) -> None:
        """Take the points into the state: levels first, then the season, then the forecast."""
        fast, slow_before = self._of("fast").copy(), self._of("slow").copy()
        self._learn_levels()
        self._learn_season(slow_before)
        self._learn_forecast(fast, slow_before)
        self._set("last", self.x)

    def _set(self, name: str, values: F64) -> None:
        self.s[:, _AT[name]] = values

    def _toward(self, name: str, values: F64, rate: F64) -> None:
        before = self._of(name)
        self._set(name, before + rate * (values - before))

    def _unless_young(self, values: F64, limit: F64) -> F64:
        return np.where(self.count > _YOUNG, _clip(values, limit), values)

    def _learn_levels(self) -> None:
        x, slow = self.x, _rate(SLOW_POINTS, self.count)
        far = _LIMIT * self.fast_spread * 3.0
        self._set(
            "fast", self._of("fast") + _rate(FAST_POINTS, self.count) * self._unless_young(x - self._of("fast"), far)
        )
        self._toward("fast_spread", self._unless_young(np.abs(x - self._of("fast")), far), slow)
        beside = self._unless_young(x - self._of("slow"), _LIMIT * self.slow_spread)
        self._set("slow", self._of("slow") + slow * beside)
        self._toward("slow_spread", np.abs(beside), slow)
        self._set("middle", self.middle)
        most = _LIMIT * 2.0 * (self._of("step_spread") + self.eps)
        self._toward("step_spread", self._unless_young(np.abs(self.step), most), slow)
        self._set("volatility", self.volatility)
        narrowing = 1.0 - 0.5 ** (1.0 / RANGE_POINTS)
        level = self._of("slow")
        self._set("high", np.maximum(self._of("high") - narrowing * (self._of("high") - level), x))
        self._set("low", np.minimum(self._of("low") + narrowing * (level - self._of("low")), x))
        over = self._of("run") > 0
        longest = np.where(
            over & (self.run == 0.0), np.maximum(self._of("longest_run"), self._of("run")), self._of("longest_run")
        )
        self._set("longest_run", longest * 0.9999)
        self._set("moves", self._of("moves") + (self.step != 0.0))
        self._set("run", self.run)

    def _learn_season(self, slow_before: F64) -> None:
        # a first Saturday, all of it beside the level, must not speak on the Sunday
        self._set("seasonal_middle", np.where(self.awaited, self._of("seasonal_middle"), self.seasonal_middle))
        rate = np.where(self.known, _rate(SLOW_POINTS, self.count), 0.0)
        error = self.season_error
        spread = self._of("season_spread")
        limit = np.where(spread > 0, _LIMIT * (spread + self.eps) * _SIGMA, np.inf)
        self._toward("season_spread", np.minimum(np.abs(error), limit), rate)
        middle_spread = self._of("seasonal_middle_spread")
        middle_limit = np.where(middle_spread > 0, _LIMIT * (middle_spread + self.eps) * _SIGMA, np.inf)
        self._toward("seasonal_middle_spread", np.minimum(np.abs(self.seasonal_middle), middle_limit), rate)
        widest = 10.0 * self.slow_spread
        self._toward("season_error", np.minimum(np.abs(error), widest), rate)
        self._toward("level_error", np.minimum(np.abs(self.x - slow_before), widest), rate)
        self._set("offset", self._of("offset") + 2.0 * rate * np.clip(error, -limit, limit))
        self.of.season.learn(self.rows, self.times_s, self.x, self.slow_spread)
        if self.of.forecasts is not None:
            self.of.forecasts.learn(self.rows, self.times_s, self.x)

    def _learn_forecast(self, fast: F64, slow: F64) -> None:
        power = 0.5 + (self.lags**2).sum(axis=1)
        self.of.weights[self.rows] += (_RATE * _clip(self.forecast_error, 4.0) / power)[:, None] * self.lags
        spread = self._of("forecast_spread")
        most = _LIMIT * (spread + 0.05)
        self._toward("forecast_spread", np.minimum(np.abs(self.forecast_error), most), _rate(SLOW_POINTS, self.count))
        self.lags[:, 1:4] = self.lags[:, 0:3]
        self.lags[:, 0] = self.scaled
        self.lags[:, 5] = _clip((fast - slow) / self.slow_spread, 8.0)
        self.of.lags[self.rows] = self.lags
