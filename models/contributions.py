"""Reasons of an anomaly: the features that depart, what was expected of them, and each one's share."""

from __future__ import annotations

import msgspec
import numpy as np

from contracts.events import Contribution
from contracts.features import FEATURES
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, Spoken
from contracts.units import SECOND
from models.judgement import SPEAKS


def contributions(frame: FeatureFrame, lead: Scores, i: int, apart_ns: int) -> list[Contribution]:
    """The features of row i that hurt, with the numbers that spoke; `share` is filled in when signals are merged.
    `apart_ns`: how far apart the row's observations usually are."""
    found: list[Contribution] = []
    for j, name in enumerate(frame.features):
        decades, worse = float(lead.decades[i, j]), FEATURES[name].worse
        if abs(decades) < SPEAKS or (worse != 0 and decades * worse < 0):
            continue
        said = lead.spoken.get((i, j)) or _of_window(frame, lead, i, j)
        found.append(
            Contribution(
                signal=frame.signal,
                feature=name,
                value=said.value if np.isfinite(said.value) else None,
                low=said.low,
                high=said.high,
                decades=decades,
                share=0.0,
                window_s=said.observations * apart_ns / SECOND if said.observations > 1 else 0.0,
            )
        )
    return found


def _of_window(frame: FeatureFrame, lead: Scores, i: int, j: int) -> Spoken:
    """The window's own value and range, where a detector doesn't say what its evidence rests on."""
    low, high = float(lead.low[i, j]), float(lead.high[i, j])
    low, high = (low, high) if np.isfinite(low + high) else (0.0, 0.0)
    return Spoken(float(frame.values[i, j]), low, high, 1)


def shared(parts: list[Contribution]) -> tuple[Contribution, ...]:
    """Contributions with their shares of all decades, loudest first."""
    total = sum(abs(c.decades) for c in parts) or 1.0
    ordered = sorted(parts, key=lambda c: (-abs(c.decades), c.signal, c.feature))
    return tuple(msgspec.structs.replace(c, share=abs(c.decades) / total) for c in ordered)
