"""The town of the scenarios once more, now instrumented: each service has an OpenTelemetry SDK of its own that exports to a Collector."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from contracts.units import MILLISECOND
from tests.scenarios.town import CALLS

REQUESTS_PER_S = 40
EXPORT_MS = 200
MS = MILLISECOND


class SdkTown:
    """Serves a request every 25 ms. Services in `broken` fail two requests of three, and so do their callers."""

    def __init__(self, otlp_grpc: str, seed: int = 11) -> None:
        """`otlp_grpc`: the Collector's `host:port`."""
        self.broken: set[str] = set()
        self.over = False
        self._rng = random.Random(seed)
        self._providers = {service: _provider(service, otlp_grpc) for service in CALLS}
        self._tracers = {service: p.get_tracer("town") for service, p in self._providers.items()}

    async def live(self) -> None:
        """Go on until it is over, then send what is left."""
        while not self.over:
            self._serve("gateway", Context(), time.time_ns() - 100 * MS)
            await asyncio.sleep(1 / REQUESTS_PER_S)
        for provider in self._providers.values():
            await asyncio.to_thread(provider.shutdown)

    def _serve(self, service: str, parent: Context, start: int) -> tuple[int, bool]:
        """One request that begins at `start`: when it ended, and whether it failed."""
        span = self._tracers[service].start_span("GET /", parent, SpanKind.SERVER, start_time=start)
        failed = service in self.broken and self._rng.random() < 0.67
        now = start + int(self._rng.lognormvariate(0.0, 0.3) * 4 * MS)
        for callee in CALLS[service]:
            calling = set_span_in_context(span, parent)
            call = self._tracers[service].start_span(f"GET {callee}", calling, SpanKind.CLIENT, start_time=now + MS)
            served, bad = self._serve(callee, set_span_in_context(call, calling), now + 2 * MS)
            now, failed = served + MS, failed or bad
            call.set_status(StatusCode.ERROR if bad else StatusCode.UNSET)
            call.end(now)
        span.set_status(StatusCode.ERROR if failed else StatusCode.UNSET)
        span.end(now)
        return now, failed


def _provider(service: str, otlp_grpc: str) -> TracerProvider:
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://{otlp_grpc}", insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_MS))
    return provider


@asynccontextmanager
async def sdk_town(otlp_grpc: str) -> AsyncIterator[SdkTown]:
    """A town that lives while the block runs."""
    found = SdkTown(otlp_grpc)
    living = asyncio.create_task(found.live(), name="sdk-town")
    try:
        yield found
    finally:
        found.over = True
        await living
