"""The levels of a series around a fault, and its natural course: noise, trend, and how often it was well by itself. Pure.

What is said of an action is said against this: a forecast with an interval (trend by Theil 1950 and Sen 1968, believed only where
Mann 1945 and Kendall 1975 find one), and the share of windows in which the fault looked well although nothing had been done.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Final

from contracts.features import FEATURES, FeatureKind
from contracts.units import SECOND
from playbooks.verify.judging import failures
from playbooks.verify.levels import Level, LevelKey, Point, within

TREND_POINTS: Final = 30
MIN_TREND_POINTS: Final = 4
_TWO_SIDED: Final = 1.96
"""Standard normal quantile: a trend is believed at 5 %."""
_SPREAD: Final = 0.1
"""Least noise of a window of what is no share, relative to its level: fewer points than it takes say that there is none."""


def level_of(points: Sequence[Point], key: LevelKey, onset_ns: int, acted_ns: int) -> Level:
    """The levels of a series; `points` in order of time, those that end after `acted_ns` are not looked at."""
    seen = [p for p in points if math.isfinite(p.value) and p.end_ns <= acted_ns]
    before = [p for p in seen if p.end_ns <= onset_ns]
    fault = [p for p in seen if p.end_ns > onset_ns]
    baseline = _median([p.value for p in before])
    low, high = _range(before)
    last = fault[-3:] or before[-3:]
    worst = _worst([p.value for p in fault], key.worse, baseline)
    level = Level(
        baseline=baseline,
        low=low,
        high=high,
        worst=worst,
        acted=_median([p.value for p in last]),
        acted_ns=int(_median([float((p.start_ns + p.end_ns) // 2) for p in last])) if last else 0,
        interval_ns=_interval(seen),
    )
    inside = [p for p in fault if within(p.value, low, high, key.worse)]
    asked, failed = failures(inside)
    every, lost = failures(fault)
    share = lost / every if every else math.nan
    told = replace(level, inside=len(inside), asked=asked, failed=failed, calm=_calm(fault), share=share)
    return carried_on(told, fault or last, key)


def carried_on(level: Level, fault: Sequence[Point], key: LevelKey) -> Level:
    """The level with the natural course of its fault; `fault` in order of time, observed windows only."""
    recent = fault[-TREND_POINTS:]
    slope, error = trend(recent)
    line = [level.acted + slope * ((p.start_ns + p.end_ns) // 2 - level.acted_ns) / SECOND for p in recent]
    spread = 1.4826 * _median([abs(p.value - on_it) for p, on_it in zip(recent, line, strict=True)]) if recent else 0.0
    inside = [within(p.value, level.low, level.high, key.worse) for p in fault]
    since = inside.index(False) if False in inside else len(inside)
    lived, gaps = fault[since:], _gaps(fault[since:], inside[since:])
    return replace(
        level,
        slope=slope,
        slope_error=error,
        noise=max(spread if math.isfinite(spread) else 0.0, _least_noise(level, recent, key)),
        bad=inside[since:].count(False),
        good=len(lived) - inside[since:].count(False) - gaps[1],
        gap_ns=gaps[0],
        well=gaps[1],
    )


def _gaps(fault: Sequence[Point], inside: Sequence[bool]) -> tuple[int, int]:
    """The longest time inside of the range that was followed by a window outside, and how many windows it was inside at the end."""
    longest, run = 0, list[Point]()
    for point, good in zip(fault, inside, strict=True):
        if good:
            run.append(point)
        elif run:
            longest, run = max(longest, run[-1].end_ns - run[0].start_ns), []
    return longest, len(run)


def _least_noise(level: Level, recent: Sequence[Point], key: LevelKey) -> float:
    """What a window of so few requests would scatter by in any case."""
    if not recent or math.isnan(level.acted):
        return 0.0
    kind = FEATURES[key.feature].kind
    count = max(statistics.median([p.count for p in recent]), 1)
    if kind is FeatureKind.RATIO:
        share = min(max(level.acted, 0.0), 1.0)
        return math.sqrt(share * (1 - share) / count)
    if kind is FeatureKind.COUNT:
        return math.sqrt(max(level.acted, 0.0))
    return _SPREAD * abs(level.acted)


def trend(points: Sequence[Point]) -> tuple[float, float]:
    """Median slope over all pairs per second, and its standard error; zero where the Mann-Kendall test finds no trend."""
    n = len(points)
    if n < MIN_TREND_POINTS:
        return 0.0, 0.0
    pairs = [(a, b) for i, a in enumerate(points) for b in points[i + 1 :] if b.start_ns > a.start_ns]
    sign = sum((b.value > a.value) - (b.value < a.value) for a, b in pairs)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    if abs(sign) < _TWO_SIDED * deviation:
        return 0.0, 0.0
    slopes = sorted((b.value - a.value) / ((b.start_ns - a.start_ns) / SECOND) for a, b in pairs)
    # Sen's interval holds the slopes of rank (N -+ z.d)/2: one deviation to either side is the standard error.
    middle, side = (len(slopes) - 1) / 2, deviation / 2
    low, high = slopes[max(round(middle - side), 0)], slopes[min(round(middle + side), len(slopes) - 1)]
    return statistics.median(slopes), (high - low) / 2


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


def _calm(fault: Sequence[Point]) -> int:
    """Requests since the last window in which one failed."""
    return sum(p.count for p in takewhile(lambda p: p.value <= 0.0, reversed(fault)))


def _interval(seen: Sequence[Point]) -> int:
    gaps = [b.start_ns - a.start_ns for a, b in pairwise(seen)]
    return int(statistics.median(gaps)) if gaps else 0


def _median(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return statistics.median(finite) if finite else math.nan
