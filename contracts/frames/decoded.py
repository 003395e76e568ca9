"""Decoded telemetry, columnar: what a decoder makes of one message. One array per attribute, strings interned.

A decoder is a pure function `bytes -> Decoded`; it may be replaced by a compiled one behind the same signature.
`resource` columns index into `Decoded.resources`; string columns index into `Decoded.strings` (entry 0 is always "").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts.frames.series_point import SeriesPoint

I8: TypeAlias = NDArray[np.int8]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
F64: TypeAlias = NDArray[np.float64]
B1: TypeAlias = NDArray[np.bool_]

KIND_INTERNAL, KIND_SERVER, KIND_CLIENT, KIND_PRODUCER, KIND_CONSUMER = 1, 2, 3, 4, 5
PROXY_PASSED, PROXY_ANSWERED = 1, 2


@dataclass(frozen=True, slots=True)
class Resource:
    """Who sent it. `service` is `namespace/name` or `name`, never an address; `attributes` are sorted pairs that identify
    the workload (k8s.*, service.version, service.instance.id, container.id, host.name)."""

    environment: str
    service: str
    version: str = ""
    instance: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """n spans. Times are epoch nanoseconds; ids are 64-bit (`trace` is the low half of the trace id)."""

    resource: I32
    trace: U64
    span: U64
    parent: U64
    kind: I8
    start_ns: I64
    end_ns: I64
    error: B1
    name: I32
    peer: I32
    """Uninstrumented callee named by attributes, as `db:postgresql/orders`, `messaging:kafka/orders` or
    `external:api.bank.example`; 0 where none."""
    stream: B1 = field(default_factory=lambda: np.empty(0, np.bool_))
    """Which last as long as their user likes (web sockets, event streams, long polls). Empty means none."""
    by_address: B1 = field(default_factory=lambda: np.empty(0, np.bool_))
    """Whose peer is known by its address alone: it may be a service that sends spans itself. Empty means none."""
    untimed: B1 = field(default_factory=lambda: np.empty(0, np.bool_))
    """Requests whose duration is no latency (waits for work, batches, timetables, large bodies). Empty means none."""
    weight: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    """How many spans each stands for, in thousandths, where sampling is declared; 0 where nothing is said, -1 where nothing but that
    its trace id is random. Empty means all 0."""
    proxy: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    """Which are those of a mesh's proxy (else 0): `PROXY_PASSED`, passed on to the application, or for it: the application may tell of the
    same; `PROXY_ANSWERED`, answered by the proxy itself. Empty means none."""
    statement: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    """What calls ask of databases, as `SELECT orders`, and 0 where that isn't said. Empty means none."""

    def __len__(self) -> int:
        return len(self.span)


@dataclass(frozen=True, slots=True)
class PointBatch:
    """n metric points already mapped onto features (points of unmapped metrics are counted in `Decoded.skipped`).

    `mode`: 0 gauge (value as is), 1 cumulative counter, 2 delta counter; both counters become rates per second later.
    `series` is a hash of metric, resource and attributes: one counter, one series; it also says which view of a fact it is (`views`).
    `feature` indexes `contracts.features.BY_SIGNAL[Signal.METRICS]`.
    """

    resource: I32
    feature: I32
    series: U64
    mode: I8
    start_ns: I64
    time_ns: I64
    value: F64

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class HistogramBatch:
    """n histogram, exponential-histogram or summary points of request durations, re-bucketed on the latency grid.

    Row i owns `bucket[offset[i]:offset[i + 1]]` and the same slice of `count`. `error` marks points of failed requests.
    Bucket `UNPLACED` holds requests of which no duration is known, `FAILED_ONLY` those that failed and are counted in another row. `mode`: 1 cumulative, 2 delta, 3 shaped: the total is cumulative,
    and how it is spread over buckets is how the latest requests were (a summary's quantiles). What lies in buckets that are too wide to tell is
    held apart (`contracts.frames.latency`: `WIDE` and below, with `SUM_US` and `UNBOUNDED`).
    """

    resource: I32
    series: U64
    mode: I8
    start_ns: I64
    time_ns: I64
    error: B1
    offset: I32
    bucket: I32
    count: I64
    rank: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    """Of rows that count the same requests (a service's own metrics, a mesh's, those made of spans) those of the lowest rank count;
    FAILED_ONLY goes with its pair of ranks (0 and 1, 2 and 3, …). Empty means all 0."""
    peer: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    """Of calls: the callee (an index into strings), `resource` being the caller's. Empty where rows are of no calls."""

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class LogBatch:
    """n log records. `template` is a 64-bit hash of the body with its variable parts masked."""

    resource: I32
    time_ns: I64
    severity: I8
    template: U64
    body: I32
    """The masked body (index into strings), so that a new template can be shown."""
    trace: U64
    span: U64

    def __len__(self) -> int:
        return len(self.template)


@dataclass(frozen=True, slots=True)
class Decoded:
    """All that one message held. `calls` are requests that metrics tell of by caller and callee. `skipped` counts what was readable but
    is not used, by reason; `added` are points that went into the row of another (the parts of one level), or into `calls` alone."""

    VERSION: ClassVar[int] = 1
    strings: tuple[str, ...] = ("",)
    resources: tuple[Resource, ...] = ()
    spans: SpanBatch | None = None
    linked: SpanBatch | None = None
    """Links of spans to who called them, each as a child span of that one, in its trace: to be joined, and no requests."""
    points: PointBatch | None = None
    histograms: HistogramBatch | None = None
    logs: LogBatch | None = None
    calls: HistogramBatch | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    added: int = 0
    unread: tuple[tuple[Resource, str, int], ...] = ()
    """Metrics that nobody has told of, or whose unit is none of what they measure: who sends them, name, points."""
    series: tuple[SeriesPoint, ...] = ()
    """Points of metrics that are general series by the settings, beside what else they are."""

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing at all in it: no record, and none that was left out."""
        return not self.skipped and all(
            b is None for b in (self.spans, self.points, self.histograms, self.logs, self.calls)
        )
