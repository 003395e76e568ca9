"""Whose doing is it that a series is well again: the action's, or its own? Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from playbooks.language.model import Check
from playbooks.verify.judging import OVER_NATS, expected, failures, fewer, seldom_off
from playbooks.verify.levels import Level, LevelKey, Point, within

EARLY: Final = 2
"""Windows in a row that were well before the action from which on it is said to have ended by itself; one may be chance."""
PARTLY: Final = 0.5
"""Credit where the forecast leaves room for a recovery without the action."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a recovery the action can claim (0..1), and why not all."""

    credit: float
    text: str


def share_of(
    check: Check, key: LevelKey, level: Level, run: Sequence[Point], *, relapsed: bool = False
) -> Share | None:
    """The action's share in a series' being well for the windows of `run`; None for a series that was never off. `relapsed`: it was
    bad again after the action.

    Where no range is known, and where a check wants a level moved rather than restored, only what the forecast excludes counts.
    """
    if not run or math.isnan(level.worst):
        return None
    ranged = check.better == "expected" and math.isfinite(level.high)
    if not ranged:
        return Share(1.0, "") if _excluded(key, level, run, check.better) else None
    if seldom_off(key, level):
        return _share_of_few(key, level, run)
    if within(level.worst, level.low, level.high, key.worse):
        return None
    return _share_of_many(check, key, level, run, relapsed=relapsed)


def _share_of_many(check: Check, key: LevelKey, level: Level, run: Sequence[Point], *, relapsed: bool) -> Share:
    """The same of a series whose windows showed that it was off."""
    if level.well >= max(EARLY, _paused(level) + 1) and not relapsed:
        return Share(0.0, f"{key.text} was back before it acted")
    if level.well and not relapsed:
        return Share(PARTLY, f"{key.text} may have been back before it acted")
    forecast = level.forecast(run[0].end_ns)
    if level.slope and expected(_as_point(forecast), key, level):
        return Share(0.0, f"{key.text} was recovering anyway")
    if not _excluded(key, level, run, check.better):
        return Share(PARTLY, f"{key.text} might have been so anyway")
    return Share(1.0, "")


def _share_of_few(key: LevelKey, level: Level, run: Sequence[Point]) -> Share:
    """The same where it is all requests together that show what failed: those since the last failure before the action, and those since."""
    if level.slope and expected(_as_point(level.forecast(run[0].end_ns)), key, level):
        return Share(0.0, f"{key.text} was recovering anyway")
    if fewer(level, level.calm, 0.0) >= OVER_NATS:
        return Share(0.0, f"{key.text} was back before it acted")
    if fewer(level, *failures(run)) < OVER_NATS:
        return Share(PARTLY, f"{key.text} might have been so anyway")
    return Share(1.0, "")


def _paused(level: Level) -> int:
    """Windows of the longest time for which the fault paused by itself."""
    return round(level.gap_ns / level.interval_ns) if level.interval_ns else 0


def _excluded(key: LevelKey, level: Level, run: Sequence[Point], better: str) -> bool:
    """Whether the windows lie where the forecast does not, to the good side."""
    low, high = level.interval(run[0].end_ns)
    middle = statistics.median([p.value for p in run])
    side = {"lower": 1, "higher": -1}.get(better, key.worse)
    if side == 0:
        return not low <= middle <= high
    return middle < low if side > 0 else middle > high


def _as_point(value: float) -> Point:
    return Point(0, 0, value, math.nan, math.nan, math.inf, 0)
