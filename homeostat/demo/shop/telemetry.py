"""OpenTelemetry in a shop service: spans and metrics by the SDK, exported over OTLP/HTTP at a pace fit for fast detection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from homeostat.demo.shop.blueprint import NAMESPACE

EXPORT_MS = 200


class Usage:
    """How much of an instance's capacity is in use: its simulated CPU, and a simulated memory limit."""

    def __init__(self, workers: int) -> None:
        self._workers, self._busy_s, self._since = workers, 0.0, time.monotonic()
        self.memory = 0.31

    def worked(self, seconds: float) -> None:
        """Note that a worker was busy."""
        self._busy_s += seconds

    def cpu(self) -> float:
        """Share of the workers' time in use since the last call."""
        now = time.monotonic()
        busy, span = self._busy_s, max(now - self._since, 1e-3)
        self._busy_s, self._since = 0.0, now
        return min(1.0, busy / span / self._workers)


def setup(service: str, version: str, instance: str, usage: Usage) -> Callable[[], None]:
    """Start exporting; a function that flushes and ends it. The address is OTEL_EXPORTER_OTLP_ENDPOINT, as everywhere."""
    resource = Resource.create(
        {
            "service.namespace": NAMESPACE,
            "service.name": service,
            "service.version": version,
            "service.instance.id": instance,
        }
    )
    spans = TracerProvider(resource=resource, shutdown_on_exit=False)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=2), schedule_delay_millis=EXPORT_MS))
    trace.set_tracer_provider(spans)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=2), export_interval_millis=1000)
    meters = MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
    metrics.set_meter_provider(meters)
    meter = metrics.get_meter("homeostat.demo.shop")
    meter.create_observable_gauge("k8s.container.cpu.limit_utilization", [_observe(usage.cpu)], unit="1")
    meter.create_observable_gauge("container.memory.utilization", [_observe(lambda: usage.memory)], unit="1")

    def end() -> None:
        spans.shutdown()
        meters.shutdown(timeout_millis=1000)

    return end


def _observe(read: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(read())]
