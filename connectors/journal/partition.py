"""One owned partition of the shared journal: the working copy in memory, and the thread that writes its changes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from connectors.journal.changes import Change, Image
from connectors.journal.log import PartitionLog
from connectors.journal.sqlite import SqliteJournal
from contracts.errors import BrokerUnavailable, Fenced, HomeostatError
from contracts.supervision import SupervisedThread

_LOG = logging.getLogger(__name__)
FRESH_S: Final = 3.0
"""An effect may follow from ownership that was confirmed at most this long ago. Less than any consumer group's session
timeout, so who slept through the loss of a partition asks again before it acts."""
_RETRY_S: Final = 0.5
_BATCH: Final = 250
"""Groups of changes in one transaction."""
_CLOSE_S: Final = 3.0


class OwnedPartition:
    """Made from what its log held when it was taken. Thread-safe."""

    def __init__(self, log: PartitionLog, image: Image, name: str) -> None:
        self.copy = SqliteJournal(None)
        self.copy.restore(image)
        self.steps = dict.fromkeys(image.runs, 0)
        """Step lines by run: which runs are here, and the number of the next line."""
        for run, _ in image.steps:
            if run in self.steps:
                self.steps[run] += 1
        self._log = log
        self._changes: deque[Sequence[Change]] = deque()
        """In groups, each of which is written whole or not at all."""
        self._group: list[Change] | None = None
        self._grouping = 0
        """Whose group it is: other threads' changes are none of it."""
        self._queued = self._written = 0
        self._confirmed = time.monotonic()
        self._lost: HomeostatError | None = None
        self._waiting: list[tuple[int, Future[float]]] = []
        self._turn = threading.Condition()
        self._closing = False
        self._thread = SupervisedThread("journal", self._run, detail=name).start()

    @property
    def pending(self) -> int:
        """Changes that Kafka does not have yet."""
        return self._queued - self._written

    @property
    def lost(self) -> bool:
        """Whether another worker has taken the partition."""
        return self._lost is not None

    def require(self) -> None:
        """Raises Fenced once the partition is another worker's."""
        if self._lost is not None:
            raise self._lost

    def queue(self, changes: Sequence[Change]) -> None:
        """Have the changes written, in order, after all before them: whole or not at all."""
        if self._group is not None and self._grouping == threading.get_ident():
            self._group.extend(changes)
        elif changes:
            with self._turn:
                self._changes.append(changes)
                self._queued += len(changes)
                self._turn.notify_all()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is changed within the block is one group of changes; none of it stays if the block raises."""
        if self._group is not None:
            yield
            return
        numbers, self._group, self._grouping = dict(self.steps), [], threading.get_ident()
        try:
            with self.copy.together(""):
                yield
        except BaseException:
            self.steps, self._group = numbers, None
            raise
        changes, self._group = self._group, None
        self.queue(changes)

    async def settled(self, timeout_s: float) -> None:
        """Until all that is queued now is in Kafka and ownership is fresh."""
        try:
            async with asyncio.timeout(timeout_s):
                while time.monotonic() - await asyncio.wrap_future(self._asked()) > FRESH_S:
                    pass
        except TimeoutError as e:
            raise BrokerUnavailable(f"Kafka did not take the journal's changes within {timeout_s:g} s") from e

    def _asked(self) -> Future[float]:
        """Resolves with the time (monotonic) at which a write began that has all that is queued now."""
        answer: Future[float] = Future()
        with self._turn:
            fresh = time.monotonic() - self._confirmed <= FRESH_S / 2
            if self._lost is not None:
                answer.set_exception(self._lost)
            elif self._written == self._queued and fresh:
                answer.set_result(self._confirmed)
            else:
                self._waiting.append((self._queued, answer))
                self._turn.notify_all()
        return answer

    def close(self) -> None:
        """Write what is left, within reason, and let go. What cannot be written is lost: no effect followed from it."""
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        self._thread.join(_CLOSE_S)
        if self.pending and not self.lost:
            _LOG.warning("%d changes of the journal were not taken by Kafka", self.pending)
        self._settle_all(BrokerUnavailable("the journal is closed", reason="store_closed"))
        self.copy.close()

    # -- the writing thread

    def _run(self) -> None:
        until = None
        while not self.lost:
            with self._turn:
                self._turn.wait_for(lambda: self._changes or self._waiting or self._closing)
                batch = list(itertools.islice(self._changes, _BATCH))
                if self._closing:
                    until = until or time.monotonic() + _CLOSE_S
                    if not batch or time.monotonic() > until:
                        break
            self._write(batch)
        self._log.close()

    def _write(self, batch: Sequence[Sequence[Change]]) -> None:
        began = time.monotonic()
        try:
            self._log.write([change for group in batch for change in group])
        except Fenced as e:
            self._lost = e
            self._settle_all(e)
        except HomeostatError as e:
            _LOG.warning("the journal waits with %d changes: %s", self.pending, e)
            time.sleep(_RETRY_S)
        else:
            self._note(batch, began)

    def _note(self, batch: Sequence[Sequence[Change]], began: float) -> None:
        with self._turn:
            for group in batch:
                self._changes.popleft()
                self._written += len(group)
            self._confirmed = began
            done = [answer for number, answer in self._waiting if number <= self._written]
            self._waiting = [(number, answer) for number, answer in self._waiting if number > self._written]
        for answer in done:
            if answer.set_running_or_notify_cancel():
                answer.set_result(began)

    def _settle_all(self, error: HomeostatError) -> None:
        with self._turn:
            waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            if answer.set_running_or_notify_cancel():
                answer.set_exception(error)
