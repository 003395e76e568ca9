"""What each route of a caller usually calls, so that calls are expected by what is asked for.

A caller whose client spans tell of its calls says itself how many it made (`streams.windows.calls`, ASKED). Of one without them only the
requests that it serves are known, and these differ: a page that calls nobody, asked for by a crawler, is no reason to expect calls.
So for each route (the `site` of a span that serves) it is counted how often it is served, and how often each callee was seen to serve
on its behalf. A request that is served is then due so many calls to each callee, in thousandths, and so is one that fails: the sums
of both go beside the calls that were seen.

Only calls whose caller tells nothing else of them count here: those that have no client span. All is decayed, with a half-life of `HALF_LIFE_NS`, so a
silence of minutes does not become usual. Of each service those routes stay that are asked for most, of each route the callees that are
called most; a name that everybody makes up drives out nobody's but its own service's.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from contracts.frames.decoded import B1, F64, I64, U64
from contracts.units import HOUR
from streams.windows.rows import UNIT
from streams.windows.tables import mix, ranges

HALF_LIFE_NS: Final = HOUR
ROUTES_KEPT: Final = 128
"""Routes of a service that are kept; it may have twice as many in between."""
CALLEES_KEPT: Final = 32
_LEAST_WEIGHT: Final = 1e-3
_NO_ROUTE: Final = np.uint64(0)


class RouteCalls:
    """Requests by route, and calls by route and callee, of one environment and partition of traces."""

    def __init__(self) -> None:
        self._routes: U64 = np.empty(0, np.uint64)
        """Keys of routes, sorted; see `route_keys`."""
        self._served: F64 = np.empty(0)
        self._services: I64 = np.empty(0, np.int64)
        self._pairs: tuple[U64, I64] = np.empty(0, np.uint64), np.empty(0, np.int64)
        """Route and callee of each pair, sorted."""
        self._calls: F64 = np.empty(0)
        self._callers: I64 = np.empty(0, np.int64)
        """Services that make calls that count here."""
        self._decayed_ns = 0

    def __len__(self) -> int:
        return len(self._routes)

    def calling(self, services: I64) -> B1:
        """Which services are known to make calls that count here; requests of others need not be."""
        found: B1 = np.isin(services, self._callers)
        return found

    def served(self, services: I64, routes: U64, weight: I64) -> None:
        """Learn of requests; `weight` in thousandths."""
        keys = route_keys(services, routes)
        found, first, place = np.unique(keys, return_index=True, return_inverse=True)
        at = np.searchsorted(self._routes, found)
        fresh = at == len(self._routes)
        fresh[~fresh] = self._routes[at[~fresh]] != found[~fresh]
        if fresh.any():
            into = at[fresh]
            self._routes = np.insert(self._routes, into, found[fresh])
            self._served = np.insert(self._served, into, 0.0)
            self._services = np.insert(self._services, into, services[first[fresh]])
        self._served[np.searchsorted(self._routes, found)] += np.bincount(place.ravel(), weight / UNIT, len(found))
        if fresh.any():
            self._prune(_most(self._services, self._served, ROUTES_KEPT))

    def callers(self, services: I64) -> None:
        """Begin to count the requests of services."""
        self._callers = np.union1d(self._callers, services)

    def called(self, services: I64, routes: U64, callees: I64, weight: I64) -> None:
        """Learn of calls made on behalf of requests. One of a route that is not kept teaches nothing."""
        keys = route_keys(services, routes)
        some = np.isin(keys, self._routes)
        order = np.lexsort(
            (np.concatenate([self._pairs[1], callees[some]]), np.concatenate([self._pairs[0], keys[some]]))
        )
        route = np.concatenate([self._pairs[0], keys[some]])[order]
        callee = np.concatenate([self._pairs[1], callees[some]])[order]
        starts = np.flatnonzero(np.append(True, (route[1:] != route[:-1]) | (callee[1:] != callee[:-1]))[: len(route)])
        if not len(starts):
            return
        before = len(self._calls)
        self._calls = np.add.reduceat(np.concatenate([self._calls, weight[some] / UNIT])[order], starts)
        self._pairs = route[starts], callee[starts]
        if len(starts) > before:
            kept = _most(self._pairs[0], self._calls, CALLEES_KEPT)
            self._pairs, self._calls = (self._pairs[0][kept], self._pairs[1][kept]), self._calls[kept]

    def due(self, services: I64, routes: U64) -> tuple[I64, I64, F64]:
        """Calls that requests usually make: which request, the callee, and how many calls."""
        keys = route_keys(services, routes)
        low, high = (np.searchsorted(self._pairs[0], keys, side) for side in ("left", "right"))
        which, at = ranges(low.astype(np.int64), high.astype(np.int64))
        place = np.searchsorted(self._routes, keys[which])
        return which, self._pairs[1][at], self._calls[at] / np.maximum(self._served[place], _LEAST_WEIGHT)

    def decay(self, now_ns: int) -> None:
        """Let what was learnt fade."""
        passed_ns, self._decayed_ns = now_ns - self._decayed_ns, now_ns
        if 0 < passed_ns < now_ns:
            factor = 0.5 ** (passed_ns / HALF_LIFE_NS)
            self._served *= factor
            self._calls *= factor

    def forget(self, gone: I64) -> None:
        """Services of these numbers are no longer those."""
        self._callers = self._callers[~np.isin(self._callers, gone)]
        self._prune(~np.isin(self._services, gone))
        kept = ~np.isin(self._pairs[1], gone)
        self._pairs, self._calls = (self._pairs[0][kept], self._pairs[1][kept]), self._calls[kept]

    def _prune(self, kept: B1) -> None:
        if kept.all():
            return
        self._routes, self._served, self._services = self._routes[kept], self._served[kept], self._services[kept]
        known = np.isin(self._pairs[0], self._routes)
        self._pairs, self._calls = (self._pairs[0][known], self._pairs[1][known]), self._calls[known]

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [self._routes, self._served, self._services, *self._pairs, self._calls, self._callers, self._decayed_ns]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._routes, self._served, self._services, route, callee, self._calls, self._callers = (
            c.copy() for c in state[:7]
        )
        self._pairs, self._decayed_ns = (route, callee), state[7]


def route_keys(services: I64, routes: U64) -> U64:
    """A key per service and route; a route of 0 is that of a service of which no routes are told."""
    return mix(services.astype(np.uint64), routes)


def _most(groups: Any, counts: F64, most: int) -> B1:
    """Which rows stay: all of groups of up to twice `most` rows, else the `most` with the largest counts."""
    order = np.lexsort((-counts, groups))
    ordered = groups[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    size = np.diff(np.append(starts, len(ordered)))
    rank = np.arange(len(ordered)) - np.repeat(starts, size)
    kept = np.ones(len(ordered), np.bool_)
    kept[order] = (np.repeat(size, size) <= 2 * most) | (rank < most)
    return kept
