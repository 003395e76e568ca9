"""The bank of one signal: all series of a partition scored and learnt in one pass of array arithmetic.

Each (series, feature) holds a location and a spread, and per window of `WINDOWS` an exponentially weighted departure with
the exact variance it should have (an EWMA chart with time-varying limits: Roberts 1959; Lucas & Saccucci 1990). Ratios
hold decayed errors and trials instead, so that one request in five seconds still adds up. Departures become decades of
evidence through a tail that every series calibrates for itself, and stops calibrating while something is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.frames.telemetry import B1, F64
from models.service.alignment import Inputs
from models.service.columns import COUNT_FLOOR, WINDOWS, Columns
from models.service.evidence import (
    BASE,
    BASE_Q,
    DECADES,
    WINDOWS_LOOKED_AT,
    compress,
    deviance_z,
    joint,
    tail_decades,
)
from models.service.state import BankState
from models.service.transforms import restore, stabilise

ALPHA = np.array([2.0 / (w + 1.0) for w in WINDOWS])
WIDTH_PRIOR = np.array([1.0, 1.1, 1.4, 2.2])
"""How much wider than for independent noise the departures of each window are assumed to be (autocorrelation)."""
WIDTH_WEIGHT = 5.0 * np.array(WINDOWS, np.float64)
"""Observations that prior is worth."""
TURNS = 4
"""Widths and tails change slowly: each row learns its own on every fourth window, which keeps a window cheap."""
LEAST_COUNT_SIGMA = 0.9
"""Spread of a transformed count: no arrivals are taken to be more regular than Poisson's (few of them only look so)."""
MEAN_ABS = 1.2533
"""sqrt(pi/2): standard deviation over mean absolute deviation of a Gaussian."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Rates and bounds of learning; half-lives and counts in observations of a series."""

    warmup: int = 30
    location_half_life: float = 180.0
    scale_half_life: float = 900.0
    tail_half_life: float = 3000.0
    winsor: float = 4.0
    winsor_floors: float = 10.0
    recovered: float = 1.5
    forget: float = 0.8
    freeze_decades: float = 2.0
    freeze_max: int = 900
    thaw: float = 6.0
    hot_leak: float = 0.1
    deploy_windows: int = 30
    deploy_relief: float = 0.6
    flat_after: int = 300
    flat_decades: float = 6.0
    share_prior: tuple[float, float] = (0.4, 20.0)
    share_tolerance: tuple[float, float] = (1.25, 0.003)
    silence_cap: float = 9.0
    patience: int = 45
    impatient_cap: float = 3.4
    enough: float = 15.0
    few_share: float = 0.35
    thin_traffic: float = 2.0
    thin_rise_cap: float = 1.0
    traffic_rise_caps: tuple[float, float, float, float] = (3.4, 4.6, 6.0, 8.0)

    @property
    def judged_after(self) -> float:
        """Observations after which a feature may speak; its range is wide then, and shrinks."""
        return max(8.0, self.warmup / 3.0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pass makes of every row: see `contracts.ports.detecting.Scores`; `joint` is decades per row."""

    decades: F64
    low: F64
    high: F64
    joint: F64
    warm: B1


def rate_of(half_life: float) -> float:
    """Weight of a new observation for a memory of `half_life` observations."""
    return float(1.0 - 0.5 ** (1.0 / half_life))


def fresh_state(rows: int, columns: Columns) -> BankState:
    """State of `rows` series of which nothing is known."""
    shape, cube = (rows, len(columns)), (rows, len(columns), len(WINDOWS))
    heavy = np.where(columns.heavy, 1.9, 2.0)[None, :, None]
    return BankState(
        n=np.zeros(shape),
        mean=np.zeros(shape),
        sigma=np.broadcast_to(columns.sigma, shape).copy(),
        share_errors=np.zeros(shape),
        share_trials=np.zeros(shape),
        acc=np.zeros(cube),
        var=np.zeros(cube),
        width=np.where(columns.ratio[:, None], 1.0, WIDTH_PRIOR) * np.ones(cube),
        quantile=np.broadcast_to(heavy, cube).copy(),
        excess=np.full(cube, 0.45),
        last=np.full(shape, np.nan),
        run=np.zeros(shape),
        longest=np.zeros(shape),
        trials=np.zeros(rows),
        age=np.zeros(rows),
        hot=np.zeros(rows),
        deploy=np.zeros(rows),
        silent=np.zeros(rows),
        missed=np.zeros(rows),
        longest_silence=np.zeros(rows),
        dispersion=np.ones(rows),
    )


class SignalBank:
    """All series of one signal. Rows of `inputs` are rows of `state`, always all of them."""

    def __init__(self, columns: Columns, tuning: Tuning, width_s: float) -> None:
        self.columns, self.tuning, self.width_s = columns, tuning, width_s
        self.state = fresh_state(0, columns)
        self.turn = 0
        self._floor = np.zeros((0, len(columns)))

    def __len__(self) -> int:
        return len(self.state.age)

    def grow(self, rows: int) -> None:
        """Make room for `rows` series; new ones start with the typical spread of those that are known."""
        missing = rows - len(self)
        if missing > 0:
            fresh = fresh_state(missing, self.columns)
            fresh.sigma[:] = self._typical_sigma()
            self.state.append(fresh)

    def widen(self, columns: Columns, old: NDArray[np.intp]) -> None:
        """Take in more features: `old[i]` is where column i goes."""
        self.columns = columns
        self.state.widen(fresh_state(len(self), columns), old)

    def step(self, inputs: Inputs) -> Judgement:
        """Score all rows, then learn. Missing values hold their state."""
        seen, y, noise = self._observe(inputs)
        self._floor = self._floors()
        r = np.where(seen, y - self.state.mean, 0.0)
        self._accumulate(r, noise, seen, inputs)
        z = self._standardise(noise, inputs)
        self._let_go(z, seen, inputs)
        size = compress(np.abs(z), self.columns.heavy)
        judged = self._judge(z, size, seen, inputs, noise)
        self._learn(r, size, seen, inputs, judged.joint)
        return judged

    def rescore(self, inputs: Inputs) -> Judgement:
        """Judge corrected values with what is known, and leave the state as it is."""
        kept, turn = self.state.copy(), self.turn
        judged = self.step(inputs)
        self.state, self.turn = kept, turn
        return judged

    def _typical_sigma(self) -> F64:
        """Median spread of each feature over the series that know theirs; what is assumed beforehand where none does."""
        known = self.state.n >= self.tuning.warmup
        sigma = self.columns.sigma.copy()
        for column in np.flatnonzero(known.sum(axis=0) >= 3):
            sigma[column] = float(np.median(self.state.sigma[known[:, column], column]))
        return sigma

    def _observe(self, inputs: Inputs) -> tuple[B1, F64, F64]:
        """Which values are there, transformed values, and each one's noise relative to the series' usual noise.

        A percentile of n requests has noise ~ 1/sqrt(n): half of the variance is taken to shrink with n against the
        usual number of requests, half to be the service's own restlessness.
        """
        s, c = self.state, self.columns
        seen = np.isfinite(inputs.values)
        y = stabilise(np.where(seen, inputs.values, 0.0), c, self.width_s)
        first = seen & (s.n == 0)
        s.mean = np.where(first, y, s.mean)
        trials = inputs.trials
        usual = np.where(s.trials > 0, s.trials, np.maximum(trials, 1.0))
        relative = np.sqrt(np.clip(0.5 + 0.5 * usual / np.maximum(trials, 0.5), 0.5, 25.0))
        noise = np.where(c.latency, relative[:, None], 1.0)
        counted = trials > 0
        weight = np.maximum(0.02, 1.0 / (s.age + 1.0))
        s.trials = np.where(counted, np.where(s.trials > 0, s.trials + weight * (trials - s.trials), trials), s.trials)
        return seen, y, noise

    def _floors(self) -> F64:
        """Smallest departure worth a deviation, per series: relative to the load for counts."""
        return self.columns.floor + np.where(self.columns.count, COUNT_FLOOR * np.abs(self.state.mean), 0.0)

    def _accumulate(self, r: F64, noise: F64, seen: B1, inputs: Inputs) -> None:
        """Fold the residuals into the windows. All but the shortest see them winsorised, so that no single value can
        carry a whole window."""
        s, t, c = self.state, self.tuning, self.columns
        limit = (t.winsor * s.sigma + t.winsor_floors * self._floor) * noise
        clipped = np.clip(r, -limit, limit)
        precision = np.where(seen, np.clip(1.0 / np.square(noise), 0.04, 1.0), 0.0)
        a = ALPHA * precision[:, :, None]
        a[:, :, 0] = seen
        keep = 1.0 - a
        s.acc *= keep
        s.acc += a * clipped[:, :, None]
        s.acc[:, :, 0] = np.where(seen, r, s.acc[:, :, 0])
        s.var *= keep
        s.var *= keep
        a *= noise[:, :, None]
        a *= a
        s.var += a
        for column in np.flatnonzero(c.ratio):
            self._accumulate_errors(int(column), seen[:, column], inputs)

    def _accumulate_errors(self, column: int, seen: B1, inputs: Inputs) -> None:
        """Decayed errors (`acc`) and trials (`var`) of a ratio; excess errors of one window are bounded."""
        s = self.state
        trials = np.where(seen, inputs.trials, 0.0)
        errors = np.where(seen, inputs.values[:, column], 0.0) * trials
        expected = self._share(column) * trials
        bounded = np.minimum(errors, expected + 4.0 * np.sqrt(expected) + 3.0)
        keep = np.where(seen[:, None], 1.0 - ALPHA, 1.0)
        s.acc[:, column] = s.acc[:, column] * keep + bounded[:, None]
        s.var[:, column] = s.var[:, column] * keep + trials[:, None]
        s.acc[:, column, 0] = np.where(seen, errors, s.acc[:, column, 0])

    def _share(self, column: int) -> F64:
        """Error share taken for normal, with tolerance: Beta-shrunk, so that a clean young series is not held to zero."""
        s, t = self.state, self.tuning
        share = (s.share_errors[:, column] + t.share_prior[0]) / (s.share_trials[:, column] + t.share_prior[1])
        return np.minimum(share * t.share_tolerance[0] + t.share_tolerance[1], 0.98)

    def _standardise(self, noise: F64, inputs: Inputs) -> F64:
        """Signed departures (rows, F, W) in standard deviations, wider while the location itself is uncertain."""
        s, t, c = self.state, self.tuning, self.columns
        n = np.maximum(s.n, 1.0)[:, :, None]
        z = s.width * s.width
        z *= s.var
        z *= 1.0 + 6.0 / n
        z += 2.0 / n + rate_of(t.location_half_life)
        np.sqrt(z, out=z)
        z *= s.sigma[:, :, None]
        z += self._floor[:, :, None]
        np.divide(s.acc, z, out=z)
        for column in np.flatnonzero(c.ratio):
            expected = self._share(int(column))[:, None] * s.var[:, column]
            z[:, column] = deviance_z(s.acc[:, column], expected) / np.maximum(s.width[:, column], 1.0)
        relief = (s.deploy > 0) | inputs.deployed
        if relief.any():
            z[np.ix_(relief, ~c.ratio & (c.worse != 0))] *= t.deploy_relief
        return z

    def _let_go(self, z: F64, seen: B1, inputs: Inputs) -> None:
        """Where a fault is on (nothing may be learnt) and the newest values are as they should be, the long windows
        forget it quickly: what is over must not seem to last."""
        over = seen & ~inputs.learn[:, None] & (np.abs(z[:, :, :2]) < self.tuning.recovered).all(axis=2)
        if not over.any():
            return
        keep = np.where(over, self.tuning.forget, 1.0)[:, :, None]
        self.state.acc[:, :, 2:] *= keep
        self.state.var[:, self.columns.ratio, 2:] *= keep[:, self.columns.ratio]

    def _judge(self, z: F64, size: F64, seen: B1, inputs: Inputs, noise: F64) -> Judgement:
        s, t, c = self.state, self.tuning, self.columns
        tails = tail_decades(size, s.quantile, s.excess, c.caps + BASE)
        if c.traffic >= 0:
            self._bound_rise(tails[:, c.traffic], z[:, c.traffic])
        self._bound_few(tails)
        tails[~seen | (s.n < t.judged_after)] = 0.0
        loudest = tails.argmax(axis=2)[:, :, None]
        decades = np.take_along_axis(tails, loudest, axis=2)[:, :, 0]
        sign = np.sign(np.take_along_axis(z, loudest, axis=2)[:, :, 0])
        self._add_silence(decades, sign, inputs)
        early = c.patient & ((s.hot < t.patience)[:, None] | (np.abs(z[:, :, 1]) < 2.0))
        np.minimum(decades, t.impatient_cap + BASE, out=decades, where=early)
        hurts = (c.worse == 0) | (sign == c.worse)
        row = joint(np.where(hurts, np.maximum(decades - BASE, 0.0), 0.0), c)
        warm = (s.age >= t.warmup) & (s.n >= t.judged_after).any(axis=1)
        row = np.where(warm, np.maximum(row, self._frozen(inputs.values, seen)), 0.0)
        low, high = self._expected(noise, inputs)
        return Judgement(sign * np.maximum(decades - WINDOWS_LOOKED_AT, 0.0), low, high, row, warm)

    def _bound_rise(self, tails: F64, z: F64) -> None:
        """More traffic than usual has to last, and where a request in two seconds is usual, a few more are no surge."""
        t = self.tuning
        usual = np.square(self.state.mean[:, self.columns.traffic] / 2.0) - 0.375
        thin = (usual < t.thin_traffic * self.width_s)[:, None]
        caps = np.where(thin, np.minimum(t.thin_rise_cap, t.traffic_rise_caps), t.traffic_rise_caps) + BASE
        np.minimum(tails, caps, out=tails, where=z > 0)

    def _bound_few(self, tails: F64) -> None:
        """A few requests say little of latency, whoever they were from: bounds shrink until a window holds `enough`."""
        t, c = self.tuning, self.columns
        held = np.minimum(self.state.trials[:, None] * np.array(WINDOWS) / t.enough, 1.0)
        share = t.few_share + (1.0 - t.few_share) * held
        for column in np.flatnonzero(c.latency):
            np.minimum(tails[:, column], BASE + c.caps[column] * share, out=tails[:, column])

    def _add_silence(self, decades: F64, sign: F64, inputs: Inputs) -> None:
        """Requests that should have come and did not: -log10 exp(-missed / dispersion), from the second empty window on
        and only for a silence longer than any the series has known."""
        s, t, c = self.state, self.tuning, self.columns
        if c.traffic < 0:
            return
        empty = (inputs.values[:, c.traffic] == 0) & (s.n[:, c.traffic] >= t.judged_after)
        usual = np.maximum(np.square(s.mean[:, c.traffic] / 2.0) - 0.375, 0.0)
        s.silent = np.where(empty, s.silent + 1.0, 0.0)
        s.missed = np.where(empty, s.missed + usual, 0.0)
        spread = np.clip(s.dispersion, 0.25, 50.0) * np.square(np.maximum(s.width[:, c.traffic, 2], 1.0))
        evidence = np.minimum(DECADES * s.missed / spread + WINDOWS_LOOKED_AT, t.silence_cap)
        hard = empty & (s.silent >= 2) & (s.silent > 1.5 * s.longest_silence)
        hard &= evidence > decades[:, c.traffic]
        decades[:, c.traffic] = np.where(hard, evidence, decades[:, c.traffic])
        sign[:, c.traffic] = np.where(hard, -1.0, sign[:, c.traffic])

    def _frozen(self, values: F64, seen: B1) -> F64:
        """Decades for rows of which three features or more repeat the same value far longer than they ever did: the
        source is stuck, and says nothing about the service."""
        s, t = self.state, self.tuning
        same = seen & (values == s.last)
        ended = seen & ~same
        s.longest = np.where(ended, np.maximum(s.longest * 0.9999, s.run), s.longest)
        s.run = np.where(same, s.run + 1.0, np.where(seen, 0.0, s.run))
        stuck = (s.run >= 4) & (s.run > 2.5 * s.longest + 3.0) & (s.n > t.flat_after)
        s.last = np.where(seen, values, s.last)
        return np.where(stuck.sum(axis=1) >= 3, t.flat_decades, 0.0)

    def _expected(self, noise: F64, inputs: Inputs) -> tuple[F64, F64]:
        """Expected range of one window in the features' own units; NaN while unknown."""
        s, t, c = self.state, self.tuning, self.columns
        young = np.sqrt(1.0 + 8.0 / np.maximum(s.n, 1.0))
        reach = 3.0 * (s.sigma * noise * young + self._floor)
        low = restore(s.mean - reach, c, self.width_s)
        high = restore(s.mean + reach, c, self.width_s)
        for column in np.flatnonzero(c.ratio):
            share, trials = self._share(int(column)), np.maximum(inputs.trials, 1.0)
            low[:, column] = 0.0
            high[:, column] = np.minimum(share + 3.0 * np.sqrt(share * (1.0 - share) / trials) + 1.0 / trials, 1.0)
        unknown = s.n < t.judged_after
        return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)

    def _learn(self, r: F64, size: F64, seen: B1, inputs: Inputs, row: F64) -> None:
        """Learn from what is calm, slowly from what is not, and anew from what stays changed for `freeze_max`."""
        s, t = self.state, self.tuning
        s.hot = np.where(row > t.freeze_decades, s.hot + inputs.present, np.maximum(s.hot - 3.0 * inputs.present, 0.0))
        frozen = (s.hot > 0) & (s.hot <= t.freeze_max)
        settled = (s.hot > t.freeze_max) | ((s.deploy > 0) & ~frozen)
        calm = seen & (inputs.learn & ~frozen)[:, None]
        self._learn_level(r, seen & inputs.learn[:, None], frozen, settled)
        turn = slice(self.turn, None, TURNS)
        self._learn_widths(size[turn], calm[turn], turn)
        self._learn_tails(size[turn], calm[turn], turn)
        self.turn = (self.turn + 1) % TURNS
        self._learn_shares(calm, inputs)
        self._learn_silence(calm, inputs)
        s.n += seen & inputs.learn[:, None]
        s.age += inputs.present & inputs.learn
        s.deploy = np.where(inputs.deployed, float(t.deploy_windows), np.maximum(s.deploy - inputs.present, 0.0))

    def _learn_level(self, r: F64, learn: B1, frozen: B1, settled: B1) -> None:
        s, t = self.state, self.tuning
        young = s.n < t.warmup
        limit = np.where(young, 2.5 * t.winsor, t.winsor) * (s.sigma + self._floor)
        step = np.clip(r, -limit, limit)
        pace = np.where(frozen, t.hot_leak, np.where(settled, t.thaw, 1.0))[:, None]
        location = np.maximum(rate_of(t.location_half_life) * pace, np.where(frozen[:, None], 0.0, 1.0 / (s.n + 1.0)))
        s.mean += np.where(learn, np.minimum(location, 1.0) * step, 0.0)
        pace = np.where(frozen, 0.0, np.where(settled, t.thaw, 1.0))[:, None]
        scale = np.maximum(rate_of(t.scale_half_life), 1.0 / (s.n + 6.0)) * pace
        s.sigma += np.where(learn & (s.n > 0), np.minimum(scale, 1.0) * (MEAN_ABS * np.abs(step) - s.sigma), 0.0)
        np.maximum(s.sigma, LEAST_COUNT_SIGMA, out=s.sigma, where=self.columns.count)

    def _learn_widths(self, size: F64, calm: B1, turn: slice) -> None:
        """How much wider than independent noise the departures of each window really are."""
        s, t = self.state, self.tuning
        width = s.width[turn]
        rate = np.maximum(rate_of(t.scale_half_life), 1.0 / (s.n[turn, :, None] + WIDTH_WEIGHT)) * TURNS
        step = rate * (np.minimum(MEAN_ABS * size, 4.0) - 1.0)
        step *= calm[:, :, None]
        width *= 1.0 + step
        np.maximum(width, 0.9, out=width)

    def _learn_tails(self, size: F64, calm: B1, turn: slice) -> None:
        """Track each tail's 95 % quantile and mean excess by stochastic approximation (Robbins & Monro 1951)."""
        s, t = self.state, self.tuning
        quantile, excess = s.quantile[turn], s.excess[turn]
        rate = (np.maximum(rate_of(t.tail_half_life), 1.0 / (s.n[turn] + 150.0)) * calm)[:, :, None] * TURNS
        beyond = size - quantile
        over = beyond > 0
        quantile += 5.0 * rate * excess * (over - (1.0 - BASE_Q))
        np.maximum(quantile, 1.6, out=quantile)
        np.minimum(beyond, 5.0 * excess, out=beyond)
        excess += np.minimum(3.0 * rate, 0.2) * over * (beyond - excess)
        np.clip(excess, 0.38, 3.0, out=excess)

    def _learn_shares(self, calm: B1, inputs: Inputs) -> None:
        s, t = self.state, self.tuning
        keep = 1.0 - rate_of(t.scale_half_life)
        for column in np.flatnonzero(self.columns.ratio):
            learn = calm[:, column]
            trials = np.where(learn, inputs.trials, 0.0)
            errors = np.where(learn, inputs.values[:, column], 0.0) * trials
            decay = np.where(learn, keep, 1.0)
            s.share_errors[:, column] = s.share_errors[:, column] * decay + errors
            s.share_trials[:, column] = s.share_trials[:, column] * decay + trials

    def _learn_silence(self, calm: B1, inputs: Inputs) -> None:
        s, column = self.state, self.columns.traffic
        if column < 0:
            return
        learn = calm[:, column]
        usual = np.maximum(np.square(s.mean[:, column] / 2.0) - 0.375, 0.05)
        count = np.where(learn, inputs.values[:, column], 0.0) * self.width_s
        index = np.minimum(np.square(count - usual) / usual, 50.0)
        rate = np.maximum(0.003, 1.0 / (s.age + 20.0))
        s.dispersion += np.where(learn, rate * (index - s.dispersion), 0.0)
        s.longest_silence = np.where(learn, np.maximum(s.longest_silence, s.silent), s.longest_silence)
