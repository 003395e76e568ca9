"""Work of each partition, in order, as soon as the partition may be acted in, until it is kept; whoever brings it need not wait."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from contracts.errors import Fenced, Permanent, Retryable
from contracts.supervision import end, once

log = logging.getLogger(__name__)
_RETRY_S: Final = 0.5
Work = Callable[[], Awaitable[None]]


class _Task:
    """One piece of work: the taking of its partition in which it was done, and whether it is over."""

    def __init__(self) -> None:
        self.done_in = 0
        self.over = False


class Lanes:
    """A partition may be acted in while it is assigned to this process *and* its journal is taken. Work that comes earlier waits,
    and later work of the same partition behind it; other partitions go on."""

    def __init__(self) -> None:
        self.assigned: frozenset[int] = frozenset()
        self._numbers = itertools.count(1)
        self._taken: dict[int, int] = {}
        self._news = asyncio.Event()
        self._last: dict[int, _Task] = {}
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def taken(self) -> frozenset[int]:
        """Partitions whose journal is this process's."""
        return frozenset(self._taken)

    def taking(self, partition: int) -> int:
        """Which taking of its journal a partition is in, counted over all partitions; 0 if it is not taken."""
        return self._taken.get(partition, 0)

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
        """The journal of a partition is this process's, with what Kafka had of it just now."""
        self._taken[partition] = next(self._numbers)
        self._tell()

    def lose(self, partitions: Iterable[int]) -> None:
        """The journal of these partitions is another process's, or read again."""
        for partition in partitions:
            self._taken.pop(partition, None)
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
        before, turn = self._last.get(partition), _Task()
        taking = self._taken.get(partition, 0)
        if taking and self._may_follow(before, taking) and await self._tried(partition, taking, work):
            if kept is None:
                return None
            turn.done_in = taking
        self._last[partition] = turn
        task = once("turn", self._in_turn(before, turn, partition, work, kept), detail=str(partition))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def stop(self) -> None:
        """Forget what waits. Idempotent."""
        await end(*self._waiting)

    async def _in_turn(self, before: _Task | None, turn: _Task, partition: int, work: Work, kept: Work | None) -> None:
        try:
            while partition in self.assigned:
                taking = self._taken.get(partition, 0)
                if not taking or not self._may_follow(before, taking):
                    await self._news.wait()
                elif turn.done_in != taking:  # not yet, or for a journal that was lost since
                    if await self._tried(partition, taking, work):
                        turn.done_in = taking
                        self._tell()
                elif kept is None or await self._tried(partition, taking, kept):
                    return
        finally:
            turn.over = True
            self._tell()
        raise asyncio.CancelledError  # not done: it must not look as if it were

    @staticmethod
    def _may_follow(before: _Task | None, taking: int) -> bool:
        return before is None or before.over or before.done_in == taking

    async def _tried(self, partition: int, taking: int, work: Work) -> bool:
        try:
            await work()
        except Fenced as e:
            log.warning("%s", e)
            if self._taken.get(partition) == taking:
                del self._taken[partition]
            return False
        except Retryable as e:
            log.warning("%s", e)
            await asyncio.sleep(_RETRY_S)
            return False
        return True

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
