"""Whether predictions come true: when they don't, the world is not as modelled, and autonomy must fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.units import SECOND

HORIZON_S = 3600.0
LEAST = 3
"""Fewest predictions that say anything."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """P(success) as said when deciding, and what came true."""

    time_ns: int
    probability: float
    came_true: bool


def surprise(predictions: Sequence[Prediction], now_ns: int) -> float:
    """How much worse than predicted the last hour went, in standard deviations; 0 where too little is known.

    Spiegelhalter's z (Statistics in Medicine 5, 1986, section 3.2), one-sided: Σ(p − y) / √Σp(1 − p).
    """
    recent = [p for p in predictions if now_ns - p.time_ns <= HORIZON_S * SECOND]
    variance = sum(p.probability * (1 - p.probability) for p in recent)
    if len(recent) < LEAST or variance <= 0:
        return 0.0
    return sum(p.probability - p.came_true for p in recent) / math.sqrt(variance)
