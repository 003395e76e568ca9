"""OTLP/JSON as typed structs, decoded leniently where encoders differ.

The quick path decodes straight into structs: 64-bit integers may be numbers or strings, unknown fields of a record are ignored,
attributes stay unread (`Raw`) until somebody needs them. Where that fails, where field names are in snake_case, or where a field is
unknown in which records may stand, the lenient path normalises the message, reads item by item, and leaves out and counts what
cannot be read.

Mapping: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (ids in hexadecimal, enums as integers) on top of
the proto3 JSON mapping (integers as strings, base64 bytes, original field names accepted, null means default).
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw, Struct, field

from connectors.otlp.values import MAX_DEPTH, Plain, short

U63 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
NOTHING: Final = Raw(b"")


class Value(Struct, rename="camel"):
    """AnyValue."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    bytes_value: str | None = None
    array_value: Values | None = None
    kvlist_value: Pairs | None = None


class Values(Struct):
    """ArrayValue."""

    values: list[Value] | None = None


class Pair(Struct):
    """KeyValue."""

    key: str = ""
    value: Value | None = None


class Pairs(Struct):
    """KeyValueList."""

    values: list[Pair] | None = None


class ResourceAttributes(Struct):
    """Resource."""

    attributes: list[Pair] | None = None


class ScopeJson(Struct):
    """InstrumentationScope."""

    name: str = ""


class StatusJson(Struct, rename="camel"):
    """Status of a span; what its code was until OTLP 0.6 counts where there is none."""

    code: int | str = 0
    deprecated_code: int | str | None = 0


class Span(Struct, rename="camel"):
    """Span; attributes, events and links unread."""

    trace_id: str = ""
    span_id: str = ""
    trace_state: str | None = None
    parent_span_id: str | None = None
    name: str = ""
    kind: int | str = 0
    start_time_unix_nano: U63 = 0
    end_time_unix_nano: U63 = 0
    attributes: Raw = NOTHING
    events: Raw = NOTHING
    links: Raw = NOTHING
    status: StatusJson | None = None
    flags: int | str = 0


class LinkJson(Struct, rename="camel"):
    """Link of a span."""

    trace_id: str | None = None
    span_id: str | None = None


class LogRecord(Struct, rename="camel"):
    """LogRecord; attributes unread."""

    time_unix_nano: U63 = 0
    observed_time_unix_nano: U63 = 0
    severity_number: int | str = 0
    severity_text: str | None = None
    body: Value | None = None
    attributes: Raw = NOTHING
    trace_id: str | None = None
    span_id: str | None = None


class Metric(Struct, rename="camel", forbid_unknown_fields=True):
    """Metric; its data stay unread until the name is known to map onto a feature."""

    name: str = ""
    unit: str = ""
    description: Raw = NOTHING
    metadata: Raw = NOTHING
    gauge: Raw = NOTHING
    sum: Raw = NOTHING
    histogram: Raw = NOTHING
    exponential_histogram: Raw = NOTHING
    summary: Raw = NOTHING


class NumberPoint(Struct, rename="camel"):
    """NumberDataPoint."""

    start_time_unix_nano: U63 = 0
    time_unix_nano: U63 = 0
    as_double: float | None = None
    as_int: int | None = None
    flags: int = 0
    attributes: list[Pair] | None = None


class HistogramPoint(Struct, rename="camel"):
    """HistogramDataPoint. Bounds may be texts: infinity has no number in JSON."""

    start_time_unix_nano: U63 = 0
    time_unix_nano: U63 = 0
    count: U63 = 0
    sum: float | None = None
    bucket_counts: list[U63] = field(default_factory=list)
    explicit_bounds: list[float | str] = field(default_factory=list)
    flags: int = 0
    attributes: list[Pair] | None = None


class ExponentialBuckets(Struct, rename="camel"):
    """Buckets of an ExponentialHistogramDataPoint."""

    offset: int = 0
    bucket_counts: list[U63] = field(default_factory=list)


class ExponentialPoint(Struct, rename="camel"):
    """ExponentialHistogramDataPoint."""

    start_time_unix_nano: U63 = 0
    time_unix_nano: U63 = 0
    scale: int = 0
    zero_count: U63 = 0
    positive: ExponentialBuckets = field(default_factory=ExponentialBuckets)
    negative: ExponentialBuckets = field(default_factory=ExponentialBuckets)
    flags: int = 0
    attributes: list[Pair] | None = None


class Quantile(Struct):
    """ValueAtQuantile."""

    quantile: float = 0.0
    value: float = 0.0


