"""What this process lacks: what it needs from outside and from itself, asked every few seconds, with since when.

A process may be alive and at work and yet be no good: minutes behind, its disk full, its log, graph or policy away, a background task
that crashes again and again. `lacks` says so in words; /healthz, `homeostat status`, `doctor` and `watch` tell what it says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.ports import Clock
from contracts.secrets import masked
from contracts.supervision import Supervised, end, once
from contracts.units import MINUTE

log = logging.getLogger(__name__)
EVERY_S: Final = 10.0
PATIENCE_S: Final = 5.0
"""Who does not answer in this time is away."""
BEHIND_S: Final = 15.0
"""Age of the oldest message that waits to be read, from which the pipeline is behind."""

Probe = Callable[[], Awaitable[str]]
"""What is lacking, in words; empty if nothing. What it raises is lacking, too."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is lacking: what (a word), in words, and since when (epoch ns)."""

    what: str
    text: str
    since_ns: int


class Lacks:
    """Keeps since when something is lacking. A value of time: nothing here looks at a clock."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def of(self, found: Mapping[str, str], now_ns: int) -> tuple[Lack, ...]:
        """What is lacking now, by what: empty texts are well. Since when is the first time in a row that it was said."""
        texts = {what: masked(text) for what, text in found.items() if text}
        self._since = {what: self._since.get(what, now_ns) for what in texts}
        return tuple(Lack(what, text, self._since[what]) for what, text in sorted(texts.items()))


STAGE_ERRORS: Final = frozenset({"tick_errors", "unsendable", "unsaved", "snapshot_unusable"})
"""Counters of the stages that mean that Homeostat itself fails."""


class Rising:
    """Which counters rose in the last minute."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._rose_ns: dict[str, int] = {}

    def rising(self, counts: Mapping[str, float], now_ns: int) -> list[str]:
        """Take in what is counted now; the names of those that rose, in order. What counted before the first look doesn't count."""
        for name, n in counts.items():
            if n > self._before.get(name, n if not self._before else 0):
                self._rose_ns[name] = now_ns
        self._before = {"": 0.0, **counts}
        return sorted(name for name, at in self._rose_ns.items() if now_ns - at < MINUTE)


class Checkup:
    """Asks its probes every few seconds, each by itself, so that one that hangs holds up no other."""

    def __init__(self, probes: Mapping[str, Probe], clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._probes, self._every_s = probes, every_s
        self._answers: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[str]] = {}
        self._task = Supervised("checkup", self._run, clock=clock)

    def start(self) -> None:
        """Begin asking."""
        self._task.start()

    async def stop(self) -> None:
        """End asking; whoever still hasn't answered is waited for no longer."""
        await self._task.stop()
        await end(*self._asking.values())

    @property
    def found(self) -> Mapping[str, str]:
        """What each probe said last; empty where all is well, or was not asked yet."""
        return self._answers

    async def _run(self) -> None:
        while True:
            await self.ask()
            await asyncio.sleep(self._every_s)

    async def ask(self) -> None:
        """Ask all probes now, but not one that has not answered yet."""
        await asyncio.gather(*(self._ask(what, probe) for what, probe in self._probes.items()))

    async def _ask(self, what: str, probe: Probe) -> None:
        asking = self._asking.get(what)
        if asking is None:
            asking = self._asking[what] = once("probe", _said(probe), detail=what, awaited=True)
        done, _ = await asyncio.wait([asking], timeout=PATIENCE_S)
        if done:
            self._asking.pop(what, None)
        self._answers[what] = asking.result() if done else f"does not answer within {PATIENCE_S:.0f} s"


async def _said(probe: Probe) -> str:
    try:
        return await probe()
    except Exception as e:  # noqa: BLE001 - whatever it is, it is what is lacking
        return str(e) or type(e).__name__
