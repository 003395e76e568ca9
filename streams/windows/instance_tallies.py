"""How the requests of each instance fare, of services that have several: counted where spans come in, and told of only while one of them
fares otherwise than before."""

from __future__ import annotations

from typing import Final

from contracts.claims import POD_KEYS
from contracts.frames import Resource
from contracts.instance_parts import INSTANCE, MOST_INSTANCES, otherwise
from contracts.nodes import NODE, ZONE, ground_of
from contracts.parts import Fared, Part, spelled_parts, together
from contracts.units import SECOND

_GONE_NS: Final = 40 * SECOND
"""An instance of which nobody has heard for this long is none any more."""
LOOK_NS: Final = 2 * SECOND
"""The instances of a service are compared, and told of, this often."""
_MOST: Final = 2 * MOST_INSTANCES
"""Counted of one service; beyond it the one heard of longest ago gives way."""


class InstanceTallies:
    """Instances by the numbers of their services. Of a service with a single one nothing is counted."""

    def __init__(self) -> None:
        self._only: dict[int, str] = {}
        self._by: dict[int, dict[str, Part]] = {}
        self._told: set[int] = set()
        """Services whose instances were last told of."""
        self._looked_ns: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Whether any service has several instances."""
        return bool(self._by)

    def learn(self, number: int, resource: Resource) -> None:
        """A resource of a service that was not heard of before."""
        if resource.instance and number not in self._by:
            only = self._only.setdefault(number, resource.instance)
            if only != resource.instance:
                self._by[number] = {}

    def has(self, number: int) -> bool:
        """Whether a service has several."""
        return number in self._by

    def count(self, number: int, resource: Resource, fared: Fared, now_ns: int) -> None:
        """Requests of an instance of a service that has several."""
        known = self._by.get(number)
        if known is None or not resource.instance:
            return
        part = known.get(resource.instance)
        if part is None:
            if len(known) >= _MOST:
                del known[min(known, key=lambda name: (known[name].heard_ns, name))]
            told = dict(resource.attributes)
            pod: dict[str, str] = {k: told[k] for k in POD_KEYS if k in told}
            node, zone = ground_of(told)
            pod |= {k: v for k, v in ((NODE, node), (ZONE, zone)) if v}
            part = known[resource.instance] = Part({INSTANCE: resource.instance}, pod)
        part.add(fared, now_ns)

    def news(self, number: int, now_ns: int) -> bool:
        """Whether there is something to tell of a service's instances, or was when they were last told of; False where that was asked a moment
        ago."""
        known = self._by.get(number)
        if known is None or now_ns - self._looked_ns.get(number, 0) < LOOK_NS:
            return False
        self._looked_ns[number] = now_ns
        for name in [n for n, p in known.items() if now_ns - p.heard_ns > _GONE_NS]:
            del known[name]
        was = number in self._told
        if len(known) > 1 and otherwise([p.at(now_ns) for p in known.values()]):
            self._told.add(number)
        else:
            self._told.discard(number)
        return was or number in self._told

    def spelled(self, number: int, now_ns: int) -> str:
        """The instances of a service as attributes carry them; "" while there is nothing to tell."""
        if number not in self._told:
            return ""
        return spelled_parts(together([self._by[number].values()], now_ns, MOST_INSTANCES))

    def forget(self, number: int) -> None:
        """A service is gone."""
        for kept in (self._only, self._by, self._looked_ns):
            kept.pop(number, None)
        self._told.discard(number)
