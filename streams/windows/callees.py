"""Whom callers mean by the addresses that they call, where a cluster says it: one edge per service, however it is addressed.

Names that callers give to services themselves (`peer.service`) are none of a cluster's.

Where calls to a service are joined with the service's own spans, those are the edge, and what a caller says of it beside them stays the
caller's view, under one name (`external:<service>`). Else the caller's word is all there is, and the edge is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from contracts.external import EXTERNAL
from contracts.units import DAY
from streams.windows.addresses import Addresses

Pair = tuple[str, str]
"""Caller and callee."""
JOINED_NS: Final = DAY
"""So long a service whose spans were joined with a caller's is known to answer for itself."""


class Callees:
    """The callees of one environment's callers, of at most `most` pairs."""

    def __init__(self, most: int) -> None:
        self.addresses = Addresses()
        self._most = most
        self._joined_ns: dict[Pair, int] = {}

    def joined(self, pairs: Iterable[Pair], time_ns: int) -> None:
        """Spans of these callees were joined with calls of their callers."""
        self._joined_ns |= {pair: max(time_ns, self._joined_ns.get(pair, 0)) for pair in pairs}
        if len(self._joined_ns) > self._most:
            self._joined_ns = _newest(self._joined_ns, self._most)

    def told_by_spans(self, caller: str, peer: str, time_ns: int) -> str:
        """What the callee of a call to an address is called of which the caller's span alone tells: nobody has answered there so far
        (`streams.windows.hosts` has waited for it)."""
        meant = self.told_by_metrics(caller, peer, time_ns)
        if meant == peer or meant.startswith(EXTERNAL):
            return meant
        last_ns = self._joined_ns.get((caller, meant), time_ns - JOINED_NS - 1)
        return EXTERNAL + meant if time_ns - last_ns <= JOINED_NS else meant

    def told_by_metrics(self, caller: str, peer: str, time_ns: int) -> str:
        """The same of calls that metrics tell of, which are told where no spans are."""
        meant = self.addresses.stands_for(caller, peer, time_ns)
        return meant if meant and meant != caller else peer

    def state(self) -> list[list[Any]]:
        """For a snapshot. What addresses stand for is told again."""
        return [[*pair, ns] for pair, ns in self._joined_ns.items()]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self._joined_ns = {(a, b): ns for a, b, ns in state}


def _newest(known: dict[Pair, int], most: int) -> dict[Pair, int]:
    return dict(sorted(known.items(), key=lambda item: (-item[1], item[0]))[: most // 2])
