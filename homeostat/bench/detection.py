"""Quality and speed of detection on simulated telemetry (`homeostat.bench.simulated`), against labelled faults.

    python -m homeostat.bench.detection [seed] [--tuning] [--detectors=bank+river] [--services=12] [--seconds=2700]    (from the repository's root)

With --drift members run with and without drift handling on the same series, and it tells what came of their own claims and of their models.

Seeds from 101 on with the proving laws are for figures; seeds below with the tuning laws are what constants were set on.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from contracts.ports.detecting import Detector
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import ENDED, AnomalyPhase, ModelStep, ServiceState
from homeostat.bench.simulated import (
    HARD,
    KINDS,
    PROVING,
    RAMPS,
    START_NS,
    TUNING,
    BenchSeries,
    Fault,
    Plan,
    frames,
    simulate,
)
from homeostat.terminal import echo
from models.engine import DetectEngine

SETTLE_S: Final = 60
"""After a fault's end, for this long what is said belongs to it."""
TRAFFIC: Final = 50.0
"""Requests per second from which hard faults are to be found within two seconds."""


@dataclass(slots=True)
class Told:
    """What was told of one service: seconds [opened, ended) of its episodes, and seconds in which it was said to be healthy."""

    episodes: list[tuple[int, int]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    healthy: set[int] = field(default_factory=set)


class Runs(Protocol):
    """What is told of each service, and milliseconds of CPU per second simulated."""

    def __call__(self, series: Sequence[BenchSeries], plan: Plan) -> tuple[list[Told], float]: ...


def engine_runs(
    settings: DetectSettings,
    detectors: Callable[[], list[Detector]] | None = None,
    made: list[tuple[DetectEngine, Counter[ModelStep]]] | None = None,
) -> Runs:
    """What the whole engine tells with `settings`. Each engine is put into `made`, with what became of the models of its members."""

    def run(series: Sequence[BenchSeries], plan: Plan) -> tuple[list[Told], float]:
        engine = DetectEngine(0, settings, detectors() if detectors else None)
        steps = Counter[ModelStep]()
        if made is not None:
            made.append((engine, steps))
        told = [Told() for _ in series]
        opened: dict[str, tuple[int, int]] = {}
        spent = 0.0
        for second in range(plan.seconds):
            batch = frames(series, second)
            began = time.process_time()
            now_ns = START_NS + (second + 1) * SECOND
            events = [a for frame in batch for a in engine.observe(frame, now_ns)[1]] + engine.tick(now_ns)
            spent += time.process_time() - began
            steps.update(a.step for a in events if a.step is not None)
            for anomaly in (a for a in events if a.step is None):
                i = int(anomaly.service[1:])
                if anomaly.phase is AnomalyPhase.OPENED:
                    opened[anomaly.id] = i, second
                    told[i].reasons.append(anomaly.text)
                elif anomaly.phase in ENDED and anomaly.id in opened:
                    told[i].episodes.append((opened.pop(anomaly.id)[1], second))
            states = engine.states("bench") if second % 5 == 0 else {}
            for i, s in enumerate(series):
                hurting = any(x.hurts + 10 <= second < x.end for x in s.faults)
                if hurting and states.get(f"s{i:04d}") is ServiceState.HEALTHY:
                    told[i].healthy.update(range(second, second + 5))
        for i, begin in opened.values():
            told[i].episodes.append((begin, plan.seconds))
        return told, 1e3 * spent / plan.seconds

    return run


@dataclass(frozen=True, slots=True)
class FaultCase:
    """One fault, with when it was found and when its alarm ended (seconds; None: not)."""

    fault: Fault
    base: float
    found: int | None
    ended: int | None
    healthy: int
    """Seconds in which its service was said to be healthy after the alarm, while it hurt."""

    @property
    def delay(self) -> int | None:
        """Seconds from when it hurt to when it was found; below 0 where it was foreseen."""
        return None if self.found is None else self.found + 1 - self.fault.hurts


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """Event-wise scores. A fault is found if an episode opens within it; an episode that overlaps no fault (and the minute after
    it) is a false alarm."""

    name: str
    cases: tuple[FaultCase, ...]
    false: int
    hours: float
    milliseconds: float
    wrong: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """Share of faults that were found."""
        return sum(c.found is not None for c in self.cases) / max(len(self.cases), 1)

    @property
    def precision(self) -> float:
        """Share of alarms that were about a fault, each fault counted once."""
        found = sum(c.found is not None for c in self.cases)
        return found / max(found + self.false, 1)

    @property
    def false_per_hour(self) -> float:
        """False alarms per hour of a service."""
        return self.false / self.hours

    def missed(self) -> dict[str, str]:
        """By kind, how many of how many were missed."""
        return {
            k: f"{sum(c.found is None for c in self.cases if c.fault.kind == k)}/"
            f"{sum(c.fault.kind == k for c in self.cases)}"
            for k in KINDS
        }

    def by_kind(self) -> dict[str, str]:
        """By kind, seconds from its beginning to when it was found, and from its end to the alarm's (medians)."""
        lines = {}
        for kind in KINDS:
            mine = [c for c in self.cases if c.fault.kind == kind and c.found is not None]
            begins = [c.found + 1 - c.fault.begin for c in mine if c.found is not None]
            ends = [c.ended - c.fault.over for c in mine if c.ended is not None]
            healthy = sum(c.healthy for c in mine)
            if mine:
                said = f", healthy for {healthy} s" if healthy else ""
                late = f"{np.median(ends):.0f} s (p95 {np.quantile(ends, 0.95):.0f} s)"
                lines[kind] = f"{np.median(begins):.0f} s, {late}{said}"
        return lines

    def hard_within(self, seconds: int) -> float:
        """Share of hard faults at much traffic that were found within so many seconds."""
        hard = [c for c in self.cases if c.fault.kind in HARD and c.base >= TRAFFIC]
        return sum(c.delay is not None and c.delay <= seconds for c in hard) / max(len(hard), 1)

    def ramps_early(self) -> float:
        """Share of ramps that were found before a quarter of the way from normal to harm."""
        ramps = [c for c in self.cases if c.fault.kind in RAMPS]
        early = [c.found is not None and c.found < c.fault.begin + _quarter(c.fault) for c in ramps]
        return sum(early) / max(len(ramps), 1)

    def ends(self, q: float) -> float:
        """Quantile of the seconds for which alarms went on after the end of harm."""
        ends = [c.ended - c.fault.over for c in self.cases if c.ended is not None]
        return float(np.quantile(ends, q)) if ends else float("nan")

    def line(self) -> str:
        """One row of the printed table."""
        delays = [c.delay for c in self.cases if c.delay is not None]
        f1 = 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)
        return (
            f"{self.name:<16} P {self.precision:.3f}  R {self.recall:.3f}  F1 {f1:.3f}  "
            f"delay {np.median(delays) if delays else float('nan'):4.1f} s  hard within 2 s {self.hard_within(2):.2f}  "
            f"ramps early {self.ramps_early():.2f}  ends p95 {self.ends(0.95):.0f} s  healthy while it hurts "
            f"{sum(c.healthy for c in self.cases)} s  false/service-hour {self.false_per_hour:.3f}  "
            f"{self.milliseconds:.2f} ms CPU per second"
        )


