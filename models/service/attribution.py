"""What evidence rests on, in a feature's own unit: the mean of the window that spoke, and the range expected of such a mean.

The range ends where the evidence would fall below what is worth telling, so the mean that spoke always lies outside of it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.features import FeatureKind
from contracts.frames.decoded import B1, F64
from contracts.ports.detecting import Spoken
from models.judgement import SPEAKS
from models.service.columns import WINDOWS, Columns
from models.service.evidence import BASE, DECADES, WINDOWS_LOOKED_AT
from models.service.failing import tolerated
from models.service.silence import usual_events
from models.service.slowness import limit
from models.service.state import BankState
from models.service.transforms import LEAST_LATENCY_S
from models.service.tuning import Tuning
from models.service.windows import Observed

TOLD: Final = max(SPEAKS + WINDOWS_LOOKED_AT - BASE, 0.0) / DECADES
"""Mean excesses beyond its quantile from which a departure is worth telling."""


class Speaker:
    """Tells what the evidence of one pass over a bank rests on. `z` are the departures (W, F, S) that were judged."""

    def __init__(self, state: BankState, tuning: Tuning, columns: Columns, seen: Observed, z: F64, slower: B1) -> None:
        """`slower`: rows of which the 99th percentile speaks for the share of slow requests."""
        self._s, self._t, self._c, self._seen, self._z, self._slower = state, tuning, columns, seen, z, slower

    def tell(self, decades: F64, which: NDArray[np.int8], alone: tuple[B1, B1, B1]) -> dict[tuple[int, int], Spoken]:
        """By (row, column): what decades of `SPEAKS` and more rest on. `which` (F, S) is the window (of failures: the test) that
        spoke; `alone` (S,) are the rows whose missing requests did, whose requests became fewer, and whose failures of the newest window
        did."""
        silent, ebbs, single = alone
        p99 = self._c.percentiles[2] if self._c.slow >= 0 else -1
        found = {}
        for column, row in np.argwhere(decades >= SPEAKS).tolist():
            if column == self._c.slow:
                continue
            if column == p99 and self._slower[row]:
                found[row, column] = self._slow(row, int(which[self._c.slow, row]))
            elif column == self._c.traffic and silent[row]:
                found[row, column] = self._silence(row, column)
            elif column == self._c.traffic and ebbs[row]:
                found[row, column] = self._ebb(row)
            elif self._c.ratio[column]:
                found[row, column] = self._ratio(row, column, int(which[column, row]), bool(single[row]))
            else:
                found[row, column] = self._mean(row, column, int(which[column, row]))
        return found

    def _reach(self, window: int, column: int, row: int) -> float:
        """Standard deviations from which the window's departure is worth telling."""
        s = self._s
        size = float(s.quantile[window, column, row] + TOLD * s.excess[window, column, row])
        bent = window == 0 and self._c.heavy[column]
        return 5.0 * math.expm1(size / 5.0) if bent else size

    def _mean(self, row: int, column: int, window: int) -> Spoken:
        s, at = self._s, (window, column, row)
        centre, departure, z = float(s.mean[column, row]), float(s.acc[at]), float(self._z[at])
        reach = abs(departure / z) * self._reach(*at) if z else 0.0
        told = float(s.raw[at])
        if abs(told) <= reach or told * departure < 0:  # what was bounded points elsewhere: tell what was judged
            told = departure
        kind = self._c.kinds[column]
        low, value, high = (self._restored(kind, x) for x in (centre - reach, centre + told, centre + reach))
        if window == 0:
            value = float(self._seen.values[column, row])
        return Spoken(value, low, high, WINDOWS[window])

    def _restored(self, kind: FeatureKind, x: float) -> float:
        """Inverse of `models.service.transforms.stabilise` for one value."""
        if kind is FeatureKind.LATENCY:
            return math.exp(min(max(x, math.log(LEAST_LATENCY_S)), 50.0))
        x = max(x, 0.0)
        if kind is FeatureKind.COUNT:
            return max((x / 2.0) ** 2 - 0.375, 0.0) / self._seen.width_s
        return math.expm1(min(x, 500.0)) if kind is FeatureKind.LEVEL else x

    def _ratio(self, row: int, column: int, test: int, single: bool) -> Spoken:
        """Failures among the requests of a run: the share from which so many are worth telling is found by bisection."""
        s, at = self._s, (test, column, row)
        failed, requests = float(s.raw[at]), max(float(s.var[at]), 1e-9)
        if single:
            requests = max(float(self._seen.inputs.trials[row]), 1e-9)
            failed = float(self._seen.values[column, row]) * requests
        normal = float(tolerated(s, column)[row])
        needed = (SPEAKS + WINDOWS_LOOKED_AT - BASE + 0.01) / DECADES * float(s.width[0, column, row])
        low, high = normal, 1.0
        for _ in range(20):
            middle = (low + high) / 2.0
            nats = middle * math.log(middle / normal) + (1.0 - middle) * math.log((1.0 - middle) / (1.0 - normal))
            low, high = (low, middle) if requests * nats >= max(needed, 0.0) else (middle, high)
        told = min(failed / requests, 1.0)
        windows = 1 if single else max(round(requests / max(float(s.trials[row]), 1e-9)), 1)
        return Spoken(told, 0.0, min(high, 0.95 * told), windows)

    def _slow(self, row: int, test: int) -> Spoken:
        """More than one in a hundred requests of a run took longer than is borne, so its 99th percentile is beyond that."""
        s, c = self._s, self._c
        p50, p95, p99 = (int(i) for i in c.percentiles)
        high = math.exp(float(limit(s.mean[p95, row])))
        requests = float(s.var[test, c.slow, row])
        windows = max(round(requests / max(float(s.trials[row]), 1e-9)), 1)
        value = max(float(self._seen.values[p99, row]), 1.01 * high)
        return Spoken(value, math.exp(float(s.mean[p50, row])), high, windows)

    def _silence(self, row: int, column: int) -> Spoken:
        """No request in as many windows as the silence has lasted, and how many per second are usual in such a time."""
        s, width_s = self._s, self._seen.width_s
        run = max(int(s.silent[row]), 1)
        usual = max(float(usual_events(s.mean[column, row : row + 1])[0]), 0.0)
        spread = 3.0 * math.sqrt(max(usual * run, 1e-9))
        low, high = max(usual * run - spread, 0.1 * usual * run), usual * run + spread
        return Spoken(0.0, low / run / width_s, high / run / width_s, run)

    def _ebb(self, row: int) -> Spoken:
        """Requests per second of the run of windows in which fewer came, and how many are usual in such a time."""
        s = self._s
        run, due = max(float(s.ebb_windows[row]), 1.0), float(s.ebb_due[row])
        spread = 3.0 * math.sqrt(max(due * float(s.dispersion[row]), 1e-9))
        low, high = max(due - spread, float(s.ebb_came[row]) + 0.05 * due), due + spread
        run_s = run * self._seen.width_s
        return Spoken(float(s.ebb_came[row]) / run_s, low / run_s, high / run_s, max(round(run), 1))
