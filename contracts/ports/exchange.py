"""Ports to who is told of what Homeostat found and did, and to who brings it telemetry: sink, source."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from contracts.events import ActionRecord, Decision, Event, Incident, decode
from contracts.ports.stores import Record
from contracts.topics import ACTIONS, DECISIONS, INCIDENTS

PUBLISHED: Final[dict[str, type[Event]]] = {INCIDENTS: Incident, DECISIONS: Decision, ACTIONS: ActionRecord}
"""Topics whose events sinks are given, and what lies on each: incidents, decisions, the audit trail."""


@dataclass(frozen=True, slots=True)
class Published:
    """One event as it lies on its topic. `value` are its bytes (JSON), which the digests of the audit trail are made over."""

    topic: str
    key: str
    value: bytes
    event: Event
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def id(self) -> str:
        """Name of the event: the same whenever it is delivered again, another for every other event."""
        return hashlib.blake2b(
            b"\0".join((self.topic.encode(), self.key.encode(), self.value)), digest_size=16
        ).hexdigest()

    @classmethod
    def of(cls, record: Record) -> Published:
        """The event in a record of one of the topics of `PUBLISHED`.

        Raises:
            UnreadableEvent: there is none in it.
        """
        key = (record.key or b"").decode("utf-8", "replace")
        return cls(record.topic, key, record.value, decode(PUBLISHED[record.topic], record.value), record.headers)


class Sink(Protocol):
    """Takes published events elsewhere. Each environment's come in the order in which they were published, each at least once:
    after a failure or a restart some come again, under the same `Published.id`."""

    @property
    def name(self) -> str:
        """Name it is registered, chosen and reported by."""
        ...

    @property
    def topics(self) -> frozenset[str]:
        """Which of `PUBLISHED` it wants."""
        ...

    async def deliver(self, events: Sequence[Published]) -> None:
        """Take all of these events; return once they are where they belong. Must not block the event loop.

        Retryable, or anything that is no error of ours: all of them come again after a pause. Permanent: each comes again by
        itself, and those that are refused so are counted and passed over.
        """
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Telemetry:
    """One message of telemetry, as a Collector would put it on Kafka: an OTLP export request (protobuf or JSON) for `otlp_spans`,
    `otlp_metrics` or `otlp_logs`, or a JSON measurement for `telemetry.raw`."""

    topic: str
    payload: bytes


class Source(Protocol):
    """Brings telemetry from elsewhere."""

    @property
    def name(self) -> str:
        """Name it is registered, chosen and reported by."""
        ...

    def messages(self) -> AsyncGenerator[Telemetry]:
        """Messages as they come. When the next one is asked for, the log has the one before: a source that keeps its place keeps it
        then. Where it ends, the source has no more to bring; where it raises, it is asked anew after a pause. Must not block the
        event loop."""
        ...

    async def close(self) -> None:
        """Release connections. Idempotent; no messages are asked for afterwards."""
        ...
