"""Requests one by one: a discrete-event simulation of what `flow.py` says on average. Stations have threads, queues and shared cores.

Events are on one heap; what a request does is a generator that yields the second at which it goes on, or None until somebody else has it
go on. Callers give up after their timeout while the callee works on, try again as often as they do, and hold their thread meanwhile.
"""

from __future__ import annotations

import enum
import heapq
import math
import random
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, Protocol

from twin.blueprint import CallPlan, Role
from twin.flow import PATIENCE_S, REFUSED_S
from twin.knobs import Knob
from twin.system import SimulatedSystem

Steps = Generator[float | None, None, None]
HUNG_S: Final = 60.0
"""For so long a hung request holds its thread: then the process's own limit ends it, and nothing is told."""
CYCLES: Final = 12
"""Deeper than this a request calls nobody: a cycle ends."""


class Listener(Protocol):
    """Hears what was served and called. Times in seconds."""

    def served(self, visit: Visit, end_s: float, *, failed: bool) -> None:
        """A service answered a request."""
        ...

    def called(self, visit: Visit, call: int, me: int, start_s: float, end_s: float, outcome: CallOutcome) -> None:
        """A call of a visit was answered, refused or given up."""
        ...


class CallOutcome(enum.Enum):
    """How a call ended."""

    WELL = enum.auto()
    FAILED = enum.auto()
    REFUSED = enum.auto()
    GIVEN_UP = enum.auto()


@dataclass(slots=True)
class Visit:
    """A request at a service: the slot that serves it, its route, its place in its trace (0: not sampled)."""

    service: int
    slot: int
    route: int
    trace: int
    me: int
    parent: int
    start_s: float


class _Process:
    """A generator on the heap; `token` tells which of its events is still meant."""

    __slots__ = ("steps", "token")

    def __init__(self) -> None:
        self.steps: Steps | None = None
        self.token = 0


class _Pending:
    """A call that is waited for: by whom, at which of its steps, and how it ended so far."""

    __slots__ = ("caller", "gap_s", "outcome", "token")

    def __init__(self, caller: _Process, gap_s: float) -> None:
        self.caller, self.token, self.gap_s = caller, caller.token, gap_s
        self.outcome = CallOutcome.GIVEN_UP


class _Station:
    """One instance: requests under way and waiting."""

    __slots__ = ("busy", "incarnation", "queue", "working")

    def __init__(self) -> None:
        self.busy = 0
        self.working = 0
        self.incarnation = 0
        self.queue: deque[_Process] = deque()


