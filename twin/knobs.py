"""Knobs: what faults, operations and load may turn in a system within one second. All else follows from the laws."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from twin.laws import F64, I64


class Scope(enum.StrEnum):
    """What a knob is a knob of."""

    INSTANCE = "instance"
    CALL = "call"
    ENTRY = "entry"
    SERVICE = "service"


class Knob(enum.StrEnum):
    """Multiplied by: `slow`, `tail`, `cores`, `threads`, `calls`, `demand`, `work`. Added: all others."""

    SLOW = "slow"  # times what a request takes by itself
    TAIL = "tail"  # times that for one request in eight
    CORES = "cores"
    THREADS = "threads"
    FAIL = "fail"  # share of requests answered with a failure
    HANG = "hang"  # share of requests never answered
    DOWN = "down"  # whether it refuses: 1
    BURN = "burn"  # cores used by what is no request
    LEAK = "leak"  # share of memory per second
    SPILL = "spill"  # share of threads lost per second
    GAP = "gap"  # seconds on the way
    LOSS = "loss"  # share of calls of which nothing is heard
    REFUSE = "refuse"  # share of calls that fail at once
    CALLS = "calls"  # times the calls per request
    DEMAND = "demand"  # times the users' requests
    WORK = "work"  # times what a request takes, by what is asked for
    MUTE = "mute"  # whether its telemetry is lost: 1
    QUIRK = "quirk"  # share of requests that log something new


SCOPES = {
    **dict.fromkeys((Knob.GAP, Knob.LOSS, Knob.REFUSE, Knob.CALLS), Scope.CALL),
    **dict.fromkeys((Knob.MUTE, Knob.QUIRK, Knob.WORK), Scope.SERVICE),
    Knob.DEMAND: Scope.ENTRY,
}
"""By knob; instances where nothing is said."""
MULTIPLIED = frozenset({Knob.SLOW, Knob.TAIL, Knob.CORES, Knob.THREADS, Knob.CALLS, Knob.DEMAND, Knob.WORK})


def scope_of(knob: Knob) -> Scope:
    """What the knob is a knob of."""
    return SCOPES.get(knob, Scope.INSTANCE)


@dataclass(slots=True)
class Panel:
    """All knobs at rest, to be turned; arrays by `Scope`."""

    by_knob: dict[Knob, F64]

    @classmethod
    def at_rest(cls, sizes: dict[Scope, int]) -> Panel:
        """Nothing turned."""
        return cls({k: (np.ones if k in MULTIPLIED else np.zeros)(sizes[scope_of(k)]) for k in Knob})

    def __getitem__(self, knob: Knob) -> F64:
        return self.by_knob[knob]

    def turn(self, knob: Knob, places: I64 | slice, value: float, part: float = 1.0) -> None:
        """Turn a knob at some places by a part of `value`."""
        if knob in MULTIPLIED:
            self.by_knob[knob][places] *= 1.0 + (value - 1.0) * part
        else:
            self.by_knob[knob][places] += value * part
