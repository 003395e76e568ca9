"""Operations: what happens in every system all the time and is no fault. Some of it looks like one for a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.random import Generator

from twin.blueprint import Role
from twin.influences import Influence, Seat
from twin.knobs import Knob
from twin.system import SimulatedSystem

Operation = Callable[[SimulatedSystem, Generator], int]
"""Begins it now; the service that it happens to (-1: none)."""


def _service(system: SimulatedSystem, r: Generator, *roles: Role) -> int:
    found = [i for i, s in enumerate(system.plan.services) if s.role in roles]
    return found[int(r.integers(len(found)))] if found else -1


def _turn(system: SimulatedSystem, knob: Knob, value: float, seconds: float, **more: object) -> None:
    now = system.now_s
    system.influences.append(Influence(knob, value, Seat.CODE, now, end_s=now + seconds, **more))  # type: ignore[arg-type]


def _own(system: SimulatedSystem, r: Generator) -> int:
    return _service(system, r, Role.SERVICE, Role.GATEWAY, Role.WORKER)


def deploy(system: SimulatedSystem, r: Generator) -> int:
    """A good release: instances one after another, cold at first, a little faster or slower than before."""
    service = _own(system, r)
    version, _ = system.deploy(service, told=bool(r.random() < 0.7))
    change = float(r.uniform(0.92, 1.08))
    system.influences.append(Influence(Knob.SLOW, change, Seat.RELEASE, system.now_s, service=service, version=version))
    return service


def configure(system: SimulatedSystem, r: Generator) -> int:
    """A change of configuration that changes nothing to speak of."""
    service = _own(system, r)
    system.deploy(service, config_only=True, told=bool(r.random() < 0.7))
    return service


def flip_flag(system: SimulatedSystem, r: Generator) -> int:
    """A flag by which a service calls another a little more or less often."""
    service = _own(system, r)
    calls = np.array([i for i, c in enumerate(system.plan.calls) if c.caller == service], np.int64)
    if len(calls):
        _turn(system, Knob.CALLS, float(r.uniform(0.8, 1.15)), 1e9, places=calls[[int(r.integers(len(calls)))]])
    system.tell(service, "flag", before="off", after="on", subject="flag/layout-b")
    return service


def scale_out(system: SimulatedSystem, r: Generator) -> int:
    """An autoscaler adds an instance."""
    service = _own(system, r)
    before = len(system.fleet.running(service))
    after = system.fleet.scale(service, before + 1, system.now_s)
    system.tell(service, "scale", before=str(before), after=str(after), actor="autoscaler")
    return service


def scale_in(system: SimulatedSystem, r: Generator) -> int:
    """An autoscaler takes an instance away where there are enough."""
    service = _own(system, r)
    before = len(system.fleet.running(service))
    if before >= 4:
        system.fleet.scale(service, before - 1, system.now_s)
        system.tell(service, "scale", before=str(before), after=str(before - 1), actor="autoscaler")
    return service


def cron(system: SimulatedSystem, r: Generator) -> int:
    """A job in one instance that takes some of its cores for a while."""
    service = _own(system, r)
    slots = system.fleet.running(service)[:1]
    found = Influence(Knob.BURN, float(r.uniform(0.1, 0.3)), Seat.PROCESS, system.now_s, places=slots)
    found.incarnations, found.end_s = system.fleet.incarnation[slots].copy(), system.now_s + float(r.uniform(10, 90))
    system.influences.append(found)
    return service


def pause(system: SimulatedSystem, r: Generator) -> int:
    """A garbage collector stops an instance for a moment."""
    service = _own(system, r)
    slots = system.fleet.running(service)
    slots = slots[[int(r.integers(len(slots)))]] if len(slots) else slots
    found = Influence(Knob.SLOW, float(r.uniform(1.5, 4.0)), Seat.PROCESS, system.now_s, places=slots)
    found.incarnations, found.end_s = system.fleet.incarnation[slots].copy(), system.now_s + 1.0
    system.influences.append(found)
    return service


def compaction(system: SimulatedSystem, r: Generator) -> int:
    """A database compacts, or is backed up: a little slower for a while."""
    service = _service(system, r, Role.DATABASE)
    if service >= 0:
        _turn(system, Knob.SLOW, float(r.uniform(1.05, 1.3)), float(r.uniform(20, 180)), service=service)
    return service


def burst(system: SimulatedSystem, r: Generator) -> int:
    """Users come in a burst."""
    entry = int(r.integers(len(system.plan.entries)))
    _turn(system, Knob.DEMAND, float(r.uniform(1.2, 1.9)), float(r.uniform(5, 60)), places=np.array([entry]))
    return system.plan.entries[entry].service


def sale(system: SimulatedSystem, r: Generator) -> int:
    """More and more users, for long, and all are served."""
    entry = int(r.integers(len(system.plan.entries)))
    _turn(
        system,
        Knob.DEMAND,
        float(r.uniform(1.2, 1.7)),
        600.0,
        places=np.array([entry]),
        ramp_s=float(r.uniform(60, 240)),
    )
    return system.plan.entries[entry].service


def small_crawler(system: SimulatedSystem, r: Generator) -> int:
    """A crawler asks for what takes a little longer."""
    entry = int(r.integers(len(system.plan.entries)))
    service, seconds = system.plan.entries[entry].service, float(r.uniform(20, 120))
    _turn(system, Knob.DEMAND, float(r.uniform(1.05, 1.25)), seconds, places=np.array([entry]))
    _turn(system, Knob.WORK, float(r.uniform(1.02, 1.15)), seconds, places=np.array([service]))
    return service


def eviction(system: SimulatedSystem, r: Generator) -> int:
    """An instance moves to another node; its successor serves before it goes."""
    service = _own(system, r)
    slots = system.fleet.running(service)
    if len(slots):
        slot = slots[[int(r.integers(len(slots)))]]
        system.fleet.replace(slot, system.now_s, elsewhere=True)
        system.fleet.ready_at[slot] = system.now_s
        system.tell(service, "eviction")
    return service


def lost_telemetry(system: SimulatedSystem, r: Generator) -> int:
    """An agent dies: nothing is heard of the services on one node for a while. They are well."""
    node = int(r.integers(system.plan.nodes))
    fleet = system.fleet
    alone = [
        s
        for s in range(len(system.plan.services))
        if len(fleet.running(s)) and bool((fleet.node[fleet.running(s)] == node).all())
    ]
    _turn(system, Knob.MUTE, 1.0, float(r.uniform(5, 120)), places=np.array(alone, np.int64))
    return alone[0] if alone else -1


def rotation(system: SimulatedSystem, r: Generator) -> int:
    """Certificates are renewed: nothing changes, and a record says so."""
    service = _own(system, r)
    system.tell(service, "other", text="certificate renewed")
    return service


OPERATIONS: Final[dict[str, tuple[float, Operation]]] = {
    "deploy": (2.0, deploy),
    "configure": (1.0, configure),
    "flip_flag": (1.0, flip_flag),
    "scale_out": (1.0, scale_out),
    "scale_in": (0.5, scale_in),
    "cron": (2.0, cron),
    "pause": (4.0, pause),
    "compaction": (1.5, compaction),
    "burst": (2.0, burst),
    "sale": (0.7, sale),
    "small_crawler": (1.0, small_crawler),
    "eviction": (1.0, eviction),
    "lost_telemetry": (0.7, lost_telemetry),
    "rotation": (0.5, rotation),
}
"""By name: how often in proportion, and how it begins."""
