"""How fast bytes become feature frames on one core: decode, partials, join, merge, frames, as the stages do it.

The traffic is deterministic: traces of nine spans over a small shop of services and a database, sent as Collectors send
(every message holds spans of many traces and services, and no partition holds a whole trace).
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, TracesData

from connectors.otlp.decode import decode
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import FEATURES, OTLP_SPANS, PARTIALS, SPANS
from contracts.units import MILLISECOND, SECOND
from streams.stage import Emit, Output, Stage
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage

START_NS: Final = 1_700_000_000 * SECOND
_INTERNAL, _SERVER, _CLIENT = 1, 2, 3
_DEPTH: Final = 3
SPANS_PER_TRACE: Final = 3 * _DEPTH


@dataclass(frozen=True, slots=True)
class Load:
    """What the benchmark sends: so many spans per second of event time, for so long, over so many services."""

    spans_per_s: int = 40_000
    seconds: int = 5
    services: int = 60
    spans_per_message: int = 2_000
    partitions: int = 4
    seed: int = 1


@dataclass(slots=True)
class FeatureResult:
    """CPU seconds per stage, and what came out."""

    spans: int
    cpu_s: dict[str, float] = field(default_factory=dict)
    decode_s: float = 0.0
    frames: int = 0
    rows: int = 0
    counters: Counter[str] = field(default_factory=Counter)

    @property
    def spans_per_cpu_s(self) -> float:
        """Spans from bytes to feature frames per CPU second of the whole chain."""
        return self.spans / sum(self.cpu_s.values())

    @property
    def windows_us_per_span(self) -> float:
        """Microseconds of CPU per span for all but the decoding."""
        return 1e6 * (sum(self.cpu_s.values()) - self.decode_s) / self.spans

    def lines(self) -> list[str]:
        """For people."""
        parts = ", ".join(f"{name} {1e6 * s / self.spans:.2f}" for name, s in self.cpu_s.items())
        return [
            f"{self.spans_per_cpu_s:,.0f} spans per CPU second, from bytes to {self.frames} feature frames",
            f"decoding alone: {self.spans / self.decode_s:,.0f} spans per CPU second",
            f"all the rest: {self.windows_us_per_span:.2f} µs per span",
            f"µs per span by stage: {parts} (ingest decodes, too)",
        ]


def messages(load: Load) -> list[tuple[int, int, bytes]]:
    """(arrival time in ns, partition, OTLP protobuf) in the order of arrival."""
    rng = random.Random(load.seed)
    per_message = load.spans_per_message // SPANS_PER_TRACE * load.partitions
    found = []
    total = load.spans_per_s * load.seconds // SPANS_PER_TRACE
    for first in range(0, total, per_message):
        parts = [TracesData() for _ in range(load.partitions)]
        entries: list[dict[str, ResourceSpans]] = [{} for _ in parts]
        end_ns = START_NS
        for number in range(first, min(first + per_message, total)):
            at_ns = START_NS + number * load.seconds * SECOND // total
            end_ns = max(end_ns, _trace(rng, parts, entries, load.services, at_ns))
        found += [(end_ns, p, part.SerializeToString()) for p, part in enumerate(parts)]
    return found


def _trace(
    rng: random.Random, parts: list[TracesData], entries: list[dict[str, ResourceSpans]], services: int, at_ns: int
) -> int:
    """One trace: `_DEPTH` services call each other in a row, the last one a database; its spans land anywhere."""
    trace, parent = rng.randbytes(16), b""
    start_ns, end_ns = at_ns, at_ns + int(rng.lognormvariate(17, 0.5))
    first = rng.randrange(services)
    for depth in range(_DEPTH):
        service = f"service-{(first * 7 + depth * 13) % services:03d}"
        for kind in (_SERVER, _INTERNAL, _CLIENT):
            span = _entry(rng, parts, entries, service).scope_spans[0].spans.add()
            span.trace_id, span.span_id, span.parent_span_id, span.kind = trace, rng.randbytes(8), parent, kind  # type: ignore[assignment]
            span.start_time_unix_nano, span.end_time_unix_nano = start_ns, max(end_ns, start_ns + 1000)
            span.name = "GET /orders/{id}"
            if rng.random() < 0.01:
                span.status.code = 2  # type: ignore[assignment]
            _attributes(span, kind, last=depth == _DEPTH - 1)
            parent = span.span_id
            start_ns, end_ns = start_ns + 200_000, end_ns - 300_000
    return at_ns + 50 * MILLISECOND


def _entry(
    rng: random.Random, parts: list[TracesData], entries: list[dict[str, ResourceSpans]], service: str
) -> ResourceSpans:
    at = rng.randrange(len(parts))
    found = entries[at].get(service)
    if found is None:
        found = entries[at][service] = parts[at].resource_spans.add()
        names = {"service.name": service, "service.version": "1.4.2", "k8s.deployment.name": service}
        for key, value in {**names, "k8s.pod.name": f"{service}-7d9f", "telemetry.sdk.language": "java"}.items():
            found.resource.attributes.add(key=key).value.string_value = value
        found.scope_spans.add().scope.name = "io.opentelemetry.http"
    return found


def _attributes(span: object, kind: int, *, last: bool) -> None:
    pairs = {"http.request.method": "GET", "url.path": "/orders/17", "server.address": "orders"}
    if kind == _CLIENT and last:
        pairs = {"db.system.name": "postgresql", "db.namespace": "orders", "db.query.text": "SELECT 1"}
    for key, value in pairs.items():
        span.attributes.add(key=key).value.string_value = value  # type: ignore[attr-defined]


class Chain:
    """The three stages on all partitions in one process, with the CPU time each of them takes."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self.cpu_s: Counter[str] = Counter()
        self.frames: list[bytes] = []
        self._partitions = partitions
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._queue: deque[Record] = deque()
        self._stages: dict[tuple[str, int], Stage] = {}
        for p in range(partitions):
            self._stages[OTLP_SPANS, p] = IngestStage(OTLP_SPANS, p, settings, partitions)
            self._stages[SPANS, p] = EdgeStage(p, settings, partitions)
            self._stages[PARTIALS, p] = FeatureStage(p, settings)

    @property
    def counters(self) -> Counter[str]:
        """Counters of all stages."""
        return sum((s.counters for s in self._stages.values()), Counter())

    def feed(self, partition: int, value: bytes, now_ns: int) -> None:
        """One message, and all that follows from it at once."""
        self._append(OTLP_SPANS, partition, value, now_ns)
        self._drain(now_ns)

    def tick(self, now_ns: int) -> None:
        """Let time pass in all stages."""
        for (topic, _), stage in self._stages.items():
            began = time.process_time()
            outputs = stage.tick(now_ns)
            self.cpu_s[topic] += time.process_time() - began  # type: ignore[assignment]
            self._take(outputs, now_ns)
        self._drain(now_ns)

    def _drain(self, now_ns: int) -> None:
        while self._queue:
            record = self._queue.popleft()
            began = time.process_time()
            outputs = self._stages[record.topic, record.partition].handle(record, now_ns)
            self.cpu_s[record.topic] += time.process_time() - began  # type: ignore[assignment]
            self._take(outputs, now_ns)

    def _take(self, outputs: Iterable[Output], now_ns: int) -> None:
        for output in outputs:
            if not isinstance(output, Emit):
                continue
            if output.topic == FEATURES:
                self.frames.append(output.value)
            else:
                self._append(output.topic, output.partition_in(self._partitions), output.value, now_ns)

    def _append(self, topic: str, partition: int, value: bytes, now_ns: int) -> None:
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        self._queue.append(Record(topic, partition, offset, None, value, (), now_ns // MILLISECOND))


def run(load: Load | None = None, settings: Settings | None = None) -> FeatureResult:
    """Run the chain over a load. Only the stages' own CPU time counts."""
    load, settings = load or Load(), settings or Settings()
    sent = messages(load)
    chain = Chain(settings, load.partitions)
    flush_ns = settings.ingest.flush_ms * MILLISECOND
    ticked = START_NS
    for now_ns, partition, payload in sent:
        while ticked + flush_ns <= now_ns:
            ticked += flush_ns
            chain.tick(ticked)
        chain.feed(partition, payload, now_ns)
    for _ in range(40):
        ticked += flush_ns
        chain.tick(ticked)
    names = {OTLP_SPANS: "ingest", SPANS: "edges", PARTIALS: "features"}
    counters = chain.counters
    result = FeatureResult(counters["spans"], {names[t]: float(s) for t, s in chain.cpu_s.items()})
    began = time.process_time()
    for _, _, payload in sent:
        decode(OTLP_SPANS, payload)
    result.decode_s = time.process_time() - began
    result.frames, result.rows, result.counters = len(chain.frames), counters["rows"], counters
    return result


if __name__ == "__main__":
    from homeostat.terminal import echo

    echo("\n".join(run().lines()))
