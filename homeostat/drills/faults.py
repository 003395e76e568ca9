"""The faults of a drill, each with the truth beside it: where it is, what it is, what mends it, and what would be wrong."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.verdicts import CauseKind
from homeostat.drills.ailments import LastingAilment
from homeostat.drills.running_system import RunningSystem
from homeostat.drills.system_plan import BETTER, FAILING, SLOW

Strike = Callable[[RunningSystem], Coroutine[Any, Any, None]]
Remedy = tuple[str, str]
"""An action and the service it is done to."""

DOWN: Final = frozenset({CauseKind.CRASH, CauseKind.HANG})
SLOWED: Final = frozenset({CauseKind.LATENCY, CauseKind.HANG})
STUCK: Final = frozenset({CauseKind.LATENCY, CauseKind.HANG, CauseKind.ERRORS, CauseKind.LEAK})
FAILED: Final = frozenset({CauseKind.ERRORS})
OUTSIDE: Final = frozenset({CauseKind.DEPENDENCY, CauseKind.NETWORK})
RELEASED: Final = frozenset({CauseKind.BAD_RELEASE})
LOADED: Final = frozenset({CauseKind.SATURATION, CauseKind.LATENCY})


@dataclass(frozen=True, slots=True)
class DrillFault:
    """`roots`: whoever may be named first. `right`: what mends it; `tried`: what may be tried and does no harm; all else is wrong.

    No `right`: a person is to be asked. No roots: nothing is wrong at all, and then anything done or asked is needless.
    `heals`: it ends by itself.
    """

    name: str
    title: str
    strike: Strike
    roots: tuple[str, ...] = ()
    causes: frozenset[CauseKind] = frozenset()
    right: frozenset[Remedy] = frozenset()
    tried: frozenset[Remedy] = frozenset()
    heals: bool = False


def _ill(service: str, kind: str, size: float = 1.0, callee: str = "", instances: int = 0) -> Strike:
    return lambda system: system.ail(service, kind, size, callee, instances)


def _signal(service: str, number: signal.Signals, instances: int = 0) -> Strike:
    async def strike(system: RunningSystem) -> None:
        system.signal(service, number, instances)

    return strike


def _lasting(ailment: LastingAilment) -> Strike:
    async def strike(system: RunningSystem) -> None:
        system.last(ailment)

    return strike


def _demand(entry: str, factor: float, seconds: float = 0.0) -> Strike:
    async def strike(system: RunningSystem) -> None:
        system.guests.demand(entry, factor)
        if seconds:
            await asyncio.sleep(seconds)
            system.guests.demand(entry, 1.0)

    return strike


def _release(service: str, version: str) -> Strike:
    return lambda system: system.deploy(service, version)


async def _storm(system: RunningSystem) -> None:
    """The store stands still for some seconds; when it is back, everybody asks again, and again."""
    await system.flush("cache")
    system.signal("inventory-db", signal.SIGSTOP)
    await asyncio.sleep(5)
    system.signal("inventory-db", signal.SIGCONT)


async def _job(system: RunningSystem) -> None:
    """A job that works for half a minute and keeps nobody waiting for long."""
    await system.ail("loyalty", "burn", 0.3)
    await asyncio.sleep(25)
    await system.ail("loyalty", "burn", 0.0)


def _restart(*services: str) -> frozenset[Remedy]:
    return frozenset(("restart", s) for s in services)


def _fault(  # noqa: PLR0913 - the columns of the table below
    name: str,
    title: str,
    strike: Strike,
    root: str,
    causes: frozenset[CauseKind],
    right: frozenset[Remedy] = frozenset(),
    tried: frozenset[Remedy] = frozenset(),
    *,
    heals: bool = False,
) -> DrillFault:
    return DrillFault(name, title, strike, (root,), causes, right, tried, heals)


HOTEL_FAULTS: Final[tuple[DrillFault, ...]] = (
    _fault(
        "kill-one", "one of two instances of rates is killed", _signal("rates", signal.SIGKILL, 1),
        "rates", DOWN, _restart("rates"), heals=True,
    ),
    _fault("kill", "the only instance of content is killed", _signal("content", signal.SIGKILL), "content", DOWN, _restart("content")),
    _fault(
        "hang-one", "one of three instances of availability stands still", _signal("availability", signal.SIGSTOP, 1),
        "availability", DOWN | SLOWED | FAILED, _restart("availability"),
    ),
    _fault("hang", "the only instance of profiles stands still", _signal("profiles", signal.SIGSTOP), "profiles", DOWN, _restart("profiles")),
    _fault("slow", "rooms works 0.5 s longer", _ill("rooms", "delay", 0.5), "rooms", SLOWED, _restart("rooms")),
    _fault(
        "slow-one", "one of two instances of reservations works 0.6 s longer", _ill("reservations", "delay", 0.6, instances=1),
        "reservations", SLOWED, _restart("reservations"),
    ),
    _fault("errors", "payments fails three requests in ten", _ill("payments", "errors", 0.3), "payments", FAILED, _restart("payments")),
    _fault("errors-few", "rates fails one request in twenty", _ill("rates", "errors", 0.05), "rates", FAILED, _restart("rates")),
    _fault(
        "burn", "content burns its core", _ill("content", "burn", 0.95), "content", SLOWED | LOADED, _restart("content"),
        frozenset({("scale", "content")}),
    ),
    _fault(
        "leak", "reservations' memory grows until it is slow", _ill("reservations", "leak", 12.0), "reservations",
        SLOWED | {CauseKind.LEAK}, _restart("reservations"),
    ),
    _fault(
        "pool", "profiles has lost its connections to the ledger", _ill("profiles", "pool", 0, "ledger-db"), "profiles", STUCK,
        _restart("profiles"),
    ),
    _fault("lock", "each search holds a lock for 0.35 s", _ill("search", "lock", 0.35), "search", STUCK, _restart("search")),
    _fault("store-slow", "the ledger takes 0.45 s longer", _lasting(LastingAilment("ledger-db", delay_s=0.45)), "ledger-db", OUTSIDE),
    _fault("store-down", "the inventory is gone", _signal("inventory-db", signal.SIGKILL), "inventory-db", OUTSIDE | DOWN),
    _fault("third-slow", "the card network takes 0.6 s longer", _lasting(LastingAilment("cardnet", delay_s=0.6)), "cardnet", OUTSIDE),
    _fault(
        "third-failing", "the card network fails six in ten", _lasting(LastingAilment("cardnet", error_rate=0.6)), "cardnet",
        OUTSIDE | FAILED,
    ),
    DrillFault(
        "link-slow", "0.6 s are lost between the site and rooms", _lasting(LastingAilment("site", "rooms", 0.6)),
        ("rooms", "site"), frozenset({CauseKind.NETWORK}),
    ),
    DrillFault(
        "certificate", "reservations no longer trusts payments' certificate",
        _lasting(LastingAilment("reservations", "payments", text="certificate verify failed: certificate has expired")),
        ("payments", "reservations"), frozenset({CauseKind.NETWORK}),
    ),
    _fault(
        "release-slow", "a release of content works 0.3 s longer", _release("content", SLOW), "content", RELEASED,
        frozenset({("rollback", "content")}),
    ),
    _fault(
        "release-errors", "a release of payments fails a third", _release("payments", FAILING), "payments", RELEASED,
        frozenset({("rollback", "payments")}),
    ),
    _fault(
        "flag", "a flag that nobody told of makes rooms fail four in ten", _lasting(LastingAilment("rooms", error_rate=0.4)),
        "rooms", FAILED | {CauseKind.BAD_RELEASE}, tried=_restart("rooms"),
    ),
    _fault(
        "surge", "five times as many guests search", _demand("search", 5.0), "search", LOADED, frozenset({("scale", "search")}),
    ),
    DrillFault(
        "storm", "the inventory stood still, and everybody asks again and again", _storm, ("inventory-db", "availability"),
        OUTSIDE | LOADED | DOWN, heals=True,
    ),
    _fault(
        "stalled", "confirmations takes no more messages", _ill("confirmations", "stall"), "confirmations", STUCK | DOWN | LOADED,
        _restart("confirmations"),
    ),
    DrillFault(
        "flush", "the cache is emptied", lambda system: system.flush("cache"), ("inventory-db", "cache"), OUTSIDE | LOADED, heals=True,
    ),
    DrillFault("good-release", "a good release of payments", _release("payments", BETTER)),
    DrillFault("burst", "three times as many guests look at rooms for 20 s, which hurts nobody", _demand("room", 3.0, 20)),
    DrillFault("job", "a job works in loyalty for 25 s", _job),
)  # fmt: skip

FAULTS: Final[Mapping[str, tuple[DrillFault, ...]]] = {"hotel": HOTEL_FAULTS}
"""By system."""
