"""Builders of OTLP messages for the tests, and a re-serialiser that writes fields in the order Go does."""

from __future__ import annotations

import base64
import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp.wire import fields
from contracts.units import MILLISECOND

T0 = 1_700_000_000_000_000_000
MS = MILLISECOND
Values = dict[str, Any]


def fill(owner: Any, values: Values) -> None:
    """Add attributes."""
    for key, value in values.items():
        any_value = owner.attributes.add(key=key).value
        if isinstance(value, bool):
            any_value.bool_value = value
        elif isinstance(value, int):
            any_value.int_value = value
        elif isinstance(value, float):
            any_value.double_value = value
        elif isinstance(value, list):
            for item in value:
                any_value.array_value.values.add(string_value=item)
        else:
            any_value.string_value = value


def traces(resource: Values, *spans: Values) -> TracesData:
    """A message of one resource and scope; a span is its fields and `attributes`, `code`."""
    message = TracesData()
    entry = message.resource_spans.add()
    fill(entry.resource, resource)
    scope = entry.scope_spans.add()
    scope.scope.name = "test"
    for number, given in enumerate(spans, start=1):
        row = dict(given)
        attributes, code = row.pop("attributes", {}), row.pop("code", 0)
        base = {
            "trace_id": number.to_bytes(16, "big"),
            "span_id": number.to_bytes(8, "big"),
            "kind": 2,
            "name": "GET /",
            "start_time_unix_nano": T0,
            "end_time_unix_nano": T0 + 5 * MS,
        }
        span = scope.spans.add(**{**base, **row})
        fill(span, attributes)
        if code:
            span.status.code = code
    return message


def metrics(resource: Values) -> tuple[MetricsData, Any]:
    """A message of one resource and scope, and the scope to add metrics to."""
    message = MetricsData()
    entry = message.resource_metrics.add()
    fill(entry.resource, resource)
    scope = entry.scope_metrics.add()
    scope.scope.name = "test"
    return message, scope


def gauge(scope: Any, name: str, value: float, unit: str = "", time: int = T0, **attributes: Any) -> Any:
    """Add a gauge point; returns it."""
    metric = scope.metrics.add(name=name, unit=unit)
    point = metric.gauge.data_points.add(time_unix_nano=time, as_double=value)
    fill(point, attributes)
    return point


def counter(scope: Any, name: str, value: int, temporality: int = 2, monotonic: bool = True, unit: str = "") -> Any:
    """Add a sum point; returns it."""
    metric = scope.metrics.add(name=name, unit=unit)
    metric.sum.aggregation_temporality = temporality
    metric.sum.is_monotonic = monotonic
    return metric.sum.data_points.add(time_unix_nano=T0, start_time_unix_nano=T0 - 10, as_int=value)


def histogram(
    scope: Any, name: str, counts: list[int], bounds: list[float], temporality: int = 2, unit: str = ""
) -> Any:
    """Add a histogram point; returns it."""
    metric = scope.metrics.add(name=name, unit=unit)
    metric.histogram.aggregation_temporality = temporality
    return metric.histogram.data_points.add(
        time_unix_nano=T0, count=sum(counts), bucket_counts=counts, explicit_bounds=bounds
    )


def logs(resource: Values, *records: Values) -> LogsData:
    """A message of one resource and scope."""
    message = LogsData()
    entry = message.resource_logs.add()
    fill(entry.resource, resource)
    scope = entry.scope_logs.add()
    for given in records:
        row = dict(given)
        body = row.pop("body", "")
        record = scope.log_records.add(**{"time_unix_nano": T0, **row})
        record.body.string_value = body
    return message


def as_json(message: Message, *, enums_as_numbers: bool = True, snake: bool = False, hexadecimal: bool = True) -> bytes:
    """OTLP JSON of a message."""
    body = MessageToDict(message, use_integers_for_enums=enums_as_numbers, preserving_proto_field_name=snake)
    if hexadecimal:
        _hexadecimal(body)
    return json.dumps(body).encode()


def _hexadecimal(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _hexadecimal(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"):
                value[key] = base64.b64decode(item).hex()
            else:
                _hexadecimal(item)


def descending(message: Message) -> bytes:
    """The bytes of a message with its fields in descending order at every level, as Go's generated code writes them.
    Entries of one repeated field keep their order."""
    nested = {f.number: f for f in message.DESCRIPTOR.fields if f.message_type is not None}
    data = message.SerializeToString()
    children: dict[int, list[bytes]] = {}
    start = 0
    for number, _, content, end in fields(data, 0, len(data)):
        children.setdefault(number, []).append(_field(message, nested, number, data, (start, content, end), children))
        start = end
    return b"".join(chunk for number in sorted(children, reverse=True) for chunk in children[number])


def _field(
    message: Message,
    nested: dict[int, Any],
    number: int,
    data: bytes,
    span: tuple[int, int, int],
    seen: dict[int, list[bytes]],
) -> bytes:
    start, content, end = span
    if number not in nested:
        return data[start:end]
    field = nested[number]
    value = getattr(message, field.name)
    child = value[len(seen.get(number, []))] if field.is_repeated else value
    body = descending(child)
    assert len(body) == end - content
    return data[start:content] + body
