"""Requests in flight, for what is asked: a service that is asked for three times as much has three times as many in flight.

By Little's law (Operations Research 9, 1961, L = λW) the number in flight is the rate times the time that a request takes. What is left of it
once the rate is taken out is that time, and with it the requests that end never, of which no span and no histogram tells.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from contracts.features import IN_FLIGHT
from contracts.frames.feature_frame import FeatureFrame
from models.ledger import Ledger


def for_the_load(frame: FeatureFrame, ledger: Ledger) -> FeatureFrame:
    """A frame in which requests in flight are those that there would be if no more were asked than usual."""
    if frame.peers or IN_FLIGHT not in frame.features:
        return frame
    column = frame.features.index(IN_FLIGHT)
    told = np.isfinite(frame.values[:, column])
    if not told.any():
        return frame
    rows = ledger.rows(frame.services, ())  # new ones may need room, which makes another array of it
    load = ledger.load[rows]
    more = told & (load > 1.0)
    if not more.any():
        return frame
    values = frame.values.copy()
    values[more, column] /= load[more]
    return dataclasses.replace(frame, values=values)
