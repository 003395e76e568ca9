"""The state of a system: its instances in slots, what each runs, where, and what has piled up in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from twin.blueprint import SystemPlan
from twin.laws import F64, I64

B1 = NDArray[np.bool_]
NEVER = np.inf


class Fleet:
    """All instances, in slots: each service has `room` of them in a row, so that it can be scaled without moving anybody.

    Arrays by slot. `wanted` slots are to run; one is `ready` from `ready_at` on. `incarnation` counts what ran there; what sits in a
    process ends with it. `version` counts releases, `config` configurations; `idle_threads` is what is left of its threads.
    """

    def __init__(self, plan: SystemPlan, r: Generator) -> None:
        counts = np.array([s.instances for s in plan.services])
        room = np.where([s.own for s in plan.services], counts * 3 + 2, counts)
        self.plan, self._r = plan, r
        self.first: I64 = np.concatenate([[0], np.cumsum(room)[:-1]]).astype(np.int64)
        self.room: I64 = room.astype(np.int64)
        self.service: I64 = np.repeat(np.arange(len(counts)), room)
        size = len(self.service)
        place = np.arange(size) - self.first[self.service]
        self.wanted: B1 = place < counts[self.service]
        self.ready_at: F64 = np.where(self.wanted, -np.inf, NEVER)
        self.born: F64 = np.full(size, -1e9)
        self.incarnation: I64 = np.zeros(size, np.int64)
        self.version: I64 = np.ones(size, np.int64)
        self.config: I64 = np.ones(size, np.int64)
        self._own = np.array([s.own for s in plan.services])
        placed = r.integers(0, plan.nodes, size)
        self.node: I64 = np.where(self._own[self.service], placed, -1)
        """Where each runs, by the nodes' numbers; what third parties run on is theirs: -1."""
        self.zone_of: I64 = np.arange(plan.nodes) % plan.zones
        self.aside: B1 = np.zeros(plan.nodes, np.bool_)
        """Nodes on which nothing new is put, as somebody set them aside."""
        self.down: B1 = np.zeros(plan.nodes, np.bool_)
        """Nodes that don't answer: nothing is put there either."""
        self.memory: F64 = np.array([s.memory for s in plan.services])[self.service] * r.uniform(0.9, 1.1, size)
        self.kept: F64 = np.ones(size)
        self.backlog: F64 = np.zeros(size)
        self.unheard_s: F64 = np.zeros(size)
        """Seconds for which health checks have failed."""
        self.drained: B1 = np.zeros(size, np.bool_)
        self.restarts: I64 = np.zeros(size, np.int64)
        self.release: I64 = np.ones(len(counts), np.int64)
        """The version that new instances get, by service."""
        self.configured: I64 = np.ones(len(counts), np.int64)
        self.previous: list[list[tuple[int, int]]] = [[(1, 1)] for _ in counts]
        """(version, configuration) before the present ones, by service, newest last."""
        self.generation: I64 = np.ones(len(counts), np.int64)
        self._start_s = np.array([s.start_s for s in plan.services])

    def slots(self, service: int) -> slice:
        """All slots of a service."""
        return slice(int(self.first[service]), int(self.first[service] + self.room[service]))

    def running(self, service: int) -> I64:
        """The slots of a service that are to run."""
        part = self.slots(service)
        found: I64 = np.flatnonzero(self.wanted[part]) + part.start
        return found

    def ready(self, now_s: float) -> B1:
        """Which slots have something that has started."""
        return self.wanted & (self.ready_at <= now_s)

    def replace(self, slots: Sequence[int] | I64, now_s: float, *, elsewhere: bool = False) -> None:
        """End what runs in these slots, and start the service's present release there; it serves after its start."""
        at = np.asarray(slots, np.int64)
        if not len(at):
            return
        service = self.service[at]
        self.incarnation[at] += 1
        self.ready_at[at] = now_s + self._start_s[service] * self._r.uniform(0.8, 1.4, len(at))
        self.born[at] = self.ready_at[at]
        self.version[at], self.config[at] = self.release[service], self.configured[service]
        self.backlog[at], self.kept[at], self.unheard_s[at] = 0.0, 1.0, 0.0
        self.memory[at] = np.array([self.plan.services[s].memory for s in service.tolist()]) * 0.8
        self.restarts[at] += 1
        moves = np.full(len(at), elsewhere) | (self._r.random(len(at)) < 0.3)
        other = (self.node[at] + self._r.integers(1, self.plan.nodes, len(at))) % self.plan.nodes
        unfit = self.aside | self.down
        if unfit.any() and not unfit.all():
            moves |= unfit[self.node[at]]
            fit = np.flatnonzero(~unfit)
            other = np.where(unfit[other], fit[other % len(fit)], other)
        self.node[at] = np.where(moves & self._own[service], other, self.node[at])

    def scale(self, service: int, replicas: int, now_s: float) -> int:
        """Have so many slots run, as far as there is room; how many there are then."""
        part = self.slots(service)
        now = self.running(service)
        most = int(self.room[service])
        replicas = max(0, min(replicas, most))
        if replicas > len(now):
            free = np.flatnonzero(~self.wanted[part])[: replicas - len(now)] + part.start
            self.wanted[free] = True
            before = self.restarts[free].copy()
            self.replace(free, now_s)
            self.restarts[free] = before
        else:
            youngest = now[np.argsort(self.born[now], kind="stable")][::-1][: len(now) - replicas]
            self.wanted[youngest], self.ready_at[youngest], self.backlog[youngest] = False, NEVER, 0.0
        self.generation[service] += 1
        return replicas

    def released(self, service: int, version: int, config: int) -> None:
        """From now on new instances of the service are of this release."""
        self.previous[service].append((int(self.release[service]), int(self.configured[service])))
        self.release[service], self.configured[service] = version, config
        self.generation[service] += 1
