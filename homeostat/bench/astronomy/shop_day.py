"""The day as OTLP: moments over a day at each of which every source exports once, with the journeys that were made meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData, SeverityNumber
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from contracts.units import DAY, MILLISECOND, SECOND
from homeostat.bench.astronomy import receivers
from homeostat.bench.astronomy.instruments import AttributeValue, instruments
from homeostat.bench.astronomy.journeys import JOURNEYS, JourneySpan
from homeostat.bench.astronomy.library_instruments import LIBRARIES, OWN
from homeostat.bench.astronomy.runtime_instruments import RUNTIMES
from homeostat.bench.astronomy.shop_services import CONTAINERS, LOGS, NAMESPACE, SERVICES, resource_of

Attributes = Mapping[str, AttributeValue]
BEGIN_NS: Final = 1_759_795_200 * SECOND
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CUMULATIVE: Final = 2
_SPAN_BOUNDS_MS: Final = (2.0, 10.0, 50.0, 100.0, 250.0, 1000.0)
_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass(slots=True)
class ShopDay:
    """The messages of a day, and whom each span that calls says it calls. The same seed gives the same bytes."""

    seed: int = 1
    moments: int = 24
    users: int = 60
    """Journeys between two moments, about."""
    callees: dict[tuple[int, int], str] = field(default_factory=dict)
    """By the low half of the trace id and span id: the callee of spans of clients, producers and consumers."""
    _random: random.Random = field(init=False)
    _counted: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def messages(self) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time of receipt in ns, and bytes, in their order."""
        for moment in range(self.moments):
            at_ns = BEGIN_NS + moment * (DAY // self.moments)
            for topic, message in (*self._spans(at_ns), *self._metrics(at_ns), *self._logs(at_ns)):
                yield topic, at_ns + 2 * SECOND, message.SerializeToString()

    # ---------------------------------------------------------------------------------------------------------------- spans

    def _spans(self, at_ns: int) -> Iterator[tuple[str, TracesData]]:
        by_service: dict[str, TracesData] = {}
        total = sum(weight for weight, _ in JOURNEYS)
        for weight, journey in JOURNEYS:
            for _ in range(max(1, round(self.users * weight / total))):
                trace = self._random.getrandbits(128).to_bytes(16, "big")
                self._span(journey, trace, b"", at_ns - self._random.randrange(SECOND), by_service)
        yield from ((OTLP_SPANS, message) for _, message in sorted(by_service.items()))

    def _span(
        self, step: JourneySpan, trace: bytes, parent: bytes, start_ns: int, by_service: dict[str, TracesData]
    ) -> int:
        message = by_service.get(step.service)
        if message is None:
            message = by_service[step.service] = TracesData()
            fill(message.resource_spans.add().resource, resource_of(step.service))
            message.resource_spans[0].scope_spans.add().scope.name = step.scope or "app"
        span = message.resource_spans[0].scope_spans[0].spans.add(trace_id=trace, parent_span_id=parent, name=step.name)
        span.span_id, span.kind = self._random.getrandbits(64).to_bytes(8, "big"), Span.SpanKind.ValueType(step.kind)
        fill(span, step.attributes)
        end_ns = start_ns + MILLISECOND
        for below in step.below:
            end_ns = self._span(below, trace, span.span_id, end_ns, by_service) + MILLISECOND
        span.start_time_unix_nano, span.end_time_unix_nano = start_ns, end_ns
        if step.callee:
            self.callees[int.from_bytes(trace[8:], "big"), int.from_bytes(span.span_id, "big")] = step.callee
        return end_ns

    # -------------------------------------------------------------------------------------------------------------- metrics

    def _metrics(self, at_ns: int) -> Iterator[tuple[str, MetricsData]]:
        for service, what in SERVICES.items():
            scopes = [RUNTIMES[what.runtime]] if what.runtime else []
            scopes += [LIBRARIES[name] for name in what.libraries]
            scopes += [(service, OWN[service])] if service in OWN else []
            if scopes:
                yield OTLP_METRICS, self._message(resource_of(service), scopes, at_ns)
        yield OTLP_METRICS, self._of_spans(at_ns)
        contrib = receivers.CONTRIB + "receiver/"
        host: dict[str, AttributeValue] = {"host.name": "demo-host", "os.type": "linux"}
        yield OTLP_METRICS, self._message(host, [(contrib + s, t) for s, t in receivers.HOST.items()], at_ns)
        for name in receivers.PROCESSES:
            own = {
                **host,
                "process.pid": 100 + len(name),
                "process.executable.name": name,
                "process.command": f"/usr/bin/{name}",
            }
            scope = contrib + "hostmetricsreceiver/internal/scraper/processscraper"
            yield OTLP_METRICS, self._message(own, [(scope, receivers.PROCESS)], at_ns)
        for name in CONTAINERS:
            image = {"container.image.name": f"demo:{name}", "container.runtime": "docker"}
            of = {
                **host,
                "container.name": name,
                "container.id": f"{len(name):064x}",
                "container.hostname": name,
                **image,
            }
            yield OTLP_METRICS, self._message(of, [(contrib + "dockerstatsreceiver", receivers.CONTAINER)], at_ns)
        server = {"service.name": "postgresql", "service.instance.id": "postgresql", "postgresql.database.name": "otel"}
        yield (
            OTLP_METRICS,
            self._message({**host, **server}, [(contrib + "postgresqlreceiver", receivers.POSTGRESQL)], at_ns),
        )
        redis = [(contrib + "redisreceiver", receivers.REDIS)]
        yield (
            OTLP_METRICS,
            self._message({**host, "redis.version": "8.1", "server.address": "valkey-cart"}, redis, at_ns),
        )
        for scope, table in (
            ("kafkametrics", receivers.KAFKA),
            ("nginx", receivers.NGINX),
            ("httpcheck", receivers.PROBE),
        ):
            yield OTLP_METRICS, self._message(host, [(f"{contrib}{scope}receiver", table)], at_ns)
        itself: dict[str, AttributeValue] = {
            "service.name": "otelcol-contrib",
            "service.version": "0.135.0",
            "service.instance.id": "c1",
        }
        yield OTLP_METRICS, self._message(itself, list(receivers.COLLECTOR.items()), at_ns)

    def _message(self, resource: Attributes, scopes: list[tuple[str, str]], at_ns: int) -> MetricsData:
        message = MetricsData()
        entry = message.resource_metrics.add()
        fill(entry.resource, resource)
        for scope, table in scopes:
            metrics = entry.scope_metrics.add()
            metrics.scope.name = scope
            for instrument in instruments(table):
                found = metrics.metrics.add(name=instrument.name, unit=instrument.unit)
                for attributes in instrument.points:
                    self._point(
                        found, instrument.kind, attributes, at_ns, repr((sorted(resource.items()), instrument.name))
                    )
        return message

    def _point(self, metric: Any, kind: str, attributes: dict[str, AttributeValue], at_ns: int, of: str) -> None:
        times = {"time_unix_nano": at_ns, "start_time_unix_nano": BEGIN_NS - SECOND}
        if kind == "H":
            metric.histogram.aggregation_temporality = _CUMULATIVE
            scale = 1000.0 if metric.unit in ("ms", "By") else 1.0
            point = metric.histogram.data_points.add(**times, explicit_bounds=[b * scale for b in _BOUNDS])
            counts = [int(self._grown(f"{of} {sorted(attributes.items())} {i}")) for i in range(len(_BOUNDS) + 1)]
            point.bucket_counts.extend(counts)
            point.count, point.sum = sum(counts), 0.02 * scale * sum(counts)
        elif kind == "G":
            point = metric.gauge.data_points.add(**times, as_double=self._random.uniform(0.0, 1.0))
        else:
            metric.sum.aggregation_temporality, metric.sum.is_monotonic = _CUMULATIVE, kind == "C"
            value = self._grown(f"{of} {sorted(attributes.items())}") if kind == "C" else self._random.uniform(1.0, 1e6)
            point = metric.sum.data_points.add(**times, as_double=value)
        fill(point, attributes)

    def _grown(self, series: str) -> float:
        grown = self._counted[series] = self._counted.get(series, 0.0) + self._random.randrange(100)
        return grown

    def _of_spans(self, at_ns: int) -> MetricsData:
        """What the spanmetrics connector makes of the journeys' spans."""
        message = MetricsData()
        seen = {(s.service, s.kind, s.name): s for _, journey in JOURNEYS for s in journey.walk()}
        for service in sorted({name for name, _, _ in seen}):
            entry = message.resource_metrics.add()
            fill(entry.resource, resource_of(service))
            scope = entry.scope_metrics.add()
            scope.scope.name = "spanmetricsconnector"
            calls = scope.metrics.add(name="traces.span.metrics.calls")
            lasted = scope.metrics.add(name="traces.span.metrics.duration", unit="ms")
            for of, kind, name in (key for key in sorted(seen) if key[0] == service):
                said: dict[str, AttributeValue] = {
                    "service.name": of,
                    "span.name": name,
                    "span.kind": f"SPAN_KIND_{_KINDS[kind]}",
                }
                said["status.code"] = "STATUS_CODE_UNSET"
                self._point(calls, "C", said, at_ns, "calls")
                self._point(lasted, "H", said, at_ns, "lasted")
        return message

    # ----------------------------------------------------------------------------------------------------------------- logs

    def _logs(self, at_ns: int) -> Iterator[tuple[str, LogsData]]:
        for service, what in SERVICES.items():
            if not what.logs:
                continue
            message = LogsData()
            entry = message.resource_logs.add()
            fill(entry.resource, resource_of(service))
            scope = entry.scope_logs.add()
            scope.scope.name = what.logs
            for number, text, body in LOGS[what.logs]:
                record = scope.log_records.add(time_unix_nano=at_ns, observed_time_unix_nano=at_ns, severity_text=text)
                record.severity_number = SeverityNumber.ValueType(number)
                record.body.string_value = body.format(n=self._random.randrange(1000), userId="u1", productId="p1")
            yield OTLP_LOGS, message


def fill(owner: Any, attributes: Attributes) -> None:
    """Add attributes."""
    for key, value in attributes.items():
        said = owner.attributes.add(key=key).value
        if isinstance(value, bool):
            said.bool_value = value
        elif isinstance(value, int):
            said.int_value = value
        else:
            said.string_value = value


__all__ = ["BEGIN_NS", "NAMESPACE", "ShopDay"]
