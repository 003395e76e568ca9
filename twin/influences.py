"""Influences: what turns knobs for a while, and what it sits in: a process, a release, a node, a link, the load.

Where a fault sits decides what ends it. One in a process ends with that process; one in a release goes wherever the release runs; one
on a node stays with the node. Nothing here asks what a person or a program would call it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from twin.knobs import Knob, Panel, Scope, scope_of
from twin.laws import I64

if TYPE_CHECKING:
    from twin.fleet import Fleet

FOREVER = np.inf


class Seat(enum.StrEnum):
    """What an influence sits in."""

    PROCESS = "process"  # these processes: whoever starts them anew is rid of it
    RELEASE = "release"  # whatever runs this version
    CONFIG = "config"  # whatever runs with this configuration
    FLAG = "flag"  # the service, while a flag is on
    CODE = "code"  # the service, whatever is done: what piles up goes with a restart, the reason stays
    NODE = "node"  # whatever runs on these nodes
    LINK = "link"  # calls between two places
    OUTSIDE = "outside"  # what others run
    DATA = "data"  # what is stored: a restart finds it again
    LOAD = "load"  # what is asked for


@dataclass(slots=True)
class Influence:
    """One knob turned by `value`, at full strength `ramp_s` after `begin_s`, until `end_s` or until what it sits in is gone.

    Of instances: `service`, and by the seat `slots` with their `incarnations`, a `version`, a `config` or `nodes`. Else `places`: calls,
    entries or services.
    """

    knob: Knob
    value: float
    seat: Seat
    begin_s: float
    ramp_s: float = 0.0
    end_s: float = FOREVER
    service: int = -1
    places: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    incarnations: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    version: int = 0
    config: int = 0
    nodes: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    every_s: float = 0.0
    """Where above 0, it comes and goes: on for the first `on_s` of each so many seconds."""
    on_s: float = 0.0

    def part(self, now_s: float) -> float:
        """How much of it is there, 0 to 1."""
        if not self.begin_s <= now_s < self.end_s:
            return 0.0
        if self.every_s and (now_s - self.begin_s) % self.every_s >= self.on_s:
            return 0.0
        return 1.0 if self.ramp_s <= 0 else min(1.0, (now_s - self.begin_s + 1.0) / self.ramp_s)

    def where(self, fleet: Fleet) -> I64:
        """The places at which it is now."""
        if scope_of(self.knob) is not Scope.INSTANCE:
            return self.places
        found = fleet.running(self.service) if self.service >= 0 else self.places
        if self.seat is Seat.PROCESS:
            found = self.places[fleet.incarnation[self.places] == self.incarnations]
        elif self.seat is Seat.RELEASE:
            found = found[fleet.version[found] == self.version]
        elif self.seat is Seat.CONFIG:
            found = found[fleet.config[found] == self.config]
        elif self.seat is Seat.NODE:
            found = np.flatnonzero(np.isin(fleet.node, self.nodes) & fleet.wanted)
        return found

    def turn(self, panel: Panel, fleet: Fleet, now_s: float) -> bool:
        """Turn its knob; whether there was anything to turn."""
        part = self.part(now_s)
        if part <= 0.0:
            return False
        where = self.where(fleet)
        panel.turn(self.knob, where, self.value, part)
        return bool(len(where))

    def sitting(self, fleet: Fleet, now_s: float) -> bool:
        """Whether it is there or will be (again) if nothing is done."""
        return now_s < self.end_s and (now_s < self.begin_s or bool(len(self.where(fleet))))
