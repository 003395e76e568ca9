"""Verification of one action on one target.

*Better*: every check holds in consecutive windows for `for_s`, all of them after the action, and the target shows traffic
again if it had any. *Worse*: the target or a caller is clearly worse than at the moment of the action, for as long, once
the disturbance of the action itself has settled. At the time limit: *same* if what was seen is still as bad,
*inconclusive* if too little was seen. Silence is never recovery.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.events import Measure
from contracts.features import ERROR_RATE, FEATURES, LATENCY_P95, METRIC_REQUEST_RATE, REQUEST_RATE, Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import Outcome
from playbooks.language.model import Check, Verify
from playbooks.verify.judging import ALIVE, expected, harmed, helped, lasts_ns, serving, streak
from playbooks.verify.levels import Level, LevelKey, Point, level_of, within
from playbooks.verify.peers import Peers

SETTLE_S = 3.0
"""The action's own disturbance: nothing that starts in it counts as harm."""
SLACK_NS = SECOND // 20
_GUARDED = (ERROR_RATE, LATENCY_P95)
"""Features in which harm to the target and its callers shows, whatever the playbook checks."""
_REQUEST_RATES = (REQUEST_RATE, METRIC_REQUEST_RATE)


@dataclass(frozen=True, slots=True)
class Verification:
    """What verification found. `credit` (0..1) is how much of it the action can claim."""

    outcome: Outcome
    measures: tuple[Measure, ...]
    text: str
    credit: float = 1.0


