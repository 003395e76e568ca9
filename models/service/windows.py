"""The windows of a bank: what departs from a series' location, folded into memories of the newest observation, 3, 10 and 60 seconds.

Per window an exponentially weighted departure with the exact variance it should have (an EWMA chart with time-varying
limits: Roberts 1959; Lucas & Saccucci 1990). A series that is observed every minute has windows of a few observations at least.
Ratios are judged elsewhere (`models.service.failing`). Arrays are (F, S) over features and series, cubes (W, F, S), see
`models.service.state`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.frames.decoded import B1, F64
from models.judgement import COUNT_FLOOR
from models.service.alignment import Inputs
from models.service.columns import WINDOWS, Columns
from models.service.slowness import limit, share_slower
from models.service.state import BankState
from models.service.transforms import stabilise
from models.service.tuning import Tuning, rates

SPANS_S = np.array(WINDOWS[1:], np.float64)[:, None]
LEAST = np.array([2.0, 3.0, 6.0])[:, None]
"""Observations that a window holds at the least, however far apart they are."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One window of all series as the bank sees it, each (F, S)."""

    seen: B1
    """Which values there are; the others are 0 in `values` and `residual`."""
    values: F64
    residual: F64
    """Transformed value minus location."""
    noise: F64
    """The value's noise relative to the series' usual noise."""
    floor: F64
    """Smallest departure worth a deviation."""
    inputs: Inputs
    width_s: float
    apart_s: F64
    """(S,) seconds from one observation to the next, usually."""


def observe(s: BankState, c: Columns, inputs: Inputs, width_s: float) -> Observed:
    """Transform the values and compare them with their locations; a series' first value is its location."""
    seen = np.isfinite(inputs.values.T)
    values = np.where(seen, inputs.values.T, 0.0)
    y = stabilise(values, c, width_s)
    if c.slow >= 0:
        which = list(c.percentiles)
        p95 = which[1]
        seen[c.slow] = seen[which].all(axis=0) & (s.n[p95] > 0) & (inputs.trials > 0)
        values[c.slow] = np.where(seen[c.slow], share_slower(y[which], limit(s.mean[p95]), inputs.trials), 0.0)
    unknown = s.n == 0.0
    if unknown.any():
        np.copyto(s.mean, y, where=unknown & seen)
    y -= s.mean
    noise = _noise(s, c, inputs.trials)
    _count_trials(s, inputs.trials)
    known, apart = inputs.present & (s.age > 0), inputs.apart - s.pace
    s.pace += np.where(known, np.where(s.age < 3, apart, 0.3 * np.clip(apart, -s.pace, s.pace)), 0.0)
    return Observed(seen, values, np.where(seen, y, 0.0), noise, floors(s, c), inputs, width_s, s.pace * width_s)


def _noise(s: BankState, c: Columns, trials: F64) -> F64:
    """Noise of each value relative to the series' usual noise.

    A percentile of n requests has noise ~ 1/sqrt(n): half of the variance is taken to shrink with n against the usual
    number of requests, half to be the service's own restlessness.
    """
    usual = np.where(s.trials > 0, s.trials, np.maximum(trials, 1.0))
    usual *= 0.5
    usual /= np.maximum(trials, 0.5)
    noise = np.ones_like(s.mean)
    noise[c.latency] = np.sqrt(np.minimum(usual + 0.5, 25.0))
    return noise


def _count_trials(s: BankState, trials: F64) -> None:
    """Usual requests per window: plain mean at first, then exponentially weighted."""
    weight = np.maximum(0.02, 1.0 / (s.age + 1.0))
    usual = np.where(s.trials > 0, s.trials + weight * (trials - s.trials), trials)
    np.copyto(s.trials, usual, where=trials > 0)


def floors(s: BankState, c: Columns) -> F64:
    """Smallest departure worth a deviation, per series: relative to the load for counts."""
    floor = np.repeat(c.floor[:, None], s.mean.shape[1], axis=1)
    floor[c.count] += COUNT_FLOOR * np.abs(s.mean[c.count])
    return floor


def accumulate(s: BankState, t: Tuning, c: Columns, o: Observed) -> None:
    """Fold the residuals into the windows. All but the shortest see them winsorised, so that no single value can carry a
    whole window."""
    limit = t.winsor * s.sigma
    limit += t.winsor_floors * o.floor
    limit *= o.noise
    clipped = np.minimum(o.residual, limit)
    np.maximum(clipped, np.negative(limit, out=limit), out=clipped)
    spread = np.square(o.noise)
    precision = np.where(o.seen & ~c.ratio[:, None], np.minimum(1.0 / spread, 1.0), 0.0)
    longer = 2.0 / (np.maximum(SPANS_S / o.apart_s, LEAST) + 1.0)
    weight = longer[:, None, :] * precision
    keep = 1.0 - weight
    s.acc[1:] *= keep
    s.acc[1:] += weight * clipped
    s.raw[1:] *= keep
    s.raw[1:] += weight * o.residual
    keep *= keep
    s.var[1:] *= keep
    weight *= weight
    weight *= spread
    s.var[1:] += weight
    newest = o.seen & ~c.ratio[:, None]
    np.copyto(s.acc[0], o.residual, where=newest)
    np.copyto(s.raw[0], o.residual, where=newest)
    np.copyto(s.var[0], spread, where=newest)


def standardise(s: BankState, t: Tuning, c: Columns, o: Observed) -> F64:
    """Signed departures (W, F, S) in standard deviations, wider while the location itself is uncertain.

    The floor of a count says how uneven load is, which is independent of the draw: their variances add. Other floors are
    tolerances, on top of what noise explains.
    """
    young = 1.0 / np.maximum(s.n, 1.0)
    z = np.square(s.width)
    z *= s.var
    z *= 1.0 + 6.0 * young
    z += 2.0 * young + rates(t.location_half_life, t.least_location, o.apart_s)
    np.sqrt(z, out=z)
    z *= s.sigma
    z[:, ~c.count] += o.floor[~c.count]
    z[:, c.count] = np.hypot(z[:, c.count], o.floor[c.count])
    np.divide(s.acc, z, out=z)
    z[:, c.ratio] = 0.0
    relief = (s.deploy > 0) | o.inputs.deployed
    if relief.any():
        z[:, ~c.ratio & (c.worse != 0)] *= np.where(relief, t.deploy_relief, 1.0)
    return z


def let_go(s: BankState, t: Tuning, c: Columns, o: Observed, size: F64) -> None:
    """Where a fault is on (nothing may be learnt) and the newest values are as they should be (`size`: absolute
    departures), the long windows forget it quickly: what is over must not seem to last."""
    rows = np.flatnonzero(~o.inputs.learn)
    if not len(rows):
        return
    over = o.seen[:, rows] & (size[:2, :, rows] < t.recovered).all(axis=0) & ~c.ratio[:, None]
    keep = np.where(over, t.forget, 1.0)
    s.acc[2:, :, rows] *= keep
    s.raw[2:, :, rows] *= keep
