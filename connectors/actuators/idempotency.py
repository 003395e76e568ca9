"""One effect per key, within one process: for systems that don't remember keys themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from contracts.errors import OutcomeUnknown
from contracts.ports import Applied, StepResult

_KEPT: Final = 10_000


@dataclass(slots=True)
class _Entry:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    outcome: StepResult | OutcomeUnknown | None = None


class OncePerKey:
    """What became of each key. One that failed without effect may be tried again; one in doubt may not."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    async def run(self, key: str, effect: Callable[[], Awaitable[StepResult]]) -> StepResult:
        """Have the effect, or give what became of it before. Raises what `effect` raises, and again OutcomeUnknown."""
        entry = self._entries.setdefault(key, _Entry())
        self._trim()
        async with entry.turn:
            if entry.outcome is None:
                entry.outcome = await _first(effect, entry)
        if isinstance(entry.outcome, OutcomeUnknown):
            raise entry.outcome
        return entry.outcome

    def applied(self, key: str) -> Applied:
        """YES if it was had here. What this process doesn't remember, an earlier one may have done."""
        entry = self._entries.get(key)
        return Applied.YES if entry is not None and isinstance(entry.outcome, StepResult) else Applied.UNKNOWN

    def _trim(self) -> None:
        """Forget the oldest, but none that is under way."""
        for key in list(self._entries)[: max(0, len(self._entries) - _KEPT)]:
            if not self._entries[key].turn.locked():
                del self._entries[key]


async def _first(effect: Callable[[], Awaitable[StepResult]], entry: _Entry) -> StepResult | OutcomeUnknown:
    try:
        return await effect()
    except OutcomeUnknown as e:
        return e
    except asyncio.CancelledError:
        entry.outcome = OutcomeUnknown("it was cut off while under way")
        raise
