"""Callers' names for their callees: `external:<name>`, from `peer.service`, may stand for a service that sends telemetry."""

from __future__ import annotations

from typing import Final

from contracts.capacity import ROOMY
from contracts.external import EXTERNAL
from contracts.meant_names import meant_by
from contracts.units import MINUTE, SECOND
from graph.world.topology import Topology

PATIENCE_NS: Final = 10 * SECOND
"""A name that no service has claimed for this long belongs to something uninstrumented."""
COUNTED_NS: Final = MINUTE
"""So long after spans of both sides of a call were joined its joined spans are taken to count it: after that its caller's word does, or nothing
would, and the call would be forgotten."""
MOST_WAITING: Final = 20_000
"""Names of which it is not known yet, or was not when they came, whether they are a service's."""


class Aliases:
    """Which service a caller means. `views` is, per call `(caller, service)`, the name under which the caller knows it."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._first_ns: dict[str, int] = {}
        self._resolved: dict[str, str] = {}
        self._joined: dict[tuple[str, str], set[str]] = {}
        """By caller and last part of a name, the services of that name that its spans were joined with."""
        self.views: dict[tuple[str, str], str] = {}
        self._joined_ns: dict[tuple[str, str], int] = {}
        """The newest window in which spans of both sides of a call were joined."""
        self.left = 0
        """Names that were forgotten to make room."""

    def resolve(self, caller: str, named: str, time_ns: int) -> str:
        """The callee of a call whose row is to be counted; "" where joined spans count it, or it is too early to say."""
        if not named.startswith(EXTERNAL):
            self._join(caller, named)
            self._joined_ns[caller, named] = time_ns
            return named
        joined = self._joined.get((caller, named.removeprefix(EXTERNAL)), set())
        if len(joined) > 1:
            return ""  # it calls several of that name: whose row it is can't be told, and joined spans count each
        service = next(iter(joined), "") or self._resolved.get(named) or self._claimed(named, caller)
        if service:
            self.views[caller, service] = named
            joined_ns = self._joined_ns.get((caller, service), time_ns - COUNTED_NS - 1)
            return "" if time_ns - joined_ns <= COUNTED_NS else service
        if named in self._topology.services:
            return named
        first = self._first_ns.setdefault(named, time_ns)
        if len(self._first_ns) > MOST_WAITING:
            self._forget_oldest()
        return named if time_ns - first >= PATIENCE_NS else ""

    def _join(self, caller: str, callee: str) -> None:
        """Spans tell whom a caller calls: what its name for that service was taken for before is so no longer."""
        short = callee.rsplit("/", 1)[-1]
        joined = self._joined.setdefault((caller, short), set())
        if callee in joined:
            return
        joined.add(callee)
        for pair in [p for p, n in self.views.items() if p[0] == caller and n == EXTERNAL + short]:
            if pair[1] not in joined:
                self._topology.forget_call(*pair)
            if pair[1] not in joined or len(joined) > 1:
                del self.views[pair]

    def forget(self, gone: set[str]) -> None:
        """Services and peers left: no name stands for them any more, and none of theirs for others."""
        before = len(self._first_ns) + len(self._resolved) + len(self.views)
        self._first_ns = {n: t for n, t in self._first_ns.items() if n not in gone}
        self._resolved = {n: s for n, s in self._resolved.items() if n not in gone and s not in gone}
        joined = {pair: found - gone for pair, found in self._joined.items() if pair[0] not in gone}
        self._joined = {pair: found for pair, found in joined.items() if found}
        self._joined_ns = {pair: ns for pair, ns in self._joined_ns.items() if gone.isdisjoint(pair)}
        self.views = {pair: n for pair, n in self.views.items() if gone.isdisjoint(pair) and n in self._resolved}
        self.left += before - len(self._first_ns) - len(self._resolved) - len(self.views)

    def _forget_oldest(self) -> None:
        """Of the names that wait, those that came first have been answered for long; if they come again they wait again."""
        waiting = sorted(self._first_ns, key=lambda n: self._first_ns[n])
        for name in waiting[: len(waiting) - int(ROOMY * MOST_WAITING)]:
            del self._first_ns[name]
            self.left += 1

    def _claimed(self, named: str, caller: str) -> str:
        """The service with its own telemetry that has this name."""
        own = {s.name for s in self._topology.services.values() if s.own and s.kind == "service"}
        service, for_all = meant_by(caller, named, own)
        return self._take(named, service) if for_all else service

    def _take(self, named: str, service: str) -> str:
        self._resolved[named] = service
        self._first_ns.pop(named, None)
        self._topology.forget(named)
        return service
