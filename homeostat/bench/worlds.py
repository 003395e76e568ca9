"""Simulated telemetry of services with labelled faults, and with much that is none: what detection is measured on.

Each service is a course of requests, failures, latencies and resource use, second by second. Load follows bursts, office hours and
wander; deploys shift levels, cron jobs take processor time, telemetry gets lost. Two sets of laws, because what is tuned on one
world is proven on another: `TUNING` has log-normal latency and smooth load, `PROVING` has Weibull tails, restless load and clumped
failures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator

from contracts import features as f
from contracts.frames.decoded import B1, F64, I64
from contracts.frames.feature_frame import FeatureFrame, Presence
from contracts.units import SECOND

START_NS: Final = 1_700_000_000 * SECOND
SPANS: Final = (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99)
METRICS: Final = (f.CPU, f.MEMORY, f.QUEUE_LAG)
KINDS: Final = (
    "latency",
    "latency_tail",
    "errors_hard",
    "errors_some",
    "errors_few",
    "traffic_drop",
    "surge",
    "contention",
    "leak",
    "crash",
    "hang",
    "stuck",
    "ramp_latency",
    "ramp_errors",
    "ramp_memory",
)
HARD: Final = frozenset({"latency", "errors_hard", "crash", "hang"})
"""Faults that are at full strength from their first second."""
RAMPS: Final = frozenset({"ramp_latency", "ramp_errors", "ramp_memory"})
RAMP_S: Final = 1800
QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Laws:
    """How a world behaves."""

    name: str
    spread: tuple[float, float]
    """Of the logarithm of latency."""
    shape: tuple[float, float] | None
    """Of a Weibull's tail that is mixed in; None: log-normal alone."""
    restless: tuple[float, float]
    """Deviation of the load's wander."""
    sway: float
    """Deviation of latency's own wander."""
    clumps: float
    """Failures that come together."""


TUNING: Final = Laws("tuning", (0.3, 0.8), None, (0.02, 0.1), 0.04, 1.0)
PROVING: Final = Laws("proving", (0.25, 1.0), (0.6, 0.9), (0.03, 0.15), 0.05, 1.6)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what to simulate. `rates` is the range of requests per second, drawn log-uniformly."""

    services: int = 96
    seconds: int = 3600
    warmup: int = 600
    faults: int = 3
    rates: tuple[float, float] = (1.0, 500.0)
    seed: int = 1
    laws: Laws = TUNING
    kinds: tuple[str, ...] = KINDS
    benign: bool = True
    errors: float | None = None
    """Share of failures that `errors_few` has; None: 1 to 3 %."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault, in seconds [begin, end). It hurts from `hurts` on; what comes of it is over at `over`."""

    kind: str
    begin: int
    end: int
    hurts: int
    over: int


@dataclass(slots=True)
class BenchSeries:
    """One service: values (seconds, features of SPANS then METRICS), requests per second, deploys, faults, and how often its
    metrics are read."""

    values: F64
    counts: I64
    deploys: tuple[int, ...]
    base: float
    every_s: int = 1
    lost: B1 = field(default_factory=lambda: np.zeros(0, np.bool_))
    faults: list[Fault] = field(default_factory=list)


@dataclass(slots=True)
class Effects:
    """What acts on a service, second by second."""

    rate: F64
    slow: F64
    tail: F64
    errors: F64
    cpu: F64
    memory: F64
    queue: F64
    down: B1
    stuck: B1
    lost: B1


def simulate(plan: Plan) -> list[BenchSeries]:
    """The services of a plan."""
    return [_service(np.random.default_rng((plan.seed, i)), plan) for i in range(plan.services)]


