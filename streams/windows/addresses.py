"""What addresses of a cluster stand for, with time: names of callees by which callers know services, told by the cluster watch.

Numeric addresses are given to others in their turn, and a Service may be pointed at other pods: each name has leases, one after the
other. A short name means what it means in its caller's namespace. What the watch has not repeated for a while is not believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from contracts.cluster_names import spelled_as
from contracts.external import EXTERNAL
from contracts.frames import AddressFrame
from contracts.units import HOUR, MINUTE

BELIEVED_NS: Final = 20 * MINUTE
"""How long what was told holds that nobody repeats; the watch goes round in six minutes."""
KEPT_NS: Final = HOUR
"""A lease that is over is kept for late calls."""
_MOST_LEASES: Final = 8
_MOST_CACHED: Final = 50_000
Key = tuple[str, str]
"""Name and namespace."""


class Lease(NamedTuple):
    """What a name stood for from when until when (0: it still does), and the object of the cluster that had it."""

    stands_for: str
    object: str
    from_ns: int
    to_ns: int = 0
    headless: bool = False

    def holds(self, time_ns: int) -> bool:
        """Whether it held at a time."""
        return self.from_ns <= time_ns and (not self.to_ns or time_ns < self.to_ns)


class Addresses:
    """The addresses of one environment's cluster."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._leases: dict[Key, tuple[Lease, ...]] = {}
        self._homes: dict[str, tuple[str, ...]] = {}
        self._keys: dict[int, tuple[Key, ...]] = {}
        self._callers: dict[int, frozenset[str]] = {}
        self._told_ns: dict[int, int] = {}
        self._part: dict[Key, int] = {}
        self._cached: dict[tuple[str, str], tuple[Key, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._leases)

    @property
    def names(self) -> frozenset[str]:
        """All names that are known, in whichever namespace."""
        return frozenset(name for name, _ in self._leases)

    def take(self, frame: AddressFrame) -> None:
        """A part was told, whole; one that is older than what is known is ignored."""
        if frame.time_ns < self._told_ns.get(frame.part, 0):
            return
        self._told_ns[frame.part], self._cached = frame.time_ns, {}
        keys = tuple(zip(frame.names, frame.namespaces, strict=True))
        rows = zip(keys, frame.stands_for, frame.objects, frame.from_ns.tolist(), frame.headless.tolist(), strict=True)
        for key, stands_for, thing, from_ns, headless in rows:
            new = Lease(stands_for, thing, from_ns, 0, headless)
            self._leases[key] = _after(self._leases.get(key, ()), new, frame.time_ns)
            self._part[key] = frame.part
        gone = set(self._keys.get(frame.part, ())) - set(keys)
        over = tuple(key for key in gone if self._end(key, frame.time_ns))
        self._keys[frame.part] = (*keys, *sorted(over))
        for service in self._callers.get(frame.part, frozenset()) - set(frame.callers):
            self._homes.pop(service, None)
        self._callers[frame.part] = frozenset(frame.callers)
        homes: dict[str, list[str]] = {}
        for service, home in zip(frame.callers, frame.homes, strict=True):
            homes.setdefault(service, []).append(home)
        self._homes |= {service: tuple(found) for service, found in homes.items()}

    def stands_for(self, caller: str, peer: str, time_ns: int) -> str:
        """Whom a caller meant by a callee's name at a time: a service, or `external:<name>`; "" where the cluster does not say."""
        if not peer.startswith(EXTERNAL):
            return ""
        keys = self._cached.get((caller, peer))
        if keys is None:
            if len(self._cached) >= _MOST_CACHED:
                self._cached.clear()
            keys = self._cached[caller, peer] = tuple(self._meant(caller, peer.removeprefix(EXTERNAL)))
        found = dict.fromkeys(
            lease.stands_for
            for key in keys
            for lease in self._leases.get(key, ())
            if lease.holds(time_ns) and time_ns - self._told_ns[self._part[key]] <= BELIEVED_NS
        )
        return next(iter(found)) if len(found) == 1 else ""

    def leases(self, host: str) -> Iterator[tuple[str, Lease]]:
        """All that a host's name has stood for lately, and the namespace in which it is meant so ("": wherever it is called)."""
        everywhere = self._in(host, "")
        for key in everywhere:
            yield from (("", lease) for lease in self._leases[key])
        for home in sorted({namespace for _, namespace in self._leases if namespace}):
            for key in self._in(host, home):
                if key not in everywhere:
                    yield from ((home, lease) for lease in self._leases[key])

    def state(self) -> dict[str, Any]:
        """For a snapshot: who is told what stands now is not told what stood before."""
        leases = [[*key, self._part[key], [list(lease) for lease in some]] for key, some in self._leases.items()]
        callers = [[part, sorted(some)] for part, some in self._callers.items()]
        return {"leases": leases, "told": self._told_ns, "homes": self._homes, "callers": callers}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot. What went since is over by what is told next."""
        self._clear()
        for name, namespace, part, leases in state["leases"]:
            self._leases[name, namespace] = tuple(Lease(*lease) for lease in leases)
            self._part[name, namespace] = part
            self._keys[part] = (*self._keys.get(part, ()), (name, namespace))
        self._told_ns = {int(part): ns for part, ns in state["told"].items()}
        self._homes = {service: tuple(homes) for service, homes in state["homes"].items()}
        self._callers = {part: frozenset(some) for part, some in state["callers"]}

    def _meant(self, caller: str, host: str) -> Iterator[Key]:
        """Names under which what a caller calls is known: of every namespace that the caller runs in, where it has it."""
        for home in self._homes.get(caller, ()) or {namespace for _, namespace in self._leases}:
            yield from self._in(host, home)[:1]

    def _in(self, host: str, home: str) -> list[Key]:
        if (host, "") in self._leases:
            return [(host, "")]
        if _is_number(host):
            return []
        keys = [(s.name, s.namespace) for s in spelled_as(host, home) if not s.of_pod or self._is_headless(s)]
        return [key for key in keys if key in self._leases]

    def _is_headless(self, key: tuple[str, str, bool]) -> bool:
        return any(lease.headless for lease in self._leases.get(key[:2], ()))

    def _end(self, key: Key, now_ns: int) -> bool:
        """A name stands for nothing any more; whether it is kept for a while."""
        *before, last = self._leases[key]
        if not last.to_ns:
            last = last._replace(to_ns=now_ns)
        if now_ns - last.to_ns > KEPT_NS:
            del self._leases[key], self._part[key]
            return False
        self._leases[key] = (*before, last)
        return True


def _after(leases: tuple[Lease, ...], new: Lease, now_ns: int) -> tuple[Lease, ...]:
    """Leases of a name, with what it stands for now. No two hold at one time: what an address is given to may have been there before."""
    if not leases:
        return (new,)
    *before, last = leases
    if last.to_ns and new.from_ns < last.to_ns and last[:2] == new[:2]:  # it was lost sight of
        return (*before, new._replace(from_ns=last.from_ns))
    if not last.to_ns:
        if last.stands_for == new.stands_for:
            return (*before, new._replace(from_ns=last.from_ns))
        if last.object == new.object and new.from_ns <= last.from_ns:  # the same under a name that is known better now
            return (*before, new)
    if new.from_ns <= last.from_ns:  # it waited for its address while the other one had it
        new = new._replace(from_ns=last.to_ns or now_ns)
    last = last._replace(to_ns=min(last.to_ns or new.from_ns, new.from_ns))
    kept = (lease for lease in (*before, last) if new.from_ns - lease.to_ns <= KEPT_NS)
    return (*kept, new)[-_MOST_LEASES:]


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
