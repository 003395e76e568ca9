"""Traffic by hand, as decoded batches and as OTLP bytes, and a small cluster that crashes, to drive the stages with."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.frames import Decoded, FeatureFrame, HistogramBatch, LogBatch, PointBatch, Resource, SpanBatch, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import FEATURES, OTLP_SPANS, PARTIALS, SPANS
from contracts.units import MILLISECOND, SECOND
from streams.stage import CatchesUp, Emit
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage

MS = MILLISECOND
T0 = 1_700_000_000 * SECOND
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class Span:
    service: str
    trace: int
    span: int
    parent: int
    kind: int
    start: int
    end: int
    error: bool = False
    peer: str = ""
    name: str = ""


def decoded(spans: list[Span], environment: str = "prod") -> Decoded:
    """A message of spans."""
    services = sorted({s.service for s in spans})
    strings = ("", *sorted({text for s in spans for text in (s.peer, s.name)} - {""}))
    batch = SpanBatch(
        resource=np.array([services.index(s.service) for s in spans], np.int32),
        trace=np.array([s.trace for s in spans], np.uint64),
        span=np.array([s.span for s in spans], np.uint64),
        parent=np.array([s.parent for s in spans], np.uint64),
        kind=np.array([s.kind for s in spans], np.int8),
        start_ns=np.array([s.start for s in spans], np.int64),
        end_ns=np.array([s.end for s in spans], np.int64),
        error=np.array([s.error for s in spans], np.bool_),
        name=np.array([strings.index(s.name) for s in spans], np.int32),
        peer=np.array([strings.index(s.peer) for s in spans], np.int32),
    )
    return Decoded(strings=strings, resources=tuple(Resource(environment, s, "1.0") for s in services), spans=batch)


def points(rows: list[tuple[str, int, int, int, int, int, float]]) -> Decoded:
    """Metric points (service, feature, series, mode, start, time, value)."""
    services = sorted({r[0] for r in rows})
    columns = list(zip(*rows, strict=True))
    types = (np.int32, np.uint64, np.int8, np.int64, np.int64, np.float64)
    rest = [np.array(c, t) for c, t in zip(columns[1:], types, strict=True)]
    batch = PointBatch(np.array([services.index(r[0]) for r in rows], np.int32), *rest)
    return Decoded(resources=tuple(Resource("prod", s) for s in services), points=batch)


def histograms(rows: list[tuple[str, int, int, int, int, bool, dict[int, int]]]) -> Decoded:
    """Histogram points (service, series, mode, start, time, error, {bucket: count})."""
    services = sorted({r[0] for r in rows})
    columns = list(zip(*rows, strict=True))
    types = (np.uint64, np.int8, np.int64, np.int64, np.bool_)
    rest = [np.array(c, t) for c, t in zip(columns[1:6], types, strict=True)]
    batch = HistogramBatch(
        np.array([services.index(r[0]) for r in rows], np.int32),
        *rest,
        offset=np.cumsum([0, *(len(r[6]) for r in rows)]).astype(np.int32),
        bucket=np.array([b for r in rows for b in sorted(r[6])], np.int32),
        count=np.array([r[6][b] for r in rows for b in sorted(r[6])], np.int64),
    )
    return Decoded(resources=tuple(Resource("prod", s) for s in services), histograms=batch)


def logs(rows: list[tuple[str, int, int, str]]) -> Decoded:
    """Log records (service, time, severity, body)."""
    services = sorted({r[0] for r in rows})
    strings = ("", *sorted({r[3] for r in rows}))
    none = np.zeros(len(rows), np.uint64)
    body = np.array([strings.index(r[3]) for r in rows], np.int32)
    batch = LogBatch(
        resource=np.array([services.index(r[0]) for r in rows], np.int32),
        time_ns=np.array([r[1] for r in rows], np.int64),
        severity=np.array([r[2] for r in rows], np.int8),
        template=np.array([sum(map(ord, r[3])) for r in rows], np.uint64),
        body=body,
        trace=none,
        span=none,
    )
    return Decoded(strings=strings, resources=tuple(Resource("prod", s) for s in services), logs=batch)


def traffic(seed: int, seconds: int, per_second: int = 8) -> list[Span]:
    """Traces over a gateway, orders and stock with a database, a queue and its consumer, and a service with root spans only."""
    rng = random.Random(seed)
    spans = []
    for number in range(seconds * per_second):
        at = T0 + number * SECOND // per_second + rng.randrange(20 * MS)
        spans += _trace(rng, at, silent=20 < number // per_second < 24)
    return spans


def _trace(rng: random.Random, at: int, *, silent: bool) -> list[Span]:
    trace = rng.getrandbits(63) | 1
    new = lambda: rng.getrandbits(63) | 1  # noqa: E731
    a, b, c, d, e, f, g, h = (new() for _ in range(8))
    total = int(rng.lognormvariate(17.5, 0.5))
    bad = rng.random() < 0.1
    spans = [
        Span("gateway", trace, a, 0, SERVER, at, at + total, bad),
        Span("gateway", trace, b, a, CLIENT, at + MS, at + total - MS, bad),
    ]
    if not silent:
        spans += [
            Span("orders", trace, c, b, SERVER, at + 2 * MS, at + total - 2 * MS, bad),
            Span("orders", trace, d, c, INTERNAL, at + 3 * MS, at + total - 3 * MS),
            Span("stock", trace, e, d, SERVER, at + 4 * MS, at + total - 4 * MS),
            Span("stock", trace, f, e, CLIENT, at + 5 * MS, at + total - 5 * MS, peer="db:postgresql/stock"),
            Span("orders", trace, g, c, PRODUCER, at + 6 * MS, at + 7 * MS, peer="messaging:kafka/orders"),
            Span("mailer", trace, h, g, CONSUMER, at + 300 * MS, at + 400 * MS, peer="messaging:kafka/orders"),
        ]
    if rng.random() < 0.5:
        spans.append(Span("cron", new(), new(), 0, INTERNAL, at, at + 3 * MS))
    return spans


def otlp(spans: list[Span]) -> bytes:
    """A message of spans as OTLP protobuf."""
    message = TracesData()
    by_service: dict[str, list[Span]] = {}
    for s in spans:
        by_service.setdefault(s.service, []).append(s)
    for service, some in by_service.items():
        entry = message.resource_spans.add()
        for key, value in (("service.name", service), ("deployment.environment.name", "prod")):
            entry.resource.attributes.add(key=key).value.string_value = value
        scope = entry.scope_spans.add()
        for s in some:
            _otlp_span(scope.spans.add(), s)
    return message.SerializeToString()


def _otlp_span(out: Any, s: Span) -> None:
    out.trace_id, out.span_id = (7).to_bytes(8, "big") + s.trace.to_bytes(8, "big"), s.span.to_bytes(8, "big")
    out.parent_span_id = s.parent.to_bytes(8, "big") if s.parent else b""
    out.kind, out.start_time_unix_nano, out.end_time_unix_nano = s.kind, s.start, s.end
    out.status.code = 2 if s.error else 0
    kind, _, name = s.peer.partition(":")
    system, _, target = name.partition("/")
    pairs = {"db": ("db.system.name", "db.namespace"), "messaging": ("messaging.system", "messaging.destination.name")}
    if kind:
        for key, value in zip(pairs[kind], (system, target), strict=True):
            out.attributes.add(key=key).value.string_value = value


@dataclass
class Member:
    """One stage instance of a worker: where it is in its log, and its last snapshot with the offset it belongs to."""

    topic: str
    partition: int
    worker: int
    stage: Any
    at: int = 0
    saved: tuple[int, bytes] | None = None


@dataclass
class Cluster:
    """Logs and stage instances on several workers. `rng` decides who goes on, and who crashes with probability `crash`."""

    partitions: int
    workers: int
    seed: int
    crash: float = 0.0
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.logs: dict[tuple[str, int], list[Record]] = {}
        self.frames: list[FeatureFrame] = []
        self.crashes = 0
        self.members = [
            Member(topic, p, self.rng.randrange(self.workers), self._make(topic, p))
            for topic in (OTLP_SPANS, SPANS, PARTIALS)
            for p in range(self.partitions)
        ]

    def _make(self, topic: str, partition: int) -> Any:
        if topic == OTLP_SPANS:
            return IngestStage(topic, partition, self.settings, self.partitions)
        if topic == SPANS:
            return EdgeStage(partition, self.settings, self.partitions)
        return FeatureStage(partition, self.settings)

    @property
    def counters(self) -> Counter[str]:
        return sum((m.stage.counters for m in self.members), Counter())

    def send(self, partition: int, value: bytes, now: int, topic: str = OTLP_SPANS) -> None:
        log = self.logs.setdefault((topic, partition), [])
        log.append(Record(topic, partition, len(log), None, value, (), now // MS))

    def work(self, now: int, steps: int) -> None:
        """Some instances take some records, in any order."""
        for _ in range(steps):
            behind = [m for m in self.members if m.at < len(self.logs.get((m.topic, m.partition), []))]
            if not behind:
                return
            m = self.rng.choice(behind)
            record = self.logs[m.topic, m.partition][m.at]
            self._take(m.stage.handle(record, now), now)
            m.at += 1

    def tick(self, now: int) -> None:
        """Time passes; now and then a worker saves its state, or crashes and starts again from what it had saved."""
        for m in self.members:
            self._take(m.stage.tick(now), now)
        for worker in range(self.workers):
            mine = [m for m in self.members if m.worker == worker]
            if self.rng.random() < 0.2:
                for m in mine:
                    m.saved = (m.at, m.stage.snapshot())
            if self.rng.random() < self.crash:
                self.crashes += 1
                for m in mine:
                    self._revive(m)

    def _revive(self, m: Member) -> None:
        m.stage = self._make(m.topic, m.partition)
        if m.saved is not None:
            m.at, state = m.saved
            m.stage.restore(state)
            return
        m.at = 0
        if isinstance(m.stage, CatchesUp):
            m.stage.begin_anew()

    def _take(self, outputs: list[Any], now: int) -> None:
        for output in outputs:
            assert isinstance(output, Emit)
            if output.topic == FEATURES:
                self.frames.append(unpack(FeatureFrame, output.value))
            else:
                self.send(output.partition_in(self.partitions), output.value, now, output.topic)


def rows_of(frames: list[FeatureFrame]) -> dict[tuple[str, int, str, str], tuple[float, ...]]:
    """The last values sent of each row: (signal, window, service, peer) -> count and features (NaN as -1)."""
    found = {}
    for frame in frames:
        for i, service in enumerate(frame.services):
            peer = frame.peers[i] if frame.peers else ""
            values = np.nan_to_num(frame.values[i], nan=-1.0)
            found[frame.signal, frame.window_ns, service, peer] = (float(frame.counts[i]), *values.tolist())
    return found
