"""Which service answers at an address of the cluster: a pod's, a Service's by number or by name. Pure.

A Service stands for the service of the pods behind it where they are all of one; where they are of several (blue beside green, under
names of their own), or where no pod was ever behind it, for itself, as `external:<name>.<namespace>.svc`. One without pods for the
moment keeps what it stood for. https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from connectors.kubernetes.object_index import OVER
from connectors.kubernetes.objects import ClusterService, EndpointSlice, Pod, Thing
from connectors.otlp.folding import fold
from contracts.cluster_names import spelled_as
from contracts.external import EXTERNAL
from contracts.frames import ADDRESS_PARTS, AddressFrame
from contracts.secrets import masked_name

_CHAIN: Final = 4
"""Services that stand for another one that are followed; more is a circle."""
Key = tuple[str, str]
"""Name and namespace."""


class Meaning(NamedTuple):
    """What a name stands for, the object that has it, since when, and the pods behind, by which a change is told from a better name."""

    stands_for: str
    object: str
    from_ns: int
    behind: frozenset[str] = frozenset()
    headless: bool = False


@dataclass(slots=True)
class _Seen:
    """The objects of one look that have to do with addresses."""

    pods: dict[str, Pod] = field(default_factory=dict)
    at: dict[str, Pod] = field(default_factory=dict)
    """Pods by their addresses; of several the one that came last."""
    services: dict[Key, ClusterService] = field(default_factory=dict)
    slices: dict[Key, list[EndpointSlice]] = field(default_factory=dict)


class AddressBook:
    """All addresses of one cluster, and which parts of them have changed since they were told."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._names: dict[Key, Meaning] = {}
        self._homes: dict[str, tuple[str, ...]] = {}
        self._untold = set(range(ADDRESS_PARTS))  # whatever another process told before is told anew, whole
        self._next = 0

    def look(self, things: Iterable[Thing], now_ns: int) -> None:
        """Take the cluster's objects in as they are now."""
        seen = _sorted(things)
        names = self._meanings(seen, now_ns)
        spaces: dict[str, set[str]] = {}
        for pod in seen.pods.values():
            spaces.setdefault(pod.service, set()).add(pod.head.namespace)
        homes = {service: tuple(sorted(found)) for service, found in spaces.items()}
        self._untold |= {
            _part_of(k[0]) for k in self._names.keys() | names.keys() if self._names.get(k) != names.get(k)
        }
        self._untold |= {_part_of(s) for s in self._homes.keys() | homes.keys() if self._homes.get(s) != homes.get(s)}
        self._names, self._homes = names, homes

    def untold(self, now_ns: int) -> Iterator[AddressFrame]:
        """A frame of each part that is to be told; who has sent one says so by `told`."""
        parts: dict[int, list[Key]] = {part: [] for part in sorted(self._untold)}
        callers: dict[int, list[tuple[str, str]]] = {part: [] for part in parts}
        for key in sorted(self._names):
            if (part := _part_of(key[0])) in parts:
                parts[part].append(key)
        for service, homes in sorted(self._homes.items()):
            if (part := _part_of(service)) in parts:
                callers[part] += [(service, home) for home in homes]
        for part, keys in parts.items():
            said = [self._names[key] for key in keys]
            yield AddressFrame(
                environment=self._environment,
                part=part,
                time_ns=now_ns,
                names=tuple(name for name, _ in keys),
                namespaces=tuple(namespace for _, namespace in keys),
                stands_for=tuple(m.stands_for for m in said),
                objects=tuple(m.object for m in said),
                from_ns=np.array([m.from_ns for m in said], np.int64),
                headless=np.array([m.headless for m in said], np.bool_),
                callers=tuple(service for service, _ in callers[part]),
                homes=tuple(home for _, home in callers[part]),
            )

    def told(self, part: int) -> None:
        """A part is known to others now."""
        self._untold.discard(part)

    def repeat(self) -> None:
        """Let the next part be told again, though nothing of it has changed: what nobody repeats is not believed for long."""
        self._untold.add(self._next)
        self._next = (self._next + 1) % ADDRESS_PARTS

    def _meanings(self, seen: _Seen, now_ns: int) -> dict[Key, Meaning]:
        found: dict[Key, Meaning] = {}
        for ip, pod in seen.at.items():
            found[ip, ""] = Meaning(pod.service, pod.head.place, pod.addressed_ns, frozenset({pod.head.uid}))
        shared: set[Key] = set()
        for key, service in sorted(seen.services.items()):
            own = _spelled(service.head.name), service.head.namespace
            said = found[own] = self._lasting(own, _meaning(seen, key, service), service, now_ns)
            for at in ((_canonical(address), "") for address in service.addresses):
                if at in found and found[at].stands_for != said.stands_for:
                    shared.add(at)  # whose it is depends on the port, which spans need not name
                found[at] = said
        return {key: meaning for key, meaning in found.items() if key not in shared}

    def _lasting(self, key: Key, now: Meaning, service: ClusterService, now_ns: int) -> Meaning:
        """What a Service stands for now, with since when that is so."""
        before = self._names.get(key)
        if before is None or before.object != now.object or before.from_ns < now.from_ns:
            return now
        if before.behind and not now.behind and not service.outside:  # scaled to none, or all are being replaced
            return before
        # With the same pods behind it, or the first that are seen, it is the same as before by a name that is known better now.
        same = before.stands_for == now.stands_for
        better = not service.outside and before.behind in (frozenset(), now.behind)
        return now._replace(from_ns=before.from_ns if same or better else now_ns)


