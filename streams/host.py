"""Keeps the stage instances of the partitions a process owns, and is the one place where their errors end.

An uncaught error in a consumer would lose its message (Faust acknowledges it), so `handle` never raises: what a stage cannot
read, or fails on, becomes a dead letter.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from contracts.errors import Permanent, UnreadableEvent
from contracts.ports import Record
from contracts.topics import TOPICS
from contracts.units import SECOND
from streams.deadletter import dead_letter
from streams.stage import CatchesUp, Output, Stage, StageSpec, consumers

log = logging.getLogger(__name__)
ANNOUNCED: Final[dict[str, str]] = {
    "service_limit": "no room for more services: what they sent was dropped",
    "service_left": "services that were least of use were forgotten to make room",
    "names_left": "names of services and peers that were least of use were forgotten to make room",
    "environment_limit": "no room for more environments: what they sent was dropped",
    "environment_left": "environments that were least of use were forgotten to make room",
    "template_limit": "a service logs too many templates: new ones are not told as new",
    "template_left": "templates of logs that did not come for long were forgotten to make room",
    "series_over_limit": "more series of metrics than there is room for",
    "series_limit": "no room for more general series: their points were dropped",
    "series_left": "series that did not come for long were forgotten to make room",
    "evicted": "spans were forgotten before their callers or callees came: there is no room for more",
    "time_mended": "event time was ahead of the clock and was set back",
    "future": "records from the future were dropped: clocks of senders are far ahead",
}
"""What a stage counts that a person should hear of, and in which words; at most every `ANNOUNCE_NS` of each."""
ANNOUNCE_NS: Final = 300 * SECOND
LOOK_NS: Final = 5 * SECOND


class _Saved(msgspec.Struct, frozen=True):
    """A snapshot: the stage's state and the last offset of each `topic/partition` that is in it, and of which log."""

    log: str
    offsets: dict[str, int]
    state: bytes


