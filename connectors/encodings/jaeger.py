"""Jaeger's spans as OTLP: protobuf (one span a message, as the Collector and Jaeger's own collector write them to Kafka), JSON as Go's
jsonpb writes that, and JSON as Jaeger's storage and its API have it.

https://www.jaegertracing.io/docs/latest/architecture/apis/, https://github.com/jaegertracing/jaeger-idl (api_v2/model.proto)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError

from connectors.encodings.foreign_schemas import JaegerSpan
from connectors.encodings.span_builder import (
    SPAN_BYTES,
    TRACE_BYTES,
    SpanBuilder,
    hex_id,
    kind_of,
    nanoseconds,
    put,
    whole_id,
)
from connectors.otlp.json_model import ERRORS
from connectors.otlp.reasons import EMPTY, WRONG_ENCODING, malformed_json, malformed_protobuf, refuse
from connectors.otlp.values import Plain, number_of, text_of
from contracts.units import MICROSECOND, SECOND

_CHILD_OF: Final = 0
_VALUES: Final = ("v_str", "v_bool", "v_int64", "v_float64", "v_binary")
_RENAMED: Final = {"hostname": "host.name", "ip": "host.ip", "client-uuid": "service.instance.id"}
"""What Jaeger's clients call attributes of a process."""
_BROKERS: Final = ("kafka", "rabbitmq", "amqp", "jms", "sqs", "sns", "nats", "pulsar", "activemq")
"""Names of brokers as they are part of OpenTracing's `component` (java-kafka, spring-rabbitmq)."""
_DESTINATION: Final = "message_bus.destination"
_EXCEPTION: Final = "exception"
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)")
_GO_DURATION: Final = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?s")


def from_proto(payload: bytes, builder: SpanBuilder) -> None:
    """The span of a message.

    Raises:
        UndecodableTelemetry: it is not protobuf of that kind, or has no ids.
    """
    try:
        span = JaegerSpan.FromString(payload)
    except DecodeError as e:
        raise malformed_protobuf(payload, "jaeger_proto") from e
    if not span.ListFields():
        raise refuse(WRONG_ENCODING, "nothing of a Jaeger span is in it")
    trace, own = whole_id(span.trace_id, TRACE_BYTES), whole_id(span.span_id, SPAN_BYTES)
    if not trace or not own:
        builder.skips.invalid("trace_id or span_id", "missing or not an id of the right length")
        return
    parents = [(r.ref_type, whole_id(r.trace_id, TRACE_BYTES) or trace, r.span_id) for r in span.references]
    start = span.start_time.seconds * SECOND + span.start_time.nanos
    duration = span.duration.seconds * SECOND + span.duration.nanos
    process = {"service.name": _decoded(span.process.service_name), **_renamed(_proto_tags(span.process.tags))}
    _add(
        builder,
        ids=(trace, own, whole_id(_parent_of(trace, parents), SPAN_BYTES) or b""),
        name=_decoded(span.operation_name),
        times=(start, duration),
        process=process,
        tags=_proto_tags(span.tags),
        logs=(_proto_tags(log.fields) for log in span.logs),
    )


def from_json(payload: bytes, builder: SpanBuilder) -> None:
    """The span of a message, a list of spans, or the traces of an answer of Jaeger's API.

    Raises:
        UndecodableTelemetry: it is not JSON, or no such thing.
    """
    try:
        body = msgspec.json.decode(payload)
    except ERRORS as e:
        raise malformed_json(e) from e
    if body in ({}, []):
        raise refuse(EMPTY)
    found = list(_spans(body))
    if not found:
        raise refuse(WRONG_ENCODING, "the JSON holds no Jaeger span")
    for place, span, processes in found:
        problem = _read_json(span, processes, builder)
        if problem:
            builder.skips.invalid(place, problem)