def _sorted(things: Iterable[Thing]) -> _Seen:
    seen = _Seen()
    for thing in things:
        match thing:
            case Pod() if thing.phase not in OVER:
                seen.pods[thing.head.uid] = thing
                at = _canonical(thing.ip)
                known = seen.at.get(at)
                if at and (known is None or known.addressed_ns <= thing.addressed_ns):
                    seen.at[at] = thing
            case ClusterService():
                seen.services[thing.head.name, thing.head.namespace] = thing
            case EndpointSlice():
                seen.slices.setdefault((thing.service, thing.head.namespace), []).append(thing)
            case _:
                pass
    return seen


def _meaning(seen: _Seen, key: Key, service: ClusterService) -> Meaning:
    """What a Service stands for by what is behind it at the moment."""
    head = service.head
    if service.outside:
        return Meaning(_outside(seen, service), head.place, head.created_ns)
    pods = _behind(seen, key)
    services = {pod.service for pod in pods}
    named = services.pop() if len(services) == 1 else _declared(head.name, head.namespace)
    return Meaning(named, head.place, head.created_ns, frozenset(p.head.uid for p in pods), service.headless)


def _behind(seen: _Seen, key: Key) -> list[Pod]:
    found: list[Pod | None] = []
    for part in seen.slices.get(key, ()):
        found += [seen.pods.get(uid) for uid in part.pods]
        found += [seen.at.get(_canonical(address)) for address in part.addresses]
    return [pod for pod in found if pod is not None]


def _outside(seen: _Seen, service: ClusterService) -> str:
    """Whom a Service that is another host's name stands for: it may be another Service's."""
    host = service.outside
    for _ in range(_CHAIN):
        host = host.rstrip(".").lower()
        spelled = next((s for s in spelled_as(host, service.head.namespace) if not s.of_pod), None)
        key = (spelled.name, spelled.namespace) if spelled else ("", "")
        other = seen.services.get(key)
        if other is None:
            return EXTERNAL + _spelled(host)
        if not other.outside:
            return _meaning(seen, key, other).stands_for
        host, service = other.outside, other
    return EXTERNAL + _spelled(host)


def _declared(name: str, namespace: str) -> str:
    return f"{EXTERNAL}{_spelled(name)}.{namespace}.svc"


def _spelled(name: str) -> str:
    """A name as spans have it once they are read."""
    return fold(masked_name(name))


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return _spelled(address.rstrip(".").lower())


def _part_of(name: str) -> int:
    return zlib.crc32(name.encode()) % ADDRESS_PARTS
