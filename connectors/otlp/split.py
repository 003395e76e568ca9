"""Splitting an export request that is larger than a message may be: by resource, scope and halves of the items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp import foreign_fields, wire
from connectors.otlp.json_model import ERRORS
from connectors.otlp.json_read import normalise
from connectors.otlp.reasons import INVALID_JSON, INVALID_PROTOBUF, NOTHING_READ, UNKNOWN_FIELD, Skips, refuse
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

# topic -> message class, resource, scope and item fields
_SHAPES: Final[dict[str, tuple[Any, str, str, str]]] = {
    OTLP_SPANS: (TracesData, "resource_spans", "scope_spans", "spans"),
    OTLP_METRICS: (MetricsData, "resource_metrics", "scope_metrics", "metrics"),
    OTLP_LOGS: (LogsData, "resource_logs", "scope_logs", "log_records"),
}
_OLD_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "scopeSpans": ("instrumentationLibrarySpans",),
    "scopeMetrics": ("instrumentationLibraryMetrics",),
    "scopeLogs": ("instrumentationLibraryLogs",),
    "logRecords": ("logs",),
    "scope_spans": ("instrumentation_library_spans",),
    "scope_metrics": ("instrumentation_library_metrics",),
    "scope_logs": ("instrumentation_library_logs",),
    "log_records": ("logs",),
}

_ABOUT: Final = {
    "resource",
    "scope",
    "instrumentationLibrary",
    "instrumentation_library",
    "schemaUrl",
    "schema_url",
}


def split(topic: str, payload: bytes, limit: int) -> tuple[list[bytes], int]:
    """Messages of at most `limit` bytes that together hold `payload`, and the number of items that are too large alone, or that stand
    in fields that OTLP doesn't have.

    Raises:
        UndecodableTelemetry: it is larger than `limit` and cannot be read, or nothing in it is known.
    """
    if len(payload) <= limit:
        return [payload], 0
    is_json = payload.lstrip()[:1] == b"{"
    small: list[bytes] = []
    rejected = 0
    for piece, items in _split_json(topic, payload, limit) if is_json else _split_protobuf(topic, payload, limit):
        if piece and len(piece) <= limit:
            small.append(piece)
        else:
            rejected += items
    if not small and not rejected:
        raise refuse(NOTHING_READ, f"{len(payload)} bytes on {topic}")
    return list(_packed(small, limit, is_json)), rejected


def _packed(pieces: list[bytes], limit: int, is_json: bool) -> Iterator[bytes]:
    """Neighbours in one message where they fit: protobuf messages are joined by concatenation, JSON inside its array."""
    group: list[bytes] = []
    size = 0
    for piece in pieces:
        if group and size + len(piece) > limit:
            yield _join(group, is_json)
            group, size = [], 0
        group.append(piece)
        size += len(piece)
    if group:
        yield _join(group, is_json)


def _join(pieces: list[bytes], is_json: bool) -> bytes:
    if not is_json or len(pieces) == 1:
        return b"".join(pieces)
    start = pieces[0].index(b"[") + 1
    return pieces[0][:start] + b",".join(p[start:-2] for p in pieces) + b"]}"


def _split_protobuf(topic: str, payload: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
    kind, resource_field, scope_field, item_field = _SHAPES[topic]
    try:
        message = kind.FromString(wire.modern(payload))
    except DecodeError as e:
        raise refuse(INVALID_PROTOBUF, f"{len(payload)} bytes on {topic}") from e
    skips = Skips()
    foreign_fields.count_in_protobuf(message, skips, metrics=topic == OTLP_METRICS)
    yield b"", skips.counts[UNKNOWN_FIELD]
    for entry in getattr(message, resource_field):
        for scope in getattr(entry, scope_field):
            yield from _halves(entry, scope, list(getattr(scope, item_field)), _SHAPES[topic], limit)


def _halves(entry: Any, scope: Any, items: list[Any], shape: tuple[Any, str, str, str], limit: int) -> Any:
    """The items of one scope in messages of their own, halved until they fit."""
    kind, resource_field, scope_field, item_field = shape
    message = kind()
    new_entry = getattr(message, resource_field).add(schema_url=entry.schema_url)
    new_entry.resource.CopyFrom(entry.resource)
    new_scope = getattr(new_entry, scope_field).add(schema_url=scope.schema_url)
    new_scope.scope.CopyFrom(scope.scope)
    getattr(new_scope, item_field).extend(items)
    if len(items) > 1 and message.ByteSize() > limit:
        middle = len(items) // 2
        yield from _halves(entry, scope, items[:middle], shape, limit)
        yield from _halves(entry, scope, items[middle:], shape, limit)
    elif items:
        yield message.SerializeToString(), len(items)


def _split_json(topic: str, payload: bytes, limit: int) -> Iterator[tuple[bytes, int]]:
    _, *fields = _SHAPES[topic]
    try:
        message = msgspec.json.decode(payload)
        resource_field, scope_field, item_field = (_spelling(payload, f) for f in fields)
        yield b"", _left_out(message, {resource_field}, foreign_fields.RESOURCE)
        for entry in message[resource_field]:
            rest = dict(entry)
            yield b"", _left_out(rest, _ABOUT | {scope_field, *_old(scope_field)}, foreign_fields.SCOPE)
            scopes = [s for name in (scope_field, *_old(scope_field)) for s in rest.pop(name, None) or ()]
            for scope in scopes:
                yield b"", _left_out(scope, _ABOUT | {item_field, *_old(item_field)}, foreign_fields.ITEM)
                old = [i for name in _old(item_field) for i in scope.pop(name, None) or ()]
                scope[item_field] = [*(scope.get(item_field) or ()), *old]
                yield from _json_halves(rest, scope, (resource_field, scope_field, item_field), limit)
    except (*ERRORS, LookupError, TypeError, AttributeError) as e:
        raise refuse(INVALID_JSON, f"{len(payload)} bytes on {topic}: {e}") from e


def _left_out(body: dict[str, Any], known: set[str], level: int) -> int:
    """Take away members that OTLP doesn't have; how many records were in them."""
    strange = [body.pop(key) for key in body.keys() - known]
    return sum(foreign_fields.records_in(normalise(value), level) for value in strange)


def _json_halves(entry: Any, scope: Any, fields: tuple[str, str, str], limit: int) -> Iterator[tuple[bytes, int]]:
    resource_field, scope_field, item_field = fields
    items = scope[item_field]
    piece = msgspec.json.encode({resource_field: [{**entry, scope_field: [scope]}]})
    if len(items) > 1 and len(piece) > limit:
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            yield from _json_halves(entry, {**scope, item_field: half}, fields, limit)
    elif items:
        yield piece, len(items)


def _old(field: str) -> tuple[str, ...]:
    """What a field was called before, in either spelling."""
    return _OLD_NAMES.get(field, ())


def _spelling(payload: bytes, field: str) -> str:
    """How the message spells a field: as protobuf does, or in camelCase."""
    if any(f'"{name}"'.encode() in payload for name in (field, *_old(field)) if "_" in name):
        return field
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)