class SummaryPoint(Struct, rename="camel"):
    """SummaryDataPoint."""

    start_time_unix_nano: U63 = 0
    time_unix_nano: U63 = 0
    count: U63 = 0
    sum: float | None = None
    quantile_values: list[Quantile] = field(default_factory=list)
    flags: int = 0
    attributes: list[Pair] | None = None


class Points(Struct, rename="camel", forbid_unknown_fields=True):
    """The data of a metric, points unread."""

    data_points: list[Raw] = field(default_factory=list)
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class ScopeSpans(Struct, rename="camel", forbid_unknown_fields=True):
    """ScopeSpans."""

    spans: list[Span] = field(default_factory=list)
    scope: Raw = NOTHING
    schema_url: Raw = NOTHING


class ScopeMetrics(Struct, rename="camel", forbid_unknown_fields=True):
    """ScopeMetrics."""

    scope: ScopeJson | None = None
    metrics: list[Metric] = field(default_factory=list)
    schema_url: Raw = NOTHING


class ScopeLogs(Struct, rename="camel", forbid_unknown_fields=True):
    """ScopeLogs."""

    log_records: list[LogRecord] = field(default_factory=list)
    scope: Raw = NOTHING
    schema_url: Raw = NOTHING


class ResourceSpans(Struct, rename="camel", forbid_unknown_fields=True):
    """ResourceSpans; the resource stays unread because it is nearly always known already."""

    resource: Raw = NOTHING
    scope_spans: list[ScopeSpans] = field(default_factory=list)
    schema_url: Raw = NOTHING


class ResourceMetrics(Struct, rename="camel", forbid_unknown_fields=True):
    """ResourceMetrics."""

    resource: Raw = NOTHING
    scope_metrics: list[ScopeMetrics] = field(default_factory=list)
    schema_url: Raw = NOTHING


class ResourceLogs(Struct, rename="camel", forbid_unknown_fields=True):
    """ResourceLogs."""

    resource: Raw = NOTHING
    scope_logs: list[ScopeLogs] = field(default_factory=list)
    schema_url: Raw = NOTHING


class Message(Struct, rename="camel", forbid_unknown_fields=True):
    """TracesData, MetricsData and LogsData in one: JSON names its signal itself."""

    resource_spans: list[ResourceSpans] = field(default_factory=list)
    resource_metrics: list[ResourceMetrics] = field(default_factory=list)
    resource_logs: list[ResourceLogs] = field(default_factory=list)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, strict=False)


MESSAGE: Final = _decoder(Message)
PAIRS: Final = _decoder(list[Pair] | None)
POINTS: Final = _decoder(Points)
LINKS: Final = _decoder(list[LinkJson] | None)
NUMBER_POINT: Final = _decoder(NumberPoint)
HISTOGRAM_POINT: Final = _decoder(HistogramPoint)
EXPONENTIAL_POINT: Final = _decoder(ExponentialPoint)
SUMMARY_POINT: Final = _decoder(SummaryPoint)
_RESOURCE: Final = _decoder(ResourceAttributes | None)
ERRORS: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
"""What decoding JSON text can raise: malformed, not UTF-8, out of range, nested too deeply."""


def resource_attributes(raw: bytes) -> dict[str, Plain]:
    """Attributes of a JSON Resource."""
    resource = _RESOURCE.decode(raw) if raw else None
    return pairs_of(resource.attributes if resource else None)


def pairs_of(attributes: list[Pair] | None) -> dict[str, Plain]:
    """Attributes as plain values."""
    return {p.key: short(plain(p.value)) for p in attributes or ()}


def pick_json(attributes: Raw, wanted: frozenset[str] | None) -> dict[str, Plain]:
    """Those of the unread attributes whose keys are wanted (None: all); none where they are not attributes at all."""
    try:
        pairs: list[Pair] = PAIRS.decode(attributes) or [] if bytes(attributes) else []
    except ERRORS:
        return {}
    return {p.key: short(plain(p.value)) for p in pairs if wanted is None or p.key in wanted}


def plain(value: Value | None, depth: int = 0) -> Plain:
    """Plain value of an AnyValue."""
    if value is None:
        return None
    scalars = (value.string_value, value.bool_value, value.int_value, value.double_value)
    for scalar in scalars:
        if scalar is not None:
            return scalar
    if value.bytes_value is not None:
        return _bytes(value.bytes_value)
    if depth >= MAX_DEPTH:
        return None
    if value.array_value is not None:
        return [plain(v, depth + 1) for v in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return {p.key: plain(p.value, depth + 1) for p in value.kvlist_value.values or ()}
    return None


def _bytes(text: str) -> Plain:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text
