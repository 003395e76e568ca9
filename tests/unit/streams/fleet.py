"""A fleet on virtual time: a gateway that asks services whose telemetry comes at delays of their own, faults, and losses.

Every service batches each signal for its own time, as SDKs and Collectors do, so its telemetry is up to that late. What was
really there is known, so that what is told can be held against it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from contracts.events import Anomaly, decode
from contracts.frames import EvidenceFrame, FeatureFrame, Presence, unpack
from contracts.ports import Record
from contracts.settings import DetectSettings, Settings
from contracts.topics import (
    ANOMALIES,
    EVIDENCE,
    FEATURES,
    INGRESS,
    OTLP_LOGS,
    OTLP_METRICS,
    OTLP_SPANS,
    PARTIALS,
    SPANS,
)
from contracts.units import MILLISECOND, SECOND
from streams.in_memory import MemoryPipeline
from streams.stage import StageSpec
from streams.stages.detect import DetectStage
from streams.stages.edges import EdgeStage
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage

MS = MILLISECOND
T0 = 1_700_000_000 * SECOND
SERVER, CLIENT = 2, 3
PARTITIONS = 2
SIGNALS = {"spans": OTLP_SPANS, "logs": OTLP_LOGS, "metrics": OTLP_METRICS}
MESSAGES = {"spans": TracesData, "logs": LogsData, "metrics": MetricsData}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a service, in seconds [begin, end): `slow`, `errors`, `drop` (hardly anybody asks), `crash`,
    `hang` (it answers nothing, and who asks gives up after a second without calling that an error)."""

    kind: str
    service: str
    begin: float
    end: float


@dataclass(frozen=True)
class Loss:
    """Telemetry of these services (their signals) that never comes, in seconds [begin, end)."""

    services: tuple[str, ...]
    begin: float
    end: float
    signals: tuple[str, ...] = ("spans", "logs", "metrics")


@dataclass(frozen=True)
class Sent:
    """A span, log record or reading of one service, as it goes into a batch."""

    at: int
    trace: int = 0
    span: int = 0
    parent: int = 0
    kind: int = 0
    name: str = ""
    took: int = 0
    error: bool = False


