"""What each route of a service is used to: how long its requests take, so that a change in what is asked for is not taken for slowness.

A service that a crawler asks for its slowest page answers as it always did, page by page, and yet its latency is a hundredfold. So
requests are compared with those of their own route (the span's name, with what is generated in it folded; what databases are asked with
those of their own statement, see `streams.windows.statements`). Per request of a
known route three integers are summed into the partials:

known  1: how many such requests there are
level  the usual time of its route, the natural logarithm of nanoseconds, in thousandths: rises when slower routes are asked for
pace   how far this one is from its route's usual, in thousandths of that route's standard deviation of logarithms, between
       ±`FURTHEST`: rises when the service is slower

Some durations are no latency though nothing declares them: a session lasts as long as its client likes, a long poll until there is
news or its timeout, an upload as long as the client's line needs. Such a route is learnt: of its requests (those that failed, and
those far slower than it ever was, hardly teach) a good part lasts seconds, and they are spread over orders of magnitude, or last
for half a minute, or all of them exactly as long (see `_untimed`). That must have been so over `LONG_TIMES` quarters of a minute: one
deploy that ends all sessions says nothing. And of a route that hardly anybody has asked for yet, a request that lasts seconds is no latency either:
there is nothing to compare it with. Requests of all these are counted and are not timed.

Sessions that say nothing of themselves may be cut, as at a deploy, and be marked as failed. Of a route that hardly anybody has asked for
yet, what lasted longer than anybody waits for an answer, or ended in one message with others that had begun seconds before or after it,
is such a session: no request that failed.

A route is known after `ENOUGH` requests, when it has been there for half as long as its service, or for `SETTLED_NS`. One that is
slower than usual hardly teaches what is usual. There are at most so many routes of a service, and of an environment; what finds no
room is counted and its requests are of no known route.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.otlp.folding import fold_route
from contracts.capacity import MERIT_NS, leaving, surplus
from contracts.frames.decoded import B1, F64, I64
from contracts.units import HOUR, MINUTE, SECOND
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

LONG_NS: Final = 2 * SECOND
"""What takes so long is longer than somebody waits for a page; whether it is latency is for its route to say."""
LONG_TIMES: Final = 8
"""Quarters of a minute in which a route must have had requests that long."""
_QUARTER_NS: Final = 15 * SECOND
_LONG_SHARE: Final = 0.2
_BROAD: Final = 1.1
"""Standard deviation of logarithms of durations that are set by who asks: from a tenth to tenfold. A server's own are half as broad."""
_ENDLESS_NS: Final = 30 * SECOND
"""Geometric mean of durations from which on nobody waits for an answer."""
_TIMER_NS: Final = 5 * SECOND
_SAME: Final = 0.03
"""Durations that differ by less, at the end of what a route takes, and are that long: those are as long as a timeout."""
_FORGET: Final = 0.001
"""By how much that end comes down with each request that is shorter: a stray one is forgotten after some hundreds."""
_NONE: Final = (0, 0)
_SUMS: Final = 5
Key = tuple[str, str]


class RouteComparison(NamedTuple):
    """What is known of n requests by their routes: see the columns of this module; `untimed` are those that last as they like."""

    known: I64
    level: I64
    pace: I64
    untimed: B1
    route: I64
    """The slot of each request's route; -1 where there was no room for it."""
    cut: B1
    """Which are sessions that were cut."""


