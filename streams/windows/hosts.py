"""Addresses that callers name, and who answers there: a service whose own spans are joined with the calls, or somebody outside.

A client span that knows its callee by nothing but an address says so by its site, a hash of that address (`SpanFrame.hosts` has the
texts). Whose spans are once joined with such calls answers there. An address that has been called for a while and was never answered
is outside of what sends telemetry: `external:<host>`, and calls to it are told as its caller sees them. An answer heard later ends that.
Each partition of traces learns for itself: all of them see the same addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.frames.decoded import B1, I64, U64
from contracts.units import DAY, MINUTE, SECOND
from streams.windows.addresses import KEPT_NS
from streams.windows.tables import Rows
from streams.windows.tenures import OPEN

PATIENCE_NS: Final = 10 * SECOND
"""So long after it was first named an address that nobody has answered at is taken to be outside."""
ANSWERED_NS: Final = DAY
"""So long a service that answered at an address has it: a service that is away for hours is not outside."""
LEASED_NS: Final = 10 * MINUTE
"""The same of numeric addresses, which others are given in their turn."""
MOST_HOSTS: Final = 20_000


class Spell(NamedTuple):
    """From when until when an address was outside, by the beginning of calls, and when that was told."""

    from_ns: int
    to_ns: int
    told_ns: int


def _columns(spells: list[tuple[int, Spell]]) -> tuple[U64, I64, I64]:
    times = np.array([(p.from_ns, p.to_ns) for _, p in spells], np.int64).reshape(-1, 2)
    return np.array([s for s, _ in spells], np.uint64), times[:, 0], times[:, 1]


class Hosts:
    """The addresses of one environment, by the hash that client spans carry as their site."""

    def __init__(self) -> None:
        self.text: dict[int, str] = {}
        self.heard = 0
        """Grows with each address that is heard of for the first time."""
        self._first_ns: dict[int, int] = {}
        self._answered_ns: dict[int, int] = {}
        self._outside: U64 = np.empty(0, np.uint64)
        self._spells: dict[int, Spell] = {}
        """Times in which addresses are outside that are a service's at others."""
        self._spelled = _columns([])
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
                self.heard += 1

    def answered(self, sites: U64, now_ns: int, begun_ns: I64 | None = None) -> None:
        """Calls of these sites, which began when `begun_ns` says, were joined with spans of those who answered them."""
        found, place = np.unique(sites, return_inverse=True)
        latest, earliest = np.zeros(len(found), np.int64), np.full(len(found), OPEN, np.int64)
        if begun_ns is not None:
            np.maximum.at(latest, place.ravel(), begun_ns)
            np.minimum.at(earliest, place.ravel(), begun_ns)
        for site, last_ns, first_ns in zip(*(c.tolist() for c in (found, latest, earliest)), strict=True):
            spell = self._spells.get(site)
            if spell is not None and spell.to_ns == OPEN and (begun_ns is None or last_ns >= spell.from_ns):
                waited = now_ns - spell.told_ns >= PATIENCE_NS
                self._ended(site, spell.from_ns, max(first_ns, spell.from_ns) if waited else OPEN, spell.told_ns)
            elif site not in self._answered_ns and site in self.text:
                self._fresh = True
                if now_ns - self._first_ns[site] >= PATIENCE_NS:
                    self._ended(site, 0, first_ns, now_ns)
            self._answered_ns[site] = now_ns
        if len(self._answered_ns) > 2 * MOST_HOSTS:
            self._answered_ns = {s: ns for s, ns in self._answered_ns.items() if s in self.text}

    def _ended(self, site: int, from_ns: int, to_ns: int, told_ns: int) -> None:
        """It was outside until a service answered there."""
        self._spells.pop(site, None)
        if to_ns < OPEN:
            self._spells[site] = Spell(from_ns, to_ns, told_ns)
        self._fresh = True

    def handed(self, site: int, since_ns: int, answered_ns: int, now_ns: int) -> None:
        """An address was given to somebody at a time, by the word of who gives them; the last call that was answered there began at
        `answered_ns`. Unless the new owner answers it is outside since then, as soon as one has waited for that."""
        known = self._spells.get(site)
        if (
            site not in self._answered_ns
            or answered_ns >= since_ns
            or (known is not None and since_ns <= known.from_ns)
        ):
            return
        self._spells[site] = Spell(since_ns, OPEN, now_ns)
        self._fresh = True

    def carried(self, carrying: U64, outer: U64, now_ns: int) -> None:
        """Spans of the sites `carrying` are the transport of those of `outer`: an SDK's request, a proxy's. Who answers the one answers
        the other."""
        pairs = {(a, b) for a, b in zip(carrying.tolist(), outer.tolist(), strict=True)}
        reached = [b for a, b in pairs if a in self._answered_ns]
        if reached:
            self.answered(np.array(reached, np.uint64), now_ns)

    def is_outside(self, sites: U64, now_ns: int, begun_ns: I64 | None = None) -> B1:
        """Which sites are addresses of somebody who sends no spans, or were when calls began."""
        if self._fresh or now_ns - self._looked_ns >= PATIENCE_NS // 10 or now_ns < self._looked_ns:
            self._look(now_ns)
        found = np.zeros(len(sites), np.bool_)
        if len(self._outside):
            at = np.minimum(np.searchsorted(self._outside, sites), len(self._outside) - 1)
            found = self._outside[at] == sites
        spelled, from_ns, to_ns = self._spelled
        if len(spelled) and begun_ns is not None:
            at = np.minimum(np.searchsorted(spelled, sites), len(spelled) - 1)
            found |= (spelled[at] == sites) & (from_ns[at] <= begun_ns) & (begun_ns < to_ns[at])
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
        self._spells = {s: p for s, p in self._spells.items() if now_ns - p.told_ns <= KEPT_NS}
        self._spelled = _columns(
            [(s, p) for s, p in sorted(self._spells.items()) if p.to_ns < OPEN or now_ns - p.told_ns >= PATIENCE_NS]
        )
        self._looked_ns, self._fresh = now_ns, False

    def _begin_anew(self) -> None:
        self.text, self._first_ns, self._answered_ns, self._spells = {}, {}, {}, {}

    def mend(self, now_ns: int) -> None:
        """Nothing was seen after now, whatever was believed."""
        for known in (self._first_ns, self._answered_ns):
            known.update({s: min(ns, now_ns) for s, ns in known.items()})
        self._spells = {s: p._replace(told_ns=min(p.told_ns, now_ns)) for s, p in self._spells.items()}

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        return [[s, t, self._first_ns[s], self._answered_ns.get(s, 0)] for s, t in self.text.items()]

    def spells(self) -> list[list[int]]:
        """For a snapshot, too."""
        return [[s, *p] for s, p in self._spells.items()]

    def load(self, state: list[list[Any]], spells: Iterable[list[int]] = ()) -> None:
        """Take the state of a snapshot."""
        self._spells = {s: Spell(*p) for s, *p in spells}
        self.text = {s: t for s, t, _, _ in state}
        self.heard += 1
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
