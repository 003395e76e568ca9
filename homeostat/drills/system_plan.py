"""What a system of a drill is made of, as data: its services, their calls, their capacity, and how each tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

GOOD, BETTER, FAILING, SLOW = "1.0.0", "1.0.1", "1.1.0", "1.2.0"
"""Versions: what runs at first, and what may be released."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One call. Tried `retries` times more; `needed`: its failure fails the request; `cache`: asked before, filled after."""

    service: str
    path: str
    timeout_s: float = 1.0
    retries: int = 0
    needed: bool = True
    cache: str = ""


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """One operation: its own work (seconds), then groups of calls; those of one group are made at once."""

    work_s: float
    groups: tuple[tuple[StepPlan, ...], ...] = ()

    @property
    def steps(self) -> tuple[StepPlan, ...]:
        """All its calls."""
        return tuple(step for group in self.groups for step in group)


@dataclass(frozen=True, slots=True)
class TellingHabits:
    """How a service tells of itself; nothing at all: someone else's, or a store.

    `sample`: the share of traces that it begins and keeps. `old`: semantic conventions before 1.21. `logs`: none, `text` (a
    severity in words only) or `number`. `usage`: none, `process` (shares of cores, bytes) or `container` (shares of a limit).
    """

    spans: bool = False
    sample: float = 1.0
    export_ms: int = 1000
    old: bool = False
    metrics: bool = False
    metrics_ms: int = 2000
    logs: str = ""
    usage: str = ""

    @property
    def any(self) -> bool:
        """Whether it tells anything."""
        return self.spans or self.metrics or bool(self.logs) or bool(self.usage)


SILENT: Final = TellingHabits()


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """What a version does: the share of requests it fails, and how much longer it works (seconds)."""

    error_rate: float = 0.0
    extra_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceDesign:
    """One service. `role`: serve, cache, queue or consume. `workers` requests are worked on at once by an instance.

    `pools`: connections an instance has to a callee. `host`: the name that callers know it by, where it isn't the service's own;
    `store`: the kind of database. `consumes`: from whom to take, and whom to call for each message.
    """

    routes: Mapping[str, RoutePlan] = field(default_factory=dict)
    replicas: int = 1
    workers: int = 50
    telling: TellingHabits = SILENT
    role: str = "serve"
    pools: Mapping[str, int] = field(default_factory=dict)
    host: str = ""
    store: str = ""
    consumes: tuple[str, StepPlan] | None = None
    releases: Mapping[str, ReleasePlan] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuestEntry:
    """What guests ask for, how often a second, and how long they wait (seconds)."""

    service: str
    path: str
    rate: float
    patience_s: float = 2.0


@dataclass(frozen=True, slots=True)
class SystemDesign:
    """A whole system. `queues`: services whose messages should be done within `STALE_S`, which guests mind as well.

    `renamed`: what services are called in a variation, by the names that faults know them by.
    """

    namespace: str
    services: Mapping[str, ServiceDesign]
    entries: Mapping[str, GuestEntry]
    queues: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)

    def called(self, service: str) -> str:
        """What a service is called here."""
        return self.renamed.get(service, service)

    def identity(self, service: str) -> str:
        """The name that Homeostat should know a service by, or a part of it for one that tells nothing of itself."""
        name = self.called(service)
        plan = self.services[name]
        if plan.telling.any:
            return f"{self.namespace}/{name}"
        return plan.host or name

    def processes(self) -> int:
        """How many processes it has."""
        return sum(s.replicas for s in self.services.values())


STALE_S: Final = 4.0
"""A message that waits for longer than this is late."""


def unsound(system: SystemDesign) -> list[str]:
    """What is wrong with a plan, in words: calls of services or routes that there aren't."""
    found = []
    for name, service in system.services.items():
        steps = [s for r in service.routes.values() for s in r.steps]
        steps += [service.consumes[1]] if service.consumes else []
        for step in steps:
            callee = system.services.get(step.service)
            if callee is None:
                found.append(f"{name} calls {step.service}, which isn't there")
            elif callee.role != "queue" and step.path not in callee.routes:
                found.append(f"{name} calls {step.path} of {step.service}, which it doesn't serve")
            if step.cache and system.services[step.cache].role != "cache":
                found.append(f"{name} keeps answers in {step.cache}, which is no cache")
        found += [
            f"{name} has a pool for {c}, whom it doesn't call"
            for c in service.pools.keys() - {s.service for s in steps}
        ]
    found += [
        f"guests ask {e.path} of {e.service}, which it doesn't serve"
        for e in system.entries.values()
        if e.path not in system.services[e.service].routes
    ]
    return found
