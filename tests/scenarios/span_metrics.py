"""What Collectors and Tempo make of a shop's spans: span metrics, and a service graph; and nothing else of it is sent."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    AGGREGATION_TEMPORALITY_DELTA,
    MetricsData,
)

from tests.scenarios.traffic import CLIENT, SERVER, T0, S

BOUNDS_MS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
"""The span metrics connector's default."""
BOUNDS_S = (0.002, 0.004, 0.006, 0.008, 0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.4, 2.0, 5.0, 10.0, 15.0)
KINDS = {SERVER: "SPAN_KIND_SERVER", CLIENT: "SPAN_KIND_CLIENT"}
Spans = list[tuple[int, str, dict[str, Any]]]
Key = tuple[tuple[str, str], ...]


class Counting:
    """Counts and durations by labels: all so far, or those since they were written last."""

    def __init__(self, bounds: tuple[float, ...], *, delta: bool = False) -> None:
        self.bounds, self.delta, self.began_ns = bounds, delta, T0
        self.calls: Counter[Key] = Counter()
        self.buckets: dict[Key, list[int]] = defaultdict(lambda: [0] * (len(bounds) + 1))

    def add(self, labels: dict[str, str], duration: float) -> None:
        """One request."""
        key = tuple(sorted(labels.items()))
        self.calls[key] += 1
        self.buckets[key][bisect_left(self.bounds, duration)] += 1

    def write(self, metrics: Any, histogram: tuple[str, str], counter: str, at_ns: int) -> None:
        """The metrics as they are now; a name that is "" is left out."""
        if histogram[0] and self.buckets:
            data = metrics.add(name=histogram[0], unit=histogram[1]).histogram
            data.aggregation_temporality = self._temporality
            for key, counts in sorted(self.buckets.items()):
                point = data.data_points.add(
                    start_time_unix_nano=self.began_ns, time_unix_nano=at_ns, count=sum(counts), bucket_counts=counts
                )
                point.explicit_bounds.extend(self.bounds)
                _labels(point, key)
        if counter and self.calls:
            sums = metrics.add(name=counter).sum
            sums.aggregation_temporality, sums.is_monotonic = self._temporality, True
            for key, count in sorted(self.calls.items()):
                point = sums.data_points.add(start_time_unix_nano=self.began_ns, time_unix_nano=at_ns, as_int=count)
                _labels(point, key)
        if self.delta:
            self.began_ns = at_ns
            self.calls.clear()
            self.buckets.clear()

    @property
    def _temporality(self) -> Any:
        return AGGREGATION_TEMPORALITY_DELTA if self.delta else AGGREGATION_TEMPORALITY_CUMULATIVE


def _labels(point: Any, key: Key) -> None:
    for name, text in key:
        value = point.attributes.add(key=name).value
        if text in ("true", "false"):
            value.bool_value = text == "true"
        else:
            value.string_value = text


def span_metrics(
    spans: Spans, every_s: int, *, histograms: bool = True, delta: bool = False, lag_s: int = 0
) -> Iterator[tuple[int, bytes]]:
    """Messages of the span metrics connector, one each `every_s`; it gets spans `lag_s` after they ended."""
    counting = Counting(tuple(float(b) for b in BOUNDS_MS), delta=delta)
    for at_ns, some in _steps(spans, every_s, lag_s):
        for _, service, span in some:
            status = "STATUS_CODE_ERROR" if "status" in span else "STATUS_CODE_UNSET"
            labels = {"service.name": service, "span.name": span["name"], "span.kind": KINDS[span["kind"]]}
            counting.add({**labels, "status.code": status}, _duration_ns(span) / 1e6)
        message = MetricsData()
        scope = message.resource_metrics.add().scope_metrics.add()
        scope.scope.name = "spanmetricsconnector"
        name = "traces.span.metrics.duration" if histograms else ""
        counting.write(scope.metrics, (name, "ms"), "traces.span.metrics.calls", at_ns)
        yield at_ns, message.SerializeToString()


def service_graph(
    spans: Spans, every_s: int, *, tempo: bool = False, histograms: bool = True
) -> Iterator[tuple[int, bytes]]:
    """Messages of the service graph connector, one each `every_s`; Tempo's have no label that says which calls failed."""
    clients, servers, failed = Counting(BOUNDS_S), Counting(BOUNDS_S), Counting(())
    sides = {s["spanId"]: (service, s) for _, service, s in spans}
    for at_ns, some in _steps(spans, every_s):
        for _, server, span in some:
            caller, call = sides.get(span.get("parentSpanId", ""), ("", {}))
            if span["kind"] != SERVER or not call:
                continue
            bad = "status" in span or "status" in call
            labels = {"client": caller, "server": server, "connection_type": ""}
            labels |= {} if tempo else {"failed": "true" if bad else "false"}
            clients.add(labels, _duration_ns(call) / 1e9)
            servers.add(labels, _duration_ns(span) / 1e9)
            if bad:
                failed.add(labels, 0.0)
        message = MetricsData()
        scope = message.resource_metrics.add().scope_metrics.add()
        scope.scope.name = "traces_service_graph"
        word = "_seconds" if tempo else ""
        unit = "" if tempo else "s"
        if histograms:
            clients.write(scope.metrics, (f"traces_service_graph_request_client{word}", unit), "", at_ns)
        server = f"traces_service_graph_request_server{word}" if histograms else ""
        servers.write(scope.metrics, (server, unit), "traces_service_graph_request_total", at_ns)
        failed.write(scope.metrics, ("", ""), "traces_service_graph_request_failed_total", at_ns)
        yield at_ns, message.SerializeToString()


def _steps(spans: Spans, every_s: int, lag_s: int = 0) -> Iterator[tuple[int, Spans]]:
    """The spans that came in each step, with its end."""
    last = max(end for end, _, _ in spans)
    at, taken = T0 + every_s * S, 0
    while at <= last:
        until = taken
        while until < len(spans) and spans[until][0] + lag_s * S <= at:
            until += 1
        yield at, spans[taken:until]
        at, taken = at + every_s * S, until


def _duration_ns(span: dict[str, Any]) -> int:
    return int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])
