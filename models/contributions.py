"""Reasons of an anomaly: the features that depart, what was expected of them, and the part of its decades that each accounts for.

What several features say is joined by rules of falling weights (`models.service.evidence.joint`, `Ledger.combined`), so that none of them has
a part of its own. Their shares are the Shapley values of the rule, over the value that it has for all of them: the shares of an anomaly's
contributions add up to 1, and times its decades to these. They are reckoned when something is told, not in each window.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from contracts.events import Contribution
from contracts.features import FEATURES
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, Spoken
from contracts.units import SECOND
from models.judgement import ADDS_SECOND, ADDS_THIRD, SIGNALS_ADD, SPEAKS, SUPPORT, TREND_DECADES
from models.service.columns import group_of, is_symptom
from models.service.evidence import BASE, WINDOWS_LOOKED_AT
from models.shapley import Worth, shapley

_SEED = 11


def contributions(frame: FeatureFrame, lead: Scores, i: int, apart_ns: int) -> list[Contribution]:
    """The features of row i that hurt, with the numbers that spoke; `share` is filled in when they are told.
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


def ordered(parts: Sequence[Contribution]) -> tuple[Contribution, ...]:
    """Loudest first."""
    return tuple(sorted(parts, key=lambda c: (-abs(c.decades), c.signal, c.feature)))


def accounted(parts: Sequence[Contribution], signal: str) -> tuple[Contribution, ...]:
    """Contributions, loudest first, with their shares of an anomaly's decades, as evidence of windows is joined: what users feel of the
    anomaly's own `signal`, and part of what the loudest of the other signals says."""
    return shared(parts, _joined(parts, signal))


def shared(parts: Sequence[Contribution], worth: Worth) -> tuple[Contribution, ...]:
    """Contributions, loudest first, each with its share of what they are worth together: of each of several coalitions (rows, in the order
    of `parts`). Where that is nothing, each with its share of all decades."""
    values = shapley(worth, len(parts), _SEED)
    total = float(values.sum())
    if total <= 0.0 or not np.isfinite(total):
        values = np.array([abs(c.decades) for c in parts])
        total = float(values.sum()) or 1.0
    return ordered([msgspec.structs.replace(c, share=float(v) / total) for c, v in zip(parts, values, strict=True)])


def _joined(parts: Sequence[Contribution], signal: str) -> Worth:
    evidence = np.array([max(abs(c.decades) + WINDOWS_LOOKED_AT - BASE, 0.0) for c in parts])
    signals = sorted({c.signal for c in parts})
    groups = {s: _groups(parts, s) for s in signals}
    felt = np.array([is_symptom(c.feature) or abs(c.decades) >= TREND_DECADES for c in parts], np.bool_)
    felt |= not any(f for f, c in zip(felt, parts, strict=True) if c.signal == signal)

    def worth(inside: B1) -> F64:
        own, others = np.zeros((2, len(inside)))
        for s in signals:
            counted = inside & felt if s == signal else inside
            said = _falling(np.where(counted, evidence, 0.0), groups[s])
            own, others = (said, others) if s == signal else (own, np.maximum(others, said))
        if signal not in signals:
            return others
        found: F64 = own + SIGNALS_ADD * np.minimum(others, SUPPORT * own)
        return found

    return worth


def _groups(parts: Sequence[Contribution], signal: str) -> list[list[int]]:
    """Which of the parts are of one group of a signal: they say much the same."""
    own = [i for i, c in enumerate(parts) if c.signal == signal]
    known = [group_of(FEATURES[parts[i].feature]) for i in own]
    return [[i for i, g in zip(own, known, strict=True) if g == group] for group in sorted(set(known))]


def _falling(evidence: F64, groups: Sequence[Sequence[int]]) -> F64:
    """What the groups of each row of `evidence` (coalitions, parts) say together: further ones count less."""
    loudest = np.sort(np.stack([evidence[:, list(group)].max(axis=1) for group in groups], axis=1), axis=1)[:, ::-1]
    weights = np.array([1.0, ADDS_SECOND, ADDS_THIRD])[: loudest.shape[1]]
    found: F64 = loudest[:, : len(weights)] @ weights
    return found
