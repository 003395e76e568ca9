"""What the shop's customers went through, from their own seconds: since when it hurt, and since when it is well again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from homeostat.demo.load import Second

GOOD_SECONDS = 3
"""Customers are well again after this many good seconds in a row."""


@dataclass(frozen=True, slots=True)
class Normal:
    """What is usual, learnt before the first fault: 95th percentile (seconds) by route."""

    p95_s: dict[str, float]

    def hurts(self, second: Second) -> bool:
        """Whether some route failed more than 5 % of its customers, or kept them waiting far longer than usual."""
        return any(
            route.failed > max(0.05 * route.sent, 0) or route.p95_s > max(3 * self.p95_s[name], self.p95_s[name] + 0.15)
            for name, route in second.routes.items()
            if name in self.p95_s
        )


def learn(seconds: Iterable[Second]) -> Normal:
    """Usual figures from quiet seconds."""
    seen: dict[str, list[float]] = {}
    for second in seconds:
        for name, route in second.routes.items():
            seen.setdefault(name, []).append(route.p95_s)
    return Normal({name: float(np.median(values)) for name, values in seen.items()})


@dataclass(frozen=True, slots=True)
class Suffering:
    """Seconds after the fault at which customers first felt it and at which they were well again; None: never."""

    felt_s: float | None
    well_s: float | None


def suffering(seconds: Sequence[Second], normal: Normal, fault_at: float) -> Suffering:
    """From the fault on: the first bad second, and the first of GOOD_SECONDS good ones after the last bad one."""
    after = [s for s in seconds if s.at >= fault_at - 1]
    bad = [i for i, s in enumerate(after) if normal.hurts(s)]
    if not bad:
        return Suffering(None, None)
    felt = max(0.0, after[bad[0]].at + 1 - fault_at)
    good = len(after) - bad[-1] - 1
    if good < GOOD_SECONDS:
        return Suffering(felt, None)
    return Suffering(felt, after[bad[-1]].at + 1 - fault_at)
