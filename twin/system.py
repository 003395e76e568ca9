"""One simulated system as it lives: influences turn its knobs, time passes a second at a time, actions change its fleet.

Whoever drives it calls `step` once a second, and may act in between. Deterministic for a plan, a seed and the same actions at the same times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from twin.blueprint import SystemPlan
from twin.fleet import Fleet
from twin.flow import Flow, SystemSecond
from twin.influences import Influence, Seat
from twin.knobs import Knob, Panel, Scope
from twin.laws import F64, I64
from twin.load import UserDemand


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that others may hear of (a deploy, a scaling, a crash): what a change event is made of."""

    at_s: float
    service: str
    kind: str
    before: str = ""
    after: str = ""
    actor: str = ""
    subject: str = ""
    text: str = ""


class SimulatedSystem:
    """A system at `now_s`."""

    def __init__(self, plan: SystemPlan, load: UserDemand, r: Generator) -> None:
        self.plan, self.load, self._r = plan, load, r
        self.fleet = Fleet(plan, r)
        self.flow = Flow(plan, self.fleet, r)
        self.influences: list[Influence] = []
        self.flags: set[tuple[int, str]] = set()
        self.ended_early: list[tuple[Influence, float]] = []
        """Influences that something done ended, and whose undoing brings back, each with when it would have ended."""
        """Flags that are off."""
        self.now_s = 0.0
        self.last: SystemSecond | None = None
        self.panel = Panel.at_rest(self._sizes())
        self.happenings: deque[Happening] = deque()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._rolls_until: dict[int, float] = {}
        self._numbered = 0
        self.index = {s.name: i for i, s in enumerate(plan.services)}

    def _sizes(self) -> dict[Scope, int]:
        return {
            Scope.INSTANCE: len(self.fleet.service),
            Scope.CALL: len(self.plan.calls),
            Scope.ENTRY: len(self.plan.entries),
            Scope.SERVICE: len(self.plan.services),
        }

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        """Have something happen later."""
        self._numbered += 1
        self._due.append((when_s, self._numbered, what))
        self._due.sort(key=lambda d: d[:2])

    def tell(
        self,
        service: int,
        kind: str,
        *,
        before: str = "",
        after: str = "",
        actor: str = "",
        subject: str = "",
        text: str = "",
    ) -> None:
        """Let others hear of something that happens now."""
        name = self.plan.services[service].name
        self.happenings.append(Happening(self.now_s, name, kind, before, after, actor, subject, text))

    def step(self) -> SystemSecond:
        """The second that begins at `now_s`; afterwards it is a second later."""
        while self._due and self._due[0][0] <= self.now_s:
            self._due.pop(0)[2]()
        panel = self.panel = Panel.at_rest(self._sizes())
        for influence in self.influences:
            influence.turn(panel, self.fleet, self.now_s)
        self._note_down_nodes()
        demand = self.load.demand(self.now_s) * panel[Knob.DEMAND]
        found = self.last = self.flow.second(panel, demand, self.now_s)
        self._wear(panel)
        self.now_s += 1.0
        return found

    def _note_down_nodes(self) -> None:
        """Nodes that don't answer: a scheduler puts nothing there."""
        self.fleet.down[:] = False
        for influence in self.influences:
            if influence.seat is Seat.NODE and influence.knob in (Knob.DOWN, Knob.HANG) and influence.part(self.now_s):
                self.fleet.down[influence.nodes] = True

    def _wear(self, panel: Panel) -> None:
        """What piles up in a second: memory, lost threads; who has no memory left is killed and started anew."""
        fleet = self.fleet
        running = fleet.ready(self.now_s)
        fleet.memory = np.where(running, fleet.memory + panel[Knob.LEAK], fleet.memory)
        fleet.kept = np.maximum(fleet.kept - np.where(running, panel[Knob.SPILL], 0.0), 0.02)
        for slot in np.flatnonzero(running & (fleet.memory >= 1.0)).tolist():
            self.tell(int(fleet.service[slot]), "oom", text="a container was killed: out of memory")
            fleet.replace([slot], self.now_s)
        self.influences = [i for i in self.influences if self.now_s < i.end_s]

    # --- what is done to it

    def restart(self, service: int, *, rolling: bool, elsewhere: bool = False, one: int | None = None) -> None:
        """Start processes anew: all, one after another; or one at once: the slot `one`, else one that doesn't serve first."""
        slots = self.fleet.running(service)
        if not len(slots):
            return
        if not rolling:
            worst = sorted(slots.tolist(), key=lambda s: (-self._illness(s), self.fleet.born[s], s))
            self.fleet.replace(worst[:1] if one is None else [one], self.now_s, elsewhere=elsewhere)
            return
        self._roll(service, slots, elsewhere=elsewhere)

    def _illness(self, slot: int) -> float:
        """What a person sees who looks at instances: one that does not start, does not answer, fails health checks."""
        waits = float(self.fleet.ready_at[slot] > self.now_s)
        return waits * 3 + float(self.panel[Knob.DOWN][slot] > 0.5) * 2 + min(float(self.panel[Knob.HANG][slot]), 1.0)

    def _roll(self, service: int, slots: I64, *, elsewhere: bool = False) -> None:
        """Replace slots one after another, each when the one before serves; a service with one instance starts its successor first."""
        pause = self.plan.services[service].start_s * 1.2
        self._rolls_until[service] = self.now_s + (len(slots) - 1) * pause
        for i, slot in enumerate(slots.tolist()):
            wanted = int(self.fleet.incarnation[slot])

            def replace(slot: int = slot, wanted: int = wanted) -> None:
                if self.fleet.wanted[slot] and self.fleet.incarnation[slot] == wanted:
                    self.fleet.replace([slot], self.now_s, elsewhere=elsewhere)
                    if len(slots) == 1:  # a surge: the old one serves until the new one does
                        self.fleet.ready_at[slot] = self.now_s

            self.at(self.now_s + i * pause, replace)

    def rolling(self, service: int) -> bool:
        """Whether instances of a service are still to be replaced."""
        return self.now_s <= self._rolls_until.get(service, -1.0)

    def rolled_out_at(self, service: int) -> float:
        """When what was begun on a service will be over, as far as is known now."""
        slots = self.fleet.running(service)
        ready = [float(x) for x in self.fleet.ready_at[slots] if np.isfinite(x)]
        return max([self.now_s, *ready])

    def deploy(self, service: int, *, config_only: bool = False, actor: str = "", told: bool = True) -> tuple[int, int]:
        """A new version (or configuration) rolls out; its numbers."""
        fleet = self.fleet
        version, config = int(fleet.release[service]), int(fleet.configured[service])
        after = (version, config + 1) if config_only else (version + 1, config)
        fleet.released(service, *after)
        self._roll(service, fleet.running(service))
        if told:
            kind = "config" if config_only else "deploy"
            self.tell(service, kind, before=f"v{version}", after=f"v{after[0]}", actor=actor)
        return after

    def roll_back(self, service: int, version: int | None = None, config: int | None = None) -> bool:
        """Back to the release and configuration before the present ones (or to those of `version` and `config`); whether there were any."""
        fleet = self.fleet
        known = fleet.previous[service]
        wanted = next((p for p in reversed(known) if version in (None, p[0]) and config in (None, p[1])), None)
        if wanted is None or len(known) < 2:
            return False
        fleet.released(service, *wanted)
        self._roll(service, fleet.running(service))
        return True

    def drain(self, service: int, nodes: Sequence[int]) -> int:
        """What a service has on nodes starts anew on others, its only instance once its successor serves; how many instances that are. Where
        there are any, nothing is put on those nodes from then on."""
        every = self.fleet.running(service)
        slots = every[np.isin(self.fleet.node[every], nodes)]
        if len(slots):
            self.fleet.aside[list(nodes)] = True
        if len(every) == 1 and len(slots):
            self._roll(service, slots, elsewhere=True)
        else:
            self.fleet.replace(slots, self.now_s, elsewhere=True)
        return len(slots)

    def demand_now(self) -> F64:
        """Users' requests per second, by entry."""
        return self.load.demand(self.now_s) * self.panel[Knob.DEMAND]
