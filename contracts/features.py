"""The vocabulary of features: what is measured per service and per edge, in which unit, and from which signal.

A feature is a number per service (or edge) and event-time window. Feature names are columns of the frames, labels of the
metrics, keys of playbook `verify` blocks and words in explanations: one name everywhere.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Signal(enum.StrEnum):
    """Which kind of telemetry a feature was computed from. Windows close per signal."""

    SPANS = "spans"
    METRICS = "metrics"
    LOGS = "logs"
    EDGES = "edges"


class FeatureKind(enum.StrEnum):
    """The statistical type of a feature: decides its transform and its noise model."""

    LATENCY = "latency"  # positive, heavy-tailed, seconds
    RATIO = "ratio"  # errors of requests: binomial with the request count
    COUNT = "count"  # events per second: over-dispersed Poisson
    UTILIZATION = "utilization"  # 0..1 of a limit (may exceed 1)
    LEVEL = "level"  # any non-negative level: bytes, queue length, cores


@dataclass(frozen=True, slots=True)
class Feature:
    """One column. `worse` is the direction that hurts: +1 higher, -1 lower, 0 either."""

    name: str
    signal: Signal
    kind: FeatureKind
    unit: str
    worse: int
    text: str


REQUEST_RATE: Final = "request_rate"
ERROR_RATE: Final = "error_rate"
LATENCY_P50: Final = "latency_p50"
LATENCY_P95: Final = "latency_p95"
LATENCY_P99: Final = "latency_p99"
CPU: Final = "cpu_utilization"
MEMORY: Final = "memory_utilization"
CPU_CORES: Final = "cpu_cores"
MEMORY_BYTES: Final = "memory_bytes"
RESTARTS: Final = "restarts"
QUEUE_LAG: Final = "queue_lag"
POOL_WAIT: Final = "pool_wait"
NETWORK_IO: Final = "network_io"
METRIC_REQUEST_RATE: Final = "metric_request_rate"
METRIC_ERROR_RATE: Final = "metric_error_rate"
METRIC_LATENCY_P50: Final = "metric_latency_p50"
METRIC_LATENCY_P95: Final = "metric_latency_p95"
METRIC_LATENCY_P99: Final = "metric_latency_p99"
POOL_USED: Final = "pool_used"
IN_FLIGHT: Final = "in_flight"
LOG_RATE: Final = "log_rate"
LOG_ERROR_RATE: Final = "log_error_rate"
NEW_LOG_TEMPLATES: Final = "new_log_templates"
CALL_RATE: Final = "call_rate"
CALL_ERROR_RATE: Final = "call_error_rate"
CALL_LATENCY_P95: Final = "call_latency_p95"
NETWORK_GAP: Final = "network_gap"

_S, _K = Signal, FeatureKind

FEATURES: Final[dict[str, Feature]] = {
    f.name: f
    for f in (
        Feature(REQUEST_RATE, _S.SPANS, _K.COUNT, "1/s", 0, "requests served per second"),
        Feature(ERROR_RATE, _S.SPANS, _K.RATIO, "1", 1, "share of served requests that failed"),
        Feature(LATENCY_P50, _S.SPANS, _K.LATENCY, "s", 1, "median time to serve a request"),
        Feature(LATENCY_P95, _S.SPANS, _K.LATENCY, "s", 1, "95th percentile of the time to serve a request"),
        Feature(LATENCY_P99, _S.SPANS, _K.LATENCY, "s", 1, "99th percentile of the time to serve a request"),
        Feature(CPU, _S.METRICS, _K.UTILIZATION, "1", 1, "CPU used, as a share of the limit"),
        Feature(MEMORY, _S.METRICS, _K.UTILIZATION, "1", 1, "memory used, as a share of the limit"),
        Feature(CPU_CORES, _S.METRICS, _K.LEVEL, "{cpu}", 1, "CPU cores used"),
        Feature(MEMORY_BYTES, _S.METRICS, _K.LEVEL, "By", 1, "memory used"),
        Feature(RESTARTS, _S.METRICS, _K.COUNT, "1/s", 1, "container restarts per second"),
        Feature(QUEUE_LAG, _S.METRICS, _K.LEVEL, "{message}", 1, "messages waiting to be consumed"),
        Feature(POOL_WAIT, _S.METRICS, _K.LEVEL, "{request}", 1, "requests waiting for a pooled connection"),
        Feature(NETWORK_IO, _S.METRICS, _K.LEVEL, "By", 0, "network bytes per observation"),
        Feature(METRIC_REQUEST_RATE, _S.METRICS, _K.COUNT, "1/s", 0, "requests per second, from metrics"),
        Feature(METRIC_ERROR_RATE, _S.METRICS, _K.RATIO, "1", 1, "share of requests that failed, from metrics"),
        Feature(METRIC_LATENCY_P50, _S.METRICS, _K.LATENCY, "s", 1, "median latency, from metric histograms"),
        Feature(METRIC_LATENCY_P95, _S.METRICS, _K.LATENCY, "s", 1, "95th percentile latency, from metric histograms"),
        Feature(METRIC_LATENCY_P99, _S.METRICS, _K.LATENCY, "s", 1, "99th percentile latency, from metric histograms"),
        Feature(POOL_USED, _S.METRICS, _K.LEVEL, "{connection}", 1, "connections of a pool in use"),
        Feature(
            IN_FLIGHT, _S.METRICS, _K.LEVEL, "{request}", 1, "requests that an instance has taken and not yet answered"
        ),
        Feature(LOG_RATE, _S.LOGS, _K.COUNT, "1/s", 0, "log records per second"),
        Feature(LOG_ERROR_RATE, _S.LOGS, _K.RATIO, "1", 1, "share of log records at severity ERROR or above"),
        Feature(NEW_LOG_TEMPLATES, _S.LOGS, _K.COUNT, "1/s", 1, "log templates never seen before, per second"),
        Feature(CALL_RATE, _S.EDGES, _K.COUNT, "1/s", 0, "calls per second along an edge"),
        Feature(CALL_ERROR_RATE, _S.EDGES, _K.RATIO, "1", 1, "share of calls along an edge that failed"),
        Feature(CALL_LATENCY_P95, _S.EDGES, _K.LATENCY, "s", 1, "95th percentile of a call's time seen by the caller"),
        Feature(NETWORK_GAP, _S.EDGES, _K.LATENCY, "s", 1, "mean time of a call spent between caller and callee"),
    )
}

BY_SIGNAL: Final[dict[Signal, tuple[str, ...]]] = {
    s: tuple(f.name for f in FEATURES.values() if f.signal is s) for s in Signal
}
"""Column order of a frame of each signal."""

_ALSO: Final = (
    (REQUEST_RATE, METRIC_REQUEST_RATE),
    (ERROR_RATE, METRIC_ERROR_RATE),
    (LATENCY_P50, METRIC_LATENCY_P50),
    (LATENCY_P95, METRIC_LATENCY_P95),
    (LATENCY_P99, METRIC_LATENCY_P99),
    (MEMORY_BYTES, MEMORY),
    (CPU, CPU_CORES),
)
OTHERWISE: Final[dict[str, str]] = {a: b for pair in _ALSO for a, b in (pair, pair[::-1])}
"""What tells the same of a service that does not tell of a feature: metrics of requests where there are no spans, a share of the limit
where there are no bytes, and the other way round."""

KNOWN, LEVEL, PACE, ASKED, DUE, DUE_FAILED, BLAMED = "known", "level", "pace", "asked", "due", "due_failed", "blamed"
ASIDE: Final[dict[Signal, tuple[str, ...]]] = {
    Signal.SPANS: (KNOWN, LEVEL, PACE),
    Signal.EDGES: (ASKED, DUE, DUE_FAILED, BLAMED),
}
"""Sums beside a frame's features, that explain and are not judged themselves. Of spans: requests of known routes, the logarithms of
their routes' usual times, and by how many standard deviations they took longer than those (see `streams.windows.routes`): what a
change in what is asked for does, and what the service does. Of edges: calls that the caller's client spans say it made, answered or not; calls of which it has no client span that the requests it
served usually make, by their routes, and those that the requests which failed do; and the requests of the caller that failed, and a call to
the callee in them, too (see `streams.windows.failed_calls`)."""

OPERATIONS: Final = "operations"
"""Not a signal of services: frames of it hold sums by operation of a service (its route, method, topic or kind of statement), in `peers`."""
OPERATION_SUMS: Final = ("requests", "failed", "known", "usual", "pace", "taken")
"""Columns of such a frame: requests, those that failed, those of known latency, and of these the sums of the usual logarithm of
nanoseconds, of how far they were from it in standard deviations, and of the logarithm of nanoseconds that they took."""

COUNT_OF: Final[dict[Signal, str]] = {
    Signal.SPANS: REQUEST_RATE,
    Signal.METRICS: METRIC_REQUEST_RATE,
    Signal.LOGS: LOG_RATE,
    Signal.EDGES: CALL_RATE,
}
"""The column that holds the number of trials behind a signal's ratios and percentiles."""

TRAFFIC: Final = frozenset(COUNT_OF[s] for s in Signal if s is not Signal.LOGS)
"""The features that count work asked for: requests and calls, of whatever signal."""
