"""The one table of topics: name, key, value type, partitioning, retention, compaction, writers and readers.

Every other mention of a topic (creation, routing, docs) is derived from `TOPICS`.

Two facts about keys shape the table. Collectors send nil keys, so the key of an ingress topic is never trusted; and the
stages from correlation on need a whole environment in view, so their topics are *partitioned by environment* although the
message key says which service, incident or run a message is about (`Partitioning.ENVIRONMENT`).
"""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass
from typing import Final


class Partitioning(enum.StrEnum):
    """How a message's partition is chosen."""

    FOREIGN = "foreign"  # written by others; their choice, not trusted
    SERVICE = "service"
    TRACE = "trace"
    ENVIRONMENT = "environment"
    KEY = "key"


class Retention(enum.StrEnum):
    """How long a topic keeps what was written."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    FOREVER = "forever"


RETENTION_MS: Final = {
    Retention.HOUR: 3_600_000,
    Retention.DAY: 86_400_000,
    Retention.WEEK: 7 * 86_400_000,
    Retention.FOREVER: -1,
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One row of the table."""

    name: str
    key: str
    value: str
    partitioning: Partitioning
    retention: Retention
    writers: str
    readers: str
    compacted: bool = False
    internal: bool = False

    @property
    def retention_ms(self) -> int:
        """Retention in milliseconds; -1 keeps everything."""
        return RETENTION_MS[self.retention]


OTLP_SPANS: Final = "otlp_spans"
OTLP_METRICS: Final = "otlp_metrics"
OTLP_LOGS: Final = "otlp_logs"
RAW: Final = "telemetry.raw"
PARTIALS: Final = "telemetry.partials"
SPANS: Final = "telemetry.spans"
FEATURES: Final = "telemetry.features"
EVIDENCE: Final = "telemetry.evidence"
ANOMALIES: Final = "telemetry.anomalies"
INCIDENTS: Final = "telemetry.incidents"
CHANGES: Final = "telemetry.changes"
SERIES: Final = "telemetry.series"
POINTS: Final = "telemetry.points"
CLOCKS: Final = "telemetry.clocks"
ADDRESSES: Final = "telemetry.addresses"
GAPS: Final = "telemetry.gaps"
STRICTNESS: Final = "telemetry.strictness"
TARGETS: Final = "autonomous.targets"
DECISIONS: Final = "autonomous.decisions"
APPROVALS: Final = "autonomous.approvals"
ACTIONS: Final = "autonomous.actions"
FEEDBACK: Final = "autonomous.feedback"
NODES: Final = "autonomous.nodes"
CONTROL: Final = "autonomous.control"
ADOPTIONS: Final = "autonomous.adoptions"
VERDICTS: Final = "autonomous.verdicts"
JOURNAL: Final = "autonomous.journal"
HANDLING: Final = "autonomous.handling"
DEADLETTER: Final = "telemetry.deadletter"
SNAPSHOTS: Final = "homeostat.snapshots"

_P, _R = Partitioning, Retention