class HostedStage:
    """One stage for one partition, with the offsets its state includes."""

    def __init__(self, spec: StageSpec, key: str, stage: Stage) -> None:
        self.spec, self.key, self.stage = spec, key, stage
        self.offsets: dict[str, int] = {}
        self.changes = self.saved = 0
        """How often it changed, and how many of these changes are in the last snapshot that was saved."""

    @property
    def dirty(self) -> bool:
        """Whether there is something to save. It stays so until that is saved: a snapshot alone is not."""
        return self.changes != self.saved

    def touch(self) -> None:
        """The state is another from now on."""
        self.changes += 1

    def seen(self, record: Record) -> bool:
        """Whether the state includes this record already (a redelivery)."""
        return record.offset <= self.offsets.get(f"{record.topic}/{record.partition}", -1)

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Let the stage take the record in."""
        outputs = self.stage.handle(record, now_ns)
        self.note(record)
        return outputs

    def note(self, record: Record) -> None:
        """The state includes this record from now on."""
        self.offsets[f"{record.topic}/{record.partition}"] = record.offset
        self.touch()

    def snapshot(self, log_id: str) -> bytes:
        """State and offsets as bytes. Once they are saved, `saved` is what `changes` was."""
        return msgspec.msgpack.encode(_Saved(log_id, dict(self.offsets), self.stage.snapshot()))

    def restore(self, payload: bytes, log_id: str) -> None:
        """Take a snapshot. Offsets only count in the log they were read from: an embedded log is new at every start.

        Raises:
            UnreadableEvent: it is no snapshot, or of a newer version.
        """
        try:
            saved = msgspec.msgpack.decode(payload, type=_Saved)
        except msgspec.DecodeError as e:
            raise UnreadableEvent(f"snapshot of {self.key}: {e}") from e
        self.stage.restore(saved.state)
        self.offsets = dict(saved.offsets) if saved.log == log_id else {}


class StageHost:
    """Stage instances by key. `load` finds a snapshot for a key, or None; it is asked once, when an instance is made.

    `log_id` names the log that offsets belong to. `shared_log`: others may have read from it before.
    """

    def __init__(
        self,
        specs: Iterable[StageSpec],
        load: Callable[[str], bytes | None] = lambda _: None,
        log_id: str = "",
        *,
        shared_log: bool = False,
    ) -> None:
        self.specs, self.log_id, self.shared_log = tuple(specs), log_id, shared_log
        self.by_topic = consumers(self.specs)
        self._rank = {spec.name: i for i, spec in enumerate(self.specs)}
        self.instances: dict[str, HostedStage] = {}
        self.counters: Counter[tuple[str, str]] = Counter()
        self._load = load
        self._announced: dict[tuple[str, str], tuple[int, int]] = {}
        self._looked_ns = 0
        self._standing: dict[tuple[str, bytes | None], Record] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """Every topic some stage reads."""
        return tuple(self.by_topic)

    @property
    def overheard(self) -> tuple[str, ...]:
        """Every topic that some stage overhears."""
        return tuple(sorted({t for s in self.specs for t in s.overhears}))

    def instance(self, spec: StageSpec, topic: str, partition: int) -> HostedStage:
        """The instance that takes messages of this topic and partition; made, and restored, on first use."""
        key = spec.instance_key(topic, partition)
        found = self.instances.get(key)
        if found is None:
            found = self.instances[key] = HostedStage(spec, key, spec.make(topic, partition))
            self._restore(found)
        return found

    def _restore(self, instance: HostedStage) -> None:
        payload = self._load(instance.key)
        if payload is None:
            if self.shared_log and isinstance(instance.stage, CatchesUp):
                instance.stage.begin_anew()
            return
        try:
            instance.restore(payload, self.log_id)
        except Permanent as e:  # of another version: learning starts anew, and says so
            log.warning("state of %s is not usable, starting afresh: %s", instance.key, e)
            self.counters[instance.spec.name, "snapshot_unusable"] += 1
            if isinstance(instance.stage, CatchesUp):
                instance.stage.begin_anew()

    def first_missing(self, record: Record) -> int:
        """The offset of the first message that some stage's state lacks, if there is one before `record`; else that of `record`."""
        place, found = f"{record.topic}/{record.partition}", record.offset
        for spec in self.by_topic.get(record.topic, ()):
            offsets = self._offsets(spec.instance_key(record.topic, record.partition))
            found = min(found, offsets.get(place, record.offset) + 1)
        return found

    def _offsets(self, key: str) -> dict[str, int]:
        if key in self.instances:
            return self.instances[key].offsets
        payload = self._load(key)
        try:
            saved = msgspec.msgpack.decode(payload, type=_Saved) if payload is not None else None
        except msgspec.DecodeError:  # as a snapshot it is refused when the instance is made
            saved = None
        return saved.offsets if saved is not None and saved.log == self.log_id else {}

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Give a record to every stage that reads its topic. Never raises."""
        outputs: list[Output] = []
        for spec in self.by_topic.get(record.topic, ()):
            known = len(self.instances)
            instance = self.instance(spec, record.topic, record.partition)
            if len(self.instances) > known:
                outputs += self._brief(instance, now_ns)
            if instance.seen(record):
                self.counters[spec.name, "redelivered"] += 1
                continue
            outputs += self._guarded(instance, record, now_ns)
        return outputs

    def overhear(self, record: Record, now_ns: int) -> list[Output]:
        """Give a record to every instance that overhears its topic; of compacted topics also to those still to come, as
        switches must be. Never raises."""
        row = TOPICS.get(record.topic)
        if row is not None and row.compacted:
            self._standing[record.topic, record.key] = record
        found = [i for i in self.instances.values() if record.topic in i.spec.overhears]
        return [output for instance in found for output in self.tell(instance, record, now_ns)]

    def _brief(self, instance: HostedStage, now_ns: int) -> list[Output]:
        standing = [r for r in self._standing.values() if r.topic in instance.spec.overhears]
        return [output for record in standing for output in self.tell(instance, record, now_ns)]

    def tell(self, instance: HostedStage, record: Record, now_ns: int) -> list[Output]:
        """Let one instance overhear a record. Never raises."""
        instance.touch()
        try:
            return instance.stage.handle(record, now_ns)
        except Exception as e:
            log.exception("%s cannot follow what it overheard on %s", instance.key, record.topic)
            return [dead_letter(record, e, now_ns)]

    def _guarded(self, instance: HostedStage, record: Record, now_ns: int) -> list[Output]:
        try:
            self.counters[instance.spec.name, "messages"] += 1
            return instance.handle(record, now_ns)
        except Exception as e:  # the one place where a stage's errors end
            instance.note(record)
            self.counters[instance.spec.name, "dead_letters"] += 1
            if not isinstance(e, Permanent):
                log.exception(
                    "stage %s failed on %s/%d@%d", instance.key, record.topic, record.partition, record.offset
                )
            return [dead_letter(record, e, now_ns)]

    def tick(self, now_ns: int) -> list[Output]:
        """Let time pass in every instance, in an order that does not depend on whose message made which. Never raises."""
        outputs: list[Output] = []
        for instance in sorted(self.instances.values(), key=lambda i: (self._rank[i.spec.name], i.key)):
            try:
                found = instance.stage.tick(now_ns)
            except Exception:
                self.counters[instance.spec.name, "tick_errors"] += 1
                log.exception("stage %s failed while time passed", instance.key)
                continue
            if found:
                instance.touch()
            outputs += found
        if abs(now_ns - self._looked_ns) >= LOOK_NS:
            self._looked_ns = now_ns
            self._announce(now_ns)
        return outputs

    def _announce(self, now_ns: int) -> None:
        """Say what reached a limit: what is only counted is noticed too late."""
        for (stage, what), number in self.totals().items():
            told, at_ns = self._announced.get((stage, what), (0, 0))
            if what in ANNOUNCED and number > told and not 0 <= now_ns - at_ns < ANNOUNCE_NS:
                self._announced[stage, what] = number, now_ns
                log.warning("%s: %s (%s: %d more)", stage, ANNOUNCED[what], what, number - told)

    def forget(self, topic: str, partition: int) -> list[HostedStage]:
        """Drop the instances of a partition that now belongs to somebody else; those that were dropped."""
        keys = [s.instance_key(topic, partition) for s in self.by_topic.get(topic, ())]
        gone = [self.instances.pop(k) for k in keys if k in self.instances]
        for instance in gone:  # what this process counted it has counted: a counter never goes back
            self._count(self.counters, instance)
        return gone

    def totals(self) -> Counter[tuple[str, str]]:
        """Counters of the host and of all stages, by (stage, what)."""
        totals = Counter(self.counters)
        for instance in self.instances.values():
            self._count(totals, instance)
        return totals

    @staticmethod
    def _count(totals: Counter[tuple[str, str]], instance: HostedStage) -> None:
        for name, n in instance.stage.counters.items():
            totals[instance.spec.name, name] += n