class Routes:
    """Routes of one environment. Sums `n`, `sum`, `square`, `long` and `same` are decayed, of the logarithms of durations."""

    def __init__(self, most: int, counters: Counter[str]) -> None:
        self.most = most
        self._counters = counters
        self._slot: dict[Key, int] = {}
        self._names: dict[int, Key] = {}
        self._of_service: dict[str, list[int]] = {}
        """Per service: when it was first seen, and how many routes it has."""
        self._free: list[int] = []
        self._sums: F64 = np.zeros((_SUMS, 0))
        self._end: F64 = np.zeros(0)
        """The logarithm of the longest that each takes, of late."""
        self._times: I64 = np.zeros((4, 0), np.int64)
        """When each was first and last heard of, epoch nanoseconds of event time; in how many quarters of a minute it had long
        requests, and which was the last of these."""
        self._full_until_ns = 0

    def __len__(self) -> int:
        return len(self._slot)

    @property
    def slots(self) -> int:
        """Slots are below this."""
        return len(self._end)

    def name(self, slot: int) -> str:
        """The route in a slot; "" where there is none."""
        return self._names.get(slot, ("", ""))[1]

    def owner(self, slot: int) -> str:
        """The service whose route is in a slot; "" where there is none."""
        return self._names.get(slot, ("", ""))[0]

    def several(self, services: list[str]) -> B1:
        """Which services have several routes."""
        return np.array([self._of_service.get(name, _NONE)[1] > 1 for name in services], np.bool_)

    def compare(
        self, keys: list[Key], which: I64, end_ns: I64, duration_ns: I64, error: B1 | None = None
    ) -> RouteComparison:
        """What routes say of requests, and learn from them. `which` is each request's entry of `keys` (service, name)."""
        newest_ns = int(end_ns.max())
        slots = np.array([self._place(service, fold_route(name), newest_ns) for service, name in keys], np.int64)
        since = np.array([self._of_service.get(service, [newest_ns])[0] for service, _ in keys], np.int64)
        log = np.log(np.maximum(duration_ns, 1).astype(np.float64))
        roomy = slots >= 0
        at = np.maximum(slots, 0)
        long = duration_ns >= LONG_NS
        if not roomy.any():
            self._counters["route_limit"] += len(which)
            nothing = np.zeros(len(which), np.int64)
            return RouteComparison(
                nothing, nothing.copy(), nothing.copy(), long, nothing - 1, np.zeros(len(which), np.bool_)
            )
        n, total, square = self._sums[:3, at]
        mean = total / np.maximum(n, 1e-9)
        spread = np.maximum(np.sqrt(np.maximum(square / np.maximum(n, 1e-9) - mean**2, 0.0)), _LEAST_SPREAD)
        age = newest_ns - self._times[0, at]
        settled = age >= np.minimum(SETTLED_NS, (newest_ns - since) // 2)
        familiar = roomy & (n >= ENOUGH)
        far = np.where(familiar[which], (log - mean[which]) / spread[which], 0.0)
        untimed = self._untimed(at) & roomy
        known = (familiar & settled)[which]
        judged = familiar & (age >= np.minimum(LONG_TIMES * _QUARTER_NS, (newest_ns - since) // 2))
        self._counters["route_limit"] += int(np.count_nonzero(~roomy[which]))
        taught = np.where(far > _BEYOND, mean[which] + _BEYOND * spread[which], log)
        weight = np.where(far > _BEYOND, _SLOW_TEACHES, 1.0)
        if error is not None:
            weight = np.where(error & long, 0.0, weight)
        self._learn(slots, which, taught, weight, long, newest_ns)
        timed = known & ~untimed[which]
        level = np.where(timed, np.rint(mean[which] * THOUSANDTHS), 0.0).astype(np.int64)
        pace = np.where(timed, np.rint(np.clip(far, -FURTHEST, FURTHEST) * THOUSANDTHS), 0.0).astype(np.int64)
        strange = long & ~judged[which]
        cut = np.zeros(len(which), np.bool_) if error is None else _cut(strange & error, which, duration_ns)
        return RouteComparison(timed.astype(np.int64), level, pace, untimed[which] | strange, slots[which], cut)

    def _untimed(self, at: I64) -> B1:
        """Routes whose durations are no latency, by what was learnt of them."""
        n, total, square, long, same = self._sums[:, at]
        n = np.maximum(n, 1e-9)
        mean = total / n
        spread = np.sqrt(np.maximum(square / n - mean**2, 0.0))
        endless = mean >= np.log(_ENDLESS_NS)
        timer = (same >= _LONG_SHARE * n) & (self._end[at] >= np.log(_TIMER_NS))
        often = (n >= ENOUGH) & (long >= _LONG_SHARE * n) & (self._times[2, at] >= LONG_TIMES)
        found: B1 = often & (endless | timer | (spread >= _BROAD))
        return found

    def _learn(self, slots: I64, which: I64, log: F64, weight: F64, long: B1, now_ns: int) -> None:
        slot = slots[which]
        some = slot >= 0
        touched = np.unique(slot[some])
        passed = np.maximum(now_ns - self._times[1, touched], 0)
        self._sums[:, touched] *= 0.5 ** (passed / _HALF_LIFE_NS)
        for row, column in enumerate((weight, weight * log, weight * log**2)):
            np.add.at(self._sums[row], slot[some], column[some])
        self._times[1, touched] = np.maximum(self._times[1, touched], now_ns)
        slow = some & long & (weight > 0)
        if slow.any():
            np.add.at(self._sums[3], slot[slow], weight[slow])
            self._note_ends(slot[slow], log[slow], weight[slow])
            late, quarter = np.unique(slot[slow]), now_ns // _QUARTER_NS
            self._times[2, late] += self._times[3, late] < quarter
            self._times[3, late] = np.maximum(self._times[3, late], quarter)

    def _note_ends(self, slot: I64, log: F64, weight: F64) -> None:
        """Long requests: which are as long as the longest of their route."""
        for at, took, counts in zip(slot.tolist(), log.tolist(), weight.tolist(), strict=True):
            if took > self._end[at] + 2 * _SAME:
                self._end[at], self._sums[4, at] = took, counts
            elif took >= self._end[at] - _SAME:
                self._end[at] = max(took, self._end[at])
                self._sums[4, at] += counts
            else:
                self._end[at] -= _FORGET

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
            self._sums = np.concatenate([self._sums, np.zeros((_SUMS, size - self._sums.shape[1]))], axis=1)
            self._end = np.concatenate([self._end, np.zeros(size - len(self._end))])
            self._times = np.concatenate([self._times, np.zeros((4, size - self._times.shape[1]), np.int64)], axis=1)
        found = self._slot[service, route] = self._free.pop()
        self._names[found] = service, route
        self._end[found] = 0.0
        self._sums[:, found], self._times[:2, found], self._times[2:, found] = 0.0, now_ns, 0
        return found

    def _make_room(self, now_ns: int, service: str = "") -> None:
        """Let those routes leave (of one service, or of all) that are least of use and were not asked for of late."""
        if not service and now_ns < self._full_until_ns <= now_ns + QUIET_NS:
            return
        self._full_until_ns = self._full_until_ns if service else now_ns + QUIET_NS
        keys = [k for k in self._slot if not service or k[0] == service]
        first, last = self._times[:2, [self._slot[k] for k in keys]]
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
        return [[list(k) for k in keys], self._sums[:, at], self._times[:, at], since, self._end[at]]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        keys, since = state[0], state[3]
        # Of before there were long ones, a snapshot has fewer rows.
        self._sums, self._times = (
            np.concatenate([a, np.zeros((n - len(a), a.shape[1]), a.dtype)])
            for a, n in zip(state[1:3], (_SUMS, 4), strict=True)
        )
        self._end = state[4].copy() if len(state) > 4 else np.zeros(len(keys))
        self._slot = {(service, route): i for i, (service, route) in enumerate(keys)}
        self._of_service = {service: [first, 0] for service, first in since}
        self._names = {i: key for key, i in self._slot.items()}
        self._free = []
        for service, _ in self._slot:
            self._of_service[service][1] += 1


def _cut(failed: B1, which: I64, duration_ns: I64) -> B1:
    """Which of failed requests that last seconds, of routes that are not known yet, were sessions."""
    found = failed & (duration_ns >= _ENDLESS_NS)
    rows = np.flatnonzero(failed)
    for route in np.unique(which[rows]).tolist():
        of_route = rows[which[rows] == route]
        if np.ptp(duration_ns[of_route]) >= LONG_NS:
            found[of_route] = True
    return found


def pairs(service: I64, name: I64, services: int) -> tuple[I64, I64, I64]:
    """Distinct pairs of numbers (services are below `services`), as two columns, and each row's entry of them."""
    listed, which = dense(name * services + service)
    names, numbers = np.divmod(listed, services)
    return numbers, names, which
