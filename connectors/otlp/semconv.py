"""Semantic conventions, old names and new: what attributes and metrics are called, and which feature they mean.

https://opentelemetry.io/docs/specs/semconv/ and its migration guides; metric names also from the Collector's receivers.
The table of metrics is data: `decode(..., metrics={**METRICS, "my.pool.waiters": MetricRule("pool_wait")})` extends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from connectors.otlp.values import Plain, number_of, text_of
from contracts import features as f
from contracts.secrets import masked_name

HTTP_STATUS: Final = ("http.response.status_code", "http.status_code")
GRPC_STATUS: Final = ("rpc.response.status_code", "rpc.grpc.status_code")
SPAN_KIND: Final = "span.kind"
STATUS_CODE: Final = ("status.code", "otel.status_code", "status_code")

HTTP_STATUS_KEYS: Final = frozenset(HTTP_STATUS)

# gRPC codes that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
_GRPC_SERVER_ERRORS: Final = {
    *("2", "4", "12", "13", "14", "15"),
    *("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
}
_SERVED_KINDS: Final = {"SERVER", "CONSUMER"}


def is_server_error(attributes: Mapping[str, Plain]) -> bool:
    """Whether the attributes of a metric point say that a request failed through the server's fault."""
    code = number_of(_value(attributes, HTTP_STATUS))
    if code is not None:
        return code >= 500
    grpc = _value(attributes, GRPC_STATUS)
    if grpc is not None:
        return text_of(grpc).upper() in _GRPC_SERVER_ERRORS
    if _text(attributes, STATUS_CODE).upper() in ("STATUS_CODE_ERROR", "ERROR"):
        return True
    return bool(_text(attributes, ("error.type",)))


def is_served(attributes: Mapping[str, Plain], required: bool) -> bool:
    """Whether a duration is of work this service served. Metrics made from spans carry the span's kind; where it is
    missing, `required` says that the point cannot be judged."""
    kind = _text(attributes, (SPAN_KIND,)).upper().removeprefix("SPAN_KIND_")
    return kind in _SERVED_KINDS if kind else not required


def http_failed(attributes: Mapping[str, Plain]) -> bool:
    """Whether a span's HTTP status code is a server error."""
    return (number_of(_value(attributes, HTTP_STATUS)) or 0) >= 500


