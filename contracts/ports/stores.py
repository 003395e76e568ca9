"""Ports to what must outlive a process: broker, graph store, state store, journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.verdicts import RunState, StepPhase


@dataclass(frozen=True, slots=True)
class Record:
    """One message as read from a broker."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0


class Broker(Protocol):
    """A Kafka-protocol log. Errors: BrokerUnavailable (retryable), Forbidden."""

    @property
    def bootstrap(self) -> str:
        """`host:port[,host:port]`, for any Kafka client."""
        ...

    async def start(self) -> None:
        """Connect (or start, if embedded); BrokerUnavailable with what to check if that fails."""
        ...

    async def stop(self) -> None:
        """Flush and close. Idempotent."""
        ...

    async def ensure_topics(self, partitions: int, also: Collection[str] = ()) -> Mapping[str, int]:
        """Create the topics of `contracts.topics.TOPICS`, and those of telemetry in `also`, that are missing; partitions of each by name."""
        ...

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append one message; returns once the broker has acknowledged it."""
        ...

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """By topic and partition, the offset that the next message gets; 0 while there was none."""
        ...

    def read(
        self, topics: Sequence[str], *, from_beginning: bool = True, follow: bool = False, last: int | None = None
    ) -> AsyncIterator[Record]:
        """Messages of `topics` in partition order, without a consumer group: all, those from now on, or the `last` ones of
        each partition. Ends at the end found at the start, unless `follow`."""
        ...

    def between(self, topic: str, partition: int, first: int, end: int) -> AsyncGenerator[Record]:
        """Messages of one partition from offset `first` on and before offset `end`, which must be in the log; what was deleted of
        them meanwhile is left out."""
        ...


class GraphStore(Protocol):
    """A property graph that speaks the Cypher subset in `graph/cypher/`. Errors: GraphUnavailable, InvalidQuery."""

    def migrate(self) -> None:
        """Create node and relationship tables, constraints and indexes that are missing. Idempotent."""
        ...

    def write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a named statement of `graph/cypher/` once for all `rows` (bound as `$rows`), in one transaction."""
        ...

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        read_only: bool = True,
        most: int | None = None,
    ) -> list[dict[str, Any]]:
        """Rows of any Cypher text; nodes and relationships come as dicts of their properties. `most`: reading an answer ends
        after so many rows."""
        ...

    def close(self) -> None:
        """Release the store. Idempotent."""
        ...


