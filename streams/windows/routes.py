"""What each route of a service is used to: how long its requests take, so that a change in what is asked for is not taken for slowness.

A service that a crawler asks for its slowest page answers as it always did, page by page, and yet its latency is a hundredfold. So
requests are compared with those of their own route (the span's name, with what is generated in it folded). Per request of a
known route three integers are summed into the partials:

known  1: how many such requests there are
level  the usual time of its route, the natural logarithm of nanoseconds, in thousandths: rises when slower routes are asked for
pace   how far this one is from its route's usual, in thousandths of that route's standard deviation of logarithms, between
       ±`FURTHEST`: rises when the service is slower

A route is known after `ENOUGH` requests, when it has been there for half as long as its service, or for `SETTLED_NS`. One that is
slower than usual hardly teaches what is usual. There are at most so many routes of a service, and of an environment; what finds no
room is counted and its requests are of no known route.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from connectors.otlp.folding import fold_route
from contracts.capacity import MERIT_NS, leaving, surplus
from contracts.frames.decoded import F64, I64
from contracts.units import HOUR, MINUTE
from streams.windows.grouping import dense

THOUSANDTHS: Final = 1000.0
ENOUGH: Final = 20.0
SETTLED_NS: Final = 10 * MINUTE
FURTHEST: Final = 8.0
ROUTES_PER_SERVICE: Final = 128
QUIET_NS: Final = MINUTE
_HALF_LIFE_NS: Final = 6 * HOUR
_LEAST_SPREAD: Final = 0.1
_BEYOND: Final = 2.33
"""Standard deviations from which a request is slow for its route: one in a hundred of a normal distribution."""
_SLOW_TEACHES: Final = 1 / 16
"""Of a request that slow, so much of one counts when learning: in days and not in hours is slowness usual."""

Key = tuple[str, str]


class Routes:
    """Routes of one environment. Columns `n`, `sum` and `square` are decayed sums of the logarithms of durations."""

    def __init__(self, most: int, counters: Counter[str]) -> None:
        self.most = most
        self._counters = counters
        self._slot: dict[Key, int] = {}
        self._of_service: dict[str, list[int]] = {}
        """Per service: when it was first seen, and how many routes it has."""
        self._free: list[int] = []
        self._sums: F64 = np.zeros((3, 0))
        self._times: I64 = np.zeros((2, 0), np.int64)
        """When each was first and last heard of, epoch nanoseconds of event time."""
        self._full_until_ns = 0

    def __len__(self) -> int:
        return len(self._slot)

    def compare(self, keys: list[Key], which: I64, end_ns: I64, duration_ns: I64) -> tuple[I64, I64, I64]:
        """Known, level and pace of requests, and learn from them. `which` is each request's entry of `keys` (service, name)."""
        newest_ns = int(end_ns.max())
        slots = np.array([self._place(service, fold_route(name), newest_ns) for service, name in keys], np.int64)
        since = np.array([self._of_service.get(service, [newest_ns])[0] for service, _ in keys], np.int64)
        log = np.log(np.maximum(duration_ns, 1).astype(np.float64))
        roomy = slots >= 0
        at = np.maximum(slots, 0)
        if not roomy.any():
            self._counters["route_limit"] += len(which)
            nothing = np.zeros(len(which), np.int64)
            return nothing, nothing.copy(), nothing.copy()
        n, total, square = self._sums[:, at]
        mean = total / np.maximum(n, 1e-9)
        spread = np.maximum(np.sqrt(np.maximum(square / np.maximum(n, 1e-9) - mean**2, 0.0)), _LEAST_SPREAD)
        age = newest_ns - self._times[0, at]
        settled = age >= np.minimum(SETTLED_NS, (newest_ns - since) // 2)
        familiar = roomy & (n >= ENOUGH)
        far = np.where(familiar[which], (log - mean[which]) / spread[which], 0.0)
        known = (familiar & settled)[which]
        self._counters["route_limit"] += int(np.count_nonzero(~roomy[which]))
        taught = np.where(far > _BEYOND, mean[which] + _BEYOND * spread[which], log)
        self._learn(slots, which, taught, np.where(far > _BEYOND, _SLOW_TEACHES, 1.0), newest_ns)
        level = np.where(known, np.rint(mean[which] * THOUSANDTHS), 0.0).astype(np.int64)
        pace = np.where(known, np.rint(np.clip(far, -FURTHEST, FURTHEST) * THOUSANDTHS), 0.0).astype(np.int64)
        return known.astype(np.int64), level, pace

    def _learn(self, slots: I64, which: I64, log: F64, weight: F64, now_ns: int) -> None:
        slot = slots[which]
        some = slot >= 0
        touched = np.unique(slot[some])
        passed = np.maximum(now_ns - self._times[1, touched], 0)
        self._sums[:, touched] *= 0.5 ** (passed / _HALF_LIFE_NS)
        for row, column in enumerate((weight, weight * log, weight * log**2)):
            np.add.at(self._sums[row], slot[some], column[some])
        self._times[1, touched] = np.maximum(self._times[1, touched], now_ns)

    def _place(self, service: str, route: str, now_ns: int) -> int:
        found = self._slot.get((service, route))
        if found is not None:
            return found
        held = self._of_service.get(service)
        if held is not None and held[1] >= ROUTES_PER_SERVICE:
            self._make_room(now_ns, service)
        elif len(self._slot) >= self.most:
            self._make_room(now_ns)
        held = self._of_service.setdefault(service, [now_ns, 0])
        if held[1] >= ROUTES_PER_SERVICE or len(self._slot) >= self.most:
            return -1
        held[1] += 1
        if not self._free:
            size = max(64, 2 * len(self._slot))
            self._free = list(range(size - 1, self._sums.shape[1] - 1, -1))
            self._sums = np.concatenate([self._sums, np.zeros((3, size - self._sums.shape[1]))], axis=1)
            self._times = np.concatenate([self._times, np.zeros((2, size - self._times.shape[1]), np.int64)], axis=1)
        found = self._slot[service, route] = self._free.pop()
        self._sums[:, found], self._times[:, found] = 0.0, now_ns
        return found

    def _make_room(self, now_ns: int, service: str = "") -> None:
        """Let those routes leave (of one service, or of all) that are least of use and were not asked for of late."""
        if not service and now_ns < self._full_until_ns <= now_ns + QUIET_NS:
            return
        self._full_until_ns = self._full_until_ns if service else now_ns + QUIET_NS
        keys = [k for k in self._slot if not service or k[0] == service]
        first, last = self._times[:, [self._slot[k] for k in keys]]
        wanted = surplus(len(keys), ROUTES_PER_SERVICE if service else self.most)
        for i in leaving(first, last, now_ns - QUIET_NS, MERIT_NS, wanted).tolist():
            self._free.append(self._slot.pop(keys[i]))
            held = self._of_service[keys[i][0]]
            held[1] -= 1
            if not held[1]:
                del self._of_service[keys[i][0]]
            self._counters["route_left"] += 1

    def state(self) -> list[Any]:
        """For a snapshot."""
        keys = sorted(self._slot)
        at = [self._slot[k] for k in keys]
        since = [[s, first] for s, (first, _) in sorted(self._of_service.items())]
        return [[list(k) for k in keys], self._sums[:, at], self._times[:, at], since]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        keys, self._sums, self._times, since = state[0], state[1].copy(), state[2].copy(), state[3]
        self._slot = {(service, route): i for i, (service, route) in enumerate(keys)}
        self._of_service = {service: [first, 0] for service, first in since}
        self._free = []
        for service, _ in self._slot:
            self._of_service[service][1] += 1


def pairs(service: I64, name: I64, services: int) -> tuple[I64, I64, I64]:
    """Distinct pairs of numbers (services are below `services`), as two columns, and each row's entry of them."""
    listed, which = dense(name * services + service)
    names, numbers = np.divmod(listed, services)
    return numbers, names, which