def _service(r: Generator, plan: Plan) -> BenchSeries:
    n = plan.seconds
    base = float(np.exp(r.uniform(*np.log(plan.rates))))
    usual = r.uniform(0.01, 0.03) if r.random() < 0.08 else np.exp(r.uniform(np.log(1e-5), np.log(4e-3)))
    effects = Effects(
        rate=base * _wander(r, n, plan.laws),
        slow=np.exp(_ar(r, n, 0.9, plan.laws.sway)),
        tail=np.ones(n),
        errors=np.full(n, float(usual)),
        cpu=np.zeros(n),
        memory=np.zeros(n),
        queue=np.zeros(n),
        down=np.zeros(n, np.bool_),
        stuck=np.zeros(n, np.bool_),
        lost=r.random(n) < 0.002,
    )
    faults = _faults(r, plan, effects)
    deploys = _harmless(r, plan, effects, faults) if plan.benign else ()
    values, counts = _observe(r, base, effects, plan.laws)
    for fault in faults:
        if fault.kind == "stuck":
            values[fault.begin : fault.end], counts[fault.begin : fault.end] = values[fault.begin], counts[fault.begin]
    values[effects.lost], counts[effects.lost] = np.nan, -1
    every_s = int(r.choice([1, 1, 5, 15, 60]))
    if every_s > 1:  # processor time is read as a mean since the last reading
        known = np.nan_to_num(values[:, 5])
        means = np.convolve(known, np.ones(every_s) / every_s)[: len(known)]
        values[:, 5] = np.where(np.isfinite(values[:, 5]), means, np.nan)
    return BenchSeries(values, counts, deploys, base, every_s, effects.lost, faults)


def _ar(r: Generator, n: int, memory: float, sigma: float) -> F64:
    """First-order autoregression with stationary deviation `sigma`."""
    shocks = r.normal(0.0, sigma * np.sqrt(1.0 - memory * memory), n).tolist()
    out, level = np.empty(n), 0.0
    for i, shock in enumerate(shocks):
        level = memory * level + shock
        out[i] = level
    return out


def _wander(r: Generator, n: int, laws: Laws) -> F64:
    """Relative load: a day's swing, slow wander, and unevenness from second to second."""
    t = np.arange(n)
    day = 1.0 + r.uniform(0.1, 0.5) * np.sin(2 * np.pi * (t / 86400 + r.random()))
    wander = np.exp(_ar(r, n, 0.99, r.uniform(*laws.restless)))
    jitter = r.gamma(1 / (s := r.uniform(0.001, 0.03)), s, n)
    return np.asarray(day * wander * jitter)


def _harmless(r: Generator, plan: Plan, e: Effects, faults: Sequence[Fault]) -> tuple[int, ...]:
    """What happens on a good day: nothing that should open an anomaly. Load and levels stay as they are around faults, so that
    what is said there is of the fault."""
    n = plan.seconds
    free = np.ones(n, np.bool_)
    for fault in faults:
        free[max(0, fault.begin - 60) : fault.over + 60] = False

    def moments(per_hour: float, lasts: int) -> list[int]:
        drawn = r.integers(300, max(n - lasts, 301), r.poisson(n / 3600 * per_hour))
        return sorted(int(a) for a in drawn if free[a : a + lasts].all())

    for a in moments(2.0, 45):  # cron
        e.cpu[a : a + int(r.integers(4, 45))] += r.uniform(0.05, 0.5)
    for a in moments(6.0, 1):  # a pause
        e.slow[a] *= r.uniform(1.5, 6.0)
    for a in moments(1.5, 1):  # a connection that broke
        e.errors[a] += r.uniform(0.0, 0.06)
    for a in moments(1.5, 90):  # a burst of users
        length = int(r.integers(10, 80))
        e.rate[a : a + length] *= 1.0 + r.uniform(0.5, 3.0) * np.sin(np.linspace(0, np.pi, length))
    for a in moments(0.3, 900):  # an office opens, another closes
        rise, factor = int(r.integers(60, 300)), float(r.choice([r.uniform(2.0, 10.0), r.uniform(0.25, 0.5)]))
        e.rate[a : a + rise] *= np.linspace(1.0, factor, rise)
        e.rate[a + rise :] *= factor
    deploys = moments(0.5, 60)
    for a in deploys:
        e.slow[a : a + 20] *= r.uniform(1.1, 1.6)
        e.cpu[a : a + 25] += r.uniform(0.05, 0.3)
        e.slow[a:] *= r.uniform(0.85, 1.15)
        e.memory[a:] += r.uniform(-0.05, 0.08)
        e.cpu[a:] += r.uniform(-0.03, 0.05)
    for a in moments(0.3, 60):  # configuration, without a new version
        e.memory[a:] += r.uniform(-0.06, 0.1)
    for a in moments(0.5, 90):  # telemetry gets lost
        e.lost[a : a + int(r.integers(5, 90))] = True
    return tuple(deploys)


