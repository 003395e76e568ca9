"""Faults drawn and injected: a kind of the catalogue at a place of a system, of a size, beginning at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from twin.blueprint import Role
from twin.catalogue import FaultKind, FaultLevel, Turn
from twin.influences import FOREVER, Influence, Seat
from twin.knobs import Knob, Scope, scope_of
from twin.laws import I64
from twin.system import SimulatedSystem
from twin.truth import FaultTruth

WAITED = (0.2, 3.0)
LEFT = (1.5, 0.5)


@dataclass(slots=True)
class InjectedFault:
    """A fault in a system: its truth, and what has to be gone for it to be over."""

    truth: FaultTruth
    influences: list[Influence]
    flag: tuple[int, str] | None = None
    shrunk: tuple[int, int] | None = None
    """(service, replicas that it should have), of one that was scaled too low."""

    def sitting(self, system: SimulatedSystem) -> bool:
        """Whether it is still there."""
        if self.flag is not None and self.flag in system.flags:
            return False
        if self.shrunk is not None:
            service, wanted = self.shrunk
            return len(system.fleet.running(service)) < wanted
        return any(i.sitting(system.fleet, system.now_s) for i in self.influences)

    def end(self, now_s: float) -> None:
        """Have it be over, as when a flag was turned off."""
        for influence in self.influences:
            influence.end_s = min(influence.end_s, now_s)


def size_of(r: Generator, subtle: float) -> float:
    """How strong, in [0, 1]; `subtle` is the share that is drawn from the weakest third."""
    return float(r.uniform(0.0, 1 / 3) if r.random() < subtle else r.random())


def candidates(system: SimulatedSystem, kind: FaultKind) -> list[int]:
    """Services where a fault of this kind can be: of the right role, and asked for something."""
    plan, rates = system.plan, system.flow.last_rate
    found = [i for i, s in enumerate(plan.services) if s.role in kind.roles and rates[i] >= 0.2]
    if kind.level is FaultLevel.LOAD and not kind.calls and kind.name != "hot_key":
        return [e.service for e in plan.entries]
    if kind.calls in {"one", "out"}:
        found = [i for i in found if any(c.caller == i and not c.queued for c in plan.calls)]
    if kind.calls == "in":
        found = [i for i in found if any(c.callee == i and not c.queued for c in plan.calls)]
    if kind.replicas:
        found = [i for i in found if len(system.fleet.running(i)) >= 2]
    if kind.level is FaultLevel.NODE and system.plan.nodes < 2:
        return []
    return found


def inject(
    system: SimulatedSystem, kind: FaultKind, service: int, size: float, r: Generator, *, told: bool = True
) -> InjectedFault:
    """Have the fault begin now at a service (on its node, in its calls); what it is. `told`: whether people's mistakes leave a record."""
    now = system.now_s
    ramp = float(r.uniform(*kind.ramp_s))
    heals = float(r.uniform(*kind.heals_s)) + ramp if r.random() < kind.heals else None
    end = FOREVER if heals is None else now + heals
    at = _Place(system, kind, service, r)
    influences = []
    seat = kind.seat
    version, config = _rolled_out(system, kind, service, told=told)
    for turn in kind.turns:
        scope = scope_of(turn.knob)
        value = _felt(system, turn, service, size)
        influence = Influence(turn.knob, value, seat, now, ramp, end, service, version=version, config=config)
        influence.places = at.places(scope)
        influence.nodes = at.nodes
        if kind.rhythm_s[1]:
            influence.every_s = float(r.uniform(*kind.rhythm_s))
            influence.on_s = influence.every_s * float(r.uniform(0.3, 0.6))
        if seat is Seat.PROCESS and scope is Scope.INSTANCE:
            influence.incarnations = system.fleet.incarnation[influence.places].copy()
        influences.append(influence)
    system.influences += influences
    roots = at.roots()
    names = {system.plan.services[i].name for i in roots}
    reached = set().union(*(system.plan.reaching(i) for i in roots)) if roots else set()
    truth = FaultTruth(
        kind=kind.name,
        level=kind.level,
        service=system.plan.services[service].name,
        roots=frozenset(names),
        causes=kind.causes,
        repairs=frozenset(
            (a, system.plan.services[i].name)
            for a in kind.repairs
            for i in ([service] if seat is Seat.LINK else roots)  # it is the caller whose calls are led elsewhere
            if system.plan.services[i].own
        ),
        begin_s=now,
        size=size,
        ramp_s=ramp,
        heals_s=heals,
        path=frozenset(system.plan.services[i].name for i in reached),
    )
    flag = (service, kind.name) if seat is Seat.FLAG else None
    return InjectedFault(truth, influences, flag, _shrunk(system, kind, service, told=told))


