"""Who calls whom, since when and how often; what is known of each service."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from typing import Final

from contracts.units import SECOND

IDLE_NS: Final = 600 * SECOND
"""An edge unseen for this long is no longer valid; when it comes back it starts a new interval."""
_KINDS: Final = {"db": "database", "messaging": "messaging", "external": "external"}
_OBSERVERS: Final = ("_remote", "_client")


def kind_of(name: str) -> str:
    """`database`, `messaging` or `external` for typed peers (`db:…`, `messaging:…`, `external:…`), else `service`."""
    return _KINDS.get(name.split(":", 1)[0], "service") if ":" in name else "service"


def is_observer(name: str) -> bool:
    """Whether a name is a client-side view of something else (as some tracers report callees)."""
    return name.endswith(_OBSERVERS)


@dataclasses.dataclass(slots=True)
class ServiceNode:
    """A node of the graph. `own` is true once it has sent telemetry itself."""

    name: str
    kind: str
    first_seen_ns: int
    last_seen_ns: int
    version: str = ""
    attributes: str = ""
    own: bool = False


@dataclasses.dataclass(slots=True)
class Call:
    """An edge of the graph, valid from `valid_from_ns` (to `valid_to_ns`, 0 while it lasts); `calls` and `errors` are totals
    of this interval."""

    caller: str
    callee: str
    valid_from_ns: int
    last_seen_ns: int
    calls: int = 0
    errors: int = 0
    valid_to_ns: int = 0


class Topology:
    """Services and calls of one environment, in order of first sight."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceNode] = {}
        self.calls: dict[tuple[str, str], Call] = {}
        self.callees: dict[str, dict[str, None]] = {}
        self.callers: dict[str, dict[str, None]] = {}
        self.revision = 0
        """Grows with each service that comes or leaves."""
        self.changed_services: dict[str, None] = {}
        self.changed_calls: dict[tuple[str, str], None] = {}
        self.new_calls = False
        """Whether calls have begun since the graph was last told: that can't wait as mere counts can."""
        self.begun: list[tuple[str, str]] = []
        """Calls whose intervals have begun since this was last emptied."""
        self.ended: list[Call] = []
        """Intervals that ended since the graph was last told."""

    def see(self, name: str, time_ns: int, *, own: bool = False) -> ServiceNode:
        """Note that a service was seen; its record."""
        service = self.services.get(name)
        if service is None:
            service = self.services[name] = ServiceNode(name, kind_of(name), time_ns, time_ns, own=own)
            self.changed_services[name] = None
            self.revision += 1
        service.last_seen_ns = max(service.last_seen_ns, time_ns)
        if own and not service.own:
            service.own = True
            self.changed_services[name] = None
        return service

    def describe(self, name: str, version: str, attributes: str) -> str:
        """Note version and attributes ("" where unknown); the version it had before if that changed, else ""."""
        service = self.services[name]
        before = service.version if version and service.version not in ("", version) else ""
        if (version and version != service.version) or (attributes and attributes != service.attributes):
            service.version = version or service.version
            service.attributes = attributes or service.attributes
            self.changed_services[name] = None
        return before

    def call(self, caller: str, callee: str, time_ns: int, calls: int, errors: int) -> None:
        """Note calls along an edge in the window that starts at `time_ns`."""
        edge = self.calls.get((caller, callee))
        if edge is None or edge.valid_to_ns or time_ns - edge.last_seen_ns > IDLE_NS:
            if edge is not None and not edge.valid_to_ns:
                self._end(edge)
            edge = self.calls[caller, callee] = Call(caller, callee, time_ns, time_ns)
            self.new_calls = True
            self.begun.append((caller, callee))
            self.callees.setdefault(caller, {})[callee] = None
            self.callers.setdefault(callee, {})[caller] = None
        edge.last_seen_ns = max(edge.last_seen_ns, time_ns)
        edge.calls += calls
        edge.errors += errors
        self.changed_calls[caller, callee] = None

    def forget(self, name: str) -> None:
        """A name turned out to stand for another service: take it and its calls out."""
        self.services.pop(name, None)
        self.revision += 1
        self.changed_services.pop(name, None)
        for pair in [p for p in self.calls if name in p]:
            del self.calls[pair]
            self.changed_calls.pop(pair, None)
        for neighbours in (self.callees, self.callers):
            neighbours.pop(name, None)
            for others in neighbours.values():
                others.pop(name, None)

    def forget_call(self, caller: str, callee: str) -> None:
        """A call turned out to be another's: take it out, and let the graph know that it is over."""
        edge = self.calls.pop((caller, callee), None)
        if edge is None:
            return
        if not edge.valid_to_ns:
            self._end(edge)
        self.callees.get(caller, {}).pop(callee, None)
        self.callers.get(callee, {}).pop(caller, None)

    def forget_all(self, names: set[str]) -> None:
        """Take services that left, and their calls, out."""
        self.services = {n: s for n, s in self.services.items() if n not in names}
        self.revision += 1
        self.changed_services = {n: None for n in self.changed_services if n not in names}
        self.calls = {pair: c for pair, c in self.calls.items() if names.isdisjoint(pair)}
        self.changed_calls = {pair: None for pair in self.changed_calls if names.isdisjoint(pair)}
        self.ended = [c for c in self.ended if c.caller not in names and c.callee not in names]
        for neighbours in (self.callees, self.callers):
            for name in names & neighbours.keys():
                del neighbours[name]
            for others in neighbours.values():
                for name in names & others.keys():
                    del others[name]

    def expire(self, now_ns: int) -> None:
        """End the interval of edges that have been idle for too long."""
        for edge in self.calls.values():
            if not edge.valid_to_ns and now_ns - edge.last_seen_ns > IDLE_NS:
                self._end(edge)

    def _end(self, edge: Call) -> None:
        edge.valid_to_ns = edge.last_seen_ns
        self.ended.append(edge)
        self.changed_calls.pop((edge.caller, edge.callee), None)

    def callees_at(self, name: str, time_ns: int) -> list[str]:
        """Services that `name` called around `time_ns`."""
        return [c for c in self.callees.get(name, ()) if self._valid(self.calls[name, c], time_ns)]

    def callers_at(self, name: str, time_ns: int) -> list[str]:
        """Services that called `name` around `time_ns`."""
        return [c for c in self.callers.get(name, ()) if self._valid(self.calls[c, name], time_ns)]

    @staticmethod
    def _valid(edge: Call, time_ns: int) -> bool:
        return edge.valid_from_ns <= time_ns + IDLE_NS and edge.last_seen_ns >= time_ns - IDLE_NS

    def neighbourhood(
        self, starts: list[str], time_ns: int, hops: int, *, up: bool = True, down: bool = True
    ) -> dict[str, int]:
        """Services within `hops` calls of `starts` in the given directions, with their distance."""
        found = dict.fromkeys(starts, 0)
        queue = deque(starts)
        while queue:
            name = queue.popleft()
            if found[name] >= hops:
                continue
            near = (self.callees_at(name, time_ns) if down else []) + (self.callers_at(name, time_ns) if up else [])
            for other in near:
                if other not in found:
                    found[other] = found[name] + 1
                    queue.append(other)
        return found

    def distance(self, a: str, b: str, time_ns: int, limit: int) -> int | None:
        """Hops between two services that trouble can travel: along calls in one direction, or over a shared callee that sends
        no telemetry itself (a database). A shared caller connects nobody. None beyond `limit`."""
        down_a = self.neighbourhood([a], time_ns, limit, up=False)
        down_b = self.neighbourhood([b], time_ns, limit, up=False)
        hops = [down_a[b]] if b in down_a else []
        hops += [down_b[a]] if a in down_b else []
        hops += [h + down_b[s] for s, h in down_a.items() if s in down_b and not self.services[s].own]
        return min((h for h in hops if h <= limit), default=None)

    def upstream(self, name: str, time_ns: int) -> list[str]:
        """Everything that calls `name`, directly or through others."""
        reach = self.neighbourhood([name], time_ns, len(self.services), down=False)
        return [s for s in reach if s != name]

    def entries(self, names: Iterable[str], time_ns: int) -> list[str]:
        """The services where requests that reach any of `names` come in: upstream (or itself) without callers; of a ring of
        calls that nobody enters, its member that is farthest from them."""
        entered: set[str] = set()
        out: list[str] = []
        for name in names:
            if name in entered:
                continue
            around, joins = {name: None}, False
            queue, found = deque([name]), []
            while queue:
                callers = self.callers_at(at := queue.popleft(), time_ns)
                found += [at] if not callers else []
                joins |= any(c in entered for c in callers)  # whose entries are known
                fresh = [c for c in callers if c not in entered and c not in around]
                around |= dict.fromkeys(fresh)
                queue.extend(fresh)
            out += found or ([] if joins else list(around)[-1:])
            entered |= around.keys()
        return out