def _value(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> Plain:
    return next((attributes[k] for k in keys if attributes.get(k) not in (None, "")), None)


def _text(attributes: Mapping[str, Plain], keys: tuple[str, ...]) -> str:
    return masked_name(text_of(_value(attributes, keys)))


@dataclass(frozen=True, slots=True)
class MetricRule:
    """How the points of a metric become a feature.

    `kind`: a `level` (value as is), a `counter` (becomes a rate, even where it is sent as a gauge), or the `duration` of
    served requests (a histogram). A monotonic sum is a counter whatever the rule says. `unit` is what a metric without a
    unit is in. `only` keeps the points that have one of `states` under one of these keys; `complement` then takes
    1 − value (idle CPU). Points that differ only in the keys of `summed` are parts of one level and are added.
    """

    feature: str = ""
    kind: Literal["level", "counter", "duration"] = "level"
    unit: str = ""
    only: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    complement: bool = False
    summed: tuple[str, ...] = ()
    kind_required: bool = False


UNITS: Final[dict[str, float]] = {
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
    "min": 60.0,
    "h": 3600.0,
    "%": 0.01,
    "percent": 0.01,
    "kBy": 1e3,
    "MBy": 1e6,
    "GBy": 1e9,
    "KiBy": 1024.0,
    "MiBy": 1024.0**2,
    "GiBy": 1024.0**3,
    "m{cpu}": 1e-3,
    "mcpu": 1e-3,
}
"""Factor to the feature's unit (seconds, bytes, cores, 1); a unit that is not here has factor 1."""

_MODES: Final = ("cpu.mode", "state", "system.cpu.state", "process.cpu.state")
_MEMORY_STATES: Final = ("system.memory.state", "state")
_POOLS: Final = ("jvm.memory.pool.name", "jvm.memory.type", "pool", "type")
_DIRECTIONS: Final = ("network.io.direction", "direction", "interface", "network.interface.name", "device")


def _levels(feature: str, *names: str, summed: tuple[str, ...] = (), unit: str = "") -> dict[str, MetricRule]:
    return dict.fromkeys(names, MetricRule(feature, summed=summed, unit=unit))


def _counters(feature: str, *names: str, unit: str = "") -> dict[str, MetricRule]:
    return dict.fromkeys(names, MetricRule(feature, kind="counter", unit=unit))


def _durations(unit: str, *names: str, kind_required: bool = False) -> dict[str, MetricRule]:
    return dict.fromkeys(names, MetricRule(kind="duration", unit=unit, kind_required=kind_required))


METRICS: Final[dict[str, MetricRule]] = {
    **_levels(f.CPU, "k8s.container.cpu.limit.utilization", "k8s.container.cpu_limit_utilization"),
    **_levels(f.CPU, "k8s.pod.cpu.limit.utilization", "k8s.pod.cpu_limit_utilization", "container.cpu.utilization"),
    **_levels(f.CPU, "process.cpu.utilization", summed=_MODES),
    **_levels(f.CPU, "jvm.cpu.recent_utilization", "process.runtime.jvm.cpu.utilization"),
    "system.cpu.utilization": MetricRule(f.CPU, only=_MODES, states=("idle",), complement=True),
    **_levels(f.CPU_CORES, "container.cpu.usage", "k8s.pod.cpu.usage", "k8s.pod.cpu.utilization"),
    **_counters(f.CPU_CORES, "process.cpu.time", "container.cpu.time", "k8s.pod.cpu.time", "jvm.cpu.time", unit="s"),
    **_counters(f.CPU_CORES, "container.cpu.usage.total", unit="ns"),
    **_levels(f.MEMORY, "k8s.container.memory.limit.utilization", "k8s.container.memory_limit_utilization"),
    **_levels(f.MEMORY, "k8s.pod.memory.limit.utilization", "k8s.pod.memory_limit_utilization"),
    **_levels(f.MEMORY, "container.memory.utilization", "process.memory.utilization"),
    **_levels(f.MEMORY, "container.memory.percent", unit="%"),
    "system.memory.utilization": MetricRule(f.MEMORY, only=_MEMORY_STATES, states=("used",)),
    **_levels(f.MEMORY_BYTES, "container.memory.usage", "container.memory.usage.total", "k8s.pod.memory.usage"),
    **_levels(f.MEMORY_BYTES, "process.memory.usage", "process.memory.physical_usage"),
    **_levels(f.MEMORY_BYTES, "jvm.memory.used", "process.runtime.jvm.memory.usage", summed=_POOLS),
    "system.memory.usage": MetricRule(f.MEMORY_BYTES, only=_MEMORY_STATES, states=("used",)),
    **_counters(f.RESTARTS, "k8s.container.restarts", "k8s.container.restart.count", "container.restarts"),
    **_levels(f.QUEUE_LAG, "kafka.consumer_group.lag", "messaging.kafka.consumer.lag", "kafka.consumer.lag"),
    **_levels(f.QUEUE_LAG, "kafka.consumer.records_lag", "kafka.consumer.records-lag-max"),
    **_levels(f.QUEUE_LAG, "kafka.consumer.records_lag_max", "messaging.kafka.consumer_group.lag"),
    "rabbitmq.message.current": MetricRule(f.QUEUE_LAG, only=("state", "rabbitmq.message.state"), states=("ready",)),
    **_levels(f.POOL_WAIT, "db.client.connection.pending_requests", "db.client.connections.pending_requests"),
    **_levels(f.POOL_WAIT, "hikaricp.connections.pending", "hikaricp_connections_pending", "r2dbc.pool.pending"),
    **_levels(f.NETWORK_IO, "k8s.pod.network.io", "system.network.io", "container.network.io", summed=_DIRECTIONS),
    **_counters(f.NETWORK_IO, "container.network.io.usage.rx_bytes", "container.network.io.usage.tx_bytes"),
    **_durations("s", "http.server.request.duration", "rpc.server.call.duration", "messaging.process.duration"),
    **_durations("ms", "http.server.duration", "rpc.server.duration"),
    **_durations("s", "traces_spanmetrics_latency", kind_required=True),
    **_durations("ms", "traces.span.metrics.duration", "traces.spanmetrics.latency", kind_required=True),
    **_durations("ms", "duration", "latency", "calls.duration", kind_required=True),
}
"""Metric name -> rule. Where a service sends several metrics of one feature, each is its own series."""
