"""Ingest: messages of one partition of an ingress topic in, partial aggregates and spans to be joined out."""

from __future__ import annotations

from collections import Counter

from connectors.encodings.sources import decode_record, reading_of
from connectors.otlp.conventions import conventions_of
from contracts.events import ClockOffset
from contracts.events import decode as decode_event
from contracts.frames import pack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import CLOCKS, PARTIALS, SPANS
from streams.stage import Emit, Output
from streams.windows.collect import Receipt
from streams.windows.partials import PartialBuilder
from streams.windows.sequence import CatchUp

_MOST_PENDING = 1 << 15


class IngestStage:
    """One partition of one ingress topic. Flushes on every tick, and in between when much has come."""

    def __init__(self, topic: str, partition: int, settings: Settings, partitions: int) -> None:
        self._topics, self._reading = settings.ingest.topics, reading_of(settings, conventions_of(settings.conventions))
        self._builder = PartialBuilder(f"{topic}/{partition}", settings.ingest, partitions)
        self._catch_up = CatchUp()

    @property
    def counters(self) -> Counter[str]:
        """Records taken in by kind, and what was dropped: duplicates, future, service_limit, skipped_*."""
        return self._builder.counters

    def handle(self, record: Record, now_ns: int) -> list[Output]:
        """Take a message in.

        Raises:
            UndecodableTelemetry: it is not telemetry.
            UnreadableEvent: it is not word of a clock.
        """
        if record.topic == CLOCKS:
            self._builder.clocks.told(decode_event(ClockOffset, record.value), now_ns)
            return []
        decoded = decode_record(record, self._topics, self._reading)
        alone = self._catch_up.covers(record, now_ns)
        outputs = self._flush(tells_time=False) if alone else []
        self._builder.add(decoded, Receipt.of(record.timestamp_ms, now_ns), record.offset)
        if alone or self._builder.pending >= _MOST_PENDING:
            outputs += self._flush(tells_time=not alone)
        return outputs

    def tick(self, now_ns: int) -> list[Output]:
        """Send on what has come since the last flush."""
        return self._flush()

    def _flush(self, *, tells_time: bool = True) -> list[Output]:
        partials, spans = self._builder.flush(tells_time=tells_time)
        outputs: list[Output] = [Emit(PARTIALS, e, pack(f), partition=t) for e, t, f in partials]
        outputs += [Emit(SPANS, e, pack(f), partition=p) for e, p, f in spans]
        return outputs

    def snapshot(self) -> bytes:
        """The whole state."""
        return self._builder.snapshot()

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state. UnreadableEvent if it is none."""
        self._builder.restore(state)
        self._catch_up.restored()

    def begin_anew(self) -> None:
        """There is no snapshot, but records may have been read by an owner that died before it saved one."""
        self._catch_up.restored()
