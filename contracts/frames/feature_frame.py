"""Frames that travel between stages: partial aggregates, spans on their way to be joined, features, evidence.

All times are epoch nanoseconds; a window is named by its start. Every sum is an integer, so merging is exact in any order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from contracts.frames.decoded import B1, F64, I8, I32, I64, U64


@dataclass(frozen=True, slots=True)
class PartialFrame:
    """Mergeable aggregates of one environment and signal, from one source partition, for one partition of services.

    `source` (`topic/partition`) and `sequence` (grows with each frame of a source and target) make redelivery harmless.
    `watermark_ns` is the source's event time so far; 0 if it has no say in when windows close. Rows are sorted by (window, service). Only the columns of the
    frame's signal are filled; others are empty arrays.

    spans  window, service, role, count, errors, duration_ns (sum), hist_* (durations); known, level, pace (sums over requests of
           known routes, see streams.windows.routes; empty in frames of before there were routes: 0)
    edges  the same, with `peer` the callee, gap_ns and gap_count
    calls  window, service (the caller), peer, role, count, errors: see streams.windows.calls
    instances  window (when the cluster was asked), service, role (an InstanceState), count: see streams.windows.instances
    logs   window, service, count, errors, and template_* rows
    metrics  point_* rows, and histo_* rows whose buckets are the hist_* rows that name them
    metric_calls  histo_* rows of calls, with `histo_peer` the callee
    """

    VERSION: ClassVar[int] = 6
    environment: str
    signal: str
    source: str
    sequence: int
    watermark_ns: int
    services: tuple[str, ...]
    versions: tuple[str, ...]
    """Latest service.version seen per entry of `services`; "" where unknown."""
    attributes: tuple[str, ...]
    """Identity attributes per entry of `services`, as a JSON object; "" where nothing new."""
    window_ns: I64
    service: I32
    peer: I32
    count: I64
    errors: I64
    duration_ns: I64
    gap_ns: I64
    gap_count: I64
    hist_row: I32
    hist_bucket: I32
    hist_count: I64
    point_service: I32
    point_feature: I32
    point_series: U64
    point_mode: I8
    point_start_ns: I64
    point_time_ns: I64
    point_value: F64
    histo_service: I32
    histo_series: U64
    histo_mode: I8
    histo_start_ns: I64
    histo_time_ns: I64
    histo_error: B1
    template_row: I32
    template_hash: U64
    template_count: I64
    template_text: tuple[str, ...]
    """Masked text per template row; "" where this source has sent it before. `template_count` is of the records that are no errors."""
    role: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    """Spans, per row: 0 requests served (SERVER, CONSUMER), 1 other root spans, which stand for the requests of a
    service that never serves any. Edges: 1 calls of who sends no spans, by their callees' alone. Calls: what is counted. Empty means
    all 0."""
    known: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    level: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    pace: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    unseen: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    unseen_errors: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    """Spans and edges, per row: how many the sampled ones stand for besides themselves, and failed ones of those, in thousandths.
    Empty means all 0."""
    histo_rank: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    """See `contracts.frames.decoded.HistogramBatch`; empty means all 0."""
    histo_peer: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    heard: tuple[str, ...] = ()
    """Nodes (hosts) from which the source had something of the environment since it last said so."""
    placed: tuple[str, ...] = ()
    """Where services run, as `service TAB node`; what was not said before."""
    facts_of: tuple[str, ...] = ()
    """Services of which `facts` tells."""
    facts: I64 = field(default_factory=lambda: np.empty((0, 0), np.int64))
    """What was counted of the telemetry of `facts_of[i]` since it was last told: columns of streams.windows.facts."""
    told: tuple[str, ...] = ()
    """What can't be counted: `unread TAB service TAB metric`, `called TAB name`, `passed TAB caller TAB who passes it on TAB callee`; what was
    not said lately."""


@dataclass(frozen=True, slots=True)
class SpanFrame:
    """Spans on their way to the stage that joins callers with callees; one partition of trace ids.

    `clock[i]` is the entry of `clocks` by whose clock span i was timed, -1 where that clock is not in question; empty where
    none is. By `clock_shift_ns` its times were shifted; `clock_floor_ns` is its least delay of late.
    """

    VERSION: ClassVar[int] = 6
    environment: str
    source: str
    sequence: int
    watermark_ns: int
    services: tuple[str, ...]
    service: I32
    trace: U64
    span: U64
    parent: U64
    kind: I8
    start_ns: I64
    end_ns: I64
    error: B1
    site: U64 = field(default_factory=lambda: np.empty(0, np.uint64))
    """Client spans: a hash of whom or what they say they call, which is where the same callees are reached from. Requests: one of
    their route. Else 0; empty means all 0."""
    stream: B1 = field(default_factory=lambda: np.empty(0, np.bool_))
    """Which last as long as their user likes: calls that are made, but neither counted nor timed. Empty means none."""
    untimed: B1 = field(default_factory=lambda: np.empty(0, np.bool_))
    """Whose durations are no latency: calls that are counted, and not timed. Empty means none."""
    weight: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    """How many spans each stands for, in thousandths. Empty means one."""
    clocks: tuple[str, ...] = ()
    clock: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    clock_shift_ns: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    clock_floor_ns: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    hosts: tuple[str, ...] = ()
    """Peers that client spans know by their address alone; the site of such a span is the hash of one of them."""
    peers: tuple[str, ...] = ()
    """Peers that client spans which failed name; their site is the hash of one of them, too."""


GLIMPSE: Final = -1
"""Revision of rows of a window that is not told yet."""


class Presence(enum.IntEnum):
    """What a row of a FeatureFrame is. Who is silent is decided by the sender of the frame and by nobody else."""

    OBSERVED = 0
    """Something arrived: the values are what was measured."""
    QUIET = 1
    """Nothing arrived though it would have: zero events is an observation (the count's column is 0, the others NaN)."""
    MISSING = 2
    """Nothing arrived, and whether anything happened is not known (telemetry lost, or late beyond what is waited for): all
    values are NaN and `counts` 0. It says nothing about the service, neither that it is well nor that it is not."""


class InstanceState(enum.IntEnum):
    """What a cluster says of the instances of a service (`role` of PartialFrames of the signal instances)."""

    UNSURE = 0
    """It says nothing: instances are being replaced, none is wanted, they are where it can't look, or nothing probes them."""
    READY = 1
    """At least one is ready, by its readiness probe."""
    GONE = 2
    """Some are wanted, and none is ready."""


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """Features of one environment, signal, window and partition: `values[i, j]` is feature j of row i.

    For `signal == "edges"` row i is the edge `services[i] -> peers[i]`; else `peers` is empty. NaN means not observed.
    `counts[i]` is the number of requests (records, calls) in the window. `presence[i]` is the row's Presence; an empty
    column (as in frames of version 1) means that every row was observed.

    A row is one series (service, or edge) in one window. Telemetry of different services is late by different times, so:

    - The rows of a window come split over any number of frames, in any grouping; a row is in the frame that is sent when its
      own delay has passed.
    - Windows come out of order between series: a frame of an older window may follow one of a newer window. The first
      rows (revision 0) of *one* series come in order of their windows, so its newest window is its clock; nobody else's is.
    - A row comes at most once per revision, and first with revision 0. `revision` > 0 corrects it, whole, at any later time:
      also a missing row, once it is known what happened.
    - Before that a busy row may come as a glimpse (revision `GLIMPSE`, at most twice): what has come so far of a window that
      is not told yet. How many there will be it can't say: columns of counts are NaN. Nothing is learnt from it.
    - A series' windows may have holes: a service that is not known yet or no more, time that was jumped over, metrics between
      their readings. A window without a row says nothing: no receiver may invent one, or take a hole for silence.
    - Silence is said in rows, quiet or missing, until the series is taken to be gone.
    """

    VERSION: ClassVar[int] = 5
    environment: str
    signal: str
    partition: int
    window_ns: int
    width_ns: int
    revision: int
    services: tuple[str, ...]
    peers: tuple[str, ...]
    versions: tuple[str, ...]
    attributes: tuple[str, ...]
    features: tuple[str, ...]
    values: F64
    counts: I64
    notes: tuple[str, ...]
    """For logs: per row the new templates' texts (newline separated); else empty."""
    presence: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    aside: F64 = field(default_factory=lambda: np.empty(0, np.float64))
    """What explains a row without being judged itself, (rows, columns of `contracts.features.ASIDE`); empty: nothing is known."""
    template_row: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    template_hash: U64 = field(default_factory=lambda: np.empty(0, np.uint64))
    template_count: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    template_text: tuple[str, ...] = ()
    """Logs: how often which templates came in row `template_row[k]`, those of errors left out and of many the most frequent; the text
    is "" where it was told lately."""

    @property
    def missing(self) -> B1:
        """Which rows are missing: nothing may be concluded from them."""
        return _missing(self.presence, len(self.services))

    @property
    def glimpse(self) -> bool:
        """Whether it tells of what has come so far of a window that is not told yet."""
        return self.revision < 0


@dataclass(frozen=True, slots=True)
class EvidenceFrame:
    """What detection makes of one FeatureFrame, for the stages that look at a whole environment.

    `values`, `score`, `low`, `high` are (rows, features): the observation, its evidence of being abnormal in decades
    (-log10 p, signed: positive where higher than expected) and the expected range. `state[i]` is the row's state (see
    `contracts.verdicts.ServiceState`), `p_value[i]` the row's joint p-value.
    """

    VERSION: ClassVar[int] = 4
    environment: str
    signal: str
    partition: int
    window_ns: int
    width_ns: int
    services: tuple[str, ...]
    peers: tuple[str, ...]
    versions: tuple[str, ...]
    attributes: tuple[str, ...]
    features: tuple[str, ...]
    values: F64
    counts: I64
    score: F64
    low: F64
    high: F64
    p_value: F64
    state: tuple[str, ...]
    notes: tuple[str, ...]
    presence: I8 = field(default_factory=lambda: np.empty(0, np.int8))
    """As in the FeatureFrame: a missing row's values, counts and p-value say nothing."""
    aside: F64 = field(default_factory=lambda: np.empty(0, np.float64))
    """As in the FeatureFrame."""
    template_row: I32 = field(default_factory=lambda: np.empty(0, np.int32))
    template_hash: U64 = field(default_factory=lambda: np.empty(0, np.uint64))
    template_count: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    template_text: tuple[str, ...] = ()
    """As in the FeatureFrame."""

    @property
    def missing(self) -> B1:
        """Which rows are missing: nothing may be concluded from them."""
        return _missing(self.presence, len(self.services))


def _missing(presence: I8, rows: int) -> B1:
    return np.asarray(presence == Presence.MISSING, np.bool_) if len(presence) else np.zeros(rows, np.bool_)


def empty_columns() -> dict[str, np.ndarray]:
    """Empty arrays for every array column of a PartialFrame; callers override those of their signal."""
    i64, i32 = np.empty(0, np.int64), np.empty(0, np.int32)
    return {
        **dict.fromkeys(("window_ns", "count", "errors", "duration_ns", "gap_ns", "gap_count", "hist_count"), i64),
        **dict.fromkeys(("point_start_ns", "point_time_ns", "template_count"), i64),
        **dict.fromkeys(("service", "peer", "hist_row", "hist_bucket", "point_service", "point_feature"), i32),
        "template_row": i32,
        "histo_service": i32,
        "histo_series": np.empty(0, np.uint64),
        "histo_mode": np.empty(0, np.int8),
        "histo_start_ns": i64,
        "histo_time_ns": i64,
        "histo_error": np.empty(0, np.bool_),
        "point_series": np.empty(0, np.uint64),
        "template_hash": np.empty(0, np.uint64),
        "point_mode": np.empty(0, np.int8),
        "point_value": np.empty(0, np.float64),
    }
