"""Spans and logs of a labelled case, sent through the product's own stages: what diagnosis would have known of them.

A case's spans say neither which of them serve a request nor which are calls; that follows from whose children they are. Its healthy time
may have holes, where other failures were cut out: time goes on there as if nothing had been between.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_ERROR, SEVERITY_NUMBER_INFO, LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from connectors.otlp.recording import RecordedMessage
from contracts.frames import EvidenceFrame, unpack
from contracts.ports import Record
from contracts.settings import DetectSettings, Settings
from contracts.topics import EVIDENCE, OTLP_LOGS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from graph.world.world import World
from homeostat.bench.cases import FailureCase, LogRow, SpanRow
from homeostat.replay.recording import replay
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

START_NS: Final = 1_700_000_000 * SECOND
HOLE_S: Final = 3.0
"""Longer without any span of a healthy period: something was cut out there."""
STEP_NS: Final = SECOND
_MOST: Final = 4000
"""Spans in one message."""


def told(case: FailureCase, after_s: float = 0.0) -> tuple[World, int] | None:
    """The world as diagnosis knows it once all is told (or what was told `after_s` seconds after the onset), and the onset, epoch
    nanoseconds; None for a case without spans from both sides of the onset."""
    before, after = case.spans()
    if not before or not after:
        return None
    onset = min(s.start for s in after)
    until = onset + after_s if after_s else max(s.end for s in after)
    clock = _Clock(sorted(s.start for s in before), onset)
    logs_before, logs_after = case.logs()
    kinds = _kinds([*before, *after])
    spans = [s for s in (*before, *after) if s.end <= until]  # what lasts longer is not told of yet
    logs = [r for r in (*logs_before, *logs_after) if r.time < until and (r.time >= onset or clock.covers(r.time))]
    world = World("")
    messages = sorted([*_span_messages(spans, kinds, clock), *_log_messages(logs, clock)], key=lambda m: m.time_ns)

    def on_message(record: Record) -> None:
        if record.topic == EVIDENCE:
            frame = unpack(EvidenceFrame, record.value)
            world.environment = frame.environment
            world.take(frame)

    settings = Settings(detect=DetectSettings(detectors=("bank",)))
    specs = [s for s in perceive_specs(settings, dict.fromkeys(TOPICS, 1)) if s.name != "diagnose"]
    pipeline = MemoryPipeline(specs, 1, on_message)
    last_ns = clock.ns(until)
    for now_ns in replay(messages, pipeline, STEP_NS):
        if now_ns > last_ns + 30 * SECOND:
            break
    return world, clock.ns(onset) // SECOND * SECOND


class _Clock:
    """A case's times on a clock without holes."""

    def __init__(self, starts: list[float], onset: float) -> None:
        self._holes: list[tuple[float, float, float]] = []
        """(begin, end, what was cut out until its end)."""
        cut, self._begin = 0.0, starts[0]
        for a, b in zip(starts, [*starts[1:], onset], strict=True):
            if b - a > HOLE_S:
                cut += b - a - 1.0
                self._holes.append((a + 1.0, b, cut))

    def ns(self, time_s: float) -> int:
        cut = max((c for _, end, c in self._holes if end <= time_s), default=0.0)
        return START_NS + round((time_s - cut - self._begin) * SECOND)

    def covers(self, time_s: float) -> bool:
        """Whether a time is within those of which there are spans."""
        return time_s >= self._begin and not any(begin < time_s < end for begin, end, _ in self._holes)


def _kinds(spans: Iterable[SpanRow]) -> dict[str, Span.SpanKind.ValueType]:
    """Kinds by span id: who is asked by another service (or by nobody) serves; whose child is served by another calls."""
    owner = {s.span: s.service for s in spans}
    kinds: dict[str, Span.SpanKind.ValueType] = {}
    for s in spans:
        parent = owner.get(s.parent) if s.parent else None
        if not s.parent or (parent is not None and parent != s.service):
            kinds[s.span] = Span.SPAN_KIND_SERVER
            if parent is not None and kinds.get(s.parent) != Span.SPAN_KIND_SERVER:
                kinds[s.parent] = Span.SPAN_KIND_CLIENT
    return kinds


def _span_messages(
    spans: list[SpanRow], kinds: dict[str, Span.SpanKind.ValueType], clock: _Clock
) -> Iterator[RecordedMessage]:
    by_second: dict[int, list[tuple[int, int, SpanRow]]] = defaultdict(list)
    for s in spans:
        start_ns = clock.ns(s.start)
        end_ns = start_ns + max(0, round((s.end - s.start) * SECOND))
        by_second[end_ns // SECOND].append((start_ns, end_ns, s))
    for second in sorted(by_second):
        rows = by_second[second]
        for i in range(0, len(rows), _MOST):
            yield RecordedMessage(OTLP_SPANS, _spans(rows[i : i + _MOST], kinds), (second + 1) * SECOND)


def _spans(rows: list[tuple[int, int, SpanRow]], kinds: dict[str, Span.SpanKind.ValueType]) -> bytes:
    message = TracesData()
    scopes: dict[str, list[tuple[int, int, SpanRow]]] = defaultdict(list)
    for row in rows:
        scopes[row[2].service].append(row)
    for service, found in scopes.items():
        entry = message.resource_spans.add()
        pair = entry.resource.attributes.add()
        pair.key, pair.value.string_value = "service.name", service
        scope = entry.scope_spans.add()
        for start_ns, end_ns, s in found:
            span = scope.spans.add()
            span.trace_id, span.span_id = _id(s.trace, 16), _id(s.span, 8)
            if s.parent:
                span.parent_span_id = _id(s.parent, 8)
            span.name, span.kind = s.name, kinds.get(s.span, Span.SPAN_KIND_INTERNAL)
            span.start_time_unix_nano, span.end_time_unix_nano = start_ns, end_ns
            if s.error:
                span.status.code = Status.STATUS_CODE_ERROR
    return message.SerializeToString()


def _log_messages(logs: list[LogRow], clock: _Clock) -> Iterator[RecordedMessage]:
    by_second: dict[int, list[tuple[int, LogRow]]] = defaultdict(list)
    for r in logs:
        at_ns = clock.ns(r.time)
        by_second[at_ns // SECOND].append((at_ns, r))
    for second, rows in sorted(by_second.items()):
        message = LogsData()
        scopes: dict[str, list[tuple[int, LogRow]]] = defaultdict(list)
        for row in rows:
            scopes[row[1].service].append(row)
        for service, found in scopes.items():
            entry = message.resource_logs.add()
            pair = entry.resource.attributes.add()
            pair.key, pair.value.string_value = "service.name", service
            scope = entry.scope_logs.add()
            for at_ns, r in found:
                record = scope.log_records.add()
                record.time_unix_nano = at_ns
                record.severity_number = SEVERITY_NUMBER_ERROR if r.error else SEVERITY_NUMBER_INFO
                record.body.string_value = r.text
        yield RecordedMessage(OTLP_LOGS, message.SerializeToString(), (second + 1) * SECOND)


def _id(text: str, size: int) -> bytes:
    try:
        plain = bytes.fromhex(text)
        if len(plain) == size:
            return plain
    except ValueError:
        pass
    return hashlib.blake2b(text.encode(), digest_size=size).digest()
