"""Seeded episodes of one service around an action, as evidence frames: what verification is held to, and what its figures are taken on.

Each kind says whether the action mended it, and what the service shows second by second. Requests are Poisson, failures binomial,
latencies log-normal; a window comes 1.3 s after it began, as the pipeline is at its quickest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import ServiceState

T0: Final = 1_700_000_000 * SECOND
FEATURES: Final = ("request_rate", "error_rate", "latency_p95")
Shown = Callable[[int], tuple[float, float]]
"""Share that fails and 95th percentile of latency at a second after the action."""


@dataclass(frozen=True)
class VerifiedEpisode:
    """What happened: the true outcome (`mended`, `ended` by itself, `same`), the onset, and the numbers."""

    kind: str
    truth: str
    onset_s: int
    rate: float
    shown: Shown
    peer: Shown | None = None


def _well(_: int) -> tuple[float, float]:
    return 0.005, 0.1


def episode(kind: str, rng: np.random.Generator) -> VerifiedEpisode:
    """One of its kind."""
    onset, rate = -int(rng.integers(4, 16)), float(np.exp(rng.uniform(math.log(8), math.log(120))))
    share, slow = float(rng.uniform(0.15, 1.0)), float(rng.uniform(0.6, 5.0))
    delay, early = int(rng.integers(0, 4)), int(rng.integers(2, 5))

    def fault(_: int) -> tuple[float, float]:
        return share, slow

    def until(end: int) -> Shown:
        return lambda s: fault(s) if onset <= s < end else _well(s)

    def fading(s: int) -> tuple[float, float]:
        left = max(1 - (s - onset) / (-onset + delay + 1), 0.0)
        return (0.005 + share * left, 0.1 + slow * left) if s >= onset else _well(s)

    def pausing(s: int) -> tuple[float, float]:
        return fault(s) if s >= onset - 10 and (s - onset) % 7 < 4 else _well(s)

    def half(s: int) -> tuple[float, float]:
        return (0.005 + share * (1.0 if s < delay else 0.4), slow) if s >= onset else _well(s)

    def little(until_s: int) -> Shown:
        return lambda s: (few if onset - 8 <= s < until_s else 0.0, 0.1)

    if kind.startswith("fails often of few"):
        rate, share, slow = 5.0, 0.3 + 0.4 * share, 0.1
    few, scarce = 0.06 + 0.05 * share, kind.startswith("fails a little")
    rate = 8.0 + rate / 10 if scarce else rate
    made: dict[str, tuple[str, Shown, Shown | None]] = {
        "mended": ("mended", until(delay), None),
        "mended, a peer stays ill": ("mended", until(delay), until(10_000)),
        "ended before it acted": ("ended", until(-early), None),
        "fades by itself": ("ended", fading, None),
        "untouched peers alike": ("ended", until(delay), until(delay)),
        "nothing was wrong": ("ended", _well, None),
        "no help": ("same", until(10_000), None),
        "pauses by itself": ("same", pausing, None),
        "a little better": ("same", half, None),
        "fails often of few, no help": ("same", until(10_000), None),
        "fails often of few, mended late": ("mended", until(delay + 4), None),
        "fails a little, mended": ("mended", little(delay), None),
        "fails a little, no help": ("same", little(10_000), None),
    }
    truth, shown, peer = made[kind]
    return VerifiedEpisode(kind, truth, onset - 8 if scarce else onset, rate, shown, peer)


KINDS: Final = (
    "mended", "mended, a peer stays ill", "ended before it acted", "fades by itself", "untouched peers alike", "nothing was wrong",
    "no help", "pauses by itself", "a little better", "fails a little, mended", "fails a little, no help",
    "fails often of few, no help", "fails often of few, mended late",
)  # fmt: skip


def window(found: VerifiedEpisode, second: int, rng: np.random.Generator) -> EvidenceFrame:
    """The evidence of one second."""
    shows = [found.shown] + ([found.peer] if found.peer else [])
    services = ("cart", "stock")[: len(shows)]
    counts = rng.poisson(found.rate, len(shows))
    values = np.full((len(shows), 3), math.nan)
    for i, shown in enumerate(shows):
        share, slow = shown(second)
        values[i, 0] = counts[i]
        if counts[i]:
            values[i, 1] = rng.binomial(counts[i], min(share, 1.0)) / counts[i]
            values[i, 2] = slow * math.exp(rng.normal(0, 0.6 / math.sqrt(counts[i])))
    high = np.tile(
        np.array(
            [found.rate + 5 * math.sqrt(found.rate), 0.005 + 4 / math.sqrt(200 * found.rate) + 1.5 / found.rate, 0.25]
        ),
        (len(shows), 1),
    )
    low = np.tile(np.array([max(found.rate - 5 * math.sqrt(found.rate), 0.0), 0.0, 0.0]), (len(shows), 1))
    ill = np.nan_to_num(values[:, 1:]) > high[:, 1:]
    return EvidenceFrame(
        environment="test", signal="spans", partition=0, window_ns=T0 + second * SECOND, width_ns=SECOND, services=services, peers=(),
        versions=("",) * len(shows), attributes=("",) * len(shows), features=FEATURES, values=values, counts=counts.astype(np.int64),
        score=np.where(values > high, 6.0, 0.0), low=low, high=high, p_value=np.ones(len(shows)),
        state=tuple(ServiceState.ANOMALOUS if row.any() else ServiceState.HEALTHY for row in ill), notes=(),
    )  # fmt: skip