@dataclass
class Fleet:
    """`delays` are the batching times in seconds per service and signal (default 0.25); `rate` the gateway's requests per second."""

    services: tuple[str, ...]
    delays: dict[tuple[str, str], float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    losses: tuple[Loss, ...] = ()
    rate: float = 60.0
    seed: int = 1
    nodes: dict[str, str] = field(default_factory=dict)
    metrics_every_s: int = 5
    tick_ns: int = 500 * MS
    """Time passes in steps of this; whoever batches for less sends in every one."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.held: dict[tuple[str, str], list[Sent]] = {}
        self.served: dict[tuple[str, int], int] = {}
        """What really happened: requests by service and second."""
        self.frames: list[FeatureFrame] = []
        self.evidence: list[EvidenceFrame] = []
        self.told: list[tuple[float, Anomaly]] = []
        settings = Settings(detect=DetectSettings(detectors=("bank",)))
        specs = (
            StageSpec("ingest", INGRESS, (PARTIALS, SPANS), lambda t, p: IngestStage(t, p, settings, PARTITIONS)),
            StageSpec("edges", (SPANS,), (PARTIALS,), lambda _, p: EdgeStage(p, settings, PARTITIONS)),
            StageSpec(
                "features", (PARTIALS,), (FEATURES, ANOMALIES), lambda _, p: FeatureStage(p, settings, PARTITIONS)
            ),
            StageSpec("detect", (FEATURES,), (EVIDENCE, ANOMALIES), lambda _, p: DetectStage(p, settings.detect)),
        )
        self.now = T0
        self.pipeline = MemoryPipeline(specs, PARTITIONS, on_message=self._listen)

    def _listen(self, record: Record) -> None:
        if record.topic == FEATURES:
            self.frames.append(unpack(FeatureFrame, record.value))
        elif record.topic == EVIDENCE:
            self.evidence.append(unpack(EvidenceFrame, record.value))
        elif record.topic == ANOMALIES:
            self.told.append(((self.now - T0) / SECOND, decode(Anomaly, record.value)))

    def run(self, seconds: float) -> Fleet:
        """Let it live, until everything of these seconds has come; no stage fails. Returns a fleet that has lived so."""
        happens = min([seconds, *(x.begin for x in (*self.faults, *self.losses))])
        lived = self._usual(T0 + int(happens * SECOND) - self.tick_ns)
        longest = max([0.25, *self.delays.values()])
        lived._until(T0 + int((seconds + 1.2 * longest + 8) * SECOND))
        failed = {
            k: n for k, n in lived.pipeline.host.totals().items() if k[1] in {"dead_letters", "tick_errors"} and n
        }
        assert not failed, failed
        return lived

    def _usual(self, until_ns: int) -> Fleet:
        """This fleet after the time in which nothing happens. Fleets that differ only in what happens later live through it once (in
        one process)."""
        values = (
            (f.name, getattr(self, f.name)) for f in fields(self) if f.init and f.name not in {"faults", "losses"}
        )
        alike = tuple((name, tuple(sorted(v.items())) if isinstance(v, dict) else v) for name, v in values)
        earlier = _LIVED.setdefault((type(self), *alike), {})
        if until_ns not in earlier:
            nearest = max((at for at in earlier if at < until_ns), default=None)
            found = earlier[nearest]._as(self) if nearest is not None else replace(self, faults=(), losses=())
            found._until(until_ns)
            earlier[until_ns] = found
        return earlier[until_ns]._as(self)

    def _as(self, other: Fleet) -> Fleet:
        """A copy of this, to which happens what happens to the other."""
        known = {id(x): x for x in (*self.frames, *self.evidence)}  # what was told never changes
        found = copy.deepcopy(self, known)
        found.faults, found.losses = other.faults, other.losses
        return found

    def _until(self, until_ns: int) -> None:
        while self.now < until_ns:
            self._live((self.now - T0) / SECOND)
            self.now += self.tick_ns
            self._send()
            self.pipeline.tick(self.now)

    # --- life

    def _live(self, at: float) -> None:
        for service in self.services:
            n = self.rng.gauss(1.0, 0.05) * self.rate * self.tick_ns / SECOND / len(self.services)
            n *= 0.05 if self._fault(service, at) == "drop" else 1.0
            for _ in range(int(n + self.rng.random())):
                self._request(service, self.now + self.rng.randrange(self.tick_ns))
        for service in ("gateway", *self.services):
            second = int(at)
            if self._fault(service, at) != "crash" and at - second < 0.1 and second % self.metrics_every_s == 0:
                self._keep(service, "metrics", Sent(self.now))

    def _request(self, service: str, at: int) -> None:
        kind = self._fault(service, (at - T0) / SECOND)
        trace, (root, call, span) = self._id(), (self._id(), self._id(), self._id())
        took = int(self.rng.lognormvariate(0.0, 0.25) * 8 * MS)
        took, failed = took * 10 if kind == "slow" else took, kind == "crash" or self.rng.random() < 0.002
        failed |= kind == "errors" and self.rng.random() < 0.5
        if kind == "crash":
            took = MS
        if kind == "hang":
            took, failed = SECOND, False
        end = at + took
        if kind not in {"crash", "hang"}:
            self._keep(service, "spans", Sent(end, trace, span, call, SERVER, "GET /", took, failed))
            self._keep(service, "logs", Sent(end, error=failed))
        self._keep(
            "gateway", "spans", Sent(end + MS, trace, call, root, CLIENT, f"GET {service}", took + 2 * MS, failed)
        )
        self._keep("gateway", "spans", Sent(end + 2 * MS, trace, root, 0, SERVER, "GET /", took + 4 * MS, failed))

    def _fault(self, service: str, at: float) -> str:
        return next((f.kind for f in self.faults if f.service == service and f.begin <= at < f.end), "")

    def _id(self) -> int:
        return self.rng.getrandbits(63) | 1

    def _keep(self, service: str, signal: str, sent: Sent) -> None:
        if signal == "spans" and sent.kind == SERVER:
            key = service, (sent.at - T0) // SECOND
            self.served[key] = self.served.get(key, 0) + 1
        self.held.setdefault((service, signal), []).append(sent)

    # --- telemetry

    def _send(self) -> None:
        """What is due of a signal goes to a partition in one message, as a Collector sends it, whoever it is of."""
        messages: dict[tuple[str, int], TracesData | LogsData | MetricsData] = {}
        for (service, signal), held in sorted(self.held.items()):
            batch = int(self.delays.get((service, signal), 0.25) * SECOND)
            if (self.now - T0) // batch == (self.now - self.tick_ns - T0) // batch:
                continue
            ready = [s for s in held if s.at <= self.now]
            self.held[service, signal] = [s for s in held if s.at > self.now]
            at = (self.now - T0) / SECOND
            lost = [x for x in self.losses if service in x.services and signal in x.signals]
            if ready and not any(x.begin <= at < x.end for x in lost):
                to = signal, self.rng.randrange(PARTITIONS)
                self._write(messages.setdefault(to, MESSAGES[signal]()), service, signal, ready)
        for (signal, partition), message in messages.items():
            self.pipeline.feed(SIGNALS[signal], message.SerializeToString(), self.now, partition=partition)

    def _write(
        self, message: TracesData | LogsData | MetricsData, service: str, signal: str, batch: list[Sent]
    ) -> None:
        entry = getattr(message, f"resource_{signal}").add()
        about = {
            "service.name": service,
            "deployment.environment.name": "prod",
            "host.name": self.nodes.get(service, ""),
        }
        for key, value in about.items():
            if value:
                entry.resource.attributes.add(key=key).value.string_value = value
        scope = getattr(entry, f"scope_{signal}").add()
        for sent in batch:
            {"spans": _span, "logs": _record, "metrics": _reading}[signal](scope, sent)

    # --- what was told

    def rows(self, signal: str = "spans") -> Iterable[tuple[str, int, Presence, int]]:
        """First rows: service, second, what it is, events."""
        for frame in self.frames:
            if frame.signal == signal and frame.revision == 0:
                said = frame.presence if len(frame.presence) else [Presence.OBSERVED] * len(frame.services)
                for i, service in enumerate(frame.services):
                    yield service, (frame.window_ns - T0) // SECOND, Presence(int(said[i])), int(frame.counts[i])

    def invented(self) -> list[tuple[str, int]]:
        """Rows that say that nothing was served in a second in which something was."""
        return [(s, w) for s, w, what, _ in self.rows() if what is Presence.QUIET and self.served.get((s, w))]

    def anomalies(self, wanted: Callable[[Anomaly], bool] = lambda _: True) -> list[tuple[float, Anomaly]]:
        """Openings of anomalies, with when they were told."""
        return [(at, a) for at, a in self.told if a.phase == "opened" and wanted(a)]

    def state(self, service: str, second: int) -> str:
        """What was said of a service's state with its row of a second."""
        for frame in self.evidence:
            if frame.signal == "spans" and frame.window_ns == T0 + second * SECOND and service in frame.services:
                return frame.state[frame.services.index(service)]
        return ""


_LIVED: dict[tuple[object, ...], dict[int, Fleet]] = {}
"""Fleets to which nothing has happened yet, by what they are and how long they have lived."""


def _span(scope, sent: Sent) -> None:
    out = scope.spans.add()
    out.trace_id, out.span_id = (7).to_bytes(8, "big") + sent.trace.to_bytes(8, "big"), sent.span.to_bytes(8, "big")
    out.parent_span_id = sent.parent.to_bytes(8, "big") if sent.parent else b""
    out.kind, out.name = sent.kind, sent.name
    out.start_time_unix_nano, out.end_time_unix_nano = sent.at - sent.took, sent.at
    out.status.code = 2 if sent.error else 0


def _record(scope, sent: Sent) -> None:
    out = scope.log_records.add()
    out.time_unix_nano, out.severity_number = sent.at, 17 if sent.error else 9
    out.body.string_value = "could not serve" if sent.error else "served a request"


def _reading(scope, sent: Sent) -> None:
    out = scope.metrics.add()
    out.name, out.unit = "k8s.container.cpu.limit_utilization", "1"
    point = out.gauge.data_points.add()
    point.time_unix_nano, point.as_double = sent.at, 0.3
