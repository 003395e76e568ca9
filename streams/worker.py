"""The one consume loop: Faust on Kafka. The only module of the pipeline that knows Faust.

Faust acknowledges a message when its agent moves on, or raises. Here a message is acknowledged only after what followed from
it was sent *and* the state it changed was saved, so a crash repeats messages and never loses one; stages drop what they have
seen. Faust's tables, web server and leader election are not used: state is small, kept by `StateStore`, and recovery needs
the topics and the last snapshots alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, EventT

from connectors.kafka.client import KafkaBroker
from connectors.kafka.tuning import rejoin_after_errors, tune_consumer
from contracts.errors import HomeostatError, Permanent, Retryable
from contracts.ports import Clock, GraphWrite, Record, StateStore
from contracts.settings import Settings
from contracts.topics import CONTROL
from streams.deadletter import dead_letter
from streams.host import StageHost
from streams.stage import Emit, Output, StageSpec

log = logging.getLogger(__name__)

_LOOK_S, _RESEND_S = 0.05, 0.5
_STOP_S = 10.0
"""Patience with the broker at the end, for saving and for leaving the group each."""
_STAND_BY_S = 3.0
"""How long a start waits for partitions once the group has answered: it may have more members than there are partitions."""

F = TypeVar("F")
Handler = Callable[[Record], Awaitable["asyncio.Future[None] | None"]]
"""Takes a message. A future says that it will be done with it later: until then the message is not acknowledged, and the loop goes on."""


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A message that is not acknowledged yet, and what is still being done with it."""

    event: EventT[bytes]
    later: tuple[asyncio.Future[None], ...]

    @property
    def ended(self) -> bool:
        """Whether all was done. What was cancelled was not: the next owner of the partition does it."""
        return all(f.done() and not f.cancelled() for f in self.later)


@dataclass(frozen=True)
class WorkerWiring:
    """What a worker is made of. `handlers` are the parts that act: awaited with each record of their topics."""

    settings: Settings
    broker: KafkaBroker
    partitions: Mapping[str, int]
    state: StateStore
    clock: Clock
    specs: tuple[StageSpec, ...]
    graph: Callable[[GraphWrite], None]
    log_id: str
    handlers: Mapping[str, tuple[Handler, ...]] = field(default_factory=dict)
    on_assigned: Callable[[frozenset[tuple[str, int]]], Awaitable[None]] | None = None
    on_revoked: Callable[[frozenset[tuple[str, int]]], Awaitable[None]] | None = None
    before_ack: Callable[[], Awaitable[None]] | None = None
    """Returns once what the handlers did is durable; asked before their messages are acknowledged."""
    snapshot_s: float = 5.0
    fetch_wait_ms: int = 500
    drain_s: float = 0.0
    """How long `stop` may go on taking what is in the log: for a log that ends with the process."""


