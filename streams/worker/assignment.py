"""Which partitions this worker owns, and since when: what was begun in an earlier assignment is dropped, never finished."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from contracts.retry import Pauses, Until, never, retrying, warned

T = TypeVar("T")
Place = tuple[str, int]
"""Topic and partition."""
_PAUSES = Pauses(first_s=0.05, longest_s=5.0)


class Assignment:
    """`places` are owned; `coming` are about to be: messages of them come already, and wait. `epoch` counts revocations."""

    def __init__(self) -> None:
        self.places: frozenset[Place] = frozenset()
        self.coming: frozenset[Place] = frozenset()
        self.epoch = 0
        self.member = asyncio.Event()
        """The group has said which partitions are this worker's, be it none."""
        self.ready = asyncio.Event()
        """It has said so, and they were some."""
        self._progress = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since something went on, or was tried again."""
        return time.monotonic() - self._progress

    def note_progress(self) -> None:
        """Something went on."""
        self._progress = time.monotonic()

    def announce(self, places: frozenset[Place]) -> None:
        """From now on messages of these come."""
        self.member.clear()
        self.coming = places

    def take(self, places: frozenset[Place]) -> None:
        """These are this worker's now, and no others."""
        self.places, self.coming = places, frozenset()

    def join(self) -> None:
        """All that depends on what was taken is prepared."""
        self.member.set()
        if self.places:
            self.ready.set()

    def revoke(self, places: frozenset[Place]) -> None:
        """Nothing more is taken of these, and what is under way for them is dropped."""
        self.member.clear()
        self.coming = frozenset()
        self.places -= places
        self.epoch += 1

    def revoked_since(self, epoch: int) -> Until:
        """Give up once partitions were revoked."""
        return lambda _error, _pause_s: epoch != self.epoch

    async def retrying(self, call: Callable[[], Awaitable[T]], epoch: int | None = None) -> T:
        """Call until it succeeds, or partitions were revoked since `epoch`: nothing is acknowledged meanwhile, so waiting loses
        nothing."""

        def told(error: Exception, pause_s: float) -> None:
            warned(error, pause_s)
            self.note_progress()

        return await retrying(call, never if epoch is None else self.revoked_since(epoch), pauses=_PAUSES, told=told)
