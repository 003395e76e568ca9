"""Reasons of an anomaly: the features that depart, what was expected of them, and each one's share."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from contracts.events import Contribution
from contracts.features import FEATURES
from contracts.frames.features import FeatureFrame
from contracts.ports.detecting import Scores
from models.worlds import Service

SPEAKS: Final = 1.0
"""Decades from which a feature is named in an anomaly."""


def contributions(frame: FeatureFrame, lead: Scores, i: int) -> list[Contribution]:
    """The features of row i that hurt, loudest first; `share` is filled in when signals are merged."""
    found: list[Contribution] = []
    for j, name in enumerate(frame.features):
        decades, worse = float(lead.decades[i, j]), FEATURES[name].worse
        if abs(decades) < SPEAKS or (worse != 0 and decades * worse < 0):
            continue
        value = float(frame.values[i, j])
        low, high = float(lead.low[i, j]), float(lead.high[i, j])
        known = value if np.isfinite(value) else None
        low, high = (low, high) if np.isfinite(low + high) else (0.0, 0.0)
        found.append(
            Contribution(signal=frame.signal, feature=name, value=known, low=low, high=high, decades=decades, share=0.0)
        )
    return found


def merge(service: Service, window_ns: int) -> tuple[Contribution, ...]:
    """Contributions of all signals that count at `window_ns`, with their shares, loudest first."""
    return shared([c for v in service.views.values() if v.counts_at(window_ns) for c in v.contributions])


def shared(parts: list[Contribution]) -> tuple[Contribution, ...]:
    """Contributions with their shares of all decades, loudest first."""
    total = sum(abs(c.decades) for c in parts) or 1.0
    ordered = sorted(parts, key=lambda c: (-abs(c.decades), c.signal, c.feature))
    return tuple(msgspec.structs.replace(c, share=abs(c.decades) / total) for c in ordered)