class Worker:
    """Runs the stages of the partitions Kafka assigns to this process, until stopped."""

    def __init__(self, wiring: WorkerWiring) -> None:
        self._w = wiring
        self._loaded: dict[str, bytes | None] = {}
        self.host = StageHost(wiring.specs, self._loaded.get, wiring.log_id, shared_log=not wiring.log_id)
        self._unacked: list[_Taken] = []
        self._assigned: frozenset[tuple[str, int]] = frozenset()
        self._coming: frozenset[tuple[str, int]] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []
        self._sending: set[asyncio.Future[Any]] = set()
        self._unsent: list[Emit] = []
        self._spread_to: dict[tuple[str, int], int] = {}
        self._saving, self._whole, self._taking = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._closing = False
        self._ready, self._member, self._progress = asyncio.Event(), asyncio.Event(), time.monotonic()
        self._taken: dict[tuple[str, int], int] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._to_recover, self._turn = 0, 0
        self._app = self._make_app()

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join the group; returns once partitions are assigned, or the group has none left for this worker."""
        await self._retrying(self._know_switches)
        await self._app.start()
        w = self._w
        self._tasks = [
            asyncio.create_task(self._every(w.settings.ingest.flush_ms / 1000, self._tick), name="worker-tick"),
            asyncio.create_task(self._every(w.snapshot_s, self._checkpoint), name="worker-snapshot"),
            asyncio.create_task(self._overhear(CONTROL, from_beginning=True), name="worker-control"),
            *(asyncio.create_task(self._overhear(t), name=f"worker-{t}") for t in self.host.overheard if t != CONTROL),
        ]
        await self._member.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), _STAND_BY_S)

    async def stop(self) -> None:
        """Stop taking messages, send what is due, save all state, acknowledge, leave the group. Idempotent."""
        if not self._tasks:
            return
        if self._w.drain_s:
            await self._drain()
        async with self._taking:  # what is being taken is taken whole; what comes now is left to the next owner
            self._closing = True
        self._tasks += [self._recovery] if self._recovery else []
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            async with asyncio.timeout(_STOP_S):
                await self._tick()
                await self._checkpoint()
                await self._app.consumer.commit()
        except (HomeostatError, TimeoutError) as e:  # nothing of it is acknowledged: it is repeated to the next owner
            log.warning("state was not saved at the end: %s", str(e) or "the broker did not answer in time")
        try:
            async with asyncio.timeout(_STOP_S):
                await self._app.stop()
        except TimeoutError:  # as when all of a group leave at once: the broker notices by itself that this one is gone
            log.warning("the consumer group was not left in %.0f s", _STOP_S)

    async def _drain(self) -> None:
        """Go on until all of the log was taken, or `drain_s` passed: a log in memory ends with its process."""
        topics = sorted({topic for topic, _ in self._assigned})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._w.drain_s):
                while True:
                    taken = dict(self._taken)
                    await self._delivered()  # what follows from it is in the log, too, before its ends are asked for
                    ends = await self._retrying(partial(self._w.broker.ends, topics))
                    if all(taken.get(place, -1) + 1 >= ends.get(place, 0) for place in self._assigned):
                        return
                    await asyncio.sleep(_LOOK_S)

    @property
    def member(self) -> bool:
        """Whether the group has said which partitions are this worker's, be it none."""
        return self._member.is_set()

    @property
    def recovering(self) -> int:
        """Stage states of assigned partitions that are still to be read."""
        return self._to_recover

    @property
    def loop_age_s(self) -> float:
        """Seconds since the loop last made progress: time passed in the stages, or something was tried again."""
        return time.monotonic() - self._progress

    @property
    def lag(self) -> dict[str, int]:
        """Messages of owned partitions not taken yet, by topic, as of the last fetch; partitions not read yet are left out."""
        found: dict[str, int] = {}
        for topic, partition in self._assigned & self._taken.keys():
            with contextlib.suppress(AssertionError):  # aiokafka's word for a partition that is just being taken away
                end = self._app.consumer.highwater(TP(topic, partition)) or 0
                found[topic] = found.get(topic, 0) + max(0, end - self._taken[topic, partition] - 1)
        return found

    @property
    def unacknowledged(self) -> int:
        """Messages taken whose consequences are not yet saved and acknowledged: a crash now would repeat them."""
        return len(self._unacked)

    @property
    def assigned(self) -> frozenset[tuple[str, int]]:
        """Topic and partition of all that this worker owns now."""
        return self._assigned

    def _make_app(self) -> faust.App:
        s = self._w.settings
        app = faust.App(
            s.broker.group,
            broker=f"kafka://{self._w.broker.bootstrap.replace(',', ';kafka://')}",
            store="memory://",
            datadir=str(s.data_dir / "faust"),
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            stream_publish_on_commit=False,
            broker_commit_interval=1.0,
            broker_max_poll_records=500,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=8_000_000,
            broker_session_timeout=s.broker.session_timeout_s,
            broker_heartbeat_interval=s.broker.session_timeout_s / 5,
            **_credentials(self._w.broker.options),
        )
        app.transport = _transport(app, self._w.fetch_wait_ms)
        topics = [t for t in sorted({*self.host.topics, *self._w.handlers}) if t != CONTROL]
        channel = app.topic(*topics, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(channel, name="homeostat")(cast("Any", self._consume))
        app.on_partitions_assigned.connect(cast("Any", self._on_assigned), weak=False)
        app.on_partitions_revoked.connect(cast("Any", self._on_revoked), weak=False)
        return app

    # -- the loop -------------------------------------------------------------------------------------------------

    async def _consume(self, stream: faust.Stream[bytes]) -> None:
        async for event in stream.noack().events():
            record, turn = _record(event), self._turn
            if (record.topic, record.partition) in self._coming:
                await self._member.wait()
            async with self._taking:
                mine = turn == self._turn and (record.topic, record.partition) in self._assigned
                if mine and not self._closing:
                    later = await self._take(record)
                    if later is None:
                        continue
                    self._unacked.append(_Taken(event, later))
                    self._taken[record.topic, record.partition] = record.offset

    async def _take(self, record: Record) -> tuple[asyncio.Future[None], ...] | None:
        """Take one message: what will be done with it later. None if its partition was taken away meanwhile: its next owner takes
        it, or we do, again."""
        now_ns, turn = self._w.clock.now_ns(), self._turn
        await self._load_states(record)
        async with self._whole:  # a snapshot never holds a message whose consequences are not on their way
            if turn != self._turn:
                return None
            await self._send(self.host.handle(record, now_ns))
        later = [await self._done(handler(record), record, turn) for handler in self._w.handlers.get(record.topic, ())]
        return tuple(f for f in later if f is not None) if turn == self._turn else None

    async def _done(self, work: Awaitable[F | None], record: Record, turn: int) -> F | None:
        try:
            return await work
        except Exception as e:  # an acting part must not stop the loop; what it could not take is kept
            if turn == self._turn:  # else its next owner takes it
                log.exception("handler failed on %s/%d@%d", record.topic, record.partition, record.offset)
                await self._send([dead_letter(record, e, self._w.clock.now_ns())])
            return None

    async def _bury(self, taken: _Taken) -> None:
        """Keep a message that something failed on later."""
        for later in taken.later:
            await self._done(later, _record(taken.event), self._turn)

    async def _load_states(self, record: Record) -> None:
        for key in self._keys(record.topic, record.partition):
            await self._load_state(key)

    async def _load_state(self, key: str) -> None:
        if key not in self.host.instances and key not in self._loaded:
            turn, found = self._turn, await self._retrying(partial(self._w.state.load, key))
            if turn == self._turn:  # else it may have had another owner, who changed it
                self._loaded[key] = found

    def _keys(self, topic: str, partition: int) -> list[str]:
        return [spec.instance_key(topic, partition) for spec in self.host.by_topic.get(topic, ())]

    async def _recover(self) -> None:
        """Read the state of all partitions assigned, before their first message asks for it: until then we are not ready."""
        for key in sorted({key for place in self._assigned for key in self._keys(*place)}):
            await self._load_state(key)
            self._to_recover -= 1

    async def _tick(self) -> None:
        async with self._whole:
            self._progress = time.monotonic()
            await self._send(self.host.tick(self._w.clock.now_ns()))

    async def _send(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if isinstance(output, GraphWrite):
                self._w.graph(output)
            else:
                await self._retrying(partial(self._enqueue, output))

    async def _enqueue(self, emit: Emit) -> None:
        try:
            sent = await self._w.broker.enqueue(
                emit.topic,
                emit.value,
                key=emit.key.encode(),
                partition=emit.partition_in(self._w.partitions[emit.topic]),
                headers=emit.headers,
            )
        except Permanent as e:  # sending it again cannot help, and the loop must go on
            self.host.counters["worker", "unsendable"] += 1
            log.error("%d bytes for %s cannot be sent: %s", len(emit.value), emit.topic, e)
            return
        self._sending.add(sent)
        sent.add_done_callback(partial(self._sent, emit))

    def _sent(self, emit: Emit, sent: asyncio.Future[Any]) -> None:
        self._sending.discard(sent)
        if sent.cancelled() or sent.exception() is not None:
            self._unsent.append(emit)

    # -- state ----------------------------------------------------------------------------------------------------

    async def _checkpoint(self) -> None:
        """Everything sent is acknowledged by the broker, then state saved, then messages acknowledged: in this order.

        It ends half-way if partitions are revoked meanwhile: what it has yet to save is older than what their next owner has.
        """
        turn = self._turn
        async with self._saving:
            async with self._whole:
                taken = len(self._unacked)
                dirty = [(i, i.changes, i.snapshot(self._w.log_id)) for i in self.host.instances.values() if i.dirty]
            ended = _ended(self._unacked[:taken])
            for t in ended:
                await self._bury(t)
            await self._delivered()
            for instance, changes, payload in dirty:
                if turn != self._turn:
                    return
                await self._retrying(partial(self._w.state.save, instance.key, payload), turn)
                instance.saved = changes
            if self._w.before_ack is not None:
                await self._retrying(self._w.before_ack, turn)
            if turn != self._turn:
                return
            for t in ended:
                t.event.ack()
            done = set(ended)
            self._unacked = [t for t in self._unacked if t not in done]

    async def _delivered(self) -> None:
        """Wait until the broker has all that was sent; what it did not take is sent again."""
        while self._sending or self._unsent:
            await asyncio.gather(*list(self._sending), return_exceptions=True)
            again, self._unsent = self._unsent, []
            if again:
                log.warning("%d messages were not taken by the broker; sending them again", len(again))
                await asyncio.sleep(_RESEND_S)
                await self._send(again)

    async def _on_assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        places = frozenset((tp.topic, tp.partition) for tp in assigned)
        self._member.clear()
        self._coming = places  # from now on messages come
        if self._w.on_assigned is not None:
            await self._w.on_assigned(places)
        self._assigned, self._coming = places, frozenset()  # and are taken
        self._forget_recovery()
        self._to_recover = len({key for place in self._assigned for key in self._keys(*place)})
        self._recovery = asyncio.create_task(self._recover(), name="worker-recovery")
        self._member.set()
        if self._assigned:
            self._ready.set()

    def _forget_recovery(self) -> None:
        if self._recovery is not None:
            self._recovery.cancel()
        self._recovery, self._to_recover = None, 0

    async def _on_revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        self._member.clear()
        self._coming = frozenset()
        self._forget_recovery()
        places = frozenset((tp.topic, tp.partition) for tp in revoked)
        self._assigned -= places  # nothing more is taken of them
        self._turn += 1
        try:
            async with asyncio.timeout(_STOP_S):
                await self._checkpoint()
        except (HomeostatError, TimeoutError) as e:
            log.warning(
                "the state of %d partitions was not saved: %r; the next owner repeats their messages", len(revoked), e
            )
        for tp in revoked:
            self.host.forget(tp.topic, tp.partition)
            self._taken.pop((tp.topic, tp.partition), None)
            for key in self._keys(
                tp.topic, tp.partition
            ):  # also what was read and not needed: another owner will change it
                self._loaded.pop(key, None)
        self._unacked = [t for t in self._unacked if t.event.message.tp not in revoked]
        if self._w.on_revoked is not None:
            await self._w.on_revoked(places)

    # -- what every worker is told, whatever its partitions: the kill switch, changes -------------------------------

    async def _know_switches(self) -> None:
        """Before the first message is taken: who starts while acting is stopped must know that it is."""
        async for record in self._w.broker.read([CONTROL]):
            await self._spread(record)

    async def _overhear(self, topic: str, *, from_beginning: bool = False) -> None:
        while True:
            try:
                async for record in self._w.broker.read([topic], from_beginning=from_beginning, follow=True):
                    await self._spread(record)
            except HomeostatError as e:
                log.warning("%s; %s is read again", e, topic)
                await asyncio.sleep(_RESEND_S)

    async def _spread(self, record: Record) -> None:
        """One record, once, for all instances that overhear its topic; switches are also told to the parts that act."""
        now_ns, place = self._w.clock.now_ns(), (record.topic, record.partition)
        if record.offset <= self._spread_to.get(place, -1):
            return
        self._spread_to[place] = record.offset
        async with self._whole:
            await self._send(self.host.overhear(record, now_ns))
        if record.topic != CONTROL:
            return
        for handler in self._w.handlers.get(CONTROL, ()):
            try:
                await handler(record)
            except Exception as e:
                log.exception("a switch on %s cannot be followed", CONTROL)
                await self._send([dead_letter(record, e, now_ns)])

    # -- helpers --------------------------------------------------------------------------------------------------

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await action()
            except HomeostatError as e:
                log.warning("%s: %s", action.__name__, e)
            except Exception:  # the next time may go well; ending here would end it silently for good
                log.exception("%s failed", action.__name__)

    async def _retrying(self, call: Callable[[], Awaitable[Any]], turn: int | None = None) -> Any:
        """Call until it succeeds, or partitions were revoked since `turn`: nothing is acknowledged meanwhile, so waiting loses
        nothing."""
        delay = 0.05
        while True:
            try:
                return await call()
            except Retryable as e:
                if turn not in (None, self._turn):
                    raise
                log.warning("%s; trying again in %.1f s", e, delay)
                self._progress = time.monotonic()
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)


def _ended(taken: Iterable[_Taken]) -> list[_Taken]:
    """Those that may be acknowledged. A commit says that all before it in the partition was done, so who waits holds up all behind it."""
    found, waiting = [], set[TP]()
    for t in taken:
        place = t.event.message.tp
        if t.ended and place not in waiting:
            found.append(t)
        else:
            waiting.add(place)
    return found


def _record(event: EventT[bytes]) -> Record:
    m = event.message
    headers = m.headers.items() if isinstance(m.headers, Mapping) else m.headers or ()
    return Record(m.topic, m.partition, m.offset, m.key, m.value or b"", tuple(headers), int((m.timestamp or 0) * 1000))


def _credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    """Faust's credentials from aiokafka's keyword arguments."""
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return {
            "broker_credentials": faust.SASLCredentials(
                username=options["sasl_plain_username"],
                password=options["sasl_plain_password"],
                mechanism=options["sasl_mechanism"],
                ssl_context=context,
            )
        }
    return {"broker_credentials": faust.SSLCredentials(context)} if context else {}


def _transport(app: faust.App, fetch_wait_ms: int) -> driver.Transport:
    quiet = logging.getLogger("faust.worker")  # else they would speak in this module's name

    class Thread(driver.AIOKafkaConsumerThread):
        logger = quiet

        async def on_start(self) -> None:
            await super().on_start()
            rejoin_after_errors(self._consumer)

        def _create_worker_consumer(self, transport: Any) -> Any:
            return tune_consumer(super()._create_worker_consumer(transport), fetch_wait_ms)

    class Consumer(driver.Consumer):
        logger = quiet

        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return Thread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    return Transport(app.conf.broker_consumer, app, app.loop)
