"""How far a series is from where it was for long, and from its last point, in multiples of how far it usually is.

What is usual is the root of the mean square, not of the mean: a series that shoots up once a day is known to, so that the square of a
distance is about the number of points between two like it (Chebyshev's inequality: a value is `d` times as far in at most one of d² points),
whatever the distribution is. How rare a value is says little where few values were seen, or most of them are the same (sparse counts,
dimensions of a host that hardly move); how far it lies is known after some dozen.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.frames.decoded import F64, I64


class From(enum.IntEnum):
    """What a distance is measured from."""

    LEVEL = 0
    LAST = 1


LEVEL_POINTS: Final = 3000.0
SPREAD_POINTS: Final = 8000.0
"""Half-lives of the level, and of what is usual around it (its range included). Of labelled hosts and services (docs/benchmarks.md): half
and twice as long do about as well."""
_WARM: Final = 30.0
"""Points from which a distance is known, and beyond which distances teach no further than `_LIMIT`."""
_LIMIT: Final = 12.0
"""Spreads beyond which a value teaches no further. Of the same sets: 10 and 15 are a little worse; less and what is rare but usual is told for
ever, more and an outage is taken for usual while it lasts."""
_SHARE_OF_RANGE: Final = 0.015
"""Least spread, as a share of the range seen: a hundredth of what it does is nothing far. Of the same sets; 0.012 and 0.018 are a little worse."""
_SHARE_OF_LEVEL: Final = 0.001
"""The same as a share of the level, for a series that never moved. By hand."""
_TINY: Final = 1e-30
MOST: Final = 1e6
_NAMES: Final = ("count", "level", "last", "low", "high", "square", "step_square")
_COUNT, _LEVEL, _LAST, _LOW, _HIGH, _SQUARE, _STEP_SQUARE = range(len(_NAMES))


class Distances:
    """State of `n` series."""

    def __init__(self, n: int = 0) -> None:
        self.known = np.zeros((n, len(_NAMES)))

    def step(self, rows: I64, values: F64) -> F64:
        """How far `values` of different `rows` are (rows × `From`), 0 where that isn't known yet; then learn from them."""
        s = self.known[rows]
        first = s[:, _COUNT] == 0.0
        s[first, _LEVEL : _HIGH + 1] = values[first, None]
        s[:, _COUNT] += 1.0
        warm = s[:, _COUNT] > _WARM
        floor = _SHARE_OF_RANGE * (s[:, _HIGH] - s[:, _LOW]) + _SHARE_OF_LEVEL * np.abs(s[:, _LEVEL]) + _TINY
        away = values[:, None] - s[:, [_LEVEL, _LAST]]
        spread = np.sqrt(s[:, [_SQUARE, _STEP_SQUARE]]) + floor[:, None]
        taught = np.where(warm[:, None], np.clip(away, -_LIMIT * spread, _LIMIT * spread), away)
        rate = _rate(SPREAD_POINTS, s[:, _COUNT])
        s[:, _SQUARE:] += rate[:, None] * (taught**2 - s[:, _SQUARE:])
        s[:, _LEVEL] += _rate(LEVEL_POINTS, s[:, _COUNT]) * taught[:, From.LEVEL]
        self._widen(s, values)
        s[:, _LAST] = values
        self.known[rows] = s
        return np.where(warm[:, None], np.minimum(np.abs(away) / spread, MOST), 0.0)

    def _widen(self, s: F64, values: F64) -> None:
        """Take `values` into the range, which narrows slowly: one absurd value must not hide all others for ever."""
        narrowing, level = 1.0 - 0.5 ** (1.0 / SPREAD_POINTS), s[:, _LEVEL]
        s[:, _HIGH] = np.maximum(s[:, _HIGH] - narrowing * (s[:, _HIGH] - level), values)
        s[:, _LOW] = np.minimum(s[:, _LOW] + narrowing * (level - s[:, _LOW]), values)

    def grow(self, more: int) -> None:
        """Make room for `more` series."""
        self.known = np.pad(self.known, ((0, more), (0, 0)))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, by name."""
        return {"known": self.known}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave."""
        self.known = arrays["known"]


def _rate(half_life: float, count: F64) -> F64:
    found: F64 = np.maximum(1.0 - 0.5 ** (1.0 / half_life), 1.0 / count)
    return found
