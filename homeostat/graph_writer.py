"""Graph writes on their way to the store: batched, in a thread, bounded, and counted when the store is away too long."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from contracts.ports import GraphStore, GraphWrite
from contracts.retry import Pauses, retrying
from contracts.supervision import Supervised

log = logging.getLogger(__name__)
BATCH_ROWS = 1000
PAUSES = Pauses(first_s=0.1, longest_s=10.0)


class GraphWriter:
    """Takes writes without waiting and applies them in order. While the store is away at most `limit` writes are kept;
    beyond that the oldest are dropped and counted in `dropped`."""

    def __init__(self, store: GraphStore, limit: int) -> None:
        self._store, self._limit = store, limit
        self._queue: deque[GraphWrite] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = Supervised("graph-writer", self._run)
        self._under_way = 0
        self.dropped = self.failed = self.written = 0
        self.trouble = ""
        """Why writes wait now; empty where the store takes them."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, write: GraphWrite) -> None:
        """Queue a write; never blocks."""
        if not write.rows:
            return
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(write)
        self._idle.clear()
        self._wake.set()

    def start(self) -> None:
        """Begin writing."""
        self._task.start()

    async def stop(self, patience_s: float = 5.0) -> None:
        """Write what is queued, for at most `patience_s`, then end."""
        if not self._task.running:
            return
        try:
            await asyncio.wait_for(self._idle.wait(), patience_s)
        except TimeoutError:
            lost = len(self._queue) + self._under_way
            self.dropped += lost
            log.warning("graph store away: %d writes were not stored", lost)
        await self._task.stop()

    async def _run(self) -> None:
        self.failed, self._under_way = self.failed + self._under_way, 0  # what was under way at a crash
        while True:
            while self._queue:
                batch = self._batch()
                self._under_way = len(batch)
                await self._write(batch)
                self._under_way = 0
            self._idle.set()
            await self._wake.wait()
            self._wake.clear()

    async def _write(self, batch: list[GraphWrite]) -> None:
        statement, rows = batch[0].statement, [row for write in batch for row in write.rows]

        def told(error: Exception, pause_s: float) -> None:
            self.trouble, waiting = str(error), len(self._queue) + len(batch)
            log.warning("%s; %d graph writes wait, trying again in %.1f s", error, waiting, pause_s)

        try:
            await retrying(lambda: asyncio.to_thread(self._store.write, statement, rows), pauses=PAUSES, told=told)
        except Exception as e:  # this task must go on, whatever one write is
            if len(batch) == 1:
                self.failed += 1
                log.exception("the graph refuses %s", statement)
            else:
                log.debug("%d writes of %s refused together, trying each alone: %s", len(batch), statement, e)
                await self._each(batch)
        else:
            self.written, self.trouble = self.written + len(batch), ""

    async def _each(self, batch: list[GraphWrite]) -> None:
        """One bad write must not take its neighbours along."""
        for write in batch:
            await self._write([write])

    def _batch(self) -> list[GraphWrite]:
        """Take the longest run of one statement from the head of the queue, up to about BATCH_ROWS rows."""
        batch = [self._queue.popleft()]
        rows = len(batch[0].rows)
        while self._queue and rows < BATCH_ROWS and self._queue[0].statement == batch[0].statement:
            batch.append(self._queue.popleft())
            rows += len(batch[-1].rows)
        return batch
