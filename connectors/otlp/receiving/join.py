"""Putting small messages together: which may be, and how. Pure.

A protobuf message of repeated entries followed by another is the message with the entries of both
(https://protobuf.dev/programming-guides/encoding/#last-one-wins); in JSON the entries go into one array. What can't be read whole
by itself is never joined: one sender's broken message must not take its neighbours along to the dead letters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp import json_model, json_read, wire
from connectors.otlp.decode import decode
from contracts.errors import UndecodableTelemetry
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

_MESSAGES: Final[dict[str, Any]] = {OTLP_SPANS: TracesData, OTLP_LOGS: LogsData}
_FIELDS: Final = {OTLP_SPANS: "resourceSpans", OTLP_METRICS: "resourceMetrics", OTLP_LOGS: "resourceLogs"}
_ENTRIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def entries(topic: str, payload: bytes, is_json: bool) -> bytes | None:
    """The entries of a message as `join` takes them; None where the message has to go alone."""
    return _json_entries(topic, payload) if is_json else _protobuf_entries(topic, payload)


def join(topic: str, parts: Sequence[bytes], is_json: bool) -> bytes:
    """One message of all entries, in order."""
    if not is_json:
        return b"".join(parts)
    return b'{"%s":[%s]}' % (_FIELDS[topic].encode(), b",".join(parts))


def _protobuf_entries(topic: str, payload: bytes) -> bytes | None:
    """The message itself, if it is one of its topic's signal, and the parser finds nothing wrong at any depth."""
    if wire.DEPRECATED_TAG in payload or wire.signal_of(payload) != topic:
        return None
    if topic == OTLP_METRICS:  # these come seldom, and there are many ways in which points may be wrong
        return payload if _is_read(topic, payload) else None
    try:
        message = _MESSAGES[topic].FromString(payload)
    except (DecodeError, RecursionError):
        return None
    return payload if topic == OTLP_LOGS or _has_a_span(message) else None


def _json_entries(topic: str, payload: bytes) -> bytes | None:
    """What is between the brackets, of a message that has nothing else and in which the quick reader finds something."""
    if not json_read.is_plain(payload) or not _is_read(topic, payload):
        return None
    try:
        payload.decode()
        found = _ENTRIES.decode(payload)
        if list(found) != [_FIELDS[topic]] or not json_read.has_items(json_model.MESSAGE.decode(payload)):
            return None
    except json_model.ERRORS:
        return None
    array = bytes(found[_FIELDS[topic]]).strip(b" \t\r\n")
    return array[1:-1]


def _is_read(topic: str, payload: bytes) -> bool:
    try:
        decode(topic, payload)
    except UndecodableTelemetry:
        return False
    return True


def _has_a_span(message: Any) -> bool:
    spans = (s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans)
    return any(len(s.trace_id) == 16 and len(s.span_id) == 8 for s in spans)
