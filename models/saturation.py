"""Resources that are used up: what slow readings say that no departure from the usual has to."""

from __future__ import annotations

import numpy as np

from contracts.events import Contribution
from contracts.features import FEATURES, FeatureKind, Signal
from contracts.frames.decoded import B1
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores
from models.engine_state import EngineState
from models.judgement import SATURATED, SATURATED_DECADES, SLOW_NS


def saturated_rows(world: EngineState, frame: FeatureFrame, lead: Scores) -> B1:
    """Rows whose slow readings (means over `SLOW_NS` or longer) say that a resource is used up, far above what it was."""
    found = np.zeros(len(frame.services), np.bool_)
    columns = _limits(frame)
    if not columns:
        return found
    for j in columns:
        found |= (frame.values[:, j] >= SATURATED) & (frame.values[:, j] > 2.0 * lead.high[:, j])
    for i in np.flatnonzero(found):
        view = world.services[frame.services[i]].views.get(frame.signal)
        found[i] = view is not None and frame.window_ns - view.window_ns >= SLOW_NS
    return found


def _limits(frame: FeatureFrame) -> list[int]:
    """Columns that are shares of a limit."""
    if frame.signal != Signal.METRICS:
        return []
    return [j for j, name in enumerate(frame.features) if FEATURES[name].kind is FeatureKind.UTILIZATION]


def saturation(frame: FeatureFrame, lead: Scores, i: int, own: list[Contribution]) -> list[Contribution]:
    """The resources that are used up as reasons, where they are not already."""
    told = {c.feature for c in own}
    found: list[Contribution] = []
    for j in _limits(frame):
        value, high = float(frame.values[i, j]), float(lead.high[i, j])
        if frame.features[j] not in told and value >= SATURATED and value > 2.0 * high:
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
