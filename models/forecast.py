"""Slow changes: what rises steadily, and when it will hurt at this rate.

Means of 20 seconds (of five minutes, for what takes hours) of each series' latencies and shares of limits are held for a while. Where
the newest exceed all that was known before, straight lines through the last minutes are tried: one that fits better than a step, and
whose slope is far from chance, is a trend; how far it is to harm, divided by slope and by the ends of its interval, is the forecast. A
latency that climbs with the load of its service (an office opens) is none: it climbs no longer than that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.features import (
    COUNT_OF,
    CPU,
    FEATURES,
    LATENCY_P50,
    LATENCY_P95,
    METRIC_LATENCY_P50,
    METRIC_LATENCY_P95,
    FeatureKind,
    Signal,
)
from contracts.frames.decoded import F64, I64
from contracts.frames.feature_frame import FeatureFrame
from contracts.units import MINUTE, SECOND
from models.judgement import (
    NOTICED_S,
    TREND_CORRELATED,
    TREND_FIRM,
    TREND_HALF,
    TREND_HARM,
    TREND_LEAST,
    TREND_LOAD,
    TREND_NOISE,
    TREND_RISE,
    TREND_STEPS,
    USED_UP,
)

LATENCIES: Final = frozenset({LATENCY_P50, LATENCY_P95, METRIC_LATENCY_P50, METRIC_LATENCY_P95})
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class TrendClock:
    """How long the means are, how many are held, over how many a line is tried, and how far ahead harm counts."""

    bucket_ns: int
    held: int
    spans: tuple[int, ...]
    ahead_ns: int
    latencies: bool


MINUTES: Final = TrendClock(20 * SECOND, 48, (8, 12, 16, 30), 45 * MINUTE, latencies=True)
HOURS: Final = TrendClock(5 * MINUTE, 48, (8, 16, 30), 8 * 60 * MINUTE, latencies=False)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A feature that rises: its newest mean, the range that was usual, the level that hurts, and seconds until it does (about, and the
    ends of the interval)."""

    feature: str
    value: float
    low: float
    high: float
    hurts: float
    seconds: float
    soonest_s: float
    latest_s: float
    firm: float
    """Standard errors of its slope."""


