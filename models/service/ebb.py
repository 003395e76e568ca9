"""Requests that become fewer: a sequential test of how many come against how many are usual, request by request.

Means over a few seconds see only what stands out of each window's chance; the requests of all windows since they became fewer say more: where
six come in a second and then two, it takes ten seconds to be sure. Page's CUSUM (1954) of Poisson counts (Lucas 1985, Technometrics
27) between two shares of the usual, divided by how much more counts vary than chance: an e-detector as that of failures
(`models.service.failing`). When requests are back a mirrored test says so, and it begins anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.features import METRIC_REQUEST_RATE, REQUEST_RATE
from contracts.frames.decoded import B1, F64
from models.judgement import (
    DROP_LEFT,
    EBB_COSTS,
    EBB_END,
    EBB_KNOWN,
    EBB_LEFT,
    EBB_MOST,
    EBB_PER_WINDOW,
    EBB_READINGS,
    EBB_SUDDEN,
    EBB_SUSPECTED,
    EBB_USUAL,
    EBB_WITHIN,
)
from models.service.columns import Columns
from models.service.evidence import BASE, DECADES
from models.service.silence import usual_events
from models.service.state import BankState
from models.service.windows import Observed

SERVED: Final = frozenset({REQUEST_RATE, METRIC_REQUEST_RATE})
LONGEST_APART: Final = 120.0
"""Windows that one reading of a metric stands for at the most."""
_RATIO: Final = math.log(EBB_LEFT / EBB_USUAL)


@dataclass(frozen=True, slots=True)
class Ebb:
    """Per series: decades (with the bank's base) by which fewer requests come than usual, and whether that began suddenly."""

    decades: F64
    sudden: B1


def ebbing(s: BankState, c: Columns, o: Observed) -> Ebb | None:
    """Take a window in; None where the column is no count of requests served."""
    column = c.traffic
    if column < 0 or c.names[column] not in SERVED:
        return None
    apart = (
        o.inputs.apart if c.names[column] == METRIC_REQUEST_RATE else 1.0
    )  # a rate that was read is of all windows since
    spans = np.minimum(apart, LONGEST_APART)
    usual = np.maximum(usual_events(s.mean[column]), 0.0) * spans
    came = o.values[column] * o.width_s * spans
    seen = o.seen[column] & (s.n[column] * usual >= EBB_KNOWN)
    spread = np.clip(s.dispersion, 1.0, 50.0) * np.square(np.maximum(s.width[2, column], 1.0))
    gain = np.where(seen, (came * _RATIO + usual * (EBB_USUAL - EBB_LEFT)) / spread, 0.0)
    s.ebb += np.minimum(gain, EBB_PER_WINDOW)
    np.clip(s.ebb, 0.0, EBB_MOST, out=s.ebb)
    s.back = np.where(s.ebb > 0.0, np.maximum(s.back - gain, 0.0), 0.0)
    s.ebb *= s.back < EBB_END
    runs = s.ebb > 0.0
    s.ebb_due = np.where(runs, s.ebb_due + np.where(seen, usual, 0.0), 0.0)
    s.ebb_came = np.where(runs, s.ebb_came + np.where(seen, came, 0.0), 0.0)
    s.ebb_windows = np.where(runs, s.ebb_windows + seen * spans, 0.0)
    decades = np.where(s.ebb_came <= DROP_LEFT * s.ebb_due, s.ebb * DECADES - EBB_COSTS, 0.0)
    fast = (s.ebb >= EBB_SUSPECTED) & (s.acc[3, column] > EBB_SUDDEN * s.acc[2, column])
    s.ebb_sudden = np.maximum(s.ebb_sudden * runs, fast)
    within = s.ebb_windows <= np.maximum(EBB_WITHIN, EBB_READINGS * spans)
    return Ebb(np.where(decades > 0.0, decades + BASE, 0.0), (s.ebb_sudden > 0.0) & within)
