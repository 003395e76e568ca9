"""Small worlds of telemetry with gaps put in: gateway -> orders -> payment -> a database, whose messages come as SDKs send them."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from contracts.events import TelemetryGaps, decode
from contracts.ports import Record
from contracts.settings import load
from contracts.topics import GAPS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, TOPICS
from contracts.units import MILLISECOND, SECOND
from contracts.verdicts import GapKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline

T0 = 1_760_000_000 * SECOND
CHAIN = ("gateway", "orders", "payment")
PARTITIONS = 1
CLIENT, SERVER, INTERNAL = 3, 2, 1


@dataclass
class Sender:
    """How one service of a world sends: everything as it should be, unless said otherwise."""

    name: str
    resource: dict[str, str] = field(default_factory=dict)
    kinds: frozenset[int] = frozenset({CLIENT, SERVER, INTERNAL})
    """Kinds of spans that it sends; its clients' context goes on under the span above where it makes no client spans."""
    dropped: frozenset[int] = frozenset()
    """Kinds of spans that it makes and that are lost on the way."""
    batch_s: float = 0.2
    log_batch_s: float = 0.2
    metrics_s: int = 5
    logs: bool = True
    memory: bool = True
    own_metric: bool = False
    names_peers: bool = True
    keeps: float = 1.0
    """Share of its traces whose spans it sends."""
    ahead_s: float = 0.0
    fails_after_s: int = 1 << 30
    """From when on most of its requests fail, and with them those of its callers."""

    def __post_init__(self) -> None:
        base = {
            "service.name": self.name,
            "service.namespace": "shop",
            "service.version": "1.2.3",
            "service.instance.id": f"{self.name}-1",
            "k8s.pod.name": f"{self.name}-7d9f-x",
            "k8s.deployment.name": self.name,
        }
        self.resource = {k: v for k, v in {**base, **self.resource}.items() if v}


def chain() -> dict[str, Sender]:
    """A world without gaps."""
    return {name: Sender(name) for name in CHAIN}


def gaps_of(senders: dict[str, Sender], seconds: int = 170, seed: int = 1, rate: int = 2) -> dict[str, set[GapKind]]:
    """By service (without namespace), the gaps that are named at the end of a world."""
    known: dict[str, TelemetryGaps] = {}

    def on_message(record: Record) -> None:
        if record.topic == GAPS:
            found = decode(TelemetryGaps, record.value)
            known[found.service.rpartition("/")[2]] = found

    specs = perceive_specs(load(), dict.fromkeys(TOPICS, PARTITIONS))
    run(senders, seconds, seed, rate, MemoryPipeline(specs[:3], PARTITIONS, on_message))  # up to the features
    return {name: {g.kind for g in found.gaps} for name, found in known.items() if found.gaps}


def run(senders: dict[str, Sender], seconds: int, seed: int, rate: int, pipeline: MemoryPipeline) -> None:
    """Let a world go on for some seconds."""
    due = sorted(messages(senders, seconds, seed, rate), key=lambda m: m[0])
    at, now_ns = 0, T0
    while now_ns < T0 + seconds * SECOND:
        while at < len(due) and due[at][0] <= now_ns:
            pipeline.feed(due[at][1], due[at][2], now_ns, partition=at % PARTITIONS)
            at += 1
        pipeline.tick(now_ns)
        now_ns += SECOND


