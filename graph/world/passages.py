"""Calls that were taken for direct ones until it was known who passes them on.

Of a service that sends no spans it becomes known after a while that calls come through it (`streams.windows.silent_hops`): calls of its
caller to whoever serves them, told until then, are no calls any more, and none of them is missing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from contracts.units import SECOND
from graph.world.topology import Topology

OVERLAP_NS: Final = 10 * SECOND
"""So long after calls through a service have begun, those before may still be told of."""


class Passages:
    """Looks for such calls."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], int] = {}

    def look(self, topology: Topology, served: Container[tuple[str, str]], time_ns: int) -> None:
        """Calls have come up to a time. `served`: the services of whose requests their own spans tell, each with ""."""
        begun, topology.begun = topology.begun, []
        for caller, callee in begun:
            since_ns = topology.calls[caller, callee].valid_from_ns if (caller, callee) in topology.calls else 0
            if _passes(topology, served, caller):
                self._wait(((a, callee) for a in topology.callers.get(caller, ())), since_ns)
            if _passes(topology, served, callee):
                self._wait(((caller, c) for c in topology.callees.get(callee, ())), since_ns)
        for pair, since_ns in list(self._waiting.items()):
            if time_ns - since_ns <= 2 * OVERLAP_NS:
                continue
            del self._waiting[pair]
            direct = topology.calls.get(pair)
            if direct is not None and direct.last_seen_ns <= since_ns + OVERLAP_NS:
                topology.forget_call(*pair)

    def _wait(self, pairs: Iterable[tuple[str, str]], since_ns: int) -> None:
        for pair in pairs:
            self._waiting[pair] = max(since_ns, self._waiting.get(pair, 0))


def _passes(topology: Topology, served: Container[tuple[str, str]], name: str) -> bool:
    service = topology.services.get(name)
    return service is not None and service.own and service.kind == "service" and (name, "") not in served
