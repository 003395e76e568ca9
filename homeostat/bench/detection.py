"""A labelled bench of detection: simulated telemetry of services with faults of ten kinds and much that is none.

Everything that is not a fault may happen (daily load, bursts, cron jobs, deploys with a cold cache, garbage collection,
missing windows, services with a request every five seconds), and the fault's kind, length and strength vary. Counts are
drawn, and percentiles are those of the drawn requests where they are few, so that sparse services are as noisy as they
really are. Deterministic for a seed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.random import Generator

from contracts import features as f
from contracts.frames.decoded import B1, F64, I64
from contracts.frames.feature_frame import FeatureFrame, Presence
from contracts.ports.detecting import Detector, Scores
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import ENDED, AnomalyPhase
from homeostat.terminal import echo
from models.detectors import create
from models.engine import DetectEngine

START_NS: Final = 1_700_000_000 * SECOND
FAULTS: Final = (
    "latency",
    "latency_tail",
    "latency_ramp",
    "errors",
    "traffic_drop",
    "traffic_surge",
    "cpu",
    "leak",
    "crash",
    "stuck",
)
HARD: Final = frozenset({"latency", "errors", "crash", "traffic_drop"})
"""Faults that are at full strength from their first second."""
SPANS: Final = (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99)
METRICS: Final = (f.CPU, f.MEMORY, f.QUEUE_LAG)
SETTLE_S: Final = 60
"""After a fault's end, for this long what is said belongs to it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault, in seconds [begin, end)."""

    kind: str
    begin: int
    end: int


@dataclass(slots=True)
class BenchSeries:
    """One service: values (seconds, features of SPANS then METRICS), requests per second, version, faults."""

    values: F64
    counts: I64
    deploys: tuple[int, ...]
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
    down: B1
    stuck: B1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what to simulate. `rates` is the range of requests per second, drawn log-uniformly."""

    services: int = 24
    seconds: int = 3600
    warmup: int = 300
    faults: int = 3
    rates: tuple[float, float] = (2.0, 800.0)
    seed: int = 1


def simulate(plan: Plan) -> list[BenchSeries]:
    """The services of a plan."""
    return [_service(np.random.default_rng((plan.seed, i)), plan) for i in range(plan.services)]


def _service(r: Generator, plan: Plan) -> BenchSeries:
    n = plan.seconds
    base = float(np.exp(r.uniform(*np.log(plan.rates))))
    effects = Effects(
        rate=base * _load(r, n),
        slow=np.exp(_ar(r, n, 0.9, 0.04)),
        tail=np.ones(n),
        errors=np.full(n, float(np.exp(r.uniform(np.log(1e-5), np.log(4e-3))))),
        cpu=np.zeros(n),
        memory=np.zeros(n),
        down=np.zeros(n, np.bool_),
        stuck=np.zeros(n, np.bool_),
    )
    deploys = _harmless(r, n, effects)
    faults = _faults(r, plan, effects)
    values, counts = _observe(r, base, effects)
    for fault in faults:
        if fault.kind == "stuck":
            values[fault.begin : fault.end], counts[fault.begin : fault.end] = values[fault.begin], counts[fault.begin]
    missing = r.random(n) < 0.003
    values[missing], counts[missing] = np.nan, -1
    return BenchSeries(values, counts, deploys, faults)


def _ar(r: Generator, n: int, memory: float, sigma: float) -> F64:
    """First-order autoregression with stationary deviation `sigma`."""
    shocks = r.normal(0.0, sigma * np.sqrt(1.0 - memory * memory), n)
    out = np.empty(n)
    level = 0.0
    for i in range(n):
        level = memory * level + float(shocks[i])
        out[i] = level
    return out


def _load(r: Generator, n: int) -> F64:
    """Relative load: a day's swing, slow wander, and short bursts of users."""
    t = np.arange(n)
    day = 1.0 + r.uniform(0.1, 0.5) * np.sin(2 * np.pi * (t / 86400 + r.random()))
    wander = np.exp(_ar(r, n, 0.99, r.uniform(0.02, 0.12)))
    jitter = r.gamma(1 / (s := r.uniform(0.001, 0.03)), s, n)
    return np.asarray(day * wander * jitter)


