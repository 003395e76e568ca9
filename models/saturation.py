"""Resources that are used up: what slow readings say that no departure from the usual has to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.events import Contribution
from contracts.features import FEATURES, FeatureKind, Signal
from contracts.frames.decoded import B1
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores
from models.judgement import SATURATED, SATURATED_DECADES, SLOW_NS
from models.ledger import Ledger


def saturated_rows(ledger: Ledger, rows: NDArray[np.intp], frame: FeatureFrame, lead: Scores) -> B1:
    """Rows whose slow readings (means over `SLOW_NS` or longer) say that a resource is used up, far above what it was."""
    found = np.zeros(len(frame.services), np.bool_)
    columns = _limits(frame)
    if not columns:
        return found
    load = np.maximum(ledger.load[rows], 1.0)  # what more is asked explains more use
    for j in columns:
        found |= (frame.values[:, j] >= SATURATED) & (frame.values[:, j] > 2.0 * load * lead.high[:, j])
    view = ledger.view_ns[ledger.signals.index(frame.signal), rows]
    found &= (view >= 0) & (frame.window_ns - view >= SLOW_NS)
    return found


def _limits(frame: FeatureFrame) -> list[int]:
    """Columns that are shares of a limit."""
    if frame.signal != Signal.METRICS:
        return []
    return [j for j, name in enumerate(frame.features) if FEATURES[name].kind is FeatureKind.UTILIZATION]


def saturation(frame: FeatureFrame, lead: Scores, i: int) -> list[Contribution]:
    """The resources that are used up as reasons."""
    found: list[Contribution] = []
    for j in _limits(frame):
        value, high = float(frame.values[i, j]), float(lead.high[i, j])
        if value >= SATURATED and value > 2.0 * high:
            reason = Contribution(
                signal=frame.signal,
                feature=frame.features[j],
                value=value,
                low=float(lead.low[i, j]),
                high=high,
                decades=SATURATED_DECADES,
                share=0.0,
            )
            found.append(reason)
    return found