class Trends:
    """The means of one signal's series, by row of a ledger."""

    def __init__(self, signal: str, clock: TrendClock) -> None:
        self.signal, self.clock = signal, clock
        self.features = watched(signal, clock)
        self.columns = (*self.features, COUNT_OF[Signal(signal)])
        """What is held: with what is asked of each service, which is not judged itself."""
        self.ring: NDArray[np.float32] = np.full((0, len(self.columns), clock.held), np.nan, np.float32)
        self.sums: F64 = np.zeros((0, len(self.columns)))
        self.counts: F64 = np.zeros((0, len(self.columns)))
        self.bucket: I64 = np.zeros(0, np.int64)
        """Of each row, which mean is being made; 0: none."""

    def take(self, rows: Rows, frame: FeatureFrame) -> dict[int, list[Forecast]] | None:
        """Take a frame in; by row of the frame, what rises, of all whose mean was finished; None where none was."""
        self._grow(int(rows.max(initial=-1)) + 1)
        now = frame.window_ns // self.clock.bucket_ns
        over = self.bucket[rows] < now
        done = np.flatnonzero(over & (self.bucket[rows] > 0))
        found: dict[int, list[Forecast]] | None = None
        if len(done):
            ends = self.bucket[rows[done]]
            self._finish(rows[done], now)
            found = {int(i): [] for i in done}
            for k, j in self._candidates(rows[done], ends):
                i = int(done[k])
                row, end = int(rows[i]), int(ends[k])
                forecast = self._judge(self._course(row, j, end), self.features[j], self._course(row, -1, end))
                if forecast is not None:
                    found[i].append(forecast)
        self.bucket[rows[over]] = now
        for j, name in enumerate(self.columns):
            if name in frame.features:
                values = frame.values[:, frame.features.index(name)]
                known = np.isfinite(values)
                if name in LATENCIES:
                    values = np.log(np.maximum(values, 1e-6))
                self.sums[rows, j] += np.where(known, values, 0.0)
                self.counts[rows, j] += known
        return found

    def _grow(self, rows: int) -> None:
        lacking = rows - len(self.bucket)
        if lacking <= 0:
            return
        lacking += rows // 4
        f, held = len(self.columns), self.clock.held
        self.ring = np.concatenate([self.ring, np.full((lacking, f, held), np.nan, np.float32)])
        self.sums, self.counts = (np.concatenate([x, np.zeros((lacking, f))]) for x in (self.sums, self.counts))
        self.bucket = np.concatenate([self.bucket, np.zeros(lacking, np.int64)])

    def _finish(self, rows: Rows, now: int) -> None:
        """Put finished means into the ring, and nothing for those that were skipped."""
        bucket, held = self.bucket[rows], self.clock.held
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self.sums[rows] / self.counts[rows]
        skipped = np.minimum(now - bucket, held)
        for k in range(1, int(skipped.max())):
            late = skipped > k
            self.ring[rows[late], :, (bucket[late] + k) % held] = np.nan
        self.ring[rows, :, bucket % held] = means
        self.sums[rows] = self.counts[rows] = 0.0

    def _candidates(self, rows: Rows, ends: I64) -> list[tuple[int, int]]:
        """(row, feature) of which the newest mean exceeds all but the newest few. `ends`: the newest means."""
        held = self.clock.held
        ring, every = self.ring[rows, :-1], np.arange(len(rows))
        newest, before = ring[every, :, ends % held], ring[every, :, (ends - 1) % held]
        age = (ends[:, None] - np.arange(held)) % held
        top = np.fmax.reduce(np.where((age >= self.clock.spans[0])[:, None, :], ring, np.nan), axis=2)
        margin = np.array([0.6 * _rise(name) for name in self.features])
        return [(int(i), int(j)) for i, j in np.argwhere(np.fmin(newest, before) - top >= margin)]

    def _course(self, row: int, j: int, end: int) -> F64:
        """The means of a series, oldest first, up to one."""
        order = (end - np.arange(self.clock.held)[::-1]) % self.clock.held
        course: F64 = self.ring[row, j, order].astype(np.float64)
        return course

    def _judge(self, y: F64, feature: str, asked: F64) -> Forecast | None:
        """The firmest trend that leads to harm soon enough."""
        best: Forecast | None = None
        for span in self.clock.spans:
            found = trend(y, span, feature, self.clock)
            if found is None or (feature in LATENCIES and climbs_too(asked[-span:])):
                continue
            best = found if best is None or found.firm > best.firm else best
        return best

    def keep(self, kept: Rows) -> None:
        """Forget all rows but `kept`."""
        self._grow(int(kept.max(initial=-1)) + 1)
        self.ring, self.sums = self.ring[kept], self.sums[kept]
        self.counts, self.bucket = self.counts[kept], self.bucket[kept]

    def plain(self, rows: int) -> dict[str, Any]:
        """The state as plain values."""
        n = min(rows, len(self.bucket))
        return {name: getattr(self, name)[:n] for name in ("ring", "sums", "counts", "bucket")}

    def restore(self, plain: dict[str, Any]) -> None:
        """Take what `plain` gave."""
        for name in ("ring", "sums", "counts", "bucket"):
            setattr(self, name, plain[name])
        lacking = len(self.columns) - self.ring.shape[1]
        if lacking > 0:  # of before it was held what is asked of each service
            n = len(self.bucket)
            self.ring = np.concatenate([self.ring, np.full((n, lacking, self.clock.held), np.nan, np.float32)], axis=1)
            self.sums, self.counts = (
                np.concatenate([x, np.zeros((n, lacking))], axis=1) for x in (self.sums, self.counts)
            )


def watched(signal: str, clock: TrendClock) -> tuple[str, ...]:
    """Features of a signal whose trends are followed: latencies, and shares of limits that don't follow the load at once."""
    names = [f.name for f in FEATURES.values() if f.signal == signal]
    limits = [n for n in names if FEATURES[n].kind is FeatureKind.UTILIZATION and n != CPU]
    return tuple(limits + [n for n in names if clock.latencies and n in LATENCIES])