def _harmless(r: Generator, n: int, e: Effects) -> tuple[int, ...]:
    """Cron jobs, deploys with cold caches, single slow seconds: nothing that should open an anomaly."""
    for _ in range(r.poisson(n / 3600)):
        a, d = int(r.integers(0, n)), int(r.integers(4, 40))
        e.cpu[a : a + d] += r.uniform(0.05, 0.25)
    for _ in range(r.poisson(n / 600)):
        e.slow[int(r.integers(0, n))] *= r.uniform(1.5, 6.0)
    deploys = sorted(int(a) for a in r.integers(0, n, r.poisson(n / 3600 * 0.4)) if a > 400)
    for a in deploys:
        e.slow[a : a + 20] *= r.uniform(1.1, 1.8)
        e.cpu[a : a + 25] += r.uniform(0.05, 0.2)
        e.slow[a:] *= r.uniform(0.85, 1.2)
    return tuple(deploys)


def _faults(r: Generator, plan: Plan, e: Effects) -> list[Fault]:
    free = plan.seconds - plan.warmup - 300
    spacing = free // max(plan.faults, 1)
    faults = []
    for k in range(plan.faults):
        begin = plan.warmup + 120 + k * spacing + int(r.integers(0, max(spacing - 330, 1)))
        kind = FAULTS[int(r.integers(len(FAULTS)))]
        fault = Fault(kind, begin, min(begin + int(r.integers(30, 180)), plan.seconds))
        _inject(fault, float(r.uniform(0.8, 2.0)), e)
        faults.append(fault)
    return faults


def _inject(fault: Fault, strength: float, e: Effects) -> None:
    at = slice(fault.begin, fault.end)
    ramp = np.linspace(0.0, 1.0, fault.end - fault.begin)
    if fault.kind == "latency":
        e.slow[at] *= 1.0 + 1.5 * strength
    elif fault.kind == "latency_tail":
        e.tail[at] *= 1.0 + 3.0 * strength
    elif fault.kind == "latency_ramp":
        e.slow[at] *= 1.0 + 3.0 * strength * ramp
    elif fault.kind == "errors":
        e.errors[at] += 0.08 * strength
    elif fault.kind == "traffic_drop":
        e.rate[at] *= 0.35 / strength
    elif fault.kind == "traffic_surge":
        e.rate[at] *= 1.0 + 1.2 * strength
        e.slow[at] *= 1.0 + 0.3 * strength
    elif fault.kind == "cpu":
        e.cpu[at] += 0.25 * strength
        e.slow[at] *= 1.25
    elif fault.kind == "leak":
        e.memory[at] += 0.3 * strength * ramp
    elif fault.kind == "crash":
        e.down[at] = True
    else:
        e.stuck[at] = True


def _observe(r: Generator, base: float, e: Effects) -> tuple[F64, I64]:
    n = len(e.rate)
    counts = r.poisson(np.where(e.down, 0.0, e.rate)).astype(np.int64)
    median, spread, heavy = np.exp(r.uniform(np.log(0.003), np.log(0.2))), r.uniform(0.3, 0.8), r.uniform(0.01, 0.06)
    values = np.full((n, len(SPANS) + len(METRICS)), np.nan)
    values[:, 0] = counts
    errors = r.binomial(counts, np.clip(e.errors, 0.0, 1.0))
    values[:, 1] = np.where(counts > 0, errors / np.maximum(counts, 1), np.nan)
    for i in np.flatnonzero(counts):
        values[i, 2:5] = _percentiles(r, int(counts[i]), (median * e.slow[i], spread, heavy, e.tail[i]))
    busy = np.clip(0.1 + 0.3 * e.rate / base + e.cpu + r.normal(0.0, 0.02, n), 0.0, 1.0)
    collected = (np.arange(n) % r.integers(60, 600)) / 600 * 0.08
    memory = np.clip(0.4 + collected + e.memory + r.normal(0.0, 0.004, n), 0.0, 1.0)
    queue = np.maximum(0.0, counts * median * e.slow * 0.5 + r.normal(0.0, 0.3, n))
    for j, column in enumerate((busy, memory, queue)):
        values[:, 5 + j] = np.where(e.down, np.nan, column)
    return values, counts


