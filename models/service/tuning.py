"""Rates and bounds of the bank: how fast it learns, when it stops learning, and how much each kind of evidence may say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.frames.decoded import F64
from models.service.columns import WINDOWS

WIDTH_PRIOR = np.array([1.0, 1.1, 1.4, 2.2])
"""How much wider than for independent noise the departures of each window are assumed to be (autocorrelation)."""
WIDTH_WEIGHT = 5.0 * np.array(WINDOWS, np.float64)
"""Observations that prior is worth."""
TURNS = 4
"""Widths and tails change slowly: each row learns its own on every fourth window, which keeps a window cheap."""
MEAN_ABS = 1.2533
"""sqrt(pi/2): standard deviation over mean absolute deviation of a Gaussian."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Rates and bounds of learning; half-lives in seconds, and the observations that each holds at the least; counts in
    observations of a series."""

    warmup: int = 30
    location_half_life: float = 180.0
    scale_half_life: float = 900.0
    tail_half_life: float = 3000.0
    least_location: float = 20.0
    least_scale: float = 60.0
    least_tail: float = 200.0
    winsor: float = 4.0
    winsor_floors: float = 10.0
    recovered: float = 1.5
    forget: float = 0.8
    freeze_decades: float = 2.0
    hot_most: float = 90.0
    thaw: float = 6.0
    hot_leak: float = 0.1
    deploy_windows: int = 30
    deploy_relief: float = 0.6
    flat_after: int = 300
    flat_decades: float = 6.0
    silence_cap: float = 9.0
    patience: int = 45
    impatient_cap: float = 3.4
    enough: float = 15.0
    few_share: float = 0.35
    thin_traffic: float = 2.0
    thin_rise_cap: float = 1.0
    traffic_rise_caps: tuple[float, float, float, float] = (3.4, 4.6, 6.0, 8.0)

    @property
    def judged_after(self) -> float:
        """Observations after which a feature may speak; its range is wide then, and shrinks."""
        return max(8.0, self.warmup / 3.0)


def rates(half_life_s: float, least: float, apart_s: F64) -> F64:
    """Weight of a new observation for a memory of `half_life_s`, and of `least` observations, by how far apart they are."""
    found: F64 = 1.0 - np.exp2(-1.0 / np.maximum(half_life_s / apart_s, least))
    return found
