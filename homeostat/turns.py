"""Work of each partition, in order, as soon as the partition may be acted in, until it is kept; whoever brings it need not wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from contracts.errors import Fenced, Permanent, Retryable

log = logging.getLogger(__name__)
_RETRY_S: Final = 0.5
Work = Callable[[], Awaitable[None]]


class Turns:
    """A partition may be acted in while it is assigned to this process *and* its journal is taken. Work that comes earlier waits,
    and later work of the same partition behind it; other partitions go on."""

    def __init__(self) -> None:
        self.assigned: frozenset[int] = frozenset()
        self.taken: frozenset[int] = frozenset()
        self._news = asyncio.Event()
        self._last: dict[int, asyncio.Event] = {}
        self._waiting: set[asyncio.Task[None]] = set()

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are this process's now, and no others."""
        self.assigned = frozenset(partitions)
        self._tell()

    def revoke(self, partitions: Iterable[int]) -> None:
        """These partitions go to other processes, which repeat what waits here."""
        gone = frozenset(partitions)
        self.assigned -= gone
        self.lose(gone)

    def take(self, partition: int) -> None:
        """The journal of a partition is this process's."""
        self.taken |= {partition}
        self._tell()

    def lose(self, partitions: Iterable[int]) -> None:
        """The journal of these partitions is another process's."""
        self.taken -= frozenset(partitions)
        self._tell()

    async def do(self, partition: int, work: Work, kept: Work | None = None) -> asyncio.Future[None] | None:
        """Do the work now, or in its turn; it is over when `kept` returns, and done again if that finds another owner.

        A future if it isn't over yet; it is cancelled if the partition is revoked first. `kept` may raise Retryable: it is asked again.

        Raises:
            Permanent: the partition is another process's: what came here should have gone there.
        """
        if partition not in self.assigned:
            raise Permanent(
                f"this belongs to partition {partition} of the decisions, which another process acts for",
                reason="misrouted",
                fix="send it to the partition of its environment (docs/topics.md)",
            )
        before, worked = self._last.get(partition), asyncio.Event()
        first = before is None or before.is_set()
        if first and partition in self.taken and await self._tried(partition, work):
            if kept is None:
                return None
            worked.set()
        self._last[partition] = worked
        task = asyncio.create_task(self._in_turn(before, partition, work, kept, worked), name=f"turn-{partition}")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def stop(self) -> None:
        """Forget what waits. Idempotent."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _in_turn(
        self, before: asyncio.Event | None, partition: int, work: Work, kept: Work | None, worked: asyncio.Event
    ) -> None:
        done = worked.is_set()
        try:
            if before is not None:
                await before.wait()
            while partition in self.assigned:
                if partition not in self.taken:
                    done = False
                    await self._news.wait()
                elif not done:
                    done = await self._tried(partition, work)
                elif kept is None or await self._tried(partition, kept):
                    return
                if done:
                    worked.set()
        finally:
            worked.set()  # who is behind this finds out by itself
        raise asyncio.CancelledError  # not done: it must not look as if it were

    async def _tried(self, partition: int, work: Work) -> bool:
        try:
            await work()
        except Fenced as e:
            log.warning("%s", e)
            self.taken -= {partition}
            return False
        except Retryable as e:
            log.warning("%s", e)
            await asyncio.sleep(_RETRY_S)
            return False
        return True

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
