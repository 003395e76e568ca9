"""How the requests of each instance fare, as window-level telemetry tells it of services that have several (`contracts.instance_parts`)."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
from numpy.random import Generator

from contracts.claims import INSTANCES
from contracts.frames.decoded import F64
from contracts.instance_parts import INSTANCE, MOST_INSTANCES, otherwise
from contracts.nodes import NODE, ZONE
from contracts.parts import Fared, Part, spelled_parts, together
from contracts.units import SECOND
from twin.blueprint import SystemPlan
from twin.fleet import Fleet
from twin.flow import SystemSecond

_TOLD_S: Final = 2
"""Instances are told of this often, while one fares otherwise than before."""
_GONE_S: Final = 40


def node_name(node: int) -> str:
    """What a node is called."""
    return f"node-{node}"


def zone_name(plan: SystemPlan, fleet: Fleet, node: int) -> str:
    """What a node's zone is called; "" where there is only one."""
    return f"zone-{fleet.zone_of[node]}" if plan.zones > 1 else ""


def instance_name(plan: SystemPlan, fleet: Fleet, slot: int) -> str:
    """What an instance calls itself."""
    name = plan.services[int(fleet.service[slot])].name.rpartition("/")[2]
    return f"{name}-{slot}-{fleet.incarnation[slot]}"


class InstanceRows:
    """The instances of services that send spans, by their parts of what is served."""

    def __init__(self, plan: SystemPlan, fleet: Fleet, r: Generator, sampled: F64) -> None:
        self._plan, self._fleet, self._r, self._sampled = plan, fleet, r, sampled
        self._parts: dict[int, dict[str, Part]] = {}
        self._told: set[int] = set()

    def observe(self, number: int, x: SystemSecond, paced: tuple[F64, F64], ok: np.ndarray) -> None:
        """Count a second. `paced` has the usual logarithms of requests and their deviations, by service; `ok` which services are heard."""
        fleet, (level, pace), now_ns = self._fleet, paced, number * SECOND
        served = x.served * self._sampled[fleet.service]
        asked = self._r.poisson(np.minimum(served, 1e6))
        failed = self._r.binomial(asked, np.clip(x.slot_failing, 0.0, 1.0))
        logs = (np.log(np.maximum(x.raw, 1e-9)) - level[:, None]) / np.maximum(pace[:, None], 0.05)
        sums = np.bincount(x.pick.ravel(), weights=logs.ravel(), minlength=len(served))
        seen = np.bincount(x.pick.ravel(), minlength=len(served))
        slower = sums / np.maximum(seen, 1)
        paces = asked * slower + self._r.normal(0.0, 1.0, len(asked)) * np.sqrt(asked)
        for slot in np.flatnonzero((asked > 0) & ok[fleet.service]).tolist():
            service = int(fleet.service[slot])
            if len(fleet.running(service)) < 2 and service not in self._parts:
                continue
            name = instance_name(self._plan, fleet, slot)
            node = int(fleet.node[slot])
            ground = {NODE: node_name(node), ZONE: zone_name(self._plan, fleet, node)}
            part = self._parts.setdefault(service, {}).setdefault(name, Part({INSTANCE: name}, ground))
            part.add(Fared(float(asked[slot]), float(failed[slot]), float(asked[slot]), float(paces[slot])), now_ns)

    def told(self, number: int, service: int, attributes: str) -> str:
        """What is said of a service's attributes in a second: them with how its instances fare, or nothing new ("")."""
        known, now_ns = self._parts.get(service, {}), number * SECOND
        if number % _TOLD_S or not known:
            return ""
        for name in [n for n, p in known.items() if now_ns - p.heard_ns > _GONE_S * SECOND]:
            del known[name]
        was = service in self._told
        if len(known) > 1 and otherwise([p.at(now_ns) for p in known.values()]):
            self._told.add(service)
            spelled = spelled_parts(together([known.values()], now_ns, MOST_INSTANCES))
            return json.dumps({**json.loads(attributes), INSTANCES: spelled}, separators=(",", ":"))
        self._told.discard(service)
        return attributes if was else ""
