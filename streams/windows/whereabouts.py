"""On which nodes the instances of services run: noted where telemetry comes in, and told of when it changes."""

from __future__ import annotations

import functools
from typing import Any, Final

from contracts.frames import Resource
from contracts.nodes import MOST_NODES, Ground, HeardNode, ground_of, nodes_together, spelled_nodes
from contracts.units import SECOND

_GONE_NS: Final = 90 * SECOND
"""A node from which nothing of a service has come for this long has none of its instances any more: SDKs send metrics every minute."""


class Whereabouts:
    """Nodes by the numbers of the services that run there."""

    def __init__(self) -> None:
        self._by: dict[int, dict[str, tuple[str, int]]] = {}
        """The zone of each node, and when something of the service came from it last."""

    def note(self, number: int, resource: Resource, now_ns: int) -> bool:
        """Something of an instance of a service came; whether it runs where none of it was known to."""
        node, zone = _ground(resource)
        if not node:
            return False
        known = self._by.setdefault(number, {})
        news = node not in known
        if news and len(known) >= MOST_NODES:
            del known[min(known, key=lambda n: (known[n][1], n))]
        known[node] = zone, now_ns
        return news

    def spelled(self, number: int, now_ns: int) -> str:
        """The nodes of a service as attributes carry them; "" where none is known."""
        known = self._by.get(number)
        if not known:
            return ""
        for node in [n for n, (_, heard_ns) in known.items() if now_ns - heard_ns > _GONE_NS]:
            del known[node]
        told = [HeardNode(node, zone, heard_ns // SECOND) for node, (zone, heard_ns) in known.items()]
        return spelled_nodes(nodes_together([told])) if told else ""

    def forget(self, number: int) -> None:
        """A service is gone."""
        self._by.pop(number, None)

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [[n, [[node, *told] for node, told in known.items()]] for n, known in sorted(self._by.items())]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._by = {n: {node: (zone, heard_ns) for node, zone, heard_ns in known} for n, known in state}


@functools.lru_cache(1 << 14)
def _ground(resource: Resource) -> Ground:
    return ground_of(dict(resource.attributes))