def _quarter(fault: Fault) -> float:
    """Seconds from its beginning to a quarter of the way to harm."""
    return 0.25 * max(fault.hurts - fault.begin, 1)


def score(name: str, runs: Runs, series: Sequence[BenchSeries], plan: Plan) -> DetectionResult:
    """Run and score."""
    told, milliseconds = runs(series, plan)
    cases: list[FaultCase] = []
    wrong: list[str] = []
    for i, (s, t) in enumerate(zip(series, told, strict=True)):
        late = [(a, b, why) for (a, b), why in zip(sorted(t.episodes), t.reasons, strict=True) if a >= plan.warmup]
        for fault in s.faults:
            hits = [(a, b) for a, b, _ in late if fault.begin <= a < fault.end]
            found = hits[0][0] if hits else None
            healthy = sum(found is not None and found < x < fault.end and x >= fault.hurts + 10 for x in t.healthy)
            ended = max((b for a, b in hits), default=None)
            cases.append(FaultCase(fault, s.base, found, ended, healthy))
        wrong += [
            f"s{i:04d} @{a} ({s.base:.0f}/s): {why}"
            for a, _, why in late
            if not any(x.begin <= a < x.over + SETTLE_S for x in s.faults)
        ]
    hours = plan.services * (plan.seconds - plan.warmup) / 3600
    return DetectionResult(name, tuple(cases), len(wrong), hours, milliseconds, tuple(wrong))


