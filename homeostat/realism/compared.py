"""Laws read off a real and a drawn shop, each as a figure with its interval, and how far the drawn one is off: a ratio with its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec
import numpy as np

from contracts.frames.decoded import F64
from homeostat.judge.intervals import NOTHING_KNOWN, ROUNDS, WithInterval
from homeostat.realism.course import LOADS, SETTLES_S, SecondSeen, ShopCourse, Stretch

LATENCY, PROPAGATION, RECOVERY, TIMING = "latency against load", "propagation", "recovery after a restart", "timing"
QUEUED: Final = ("catalog", "frontend/browse")
"""Who serves one request at a time, and who waits for it."""
FAILING: Final = (("cart", "frontend/cart"), ("cart", "checkout"), ("checkout", "frontend/buy"))
SLOWED: Final = (("pricing", "cart"), ("cart", "frontend/cart"), ("cart", "checkout"))
"""Callee and caller, nearest first."""
_RESTARTED, _FELT_BY = "pricing", "frontend/cart"
_WELL_FAILING, _WELL_SLOWER, _WELL_FOR = 0.02, 2.0, 3
"""Users are served as before once this many seconds in a row at most this share fails, and p50 is at most so many times the usual."""
_COLD_S: Final = 5
"""Seconds after a process is ready in which it may be slower than usual."""
_LEAKED_S: Final = 5.0
"""The last seconds of a leak, in which it is worst."""
_MOST: Final = 1500
"""Delays that are resampled: of more, evenly spread ones."""

Statistic = Callable[[F64], float]


class LawCompared(msgspec.Struct, frozen=True):
    """One figure of a law, of the real shop and of a drawn one (`fidelity`), and drawn over real."""

    law: str
    figure: str
    unit: str
    fidelity: str
    real: WithInterval
    drawn: WithInterval
    ratio: WithInterval

    def line(self) -> str:
        """For people."""
        found = f"real {self.real.words(3)} {self.unit}, {self.fidelity} {self.drawn.words(3)} {self.unit}"
        return f"{self.law}: {self.figure}: {found}; ratio {self.ratio.words(2)}{_off(self.ratio)}"


def _off(ratio: WithInterval) -> str:
    if ratio.low is None or ratio.high is None:
        return ""
    return "" if ratio.low <= 1.0 <= ratio.high else "  <- off"


def compared(real: ShopCourse, drawn: Sequence[ShopCourse]) -> list[LawCompared]:
    """All laws, of each drawn course."""
    return [found for course in drawn for found in _of(real, course)]


def _of(real: ShopCourse, drawn: ShopCourse) -> Iterator[LawCompared]:
    for factor in LOADS:
        for service in QUEUED:
            for name, pick in (("p50", _p50), ("p95", _p95)):
                sides = [[pick(row) for s in c.of("load", factor) for row in c.rows(service, s)] for c in (real, drawn)]
                figure = f"{service} {name} at {factor:g} times the load"
                yield _compared((LATENCY, figure, "ms"), drawn.name, [_column(s, 1e3) for s in sides], _median)
    for service in QUEUED:
        for factor in LOADS[1:]:
            grown = [_rows_at(c, service, (LOADS[0], factor)) for c in (real, drawn)]
            figure = f"{service} p95 at {factor:g} times the load, over that at {LOADS[0]:g}"
            yield _compared((LATENCY, figure, "×"), drawn.name, grown, _growth)
    yield from _propagation(real, drawn)
    yield from _recovery(real, drawn)
    if drawn.spans:
        yield from _timing(real, drawn)


def _propagation(real: ShopCourse, drawn: ShopCourse) -> Iterator[LawCompared]:
    for callee, caller in FAILING:
        sides = [_pairs(c, callee, caller, c.of("failing"), _failing) for c in (real, drawn)]
        yield _compared((PROPAGATION, f"failures of {callee} that {caller} passes on", "×"), drawn.name, sides, _passed)
        if drawn.spans:
            delays = [_column(_delays(c, callee, caller), 1e3) for c in (real, drawn)]
            yield _compared(
                (PROPAGATION, f"from a failure of {callee} to {caller}'s", "ms"), drawn.name, delays, _median
            )
    for callee, caller in SLOWED:
        sides = [_extra(c, callee, caller) for c in (real, drawn)]
        yield _compared((PROPAGATION, f"slowness of {callee} that {caller} passes on", "×"), drawn.name, sides, _passed)


def _recovery(real: ShopCourse, drawn: ShopCourse) -> Iterator[LawCompared]:
    courses = real, drawn
    well = [_column([until_well(c, s) for s in c.of("restart")]) for c in courses]
    yield _compared((RECOVERY, "seconds until users are served as before", "s"), drawn.name, well, _mean)
    lost = [_column([_lost(c, s) for s in c.of("restart")]) for c in courses]
    yield _compared((RECOVERY, "seconds' worth of requests that failed", "s"), drawn.name, lost, _mean)
    cold = [_column(_cold(c)) for c in courses]
    yield _compared(
        (RECOVERY, f"{_RESTARTED}'s p50 in its first {_COLD_S} s, over its usual", "×"), drawn.name, cold, _median
    )


def _quantile(q: float, values: F64) -> float:
    return float(np.quantile(values, q))


def _timing(real: ShopCourse, drawn: ShopCourse) -> Iterator[LawCompared]:
    sides = [_column(_spread([s.arrived_s - s.end_s for s in c.spans])) for c in (real, drawn)]
    for q in (0.5, 0.95):
        figure = f"from a span's end to its arrival, {q:.0%} of spans within"
        yield _compared((TIMING, figure, "s"), drawn.name, sides, partial(_quantile, q))
    apart = [
        _column([d for times in c.metrics_s.values() for d in np.diff(sorted(times)).tolist()]) for c in (real, drawn)
    ]
    apart = [_column(_spread(side.tolist())) for side in apart]
    yield _compared((TIMING, "between two reports of a service's metrics, median", "s"), drawn.name, apart, _median)


def _compared(what: tuple[str, str, str], fidelity: str, sides: Sequence[F64], of: Statistic) -> LawCompared:
    """`sides`: rows (n, …) of the real and of the drawn course; intervals by drawing rows anew, each side by itself."""
    law, figure, unit = what
    if not all(len(side) for side in sides):
        return LawCompared(law, figure, unit, fidelity, NOTHING_KNOWN, NOTHING_KNOWN, NOTHING_KNOWN)
    r = np.random.default_rng(1)
    drawn = np.array([[of(x[r.integers(0, len(x), len(x))]) for x in sides] for _ in range(ROUNDS)])
    values = [of(x) for x in sides]
    counts = [len(x) for x in sides]
    each = [_with(values[k], drawn[:, k], counts[k]) for k in range(2)]
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = _with(values[1] / values[0] if values[0] else float("nan"), drawn[:, 1] / drawn[:, 0], min(counts))
    return LawCompared(law, figure, unit, fidelity, each[0], each[1], whole)


def _with(value: float, drawn: F64, n: int) -> WithInterval:
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or len(known) < ROUNDS // 2:
        return NOTHING_KNOWN
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return WithInterval(value, low, high, n)


def _column(values: Sequence[float], scale: float = 1.0) -> F64:
    found: F64 = np.asarray(values, np.float64) * scale
    return found


def _spread(values: Sequence[float]) -> list[float]:
    return sorted(values)[:: max(1, len(values) // _MOST)]


def _median(x: F64) -> float:
    return float(np.median(x))


def _mean(x: F64) -> float:
    return float(np.mean(x))


def _rows_at(course: ShopCourse, service: str, loads: tuple[float, float]) -> F64:
    """Rows (which of two loads, p95) of its seconds."""
    rows = [
        (k, _p95(row)) for k, f in enumerate(loads) for s in course.of("load", f) for row in course.rows(service, s)
    ]
    return np.array(rows, np.float64).reshape(-1, 2)


def _growth(x: F64) -> float:
    """Of rows (which, value): the median of the second kind over that of the first."""
    first, second = x[x[:, 0] == 0, 1], x[x[:, 0] == 1, 1]
    return float(np.median(second) / np.median(first)) if len(first) and len(second) else float("nan")


def _passed(x: F64) -> float:
    """Of rows (callee, caller): the sum of the callers' over the sum of the callees'."""
    whole = float(x[:, 0].sum())
    return float(x[:, 1].sum()) / whole if whole else float("nan")


def _p50(row: SecondSeen) -> float:
    return row.p50_s


def _p95(row: SecondSeen) -> float:
    return row.p95_s


def _failing(row: SecondSeen) -> float:
    return row.failing


def _pairs(
    course: ShopCourse, callee: str, caller: str, stretches: Sequence[Stretch], pick: Callable[[SecondSeen], float]
) -> F64:
    """Rows (callee, caller) of the seconds in which both were asked."""
    below, above = course.seconds.get(callee, {}), course.seconds.get(caller, {})
    rows = [
        (pick(below[s]), pick(above[s]))
        for stretch in stretches
        for s in range(int(stretch.begin_s + SETTLES_S) + 1, int(stretch.end_s))
        if s in below and s in above
    ]
    return np.array(rows, np.float64).reshape(-1, 2)


def _extra(course: ShopCourse, callee: str, caller: str) -> F64:
    """Rows (callee, caller): by how much p50 is above the usual, in the worst seconds of the leak."""
    worst = [s._replace(begin_s=s.end_s - _LEAKED_S - SETTLES_S) for s in course.of("leak")]
    usual = [usual_s(course, name) for name in (callee, caller)]
    found: F64 = _pairs(course, callee, caller, worst, _p50) - np.array(usual)
    return found


def usual_s(course: ShopCourse, service: str) -> float:
    """A service's median p50 at the usual load."""
    known = [row.p50_s for s in course.of("load", 1.0) for row in course.rows(service, s)]
    return float(np.median(known)) if known else float("nan")


