"""Ingest: messages of one partition of an ingress topic in; partial aggregates, spans to be joined and points of general series out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from connectors.encodings import series_points
from connectors.encodings.sources import decode_record, reading_of
from connectors.otlp.conventions import conventions_of
from contracts.events import ClockOffset
from contracts.events import decode as decode_event
from contracts.frames import SeriesPoint, pack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import CLOCKS, PARTIALS, POINTS, SERIES, SPANS
from contracts.units import MILLISECOND
from streams.stage import Emit, Output
from streams.windows.collect import Receipt
from streams.windows.partials import PartialBuilder
from streams.windows.sequence import CatchUp

_MOST_PENDING = 1 << 15


class IngestStage:
    """One partition of one ingress topic. Flushes on every tick, and in between when much has come."""

    def __init__(
        self, topic: str, partition: int, settings: Settings, partitions: int, point_partitions: int = 1
    ) -> None:
        self._topics, self._reading = settings.ingest.topics, reading_of(settings, conventions_of(settings.conventions))
        self._builder = PartialBuilder(f"{topic}/{partition}", settings.ingest, partitions)
        self._catch_up = CatchUp()
        self._point_partitions = point_partitions

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
        if record.topic == SERIES:
            return self._series(record)
        decoded = decode_record(record, self._topics, self._reading)
        alone = self._catch_up.covers(record, now_ns)
        outputs = self._flush(tells_time=False) if alone else []
        self._builder.add(decoded, Receipt.of(record.timestamp_ms, now_ns), record.offset)
        if alone or self._builder.pending >= _MOST_PENDING:
            outputs += self._flush(tells_time=not alone)
        return outputs + self._framed(decoded.series)

    def _series(self, record: Record) -> list[Output]:
        points, skips = series_points.from_json(
            record.value, record.timestamp_ms * MILLISECOND, self._reading.default_environment
        )
        for reason, n in skips.counts.items():
            self.counters[f"skipped_{reason}"] += n
        return self._framed(points)

    def _framed(self, points: Sequence[SeriesPoint]) -> list[Output]:
        if not points:
            return []
        self.counters["series_points"] += len(points)
        return [
            Emit(POINTS, frame.environment, pack(frame), partition=partition)
            for partition, frame in series_points.frames(points, self._point_partitions)
        ]

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
