"""Who answers at numeric addresses, each in its time: by calls that were joined with spans of those who answered, and by a cluster's word.

An address of a pod is given to another one within minutes, or seconds. Whose it is now is told by the newest joined calls: once some in
a row were answered by somebody who was not there before, and by nobody else, it has changed hands, from the first of these calls on.
What came before it, however late it is heard of, was the former owner's. Several may answer at one address at the same time (a gateway, a
node's ports): their calls are mixed, and whoever comes back soon after it was taken to have left has never left.

A cluster tells of it at once, and of those who send no spans (`handed`): the owner before is over from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from contracts.external import EXTERNAL
from contracts.frames.decoded import B1, I64, U64
from contracts.units import MINUTE, SECOND
from streams.windows.addresses import KEPT_NS
from streams.windows.tables import mix

ENOUGH: Final = 3
"""Calls in a row, answered by somebody new, that tell that an address has changed hands."""
SKEW_NS: Final = 5 * SECOND
"""Callers' clocks may be so far apart: the last call to one owner may seem to be later than the first to the next."""
BACK_NS: Final = MINUTE
"""Whoever answers again so soon after it was over has not left: several answer there, as they do who have answered side by side for as
long."""
ALONE_NS: Final = 10 * MINUTE
"""Where several answered, and only one has for so long, it has the address for itself."""
OPEN: Final = 1 << 62
MOST_SITES: Final = 20_000
_MOST: Final = 8


@dataclass(slots=True)
class Tenure:
    """One owner's time at an address: the first and the last call that was joined, from when until when it is taken to have had it, and how
    far event time had come when its end was known."""

    owner: int
    first_ns: int
    last_ns: int
    from_ns: int = 0
    to_ns: int = OPEN
    known_ns: int = OPEN


@dataclass(slots=True)
class _Site:
    tenures: list[Tenure] = field(default_factory=list)
    is_shared: bool = False
    hands: int = 0
    """How often it has changed hands."""
    handed_ns: int = 0
    row: int = 0
    """Calls in a row that one owner answered since any other did, whose they are, and since when."""
    row_owner: int = -1
    row_ns: int = 0

    def take(self, owner: int, begun: tuple[int, int], calls: int, newest_ns: int) -> bool:
        """Calls one after the other were answered by one owner, begun from when until when. Whether whose the address was is another now."""
        at, back = self._tenure(owner, begun[0])
        at.first_ns, at.last_ns = min(at.first_ns, begun[0]), max(at.last_ns, begun[1])
        others = [t for t in self.tenures if t is not at and t.to_ns == OPEN]
        if at.to_ns != OPEN or not others:  # it is told late, or there is nobody else
            return back
        floor_ns = max(t.last_ns for t in others)
        if self.is_shared:
            return self._is_alone(at, others, floor_ns, newest_ns) or back
        self.is_shared = floor_ns - at.first_ns > BACK_NS and at.last_ns - max(t.first_ns for t in others) > BACK_NS
        return self._follows(at, others, begun, calls, newest_ns) or back

    def _tenure(self, owner: int, ns: int) -> tuple[Tenure, bool]:
        """The tenure that a call of this time belongs to, and whether another one of its owner's was over."""
        mine = [t for t in self.tenures if t.owner == owner]
        for at in mine:
            if at.from_ns - SKEW_NS <= ns < (at.to_ns + SKEW_NS if at.to_ns != OPEN else OPEN):
                return at, False
        if mine and 0 <= ns - mine[-1].to_ns <= BACK_NS and mine[-1].to_ns != self.handed_ns:
            at = mine[-1]
            for after in self.tenures:
                if after.from_ns == at.to_ns:  # what was taken for a change was none
                    after.from_ns = 0
            at.to_ns = at.known_ns = OPEN
            self.is_shared = True
            return at, True
        at = Tenure(owner, ns, ns, ns if mine else 0)
        self.tenures = [*self.tenures, at][-_MOST:]
        return at, bool(mine)

    def _follows(self, at: Tenure, others: list[Tenure], begun: tuple[int, int], calls: int, newest_ns: int) -> bool:
        """Count calls in a row; whether with these the address has changed hands."""
        floor_ns = max(t.last_ns for t in others)
        if begun[1] <= floor_ns:
            return False
        if self.row_owner != at.owner or self.row_ns <= floor_ns:
            self.row_owner, self.row, self.row_ns = at.owner, 0, max(begun[0], floor_ns + 1)
        self.row += calls
        over = [t for t in others if at.first_ns > max(t.last_ns - SKEW_NS, t.first_ns)]
        if self.is_shared or self.row < ENOUGH or not over:
            return False
        self._over(over, max(at.first_ns, *(t.last_ns + 1 for t in over)), newest_ns)
        at.from_ns = over[0].to_ns
        return True

    def _is_alone(self, at: Tenure, others: list[Tenure], floor_ns: int, newest_ns: int) -> bool:
        if at.last_ns - floor_ns <= ALONE_NS:
            return False
        self._over(others, floor_ns + 1, newest_ns)
        self.is_shared = False
        return True

    def _over(self, tenures: list[Tenure], to_ns: int, newest_ns: int) -> None:
        for tenure in tenures:
            tenure.to_ns, tenure.known_ns = to_ns, max(to_ns, newest_ns)
        self.hands, self.row = self.hands + 1, 0
        self.tenures = [t for t in self.tenures if to_ns - t.to_ns <= KEPT_NS]

    def hand(self, owner: int, since_ns: int, newest_ns: int) -> bool:
        """It is somebody's since a time, by the word of who gives addresses; whether that is news."""
        if since_ns <= self.handed_ns:
            return False
        over = [t for t in self.tenures if t.owner != owner and t.to_ns == OPEN and t.last_ns < since_ns + SKEW_NS]
        if not over:
            return False
        self.handed_ns, self.is_shared = max(since_ns, *(t.last_ns + 1 for t in over)), False
        self._over(over, self.handed_ns, newest_ns)
        return True