def trend(y: F64, span: int, feature: str, clock: TrendClock) -> Forecast | None:
    """The trend over the last `span` means of a course (NaN: none), where there is one that leads to harm."""
    part, older = y[-span:], y[:-span]
    older = older[np.isfinite(older)]
    x = np.flatnonzero(np.isfinite(part))
    if len(x) < max(TREND_LEAST, span // 4) or len(older) < TREND_LEAST or not np.isfinite(part[-1]):
        return None
    seen = part[x]
    line = fitted(x.astype(np.float64), seen, _noise(feature))
    base, top = float(np.median(older)), float(older.max())
    end = line.level + line.slope * (span - 1 - x.mean())
    if line.slope <= 0 or line.slope < TREND_FIRM * line.error or end - top < _rise(feature):
        return None
    slope = _steady(x.astype(np.float64), seen, feature, line.slope)
    if line.squares > stepped(seen) or slope <= 0:
        return None
    hurts = _noticed(base) if feature in LATENCIES else USED_UP
    left, bucket_s = max(hurts - end, 0.0), clock.bucket_ns / SECOND
    latest = left / max(slope - 2.0 * line.error, 1e-9) * bucket_s
    if latest > clock.ahead_ns / SECOND:
        return None
    sigma = max(float(older.std()), _noise(feature))
    numbers = [end, base - 2.0 * sigma, min(base + 2.0 * sigma, end), hurts]
    if feature in LATENCIES:
        numbers = [float(np.exp(n)) for n in numbers]
    value, low, high, harm = (max(float(n), 0.0) for n in numbers)
    soonest = left / (line.slope + 2.0 * line.error) * bucket_s
    return Forecast(feature, value, low, high, harm, left / slope * bucket_s, soonest, latest, line.slope / line.error)


def climbs_too(asked: F64) -> bool:
    """Whether a service was asked for ever more over the last means (NaN: none): by `TREND_LOAD` of the least, far from chance."""
    x = np.flatnonzero(np.isfinite(asked) & (asked > 0))
    if len(x) < TREND_LEAST:
        return False
    seen = np.log(asked[x])
    line = fitted(x.astype(np.float64), seen, _noise(LATENCY_P95))
    return line.slope >= TREND_FIRM * line.error and line.slope * (x[-1] - x[0]) >= np.log1p(TREND_LOAD)


def _noticed(base: float) -> float:
    """Logarithm of the latency that users notice, by that of the usual one: of a few milliseconds twice as many are nothing to them."""
    usual = float(np.exp(base))
    return float(np.log(max(TREND_HARM * usual, usual + NOTICED_S)))


def _steady(x: F64, y: F64, feature: str, slope: float) -> float:
    """The slope to reckon with: a step on a slope rises as its second half does. Not above 0 where one half doesn't rise by itself."""
    half = len(x) // 2
    if len(x) < 8:
        return slope
    slopes = [fitted(x[part], y[part], _noise(feature)).slope for part in (slice(0, half), slice(half, None))]
    if feature in LATENCIES:
        return slope if min(slopes) > 0 else 0.0
    return min(slope, slopes[1]) if min(slopes) >= TREND_HALF * slope else 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line by least squares: level at the middle, slope, its standard error, and the sum of squares it leaves."""

    level: float
    slope: float
    error: float
    squares: float


def fitted(x: F64, y: F64, noise: float) -> Line:
    """The line through points whose neighbours depend on each other, with noise of `noise` at the least."""
    middle = x - x.mean()
    spread = float((middle * middle).sum())
    slope = float((middle * y).sum()) / max(spread, 1e-9)
    level = float(y.mean())
    squares = float(np.square(y - level - slope * middle).sum())
    sigma = max((squares / max(len(x) - 2, 1)) ** 0.5, noise)
    return Line(level, slope, TREND_CORRELATED * sigma / max(spread, 1e-9) ** 0.5, squares)


def stepped(y: F64) -> float:
    """The sum of squares that the best single step leaves."""
    n, total, squares = len(y), y.cumsum(), np.square(y).sum()
    k = np.arange(1, n)
    explained = np.square(total[:-1]) / k + np.square(total[-1] - total[:-1]) / (n - k)
    return float(squares - explained.max())


def rising(starts: Sequence[int], means: Sequence[float], feature: str, usual: tuple[float, float]) -> Forecast | None:
    """A resource whose course since it departed leads to its limit within minutes. `usual`: the range expected before."""
    if len(means) < TREND_STEPS:
        return None
    x, y = np.array(starts[-12:], np.float64) / SECOND, np.array(means[-12:])
    line = fitted(x, y, _noise(feature))
    end = line.level + line.slope * float(x[-1] - x.mean())
    if line.slope <= 0 or line.slope < TREND_FIRM * line.error or line.squares > stepped(y):
        return None
    left = max(USED_UP - end, 0.0)
    latest = left / max(line.slope - 2.0 * line.error, 1e-9)
    if latest > 600.0:
        return None
    soonest = left / (line.slope + 2.0 * line.error)
    return Forecast(feature, end, *usual, USED_UP, left / line.slope, soonest, latest, line.slope / line.error)


def _rise(feature: str) -> float:
    return TREND_RISE[0] if feature in LATENCIES else TREND_RISE[1]


def _noise(feature: str) -> float:
    return TREND_NOISE[0] if feature in LATENCIES else TREND_NOISE[1]


SIGNALS: Final = (Signal.SPANS.value, Signal.METRICS.value)
