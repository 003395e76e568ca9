"""Anomalies that a model opened which nobody can read: what it said is divided among the features by their Shapley values.

The bank's evidence is known by feature. A model of another library gives one number for all features together; what each departs by itself
(`models.adapters.normalising`) says nothing of how much it counted. So where such a model alone spoke, it is asked again, with some features
as expected; only when something is told, and only for that row.
"""

from __future__ import annotations

import msgspec
import numpy as np

from contracts.events import Anomaly, Contribution
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Explains, Scores, SeriesKey
from models import wording
from models.contributions import ordered


def told_by(
    anomaly: Anomaly, member: Explains, frame: FeatureFrame, i: int, said: tuple[Scores, Scores, float]
) -> Anomaly:
    """The anomaly with the parts that `member` says, of the frame's row i. `said`: the leader's scores, the member's, and the decades of this
    signal. Left as it is where something else spoke, too: then its parts are known."""
    lead, scores, own = said
    if any(c.signal == frame.signal and not _of_window(c, frame, lead, i) for c in anomaly.contributions):
        return anomaly
    key = SeriesKey(frame.environment, frame.signal, frame.services[i], frame.peers[i] if frame.peers else "")
    values = {n: v for n, v in member.parts(key).items() if n in frame.features}
    total = sum(values.values())
    if total <= 0.0:
        return anomaly
    others = [c for c in anomaly.contributions if c.signal != frame.signal]
    mine = min(own / anomaly.decades, 1.0) if others and anomaly.decades > 0 else 1.0
    loud = sum(abs(c.decades) for c in others) or 1.0
    parts = [_part(frame, scores, i, name, (value, mine * value / total)) for name, value in values.items()]
    parts += [msgspec.structs.replace(c, share=(1.0 - mine) * abs(c.decades) / loud) for c in others]
    told = ordered(parts)
    return msgspec.structs.replace(anomaly, contributions=told, text=wording.describe(told))


def _of_window(c: Contribution, frame: FeatureFrame, lead: Scores, i: int) -> bool:
    """Whether a contribution is what the leader said of a feature in this window."""
    return c.feature in frame.features and c.decades == float(lead.decades[i, frame.features.index(c.feature)])


def _part(frame: FeatureFrame, scores: Scores, i: int, name: str, said: tuple[float, float]) -> Contribution:
    j, (decades, share) = frame.features.index(name), said
    value, low, high = (float(x[i, j]) for x in (frame.values, scores.low, scores.high))
    known = np.isfinite(low + high)
    below = scores.decades[i, j] < 0 or (known and value < low)
    return Contribution(
        signal=frame.signal,
        feature=name,
        value=value if np.isfinite(value) else None,
        low=low if known else 0.0,
        high=high if known else 0.0,
        decades=-abs(decades) if below else abs(decades),
        share=share,
    )
