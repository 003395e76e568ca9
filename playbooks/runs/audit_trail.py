"""The audit trail's shell: records are made durable in the journal first, then published in order, for as long as it takes.

The broker may be away: records wait in the journal, and an effect waits for its own record (`acknowledged`), so none
happens that the world could not read of. Delivery is at least once; a record sent again is byte for byte the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from contracts import topics
from contracts.errors import Conflict, Fenced
from contracts.events import ActionRecord, Event, decode, encode
from contracts.ports import Journal
from contracts.retry import Backoff, Pauses
from contracts.supervision import Supervised
from playbooks.audit import GENESIS, ChainHead, headers_of, link

Publish = Callable[[str, str, bytes, Sequence[tuple[str, bytes]], str], Awaitable[None]]
"""`(topic, key, value, headers, route)`: append one message; returns once the broker has acknowledged it."""

_LOG = logging.getLogger(__name__)
_HEAD = "audit/head/"
_OUTBOX = "outbox/"
_HEAD_EVERY = 64
_PAUSES = Pauses(first_s=0.2, longest_s=5.0)
_OUTBOX_LIMIT = 1000


class Trail:
    """Appends audit records and publishes them, and other events that must not be lost, in the background."""

    def __init__(self, journal: Journal, publish: Publish, ack_s: float) -> None:
        self._journal, self._publish, self._ack_s = journal, publish, ack_s
        self._heads: dict[str, ChainHead] = {}
        self._published: dict[str, int] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._progress = asyncio.Event()
        self._task = Supervised("audit-outbox", self._run, longest_s=_PAUSES.longest_s)
        self.failures = 0
        """Attempts at publishing that failed."""

    def start(self) -> None:
        """Publish what an earlier life left behind, and from now on whatever comes."""
        self.recover()
        self._task.start()

    def recover(self) -> None:
        """Look again for what an earlier life, or another owner, has left to be published."""
        self._dirty |= {key.removeprefix(_HEAD) for key in self._journal.facts(_HEAD)}
        self._dirty |= {key.removeprefix(_OUTBOX) for key in self._journal.facts(_OUTBOX)}
        self._wake.set()

    def forget(self, environment: str) -> None:
        """The environment is another owner's now, who goes on with its chain."""
        self._heads.pop(environment, None)
        self._dirty.discard(environment)

    async def stop(self) -> None:
        """Give what is pending one last chance, then stop. What stays is published after the next start."""
        if not self._task.running:
            return
        self._closing.set()
        self._wake.set()
        # Not cancelled in the middle of a send, which would be sent again; each send has its own time limit.
        await self._task.wait()

    @contextlib.contextmanager
    def together(self, environment: str) -> Iterator[None]:
        """Records and what they tell of are kept both or neither: a transition is told once, however often a process dies."""
        try:
            with self._journal.together(environment):
                yield
        except BaseException:
            self._heads.pop(environment, None)  # it may be of a record that was not kept
            raise

    def append(self, record: ActionRecord) -> ActionRecord:
        """Link the record to its environment's chain and make it durable; it is published later."""
        environment = record.environment
        while True:
            linked = link(record, self._head(environment))
            try:
                self._journal.append_audit(environment, encode(linked), linked.sequence)
            except Conflict:
                # Another owner of the environment wrote in between: continue from what it wrote.
                del self._heads[environment]
                continue
            break
        self._heads[environment] = ChainHead(linked.sequence, linked.digest)
        if linked.sequence % _HEAD_EVERY == 1:
            self._journal.put(_HEAD + environment, {"sequence": linked.sequence, "digest": linked.digest}, environment)
        self._kick(environment)
        return linked

    def send(self, topic: str, key: str, event: Event, environment: str) -> None:
        """Publish an event that is no audit record, durably queued until the broker has it. The oldest give way."""
        fact = self._journal.get(_OUTBOX + environment) or {"items": []}
        item = {"topic": topic, "key": key, "value": encode(event).decode()}
        items = [*fact["items"], item]
        if len(items) > _OUTBOX_LIMIT:
            _LOG.warning("outbox of %s is full: %d events dropped", environment, len(items) - _OUTBOX_LIMIT)
        self._journal.put(_OUTBOX + environment, {"items": items[-_OUTBOX_LIMIT:]}, environment)
        self._kick(environment)

    async def acknowledged(self, environment: str, sequence: int) -> bool:
        """Whether the broker has the record (and all before it); waits for that up to `ack_s`."""
        self._kick(environment)  # an earlier life may have published it
        try:
            async with asyncio.timeout(self._ack_s):
                while self._published.get(environment, 0) < sequence:
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _head(self, environment: str) -> ChainHead:
        head = self._heads.get(environment)
        if head is None:
            fact = self._journal.get(_HEAD + environment)
            head = GENESIS if fact is None else ChainHead(int(fact["sequence"]), str(fact["digest"]))
            for sequence, body in self._journal.audit(environment, after=head.sequence):
                head = ChainHead(sequence, decode(ActionRecord, body).digest)
            self._heads[environment] = head
        return head

    def _kick(self, environment: str) -> None:
        self._dirty.add(environment)
        self._wake.set()

    async def _run(self) -> None:
        backoff = Backoff(_PAUSES)
        while True:
            await self._wake.wait()
            self._wake.clear()
            last = self._closing.is_set()
            done = await self._flush_all()
            if last:
                return
            if done:
                backoff.reset()
                continue
            self.failures += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.next_s()):
                    await self._closing.wait()
            self._wake.set()

    async def _flush_all(self) -> bool:
        """Publish everything pending; False if something could not be published (it stays pending)."""
        for environment in sorted(self._dirty):
            self._dirty.discard(environment)
            try:
                await self._flush_audit(environment)
                await self._flush_outbox(environment)
            except asyncio.CancelledError:
                self._dirty.add(environment)
                raise
            except Fenced:
                self.forget(environment)
            except Exception as e:  # noqa: BLE001 - the trail must outlive whatever a publisher raises
                self._dirty.add(environment)
                _LOG.warning("cannot publish the audit trail of %s, will try again: %s", environment, e)
                return False
        return True

    async def _flush_audit(self, environment: str) -> None:
        due = self._journal.audit(environment, unpublished=True)
        self._note(environment, due[0][0] - 1 if due else self._head(environment).sequence)
        if due:  # what the world was told must be what the next owner knows: its chain continues it
            await self._journal.settled(environment, self._ack_s)
        for sequence, body in due:
            record = decode(ActionRecord, body)
            async with asyncio.timeout(self._ack_s):
                await self._publish(topics.ACTIONS, record.run, body, headers_of(record), environment)
            self._journal.mark_published(environment, sequence)
            self._note(environment, sequence)

    def _note(self, environment: str, sequence: int) -> None:
        """The broker has the records up to this one."""
        if sequence > self._published.get(environment, 0):
            self._published[environment] = sequence
            self._progress.set()
            self._progress = asyncio.Event()

    async def _flush_outbox(self, environment: str) -> None:
        while True:
            items = (self._journal.get(_OUTBOX + environment) or {"items": []})["items"]
            if not items:
                return
            first = items[0]
            async with asyncio.timeout(self._ack_s):
                await self._publish(first["topic"], first["key"], first["value"].encode(), (), environment)
            now = (self._journal.get(_OUTBOX + environment) or {"items": []})["items"]
            self._journal.put(_OUTBOX + environment, {"items": [i for i in now if i != first]}, environment)
