"""Silence: requests that should have come and did not, and sources that repeat themselves."""

from __future__ import annotations

import numpy as np

from contracts.frames.telemetry import B1, F64
from models.service.columns import Columns
from models.service.evidence import DECADES, WINDOWS_LOOKED_AT
from models.service.state import BankState
from models.service.tuning import Tuning
from models.service.windows import Observed


def usual_events(s: BankState, c: Columns) -> F64:
    """Usual events per window of each series (S,): the inverse of the count's transform at its location."""
    events: F64 = np.square(s.mean[c.traffic] / 2.0) - 0.375
    return events


def missing(s: BankState, t: Tuning, c: Columns, o: Observed) -> tuple[F64, B1]:
    """Decades (S,) for requests that are missing: -log10 exp(-missed / dispersion), and where they count: from the second
    empty window on and only for a silence longer than any the series has known."""
    column = c.traffic
    empty = o.seen[column] & (o.values[column] == 0.0) & (s.n[column] >= t.judged_after)
    s.silent = np.where(empty, s.silent + 1.0, 0.0)
    s.missed = np.where(empty, s.missed + np.maximum(usual_events(s, c), 0.0), 0.0)
    spread = np.minimum(np.maximum(s.dispersion, 0.25), 50.0) * np.square(np.maximum(s.width[2, column], 1.0))
    evidence = np.minimum(DECADES * s.missed / spread + WINDOWS_LOOKED_AT, t.silence_cap)
    return evidence, (s.silent >= 2.0) & (s.silent > 1.5 * s.longest_silence)


def learn_silence(s: BankState, c: Columns, o: Observed, calm: B1) -> None:
    """Variance over mean of the request count, and the longest silence, of what is calm."""
    column = c.traffic
    if column < 0:
        return
    usual = np.maximum(usual_events(s, c), 0.05)
    count = o.values[column] * o.width_s
    index = np.minimum(np.square(count - usual) / usual, 50.0)
    rate = np.maximum(0.003, 1.0 / (s.age + 20.0))
    s.dispersion += np.where(calm[column], rate * (index - s.dispersion), 0.0)
    np.copyto(s.longest_silence, np.maximum(s.longest_silence, s.silent), where=calm[column])


def stuck(s: BankState, t: Tuning, o: Observed) -> F64:
    """Decades for rows of which three features or more repeat the same value far longer than they ever did: the source is
    stuck, and says nothing about the service."""
    same = o.values == s.last
    same &= o.seen
    ended = o.seen & ~same
    np.copyto(s.longest, np.maximum(s.longest * 0.9999, s.run), where=ended)
    s.run += same
    np.copyto(s.run, 0.0, where=ended)
    np.copyto(s.last, o.values, where=o.seen)
    long = (s.run >= 4.0) & (s.run > 2.5 * s.longest + 3.0) & (s.n > t.flat_after)
    return np.where(long.sum(axis=0) >= 3, t.flat_decades, 0.0)
