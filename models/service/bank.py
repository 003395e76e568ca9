"""The bank of one signal: all series of a partition scored and learnt in one pass of array arithmetic.

Each (series, feature) holds a location and a spread, and departures from them in several windows
(`models.service.windows`). Departures become decades of evidence through a tail that every series calibrates for itself
(`models.service.learning`), and stops calibrating while something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from contracts.ports.detecting import Spoken
from models.service import failing
from models.service.alignment import Inputs
from models.service.attribution import Speaker
from models.service.columns import WINDOWS, Columns
from models.service.ebb import Ebb, ebbing
from models.service.evidence import BASE, WINDOWS_LOOKED_AT, bend, joint, loudest, tail_decades
from models.service.learning import learn
from models.service.silence import dropping, missing, stuck, usual_events
from models.service.slowness import SLOW_SHARE
from models.service.state import BankState, fresh_state
from models.service.symptoms import Fewest, felt_by_users
from models.service.transforms import restore, stabilise
from models.service.tuning import Tuning
from models.service.windows import Observed, accumulate, let_go, observe, standardise

TOLD_FROM = 1.5
"""Joint decades of a row from which it is worth saying what its evidence rests on."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a pass makes of every row: see `contracts.ports.detecting.Scores`; `joint`, `lasting` and `opening` are decades per row.
    Arrays over features are (rows, F)."""

    decades: F64
    low: F64
    high: F64
    joint: F64
    lasting: F64
    opening: F64
    warm: B1
    spoken: dict[tuple[int, int], Spoken] = field(default_factory=dict)


class SignalBank:
    """All series of one signal. A step takes any of them: each series goes on at its own pace, untouched while others do."""

    def __init__(self, columns: Columns, tuning: Tuning, width_s: float) -> None:
        self.columns, self.tuning, self.width_s = columns, tuning, width_s
        self.state = fresh_state(0, columns)

    def __len__(self) -> int:
        return len(self.state.age)

    def grow(self, rows: int) -> None:
        """Make room for `rows` series; new ones start with the typical spread of those that are known."""
        lacking = rows - len(self)
        if lacking > 0:
            fresh = fresh_state(lacking, self.columns)
            fresh.sigma[:] = self._typical_sigma()[:, None]
            self.state.append(fresh)

    def widen(self, columns: Columns, old: NDArray[np.intp]) -> None:
        """Take in more features: `old[i]` is where column i goes."""
        self.columns = columns
        self.state.widen(fresh_state(len(self), columns), old)

    def step(self, inputs: Inputs, rows: NDArray[np.intp]) -> Judgement:
        """Score some series (each once), then learn. Missing values hold their state."""
        if len(rows) == len(self) and (rows == np.arange(len(self))).all():
            return self._step(self.state, inputs, rows)
        part = self.state.of_rows(rows)
        judged = self._step(part, inputs, rows)
        self.state.put(rows, part)
        return judged

    def rescore(self, inputs: Inputs, rows: NDArray[np.intp]) -> Judgement:
        """Judge corrected values with what is known, and leave the state as it is."""
        return self._step(self.state.of_rows(rows), inputs, rows)

    def _step(self, s: BankState, inputs: Inputs, rows: NDArray[np.intp]) -> Judgement:
        t, c = self.tuning, self.columns
        seen = observe(s, c, inputs, self.width_s)
        accumulate(s, t, c, seen)
        z = standardise(s, t, c, seen)
        size = np.abs(z)
        let_go(s, t, c, seen, size)
        bend(size, c.heavy)
        judged = self._judge(s, z, size, seen)
        learn(s, t, c, seen, (size, judged.joint), rows)
        return judged

    def rebase(self, row: int, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` (by feature, in its own unit) for the locations of a series, as young as after the warm-up, and forget
        its departures from the old ones, which are returned."""
        s, t, c = self.state, self.tuning, self.columns
        values = np.array([levels.get(name, np.nan) for name in c.names])[:, None]
        y = stabilise(values, c, self.width_s)[:, 0]
        columns = np.flatnonzero(np.isfinite(y) & (s.n[:, row] > 0))
        before = restore(s.mean[:, row : row + 1], c, self.width_s)[:, 0]
        before[c.ratio] = s.share_errors[c.ratio, row] / np.maximum(s.share_trials[c.ratio, row], 1.0)
        anew = self._with_slow(row, columns, of_now=SLOW_SHARE in levels)
        s.mean[columns, row] = y[columns]
        s.n[columns, row] = np.minimum(s.n[columns, row], t.warmup)
        s.acc[:, anew, row] = s.raw[:, anew, row] = s.var[:, anew, row] = 0.0
        for held in (s.held_errors, s.held_trials, s.aside_errors, s.aside_trials, s.over, s.worst):
            held[anew, row] = 0.0
        for column in columns[c.ratio[columns]]:
            self._take_for_usual(row, column, values[column, 0])
        s.hot[row] = s.dip[row] = s.ebb[row] = 0.0
        return {c.names[i]: float(before[i]) for i in columns}

    def _with_slow(self, row: int, columns: NDArray[np.intp], *, of_now: bool) -> NDArray[np.intp]:
        """The columns that begin anew with those of a new level: slow is what is slower than that. `of_now`: where only the slowest requests are
        taken for normal, as many of them as there are now are usual: else the next window would say again what was just adopted."""
        s, slow = self.state, self.columns.slow
        if slow < 0:
            return columns
        _, p95, p99 = self.columns.percentiles
        if p95 not in columns and p99 not in columns:
            return columns
        test = int(s.acc[:, slow, row].argmax())
        slower, requests = float(s.raw[test, slow, row]), float(s.var[test, slow, row])
        if of_now and p95 not in columns and requests > 0.0:
            self._take_for_usual(row, slow, slower / requests)
        return np.append(columns, slow)

    def _take_for_usual(self, row: int, column: int, share: float) -> None:
        """Take a share for the usual one of a series, as well known as after the warm-up at least."""
        s = self.state
        trials = max(s.share_trials[column, row], s.trials[row] * self.tuning.warmup)
        s.share_errors[column, row], s.share_trials[column, row] = share * trials, trials

    def _typical_sigma(self) -> F64:
        """Median spread of each feature over the series that know theirs; what is assumed beforehand where none does."""
        known = self.state.n >= self.tuning.warmup
        sigma = self.columns.sigma.copy()
        for column in np.flatnonzero(known.sum(axis=1) >= 3):
            sigma[column] = float(np.median(self.state.sigma[column, known[column]]))
        return sigma

    def _judge(self, s: BankState, z: F64, size: F64, seen: Observed) -> Judgement:
        t, c = self.tuning, self.columns
        known = s.n >= t.judged_after
        tails = tail_decades(size, s.quantile, s.excess, (c.caps.T + BASE)[:, :, None])
        if c.traffic >= 0:
            self._bound_rise(s, tails[:, c.traffic], z[:, c.traffic])
        self._bound_few(s, tails)
        decades, sign, which = loudest(tails, z)
        single = np.zeros(len(s.age), np.bool_)
        for column in np.flatnonzero(c.ratio).tolist():
            cap = float(c.caps[column, -1])
            window = seen.inputs.trials, seen.values[column], seen.seen[column]
            found = failing.judge(s, column, window, cap, slow=column == c.slow, known=float(c.known[column]))
            decades[column], which[column] = found.decades, found.which
            single = single if column == c.slow else found.single
            sign[column] = 1.0
        decades *= known & seen.seen
        silent = ebbs = dropped = np.zeros(len(s.age), np.bool_)
        ebb = ebbing(s, c, seen)
        if c.traffic >= 0:
            dropped = dropping(s, c, seen, z[0, c.traffic])
            said = decades[c.traffic], sign[c.traffic]
            ebbs = self._add_ebb(said, ebb) if ebb is not None else ebbs
            silent = self._add_silence(s, said, seen)
            ebbs = ebbs & ~silent
        self._bound_impatient(s, decades, size[1])
        hurts = (c.worse == 0.0)[:, None] | (sign == c.worse[:, None])
        hurting = np.where(hurts, np.maximum(decades - BASE, 0.0), 0.0)
        row = joint(hurting, c)
        warm = (s.age >= t.warmup) & known.any(axis=0)
        held = stuck(s, t, c, seen)
        row = np.where(warm, np.maximum(row, held), 0.0)
        fewest = Fewest(silent, dropped, ebbs, ebb.sudden if ebb is not None else ebbs)
        felt, sudden = felt_by_users(s, c, (hurting, sign, which), fewest)
        lasting, opening = (np.where(warm, np.maximum(joint(x, c), held), 0.0) for x in (felt, sudden))
        low, high = self._expected(s, known, seen)
        decades -= WINDOWS_LOOKED_AT
        np.maximum(decades, 0.0, out=decades)
        slower = self._tell_slow(decades)
        spoken = Speaker(s, t, c, seen, z, slower).tell(
            np.where(warm & (row >= TOLD_FROM), decades, 0.0), which, (silent, ebbs, single)
        )
        decades *= sign
        return Judgement(decades.T, low.T, high.T, row, lasting, opening, warm, spoken)

    def _tell_slow(self, decades: F64) -> B1:
        """Tell of slow requests as what they are seen by, the 99th percentile, where they say more than it; in which rows."""
        c = self.columns
        if c.slow < 0:
            return np.zeros(decades.shape[1], np.bool_)
        p99 = c.percentiles[2]
        slower: B1 = decades[c.slow] > decades[p99]
        np.copyto(decades[p99], decades[c.slow], where=slower)
        return slower

    def _bound_rise(self, s: BankState, tails: F64, z: F64) -> None:
        """More traffic than usual has to last, and where a request in two seconds is usual, a few more are no surge."""
        t = self.tuning
        thin = usual_events(s.mean[self.columns.traffic]) < t.thin_traffic * self.width_s
        rise = np.array(t.traffic_rise_caps)[:, None]
        caps = np.where(thin, np.minimum(t.thin_rise_cap, rise), rise) + BASE
        np.copyto(tails, np.minimum(tails, caps), where=z > 0.0)

    def _bound_few(self, s: BankState, tails: F64) -> None:
        """A few requests say little of latency, whoever they were from: bounds shrink until a window holds `enough`."""
        t, c, trials = self.tuning, self.columns, s.trials
        few = np.flatnonzero(trials < t.enough)
        if not len(few):
            return
        held = np.minimum(trials[few] * (np.array(WINDOWS) / t.enough)[:, None], 1.0)
        part = t.few_share + (1.0 - t.few_share) * held
        for column in np.flatnonzero(c.latency):
            bound = BASE + c.caps[column][:, None] * part
            tails[:, column, few] = np.minimum(tails[:, column, few], bound)

    @staticmethod
    def _add_ebb(said: tuple[F64, F64], ebb: Ebb) -> B1:
        """Put the evidence of requests that became fewer in the place of the traffic's, where it is stronger; in which rows."""
        decades, sign = said
        stronger: B1 = ebb.decades > np.where(sign < 0, decades, 0.0)
        np.copyto(decades, ebb.decades, where=stronger)
        np.copyto(sign, -1.0, where=stronger)
        return stronger

    def _add_silence(self, s: BankState, said: tuple[F64, F64], seen: Observed) -> B1:
        """Put the evidence of missing requests in the place of the traffic's, where it is stronger; in which rows."""
        decades, sign = said
        rows, evidence = missing(s, self.tuning, self.columns, seen)
        hard = evidence > decades[rows]
        decades[rows[hard]], sign[rows[hard]] = evidence[hard], -1.0
        silent = np.zeros(len(decades), np.bool_)
        silent[rows[hard]] = True
        return silent

    def _bound_impatient(self, s: BankState, decades: F64, size: F64) -> None:
        """Busy is not broken: patient features say little until the row has been hot for long and still departs."""
        t, hot = self.tuning, s.hot
        for column in np.flatnonzero(self.columns.patient):
            early = (hot < t.patience) | (size[column] < 2.0)
            np.copyto(decades[column], np.minimum(decades[column], t.impatient_cap + BASE), where=early)

    def _expected(self, s: BankState, known: B1, seen: Observed) -> tuple[F64, F64]:
        """Expected range of one window in the features' own units; NaN while unknown."""
        c = self.columns
        reach = np.sqrt(1.0 + 8.0 / np.maximum(s.n, 1.0))
        reach *= s.sigma
        reach *= seen.noise
        reach += seen.floor
        reach *= 3.0
        low = restore(s.mean - reach, c, self.width_s)
        high = restore(s.mean + reach, c, self.width_s)
        trials = np.maximum(seen.inputs.trials, 1.0)
        for column in np.flatnonzero(c.ratio):
            if column == c.slow:
                continue
            normal = failing.tolerated(s, int(column))
            low[column] = 0.0
            high[column] = np.minimum(normal + 3.0 * np.sqrt(normal * (1.0 - normal) / trials) + 1.0 / trials, 1.0)
        unknown = ~known
        np.copyto(low, np.nan, where=unknown)
        np.copyto(high, np.nan, where=unknown)
        return low, high