class Verifier:
    """Feed it evidence frames, from before the onset on, then ask for the verdict as often as you like."""

    def __init__(
        self,
        verify: Verify,
        target: str,
        callers: Sequence[str],
        onset_ns: int,
        acted_ns: int,
        reference: Mapping[str, Level] | None = None,
    ) -> None:
        self._verify, self._target, self._callers = verify, target, tuple(callers)
        self._onset_ns, self._acted_ns = onset_ns, acted_ns
        self._reference = dict(reference or {})
        self._checks = tuple(_series_of(verify.checks, target, self._callers))
        self._points: dict[LevelKey, dict[int, Point]] = {key: {} for key in self._watched()}
        self._peers = Peers(target, acted_ns)
        self._newest_ns = 0
        self._levels: dict[LevelKey, Level] = {}

    def observe(self, frame: EvidenceFrame) -> None:
        """Take a frame in; a window that comes again replaces what it said before."""
        self._levels.clear()
        self._newest_ns = max(self._newest_ns, frame.window_ns + frame.width_ns)
        self._peers.observe(frame)
        rows = _rows(frame)
        columns = {name: j for j, name in enumerate(frame.features)}
        for key, points in self._points.items():
            row, column = rows.get((key.service, key.peer)), columns.get(key.feature)
            if row is not None and column is not None:
                known = points.get(frame.window_ns)
                came_ns = known.came_ns if known is not None else self._newest_ns
                points[frame.window_ns] = _point(frame, row, column, came_ns)

    def reference(self) -> dict[str, Level]:
        """The levels from before the action, to be kept where a crash can't take them."""
        return {"|".join(key): self._level(key) for key in self._points}

    def verdict(self, now_ns: int) -> Verification | None:
        """What came of the action; None while it is too early to say."""
        wanted = [*self._checks, *self._ailing()]
        need = self._need_ns()
        back = all(lasts_ns(self._good(check, key)) >= need for check, key in wanted)
        if wanted and back and self._alive(need) and self._was_off():
            return self._better()
        worse = self._worse()
        if worse:
            return self._finding(Outcome.WORSE, f"worse than before the action: {worse}")
        if now_ns < self._acted_ns + int(self._verify.within_s * SECOND):
            return None
        return self._too_late()

    # --- verdicts

    def _better(self) -> Verification:
        peers, own = self._peers.recovered(), self._recovering()
        credit = (0.5 if own else 1.0) * (0.5 if peers else 1.0)
        notes = [f"but {own} was recovering anyway"] if own else []
        if peers:
            notes.append(f"but untouched peers recovered too: {', '.join(peers)}")
        return self._finding(Outcome.BETTER, "; ".join([self._story(), *notes]), credit)

    def _too_late(self) -> Verification:
        limit = f"within {self._verify.within_s:g} s"
        if self._newest_ns <= self._acted_ns:
            return self._finding(Outcome.INCONCLUSIVE, f"no telemetry at all since the action {limit}")
        failing = [key for check, key in (*self._checks, *self._ailing()) if self._failing(check, key)]
        if failing:
            still = ", ".join(sorted({key.text for key in failing}))
            return self._finding(Outcome.SAME, f"{still} not back to expected {limit}: {self._story()}")
        silent = sorted({key.text for _, key in self._checks if not self._heard(key)})
        if silent:
            return self._finding(Outcome.INCONCLUSIVE, f"nothing more seen {limit} of {', '.join(silent)}")
        if not self._alive(self._need_ns()):
            return self._finding(Outcome.INCONCLUSIVE, f"{self._target} shows no traffic {limit}")
        if not self._was_off():
            return self._finding(
                Outcome.INCONCLUSIVE, f"nothing that is checked was off when it acted: {self._story()}"
            )
        return self._finding(Outcome.INCONCLUSIVE, f"not long enough as expected {limit}: {self._story()}")

    def _failing(self, check: Check, key: LevelKey) -> bool:
        after = self._after(key)
        return self._heard(key) and not helped(check, key, self._level(key))(after[-1])

    def _heard(self, key: LevelKey) -> bool:
        return self._fresh(self._after(key), self._level(key))

    def _finding(self, outcome: Outcome, text: str, credit: float = 1.0) -> Verification:
        return Verification(outcome, tuple(self._measure(c, k) for c, k in self._checks), text, credit)

    def _story(self) -> str:
        parts = []
        for check, key in self._checks:
            measure = self._measure(check, key)
            parts.append(f"{key.text} {_number(measure.during)} → {_number(measure.after)} ({measure.text})")
        return "; ".join(parts) or "nothing to check"

    # --- judgements

    def _ailing(self) -> list[tuple[Check, LevelKey]]:
        """What else the target and its callers suffered from when it acted, whatever the playbook checks: it must be over, too."""
        named = {key for _, key in self._checks}
        keys = [LevelKey(f, service) for service in (self._target, *self._callers) for f in _GUARDED]
        return [(Check(k.feature, k.service), k) for k in dict.fromkeys(keys) if k not in named and self._off(k)]

    def _off(self, key: LevelKey) -> bool:
        level = self._level(key)
        return math.isfinite(level.acted) and math.isfinite(level.high) and not _within(level.acted, level, key)

    def _was_off(self) -> bool:
        """Whether there was something to mend: a checked series out of its range (or of unknown range), a symptom, or silence."""
        for check, key in self._checks:
            level = self._level(key)
            known = math.isfinite(level.worst) and math.isfinite(level.high)
            if check.better != "expected" or not known or not _within(level.worst, level, key):
                return True
        return bool(self._ailing()) or self._silenced()

    def _silenced(self) -> bool:
        levels = [self._level(LevelKey(feature, self._target)) for feature in _REQUEST_RATES]
        return any(level.baseline > 0 and level.acted < ALIVE * level.baseline for level in levels)

    def _good(self, check: Check, key: LevelKey) -> list[Point]:
        level = self._level(key)
        run = streak(self._after(key), helped(check, key, level), self._gap_ns(level))
        return run if self._fresh(run, level) else []

    def _alive(self, need_ns: int) -> bool:
        for feature in _REQUEST_RATES:
            key = LevelKey(feature, self._target)
            level = self._level(key)
            if level.baseline > 0:
                run = streak(self._after(key), serving(level), self._gap_ns(level))
                return lasts_ns(run) >= need_ns and self._fresh(run, level)
        return True

    def _worse(self) -> str:
        settled = self._acted_ns + int(SETTLE_S * SECOND)
        for key in self._points:
            if key.feature in _REQUEST_RATES:
                continue
            level = self._level(key)
            points = [p for p in self._after(key) if p.start_ns >= settled]
            run = streak(points, harmed(key, level), self._gap_ns(level))
            if len(run) >= 3 and lasts_ns(run) >= self._need_ns() and self._fresh(run, level):
                start = level.acted if math.isfinite(level.acted) else level.baseline
                return f"{key.text} {_number(start)} → {_number(run[-1].value)}"
        return ""

    def _recovering(self) -> str:
        """A checked series whose trend before the action led back into the expected range by now, if all did."""
        found = ""
        for check, key in self._checks:
            level = self._level(key)
            if math.isnan(level.worst) or expected(_as_point(level.worst), key, level):
                continue  # it was never off: says nothing about who mended it
            run = self._good(check, key)
            forecast = level.forecast(run[-1].end_ns) if run else math.nan
            if level.slope == 0 or math.isnan(forecast) or not expected(_as_point(forecast), key, level):
                return ""
            found = key.text
        return found

    def _measure(self, check: Check, key: LevelKey) -> Measure:
        level, after = self._level(key), self._after(key)
        run = self._good(check, key)
        last = [p.value for p in (run or after[-3:]) if math.isfinite(p.value)]
        low, high = level.low, level.high
        if math.isnan(low) and math.isnan(high) and after:
            low, high = after[-1].low, after[-1].high
        return Measure(
            service=key.service,
            feature=key.feature,
            baseline=_known(level.baseline),
            during=_known(level.worst),
            after=sorted(last)[len(last) // 2] if last else None,
            low=_known(low),
            high=_known(high),
            better=lasts_ns(run) >= self._need_ns(),
            text=_aim(check, low, high, key.worse),
        )

    # --- series

    def _watched(self) -> list[LevelKey]:
        keys = [key for _, key in self._checks]
        keys += [LevelKey(feature, self._target) for feature in _REQUEST_RATES]
        keys += [LevelKey(feature, service) for service in (self._target, *self._callers) for feature in _GUARDED]
        return list(dict.fromkeys(keys))

    def _level(self, key: LevelKey) -> Level:
        level = self._levels.get(key)
        if level is None:
            level = level_of(self._sorted(key), key, self._onset_ns, self._acted_ns)
            kept = self._reference.get("|".join(key))
            level = kept if kept is not None and math.isnan(level.baseline) else level
            self._levels[key] = level
        return level

    def _after(self, key: LevelKey) -> list[Point]:
        """Observed windows that began after the action."""
        return [p for p in self._sorted(key) if p.start_ns >= self._acted_ns and math.isfinite(p.value)]

    def _sorted(self, key: LevelKey) -> list[Point]:
        points = self._points[key]
        return [points[window] for window in sorted(points)]

    def _need_ns(self) -> int:
        return int(self._verify.for_s * SECOND) - SLACK_NS

    def _gap_ns(self, level: Level) -> int:
        return max(int(self._verify.for_s * SECOND), 3 * level.interval_ns)

    def _fresh(self, run: Sequence[Point], level: Level) -> bool:
        """Whether a streak reaches up to now; one that ended in silence doesn't count. Each service is as late as it is, so its
        silence begins when its last window came, not when that ended."""
        return bool(run) and self._newest_ns - run[-1].came_ns <= self._gap_ns(level)


def _series_of(checks: Iterable[Check], target: str, callers: Sequence[str]) -> list[tuple[Check, LevelKey]]:
    """The series behind each check. Checks on callers fall back to the target where nobody calls it."""
    found: list[tuple[Check, LevelKey]] = []
    for check in checks:
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


def _within(value: float, level: Level, key: LevelKey) -> bool:
    return within(value, level.low, level.high, key.worse)


def _as_point(value: float) -> Point:
    return Point(0, 0, value, math.nan, math.nan, math.inf, 0)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.3g}"


def _aim(check: Check, low: float, high: float, worse: int) -> str:
    if check.better != "expected":
        return f"wanted {check.better} by {check.by:.0%}"
    if worse > 0:
        return f"expected up to {_number(high)}"
    return f"expected from {_number(low)}" + ("" if worse < 0 else f" to {_number(high)}")