def is_numeric(peer: str) -> bool:
    """Whether a peer (`external:<host>`) is known by a number, which others are given in their turn."""
    host = peer.removeprefix(EXTERNAL)
    return ":" in host or host.rpartition(".")[2].isdigit()


class Tenures:
    """The numeric addresses of one environment, by the hash that client spans carry as their site. Owners are numbers of services."""

    def __init__(self) -> None:
        self._sites: dict[int, _Site] = {}
        self._heard: set[int] = set()
        self._numeric: U64 = np.empty(0, np.uint64)
        self._build()

    def hear(self, sites: Iterable[int]) -> None:
        """These are numeric addresses."""
        fresh = [s for s in sites if s not in self._heard]
        if not fresh:
            return
        if len(self._heard) + len(fresh) > MOST_SITES:
            self._heard, self._sites = set(), {}
            self._build()
        self._heard.update(fresh)
        self._numeric = np.array(sorted(self._heard), np.uint64)

    def joined(self, sites: U64, owners: I64, begun_ns: I64, newest_ns: int) -> None:
        """Calls of these sites were answered by spans of these services. `begun_ns`: when the calls began, by their callers; `newest_ns`: how
        far event time has come."""
        some = np.flatnonzero(_within(sites, self._numeric))
        if not len(some):
            return
        site, owner, begun = sites[some], owners[some], begun_ns[some]
        apart = np.where(_within(site, self._shared), owner, 0)  # there it is of no matter who answered after whom
        order = np.lexsort((begun, apart, site))
        site, owner, begun = site[order], owner[order], begun[order]
        first = np.flatnonzero(np.r_[True, (site[1:] != site[:-1]) | (owner[1:] != owner[:-1])])
        last = np.r_[first[1:], len(site)] - 1
        rows = (site[first], owner[first], begun[first], begun[last], last - first + 1)
        turned = False
        for where, who, since, until, calls in zip(*(c.tolist() for c in rows), strict=True):
            known = self._sites.setdefault(where, _Site())
            shared = known.is_shared
            turned |= known.take(who, (since, until), calls, newest_ns) or known.is_shared != shared
        if turned:
            self._build()

    def handed(self, site: int, owner: int, since_ns: int, newest_ns: int) -> None:
        """A cluster says that an address is this service's (-1: somebody's of whom nothing is known) since a time."""
        known = self._sites.get(site)
        if known is not None and known.hand(owner, since_ns, newest_ns):
            self._build()

    def holds(self, sites: U64, owners: I64, begun_ns: I64, *, known: bool = True) -> B1:
        """Whether, as far as is known, calls that began at these times may have gone to these owners. Not `known`: whether that was so when the
        calls were heard of, before it was known who had left."""
        found = np.ones(len(sites), np.bool_)
        some = np.flatnonzero(_within(sites, self._turned))
        if not len(some):
            return found
        keys, begun = mix(sites[some], owners[some].astype(np.uint64)), begun_ns[some]
        low, high = np.searchsorted(self._keys, keys, "left"), np.searchsorted(self._keys, keys, "right")
        ends = self._to if known else self._known
        held = low == high
        for step in range(int((high - low).max())):
            at = np.minimum(low + step, len(self._keys) - 1)
            held |= (low + step < high) & (self._from[at] <= begun) & (begun < ends[at])
        found[some] = held
        return found

    def hands(self, sites: U64) -> U64:
        """How often each address has changed hands: what was learnt of its answers before is of the former owner."""
        found = np.zeros(len(sites), np.uint64)
        some = np.flatnonzero(_within(sites, self._turned))
        found[some] = self._hands[np.searchsorted(self._turned, sites[some])]
        return found

    def last_ns(self, site: int) -> int:
        """When the last call began that was answered; 0 if none was."""
        known = self._sites.get(site)
        return max((t.last_ns for t in known.tenures), default=0) if known is not None else 0

    def of(self, site: int) -> list[Tenure]:
        """Whose an address has been, in order of time."""
        known = self._sites.get(site)
        return sorted(known.tenures, key=lambda t: t.first_ns) if known is not None else []

    def forget(self, owners: Iterable[int]) -> None:
        """These numbers are given to others."""
        gone = set(owners)
        if not gone:
            return
        for site in self._sites.values():
            site.tenures = [t for t in site.tenures if t.owner not in gone]
        self._build()

    def _build(self) -> None:
        turned = sorted((site, known) for site, known in self._sites.items() if known.hands) if self._sites else []
        self._turned: U64 = np.array([site for site, _ in turned], np.uint64)
        self._hands: U64 = np.array([known.hands for _, known in turned], np.uint64)
        self._shared: U64 = np.array(sorted(s for s, known in self._sites.items() if known.is_shared), np.uint64)
        told = [(site, t) for site, known in turned for t in known.tenures]
        sites, owners = (np.array(c, np.uint64) for c in ([s for s, _ in told], [t.owner for _, t in told]))
        keys = mix(sites, owners)
        order = np.argsort(keys)
        self._keys: U64 = keys[order]
        columns = np.array([(t.from_ns, t.to_ns, t.known_ns) for _, t in told], np.int64).reshape(-1, 3)[order]
        self._from, self._to, self._known = columns[:, 0], columns[:, 1], columns[:, 2]

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [[site, [_row(t) for t in k.tenures], *_row(k)[1:]] for site, k in self._sites.items()]

    def load(self, state: list[Any], heard: Iterable[int]) -> None:
        """Take the state of a snapshot. `heard`: the numeric addresses that are known."""
        self._sites = {site: _Site([Tenure(*t) for t in tenures], *rest) for site, tenures, *rest in state}
        self._heard = set(heard) | self._sites.keys()
        self._numeric = np.array(sorted(self._heard), np.uint64)
        self._build()


def _row(value: Tenure | _Site) -> list[Any]:
    return [getattr(value, name) for name in value.__slots__]


def _within(keys: U64, known: U64) -> B1:
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    found: B1 = known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
    return found