def _spans(body: Any) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Spans with their place and the processes that they may name by id."""
    if isinstance(body, list):
        for i, one in enumerate(body):
            for place, span, processes in _spans(one):
                yield f"[{i}]{place}", span, processes
    elif isinstance(body, dict) and isinstance(body.get("data"), list):
        yield from _spans(body["data"])
    elif isinstance(body, dict) and isinstance(body.get("spans"), list):
        given, process = body.get("processes"), body.get("process")
        processes = given if isinstance(given, dict) else {"": process} if isinstance(process, dict) else {}
        for i, span in enumerate(body["spans"]):
            yield f".spans[{i}]", span, processes
    elif isinstance(body, dict) and any(key in body for key in ("traceId", "traceID", "trace_id")):
        yield "", body, {}


def _read_json(span: Any, processes: Mapping[str, Any], builder: SpanBuilder) -> str:
    """Add one span; what is wrong with it, or ""."""
    if not isinstance(span, dict):
        return "expected an object"
    trace = _json_id(span, ("traceId", "traceID", "trace_id"), TRACE_BYTES)
    own = _json_id(span, ("spanId", "spanID", "span_id"), SPAN_BYTES)
    if not trace or not own:
        return "traceId or spanId: missing or not an id of the right length"
    parents = []
    for reference in _dicts(span.get("references")):
        kind = reference.get("refType", reference.get("ref_type", _CHILD_OF))
        parent = _json_id(reference, ("spanId", "spanID", "span_id"), SPAN_BYTES) or b""
        ref_trace = _json_id(reference, ("traceId", "traceID", "trace_id"), TRACE_BYTES) or trace
        parents.append((_CHILD_OF if kind in (_CHILD_OF, "CHILD_OF") else 1, ref_trace, parent))
    old_parent = _json_id(span, ("parentSpanID", "parentSpanId"), SPAN_BYTES)
    if old_parent:
        parents.append((_CHILD_OF, trace, old_parent))
    start = _json_time(span.get("startTime", span.get("start_time")))
    duration = _json_duration(span.get("duration", 0))
    named = str(span.get("processID", span.get("processId")))
    process = span.get("process") or processes.get(named) or processes.get("")
    service = text_of(process.get("serviceName", process.get("service_name"))) if isinstance(process, dict) else ""
    more = _renamed(_json_tags(process.get("tags"))) if isinstance(process, dict) else {}
    name = span.get("operationName", span.get("operation_name", ""))
    _add(
        builder,
        ids=(trace, own, _parent_of(trace, parents)),
        name=name if isinstance(name, str) else "",
        times=(start, duration),
        process={"service.name": service, **more},
        tags=_json_tags(span.get("tags")),
        logs=(_json_tags(log.get("fields")) for log in _dicts(span.get("logs"))),
    )
    return ""


def _add(
    builder: SpanBuilder,
    *,
    ids: tuple[bytes, bytes, bytes],
    name: str,
    times: tuple[int, int],
    process: Mapping[str, Plain],
    tags: dict[str, Plain],
    logs: Iterable[dict[str, Plain]],
) -> None:
    component = text_of(tags.get("component")).lower()
    if _DESTINATION in tags and "messaging.system" not in tags:
        broker = next((b for b in _BROKERS if b in component), "")
        if broker:
            tags["messaging.system"] = broker
    span = builder.add(process, tags)
    span.trace_id, span.span_id, span.parent_span_id = ids
    span.name, span.kind = name.encode("utf-8", "replace").decode(), kind_of(tags.get("span.kind")) or 1
    start, duration = times
    if 0 < start <= (1 << 63) - 1:
        span.start_time_unix_nano = start
        span.end_time_unix_nano = min(start + duration, (1 << 64) - 1) if duration >= 0 else 0
    for fields in logs:
        if any(key.startswith(_EXCEPTION) for key in fields):
            put(span.events.add(name=_EXCEPTION).attributes, fields)


def _parent_of(trace: bytes, references: list[tuple[int, bytes, bytes]]) -> bytes:
    """The span that a span is a child of, of those that it names in its own trace; one that it follows from, where it is no child."""
    own = [(kind, span) for kind, of, span in references if of == trace and span]
    return next((span for kind, span in own if kind == _CHILD_OF), own[0][1] if own else b"")


def _renamed(tags: Mapping[str, Plain]) -> dict[str, Plain]:
    return {_RENAMED.get(key, key): value for key, value in tags.items()}


def _proto_tags(tags: Iterable[Any]) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for tag in tags:
        value = getattr(tag, _VALUES[tag.v_type]) if 0 <= tag.v_type < len(_VALUES) else tag.v_str
        found[_decoded(tag.key)] = _decoded(value) if tag.v_type == 0 or not isinstance(value, bytes) else value
    return found


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _json_tags(tags: Any) -> dict[str, Plain]:
    """Tags as jsonpb has them (`vType`, `vStr`, …), or as storage has them (`type`, `value`)."""
    if isinstance(tags, dict):
        return dict(tags)
    found: dict[str, Plain] = {}
    for tag in _dicts(tags):
        key = tag.get("key")
        if not isinstance(key, str):
            continue
        if "value" in tag or "type" in tag:
            found[key] = _typed(str(tag.get("type", "")).lower(), tag.get("value"))
            continue
        camel = {_snake(k): v for k, v in tag.items()}
        kind = str(camel.get("v_type", "STRING")).upper()
        if kind in ("BOOL", "1"):
            found[key] = bool(camel.get("v_bool", False))
        elif kind in ("INT64", "2"):
            found[key] = _typed("int64", camel.get("v_int64", 0))
        elif kind in ("FLOAT64", "3"):
            found[key] = _typed("float64", camel.get("v_float64", 0.0))
        else:
            found[key] = camel.get("v_str", camel.get("v_binary", ""))
    return found


def _typed(kind: str, value: Any) -> Plain:
    """A value of a type that may have been written as text."""
    if kind == "bool" and isinstance(value, str):
        return value.strip().lower() == "true"
    if kind in ("int64", "float64") and isinstance(value, str) and (number := number_of(value)) is not None:
        return int(value) if kind == "int64" and value.strip().lstrip("-").isdecimal() else number
    return value if isinstance(value, str | bool | int | float) else text_of(value)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda m: "_" + m[1].lower(), name)


def _json_id(body: Mapping[str, Any], keys: tuple[str, ...], width: int) -> bytes | None:
    """An id in base64, as protobuf's JSON has it, or in hexadecimal, as storage has it (there without leading zeros)."""
    text = next((body[k] for k in keys if isinstance(body.get(k), str)), "")
    if text.endswith("=") or re.fullmatch(r"[A-Za-z0-9+/]*[G-Zg-z+/][A-Za-z0-9+/]*", text):
        try:
            return whole_id(base64.b64decode(text, validate=True), width)
        except (binascii.Error, ValueError):
            return None
    return hex_id(text, width)


def _json_time(value: Any) -> int:
    """Epoch nanoseconds of an RFC 3339 text, or of microseconds; -1 where it is neither."""
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return nanoseconds(value, MICROSECOND)
    try:
        whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).timestamp()
    except ValueError:
        return -1
    return int(whole) * SECOND + int((found[2] or "0").ljust(9, "0"))


def _json_duration(value: Any) -> int:
    """Nanoseconds of `1.5s`, or of microseconds; -1 where it is neither."""
    found = _GO_DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return nanoseconds(value, MICROSECOND)
    return -1 if found[1].startswith("-") else int(found[1]) * SECOND + int((found[2] or "0").ljust(9, "0"))


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()
