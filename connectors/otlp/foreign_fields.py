"""Fields that OTLP doesn't have, beside those that it has: how many records stand in them.

A message with a misspelt list, or of a later OTLP, is read as far as it is known; what is left over is counted like anything that is left
out. A field holds as many records as are found in it at the depth at which they would stand; protobuf's say of themselves
only how long they are, so each is one at least. In JSON a plain value, or a list of such, is no record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from connectors.otlp import wire
from connectors.otlp.reasons import Skips

OF_RESOURCE: Final = frozenset({"resource", "schemaUrl"})
OF_SCOPE: Final = frozenset({"scope", "instrumentationLibrary", "schemaUrl"})
DATA: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
OF_METRIC: Final = frozenset({"name", "description", "unit", "metadata", *DATA})
OF_DATA: Final = frozenset({"dataPoints", "aggregationTemporality", "isMonotonic"})
RESOURCE, SCOPE, ITEM, POINT = 3, 2, 1, 0
"""What an unknown field would hold, by how far records are below it; metrics are items, and their points the records."""
_MARKS: Final = frozenset(DATA) | {
    "traceId",
    "spanId",
    "timeUnixNano",
    "observedTimeUnixNano",
    "startTimeUnixNano",
    "body",
}
"""Members by which a lone object is known as a record."""
_PAIR: Final = frozenset({"key", "value"})
_BYTES: Final = 2
_GROUP: Final = 3
_BELOW: Final = {RESOURCE: (2,), SCOPE: (2,), ITEM: (5, 7, 9, 10, 11), POINT: (1,)}
"""Numbers of the fields in which the next level stands."""


def count_in_protobuf(message: Message, skips: Skips, *, metrics: bool = False) -> None:
    """Count what stands in unknown fields of a message, of its resources and of their scopes."""
    _count(message, RESOURCE, "message", skips, metrics)
    for resources in _lists(message):
        for entry in resources:
            _count(entry, SCOPE, "resource", skips, metrics)
            for scopes in _lists(entry):
                for scope in scopes:
                    _count(scope, ITEM, "scope", skips, metrics)


def points_of_protobuf(metric_or_data: Message, *, metric: bool) -> int:
    """Points in unknown fields of a metric (it may be of a later kind), or of the data of one."""
    return _held(metric_or_data, POINT if metric else None, False)


def _lists(message: Message) -> list[Any]:
    return [value for field, value in message.ListFields() if field.is_repeated and field.message_type is not None]


def _count(message: Message, level: int, name: str, skips: Skips, metrics: bool) -> None:
    found = _held(message, level, metrics)
    if found:
        skips.foreign(f"{name} (protobuf)", found)


def _held(message: Message, level: int | None, metrics: bool) -> int:
    unknown: Any = UnknownFieldSet(message)
    if not len(unknown):
        return 0
    held = (_records(field.data, level, metrics) if field.wire_type == _BYTES else 1
            for field in unknown if field.wire_type in (_BYTES, _GROUP))  # fmt: skip
    return sum(held)


def _records(content: bytes, level: int | None, metrics: bool) -> int:
    """Records in a field that holds something of a level, if that is what it holds; else it is one itself."""
    if level is None or (level == ITEM and not metrics):
        return 1
    try:
        inner = [
            content[s:e] for n, w, s, e in wire.fields(content, 0, len(content)) if w == _BYTES and n in _BELOW[level]
        ]
    except wire.Malformed:
        return 1
    below = None if level == POINT else level - 1
    return sum(_records(part, below, metrics) for part in inner) or 1


def without_foreign(
    body: Mapping[str, Any], known: Collection[str], level: int, place: str, skips: Skips
) -> Mapping[str, Any]:
    """An object of a JSON message without members that it doesn't have in OTLP; the records in them are counted."""
    if body.keys() <= frozenset(known):
        return body
    for key in body.keys() - frozenset(known):
        skips.foreign(f"{place}.{key}".lstrip("."), records_in(body[key], level))
    return {key: value for key, value in body.items() if key in known}


def records_in(value: Any, level: int) -> int:
    """Records in the value of an unknown member that would hold things of a level."""
    if isinstance(value, list):
        return sum(_records_of(v, level) for v in value if isinstance(v, dict) and v and not v.keys() <= _PAIR)
    if not isinstance(value, dict):
        return 0
    found = _below(value, level)
    return found or bool(_MARKS & value.keys())


def _records_of(value: Mapping[str, Any], level: int) -> int:
    return _below(value, level) or 1


def _below(value: Mapping[str, Any], level: int) -> int:
    if level == POINT:
        points = value.get("dataPoints")
        return len(points) if isinstance(points, list) else 0
    if level == ITEM:
        return sum(_below(data, POINT) for data in value.values() if isinstance(data, dict))
    return sum(
        records_in(inner, level - 1) for key, inner in value.items() if isinstance(inner, list) and key != "attributes"
    )
