"""The environments that a process acts for: those whose partition of the decisions is assigned to it *and* whose journal it has taken.

Decisions and approvals wait for both, and nothing else waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Final

from connectors.journal.kafka import KafkaJournal
from contracts.errors import HomeostatError
from contracts.ports import Clock, Journal
from contracts.retry import every, retrying
from contracts.supervision import Supervised
from contracts.topics import partition_of
from contracts.units import SECOND
from homeostat.lanes import Lanes, Work
from playbooks.runs.executor import Executor

log = logging.getLogger(__name__)
LOST_S: Final = 10.0
"""A partition of the journal that another worker took, but that is assigned to us all the same, is taken back after this
long: the other one was a straggler who did not know yet. A straggler in our place would have been told by then."""
_RETRY_S: Final = 0.5
REVOKED_S: Final = 3.0
"""How long effects under way may hold up a rebalance."""
SETTLE_S: Final = 10.0


class Ownership:
    """Takes the journals of assigned partitions, has their open runs gone on with, and does their work in order."""

    def __init__(self, journal: Journal, partitions: int, executor: Executor, clock: Clock) -> None:
        """`partitions`: of the decisions."""
        self._journal, self._partitions, self._executor, self._clock = journal, partitions, executor, clock
        self._shared = journal if isinstance(journal, KafkaJournal) else None
        self._lanes = Lanes()
        self._keeper = Supervised("journal-keeper", self._keep, clock=clock)
        self._untaken_ns = 0

    async def assign(self, partitions: Iterable[int]) -> None:
        """This process owns these partitions now, and no others: in the background it takes their journal and goes on with open runs."""
        await self._keeper.stop()
        self._lanes.assign(partitions)
        self._keeper.start()

    async def revoke(self, partitions: frozenset[int]) -> None:
        """These partitions go to other processes: stop driving the runs of their environments."""
        await self._keeper.stop()
        self._lanes.revoke(partitions)
        await self._leave(partitions)
        if self._shared is not None:
            await self._shared.release(partitions)

    async def stop(self) -> None:
        """Let effects under way end, publish what is due, give the journals back."""
        await self._keeper.stop()
        await self._lanes.stop()
        await self._executor.stop()
        if self._shared is not None:
            await self._shared.release(self._lanes.assigned)

    async def settled(self) -> None:
        """What was done with the messages taken so far outlives this process. Retryable if not in time."""
        if self._shared is not None:
            await self._shared.settle_all(SETTLE_S)
        else:
            await self._journal.settled("", SETTLE_S)

    async def in_order(self, environment: str, work: Work, *, durable: bool = True) -> asyncio.Future[None] | None:
        """Do the work of an environment in its turn. `durable`: it is over once what it wrote is durable, as another owner would not
        know of it. A future if it isn't over yet.

        Raises:
            Permanent: the environment is another process's.
        """
        settled = partial(self._journal.settled, environment, SETTLE_S) if durable else None
        return await self._lanes.do(self.partition(environment), work, settled)

    def partition(self, environment: str) -> int:
        """The partition of an environment's decisions, and of its journal."""
        return partition_of(environment, self._partitions)

    def taking(self, environment: str) -> int:
        """Which taking of the environment's journal is this process's, counted over all; 0 if none is."""
        return self._lanes.taking(self.partition(environment))

    def lacking(self) -> str:
        """The partitions that are assigned and not taken for too long, in words; empty if there are none."""
        untaken, now_ns = sorted(self._lanes.assigned - self._lanes.taken), self._clock.now_ns()
        self._untaken_ns = (self._untaken_ns or now_ns) if untaken else 0
        if untaken and now_ns - self._untaken_ns > LOST_S * SECOND:
            return f"partitions {untaken} are not taken: nothing is done in their environments"
        return ""

    def status(self) -> dict[str, object]:
        """What /status shows of the journal."""
        return {
            "partitions": sorted(self._lanes.taken),
            "pending": 0 if self._shared is None else self._shared.pending,
        }

    async def _keep(self) -> None:
        """Take what is assigned; take back what was lost although it is assigned."""
        await asyncio.gather(*(self._take(partition) for partition in sorted(self._lanes.assigned)))
        while self._shared is not None:
            lost = self._shared.lost & self._lanes.assigned
            self._lanes.lose(lost)
            await asyncio.sleep(LOST_S)
            for partition in sorted(lost & self._lanes.assigned):
                log.warning(
                    "journal partition %d is assigned to us and lost to another worker: taking it back", partition
                )
                await self._take(partition)

    async def _take(self, partition: int) -> None:
        async def taken() -> None:
            self._lanes.lose([partition])
            if self._shared is not None:
                await self._leave(frozenset({partition}))
                await self._shared.take(partition)
            self._lanes.take(partition)
            found = sorted({r.environment for r in self._journal.open_runs()})
            await self._executor.resume([e for e in found if self.partition(e) == partition])

        def told(error: Exception, _pause_s: float) -> None:
            trace = None if isinstance(error, HomeostatError) else error
            level, text = (logging.ERROR if trace else logging.WARNING), "cannot be taken, trying again"
            log.log(level, "the journal of partition %d %s: %s", partition, text, error, exc_info=trace)

        # Whatever is wrong, the keeper must go on: without it nothing is done in any environment.
        await retrying(taken, pauses=every(_RETRY_S), on=Exception, told=told)

    async def _leave(self, partitions: frozenset[int]) -> None:
        """Stop driving the runs of these environments: whoever owns their journal next goes on, be it this process again."""
        await self._executor.release(lambda environment: self.partition(environment) not in partitions, REVOKED_S)
