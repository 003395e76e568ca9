"""Which calls the requests that failed had failed with: what a service hands on, and what is its own.

A request fails by itself, or because a call that it made failed. Rates can't tell the two apart where requests are few, where one makes
several calls, or where a call that failed is made again and succeeds. Spans can: the calls of a request are below it in its trace. So of
each request that failed it is counted with which callees its calls failed; requests that went well in spite of a failed call count
nothing, and of a request that failed without one nobody but its service is said to be the reason.

A call ends before the request that made it, and is mostly heard of before it: it waits for its request, as long as halves of calls wait
for each other. A request counts once for each callee, however often it tried.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import I64, KIND_CLIENT, U64
from streams.windows.names import Names
from streams.windows.request_rows import kinds_of, requests_behind
from streams.windows.tables import KeyTable, Rows, end_to_end, mix

MOST_WAITING: Final = 50_000
"""Failed calls that wait for their request, the latest."""
MOST_PEERS: Final = 20_000
"""Peers by the site of the spans that call them; full, it begins anew."""
_SLICES: Final = 8
_MOST_COUNTED: Final = 1 << 18
UNKNOWN: Final = -1

Blamed = tuple[I64, I64, I64, I64]
"""Ends of requests (ns), their services, the callees with whose calls they failed, and how many requests each stands for, in thousandths."""


class FailedCalls:
    """Failed calls of one environment and partition of traces, on their way to the requests that made them."""

    def __init__(self, names: Names, horizon_ns: int, dtype: np.dtype[Any]) -> None:
        self._names, self._horizon_ns, self._dtype = names, horizon_ns, dtype
        self._waiting: Rows = np.empty(0, dtype)
        self._callees: I64 = np.empty(0, np.int64)
        self._counted = self._nothing_counted()
        """Requests with the callees that they were counted for."""
        self._peers: dict[int, str] = {}

    def _nothing_counted(self) -> KeyTable:
        return KeyTable(None, max(1, self._horizon_ns // _SLICES), _MOST_COUNTED)

    def hear(self, peers: Iterable[tuple[int, str]]) -> None:
        """Client spans of these sites call these peers."""
        for site, text in peers:
            if len(self._peers) >= MOST_PEERS and site not in self._peers:
                self._peers = {}
            self._peers[site] = text

    def peers(self, sites: U64) -> I64:
        """Numbers of the peers that client spans of these sites name; UNKNOWN where they name none that is known."""
        known = {s: self._names.number(self._peers[s]) for s in np.unique(sites).tolist() if s in self._peers}
        return np.array([known.get(s, UNKNOWN) for s in sites.tolist()], np.int64)

    def add(self, made: Rows, callees: I64) -> None:
        """Calls failed. `made` are the spans of the callers in which they were made, or which they are; those of whom nobody knows where
        they lead are left out."""
        some = np.flatnonzero(callees >= 0)
        if len(some):
            self._waiting = end_to_end([self._waiting, made.take(some)])[-MOST_WAITING:]
            self._callees = np.concatenate([self._callees, callees[some]])[-MOST_WAITING:]

    def find(self, known: KeyTable, newest_ns: int) -> Blamed:
        """The requests that failed with them, of those whose request has come by now. `known`: spans of the last while; `newest_ns`: how far
        event time has come."""
        if not len(self._waiting):
            none = np.empty(0, np.int64)
            return none, none, none, none
        alone = np.flatnonzero((kinds_of(self._waiting) == KIND_CLIENT) & (self._waiting["parent"] == 0))
        at, requests = requests_behind(self._waiting, known)
        at, requests = np.concatenate([alone, at]), end_to_end([self._waiting.take(alone), requests])
        failed = np.flatnonzero(requests["error"])
        callees, requests = self._callees[at[failed]], requests.take(failed)
        keys, first = np.unique(
            mix(mix(requests["trace"], requests["span"]), callees.astype(np.uint64)), return_index=True
        )
        fresh = ~self._counted.contains(keys)
        self._counted.insert(keys[fresh], None, newest_ns)
        self._counted.expire(newest_ns - self._horizon_ns)
        self._keep(at, newest_ns)
        chosen = first[fresh]
        one = requests.take(chosen)
        return (
            one["end_ns"].astype(np.int64),
            one["service"].astype(np.int64),
            callees[chosen],
            one["weight"].astype(np.int64),
        )

    def _keep(self, found: I64, newest_ns: int) -> None:
        left = self._waiting["end_ns"] >= newest_ns - self._horizon_ns
        left[found] = False
        self._waiting, self._callees = self._waiting.take(np.flatnonzero(left)), self._callees[left]

    def numbers(self) -> I64:
        """Numbers of names that wait."""
        return np.union1d(self._waiting["service"].astype(np.int64), self._callees)

    def state(self) -> list[Any]:
        """For a snapshot."""
        peers = [[s, t] for s, t in self._peers.items()]
        return [self._waiting.tobytes(), self._callees, self._counted.state(), peers]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        waiting, self._callees = state[0], state[1].copy()
        self._waiting = np.frombuffer(waiting, self._dtype) if waiting else np.empty(0, self._dtype)
        self._counted = self._nothing_counted()
        self._counted.load(state[2])
        self._peers = dict(state[3])
