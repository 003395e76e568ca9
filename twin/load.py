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
        self._rates: F64 = np.array(rows)

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
