"""From JSON bytes to a `Message`: the quick path, and the lenient one that saves what can be read."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from connectors.otlp import foreign_fields as foreign
from connectors.otlp import json_model as model
from connectors.otlp.reasons import EMPTY, NOT_OTLP, UNKNOWN_FIELD, WRONG_SIGNAL, Skips, malformed_json, refuse

_SNAKE_FIELDS: Final = (b'_unix_nano"', b'"resource_spans"', b'"resource_metrics"', b'"resource_logs"')
_OLD_FIELDS: Final = (b'"instrumentationLibrary', b'"instrumentation_library')  # until OTLP 0.15: scopes
_HEAD: Final = 65_536  # an encoder that writes snake_case does so from the start
_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")

LIBRARIES: Final = {
    "scopeSpans": "instrumentationLibrarySpans",
    "scopeMetrics": "instrumentationLibraryMetrics",
    "scopeLogs": "instrumentationLibraryLogs",
}
"""What scopes were called until OTLP 0.15."""
OLD_ITEMS: Final = {"logRecords": "logs"}
"""Until OTLP 0.12."""
# signal field -> (scope field, item field, structs of resource, scope and item)
SHAPES: Final[dict[str, tuple[str, str, Any, Any, Any]]] = {
    "resourceSpans": ("scopeSpans", "spans", model.ResourceSpans, model.ScopeSpans, model.Span),
    "resourceMetrics": ("scopeMetrics", "metrics", model.ResourceMetrics, model.ScopeMetrics, model.Metric),
    "resourceLogs": ("scopeLogs", "logRecords", model.ResourceLogs, model.ScopeLogs, model.LogRecord),
}
_DECODERS: Final = {item: msgspec.json.Decoder(item, strict=False) for *_, item in SHAPES.values()}


def is_plain(payload: bytes) -> bool:
    """Whether the field names are today's in camelCase, as far as can be seen at a glance."""
    if any(payload.find(marker, 0, _HEAD) >= 0 for marker in _SNAKE_FIELDS):
        return False
    return not any(marker in payload for marker in _OLD_FIELDS)


def read(payload: bytes, skips: Skips) -> model.Message:
    """The message in JSON `payload`; items that cannot be read are counted in `skips`.

    Raises:
        UndecodableTelemetry: it is not JSON, or not OTLP.
    """
    if is_plain(payload):
        try:
            message: model.Message = model.MESSAGE.decode(payload)
        except msgspec.ValidationError:
            pass  # one field is wrong somewhere: read item by item
        except model.ERRORS as e:
            raise malformed_json(e) from e
        else:
            if has_items(message):
                return message
    return _read_leniently(payload, skips)


def has_items(message: model.Message) -> bool:
    """Whether there is anything below the scopes; where there isn't, it may be called otherwise."""
    return (
        any(scope.spans for spans in message.resource_spans for scope in spans.scope_spans)
        or any(scope.metrics for metrics in message.resource_metrics for scope in metrics.scope_metrics)
        or any(scope.log_records for logs in message.resource_logs for scope in logs.scope_logs)
    )


def _read_leniently(payload: bytes, skips: Skips) -> model.Message:
    try:
        body = normalise(msgspec.json.decode(payload))
    except model.ERRORS as e:
        raise malformed_json(e) from e
    if not isinstance(body, dict):
        raise refuse(NOT_OTLP, "the JSON is not an object")
    known = [key for key in SHAPES if key in body]
    if not known:
        raise _not_otlp(body)
    foreign.without_foreign(body, SHAPES, foreign.RESOURCE, "", skips)
    read = {key: _resources(key, body[key], skips) for key in known}
    return model.Message(read.get("resourceSpans", []), read.get("resourceMetrics", []), read.get("resourceLogs", []))


def _resources(key: str, entries: Any, skips: Skips) -> list[Any]:
    scope_key, _, resource_kind, _, _ = SHAPES[key]
    read = []
    for i, entry in enumerate(_list(entries, key, skips)):
        place = f"{key}[{i}]"
        if not isinstance(entry, dict):
            skips.invalid(place, "expected an object")
            continue
        foreign.without_foreign(
            entry, foreign.OF_RESOURCE | {scope_key, LIBRARIES[scope_key]}, foreign.SCOPE, place, skips
        )
        found = [
            _scope(key, scope, f"{place}.{name}[{j}]", skips)
            for name in (scope_key, LIBRARIES[scope_key])
            for j, scope in enumerate(_list(entry.get(name, []), f"{place}.{name}", skips))
        ]
        resource = Raw(msgspec.json.encode(entry["resource"])) if "resource" in entry else model.NOTHING
        read.append(resource_kind(resource, [s for s in found if s is not None]))
    return read


def _scope(key: str, entry: Any, place: str, skips: Skips) -> Any:
    _, item_key, _, scope_kind, item_kind = SHAPES[key]
    if not isinstance(entry, dict):
        skips.invalid(place, "expected an object")
        return None
    items = {item_key, OLD_ITEMS.get(item_key, item_key)}
    foreign.without_foreign(entry, foreign.OF_SCOPE | items, foreign.ITEM, place, skips)
    read = [
        _item(item_kind, item, f"{place}.{name}[{k}]", skips)
        for name in filter(None, (item_key, OLD_ITEMS.get(item_key)))
        for k, item in enumerate(_list(entry.get(name, []), f"{place}.{name}", skips))
    ]
    kept = [item for item in read if item is not None]
    if scope_kind is not model.ScopeMetrics:
        return scope_kind(kept)
    scope = entry.get("scope") or entry.get("instrumentationLibrary")
    name = scope.get("name", "") if isinstance(scope, dict) else ""
    return scope_kind(model.ScopeJson(name if isinstance(name, str) else ""), kept)


def _item(kind: Any, item: Any, place: str, skips: Skips) -> Any:
    if kind is model.Metric and isinstance(item, dict):
        before = skips.counts[UNKNOWN_FIELD]
        item = foreign.without_foreign(item, foreign.OF_METRIC, foreign.POINT, place, skips)
        if skips.counts[UNKNOWN_FIELD] > before and item.keys().isdisjoint(foreign.DATA):
            return None  # all that it has is counted
    try:
        return _DECODERS[kind].decode(msgspec.json.encode(item))
    except model.ERRORS as e:
        problem, _, path = str(e).partition(" - at `$")
        skips.invalid(place + path.rstrip("`"), problem)
        return None


def _list(value: Any, place: str, skips: Skips) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is not None:
        skips.invalid(place, "expected an array")
    return []


def normalise(value: Any) -> Any:
    """Field names in camelCase, and no nulls (null means default). Attribute keys are values, so they stay."""
    if isinstance(value, dict):
        return {_camel(k): normalise(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [normalise(v) for v in value]
    return value


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda m: m[1].upper(), name) if "_" in name else name


def _not_otlp(body: dict[str, Any]) -> Exception:
    if not body:
        return refuse(EMPTY)
    foreign = sorted(k for k in body if k.startswith("resource") and k[8:9].isupper())
    if foreign:
        return refuse(WRONG_SIGNAL, f"{foreign[0]}; expected one of {', '.join(SHAPES)}")
    return refuse(NOT_OTLP, f"none of {', '.join(SHAPES)} in {sorted(body)[:5]}")
