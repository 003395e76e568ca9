"""What a bank learns from a window it has judged: locations, spreads, widths and tails of windows, normal error shares.

Learnt from what is calm and slowly from what is not. What stays changed is not learnt by waiting: a new level is taken in
as a whole, by `SignalBank.rebase`, or not at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import BASE_Q, LEAST_COUNT_SIGMA
from models.service import failing
from models.service.columns import Columns
from models.service.silence import learn_silence
from models.service.state import BankState
from models.service.tuning import MEAN_ABS, TURNS, WIDTH_WEIGHT, Tuning, rates
from models.service.windows import Observed


def learn(s: BankState, t: Tuning, c: Columns, o: Observed, judged: tuple[F64, F64], numbers: NDArray[np.intp]) -> None:
    """Learn from a window. `judged`: sizes of departures (W, F, S) and joint decades (S,); `numbers` of the series decide whose
    turn it is, with their age."""
    size, row = judged
    inputs = o.inputs
    s.hot = np.where(row > t.freeze_decades, s.hot + inputs.present, np.maximum(s.hot - 3.0 * inputs.present, 0.0))
    np.minimum(s.hot, t.hot_most, out=s.hot)
    frozen = s.hot > 0
    settled = (s.deploy > 0) & ~frozen
    may = o.seen & inputs.learn
    calm = may & ~frozen
    _learn_level(s, t, c, o, may, (frozen, settled))
    rows = np.flatnonzero((s.age - numbers) % TURNS == 0)
    some, apart_s = calm[:, rows] & ~c.ratio[:, None], o.apart_s[rows]
    _learn_widths(s, rates(t.scale_half_life, t.least_scale, apart_s), size[:, :, rows], some, rows)
    _learn_tails(s, rates(t.tail_half_life, t.least_tail, apart_s), size[:, :, rows], some, rows)
    for column in np.flatnonzero(c.ratio).tolist():
        failing.learn(s, t, column, (inputs.trials, o.values[column]), calm[column], o.apart_s)
    learn_silence(s, c, o, calm)
    s.n += may
    s.age += inputs.present & inputs.learn
    s.deploy = np.where(inputs.deployed, float(t.deploy_windows), np.maximum(s.deploy - inputs.present, 0.0))


def _learn_level(s: BankState, t: Tuning, c: Columns, o: Observed, may: B1, rows: tuple[B1, B1]) -> None:
    """Location and spread. `rows`: which are frozen and which settle anew."""
    frozen, settled = rows
    limit = np.where(s.n < t.warmup, 2.5 * t.winsor, t.winsor)
    limit *= s.sigma + o.floor
    step = np.minimum(o.residual, limit)
    np.maximum(step, np.negative(limit, out=limit), out=step)
    pace = np.where(settled, t.thaw, 1.0)
    location = 1.0 / (s.n + 1.0)
    location *= ~frozen
    usual = rates(t.location_half_life, t.least_location, o.apart_s)
    np.maximum(location, usual * np.where(frozen, t.hot_leak, pace), out=location)
    location *= step
    s.mean += np.where(may, location, 0.0)
    scale = np.maximum(rates(t.scale_half_life, t.least_scale, o.apart_s), 1.0 / (s.n + 6.0))
    scale *= np.where(frozen, 0.0, pace)
    scale *= MEAN_ABS * np.abs(step) - s.sigma
    s.sigma += np.where(may & (s.n > 0), scale, 0.0)
    s.sigma[c.count] = np.maximum(s.sigma[c.count], LEAST_COUNT_SIGMA)


def _learn_widths(s: BankState, pace: F64, size: F64, calm: B1, rows: NDArray[np.intp]) -> None:
    """How much wider than independent noise the departures of each window really are."""
    rate = np.maximum(pace, 1.0 / (s.n[:, rows] + WIDTH_WEIGHT[:, None, None]))
    rate *= TURNS * calm
    rate *= np.minimum(MEAN_ABS * size, 4.0) - 1.0
    rate += 1.0
    rate *= s.width[:, :, rows]
    s.width[:, :, rows] = np.maximum(rate, 0.9)


def _learn_tails(s: BankState, pace: F64, size: F64, calm: B1, rows: NDArray[np.intp]) -> None:
    """Track each tail's 95 % quantile and mean excess by stochastic approximation (Robbins & Monro 1951)."""
    quantile, excess = s.quantile[:, :, rows], s.excess[:, :, rows]
    rate = np.maximum(pace, 1.0 / (s.n[:, rows] + 150.0)) * (TURNS * calm)
    beyond = size - quantile
    over = beyond > 0.0
    quantile += (5.0 * rate) * excess * (over - (1.0 - BASE_Q))
    np.maximum(quantile, 1.6, out=quantile)
    np.minimum(beyond, 5.0 * excess, out=beyond)
    beyond -= excess
    beyond *= over
    beyond *= np.minimum(3.0 * rate, 0.2)
    excess += beyond
    np.maximum(excess, 0.38, out=excess)
    np.minimum(excess, 3.0, out=excess)
    s.quantile[:, :, rows], s.excess[:, :, rows] = quantile, excess
