"""Generator configurations: the two splits draw systems, loads and sizes from different laws, not only from other seeds.

What is tuned is tuned on *tuning*; a figure counts that was taken on *proving*. The two share the kinds of things that happen, as the
field does, and differ in shapes: how calls are wired, how work times spread, how big, how loaded, how late, and how the day goes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.random import Generator

from twin.habits import STYLES


class Split(enum.StrEnum):
    """Which half of the worlds a seed belongs to."""

    TUNING = "tuning"
    PROVING = "proving"


Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The ranges of one generator; all but shares are log-uniform."""

    wiring: str
    """`layers`: teams in tiers call the next tier. `growth`: newcomers are called by those that have many callees (preferential attachment)."""
    services: Range
    fan_out: Range
    rate: Range
    """Users' requests per second, all entries together."""
    work_s: Range
    spread: Range
    utilisation: Range
    """Of the scarcer of threads and cores, on an ordinary day."""
    instances: Range
    error_rate: Range
    retried: float
    optional: float
    cyclic: float
    queued: float
    styles: dict[str, float] = field(default_factory=dict)
    swing: Range = (0.02, 0.2)
    """Relative size of the day's swing within an episode."""
    wander: Range = (0.01, 0.08)
    burstiness: Range = (0.001, 0.02)
    operations_per_hour: Range = (2.0, 12.0)
    opens: float = 0.06
    """Share of episodes in which an office opens."""
    steps: float = 0.1
    """Share in which demand changes at once, for good."""
    beats: float = 0.15
    """Share with a job that comes every minute."""
    namesakes: float = 0.05
    """Share of services that have the name of another one, in another namespace."""
    subtle: float = 0.3
    """Share of faults drawn from the weakest third of their range."""


CONFIGURATIONS: Final[dict[Split, Configuration]] = {
    Split.TUNING: Configuration(
        wiring="layers",
        services=(5, 40),
        fan_out=(1.2, 2.5),
        rate=(5, 300),
        work_s=(0.002, 0.04),
        spread=(0.25, 0.6),
        utilisation=(0.1, 0.5),
        instances=(1, 5),
        error_rate=(1e-5, 2e-3),
        retried=0.3,
        optional=0.2,
        cyclic=0.1,
        queued=0.1,
        styles=dict.fromkeys(STYLES, 1.0) | {"complete": 4.0},
    ),
    Split.PROVING: Configuration(
        wiring="growth",
        services=(6, 60),
        fan_out=(1.1, 3.0),
        rate=(3, 500),
        work_s=(0.001, 0.07),
        spread=(0.15, 0.8),
        utilisation=(0.05, 0.6),
        instances=(1, 8),
        error_rate=(1e-6, 4e-3),
        retried=0.45,
        optional=0.3,
        cyclic=0.2,
        queued=0.15,
        styles=dict.fromkeys(STYLES, 1.0) | {"complete": 3.0, "mixed_delays": 1.5, "dark_spots": 1.5},
        swing=(0.02, 0.35),
        wander=(0.005, 0.12),
        burstiness=(0.0005, 0.04),
        operations_per_hour=(1.0, 20.0),
        opens=0.1,
        namesakes=0.08,
        subtle=0.4,
    ),
}


def generator_of(split: Split, seed: int, part: str = "") -> Generator:
    """The source of chance of one part of a case; parts don't disturb each other."""
    words = [ord(c) for c in f"{split}/{part}"]
    return np.random.default_rng([seed, *words])


def between(r: Generator, limits: Range) -> float:
    """Log-uniform."""
    low, high = limits
    return float(low * (high / low) ** r.random())


def pick(r: Generator, weights: dict[str, float]) -> str:
    """One name, by weight."""
    names = sorted(weights)
    shares = np.array([weights[n] for n in names])
    return names[int(r.choice(len(names), p=shares / shares.sum()))]