def _percentiles(r: Generator, count: int, law: tuple[float, float, float, float]) -> F64:
    """p50, p95, p99 of `count` log-normal requests of which a share is ten times slower, times `tail`."""
    median, spread, heavy, tail = law
    drawn = min(count, 400)
    logs = r.normal(0.0, spread, drawn)
    slow = r.random(drawn) < heavy
    # `tail` strikes one request in eight: most callers notice nothing
    struck = r.random(drawn) < 0.125
    latency = median * np.exp(logs) * np.where(slow, 3.0, 1.0) * np.where(struck, tail, 1.0)
    return np.quantile(latency, (0.5, 0.95, 0.99))


def frames(series: Sequence[BenchSeries], second: int) -> list[FeatureFrame]:
    """The frames of one second: spans and metrics. No requests are said as quiet rows, what was lost as missing ones."""
    window_ns = START_NS + second * SECOND
    out = []
    for signal, names, columns in ((f.Signal.SPANS, SPANS, slice(0, 5)), (f.Signal.METRICS, METRICS, slice(5, 8))):
        rows = [i for i, s in enumerate(series) if _speaks(s, second, signal)]
        if not rows:
            continue
        out.append(
            FeatureFrame(
                environment="bench",
                signal=signal.value,
                partition=0,
                window_ns=window_ns,
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
                presence=np.array([_presence(series[i], second, signal) for i in rows], np.int8),
            )
        )
    return out


def _speaks(series: BenchSeries, second: int, signal: f.Signal) -> bool:
    return signal is f.Signal.SPANS or bool(np.isfinite(series.values[second, 5]))


def _presence(series: BenchSeries, second: int, signal: f.Signal) -> Presence:
    if signal is f.Signal.METRICS or series.counts[second] > 0:
        return Presence.OBSERVED
    return Presence.QUIET if series.counts[second] == 0 else Presence.MISSING


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """Event-wise scores. A fault is found if an episode opens within it (or 10 s after); an episode that overlaps no
    fault (and the minute after it) is a false alarm."""

    name: str
    precision: float
    recall: float
    f1: float
    median_delay_s: float
    hard_delay_s: float
    false_per_hour: float
    milliseconds: float
    missed: dict[str, str]

    def line(self) -> str:
        """One row of the printed table."""
        return (
            f"{self.name:<14} P {self.precision:.3f}  R {self.recall:.3f}  F1 {self.f1:.3f}  "
            f"delay {self.median_delay_s:4.1f} s (hard faults {self.hard_delay_s:.1f} s)  "
            f"false/service-hour {self.false_per_hour:.3f}  {self.milliseconds:.2f} ms CPU per second simulated"
        )


class Runs(Protocol):
    """Opened and closed seconds of episodes, per service."""

    def __call__(self, series: Sequence[BenchSeries], plan: Plan) -> tuple[list[list[tuple[int, int]]], float]: ...


