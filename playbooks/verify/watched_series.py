"""The series that verification watches: their windows as they come, their levels from before the action, and how long they have been well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.features import FEATURES, Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from playbooks.language.model import ONE_INSTANCE, Check
from playbooks.verify.judging import (
    OVER_NATS,
    as_usual,
    failures,
    fewer,
    helped,
    lasts_ns,
    seldom_off,
    streak,
)
from playbooks.verify.levels import Level, LevelKey, Point
from playbooks.verify.natural_course import level_of

SLACK_NS: Final = SECOND // 20
CHANCE: Final = 0.05
"""Probability below which windows in a row that look well are not the fault's own course."""


@dataclass(frozen=True, slots=True)
class Intervention:
    """When the fault began, when the action's first effect was intended, and when its last one had happened; epoch nanoseconds."""

    onset_ns: int
    began_ns: int
    acted_ns: int


class WatchedSeries:
    """Windows of some features of some services and edges. Windows may come late, split, and again."""

    def __init__(
        self, keys: Iterable[LevelKey], when: Intervention, for_s: float, reference: Mapping[str, Level]
    ) -> None:
        self._points: dict[LevelKey, dict[int, Point]] = {key: {} for key in keys}
        self._when, self._for_ns = when, int(for_s * SECOND)
        self._reference = dict(reference)
        self._levels: dict[LevelKey, Level] = {}
        self.newest_ns = 0
        """How far event time has come."""

    @property
    def keys(self) -> tuple[LevelKey, ...]:
        """What is watched."""
        return tuple(self._points)

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in; a window that comes again replaces what it said before."""
        self._levels.clear()
        self.newest_ns = max(self.newest_ns, frame.window_ns + frame.width_ns)
        rows = _rows(frame)
        columns = {name: j for j, name in enumerate(frame.features)}
        for key, points in self._points.items():
            row, column = rows.get((key.service, key.peer)), columns.get(key.feature)
            if row is not None and column is not None:
                known = points.get(frame.window_ns)
                came_ns = known.came_ns if known is not None else self.newest_ns
                points[frame.window_ns] = _point(frame, row, column, came_ns)

    def told(self, key: LevelKey) -> bool:
        """Whether a series was ever observed."""
        kept = self._reference.get("|".join(key))
        if kept is not None and math.isfinite(kept.baseline):
            return True
        return any(math.isfinite(p.value) for p in self._points.get(key, {}).values())

    @property
    def need_ns(self) -> int:
        """How long a series must be well at least."""
        return self._for_ns - SLACK_NS

    def levels(self) -> dict[str, Level]:
        """All levels from before the action, by key."""
        return {"|".join(key): self.level(key) for key in self._points}

    def level(self, key: LevelKey) -> Level:
        """What a series was before, and would have been."""
        level = self._levels.get(key)
        if level is None:
            level = level_of(self._sorted(key), key, self._when.onset_ns, self._when.began_ns)
            kept = self._reference.get("|".join(key))
            level = kept if kept is not None and math.isnan(level.baseline) else level
            self._levels[key] = level
        return level

    def after(self, key: LevelKey, since_ns: int = 0) -> list[Point]:
        """Observed windows that began after the action, and not before `since_ns`."""
        since_ns = max(since_ns, self._when.acted_ns)
        return [p for p in self._sorted(key) if p.start_ns >= since_ns and math.isfinite(p.value)]

    def good(self, check: Check, key: LevelKey) -> list[Point]:
        """The windows in a row up to now that meet a check."""
        level = self.level(key)
        run = streak(self.after(key), helped(check, key, level), self.gap_ns(level))
        return run if self.fresh(run, level) else []

    def proven(self, wanted: Sequence[tuple[Check, LevelKey]]) -> bool:
        """Whether all series meet their checks for long enough: by the time wanted longer than the fault paused by itself, and in more
        windows than chance would have it. An intermittent fault takes longer to be believed gone than a steady one.

        The fault paused only while all series that were off were well: no longer than the one that paused least, nor more often.
        """
        off = [(c, key) for c, key in wanted if self.level(key).bad and not seldom_off(key, self.level(key))]
        paused_ns = min((self._paused_ns(check, key) for check, key in off), default=0)
        chance = min((self.level(key).chance for _, key in off), default=0.0)
        runs = [self.good(check, key) for check, key in wanted]
        if not all(lasts_ns(run) >= self.need_ns + paused_ns and chance ** len(run) <= CHANCE for run in runs):
            return False
        told = [(check, key, self.level(key), run) for (check, key), run in zip(wanted, runs, strict=True)]
        return all(
            as_usual(check, key, level, run) and self._is_over(key, level, run) for check, key, level, run in told
        )

    @staticmethod
    def _is_over(key: LevelKey, level: Level, run: Sequence[Point]) -> bool:
        """Whether what failed a little would have shown again by now."""
        return not seldom_off(key, level) or fewer(level, *failures(run)) >= OVER_NATS

    def relapsed(self, check: Check, key: LevelKey) -> bool:
        """Whether a series was bad after the action and before it got well: what paused when the action came had not ended."""
        run = self.good(check, key)
        return bool(run) and any(p.start_ns < run[0].start_ns for p in self.after(key))

    def _paused_ns(self, check: Check, key: LevelKey) -> int:
        """The longest time that a series was well and then bad again, before the action or after it."""
        level, begun_ns = self.level(key), 0
        longest = level.gap_ns
        judge = helped(check, key, level)
        if level.well and self.relapsed(check, key):
            longest = max(longest, level.well * level.interval_ns)
        for point in self.after(key):
            if judge(point):
                begun_ns = begun_ns or point.start_ns
            elif begun_ns:
                longest, begun_ns = max(longest, point.start_ns - begun_ns), 0
        return longest

    def gap_ns(self, level: Level) -> int:
        """The longest hole within windows in a row."""
        return max(self._for_ns, 3 * SECOND, 3 * level.interval_ns)

    def fresh(self, run: Sequence[Point], level: Level) -> bool:
        """Whether a streak reaches up to now; one that ended in silence doesn't count. Each service is as late as it is, so its
        silence begins when its last window came, not when that ended."""
        return bool(run) and self.newest_ns - run[-1].came_ns <= self.gap_ns(level)

    def heard(self, key: LevelKey) -> bool:
        """Whether a series is still observed."""
        return self.fresh(self.after(key), self.level(key))

    def _sorted(self, key: LevelKey) -> list[Point]:
        points = self._points[key]
        return [points[window] for window in sorted(points)]


def series_of(checks: Iterable[Check], target: str, callers: Sequence[str]) -> list[tuple[Check, LevelKey]]:
    """The series behind each check. Checks on callers fall back to the target where nobody calls it;
    of one instance there is none."""
    found: list[tuple[Check, LevelKey]] = []
    for check in (c for c in checks if c.service != ONE_INSTANCE):
        if FEATURES[check.feature].signal is Signal.EDGES:
            ends = callers if check.service in {"target", "callers"} else (check.service,)
            found += [(check, LevelKey(check.feature, caller, target)) for caller in ends]
            continue
        named = {"target": (target,), "callers": tuple(callers) or (target,)}.get(check.service, (check.service,))
        found += [(check, LevelKey(check.feature, service)) for service in named]
    return list(dict.fromkeys(found))


def _rows(frame: EvidenceFrame) -> dict[tuple[str, str], int]:
    if frame.signal == Signal.EDGES:
        return {pair: i for i, pair in enumerate(zip(frame.services, frame.peers, strict=True))}
    return {(service, ""): i for i, service in enumerate(frame.services)}


def _point(frame: EvidenceFrame, row: int, column: int, came_ns: int) -> Point:
    return Point(
        start_ns=frame.window_ns,
        end_ns=frame.window_ns + frame.width_ns,
        value=float(frame.values[row, column]),
        low=float(frame.low[row, column]),
        high=float(frame.high[row, column]),
        score=float(frame.score[row, column]),
        count=int(frame.counts[row]),
        came_ns=came_ns,
    )
