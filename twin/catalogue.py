"""The kinds of faults, as data: where each sits, what it turns and how far, what it is called, and what ends it.

Sizes reach from what users hardly notice to an outage. `causes` are the words that a right diagnosis may use; `repairs` the actions that
end the harm if they are done to a root, empty where nothing that is done here helps.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from contracts.verdicts import CauseKind
from twin.blueprint import Role
from twin.influences import Seat
from twin.knobs import Knob

_C = CauseKind


class FaultLevel(enum.StrEnum):
    """At which level of a system a fault is."""

    INSTANCE = "instance"
    SERVICE = "service"
    EDGE = "edge"
    NODE = "node"
    ZONE = "zone"
    DEPENDENCY = "dependency"
    RELEASE = "release"
    FLAG = "flag"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Turn:
    """A knob, and its value at the weakest and the strongest size of the fault (in between: geometric)."""

    knob: Knob
    weak: float
    strong: float

    def at(self, size: float) -> float:
        """The value at a size in [0, 1]."""
        return float(self.weak * (self.strong / self.weak) ** size)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind. `ramp_s` is the range of the time until full strength (0: at once); `heals_s` that after which it is over by itself,
    with probability `heals`."""

    name: str
    level: FaultLevel
    seat: Seat
    turns: tuple[Turn, ...]
    causes: frozenset[CauseKind]
    repairs: tuple[str, ...] = ()
    roles: frozenset[Role] = frozenset({Role.SERVICE, Role.GATEWAY})
    ramp_s: tuple[float, float] = (0.0, 0.0)
    heals: float = 0.25
    heals_s: tuple[float, float] = (30.0, 240.0)
    calls: str = ""
    """Of faults of calls: `one`, `out` (all of the caller's), `in` (all to the callee), `stores` (the caller's to databases)."""
    rhythm_s: tuple[float, float] = (0.0, 0.0)
    """Of intermittent faults: every so many seconds, for so many."""
    replicas: float = 0.0
    """A share of the replicas that is taken away, by somebody's mistake."""


_SERVERS = frozenset({Role.SERVICE, Role.GATEWAY})
_WORKERS = frozenset({Role.WORKER})
_DATABASE = frozenset({Role.DATABASE})
_CACHE = frozenset({Role.CACHE})
_THIRD = frozenset({Role.THIRD_PARTY})
_PROCESS, _K = Seat.PROCESS, Knob
_SLOWED = frozenset({_C.LATENCY, _C.SATURATION})
_STORE = frozenset({_C.DEPENDENCY, _C.LATENCY, _C.SATURATION})


def _one(name: str, turns: tuple[Turn, ...], *causes: CauseKind) -> FaultKind:
    return FaultKind(name, FaultLevel.INSTANCE, _PROCESS, turns, frozenset(causes), ("restart", "kill", "drain"))


def _all(name: str, turns: tuple[Turn, ...], *causes: CauseKind, **more: Any) -> FaultKind:
    given: dict[str, Any] = {"repairs": ("restart",), "seat": _PROCESS, **more}
    return FaultKind(name=name, level=FaultLevel.SERVICE, turns=turns, causes=frozenset(causes), **given)


def _release(name: str, turns: tuple[Turn, ...], *causes: CauseKind, seat: Seat = Seat.RELEASE) -> FaultKind:
    words = frozenset({_C.BAD_RELEASE, *causes})
    return FaultKind(name, FaultLevel.RELEASE, seat, turns, words, ("rollback",), heals=0.0)


def _flag(name: str, turns: tuple[Turn, ...], *causes: CauseKind, calls: str = "") -> FaultKind:
    words = frozenset({_C.FLAG, _C.BAD_RELEASE, *causes})
    return FaultKind(name, FaultLevel.FLAG, Seat.FLAG, turns, words, ("flag",), heals=0.15, calls=calls)


def _link(name: str, turns: tuple[Turn, ...], calls: str, *causes: CauseKind) -> FaultKind:
    """What is wrong with one path another one mends; what all calls of a service meet with (names, certificates) meets them there, too."""
    words, repairs = frozenset({_C.NETWORK, *causes}), ("shift",) if calls == "one" else ()
    return FaultKind(name, FaultLevel.EDGE, Seat.LINK, turns, words, repairs, heals=0.4, calls=calls)


def _node(name: str, turns: tuple[Turn, ...], *causes: CauseKind, level: FaultLevel = FaultLevel.NODE) -> FaultKind:
    roles = frozenset({Role.SERVICE, Role.GATEWAY, Role.WORKER, Role.DATABASE, Role.CACHE})
    return FaultKind(name, level, Seat.NODE, turns, frozenset({_C.NODE, *causes}), ("drain", "restart"), roles)


