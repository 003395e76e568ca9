"""One series around a fault: its windows, and the levels it had before, during and when the action came."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from contracts.features import FEATURES
from contracts.units import SECOND

TREND_POINTS = 30
MIN_TREND_POINTS = 4


class LevelKey(NamedTuple):
    """A feature of a service, or of the edge `service -> peer`."""

    feature: str
    service: str
    peer: str = ""

    @property
    def worse(self) -> int:
        """The direction that hurts: +1 higher, -1 lower, 0 either."""
        return FEATURES[self.feature].worse

    @property
    def text(self) -> str:
        """What an operator reads."""
        return f"{self.feature} of {self.service}" + (f" → {self.peer}" if self.peer else "")


@dataclass(frozen=True, slots=True)
class Point:
    """One window. `value`, `low`, `high` in the feature's unit; NaN where not observed or not known. `came_ns` is how far event
    time of the environment had come when the window was first heard of."""

    start_ns: int
    end_ns: int
    value: float
    low: float
    high: float
    score: float
    count: int
    came_ns: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """A series before and during a fault; NaN where nothing was observed.

    `baseline` is the median before onset, [`low`, `high`] the range expected then. `worst` is from onset to the action,
    `acted` the median of the last windows before it. `slope` is the trend during the fault per second, `acted_ns` where
    its line passes through `acted`.
    """

    baseline: float = math.nan
    low: float = math.nan
    high: float = math.nan
    worst: float = math.nan
    acted: float = math.nan
    slope: float = 0.0
    acted_ns: int = 0
    interval_ns: int = 0

    def forecast(self, time_ns: int) -> float:
        """The value at a time had nothing been done: the fault's trend carried on."""
        return self.acted + self.slope * (time_ns - self.acted_ns) / SECOND


def level_of(points: Sequence[Point], key: LevelKey, onset_ns: int, acted_ns: int) -> Level:
    """The levels of a series; `points` in order of time, those that end after `acted_ns` are not looked at."""
    seen = [p for p in points if math.isfinite(p.value) and p.end_ns <= acted_ns]
    before = [p for p in seen if p.end_ns <= onset_ns]
    fault = [p for p in seen if p.end_ns > onset_ns]
    baseline = _median([p.value for p in before])
    low, high = _range(before)
    last = fault[-3:] or before[-3:]
    return Level(
        baseline=baseline,
        low=low,
        high=high,
        worst=_worst([p.value for p in fault], key.worse, baseline),
        acted=_median([p.value for p in last]),
        slope=theil_sen(fault[-TREND_POINTS:]),
        acted_ns=int(_median([float((p.start_ns + p.end_ns) // 2) for p in last])) if last else 0,
        interval_ns=_interval(seen),
    )


def within(value: float, low: float, high: float, worse: int) -> bool:
    """Whether a value is on the good side of a range; false while the bound that matters is not known."""
    if worse > 0:
        return value <= high
    if worse < 0:
        return value >= low
    return low <= value <= high


def theil_sen(points: Sequence[Point]) -> float:
    """Median slope over all pairs, per second (Theil 1950, Sen 1968); 0 for too few points to speak of a trend."""
    if len(points) < MIN_TREND_POINTS:
        return 0.0
    slopes = [
        (b.value - a.value) / ((b.start_ns - a.start_ns) / SECOND)
        for i, a in enumerate(points)
        for b in points[i + 1 :]
        if b.start_ns > a.start_ns
    ]
    return statistics.median(slopes) if slopes else 0.0


def _range(before: Sequence[Point]) -> tuple[float, float]:
    """The range expected before the fault: the models', or where they had none the spread of what was seen."""
    low, high = _median([p.low for p in before]), _median([p.high for p in before])
    values = [p.value for p in before]
    if len(values) < 3 or (math.isfinite(low) and math.isfinite(high)):
        return low, high
    middle = statistics.median(values)
    spread = 5 * 1.4826 * statistics.median([abs(v - middle) for v in values]) + 0.2 * abs(middle)
    return (low if math.isfinite(low) else middle - spread), (high if math.isfinite(high) else middle + spread)


def _worst(values: Sequence[float], worse: int, baseline: float) -> float:
    if not values:
        return math.nan
    if worse == 0 and math.isfinite(baseline):
        return max(values, key=lambda v: abs(v - baseline))
    return min(values) if worse < 0 else max(values)


def _interval(seen: Sequence[Point]) -> int:
    gaps = [b.start_ns - a.start_ns for a, b in pairwise(seen)]
    return int(statistics.median(gaps)) if gaps else 0


def _median(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return statistics.median(finite) if finite else math.nan
