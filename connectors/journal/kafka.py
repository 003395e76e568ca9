"""The journal of several workers on several machines: shared through the compacted topic `autonomous.journal`.

**Where things are.** What is about an environment lies in the partition of the topic that has the number of the
environment's partition of `autonomous.decisions`; the consumer group gives both to one worker. Whoever is assigned it
*takes* it: reads it to its end into a working copy in memory, and answers every question from there. Kafka is the only
durable place; nothing on a worker's disk matters, so a machine may vanish.

**Intent before effect.** A write changes the copy at once and is queued; one thread per partition writes what is queued in
one transaction (acks=all, all or nothing, in order). `settled` returns once Kafka has all of it. The executor waits for it
between an intent and its effect, and before a record of the audit trail is published: if Kafka does not take the intent,
there is no effect. Writing behind keeps the consume loop from waiting for Kafka at each of a run's thirty writes.

**Fencing.** A worker that was paused (a long collection, a suspended machine) does not know that its partitions are
another's. So the producer of each partition has the transactional id `<group>-journal-<partition>`: taking the partition
initialises that id, which makes Kafka refuse all that the former owner still has under way (KIP-98), *before* the new owner
reads, so nothing is written behind its back. The refused one looks who the partition's `owner` record names, and raises
Fenced. This was chosen over an epoch record that is read before each effect because between such a read and the effect lies
the same pause, and because it also keeps the journal itself clean. The pause that remains, between Kafka's answer and the
effect, is bounded by asking again whenever the answer is older than `FRESH_S`; what is started within that time is covered
by the actuators' idempotency keys and preconditions.

The embedded broker knows transactions but fences nobody; there is only ever one process on it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from connectors.journal.changes import (
    AuditLine,
    audit_change,
    audit_dropped,
    fact_change,
    fact_dropped,
    image_of,
    run_change,
    run_dropped,
    step_change,
)
from connectors.journal.log import PartitionLog
from connectors.journal.partition import OwnedPartition
from connectors.journal.sqlite import SqliteJournal
from connectors.kafka.librdkafka import options_of
from contracts.errors import Conflict, Fenced, HomeostatError, UnknownName
from contracts.ports import RunEntry, StepEntry
from contracts.settings import BrokerSettings
from contracts.supervision import once
from contracts.topics import JOURNAL, partition_of
from contracts.verdicts import RunState

log = logging.getLogger(__name__)
_PATIENCE_S: Final = 3.0
"""How long a release waits for a taking under way: its fencing should not hit who owns the partition next."""


class KafkaJournal:
    """`Journal` of the environments whose partitions were taken. The topic must exist (`Broker.ensure_topics`)."""

    def __init__(
        self, settings: BrokerSettings, bootstrap: str, partitions: int, owner: str, *, timeout_s: float = 10.0
    ) -> None:
        """`partitions`: those of the topic. `owner` names this process, and no other that ever was."""
        self._options = options_of(settings, bootstrap)
        self._group, self._count, self._owner, self._timeout_s = settings.group, partitions, owner, timeout_s
        self._takes = itertools.count(1)
        self._owned: dict[int, OwnedPartition] = {}
        self._taking: dict[int, asyncio.Task[OwnedPartition]] = {}
        self._local = SqliteJournal(None)

    # -- partitions

    async def take(self, partition: int) -> None:
        """Own a partition from now on, knowing all that is in it. Others that owned it are fenced.

        Raises:
            BrokerUnavailable, Forbidden: it could not be taken; nothing of it is owned.
            UnreadableEvent: it holds what this release can't read.
        """
        await self.release([partition])
        await self._end_taking(partition)
        taking = once("journal-take", asyncio.to_thread(self._taken, partition), detail=str(partition), awaited=True)
        self._taking[partition] = taking
        try:
            owned = await asyncio.shield(taking)  # a thread can't be cancelled: who cancels this leaves it to the next
        except HomeostatError:
            del self._taking[partition]
            raise
        del self._taking[partition]
        self._owned[partition] = owned

    async def _end_taking(self, partition: int, patience_s: float | None = None) -> None:
        """Wait for a taking that was cancelled, and undo it: two at once would shut each other out."""
        taking = self._taking.get(partition)
        if taking is None:
            return
        done, _ = await asyncio.wait([taking], timeout=patience_s)
        if done and self._taking.get(partition) is taking:
            del self._taking[partition]
            if taking.exception() is None:
                await asyncio.to_thread(taking.result().close)

    def _taken(self, partition: int) -> OwnedPartition:
        source = PartitionLog(
            self._options,
            topic=JOURNAL,
            partition=partition,
            group=self._group,
            owner=f"{self._owner}#{next(self._takes)}",  # who takes it again is another owner than before
            timeout_s=self._timeout_s,
        )
        try:
            image = image_of(source.take())
        except BaseException:
            source.close()
            raise
        owned = OwnedPartition(source, image, str(partition))
        log.info("journal partition %d taken: %d runs", partition, len(image.runs))
        return owned

    async def release(self, partitions: Collection[int]) -> None:
        """Write what is left of partitions that go to others, and forget them. What is written later raises Fenced."""
        gone = [self._owned.pop(p) for p in partitions if p in self._owned]
        await asyncio.gather(
            *(asyncio.to_thread(owned.close) for owned in gone),
            *(self._end_taking(p, _PATIENCE_S) for p in partitions),
        )

    @property
    def lost(self) -> frozenset[int]:
        """Partitions that were taken, and that another worker has taken since."""
        return frozenset(p for p, owned in self._owned.items() if owned.lost)

    @property
    def owned(self) -> frozenset[int]:
        """Partitions that were taken and not lost."""
        return frozenset(p for p, owned in self._owned.items() if not owned.lost)

    @property
    def pending(self) -> int:
        """Changes that Kafka does not have yet."""
        return sum(owned.pending for owned in self._owned.values())

    @contextmanager
    def together(self, environment: str) -> Iterator[None]:
        """What is written of the environment within the block is one part of one transaction of Kafka."""
        with self._of(environment).together() if environment else self._local.together(""):
            yield

    # -- runs

    def create(
        self,
        *,
        run: str,
        decision: str,
        environment: str,
        target: str,
        playbook: str,
        definition: Mapping[str, Any],
        now_ns: int,
    ) -> RunEntry | None:
        """Create and claim the run of a decision; None if that decision has a run already. Conflict if `run` is another's."""
        owned = self._of(environment)
        entry = owned.copy.create(
            run=run,
            decision=decision,
            environment=environment,
            target=target,
            playbook=playbook,
            definition=definition,
            now_ns=now_ns,
        )
        if entry is not None:
            owned.steps[run] = 0
            owned.queue([run_change(entry)])
        return entry

    def claim(self, run: str, now_ns: int) -> RunEntry:
        """Take a run over: the entry with a new fence. UnknownName if it is none of the partitions that are owned."""
        owned = self._with(run)
        if owned is None:
            raise UnknownName("run", run, [r for o in self._owned.values() for r in o.steps][-20:])
        owned.require()
        entry = owned.copy.claim(run, now_ns)
        owned.queue([run_change(entry)])
        return entry

    def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
        """Record a run's new state. Fenced if somebody else has claimed it, or owns its environment."""
        owned = self._holder(run)
        owned.copy.set_state(run, fence, state, now_ns)
        self._queue_run(owned, run)

    def step(self, entry: StepEntry, fence: int) -> None:
        """Append one step line. Fenced if somebody else has claimed the run, or owns its environment."""
        owned = self._holder(entry.run)
        owned.copy.step(entry, fence)
        owned.queue([step_change(entry, owned.steps[entry.run])])
        owned.steps[entry.run] += 1

    def load(self, run: str) -> RunEntry | None:
        """The run with all its steps, or None."""
        owned = self._with(run)
        return (self._local if owned is None else owned.copy).load(run)

    def open_runs(self, environment: str | None = None) -> list[RunEntry]:
        """Runs that are not in a terminal state, oldest first."""
        found = itertools.chain.from_iterable(o.copy.open_runs(environment) for o in self._asked(environment))
        return sorted(found, key=lambda entry: entry.created_ns)

    def history(
        self, environment: str, *, since_ns: int = 0, target: str | None = None, playbook: str | None = None
    ) -> list[RunEntry]:
        """Runs created at or after `since_ns`, oldest first; none of an environment that is not owned."""
        found = (
            o.copy.history(environment, since_ns=since_ns, target=target, playbook=playbook)
            for o in self._asked(environment)
        )
        return list(itertools.chain.from_iterable(found))

    # -- facts

    def put(self, key: str, value: Mapping[str, Any], environment: str = "") -> None:
        """Replace a fact of an environment, or one of this process. Fenced if another one owns the environment."""
        if not environment:
            self._local.put(key, value)
            return
        owned = self._of(environment)
        owned.copy.put(key, value)
        owned.queue([fact_change(key, value)])

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The fact last put, or None."""
        return next((fact for copy in self._copies() if (fact := copy.get(key)) is not None), None)

    def facts(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """All facts whose key starts with `prefix`, by key in order."""
        found = {key: value for copy in self._copies() for key, value in copy.facts(prefix).items()}
        return dict(sorted(found.items()))

    def facts_of_runs(self, prefix: str, since_ns: int) -> dict[str, Mapping[str, Any]]:
        """The facts `prefix` + run of the runs, of what is owned, created at or after `since_ns`, by run in order."""
        found = {run: fact for copy in self._copies() for run, fact in copy.facts_of_runs(prefix, since_ns).items()}
        return dict(sorted(found.items()))

    def forget(self, keys: Collection[str], environment: str = "") -> None:
        """Facts of an environment, or of this process, are as if they had never been put. Fenced if another one owns the environment."""
        if not environment:
            self._local.forget(keys)
            return
        owned = self._of(environment)
        there = [key for key in keys if owned.copy.get(key) is not None]
        owned.copy.forget(there)
        owned.queue([fact_dropped(key) for key in there])

    # -- forgetting runs

    def ended_runs(self, before_ns: int, most: int) -> list[RunEntry]:
        """Runs of what is owned that ended and changed before `before_ns` for the last time: the `most` that did first."""
        found = itertools.chain.from_iterable(o.copy.ended_runs(before_ns, most) for o in self._asked(None))
        return sorted(found, key=lambda entry: entry.updated_ns)[:most]

    def forget_runs(self, runs: Collection[str]) -> None:
        """Runs that ended are as if they had never been, with their steps. Conflict if one is open; Fenced if its environment has
        another owner."""
        holders = {run: owned for run in runs if (owned := self._with(run)) is not None}
        for owned in set(holders.values()):
            owned.require()
        is_open = {entry.run for owned in set(holders.values()) for entry in owned.copy.open_runs()} & set(holders)
        if is_open:
            raise Conflict(f"run {min(is_open)!r} is open: it is not forgotten")
        for run, owned in holders.items():
            owned.copy.forget_runs([run])
            owned.queue(run_dropped(run, owned.steps.pop(run)))

    def sizes(self) -> Mapping[str, int]:
        """How many runs and facts it holds, of what is owned."""
        found = [copy.sizes() for copy in self._copies()]
        return {kind: sum(sizes[kind] for sizes in found) for kind in ("runs", "facts")}

    # -- the audit trail

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        """Append an audit record under its sequence; Conflict if that number is taken."""
        owned = self._of(environment)
        owned.copy.append_audit(environment, record, sequence, published)
        owned.queue([audit_change(AuditLine(environment, sequence, record, published))])

    def audit(self, environment: str, *, after: int = 0, unpublished: bool = False) -> list[tuple[int, bytes]]:
        """Audit records with a sequence above `after`, in order: those not yet on the topic, and the last that is."""
        found = (o.copy.audit(environment, after=after, unpublished=unpublished) for o in self._asked(environment))
        return list(itertools.chain.from_iterable(found))

    def mark_published(self, environment: str, sequence: int) -> None:
        """Note that the audit record is on the topic; the ones before it need not be kept here any more."""
        owned = self._of(environment)
        owned.copy.mark_published(environment, sequence)
        record = next((r for n, r in owned.copy.audit(environment, after=sequence - 1) if n == sequence), None)
        if record is None:
            return
        line = AuditLine(environment, sequence, record, published=True)
        owned.queue([audit_change(line), audit_dropped(environment, sequence - 1)])
        owned.copy.forget_audit(environment, sequence)

    # -- life

    async def settled(self, environment: str, timeout_s: float) -> None:
        """Kafka has all that was written of the environment, and had this process as its owner just now."""
        await self._of(environment).settled(timeout_s)

    async def settle_all(self, timeout_s: float) -> None:
        """Kafka has all that was written of every partition that is owned. BrokerUnavailable if not in time."""
        for owned in list(self._owned.values()):
            if not owned.lost and owned.pending:
                try:
                    await owned.settled(timeout_s)
                except Fenced as e:
                    log.warning("%s", e)

    def close(self) -> None:
        """Write what is left, and let go of everything. Idempotent."""
        while self._owned:
            self._owned.popitem()[1].close()
        self._local.close()

    def _of(self, environment: str) -> OwnedPartition:
        owned = self._owned.get(partition_of(environment, self._count))
        if owned is None:
            raise Fenced(f"environment {environment!r} is not this worker's", fix="nothing to do: it goes on elsewhere")
        owned.require()
        return owned

    def _asked(self, environment: str | None) -> list[OwnedPartition]:
        if environment is None:
            return list(self._owned.values())
        owned = self._owned.get(partition_of(environment, self._count))
        return [] if owned is None else [owned]

    def _with(self, run: str) -> OwnedPartition | None:
        return next((owned for owned in self._owned.values() if run in owned.steps), None)

    def _holder(self, run: str) -> OwnedPartition:
        owned = self._with(run)
        if owned is None:
            raise Fenced(f"run {run!r} is not this worker's", fix="nothing to do: it goes on elsewhere")
        owned.require()
        return owned

    def _queue_run(self, owned: OwnedPartition, run: str) -> None:
        entry = owned.copy.load(run)
        if entry is not None:
            owned.queue([run_change(entry)])

    def _copies(self) -> Iterator[SqliteJournal]:
        yield self._local
        for owned in list(self._owned.values()):
            yield owned.copy
