"""What a simulated system is: services, their calls, where users enter, nodes and zones. It says nothing of what happens to it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from twin.habits import Habit


class Role(enum.StrEnum):
    """What a service is for."""

    GATEWAY = "gateway"
    SERVICE = "service"
    DATABASE = "database"
    CACHE = "cache"
    WORKER = "worker"
    """It takes messages from a queue: whoever sends them does not wait."""
    THIRD_PARTY = "third_party"
    """Somebody else runs it: it sends nothing, and nothing can be done to it."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service. Each instance has `threads` places for requests under way and `cores`; a request takes `work_s` seconds at the
    median with log-deviation `spread`, a share `cpu_share` of it on a core."""

    name: str
    role: Role
    habit: Habit
    instances: int
    threads: int
    cores: float
    work_s: float
    spread: float
    cpu_share: float
    error_rate: float
    memory: float
    start_s: float
    routes: int = 3

    @property
    def own(self) -> bool:
        """Whether those who run the system can do something to it."""
        return self.role is not Role.THIRD_PARTY

    @property
    def tells(self) -> bool:
        """Whether it sends spans of itself: databases, caches and third parties are known by their callers alone."""
        return self.habit.spans and self.role in {Role.GATEWAY, Role.SERVICE, Role.WORKER}


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Calls of one service to another, by their places in the plan's services: so many per request.

    `optional`: the caller answers well without. `queued`: the caller leaves a message. `back`: it closes a cycle.
    """

    caller: int
    callee: int
    per_request: float
    timeout_s: float
    retries: int = 0
    optional: bool = False
    parallel: bool = False
    queued: bool = False
    back: bool = False
    network_s: float = 0.0005


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """Where users come in: requests per second on an ordinary day."""

    service: int
    rate: float


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """One system. Calls are sorted by the level of their callers, then by caller; a caller's level is above all its callees'
    (`back` calls apart), so that `levels[caller] < levels[callee]`."""

    environment: str
    style: str
    services: tuple[ServicePlan, ...]
    calls: tuple[CallPlan, ...]
    entries: tuple[EntryPlan, ...]
    levels: tuple[int, ...]
    nodes: int
    zones: int

    def callers(self, service: int) -> list[int]:
        """Who calls a service."""
        return [c.caller for c in self.calls if c.callee == service]

    def callees(self, service: int) -> list[int]:
        """Whom a service calls."""
        return [c.callee for c in self.calls if c.caller == service]

    def reaching(self, service: int) -> set[int]:
        """A service and all whose requests may come to it, without those that only leave messages."""
        found, left = {service}, [service]
        while left:
            at = left.pop()
            new = {c.caller for c in self.calls if c.callee == at and not c.queued} - found
            found |= new
            left += sorted(new)
        return found
