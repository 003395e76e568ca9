"""Addresses that callers name, and who answers there: a service whose own spans are joined with the calls, or somebody outside.

A client span that knows its callee by nothing but an address says so by its site, a hash of that address (`SpanFrame.hosts` has the
texts). Whose spans are once joined with such calls answers there. An address that has been called for a while and was never answered
is outside of what sends telemetry: `external:<host>`, and calls to it are told as its caller sees them. An answer heard later ends that.
Each partition of traces learns for itself: all of them see the same addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import B1, U64
from contracts.units import DAY, MINUTE, SECOND
from streams.windows.tables import Rows

PATIENCE_NS: Final = 10 * SECOND
"""So long after it was first named an address that nobody has answered at is taken to be outside."""
ANSWERED_NS: Final = DAY
"""So long a service that answered at an address has it: a service that is away for hours is not outside."""
LEASED_NS: Final = 10 * MINUTE
"""The same of numeric addresses, which others are given in their turn."""
MOST_HOSTS: Final = 20_000


class Hosts:
    """The addresses of one environment, by the hash that client spans carry as their site."""

    def __init__(self) -> None:
        self.text: dict[int, str] = {}
        self._first_ns: dict[int, int] = {}
        self._answered_ns: dict[int, int] = {}
        self._outside: U64 = np.empty(0, np.uint64)
        self._looked_ns = 0
        self._fresh = True

    def hear(self, hosts: Iterable[tuple[int, str]], now_ns: int) -> None:
        """Client spans name these addresses."""
        for site, text in hosts:
            if site not in self.text:
                if len(self.text) >= MOST_HOSTS:
                    self._begin_anew()
                self.text[site] = text
                self._first_ns[site] = now_ns
                self._fresh = True

    def answered(self, sites: U64, now_ns: int) -> None:
        """Calls of these sites were joined with spans of those who answered them."""
        for site in np.unique(sites).tolist():
            self._fresh |= site not in self._answered_ns and site in self.text
            self._answered_ns[site] = now_ns
        if len(self._answered_ns) > 2 * MOST_HOSTS:
            self._answered_ns = {s: ns for s, ns in self._answered_ns.items() if s in self.text}

    def carried(self, carrying: U64, outer: U64, now_ns: int) -> None:
        """Spans of the sites `carrying` are the transport of those of `outer`: an SDK's request, a proxy's. Who answers the one answers
        the other."""
        pairs = {(a, b) for a, b in zip(carrying.tolist(), outer.tolist(), strict=True)}
        reached = [b for a, b in pairs if a in self._answered_ns]
        if reached:
            self.answered(np.array(reached, np.uint64), now_ns)

    def is_outside(self, sites: U64, now_ns: int) -> B1:
        """Which sites are addresses of somebody who sends no spans."""
        if self._fresh or now_ns - self._looked_ns >= PATIENCE_NS // 10 or now_ns < self._looked_ns:
            self._look(now_ns)
        if not len(self._outside):
            return np.zeros(len(sites), np.bool_)
        at = np.minimum(np.searchsorted(self._outside, sites), len(self._outside) - 1)
        found: B1 = self._outside[at] == sites
        return found

    def _look(self, now_ns: int) -> None:
        for site, last_ns in list(self._answered_ns.items()):
            kept_ns = LEASED_NS if self.text.get(site, "").rpartition(":")[2][:1].isdigit() else ANSWERED_NS
            if now_ns - last_ns > kept_ns:
                del self._answered_ns[site]
                if site in self.text:
                    self._first_ns[site] = now_ns
        waited = (s for s, ns in self._first_ns.items() if s not in self._answered_ns and now_ns - ns >= PATIENCE_NS)
        self._outside = np.array(sorted(waited), np.uint64)
        self._looked_ns, self._fresh = now_ns, False

    def _begin_anew(self) -> None:
        self.text, self._first_ns, self._answered_ns = {}, {}, {}

    def mend(self, now_ns: int) -> None:
        """Nothing was seen after now, whatever was believed."""
        for known in (self._first_ns, self._answered_ns):
            known.update({s: min(ns, now_ns) for s, ns in known.items()})

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        return [[s, t, self._first_ns[s], self._answered_ns.get(s, 0)] for s, t in self.text.items()]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self.text = {s: t for s, t, _, _ in state}
        self._first_ns = {s: first for s, _, first, _ in state}
        self._answered_ns = {s: last for s, _, _, last in state if last}
        self._fresh = True


def is_carried(children: Rows, parents: Rows, kinds: tuple[int, ...]) -> B1:
    """Which child spans are the transport of another client span (of one of these kinds) of the same service: the HTTP request of a cloud's
    SDK. They are no calls of their own."""
    same: B1 = (children["service"] == parents["service"]) & (children["trace"] == parents["trace"])
    if not same.any():
        return same
    found: B1 = same & np.isin(parents["kind"], kinds)
    return found
