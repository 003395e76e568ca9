"""Judging one series after an action, window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from contracts.features import FEATURES, FeatureKind
from playbooks.language.model import Check
from playbooks.verify.levels import Level, LevelKey, Point, within

UNREMARKABLE = 2.0
"""Decades of evidence below which a window counts as expected although it is just outside of its range (p > 0.01)."""
MIN_COUNT = 5
"""Requests in a window below which a ratio or percentile is too noisy to call anything worse."""
USUAL_SHARE = 0.01
"""Share of failures that is usual of anybody."""
UNUSUAL_NATS = 3.0
"""-ln of a bound on the chance of as many failures from which they are no chance (p < 0.05)."""
OVER_NATS = 5.0
"""The same of as few, from which what failed a little is over: looked at with every window, chance has many tries (p < 0.01)."""
SELDOM_NATS = 7.0
"""The same from which a share is said to have been off that no window shows to be (p < 0.001)."""
FEW_SHOW = 2
"""So many windows at least must be within the range for each that is not, for what fails to be said to fail a little."""
ALIVE = 0.1
"""Share of its usual traffic that a service must show to count as serving again."""
_FLOOR = {FeatureKind.RATIO: 0.1, FeatureKind.UTILIZATION: 0.1, FeatureKind.LATENCY: 0.01}
_SCALE = 0.5

Judge = Callable[[Point], bool | None]
"""True: good (or, for harm, bad); None: the window says nothing."""


def helped(check: Check, key: LevelKey, level: Level) -> Judge:
    """Whether a window meets the check."""
    if check.better == "lower":
        return lambda p: None if math.isnan(p.value) else p.value <= level.worst * (1 - check.by)
    if check.better == "higher":
        return lambda p: None if math.isnan(p.value) else p.value >= _raised(check, level)
    return lambda p: None if math.isnan(p.value) else expected(p, key, level)


def _raised(check: Check, level: Level) -> float:
    aim = level.worst * (1 + check.by)
    # From nothing, any share more is still nothing: then it must come up to that share of what was usual.
    return aim if level.worst > 0 or math.isnan(level.baseline) else check.by * level.baseline


def expected(point: Point, key: LevelKey, level: Level) -> bool:
    """Whether a window is back in the expected range: that of before the fault, or the models' range of now.

    The latter only if it would not also welcome the fault: a model that got used to it is no witness.
    """
    worse = key.worse
    if within(point.value, level.low, level.high, worse):
        return True
    never_off = within(level.worst, level.low, level.high, worse)
    if not math.isnan(level.worst) and not never_off and within(level.worst, point.low, point.high, worse):
        return False
    unremarkable = abs(point.score) if worse == 0 else point.score * worse
    known = math.isfinite(point.low) or math.isfinite(point.high)
    return within(point.value, point.low, point.high, worse) or (known and unremarkable < UNREMARKABLE)


def harmed(key: LevelKey, level: Level) -> Judge:
    """Whether a window is clearly worse than when the action came: out of range, by a margin beyond it, and worse than the fault
    itself was becoming."""
    kind, worse = FEATURES[key.feature].kind, key.worse or 1
    start = level.acted if math.isfinite(level.acted) else level.baseline
    width = level.high - level.low
    margin = max(_SCALE * abs(start), width if math.isfinite(width) else 0.0, _FLOOR.get(kind, 0.0))

    def judge(p: Point) -> bool | None:
        if math.isnan(p.value) or math.isnan(start) or p.count < MIN_COUNT:
            return None
        low, high = level.interval(p.start_ns)
        beyond = not (p.value <= high if worse > 0 else p.value >= low)  # what is not known bounds nothing
        return (p.value - start) * worse > margin and beyond and not expected(p, key, level)

    return judge


def as_usual(check: Check, key: LevelKey, level: Level, run: Sequence[Point]) -> bool:
    """Whether the windows of a streak together hold no more failures than are usual. Of few requests in each the expected range is wide: a
    quarter that fail may be within it, second by second, and not all of the time."""
    if check.better != "expected" or not _counts_failures(key):
        return True
    return unusual(level, *failures(run)) < UNUSUAL_NATS


def failures(run: Sequence[Point]) -> tuple[int, float]:
    """Requests of some windows of a share, and those of them that failed."""
    return sum(p.count for p in run), sum(p.count * p.value for p in run)


def unusual(level: Level, asked: int, failed: float) -> float:
    """-ln of a bound on the chance of so many failures had all been as usual; 0 where they are not more than that (Chernoff 1952)."""
    usual = max(level.baseline if math.isfinite(level.baseline) else 0.0, USUAL_SHARE)
    return _nats(asked, failed / max(asked, 1), usual) if failed > usual * asked else 0.0


def fewer(level: Level, asked: int, failed: float) -> float:
    """-ln of a bound on the chance of so few failures had it gone on as in those windows; 0 where they are not fewer."""
    share = level.failed / max(level.asked, 1)
    return _nats(asked, failed / max(asked, 1), min(share, 1.0 - 1e-9)) if failed < share * asked else 0.0


def fails_on(key: LevelKey, level: Level, run: Sequence[Point]) -> bool:
    """Whether requests of a share fail, by all of some windows together, as they did before the action, up to the last of them."""
    if not _counts_failures(key) or not 0.0 < level.share < 1.0:
        return False
    asked, failed = failures(run)
    if failures(run[-3:])[1] <= 0 or unusual(level, asked, failed) < SELDOM_NATS:
        return False
    return failed >= level.share * asked or _nats(asked, failed / asked, level.share) < UNUSUAL_NATS


def seldom_off(key: LevelKey, level: Level) -> bool:
    """Whether a share was off when the action came by windows that are each within its range: what fails a little shows in hardly any single
    second, and by all of them together."""
    if not _counts_failures(key) or not math.isfinite(level.high) or FEW_SHOW * level.bad > level.inside:
        return False
    return unusual(level, level.asked, level.failed) >= SELDOM_NATS


def _counts_failures(key: LevelKey) -> bool:
    return FEATURES[key.feature].kind is FeatureKind.RATIO and key.worse > 0


def _nats(asked: int, share: float, expected_share: float) -> float:
    """Requests times the divergence of a share from the one expected (0 < that, or the share is it)."""
    if share == expected_share:
        return 0.0
    part = share * math.log(share / expected_share) if share > 0 else 0.0
    rest = (1.0 - share) * math.log((1.0 - share) / (1.0 - expected_share)) if share < 1.0 else 0.0
    return asked * (part + rest)


def serving(level: Level) -> Judge:
    """Whether a window shows traffic again."""
    return lambda p: None if math.isnan(p.value) else p.value > 0 and p.value >= ALIVE * level.baseline


def streak(points: Sequence[Point], judge: Judge, gap_ns: int) -> list[Point]:
    """The windows up to the latest, without a break or a hole longer than `gap_ns`, that `judge` says yes to."""
    run: list[Point] = []
    for point in points:
        verdict = judge(point)
        if verdict is None:
            continue
        if run and point.start_ns - run[-1].end_ns > gap_ns:
            run = []
        run = [*run, point] if verdict else []
    return run


def lasts_ns(run: Sequence[Point]) -> int:
    """How long a streak lasts, nanoseconds."""
    return run[-1].end_ns - run[0].start_ns if run else 0
