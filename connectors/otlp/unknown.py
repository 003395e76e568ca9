"""What is in a message of which nothing was read: whether it is empty, as a sender that only looks in sends it, or foreign.

Nearly only asked about messages without a single record, so it may take its time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp import json_model, json_read
from connectors.otlp.foreign_fields import DATA, OF_DATA, OF_RESOURCE, OF_SCOPE
from contracts.events import RawMeasurement
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

_MESSAGES: Final[dict[str, Any]] = {OTLP_SPANS: TracesData, OTLP_METRICS: MetricsData, OTLP_LOGS: LogsData}
_MOST: Final = 5


def in_protobuf(signal: str, payload: bytes) -> str:
    """Fields of a message that its signal doesn't know, in words; "" where there are none."""
    try:
        message = _MESSAGES[signal].FromString(payload)
    except (DecodeError, RecursionError) as e:
        return f"as {signal}: {e}"
    return _listed(f"field {n} in {name}" for name, n in _unknown_fields(message))


def _unknown_fields(message: Message) -> Iterator[tuple[str, int]]:
    found: Any = UnknownFieldSet(message)
    for field in found:
        yield message.DESCRIPTOR.name, field.field_number
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for inner in value if descriptor.is_repeated else (value,):
                yield from _unknown_fields(inner)


def in_json(payload: bytes) -> str:
    """Members of an OTLP JSON message that are not known and not empty, in words; "" where there are none."""
    try:
        body = json_read.normalise(msgspec.json.decode(payload))
    except json_model.ERRORS as e:
        return str(e)
    return _listed(_unknown_members(body))


def in_raw(payload: bytes) -> str:
    """The same of a measurement on telemetry.raw."""
    try:
        body = msgspec.json.decode(payload)
    except json_model.ERRORS as e:
        return str(e)
    return _listed(_others("", body, set(RawMeasurement.__struct_fields__)))


def listed_in_raw(payload: bytes) -> int:
    """How many things are listed in members that a measurement doesn't have; of members that are no text nothing can be told."""
    try:
        body = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        strange = [bytes(body[key]) for key in body.keys() - set(RawMeasurement.__struct_fields__)]
        return sum(len(msgspec.json.decode(value)) for value in strange if value[:1] == b"[")
    except json_model.ERRORS:
        return 0


def _unknown_members(body: Mapping[str, Any]) -> Iterator[str]:
    yield from _others("", body, set(json_read.SHAPES))
    for key, (scope_key, item_key, *_) in json_read.SHAPES.items():
        for i, entry in enumerate(body.get(key) or ()):
            place = f"{key}[{i}]."
            names = (scope_key, json_read.LIBRARIES[scope_key])
            yield from _others(place, entry, OF_RESOURCE | set(names))
            items = {item_key, json_read.OLD_ITEMS.get(item_key, item_key)}
            for name in names:
                for j, scope in enumerate(entry.get(name) or ()):
                    within = f"{place}{name}[{j}]."
                    yield from _others(within, scope, OF_SCOPE | items)
                    yield from _data_members(within, scope.get("metrics") or ())


def _data_members(place: str, metrics: Any) -> Iterator[str]:
    for k, metric in enumerate(metrics):
        for kind in DATA:
            if isinstance(metric, dict) and isinstance(data := metric.get(kind), dict):
                yield from _others(f"{place}metrics[{k}].{kind}.", data, OF_DATA)


def _others(place: str, body: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    return (place + key for key, value in body.items() if key not in known and value not in (None, "", [], {}))


def _listed(found: Iterator[str]) -> str:
    names = list(dict.fromkeys(found))
    return ", ".join(names[:_MOST]) + (", …" if len(names) > _MOST else "")
