"""Work of each partition, in order, as soon as the partition may be acted in; whoever brings it need not wait for that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from contracts.errors import Fenced, Permanent

log = logging.getLogger(__name__)
Work = Callable[[], Awaitable[None]]


class Turns:
    """A partition may be acted in while it is assigned to this process *and* its journal is taken. Work that comes earlier waits,
    and later work of the same partition behind it; other partitions go on."""

    def __init__(self) -> None:
        self.assigned: frozenset[int] = frozenset()
        self.taken: frozenset[int] = frozenset()
        self._news = asyncio.Event()
        self._last: dict[int, asyncio.Task[None]] = {}
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

    async def do(self, partition: int, work: Work) -> asyncio.Future[None] | None:
        """Do the work now (None), or in its turn: a future, which is cancelled if the partition is revoked first.

        Raises:
            Permanent: the partition is another process's: what came here should have gone there.
        """
        if partition not in self.assigned:
            raise Permanent(
                f"this belongs to partition {partition} of the decisions, which another process acts for",
                reason="misrouted",
                fix="send it to the partition of its environment (docs/topics.md)",
            )
        before = self._last.get(partition)
        if (before is None or before.done()) and partition in self.taken and await self._tried(partition, work):
            return None
        task = asyncio.create_task(self._in_turn(before, partition, work), name=f"turn-{partition}")
        self._last[partition] = task
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def stop(self) -> None:
        """Forget what waits. Idempotent."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _in_turn(self, before: asyncio.Task[None] | None, partition: int, work: Work) -> None:
        if before is not None:
            await asyncio.wait([before])
        while partition in self.assigned:
            if partition not in self.taken:
                await self._news.wait()
            elif await self._tried(partition, work):
                return
        raise asyncio.CancelledError  # not done: it must not look as if it were

    async def _tried(self, partition: int, work: Work) -> bool:
        try:
            await work()
        except Fenced as e:
            log.warning("%s", e)
            self.taken -= {partition}
            return False
        return True

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
