"""The one consume loop.

Faust acknowledges a message when its agent moves on, or raises. Here a message is acknowledged only after what followed from
it was sent *and* the state it changed was saved, so a crash repeats messages and never loses one; stages drop what they have
seen. Faust's tables, web server and leader election are not used: state is small, kept by `StateStore`, and recovery needs
the topics and the last snapshots alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

import faust
from faust.types import TP

from contracts.errors import HomeostatError, Permanent
from contracts.ports import Record
from contracts.retry import every, retrying
from contracts.supervision import Supervised
from contracts.topics import CONTROL
from contracts.units import SECOND
from streams.deadletter import dead_letter
from streams.host import StageHost
from streams.worker.app import make_app, record_of
from streams.worker.assignment import Assignment
from streams.worker.broadcast import Broadcast
from streams.worker.outbox import Outbox
from streams.worker.parts import WorkerWiring
from streams.worker.reread import messages_to_reread
from streams.worker.states import AGAIN_S, States
from streams.worker.unacknowledged import TakenMessage, Unacknowledged

log = logging.getLogger(__name__)

_LOOK_S = 0.05
STOP_S = 10.0
"""Patience with the broker at the end, for saving and for leaving the group each."""
_STAND_BY_S = 3.0
"""How long a start waits for partitions once the group has answered: it may have more members than there are partitions."""

F = TypeVar("F")


class Worker:
    """Runs the stages of the partitions Kafka assigns to this process, until stopped."""

    def __init__(self, wiring: WorkerWiring) -> None:
        self._w = wiring
        loaded: dict[str, bytes | None] = {}
        self.host = StageHost(wiring.specs, loaded.get, wiring.log_id, shared_log=not wiring.log_id)
        self._assignment = Assignment()
        self._states = States(self.host, loaded, wiring.state, self._assignment)
        self._unacked = Unacknowledged()
        self._tasks: list[Supervised] = []
        self._saving, self._whole, self._taking = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._outbox = Outbox(wiring, self.host.counters, self._assignment.retrying)
        self._broadcast = Broadcast(wiring, self.host, self._outbox, self._whole)
        self._closing = False
        self._taken: dict[tuple[str, int], int] = {}
        self._written_ms: dict[tuple[str, int], int] = {}
        self._app = self._make_app()

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group; returns once partitions are assigned, or the group has none left for this worker."""
        await self._assignment.retrying(self._broadcast.know_what_stands)
        await self._app.start()
        w = self._w
        self._tasks = [
            _forever("worker-tick", partial(self._every, w.settings.ingest.flush_ms / 1000, self._tick)),
            _forever("worker-snapshot", partial(self._every, w.snapshot_s, self._checkpoint)),
            *(
                _forever("worker-follow", partial(self._broadcast.follow, t), detail=t)
                for t in sorted(self._broadcast.topics())
            ),
        ]
        for task in self._tasks:
            task.start()
        await self._assignment.member.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._assignment.ready.wait(), _STAND_BY_S)

    async def stop(self) -> None:
        """Stop taking messages, send what is due, save all state, acknowledge, leave the group. Idempotent."""
        if not self._tasks:
            return
        if self._w.drain_s:
            await self._drain()
        try:
            async with asyncio.timeout(STOP_S):
                async with self._taking:  # what is being taken is taken whole; what comes now is left to the next owner
                    self._closing = True
                async with self._whole:  # what a stage has given out is on its way
                    await self._end_tasks()
                await self._tick()
                await self._checkpoint()
                await self._app.consumer.commit()
        except (HomeostatError, TimeoutError) as e:  # nothing of it is acknowledged: it is repeated to the next owner
            log.warning("state was not saved at the end: %s", str(e) or "the broker did not answer in time")
        self._closing = True
        await self._end_tasks()
        try:
            async with asyncio.timeout(STOP_S):
                await self._app.stop()
        except TimeoutError:  # as when all of a group leave at once: the broker notices by itself that this one is gone
            log.warning("the consumer group was not left in %.0f s", STOP_S)

    async def _end_tasks(self) -> None:
        await self._states.stop()
        await asyncio.gather(*(task.stop() for task in self._tasks))
        self._tasks = []

    async def _drain(self) -> None:
        """Go on until all of the log was taken, or `drain_s` passed: a log in memory ends with its process."""
        topics = sorted({topic for topic, _ in self._assignment.places})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._w.drain_s):
                while True:
                    taken = dict(self._taken)
                    # What follows from it is in the log, too, before its ends are asked for.
                    await self._outbox.delivered()
                    ends = await self._assignment.retrying(partial(self._w.broker.ends, topics))
                    if all(taken.get(place, -1) + 1 >= ends.get(place, 0) for place in self._assignment.places):
                        return
                    await asyncio.sleep(_LOOK_S)

    @property
    def member(self) -> bool:
        """Whether the group has said which partitions are this worker's, be it none."""
        return self._assignment.member.is_set()

    @property
    def crashed(self) -> bool:
        """Whether the consumer gave up: it takes nothing any more, and says no longer which partitions are ours."""
        return bool(self._app.should_stop)

    @property
    def recovering(self) -> int:
        """Stage states of assigned partitions that are still to be read."""
        return self._states.waiting

    @property
    def loop_age_s(self) -> float:
        """Seconds since the loop last made progress: time passed in the stages, or something was tried again."""
        return self._assignment.idle_s

    @property
    def lag(self) -> dict[str, int]:
        """Messages of owned partitions not taken yet, by topic, as of the last fetch; partitions not read yet are left out."""
        found: dict[str, int] = {}
        for place in self._assignment.places & self._taken.keys():
            found[place[0]] = found.get(place[0], 0) + self._waiting(place)
        return found

    def _waiting(self, place: tuple[str, int]) -> int:
        try:
            end = self._app.consumer.highwater(TP(*place)) or 0
        except AssertionError:  # aiokafka's word for a partition that is just being taken away
            return 0
        return max(0, end - self._taken[place] - 1)

    @property
    def behind_s(self) -> float:
        """How long ago the last message was written that was taken of a partition in which others wait; the longest of all
        partitions, 0 where none waits."""
        now_ns, oldest = self._w.clock.now_ns(), 0.0
        for place in self._assignment.places & self._taken.keys():
            if self._waiting(place):
                oldest = max(oldest, now_ns / SECOND - self._written_ms[place] / 1e3)
        return oldest

    @property
    def unacknowledged(self) -> int:
        """Messages taken whose consequences are not yet saved and acknowledged: a crash now would repeat them."""
        return len(self._unacked)

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        """Topic and partition of all that this worker owns now."""
        return self._assignment.places

    def _make_app(self) -> faust.App:
        app = make_app(self._w.settings, self._w.broker, self._w.fetch_wait_ms)
        topics = [t for t in sorted({*self.host.topics, *self._w.handlers}) if t != CONTROL]
        channel = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="homeostat")(cast("Any", self._consume))
        app.on_partitions_assigned.connect(cast("Any", self._on_assigned), weak=False)
        app.on_partitions_revoked.connect(cast("Any", self._on_revoked), weak=False)
        return app

    # -- the loop -------------------------------------------------------------------------------------------------

    async def _consume(self, stream: faust.Stream[bytes]) -> None:
        async for event in stream.noack().events():
            record, epoch = record_of(event), self._assignment.epoch
            if (record.topic, record.partition) in self._assignment.coming:
                await self._assignment.member.wait()
            async with self._taking:
                mine = epoch == self._assignment.epoch and (record.topic, record.partition) in self._assignment.places
                if mine and not self._closing:
                    later = await self._handled_or_kept(record, epoch)
                    if later is None:
                        continue
                    self._unacked.add(event, later)
                    self._taken[record.topic, record.partition] = record.offset
                    self._written_ms[record.topic, record.partition] = record.timestamp_ms

    async def _handled_or_kept(self, record: Record, epoch: int) -> list[asyncio.Future[None]] | None:
        """Take one message, whatever happens: what is passed over is acknowledged with the ones behind it."""

        async def taken() -> list[asyncio.Future[None]] | None:
            return await self._take(record) if epoch == self._assignment.epoch else None

        def told(error: Exception, _pause_s: float) -> None:
            place = record.topic, record.partition, record.offset
            log.error("%s/%d@%d: not taken; trying again", *place, exc_info=error)

        try:
            return await retrying(
                taken, self._assignment.revoked_since(epoch), pauses=every(AGAIN_S), on=Exception, told=told
            )
        except Exception:  # noqa: BLE001 - its partition was taken away meanwhile: its next owner takes it
            return None

    async def _take(self, record: Record) -> list[asyncio.Future[None]] | None:
        """Take one message: what will be done with it later. None if its partition was taken away meanwhile: its next owner takes
        it, or we do, again."""
        now_ns, epoch = self._w.clock.now_ns(), self._assignment.epoch
        await self._states.load(record.topic, record.partition)
        if (record.topic, record.partition) not in self._taken:
            await self._assignment.retrying(partial(self._reread, record, epoch))
        async with self._whole:  # a snapshot never holds a message whose consequences are not on their way
            if epoch != self._assignment.epoch:
                return None
            await self._outbox.send(self.host.handle(record, now_ns))
        later = [await self._done(handler(record), record, epoch) for handler in self._w.handlers.get(record.topic, ())]
        return [f for f in later if f is not None] if epoch == self._assignment.epoch else None

    async def _reread(self, first: Record, epoch: int) -> None:
        """For the stages alone: those who act took these messages before they were acknowledged."""
        async with contextlib.aclosing(messages_to_reread(self.host, self._w.broker, first)) as found:
            async for record in found:
                async with self._whole:
                    if epoch != self._assignment.epoch:
                        return
                    await self._outbox.send(self.host.handle(record, self._w.clock.now_ns()))

    async def _done(self, work: Awaitable[F | None], record: Record, epoch: int) -> F | None:
        try:
            return await work
        except Exception as e:  # an acting part must not stop the loop; what it could not take is kept
            if epoch == self._assignment.epoch:  # else its next owner takes it
                if isinstance(e, Permanent):  # it is refused on purpose, and says why
                    log.warning("%s/%d@%d is refused: %s", record.topic, record.partition, record.offset, e)
                else:
                    log.exception("handler failed on %s/%d@%d", record.topic, record.partition, record.offset)
                await self._outbox.send([dead_letter(record, e, self._w.clock.now_ns())])
            return None

    async def _dead_letter(self, taken: TakenMessage) -> None:
        """Keep a message that something failed on later: once, however often it is tried to acknowledge it."""
        for later in taken.later:
            await self._done(later, record_of(taken.event), self._assignment.epoch)
        taken.later.clear()

    async def _tick(self) -> None:
        async with self._whole:
            self._assignment.note_progress()
            await self._outbox.send(self.host.tick(self._w.clock.now_ns()))

    # -- state ----------------------------------------------------------------------------------------------------

    async def _checkpoint(self) -> None:
        """Everything sent is acknowledged by the broker, then state saved, then messages acknowledged: in this order.

        It ends half-way if partitions are revoked meanwhile: what it has yet to save is older than what their next owner has.
        """
        epoch = self._assignment.epoch
        async with self._saving:
            async with self._whole:
                taken = len(self._unacked)
                dirty = [(i, i.changes, i.snapshot(self._w.log_id)) for i in self.host.instances.values() if i.dirty]
            ended = self._unacked.ended(taken)
            for t in ended:
                await self._dead_letter(t)
            await self._outbox.delivered()
            if self._w.before_ack is not None:
                await self._assignment.retrying(self._w.before_ack, epoch)
            unsaved = set[str]()
            for instance, changes, payload in dirty:
                if epoch != self._assignment.epoch:
                    return
                if await self._save(instance.key, payload, epoch):
                    instance.saved = changes
                else:
                    unsaved.add(instance.key)
            if epoch != self._assignment.epoch:
                return
            ended = [t for t in ended if unsaved.isdisjoint(self._states.keys(*t.event.message.tp))]
            self._unacked.acknowledge(ended)

    async def _save(self, key: str, payload: bytes, epoch: int) -> bool:
        """Whether it is saved. What can't be must not keep others from it, only its own messages from being acknowledged."""
        try:
            await self._assignment.retrying(partial(self._w.state.save, key, payload), epoch)
        except Permanent as e:
            self.host.counters["worker", "unsaved"] += 1
            log.error(
                "state of %s (%d bytes) cannot be saved, its messages stay unacknowledged: %s", key, len(payload), e
            )
            return False
        return True

    async def _on_assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        places = frozenset((tp.topic, tp.partition) for tp in assigned)
        self._assignment.announce(places)  # from now on messages come
        if self._w.on_assigned is not None:
            await self._w.on_assigned(places)
        self._assignment.take(places)  # and are taken
        self._states.recover()
        self._assignment.join()

    async def _on_revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        places = frozenset((tp.topic, tp.partition) for tp in revoked)
        self._assignment.revoke(places)  # nothing more is taken of them
        self._states.cancel()
        try:
            async with asyncio.timeout(STOP_S):
                await self._checkpoint()
        except (HomeostatError, TimeoutError) as e:
            log.warning(
                "the state of %d partitions was not saved: %r; the next owner repeats their messages", len(revoked), e
            )
        except Exception:  # they are not ours any more, whatever happens
            log.exception(
                "the state of %d partitions was not saved; the next owner repeats their messages", len(revoked)
            )
        for topic, partition in places:
            self.host.forget(topic, partition)
            self._taken.pop((topic, partition), None)
        self._states.forget(places)
        self._unacked.drop(revoked)
        if self._w.on_revoked is not None:
            await self._w.on_revoked(places)

    # -- helpers --------------------------------------------------------------------------------------------------

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except HomeostatError as e:
                log.warning("%s: %s", action.__name__, e)


def _forever(name: str, make: Callable[[], Coroutine[Any, Any, None]], *, detail: str = "") -> Supervised:
    """The worker's own tasks begin again soon: everything waits for them."""
    return Supervised(name, make, detail=detail, first_s=0.1, longest_s=AGAIN_S)
