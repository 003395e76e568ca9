"""Load: what users want from second to second. A day's shape, slow wander, bursts, and the jitter of who happens to come."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from twin.blueprint import EntryPlan
from twin.configuration import Configuration, between
from twin.laws import F64


class UserDemand:
    """Users' requests per second at each entry, drawn beforehand for `seconds`."""

    def __init__(
        self, r: Generator, configuration: Configuration, entries: tuple[EntryPlan, ...], seconds: int
    ) -> None:
        t = np.arange(seconds)
        swing, wander = between(r, configuration.swing), between(r, configuration.wander)
        burst = between(r, configuration.burstiness)
        period = between(r, (1800.0, 86400.0))
        day = 1.0 + swing * np.sin(2 * np.pi * (t / period + r.random()))
        rows = []
        for entry in entries:
            slow = np.exp(wandering(r, seconds, 0.99, wander))
            jitter = r.gamma(1.0 / burst, burst, seconds)
            rows.append(entry.rate * day * slow * jitter)
        self._ordinary: F64 = np.array([e.rate for e in entries])
        self._rates: F64 = np.array(rows)
        self.turns: list[tuple[float, str]] = []
        """(second, what) where users as a whole change their ways."""
        self._change(r, configuration, seconds)

    def _change(self, r: Generator, configuration: Configuration, seconds: int) -> None:
        """An office that opens, a step (the clock changes, a mail goes out), a job that comes every minute: each in some episodes."""
        t = np.arange(seconds)
        if r.random() < configuration.opens:
            begin, lasts = seconds * r.uniform(0.25, 0.5), float(r.uniform(60.0, 240.0))
            part = np.clip((t - begin) / lasts, 0.0, 1.0)
            self._rates *= 0.12 + 0.88 * part
            self.turns.append((float(int(begin)), "office_opens"))
        if r.random() < configuration.steps:
            begin = int(seconds * r.uniform(0.3, 0.8))
            self._rates[:, begin:] *= float(r.uniform(0.7, 1.4))
            self.turns.append((float(begin), "demand_steps"))
        if r.random() < configuration.beats:
            entry, lasts = int(r.integers(len(self._rates))), int(r.integers(2, 8))
            self._rates[entry, (t + int(r.integers(60))) % 60 < lasts] *= float(r.uniform(1.3, 2.0))
            self.turns.append((0.0, "job_every_minute"))

    def level(self, times: float) -> None:
        """So many times an ordinary day's users, in every second."""
        self._rates = np.repeat(times * self._ordinary[:, None], self._rates.shape[1], axis=1)

    def scale(self, times: float) -> None:
        """So many times the users from now on."""
        self._rates *= times

    def demand(self, now_s: float) -> F64:
        """By entry; after the last second drawn it goes on as it was."""
        found: F64 = self._rates[:, min(int(now_s), self._rates.shape[1] - 1)]
        return found


def wandering(r: Generator, count: int, memory: float, deviation: float) -> F64:
    """First-order autoregression with this stationary deviation."""
    shocks = r.normal(0.0, deviation * np.sqrt(1.0 - memory * memory), count)
    out = np.empty(count)
    level = float(r.normal(0.0, deviation))
    for i, shock in enumerate(shocks.tolist()):
        level = memory * level + shock
        out[i] = level
    return out
