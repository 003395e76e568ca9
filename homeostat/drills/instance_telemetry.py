"""How an instance tells of itself by the OpenTelemetry SDK: whatever its habits are, and nothing else."""

from __future__ import annotations

import resource as os_resource
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from contracts.ports import SystemClock
from homeostat.drills.system_plan import TellingHabits

SCOPE = "homeostat.drills"
LIMIT_BYTES = 512 * 2**20


class InstanceTelemetry:
    """Tells of one instance. `backlog`: how many messages wait, where it is a queue."""

    def __init__(
        self, habits: TellingHabits, identity: Mapping[str, str], backlog: Callable[[], int] | None = None
    ) -> None:
        self.habits = habits
        self._ends: list[Callable[[], Any]] = []
        resource = Resource.create(dict(identity))
        self.tracer = self._spans(resource)
        self._logger = self._logs(resource)
        self._served: Histogram | None = None
        self._called: Histogram | None = None
        if habits.metrics or habits.usage:
            self._metrics(resource, backlog)

    def served(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        if self._served is not None:
            self._served.record(seconds * (1000 if self.habits.old else 1), self.server(path, status))

    def called(self, host: str, path: str, status: int, seconds: float) -> None:
        """A call came back; status 0 if it did not."""
        if self._called is not None:
            attributes = self.client(host, path) | self.status(status)
            self._called.record(seconds * (1000 if self.habits.old else 1), attributes)

    def say(self, text: str, *, failed: bool) -> None:
        """A line of the log."""
        if self._logger is None:
            return
        severity = SeverityNumber.ERROR if failed else SeverityNumber.INFO
        number = severity if self.habits.logs == "number" else None
        word = "ERROR" if failed else "INFO"
        now = SystemClock().now_ns()
        self._logger.emit(
            LogRecord(timestamp=now, observed_timestamp=now, severity_text=word, severity_number=number, body=text)
        )

    def server(self, path: str, status: int) -> dict[str, str | int]:
        """Attributes of a request that came in."""
        if self.habits.old:
            return {"http.method": "GET", "http.route": path, "http.scheme": "http"} | self.status(status)
        return {"http.request.method": "GET", "http.route": path, "url.scheme": "http"} | self.status(status)

    def client(self, host: str, path: str, store: str = "") -> dict[str, str | int]:
        """Attributes of a call."""
        if store:
            name, peer = ("db.system", "net.peer.name") if self.habits.old else ("db.system.name", "server.address")
            return {name: store, peer: host, "db.operation.name": path.strip("/")}
        if self.habits.old:
            return {"http.method": "GET", "net.peer.name": host, "http.url": f"http://{host}{path}"}
        return {"http.request.method": "GET", "server.address": host, "url.full": f"http://{host}{path}"}

    def status(self, status: int) -> dict[str, str | int]:
        """The attribute of an answer; none for no answer."""
        if not status:
            return {} if self.habits.old else {"error.type": "timeout"}
        return {"http.status_code" if self.habits.old else "http.response.status_code": status}

    def close(self) -> None:
        """Send what is left."""
        for end in self._ends:
            end()

    def _spans(self, resource: Resource) -> trace.Tracer:
        if not self.habits.spans:
            return trace.NoOpTracerProvider().get_tracer(SCOPE)
        sampler = ParentBased(TraceIdRatioBased(self.habits.sample))
        spans = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(timeout=2)
        spans.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=self.habits.export_ms))
        self._ends.append(spans.shutdown)
        return spans.get_tracer(SCOPE)

    def _logs(self, resource: Resource) -> Any:
        if not self.habits.logs:
            return None
        logs = LoggerProvider(resource=resource, shutdown_on_exit=False)
        logs.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(timeout=2), schedule_delay_millis=self.habits.export_ms)
        )
        self._ends.append(logs.shutdown)
        return logs.get_logger(SCOPE)

    def _metrics(self, resource: Resource, backlog: Callable[[], int] | None) -> None:
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(timeout=2), export_interval_millis=self.habits.metrics_ms
        )
        meters = MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
        self._ends.append(lambda: meters.shutdown(timeout_millis=1000))
        meter = meters.get_meter(SCOPE)
        if self.habits.metrics:
            unit, word = ("ms", "") if self.habits.old else ("s", "request.")
            self._served = meter.create_histogram(f"http.server.{word}duration", unit=unit)
            self._called = meter.create_histogram(f"http.client.{word}duration", unit=unit)
        if backlog is not None:
            where = {"state": "ready", "rabbitmq.queue.name": "queue"}
            meter.create_observable_gauge("rabbitmq.message.current", [_observe(backlog, where)], unit="{message}")
        self._usage(meter)

    def _usage(self, meter: metrics.Meter) -> None:
        cores = _cores()
        match self.habits.usage:
            case "process":
                meter.create_observable_gauge("process.cpu.utilization", [_observe(cores)], unit="1")
                meter.create_observable_gauge("process.memory.usage", [_observe(_resident)], unit="By")
            case "container":
                meter.create_observable_gauge("k8s.container.cpu.limit_utilization", [_observe(cores)], unit="1")
                share = _observe(lambda: _resident() / LIMIT_BYTES)
                meter.create_observable_gauge("container.memory.utilization", [share], unit="1")
            case _:
                pass


def _cores() -> Callable[[], float]:
    """Share of a core that the process used since it was asked before."""
    last = [time.monotonic(), time.process_time()]

    def read() -> float:
        wall, used = time.monotonic(), time.process_time()
        share = (used - last[1]) / max(wall - last[0], 1e-3)
        last[:] = wall, used
        return min(1.0, share)

    return read


def _resident() -> int:
    """Bytes of memory in use."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os_resource.getpagesize()
    return os_resource.getrusage(os_resource.RUSAGE_SELF).ru_maxrss * 1024


def _observe(
    read: Callable[[], float], attributes: Mapping[str, str] | None = None
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(read(), attributes)]
