"""What may be wrong with an instance: told to it (a restart ends it), or kept for all of a system in a file (a restart doesn't)."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from contracts.supervision import once

_REREAD_S: Final = 0.3
_PAGE: Final = 1 << 20


class LastingAilment(msgspec.Struct, frozen=True):
    """Something outside of any process: a flag, a link, a provider. `callee` is empty for what ails a service itself."""

    service: str
    callee: str = ""
    delay_s: float = 0.0
    error_rate: float = 0.0
    text: str = ""


class LastingAilments:
    """A file with all that lasts, read again when it changed."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_at = path, 0.0
        self._known: list[LastingAilment] = []

    def of(self, service: str, callee: str = "") -> list[LastingAilment]:
        """What ails a service, or its calls of `callee`."""
        if time.monotonic() - self._read_at > _REREAD_S:
            self._read_at = time.monotonic()
            self._known = read_lasting(self._path)
        return [a for a in self._known if a.service == service and a.callee == callee]


def read_lasting(path: Path) -> list[LastingAilment]:
    """What lasts, from its file; nothing where there is none."""
    return msgspec.json.decode(path.read_bytes(), type=list[LastingAilment]) if path.exists() else []


def write_lasting(path: Path, ailments: list[LastingAilment]) -> None:
    """Replace what lasts, all at once."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(ailments))
    fresh.replace(path)


class Ailments:
    """What is wrong with one instance."""

    def __init__(self, pools: dict[str, asyncio.Semaphore], random_: random.Random) -> None:
        self.delay_s, self.error_rate, self.lock_s, self.stalled = 0.0, 0.0, 0.0, False
        self.lock = asyncio.Lock()
        self._pools, self._random = pools, random_
        self._hoard: list[bytearray] = []
        self._leak_mb_per_s, self._leak_from = 0.0, 0.0
        self._burn = 0.0
        self._burning: asyncio.Task[None] | None = None

    async def begin(self, kind: str, size: float, service: str = "") -> None:
        """Fall ill. Raises KeyError for an illness or a pool that there isn't."""
        match kind:
            case "delay":
                self.delay_s = size
            case "errors":
                self.error_rate = size
            case "lock":
                self.lock_s = size
            case "stall":
                self.stalled = bool(size)
            case "burn":
                began, self._burn = self._burn, size
                if not began and size:
                    self._burning = once("burning", self._burn_on())
            case "leak":
                self._leak_mb_per_s, self._leak_from = size, time.monotonic()
            case "pool":
                await self._lose_connections(service, int(size))
            case _:
                raise KeyError(kind)

    def slowness_s(self) -> float:
        """How much longer a request takes: it works longer, and the fuller the memory, the more time goes into finding room."""
        return self.delay_s + self._leaked_s()

    def fails(self, *rates: float) -> bool:
        """Whether a request fails."""
        return self._random.random() < max((self.error_rate, *rates))

    def _leaked_s(self) -> float:
        if not self._leak_mb_per_s:
            return 0.0
        age = time.monotonic() - self._leak_from
        wanted = int(min(400, self._leak_mb_per_s * age))
        while len(self._hoard) < wanted:
            self._hoard.append(bytearray(b"x" * _PAGE))
        return float(min(0.8, max(0.0, len(self._hoard) - 60) * 0.004))

    async def _lose_connections(self, service: str, left: int) -> None:
        """Connections are borrowed and never given back, until so many are left."""
        pool = self._pools[service]
        while pool._value > left:  # noqa: SLF001 - the semaphore tells nobody how many are free
            await pool.acquire()

    async def _burn_on(self) -> None:
        """Work for nothing for a share of each quarter of a second, which keeps everybody else waiting."""
        while self._burn:
            until = time.monotonic() + 0.25 * self._burn
            while time.monotonic() < until:
                sum(i * i for i in range(3000))
            await asyncio.sleep(0.25 * (1 - self._burn))

    def document(self) -> dict[str, Any]:
        """How it is, for whoever asks."""
        return {"delay_s": self.delay_s, "error_rate": self.error_rate, "held_mb": len(self._hoard)}