def _delays(course: ShopCourse, callee: str, caller: str) -> list[float]:
    """Seconds from the end of a failed request at the callee to the end of the caller's that failed with it."""
    (failing,) = course.of("failing")
    calls = {s.me: s.parent for s in course.spans if not s.served}
    served = {s.me: s for s in course.spans if s.served}
    found = []
    for span in course.spans:
        if span.served and span.failed and span.service == callee and failing.begin_s <= span.end_s <= failing.end_s:
            above = served.get(calls.get(span.parent, b""))
            if above is not None and above.failed and above.service == caller:
                found.append(above.end_s - span.end_s)
    return found


def until_well(course: ShopCourse, stretch: Stretch) -> float:
    """Seconds from the order on until users are served as before, at most to the stretch's end."""
    limit, known = _WELL_SLOWER * usual_s(course, _FELT_BY), course.seconds.get(_FELT_BY, {})

    def is_well(second: int) -> bool:
        row = known.get(second)
        return row is not None and row.failing <= _WELL_FAILING and row.p50_s <= limit

    first, last = int(stretch.begin_s), int(stretch.end_s) - _WELL_FOR
    for second in range(first + 1, last):
        if all(is_well(s) for s in range(second, second + _WELL_FOR)):
            return max(0.0, second - stretch.begin_s)
    return stretch.end_s - stretch.begin_s


def _lost(course: ShopCourse, stretch: Stretch) -> float:
    """Failing shares of its seconds, summed."""
    known = course.seconds.get(_FELT_BY, {})
    return sum(known[s].failing for s in range(int(stretch.begin_s), int(stretch.end_s)) if s in known)


def _cold(course: ShopCourse) -> list[float]:
    """After the first request that a new process served: p50 of its first seconds over the usual one."""
    known, usual, found = course.seconds.get(_RESTARTED, {}), usual_s(course, _RESTARTED), []
    for stretch in course.of("restart"):
        seconds = [s for s in range(int(stretch.begin_s) + 2, int(stretch.end_s)) if s in known]
        gap = next((b for a, b in itertools.pairwise(seconds) if b - a > 1), seconds[0] if seconds else None)
        found += [known[s].p50_s / usual for s in seconds if gap is not None and gap <= s < gap + _COLD_S]
    return found