def engine_runs(settings: DetectSettings, detectors: Callable[[], list[Detector]] | None = None) -> Runs:
    """Episodes of the whole engine with `settings`."""

    def run(series: Sequence[BenchSeries], plan: Plan) -> tuple[list[list[tuple[int, int]]], float]:
        engine = DetectEngine(0, settings, detectors() if detectors else None)
        spans: list[list[tuple[int, int]]] = [[] for _ in series]
        opened: dict[int, int] = {}
        spent = 0.0
        for second in range(plan.seconds):
            batch = frames(series, second)
            began = time.process_time()
            now_ns = START_NS + (second + 1) * SECOND
            told = [a for frame in batch for a in engine.observe(frame, now_ns)[1]] + engine.tick(now_ns)
            spent += time.process_time() - began
            for anomaly in told:
                i = int(anomaly.service[1:])
                if anomaly.phase is AnomalyPhase.OPENED:
                    opened[i] = second
                elif anomaly.phase in ENDED:
                    spans[i].append((opened.pop(i), second))
        for i, begin in opened.items():
            spans[i].append((begin, plan.seconds))
        return spans, 1e3 * spent / plan.seconds

    return run


def score(name: str, runs: Runs, series: Sequence[BenchSeries], plan: Plan) -> DetectionResult:
    """Run and score."""
    spans, milliseconds = runs(series, plan)
    delays: list[tuple[str, int | None]] = []
    false = 0
    for s, episodes in zip(series, spans, strict=True):
        late = [(a, b) for a, b in episodes if a >= plan.warmup]
        for fault in s.faults:
            hits = [a for a, _ in late if fault.begin <= a < fault.end + 10]
            delays.append((fault.kind, min(hits) - fault.begin if hits else None))
        false += sum(not any(x.begin <= a < x.end + SETTLE_S for x in s.faults) for a, _ in late)
    found = [d for _, d in delays if d is not None]
    hard = [d for k, d in delays if d is not None and k in HARD]
    precision = len(found) / max(len(found) + false, 1)
    recall = len(found) / max(len(delays), 1)
    hours = plan.services * (plan.seconds - plan.warmup) / 3600
    return DetectionResult(
        name=name,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(precision + recall, 1e-9),
        median_delay_s=float(np.median(found)) if found else float("nan"),
        hard_delay_s=float(np.median(hard)) if hard else float("nan"),
        false_per_hour=false / hours,
        milliseconds=milliseconds,
        missed={
            k: f"{sum(d is None for kk, d in delays if kk == k)}/{sum(kk == k for kk, _ in delays)}" for k in FAULTS
        },
    )


def tick_milliseconds(services: int = 1000, rounds: int = 60, detectors: Sequence[str] = ("bank",)) -> float:
    """Median CPU time of one window of `services` × 8 features through the detectors alone (spans and metrics frames)."""
    plan = Plan(services=min(services, 50), seconds=rounds, warmup=10, faults=0, rates=(20.0, 200.0))
    few = simulate(plan)
    copies = [few[i % len(few)] for i in range(services)]
    made = create(DetectSettings(detectors=tuple(detectors)))
    spent = []
    for second in range(rounds):
        batch = frames(copies, second)
        learn = [np.ones(len(frame.services), np.bool_) for frame in batch]
        began = time.process_time()
        for frame, may in zip(batch, learn, strict=True):
            _: list[Scores] = [d.update(frame, may) for d in made]
        spent.append(1e3 * (time.process_time() - began))
    return float(np.median(spent[rounds // 3 :]))


def main() -> None:
    """Print the table, and what the fused detectors missed."""
    plan = Plan(seed=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    series = simulate(plan)
    for names in (("bank",), ("bank", "river", "pyod"), ("river",), ("pyod",)):
        result = score("+".join(names), engine_runs(DetectSettings(detectors=names)), series, plan)
        echo(result.line())
        if names[0] == "bank":
            echo("  missed: " + ", ".join(f"{k} {v}" for k, v in result.missed.items()))
    for seed in range(4):
        sparse = Plan(services=28, seconds=240, warmup=0, faults=0, rates=(0.04, 2.0), seed=seed)
        spans, _ = engine_runs(DetectSettings())(simulate(sparse), sparse)
        echo(f"sparse healthy traffic, seed {seed}: {sum(map(len, spans))} false episodes")
    echo(f"1,000 services × 8 features: bank {tick_milliseconds():.2f} ms per tick")


if __name__ == "__main__":
    main()