def _faults(r: Generator, plan: Plan, e: Effects) -> list[Fault]:
    """Faults one after another, with time to recover between them; a ramp takes the place of all."""
    faults: list[Fault] = []
    kinds = [plan.kinds[int(r.integers(len(plan.kinds)))] for _ in range(plan.faults)]
    ramp = next((k for k in kinds if k in RAMPS), None)
    if ramp is not None:
        kinds = [ramp]
    free = plan.seconds - plan.warmup - (RAMP_S + 300 if ramp else 300)
    spacing = free // max(len(kinds), 1)
    for k, kind in enumerate(kinds):
        begin = plan.warmup + 120 + k * spacing + int(r.integers(0, max(spacing - 420, 1)))
        lasts = RAMP_S if kind in RAMPS else int(r.integers(60, 240))
        end = min(begin + lasts, plan.seconds)
        faults.append(_inject(Fault(kind, begin, end, begin, end), r, e, plan.errors))
    return faults


def _inject(fault: Fault, r: Generator, e: Effects, share: float | None) -> Fault:
    at, length, hurts = slice(fault.begin, fault.end), fault.end - fault.begin, fault.begin
    ramp = np.linspace(0.0, 1.0, length)
    e.slow[at] *= {"latency": r.uniform(2.0, 5.0), "contention": r.uniform(1.8, 3.0), "hang": 40.0}.get(fault.kind, 1.0)
    e.errors[at] += {
        "errors_hard": r.uniform(0.15, 0.9),
        "errors_some": r.uniform(0.04, 0.12),
        "errors_few": share if share is not None else r.uniform(0.01, 0.03),
    }.get(fault.kind, 0.0)
    e.rate[at] *= {"traffic_drop": r.uniform(0.05, 0.35), "hang": 0.5}.get(fault.kind, 1.0)
    e.cpu[at] += r.uniform(0.3, 0.5) if fault.kind == "contention" else 0.0
    e.tail[at] *= r.uniform(4.0, 8.0) if fault.kind == "latency_tail" else 1.0
    e.down[at] |= fault.kind == "crash"
    e.stuck[at] |= fault.kind == "stuck"
    if fault.kind == "surge":
        factor = r.uniform(2.0, 4.0)
        e.rate[at] *= factor
        e.slow[at] *= factor
        e.queue[at] += r.uniform(5.0, 50.0)
    if fault.kind in {"leak", "ramp_memory"}:
        hurts += int(0.8 * length)
        e.memory[at] += 0.55 * ramp
        e.slow[hurts : fault.end] *= 3.0  # what little is left is looked for again and again
    if fault.kind == "ramp_latency":
        hurts += length // 2
        e.slow[at] *= 1.0 + 2.0 * ramp
    if fault.kind == "ramp_errors":
        hurts += length // 2
        e.errors[at] += 0.06 * ramp
    return Fault(fault.kind, fault.begin, fault.end, hurts, fault.end)


def _observe(r: Generator, base: float, e: Effects, laws: Laws) -> tuple[F64, I64]:
    n = len(e.rate)
    counts = r.poisson(np.where(e.down, 0.0, e.rate)).astype(np.int64)
    median = float(np.exp(r.uniform(np.log(0.004), np.log(0.2))))
    values = np.full((n, len(SPANS) + len(METRICS)), np.nan)
    values[:, 0] = counts
    share = np.clip(e.errors, 0.0, 1.0)
    if laws.clumps > 1.0:  # a share that wavers gives failures that come together
        odds = np.maximum(share * (counts.clip(1) / (laws.clumps - 1.0)), 1e-9)
        wavering = r.beta(odds, np.maximum((1.0 - share) * (counts.clip(1) / (laws.clumps - 1.0)), 1e-9))
        share = np.where(share < 0.1, wavering, share)
    failed = r.binomial(counts, share)
    values[:, 1] = np.where(counts > 0, failed / np.maximum(counts, 1), np.nan)
    values[:, 2:5] = median * e.slow[:, None] * _percentiles(r, counts, e.tail, laws)
    values[counts == 0, 2:5] = np.nan
    slope = r.uniform(0.05, 0.25)
    busy = np.clip(0.05 + slope * e.rate / base + e.cpu + r.normal(0.0, 0.02, n), 0.0, 1.0)
    collected = (np.arange(n) % r.integers(60, 600)) / 600 * r.uniform(0.01, 0.08)
    memory = np.clip(r.uniform(0.25, 0.45) + collected + e.memory + r.normal(0.0, 0.004, n), 0.0, 1.0)
    queue = np.maximum(0.0, counts * median * e.slow * 0.5 + e.queue + r.normal(0.0, 0.3, n))
    for j, column in enumerate((busy, memory, queue)):
        values[:, 5 + j] = np.where(e.down, np.nan, column)
    return values, counts


