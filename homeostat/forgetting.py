"""Has the journal forget what nothing asks for any more, now and then, and says how much that was."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from contracts.ports import Clock, Journal
from contracts.settings import ActSettings
from contracts.supervision import Supervised
from contracts.units import SECOND
from homeostat.metrics import Sample
from playbooks.runs.retention import BATCH, JournalRetention, RetentionRule

SWEEP_S: Final = 300.0
_SOON_S: Final = 1.0
"""Pause before the next batch, while there is more."""
STEADY_S: Final = 60.0
"""A clock that went this much further than the time that passed was set, or the machine slept: what seems old may not be."""


class Forgetting:
    """Sweeps the journal of what this process owns."""

    def __init__(self, journal: Journal, act: ActSettings, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self.retention = JournalRetention(journal, RetentionRule.of(act))
        self._task = Supervised("journal-retention", self._run, clock=clock)

    def start(self) -> None:
        """Begin; the first sweep is after a pause, by which it is known whether the clock is steady."""
        self._task.start()

    async def stop(self) -> None:
        """End it. Idempotent."""
        await self._task.stop()

    def samples(self) -> Iterator[Sample]:
        """How much the journal holds, what it forgot and why, and what it holds above its limit."""
        for kind, count in self._journal.sizes().items():
            yield "journal_entries", (kind,), count
        for what in ("run", "decision"):
            for why in ("age", "limit"):
                yield "journal_forgotten", (what, why), self.retention.forgotten[what, why]
        yield "journal_overfull", (), self.retention.overfull

    async def _run(self) -> None:
        pause_s = SWEEP_S
        while True:
            began_s, began_ns = time.monotonic(), self._clock.now_ns()
            await asyncio.sleep(pause_s)
            now_ns = self._clock.now_ns()
            if not steady(now_ns - began_ns, time.monotonic() - began_s):
                pause_s = SWEEP_S
                continue
            pause_s = _SOON_S if self.retention.sweep(now_ns) >= BATCH else SWEEP_S


def steady(clock_ns: int, passed_s: float) -> bool:
    """Whether a clock went on as time did."""
    return abs(clock_ns / SECOND - passed_s) < STEADY_S