def messages(senders: dict[str, Sender], seconds: int, seed: int, rate: int) -> Iterator[tuple[int, str, bytes]]:
    """When each message comes, its topic and its bytes."""
    rng = random.Random(seed)
    spans: dict[tuple[str, int], TracesData] = {}
    served: dict[str, int] = defaultdict(int)
    for second in range(seconds):
        for i in range(rate):
            _trace(senders, T0 + second * SECOND + i * SECOND // rate, rng, spans, served)
        for sender in senders.values():
            now_ns = T0 + second * SECOND
            if sender.logs:
                batch_ns = int(sender.log_batch_s * SECOND)
                yield now_ns // batch_ns * batch_ns + batch_ns, OTLP_LOGS, _logs(sender, now_ns)
            if second % sender.metrics_s == 0:
                yield now_ns + 100 * MILLISECOND, OTLP_METRICS, _metrics(sender, now_ns, served[sender.name])
    yield from ((at_ns, OTLP_SPANS, message.SerializeToString()) for (_, at_ns), message in sorted(spans.items()))


def _trace(
    senders: dict[str, Sender], start_ns: int, rng: random.Random, spans: dict[tuple[str, int], TracesData], served: Any
) -> None:
    trace, keep = rng.getrandbits(128).to_bytes(16, "big"), rng.random()
    parent, names = b"", [*CHAIN, "db"]
    late_ns, unlucky = start_ns - T0, rng.random() < 0.7
    failing = [i for i, name in enumerate(CHAIN) if unlucky and late_ns >= senders[name].fails_after_s * SECOND]
    for depth, (name, callee) in enumerate(itertools.pairwise(names)):
        sender = senders[name]
        served[name] += 1
        begin, end = start_ns + depth * 4 * MILLISECOND, start_ns + (40 - depth * 4) * MILLISECOND
        for kind in (SERVER, INTERNAL, CLIENT):
            if kind not in sender.kinds:
                continue
            span_id = rng.getrandbits(64).to_bytes(8, "big")
            if kind not in sender.dropped and keep <= sender.keeps:
                span = _message(sender, end, spans).add(trace_id=trace, span_id=span_id, parent_span_id=parent)
                span.kind, span.name = Span.SpanKind.ValueType(kind), f"{name} {kind}"
                if failing and (depth < failing[-1] or (depth == failing[-1] and kind != CLIENT)):
                    span.status.code = Status.StatusCode.STATUS_CODE_ERROR
                off_ns = int(sender.ahead_s * SECOND)
                span.start_time_unix_nano, span.end_time_unix_nano = begin + off_ns, end + off_ns
                if kind == CLIENT and callee == "db":
                    span.attributes.add(key="db.system.name").value.string_value = "postgresql"
                elif kind == CLIENT and sender.names_peers:
                    span.attributes.add(key="server.address").value.string_value = f"{callee}.shop.svc"
            parent, begin, end = span_id, begin + MILLISECOND, end - MILLISECOND


def _message(sender: Sender, end_ns: int, spans: dict[tuple[str, int], TracesData]) -> Any:
    batch_ns = int(sender.batch_s * SECOND)
    key = (sender.name, end_ns // batch_ns * batch_ns + batch_ns)
    message = spans.get(key)
    if message is None:
        message = spans[key] = TracesData()
        _fill(message.resource_spans.add().resource, sender.resource)
        message.resource_spans[0].scope_spans.add()
    return message.resource_spans[0].scope_spans[0].spans


def _logs(sender: Sender, at_ns: int) -> bytes:
    message = LogsData()
    entry = message.resource_logs.add()
    _fill(entry.resource, sender.resource)
    record = entry.scope_logs.add().log_records.add(time_unix_nano=at_ns + int(sender.ahead_s * SECOND))
    record.severity_number, record.body.string_value = SeverityNumber.SEVERITY_NUMBER_INFO, "served"
    return message.SerializeToString()


def _metrics(sender: Sender, at_ns: int, served: int) -> bytes:
    message = MetricsData()
    entry = message.resource_metrics.add()
    _fill(entry.resource, sender.resource)
    metrics = entry.scope_metrics.add().metrics
    at_ns += int(sender.ahead_s * SECOND)
    if sender.memory:
        metrics.add(name="process.memory.usage", unit="By").gauge.data_points.add(time_unix_nano=at_ns, as_double=1e8)
    lag = metrics.add(name="db.client.connection.pending_requests", unit="{request}")
    lag.gauge.data_points.add(time_unix_nano=at_ns, as_double=0.0)
    if sender.own_metric:
        metrics.add(name="shop.baskets", unit="1").gauge.data_points.add(time_unix_nano=at_ns, as_double=2.0)
    lasted = metrics.add(name="http.server.request.duration", unit="s").histogram
    lasted.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    point = lasted.data_points.add(time_unix_nano=at_ns, start_time_unix_nano=T0 - SECOND, explicit_bounds=[0.1])
    point.count, point.sum = served, 0.04 * served
    point.bucket_counts.extend([served, 0])
    return message.SerializeToString()


def _fill(owner: Any, attributes: dict[str, str]) -> None:
    for key, value in attributes.items():
        owner.attributes.add(key=key).value.string_value = value