TOPICS: Final[dict[str, Topic]] = {
    t.name: t
    for t in (
        Topic(OTLP_SPANS, "never trusted", "OTLP protobuf or JSON", _P.FOREIGN, _R.HOUR, "collectors", "ingest"),
        Topic(OTLP_METRICS, "never trusted", "OTLP protobuf or JSON", _P.FOREIGN, _R.HOUR, "collectors", "ingest"),
        Topic(OTLP_LOGS, "never trusted", "OTLP protobuf or JSON", _P.FOREIGN, _R.HOUR, "collectors", "ingest"),
        Topic(RAW, "service", "JSON measurement", _P.FOREIGN, _R.HOUR, "anyone", "ingest"),
        Topic(SERIES, "never trusted", "JSON points of general series", _P.FOREIGN, _R.HOUR, "anyone", "ingest"),
        Topic(POINTS, "environment", "SeriesFrame", _P.KEY, _R.HOUR, "ingest", "series", internal=True),
        Topic(
            PARTIALS,
            "environment",
            "PartialFrame",
            _P.SERVICE,
            _R.HOUR,
            "ingest, edges, the cluster watch",
            "features",
            internal=True,
        ),
        Topic(SPANS, "environment", "SpanFrame", _P.TRACE, _R.HOUR, "ingest", "edges", internal=True),
        Topic(FEATURES, "environment", "FeatureFrame", _P.SERVICE, _R.DAY, "features", "detect"),
        Topic(
            EVIDENCE,
            "environment",
            "EvidenceFrame",
            _P.ENVIRONMENT,
            _R.DAY,
            "detect",
            "diagnose, strictness, decide, act, the cluster watch",
            internal=True,
        ),
        Topic(ANOMALIES, "service", "Anomaly", _P.ENVIRONMENT, _R.WEEK, "features, detect, series", "diagnose, act"),
        Topic(INCIDENTS, "incident", "Incident", _P.ENVIRONMENT, _R.WEEK, "diagnose", "strictness, decide, act"),
        Topic(
            CHANGES,
            "service",
            "Change",
            _P.ENVIRONMENT,
            _R.WEEK,
            "act, the cluster watch, anyone",
            "detect, diagnose",
        ),
        Topic(
            ADDRESSES,
            "environment and part",
            "AddressFrame",
            _P.KEY,
            _R.FOREVER,
            "the cluster watch",
            "edges, features",
            compacted=True,
            internal=True,
        ),
        Topic(CLOCKS, "service", "ClockOffset", _P.KEY, _R.HOUR, "edges", "ingest"),
        Topic(
            GAPS,
            "environment and service",
            "TelemetryGaps",
            _P.ENVIRONMENT,
            _R.FOREVER,
            "features",
            "edges, diagnose, people",
            compacted=True,
        ),
        Topic(
            STRICTNESS,
            "environment",
            "Strictness",
            _P.ENVIRONMENT,
            _R.FOREVER,
            "strictness",
            "detect, act, people",
            compacted=True,
        ),
        Topic(TARGETS, "environment", "TargetReport", _P.ENVIRONMENT, _R.DAY, "act", "decide", internal=True),
        Topic(DECISIONS, "incident", "Decision", _P.ENVIRONMENT, _R.WEEK, "decide", "act"),
        Topic(APPROVALS, "decision", "Approval", _P.ENVIRONMENT, _R.WEEK, "people", "act"),
        Topic(ACTIONS, "run", "CloudEvents 1.0, binary mode", _P.ENVIRONMENT, _R.FOREVER, "act", "the world"),
        Topic(FEEDBACK, "run", "Feedback", _P.ENVIRONMENT, _R.WEEK, "act, people", "strictness, decide"),
        Topic(NODES, "node", "NodeStatus", _P.KEY, _R.FOREVER, "every process", "people", compacted=True),
        Topic(CONTROL, "scope", "Control", _P.KEY, _R.FOREVER, "people", "decide, act", compacted=True),
        Topic(ADOPTIONS, "environment and service", "Adoption", _P.KEY, _R.FOREVER, "people", "detect", compacted=True),
        Topic(
            VERDICTS,
            "environment and what it is about",
            "IncidentVerdict",
            _P.KEY,
            _R.FOREVER,
            "people",
            "strictness",
            compacted=True,
        ),
        Topic(
            JOURNAL,
            "record",
            "run, step, fact or audit record",
            _P.ENVIRONMENT,
            _R.FOREVER,
            "act",
            "act",
            compacted=True,
            internal=True,
        ),
        Topic(
            HANDLING, "stage instance", "Handling", _P.KEY, _R.DAY, "recorded stages", "homeostat replay", internal=True
        ),
        Topic(DEADLETTER, "source topic", "DeadLetter", _P.KEY, _R.WEEK, "every stage", "people"),
        Topic(
            SNAPSHOTS,
            "stage and partition",
            "stage state",
            _P.KEY,
            _R.FOREVER,
            "every stage",
            "every stage",
            compacted=True,
            internal=True,
        ),
    )
}

INGRESS: Final = (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS, RAW)


def own_topic(name: str) -> Topic:
    """The row of a topic of the user's own from which telemetry is read."""
    return Topic(
        name, "never trusted", "as the settings say", Partitioning.FOREIGN, Retention.HOUR, "collectors", "ingest"
    )


def partition_of(key: str, partitions: int) -> int:
    """Partition for `key`: CRC-32 modulo `partitions`; stable across processes and releases."""
    return zlib.crc32(key.encode()) % partitions