def _store(name: str, turns: tuple[Turn, ...], roles: frozenset[Role], *causes: CauseKind, **more: Any) -> FaultKind:
    words = frozenset({_C.DEPENDENCY, *causes})
    given: dict[str, Any] = {"seat": Seat.DATA, **more}
    return FaultKind(name=name, level=FaultLevel.DEPENDENCY, turns=turns, causes=words, roles=roles, **given)


def _load(
    name: str, turns: tuple[Turn, ...], *, calls: str = "", ramp_s: tuple[float, float] = (0.0, 60.0)
) -> FaultKind:
    words = frozenset({_C.SATURATION, _C.LATENCY})
    return FaultKind(
        name,
        FaultLevel.LOAD,
        Seat.LOAD,
        turns,
        words,
        ("scale",),
        ramp_s=ramp_s,
        heals=0.5,
        heals_s=(60, 400),
        calls=calls,
    )


KINDS: Final[dict[str, FaultKind]] = {
    kind.name: kind
    for kind in (
        _one("instance_crash", (Turn(_K.DOWN, 1, 1),), _C.CRASH),
        _one("instance_hang", (Turn(_K.HANG, 0.4, 1),), _C.HANG, _C.CRASH),
        _one("instance_slow", (Turn(_K.SLOW, 1.8, 25),), *_SLOWED),
        _one("instance_errors", (Turn(_K.FAIL, 0.05, 0.95),), _C.ERRORS),
        _one("instance_starved", (Turn(_K.CORES, 0.5, 0.05),), *_SLOWED),
        _all("crash", (Turn(_K.DOWN, 1, 1),), _C.CRASH),
        _all("deadlock", (Turn(_K.HANG, 0.6, 1),), _C.HANG, _C.CRASH),
        _all("degraded", (Turn(_K.SLOW, 1.4, 15),), *_SLOWED),
        _all("failing", (Turn(_K.FAIL, 0.05, 0.8),), _C.ERRORS),
        _all("failing_little", (Turn(_K.FAIL, 0.01, 0.05),), _C.ERRORS),
        _all("failing_by_turns", (Turn(_K.FAIL, 0.1, 0.9),), _C.ERRORS, rhythm_s=(10.0, 60.0)),
        _all("slow_tail", (Turn(_K.TAIL, 4, 40),), *_SLOWED),
        _all("runaway_loop", (Turn(_K.BURN, 0.5, 0.97),), *_SLOWED),
        _all("collecting_garbage", (Turn(_K.SLOW, 1.5, 8), Turn(_K.BURN, 0.3, 0.7)), *_SLOWED, _C.LEAK),
        _all("memory_leak", (Turn(_K.LEAK, 0.0012, 0.02),), _C.LEAK, *_SLOWED, _C.CRASH, seat=Seat.CODE, heals=0.0),
        _all("thread_leak", (Turn(_K.SPILL, 0.003, 0.05),), _C.LEAK, *_SLOWED, _C.HANG, seat=Seat.CODE, heals=0.0),
        _all("slowing_down", (Turn(_K.SLOW, 2.5, 15),), *_SLOWED, ramp_s=(90.0, 400.0)),
        _all("failing_more_and_more", (Turn(_K.FAIL, 0.1, 0.7),), _C.ERRORS, ramp_s=(60.0, 400.0)),
        _all(
            "throttled",
            (Turn(_K.CORES, 0.5, 0.05),),
            *_SLOWED,
            seat=Seat.CONFIG,
            repairs=("rollback", "scale"),
            heals=0.0,
        ),
        _all("scaled_too_low", (), *_SLOWED, seat=Seat.CONFIG, repairs=("scale",), replicas=0.7, heals=0.0),
        _all(
            "messages_poisoned",
            (Turn(_K.FAIL, 0.1, 0.95), Turn(_K.SLOW, 1.5, 5)),
            _C.ERRORS,
            _C.LATENCY,
            roles=_WORKERS,
        ),
        _all("consumer_stalled", (Turn(_K.HANG, 0.9, 1),), _C.HANG, _C.CRASH, _C.SATURATION, roles=_WORKERS),
        _release("bad_release_errors", (Turn(_K.FAIL, 0.02, 0.9),), _C.ERRORS),
        _release("bad_release_slow", (Turn(_K.SLOW, 1.5, 12),), *_SLOWED),
        _release("bad_release_leak", (Turn(_K.LEAK, 0.002, 0.02),), _C.LEAK, _C.CRASH),
        _release("bad_release_crash", (Turn(_K.DOWN, 1, 1),), _C.CRASH),
        _release("bad_config_pool", (Turn(_K.THREADS, 0.15, 0.01),), *_SLOWED, _C.HANG, seat=Seat.CONFIG),
        _release("bad_config_errors", (Turn(_K.FAIL, 0.05, 1.0),), _C.ERRORS, seat=Seat.CONFIG),
        _flag("flag_errors", (Turn(_K.FAIL, 0.03, 0.8),), _C.ERRORS),
        _flag("flag_slow", (Turn(_K.SLOW, 1.6, 10),), *_SLOWED),
        _flag("flag_chatty", (Turn(_K.CALLS, 2.5, 12),), *_SLOWED, calls="out"),
        _link("link_slow", (Turn(_K.GAP, 0.02, 1.0),), "one", _C.LATENCY),
        _link("link_lossy", (Turn(_K.LOSS, 0.02, 0.5),), "one", _C.LATENCY, _C.ERRORS),
        _link("link_cut", (Turn(_K.LOSS, 1, 1),), "one", _C.HANG, _C.CRASH),
        _link("link_refused", (Turn(_K.REFUSE, 0.1, 1),), "one", _C.ERRORS),
        _link("names_unresolved", (Turn(_K.REFUSE, 0.2, 1),), "out", _C.ERRORS, _C.DEPENDENCY),
        _link("certificate_expired", (Turn(_K.REFUSE, 1, 1),), "in", _C.ERRORS, _C.CRASH),
        _node("node_down", (Turn(_K.DOWN, 1, 1),), _C.CRASH),
        _node("node_frozen", (Turn(_K.HANG, 1, 1),), _C.HANG, _C.CRASH),
        _node("noisy_neighbour", (Turn(_K.CORES, 0.5, 0.08),), *_SLOWED),
        _node("disk_slow", (Turn(_K.SLOW, 1.8, 12),), *_SLOWED),
        _node("zone_down", (Turn(_K.DOWN, 1, 1),), _C.CRASH, _C.NETWORK, level=FaultLevel.ZONE),
        _node("zone_slow", (Turn(_K.SLOW, 1.6, 6),), *_SLOWED, _C.NETWORK, level=FaultLevel.ZONE),
        _store(
            "database_locked", (Turn(_K.SLOW, 4, 80),), _DATABASE, *_STORE, _C.HANG, repairs=("restart",), seat=_PROCESS
        ),
        _store("slow_queries", (Turn(_K.SLOW, 1.8, 12),), _DATABASE, *_STORE, ramp_s=(0.0, 200.0)),
        _store(
            "connections_exhausted",
            (Turn(_K.HANG, 0.05, 0.95),),
            _DATABASE,
            *_STORE,
            _C.HANG,
            repairs=("restart",),
            seat=_PROCESS,
        ),
        _store("failover", (Turn(_K.DOWN, 1, 1),), _DATABASE, _C.CRASH, _C.ERRORS, heals=1.0, heals_s=(8.0, 60.0)),
        _store("database_failing", (Turn(_K.FAIL, 0.05, 0.9),), _DATABASE, _C.ERRORS),
        _store("cache_down", (Turn(_K.DOWN, 1, 1),), _CACHE, _C.CRASH, _C.ERRORS, repairs=("restart",), seat=_PROCESS),
        _store(
            "cache_flushed", (Turn(_K.CALLS, 2, 8),), _CACHE, *_STORE, calls="stores", heals=1.0, heals_s=(40.0, 200.0)
        ),
        _store("third_party_slow", (Turn(_K.SLOW, 3, 40),), _THIRD, _C.LATENCY, seat=Seat.OUTSIDE),
        _store("third_party_errors", (Turn(_K.FAIL, 0.05, 1.0),), _THIRD, _C.ERRORS, seat=Seat.OUTSIDE),
        _store("third_party_down", (Turn(_K.HANG, 1, 1),), _THIRD, _C.HANG, _C.CRASH, _C.NETWORK, seat=Seat.OUTSIDE),
        _load("surge", (Turn(_K.DEMAND, 2, 8),)),
        _load("crawler", (Turn(_K.DEMAND, 1.3, 3), Turn(_K.WORK, 1.5, 5))),
        _load("retry_storm", (Turn(_K.CALLS, 2, 8),), calls="in"),
        _load("hot_key", (Turn(_K.SLOW, 2, 15),), ramp_s=(0.0, 10.0)),
    )
}
"""All kinds, by name."""