def _percentiles(r: Generator, counts: I64, tail: F64, laws: Laws) -> F64:
    """p50, p95, p99 of so many requests, relative to the median: order statistics are ratios of Gamma variables (David & Nagaraja
    2003, 2.5), put through the law's quantiles. `tail` strikes one request in eight."""
    n = np.maximum(counts, 1)
    ranks = np.stack([np.ceil(q * n) for q in QUANTILES], axis=1)
    steps = np.diff(np.concatenate([np.zeros((len(n), 1)), ranks, n[:, None] + 1.0], axis=1), axis=1)
    drawn = r.gamma(np.maximum(steps, 1e-9)).cumsum(axis=1)
    u = np.clip(drawn[:, :-1] / drawn[:, -1:], 1e-4, 1 - 1e-4)
    draws = np.sort(_requests(r, laws, 40_000))
    found = np.quantile(draws, u)
    for strength in np.unique(tail[tail > 1.0]):
        struck = np.sort(draws * np.where(r.random(len(draws)) < 0.125, strength, 1.0))
        at = tail == strength
        found[at] = np.quantile(struck, u[at])
    return np.asarray(found)


def _requests(r: Generator, laws: Laws, n: int) -> F64:
    """Latencies relative to their median, of one service's law."""
    latency = np.exp(r.normal(0.0, r.uniform(*laws.spread), n))
    heavy = r.uniform(0.01, 0.06)
    slow = 3.0 if laws.shape is None else 1.0 + 2.0 * r.weibull(r.uniform(*laws.shape), n)
    latency = np.where(r.random(n) < heavy, latency * slow, latency)
    return np.asarray(latency / np.median(latency))


def frames(series: Sequence[BenchSeries], second: int) -> list[FeatureFrame]:
    """The frames of one second: spans and metrics. No requests are said as quiet rows, what was lost as missing ones."""
    out = []
    for signal, names, columns in ((f.Signal.SPANS, SPANS, slice(0, 5)), (f.Signal.METRICS, METRICS, slice(5, 8))):
        rows = [i for i, s in enumerate(series) if _speaks(s, i, second, signal)]
        if not rows:
            continue
        presence = np.array([_presence(series[i], second, signal) for i in rows], np.int8)
        out.append(
            FeatureFrame(
                environment="bench",
                signal=signal.value,
                partition=0,
                window_ns=START_NS + second * SECOND,
                width_ns=SECOND,
                revision=0,
                services=tuple(f"s{i:04d}" for i in rows),
                peers=(),
                versions=tuple(f"v{sum(d <= second for d in series[i].deploys)}" for i in rows),
                attributes=("",) * len(rows),
                features=names,
                values=np.stack([series[i].values[second, columns] for i in rows]),
                counts=np.array([max(int(series[i].counts[second]), 0) for i in rows], np.int64),
                notes=(),
                presence=presence,
            )
        )
    return out


def _speaks(series: BenchSeries, i: int, second: int, signal: f.Signal) -> bool:
    if signal is f.Signal.SPANS:
        return True
    return (second + i) % series.every_s == 0 and bool(np.isfinite(series.values[second, 5]))


def _presence(series: BenchSeries, second: int, signal: f.Signal) -> Presence:
    if signal is f.Signal.METRICS or series.counts[second] > 0:
        return Presence.OBSERVED
    return Presence.QUIET if series.counts[second] == 0 else Presence.MISSING
