"""Silence: requests that should have come and did not, and sources that repeat themselves.

Only windows that are known to have been empty count: whether a service was silent or merely not heard is told by the frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import (
    DIP_FADES,
    DIP_LEAST,
    DIP_LEFT,
    DIP_LONGER,
    DIP_MOST,
    DIP_SIGMAS,
    DIP_USUAL,
    STUCK_FEATURES,
    STUCK_RUN,
)
from models.service.columns import Columns
from models.service.evidence import DECADES, WINDOWS_LOOKED_AT
from models.service.state import BankState
from models.service.tuning import Tuning
from models.service.windows import Observed


def usual_events(location: F64) -> F64:
    """Usual events per window: the inverse of a count's transform at its location."""
    events: F64 = np.square(location / 2.0) - 0.375
    return events


def missing(s: BankState, t: Tuning, c: Columns, o: Observed) -> tuple[NDArray[np.intp], F64]:
    """Rows whose requests are missing, and decades for it: -log10 exp(-missed / dispersion), from the second empty window
    on and only for a silence longer than any the series has known."""
    column = c.traffic
    empty = o.seen[column] & (o.values[column] == 0.0) & (s.n[column] >= t.judged_after)
    rows = np.flatnonzero(empty)
    s.silent[rows] += 1.0
    s.missed[rows] += np.maximum(usual_events(s.mean[column, rows]), 0.0)
    long = (s.silent[rows] >= 2.0) & (s.silent[rows] > 1.5 * s.longest_silence[rows])
    rows = rows[long]
    spread = np.clip(s.dispersion[rows], 0.25, 50.0) * np.square(np.maximum(s.width[2, column, rows], 1.0))
    return rows, np.minimum(DECADES * s.missed[rows] / spread + WINDOWS_LOOKED_AT, t.silence_cap)


def dropping(s: BankState, c: Columns, o: Observed, z: F64) -> B1:
    """Which series' fewer requests are a drop and no dip: the newest window shows them too, and they have lasted longer than what ended by
    itself before. `z`: departure of the newest count. Batches of telemetry get lost, one here and one there; a memory of several windows
    takes each of them for a while of little traffic. An empty window is known to have been empty: it is none of these."""
    column = c.traffic
    seen, usual = o.seen[column], usual_events(s.mean[column])
    fewer = seen & (z <= -DIP_SIGMAS) & (o.values[column] * o.width_s < DIP_LEFT * usual)
    s.dip += fewer
    over = seen & ~fewer & (s.dip > 0.0)
    s.longest_dip *= DIP_FADES
    brief = over & o.inputs.learn & (s.dip <= DIP_MOST)  # a lull of a minute is no lost batch
    np.copyto(s.longest_dip, np.maximum(s.longest_dip, s.dip), where=brief)
    s.dip *= ~over
    sure: B1 = (usual < DIP_LEAST) | (seen & (o.values[column] == 0.0))
    return sure | (s.dip > DIP_LONGER * np.maximum(s.longest_dip, DIP_USUAL))


def learn_silence(s: BankState, c: Columns, o: Observed, calm: B1) -> None:
    """Variance over mean of the request count, and the longest silence that has ended, of what is calm: one that lasts must not
    become its own measure."""
    column = c.traffic
    if column < 0:
        return
    usual = np.maximum(usual_events(s.mean[column]), 0.05)
    count = o.values[column] * o.width_s
    index = np.minimum(np.square(count - usual) / usual, 50.0)
    rate = np.maximum(0.003, 1.0 / (s.age + 20.0))
    s.dispersion += np.where(calm[column], rate * (index - s.dispersion), 0.0)
    ended = o.seen[column] & (o.values[column] > 0.0)
    np.copyto(s.longest_silence, np.maximum(s.longest_silence, s.silent), where=calm[column] & ended)
    s.silent *= ~ended
    s.missed *= ~ended


def stuck(s: BankState, t: Tuning, c: Columns, o: Observed) -> F64:
    """Decades for rows of which `STUCK_FEATURES` or more repeat the same value far longer than they ever did: the source is
    stuck, and says nothing about the service. Zeros repeat wherever nothing happens: they are no sign of that."""
    same = (o.values == s.last) & (o.values != 0.0)
    same &= o.seen
    if c.slow >= 0:
        same[c.slow] = False  # nothing that a source sends
    ended = o.seen & ~same
    s.longest = np.where(ended, np.maximum(s.longest * 0.9999, s.run), s.longest)
    s.run += same
    s.run *= ~ended
    s.last = np.where(o.seen, o.values, s.last)
    rows = np.flatnonzero((s.run >= STUCK_RUN).sum(axis=0, dtype=np.uint8) >= STUCK_FEATURES)
    run = s.run[:, rows]
    long = (run >= STUCK_RUN) & (run > 2.5 * s.longest[:, rows] + 3.0) & (s.n[:, rows] > t.flat_after)
    decades = np.zeros(len(s.age))
    decades[rows[long.sum(axis=0, dtype=np.uint8) >= STUCK_FEATURES]] = t.flat_decades
    return decades
