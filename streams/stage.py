"""What a stage is: state and two pure methods. Stages return what to emit; they never send, wait, or look at a clock.

There is one instance of a stage per partition it owns, so a partition that moves to another worker takes its state along
(`snapshot`, `restore`). Two drivers run the same stages: `streams.worker` (Faust on Kafka) and `streams.in_memory`
(in-process and deterministic: replay, backtests, benchmarks).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from contracts.ports import GraphWrite, Record
from contracts.topics import partition_of


@dataclass(frozen=True, slots=True)
class Emit:
    """One message to send. Its partition is `partition`, or that of `route` (default: of `key`)."""

    topic: str
    key: str
    value: bytes
    partition: int | None = None
    route: str = ""
    headers: tuple[tuple[str, bytes], ...] = ()

    def partition_in(self, partitions: int) -> int:
        """The partition it belongs to in a topic of `partitions` partitions."""
        if self.partition is not None:
            return self.partition % partitions
        return partition_of(self.route or self.key, partitions)


Output = Emit | GraphWrite


class Stage(Protocol):
    """One step of the pipeline for one partition."""

    @property
    def counters(self) -> Counter[str]:
        """What was processed, dropped and why; names become metric labels."""
        ...

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take one message in.

        Raises:
            UndecodableTelemetry, UnreadableEvent: it cannot be read; the caller dead-letters it.
        """
        ...

    def tick(self, now_ns: int) -> list[Output]:
        """Let time pass: close windows, flush, time out."""
        ...

    def snapshot(self) -> bytes:
        """The whole state."""
        ...

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state."""
        ...


@runtime_checkable
class CatchesUp(Protocol):
    """A stage whose frames depend on when they were flushed: it must know when records may be repeated to it."""

    def begin_anew(self) -> None:
        """There is no snapshot, but records may have been read by an owner that died before it saved one."""
        ...


@dataclass(frozen=True, slots=True)
class StageSpec:
    """A kind of stage: what it reads, and how an instance for one topic and partition is made.

    `colocated` stages read several topics with one instance per partition number (one owner of an environment); others
    get one instance per topic and partition.
    """

    name: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    make: Callable[[str, int], Stage]
    colocated: bool = False
    overhears: tuple[str, ...] = ()
    """Topics of which every instance, whatever its partition, is told everything (switches, changes)."""

    def instance_key(self, topic: str, partition: int) -> str:
        """Which instance takes messages of this topic and partition; also the key of its snapshot."""
        return f"{self.name}/{partition}" if self.colocated else f"{self.name}/{topic}/{partition}"


def consumers(specs: tuple[StageSpec, ...]) -> Mapping[str, tuple[StageSpec, ...]]:
    """Stages by the topic they read."""
    topics = sorted({t for s in specs for t in s.consumes})
    return {t: tuple(s for s in specs if t in s.consumes) for t in topics}