class StateStore(Protocol):
    """Snapshots of stage state: small, replaced whole, per stage and partition. Errors: Retryable."""

    async def load(self, key: str) -> bytes | None:
        """The last saved state, or None."""
        ...

    async def save(self, key: str, value: bytes) -> None:
        """Replace the state; durable when this returns."""
        ...

    async def close(self) -> None:
        """Release the store. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class StepEntry:
    """One journal line of a step; `key` is the idempotency key handed to the actuator."""

    run: str
    step: str
    phase: StepPhase
    key: str
    time_ns: int
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEntry:
    """A run as journalled: its definition (JSON), state and steps so far. `fence` is its owner's token.

    `identities`: keys of what it acts on (`Identity.key`), added by whoever reads it for guards; empty where not known.
    """

    run: str
    decision: str
    environment: str
    target: str
    playbook: str
    state: RunState
    created_ns: int
    updated_ns: int
    fence: int
    definition: Mapping[str, Any]
    steps: tuple[StepEntry, ...] = ()
    identities: tuple[str, ...] = ()


class Journal(Protocol):
    """The durable record of runs. Every method is atomic, and seen by this process's next question.

    Durable, and known to whoever owns the environment next, is what was written before `settled` returned: wait for that
    between an intent and its effect, and before the world is told of anything. Writes are kept in order: a later one is
    never there without the earlier ones of its environment.

    One decision has at most one run, ever. `fence` grows each time a run is claimed; writes with an older fence raise
    `Fenced`, so of two owners only the later one can go on. A journal in which an environment has one owner process raises
    it, too, from every write and from `settled`, once the environment is another process's.
    """

    def together(self, environment: str) -> AbstractContextManager[None]:
        """What is written of the environment within the block is kept whole or not at all, whenever the process dies; a
        block that raises leaves nothing. Nothing may be awaited within it."""
        ...

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
        """Create and claim the run of a decision; None if that decision has a run already."""
        ...

    def claim(self, run: str, now_ns: int) -> RunEntry:
        """Take a run over: the entry with a new fence. UnknownName if there is no such run."""
        ...

    def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
        """Record a run's new state. Fenced if somebody else has claimed it."""
        ...

    def step(self, entry: StepEntry, fence: int) -> None:
        """Append one step line. Fenced if somebody else has claimed the run."""
        ...

    def load(self, run: str) -> RunEntry | None:
        """The run with all its steps, or None."""
        ...

    def open_runs(self, environment: str | None = None) -> list[RunEntry]:
        """Runs that are not in a terminal state, oldest first."""
        ...

    def history(
        self, environment: str, *, since_ns: int = 0, target: str | None = None, playbook: str | None = None
    ) -> list[RunEntry]:
        """Runs created at or after `since_ns`, oldest first (guards count these)."""
        ...

    def put(self, key: str, value: Mapping[str, Any], environment: str = "") -> None:
        """Small durable facts: approvals, verdicts, chain head. They go with the environment that they are about; without
        one they are this process's own, for what every process learns by itself (the kill switch)."""
        ...

    def get(self, key: str) -> Mapping[str, Any] | None:
        """The fact last put, or None."""
        ...

    def facts(self, prefix: str) -> dict[str, Mapping[str, Any]]:
        """All facts whose key starts with `prefix`."""
        ...

    def facts_of_runs(self, prefix: str, since_ns: int) -> dict[str, Mapping[str, Any]]:
        """The facts `prefix` + run of the runs (of all environments) created at or after `since_ns`, by run in order. What it costs is
        those, however many older ones there are: guards ask it before each effect."""
        ...

    def forget(self, keys: Collection[str], environment: str = "") -> None:
        """Facts of an environment, or of this process, are as if they had never been put; those that aren't there are no error."""
        ...

    def ended_runs(self, before_ns: int, most: int) -> list[RunEntry]:
        """Runs in a terminal state that changed before `before_ns` for the last time: the `most` that did first, in that order,
        without their steps."""
        ...

    def forget_runs(self, runs: Collection[str]) -> None:
        """Runs that ended, with their steps, are as if they had never been; their facts stay (see `forget`). Those that aren't
        there are no error. Conflict if one is open, and then none of them is forgotten."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """How many `runs` and `facts` it holds."""
        ...

    def append_audit(self, environment: str, record: bytes, sequence: int, published: bool = False) -> None:
        """Append an audit record (JSON of ActionRecord) under its sequence; a second one with that number is refused
        with `Conflict`."""
        ...

    def audit(self, environment: str, *, after: int = 0, unpublished: bool = False) -> list[tuple[int, bytes]]:
        """Audit records with a sequence above `after`, in order; with `unpublished` only those not yet on the topic.
        Published ones may be gone, except for the last."""
        ...

    def mark_published(self, environment: str, sequence: int) -> None:
        """Note that the audit record is on the topic."""
        ...

    async def settled(self, environment: str, timeout_s: float) -> None:
        """Return once all that was written of the environment is durable for its next owner, and this process is known to
        own it still. Retryable if that is not known within `timeout_s`: then nothing may follow from it. Fenced."""
        ...

    def close(self) -> None:
        """Release the journal. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class GraphWrite:
    """One write of the knowledge graph: a named statement of `graph/cypher/` and its rows."""

    statement: str
    rows: tuple[Mapping[str, Any], ...]
