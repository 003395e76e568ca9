"""Thin services in the light of their pooled latency (`models.service.pooled`): what it takes back, and what it adds."""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.events import Contribution
from contracts.features import FEATURES, LATENCY_P50, NETWORK_GAP, FeatureKind, Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores
from models.judgement import AGREES, POOL_RATIO, POOL_SPEAKS, THIN_CAP
from models.service.pooled import Given, Pool, Pooled

POOLED: Final = {Signal.SPANS.value: LATENCY_P50, Signal.EDGES.value: NETWORK_GAP}


def pool_of(pools: dict[tuple[str, str], Pooled], frame: FeatureFrame, learn: B1) -> Pool | None:
    """The pooled latency of the frame's rows, where its signal has one; `pools` per environment and signal."""
    name = POOLED.get(frame.signal)
    if name not in frame.features or frame.revision > 0:
        return None
    pooled = pools.setdefault((frame.environment, frame.signal), Pooled())
    given = Given(frame.values[:, frame.features.index(name)], frame.counts, learn, ~frame.missing)
    return pooled.step((frame.services, frame.peers), (frame.window_ns, frame.width_ns), given)


def with_pool(frame: FeatureFrame, lead: Scores, p: F64, pool: Pool) -> F64:
    """P-values of thin rows in the light of their pooled latency. Slow requests alone are capped until the pool agrees;
    where the pool is sure, it speaks for the row."""
    if not pool.thin.any():
        return p
    kinds = [FEATURES[name].kind for name in frame.features]
    slow = np.array([k is FeatureKind.LATENCY for k in kinds], np.bool_)
    worse = np.array([FEATURES[name].worse for name in frame.features], np.float64)
    hurts = np.where(worse == 0, np.abs(lead.decades), np.maximum(lead.decades * worse, 0.0))
    other = np.where(slow, 0.0, hurts).max(axis=1, initial=0.0)
    alone = pool.thin & (other < THIN_CAP) & (pool.decades < AGREES)
    p = np.where(alone, np.maximum(p, 10.0**-THIN_CAP), p)
    sure = (pool.decades >= POOL_SPEAKS) & (pool.typical >= POOL_RATIO * np.sqrt(pool.low * pool.high))
    bound = np.power(10.0, -pool.decades)
    return np.where(sure & (frame.counts > 0), np.minimum(p, bound), p)


def pool_contribution(frame: FeatureFrame, pool: Pool, i: int, own: list[Contribution]) -> list[Contribution]:
    """The pooled latency as a reason, where the window's own latency is not one already."""
    name = POOLED[frame.signal]
    if pool.decades[i] < AGREES or any(c.feature == name for c in own):
        return []
    decades, value = float(pool.decades[i]), float(pool.typical[i])
    low, high = float(pool.low[i]), float(pool.high[i])
    return [
        Contribution(signal=frame.signal, feature=name, value=value, low=low, high=high, decades=decades, share=0.0)
    ]