def found_within(share: float, rate: float, seconds: int, seed: int) -> float:
    """Share of faults with this share of failures at this rate of requests that are found within so many seconds."""
    plan = Plan(24, 1500, 600, 2, (rate, rate * 1.001), seed, PROVING, ("errors_few",), benign=False, errors=share)
    result = score("", engine_runs(DetectSettings()), simulate(plan), plan)
    return sum(c.delay is not None and c.delay <= seconds for c in result.cases) / len(result.cases)


def tick_milliseconds(
    services: int = 1000, rounds: int = 60, detectors: Sequence[str] = ("bank",), engine: bool = True
) -> float:
    """Median CPU time of one window of `services` × 8 features (spans and metrics frames) through the whole engine, or through
    the detectors alone."""
    plan = Plan(services=min(services, 50), seconds=rounds, warmup=10, faults=0, rates=(20.0, 200.0), benign=False)
    few = simulate(plan)
    for s in few:
        s.every_s = 1
    copies = [few[i % len(few)] for i in range(services)]
    made = DetectEngine(0, DetectSettings(detectors=tuple(detectors)))
    spent = []
    for second in range(rounds):
        batch = frames(copies, second)
        learn = [np.ones(len(frame.services), np.bool_) for frame in batch]
        now_ns = START_NS + (second + 1) * SECOND
        began = time.process_time()
        for frame, may in zip(batch, learn, strict=True):
            if engine:
                made.observe(frame, now_ns)
            else:
                for detector in made.detectors:
                    detector.update(frame, may)
        if engine:
            made.tick(now_ns)
        spent.append(1e3 * (time.process_time() - began))
    return float(np.median(spent[rounds // 2 :]))


def compare_drift(sets: Sequence[str], series: Sequence[BenchSeries], plan: Plan) -> None:
    """Print how members do with and without drift handling, and what came of the claims that they had alone."""
    for name, drift in (("with drift", DetectSettings().drift), ("without", "")):
        engines: list[tuple[DetectEngine, Counter[ModelStep]]] = []
        settings = DetectSettings(detectors=tuple(sets), drift=drift)
        result = score(name, engine_runs(settings, made=engines), series, plan)
        echo(f"seed {plan.seed} {result.line()}")
        for engine, steps in engines:
            for member, earned in engine.fusion.records.items():
                true, nothing = (sum(x) for x in zip(*((c.came_true, c.came_to_nothing) for c in earned), strict=True))
                echo(f"  {member}: {true:.0f} of its own claims came true, {nothing:.0f} to nothing")
            echo(
                "  models: " + (", ".join(f"{n} {step.value}" for step, n in sorted(steps.items())) or "none replaced")
            )


def _given(option: str, usual: str) -> str:
    return next((a.removeprefix(f"--{option}=") for a in sys.argv if a.startswith(f"--{option}=")), usual)


def main() -> None:
    """Print the table, what was missed, and what was said without a reason."""
    given = [a for a in sys.argv[1:] if not a.startswith("--")]
    tuning, usual = "--tuning" in sys.argv, Plan()
    sets = _given("detectors", "bank").split("+")
    for seed in [int(a) for a in given] or [1 if tuning else 101]:
        plan = Plan(
            services=int(_given("services", str(usual.services))),
            seconds=int(_given("seconds", str(usual.seconds))),
            seed=seed,
            laws=TUNING if tuning else PROVING,
        )
        if "--drift" in sys.argv:
            compare_drift(sets, simulate(plan), plan)
            continue
        result = score("+".join(sets), engine_runs(DetectSettings(detectors=tuple(sets))), simulate(plan), plan)
        echo(f"seed {seed} {result.line()}")
        echo("  missed: " + ", ".join(f"{k} {v}" for k, v in result.missed().items()))
        lost = [
            f"{c.fault.kind} {c.base:.0f}/s for {c.fault.end - c.fault.begin} s"
            for c in result.cases
            if c.found is None
        ]
        echo("  not found: " + ", ".join(lost))
        hard = [c for c in result.cases if c.fault.kind in HARD and c.base >= TRAFFIC and (c.delay or 99) > 2]
        echo("  hard and later than 2 s: " + ", ".join(f"{c.fault.kind} {c.base:.0f}/s {c.delay} s" for c in hard))
        echo("  found and over after: " + ", ".join(f"{k} {v}" for k, v in result.by_kind().items()))
        for line in result.wrong:
            echo(f"  false: {line}")


if __name__ == "__main__":
    main()