def _felt(system: SimulatedSystem, turn: Turn, service: int, size: float) -> float:
    """How far the knob is turned in this system: what is slow is so by a part of what users wait for in all (from a fifth to three times),
    and what is taken away leaves from half as much again as is used down to half of that. Else a fault of a quick or idle
    service would be none."""
    flow, plan = system.flow, system.plan
    value = turn.at(size)
    instances = max(len(system.fleet.running(service)), 1)
    each = flow.last_rate[service] / instances
    if turn.knob in {Knob.SLOW, Knob.TAIL}:
        waited = max(float(np.quantile(flow.last_law[e.service], 0.95)) for e in plan.entries)
        return float(
            max(value, 1.0 + WAITED[0] * (WAITED[1] / WAITED[0]) ** size * waited / plan.services[service].work_s)
        )
    left = LEFT[0] * (LEFT[1] / LEFT[0]) ** size
    if turn.knob is Knob.THREADS:
        used = each * (flow.mean_work[service] + flow.held_below[service])
        return float(min(value, left * used / flow.threads[service]))
    if turn.knob is Knob.CORES:
        used = each * flow.mean_work[service] * flow.cpu_share[service]
        return float(min(value, left * used / flow.cores[service]))
    return value


class _Place:
    """Where exactly a fault is, by the service that was drawn."""

    def __init__(self, system: SimulatedSystem, kind: FaultKind, service: int, r: Generator) -> None:
        self._system, self._kind, self._service = system, kind, service
        fleet = system.fleet
        slots = fleet.running(service)
        self._slots = slots if kind.level is not FaultLevel.INSTANCE else slots[[int(r.integers(len(slots)))]]
        self.nodes: I64 = np.empty(0, np.int64)
        if kind.level is FaultLevel.NODE:
            self.nodes = fleet.node[slots[[int(r.integers(len(slots)))]]]
        elif kind.level is FaultLevel.ZONE:
            zone = fleet.zone_of[fleet.node[slots[0]]]
            self.nodes = np.flatnonzero(fleet.zone_of == zone) if system.plan.zones > 1 else fleet.node[slots[:1]]
        self._calls = self._which_calls(r)

    def _which_calls(self, r: Generator) -> I64:
        calls, service = self._system.plan.calls, self._service
        out = [i for i, c in enumerate(calls) if c.caller == service and not c.queued]
        found: list[int] = []
        match self._kind.calls:
            case "one":
                found = [out[int(r.integers(len(out)))]]
            case "out":
                found = out
            case "in":
                found = [i for i, c in enumerate(calls) if c.callee == service and not c.queued]
            case "stores":
                users = {c.caller for c in calls if c.callee == service}
                stores = {i for i, s in enumerate(self._system.plan.services) if s.role is Role.DATABASE}
                found = [i for i, c in enumerate(calls) if c.caller in users and c.callee in stores]
            case _:
                pass
        return np.array(found, np.int64)

    def places(self, scope: Scope) -> I64:
        """Which slots, calls, entries or services a knob is turned at."""
        match scope:
            case Scope.INSTANCE:
                return self._slots
            case Scope.CALL:
                return self._calls
            case Scope.ENTRY:
                entries = [i for i, e in enumerate(self._system.plan.entries) if e.service == self._service]
                return np.array(entries or [0])
            case Scope.SERVICE:
                return np.array([self._service])

    def roots(self) -> list[int]:
        """Services that a right diagnosis may name."""
        calls, fleet = self._system.plan.calls, self._system.fleet
        if len(self.nodes):
            on = np.isin(fleet.node, self.nodes) & fleet.wanted
            return [int(i) for i in np.unique(fleet.service[on])]
        if self._kind.seat is Seat.LINK or self._kind.calls:
            ends = {self._service} | {calls[i].callee for i in self._calls.tolist()}
            return sorted(
                ends
                if self._kind.calls in {"one", "stores", "out"}
                else ends | {calls[i].caller for i in self._calls.tolist()}
            )
        return [self._service]


def _rolled_out(system: SimulatedSystem, kind: FaultKind, service: int, *, told: bool) -> tuple[int, int]:
    """What sits in a release or a configuration comes with one."""
    if kind.seat is Seat.RELEASE:
        return system.deploy(service, told=told)
    if kind.seat is Seat.CONFIG and not kind.replicas:
        return system.deploy(service, config_only=True, told=told)
    if kind.seat is Seat.FLAG and told:
        system.tell(service, "flag", before="off", after="on", subject=f"flag/{flag_name(kind.name)}")
    return 0, 0


def flag_name(kind: str) -> str:
    """What the flag of a kind of fault is called, by whoever tells of it."""
    return f"{kind.removeprefix('flag_')}-path"


def _shrunk(system: SimulatedSystem, kind: FaultKind, service: int, *, told: bool) -> tuple[int, int] | None:
    if not kind.replicas:
        return None
    now = len(system.fleet.running(service))
    left = max(1, int(now * (1.0 - kind.replicas)))
    system.fleet.scale(service, left, system.now_s)
    if told:
        system.tell(service, "scale", before=str(now), after=str(left))
    return service, now


def overloaded(system: SimulatedSystem) -> set[str]:
    """Services that have more to do than they can, right now: what a surge's harm comes from."""
    if system.last is None:
        return set()
    fleet, found = system.fleet, set()
    full = (np.nan_to_num(system.last.cpu) > 0.9) | (fleet.backlog > 1.0)
    full |= system.last.held > 0.9 * system.flow.threads[fleet.service]
    for slot in np.flatnonzero(full & fleet.wanted).tolist():
        found.add(system.plan.services[int(fleet.service[slot])].name)
    return found


def drawable(system: SimulatedSystem, kinds: Sequence[FaultKind]) -> list[FaultKind]:
    """The kinds for which this system has a place."""
    return [k for k in kinds if candidates(system, k)]