class RequestSimulation:
    """All requests of one system. Its state lives in the system's fleet and panel, looked at once a second."""

    def __init__(self, system: SimulatedSystem, seed: int, listener: Listener, sampled: float = 1.0) -> None:
        self.system, self._listener, self._sampled = system, listener, sampled
        self._r = random.Random(seed)
        self._heap: list[tuple[float, int, _Process, int]] = []
        self._number = 0
        self.now_s = 0.0
        self._stations = [_Station() for _ in system.fleet.service]
        plan = system.plan
        self._calls: list[list[tuple[int, CallPlan]]] = [[] for _ in plan.services]
        for i, call in enumerate(plan.calls):
            self._calls[call.caller].append((i, call))
        self._routed: list[list[int]] = [[] for _ in plan.services]
        self.factors = [self._route_factors(s.routes) for s in plan.services]
        self.arrived = self.answered = self.failed = self.lost = 0
        """Users' requests so far: come, answered well or not, and those nobody answered."""
        self.in_flight = 0

    def _route_factors(self, routes: int) -> list[float]:
        raw = [math.exp(self._r.gauss(0.0, 0.4)) for _ in range(routes)]
        mean = sum(raw) / routes
        return [x / mean for x in raw]

    # --- a second

    def second(self, begin_s: float) -> None:
        """Let one second pass: users come, and all that is due is done."""
        self._look(begin_s)
        for entry, rate in zip(self.system.plan.entries, self.system.demand_now().tolist(), strict=True):
            for _ in range(self._poisson(rate)):
                self._start(begin_s + self._r.random(), self._user(entry.service))
        end, heap = begin_s + 1.0, self._heap
        while heap and heap[0][0] < end:
            at, _, process, token = heapq.heappop(heap)
            if process.token == token:
                self.now_s = at
                self._go_on(process)
        self.now_s = end

    def _look(self, now_s: float) -> None:
        """What instances are there, and how they are, as of this second."""
        fleet, panel = self.system.fleet, self.system.panel
        ready = fleet.ready(now_s)
        routed = ready & ~fleet.drained & (fleet.unheard_s <= 5.0)
        self._routed = [[] for _ in self.system.plan.services]
        for slot, service in enumerate(fleet.service.tolist()):
            if routed[slot]:
                self._routed[service].append(slot)
        young = [max(now_s - b, 0.0) if b > -1e8 else 1e9 for b in fleet.born.tolist()]
        memory = [1.0 + 6.0 * min(max(m - 0.92, 0.0), 0.08) / 0.08 for m in fleet.memory.tolist()]
        work = panel[Knob.WORK].tolist()
        self._slow = [
            s * work[service] * (1.0 + 0.8 * 2.0 ** (-a / 15.0)) * m
            for s, service, a, m in zip(panel[Knob.SLOW].tolist(), fleet.service.tolist(), young, memory, strict=True)
        ]
        self._tail, self._fail = panel[Knob.TAIL].tolist(), panel[Knob.FAIL].tolist()
        self._hang, self._down = panel[Knob.HANG].tolist(), panel[Knob.DOWN].tolist()
        base = self.system.flow
        service = fleet.service
        self._threads = (base.threads[service] * panel[Knob.THREADS] * fleet.kept).tolist()
        cores = base.cores[service] * panel[Knob.CORES]
        self._cores = (cores - (panel[Knob.BURN] * base.cores[service]).clip(max=0.98 * cores)).clip(min=0.01).tolist()
        self._gap, self._loss = (base.network + panel[Knob.GAP]).tolist(), panel[Knob.LOSS].tolist()
        self._refuse, self._times = panel[Knob.REFUSE].tolist(), (base.per_request * panel[Knob.CALLS]).tolist()
        for slot, incarnation in enumerate(fleet.incarnation.tolist()):
            station = self._stations[slot]
            if station.incarnation != incarnation:  # whatever ran there is gone, and so are its requests
                self._stations[slot] = fresh = _Station()
                fresh.incarnation = incarnation

    def chance(self) -> float:
        """A draw in [0, 1) for whoever listens."""
        return self._r.random()

    def waiting(self) -> list[int]:
        """Requests that wait, by slot."""
        return [len(s.queue) for s in self._stations]

    def held(self) -> list[int]:
        """Threads in use, by slot."""
        return [s.busy for s in self._stations]

    # --- the engine

    def _start(self, at_s: float, steps: Steps) -> _Process:
        process = _Process()
        process.steps = steps
        self._later(at_s, process)
        return process

    def _later(self, at_s: float, process: _Process) -> None:
        self._number += 1
        heapq.heappush(self._heap, (at_s, self._number, process, process.token))

    def _go_on(self, process: _Process) -> None:
        process.token += 1
        self._running = process
        try:
            until = next(process.steps)  # type: ignore[arg-type]
        except StopIteration:
            process.token = -1
            return
        if until is not None:
            self._later(until, process)

    def _poisson(self, mean: float) -> int:
        if mean > 200:
            return max(0, round(self._r.gauss(mean, math.sqrt(mean))))
        limit, count, product = math.exp(-mean), 0, self._r.random()
        while product > limit:
            count, product = count + 1, product * self._r.random()
        return count

    # --- what requests do

    def _user(self, service: int) -> Steps:
        self.arrived += 1
        self.in_flight += 1
        trace = self._r.getrandbits(128) | 1 if self._r.random() < self._sampled else 0
        answer: list[bool] = []
        yield from self._visit(service, trace, 0, answer, 0)
        self.in_flight -= 1
        if not answer:
            self.lost += 1
        elif answer[0]:
            self.failed += 1
        else:
            self.answered += 1

    def _visit(self, service: int, trace: int, parent: int, answer: list[bool], depth: int) -> Steps:
        """One request at one service; `answer` gets whether it failed, and stays empty where nothing is answered."""
        r, routed = self._r, self._routed[service]
        if not routed:
            return
        slot = routed[int(r.random() * len(routed))]
        station, plan = self._stations[slot], self.system.plan.services[service]
        if self._down[slot] > 0.5:
            return
        arrival, me = self.now_s, self._running
        route = int(r.random() * plan.routes)
        visit = Visit(service, slot, route, trace, r.getrandbits(63) | 1 if trace else 0, parent, arrival)
        threads = max(self._threads[slot], 1.0)
        if station.busy >= threads:
            limit = math.inf if plan.role is Role.WORKER else PATIENCE_S * threads / max(plan.work_s, 1e-4)
            if len(station.queue) > min(limit, 50_000):
                answer.append(True)
                self._listener.served(visit, self.now_s, failed=True)
                return
            station.queue.append(me)
            yield None
        station.busy += 1
        if r.random() < self._hang[slot]:
            yield self.now_s + HUNG_S
            self._free(station, threads)
            return
        work = plan.work_s * math.exp(plan.spread * r.gauss(0.0, 1.0)) * self.factors[service][route] * self._slow[slot]
        if self._tail[slot] != 1.0 and r.random() < 0.125:
            work *= self._tail[slot]
        station.working += 1
        crowd = station.working * plan.cpu_share / self._cores[slot]
        if crowd > 1.0:  # more run than there are cores: each gets its share
            work *= 1.0 - plan.cpu_share + plan.cpu_share * crowd
        yield self.now_s + 0.5 * work
        station.working -= 1
        failed = r.random() < plan.error_rate + self._fail[slot]
        if depth < CYCLES and not failed:
            failed = yield from self._call_all(visit, depth)
        station.working += 1
        yield self.now_s + 0.5 * work
        station.working -= 1
        self._free(station, threads)
        if self._stations[slot] is station:  # a process that is gone answers nobody
            answer.append(failed)
            self._listener.served(visit, self.now_s, failed=failed)

    def _free(self, station: _Station, threads: float) -> None:
        station.busy -= 1
        if station.queue and station.busy < threads:
            self._later(self.now_s, station.queue.popleft())

    def _call_all(self, visit: Visit, depth: int) -> Generator[float | None, None, bool]:
        """All calls of a visit; whether one that was needed failed."""
        failed, beside = False, []
        for i, call in self._calls[visit.service]:
            times = self._times[i]
            count = int(times) + (self._r.random() < times % 1.0)
            for _ in range(count):
                if call.queued:
                    self._leave(visit, i, call, depth)
                elif call.parallel:
                    beside.append((i, call))
                else:
                    failed |= (yield from self._call(visit, i, call, depth)) and not call.optional
        if beside:
            failed |= yield from self._call_beside(visit, beside, depth)
        return failed

    def _leave(self, visit: Visit, i: int, call: CallPlan, depth: int) -> None:
        """Leave a message: nobody waits."""
        me = self._r.getrandbits(63) | 1 if visit.trace else 0
        began = max(visit.start_s, self.now_s - self._gap[i])
        self._listener.called(visit, i, me, began, self.now_s, CallOutcome.WELL)
        self._start(self.now_s + self._gap[i], self._visit(call.callee, visit.trace, me, [], depth + 1))

    def _call(self, visit: Visit, i: int, call: CallPlan, depth: int) -> Generator[float | None, None, bool]:
        """A call with its tries; whether the last of them failed."""
        for _ in range(1 + call.retries):
            me = self._r.getrandbits(63) | 1 if visit.trace else 0
            began, pending = self.now_s, _Pending(self._running, self._gap[i])
            if self._r.random() < self._refuse[i] or not self._routed[call.callee]:
                pending.outcome = CallOutcome.REFUSED
                yield began + REFUSED_S
            else:
                if self._r.random() >= self._loss[i]:
                    self._start(began + pending.gap_s / 2, self._callee(pending, call, (visit.trace, me), depth))
                yield began + call.timeout_s  # unless the callee has it go on before
            self._listener.called(visit, i, me, began, self.now_s, pending.outcome)
            if pending.outcome is CallOutcome.WELL:
                return False
        return True

    def _callee(self, pending: _Pending, call: CallPlan, above: tuple[int, int], depth: int) -> Steps:
        """The other side of a call: it has its caller go on, unless that has given up, or there is nothing to be heard."""
        began, answer = self.now_s, list[bool]()
        yield from self._visit(call.callee, *above, answer, depth + 1)
        if not answer and self.now_s > began:
            return  # it hung, or its process is gone
        if pending.caller.token == pending.token:
            pending.outcome = (
                CallOutcome.REFUSED if not answer else CallOutcome.FAILED if answer[0] else CallOutcome.WELL
            )
            pending.caller.token += 1
            self._later(self.now_s + pending.gap_s / 2, pending.caller)

    def _call_beside(
        self, visit: Visit, calls: list[tuple[int, CallPlan]], depth: int
    ) -> Generator[float | None, None, bool]:
        """Calls at once; the visit goes on when the last has ended."""
        left, failed, mine = [len(calls)], [False], self._running

        def one(i: int, call: CallPlan) -> Steps:
            bad = yield from self._call(visit, i, call, depth)
            failed[0] |= bad and not call.optional
            left[0] -= 1
            if not left[0]:
                self._later(self.now_s, mine)

        for i, call in calls:
            self._start(self.now_s, one(i, call))
        yield None
        return failed[0]
