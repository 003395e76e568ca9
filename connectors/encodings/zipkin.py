"""Zipkin's spans as OTLP: JSON v1 and v2, and protobuf.

https://zipkin.io/zipkin-api/zipkin2-api.yaml, https://zipkin.io/zipkin-api/zipkin-api.yaml (v1), https://github.com/openzipkin/b3-propagation

In Zipkin's world the two sides of a call may share one span id; in OTLP each span has its own. The server's side gets another id (always
the same one), the shared one for parent, and so do spans of that service that name the shared id as their parent.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from google.protobuf.message import DecodeError

from connectors.encodings.foreign_schemas import ZipkinSpans
from connectors.encodings.span_builder import (
    SPAN_BYTES,
    TRACE_BYTES,
    SpanBuilder,
    hex_id,
    kind_of,
    nanoseconds,
    other_id,
    texts,
    whole_id,
)
from connectors.otlp.json_model import ERRORS
from connectors.otlp.reasons import EMPTY, WRONG_ENCODING, malformed_json, malformed_protobuf, refuse
from connectors.otlp.values import Plain
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from contracts.units import MICROSECOND

_KINDS: Final = (0, KIND_CLIENT, KIND_SERVER, KIND_PRODUCER, KIND_CONSUMER)
"""OTLP's kinds by the number of Zipkin's."""
_SERVED: Final = (KIND_SERVER, KIND_CONSUMER)
_ASKED: Final = (KIND_CLIENT, KIND_PRODUCER)
_BEGINS_AND_ENDS: Final = {
    KIND_CLIENT: ("cs", "cr"),
    KIND_SERVER: ("sr", "ss"),
    KIND_PRODUCER: ("ms", "ws"),
    KIND_CONSUMER: ("mr", "wr"),
}
"""Values of v1's annotations that say when a side began and ended."""
_REMOTE: Final = {KIND_CLIENT: ("sa",), KIND_SERVER: ("ca",), KIND_PRODUCER: ("ma", "sa"), KIND_CONSUMER: ("ma", "ca")}
"""Keys of v1's binary annotations whose endpoint is the other side."""
_ADDRESSES: Final = frozenset({"sa", "ca", "ma"})


@dataclass(slots=True)
class ZipkinSide:
    """One side of one span, whatever it was written in; times and durations in ns."""

    trace: bytes
    span: bytes
    parent: bytes
    name: str
    kind: int
    start_ns: int
    duration_ns: int
    service: str
    tags: dict[str, Plain] = field(default_factory=dict)
    shared: bool = False


def from_json(payload: bytes, builder: SpanBuilder) -> None:
    """The spans of a JSON array (or a single span) of v1 or v2.

    Raises:
        UndecodableTelemetry: it is not JSON, or holds no spans.
    """
    try:
        body = msgspec.json.decode(payload)
    except ERRORS as e:
        raise malformed_json(e) from e
    spans = [body] if isinstance(body, dict) else body
    if not isinstance(spans, list):
        raise refuse(WRONG_ENCODING, "the JSON is neither a list of Zipkin spans nor one")
    if body == {}:
        raise refuse(EMPTY)
    sides: list[ZipkinSide] = []
    for i, span in enumerate(spans):
        problem = "expected an object" if not isinstance(span, dict) else _read_json(span, sides)
        if problem:
            builder.skips.invalid(f"[{i}]", problem)
    _add(sides, builder)


def from_proto(payload: bytes, builder: SpanBuilder) -> None:
    """The spans of a ListOfSpans.

    Raises:
        UndecodableTelemetry: it is not protobuf of that kind.
    """
    try:
        spans = ZipkinSpans.FromString(payload).spans
    except DecodeError as e:
        raise malformed_protobuf(payload, "zipkin_proto") from e
    sides: list[ZipkinSide] = []
    for i, span in enumerate(spans):
        ids = _ids(
            whole_id(span.trace_id, TRACE_BYTES), whole_id(span.id, SPAN_BYTES), whole_id(span.parent_id, SPAN_BYTES)
        )
        if isinstance(ids, str):
            builder.skips.invalid(f"spans[{i}]", ids)
            continue
        kind = _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else 0
        remote = _endpoint_tags(kind, _proto_endpoint(span.remote_endpoint))
        sides.append(
            ZipkinSide(
                *ids,
                name=span.name.decode("utf-8", "replace"),
                kind=kind,
                start_ns=nanoseconds(span.timestamp, MICROSECOND),
                duration_ns=nanoseconds(span.duration, MICROSECOND),
                service=span.local_endpoint.service_name.decode("utf-8", "replace"),
                tags={**remote, **texts(span.tags)},
                shared=span.shared,
            )
        )
    _add(sides, builder)


def _read_json(span: Mapping[str, Any], sides: list[ZipkinSide]) -> str:
    """Add the sides of a JSON span; what is wrong with it, or ""."""
    trace = span.get("traceId")
    if isinstance(trace, str) and len(trace) > 2 * TRACE_BYTES:
        return f"traceId: {len(trace)} digits"
    ids = _ids(hex_id(trace, TRACE_BYTES), hex_id(span.get("id"), SPAN_BYTES), hex_id(span.get("parentId"), SPAN_BYTES))
    if isinstance(ids, str):
        return ids
    annotations, binary = span.get("annotations"), span.get("binaryAnnotations")
    old = isinstance(binary, list) or any("endpoint" in a for a in _dicts(annotations))
    if old and "localEndpoint" not in span and "kind" not in span:
        sides.extend(_first_version(span, ids, list(_dicts(annotations)), list(_dicts(binary))))
        return ""
    kind, tags = kind_of(span.get("kind")), span.get("tags")
    if tags is not None and not isinstance(tags, dict):
        return "tags: expected an object"
    remote = _endpoint_tags(kind, span.get("remoteEndpoint"))
    sides.append(
        ZipkinSide(
            *ids,
            name=_text(span.get("name")),
            kind=kind,
            start_ns=nanoseconds(span.get("timestamp"), MICROSECOND),
            duration_ns=nanoseconds(span.get("duration", 0), MICROSECOND),
            service=_service(span.get("localEndpoint")),
            tags={**remote, **(tags or {})},
            shared=span.get("shared") is True,
        )
    )
    return ""


def _first_version(
    span: Mapping[str, Any], ids: tuple[bytes, bytes, bytes], annotations: list[Any], binary: list[Any]
) -> list[ZipkinSide]:
    """The sides of a span of v1: annotations say which there are and when; without any it is a local span."""
    at = {a["value"]: a for a in reversed(annotations) if isinstance(a.get("value"), str)}
    tags = {
        str(b.get("key")): b.get("value") for b in binary if b.get("key") not in _ADDRESSES and b.get("key") is not None
    }
    said_start, said_duration = (
        nanoseconds(span.get("timestamp"), MICROSECOND),
        nanoseconds(span.get("duration"), MICROSECOND),
    )
    sides = []
    for kind, (begin, end) in _BEGINS_AND_ENDS.items():
        if begin not in at and end not in at:
            continue
        first = nanoseconds(at.get(begin, {}).get("timestamp"), MICROSECOND)
        last = nanoseconds(at.get(end, {}).get("timestamp"), MICROSECOND)
        start = first if first > 0 else said_start
        duration = last - first if last >= first > 0 else said_duration
        endpoint = (at.get(begin) or at[end]).get("endpoint")
        remote = next((b.get("endpoint") for key in _REMOTE[kind] for b in binary if b.get("key") == key), None)
        owned = said_start > 0  # who began the span says when; the server's side of a shared one does not
        sides.append(
            ZipkinSide(
                *ids,
                name=_text(span.get("name")),
                kind=kind,
                start_ns=start,
                duration_ns=max(duration, 0),
                service=_service(endpoint),
                tags={**_endpoint_tags(kind, remote), **tags},
                shared=kind in _SERVED and not owned,
            )
        )
    if len(sides) > 1:
        for side in sides:
            side.shared |= side.kind in _SERVED
    if sides:
        return sides
    endpoint = next((x.get("endpoint") for x in (*binary, *annotations) if x.get("endpoint")), None)
    return [ZipkinSide(*ids, _text(span.get("name")), 0, said_start, max(said_duration, 0), _service(endpoint), tags)]


def _ids(trace: bytes | None, span: bytes | None, parent: bytes | None) -> tuple[bytes, bytes, bytes] | str:
    """The three ids, or what is wrong with them."""
    for name, found in (("traceId", trace), ("id", span), ("parentId", parent)):
        if found is None:
            return f"{name}: not an id of the right length"
    if not trace or not span:
        return "traceId or id: missing"
    return trace, span, parent or b""


def _add(sides: list[ZipkinSide], builder: SpanBuilder) -> None:
    shared = {(s.service, s.trace, s.span) for s in sides if s.shared}
    sharing = {service for service, _, _ in shared}
    own = {(s.service, s.trace, s.span) for s in sides if not s.shared}
    for side in sides:
        parent, span_id = side.parent, side.span
        if side.shared:
            parent, span_id = side.span, other_id(side.span)
        elif parent and side.service in sharing and side.kind not in _SERVED:
            key = (side.service, side.trace, parent)
            # Spans of one request may come in several messages: whose parent is not in this one is a child of the served request.
            if key in shared or key not in own:
                parent = other_id(parent)
        span = builder.add({"service.name": side.service}, side.tags)
        span.trace_id, span.span_id, span.parent_span_id = side.trace, span_id, parent
        span.name, span.kind = side.name.encode("utf-8", "replace").decode(), side.kind or 1
        if side.start_ns > 0:
            span.start_time_unix_nano = side.start_ns
            # Messages and local spans may have no duration; a call without one has not ended yet, and its end comes in another span.
            if side.duration_ns > 0 or side.kind not in (KIND_CLIENT, KIND_SERVER):
                span.end_time_unix_nano = side.start_ns + max(side.duration_ns, 0)


def _endpoint_tags(kind: int, endpoint: Any) -> dict[str, Plain]:
    """The other side of a call as attributes, where it is the one that was asked."""
    if kind not in (*_ASKED, KIND_CONSUMER) or not isinstance(endpoint, Mapping):
        return {}
    name, address = _service(endpoint), endpoint.get("ipv4") or endpoint.get("ipv6")
    found: dict[str, Plain] = {}
    if name and kind == KIND_CLIENT:
        found["peer.service"] = name
    elif name:  # of a message the other side is its broker
        found["messaging.system"] = name
    if address:
        found["network.peer.address"] = _text(address)
    if isinstance(endpoint.get("port"), int) and endpoint["port"]:
        found["network.peer.port"] = endpoint["port"]
    return found


def _proto_endpoint(endpoint: Any) -> dict[str, Any]:
    raw = endpoint.ipv4 or endpoint.ipv6
    address = str(ipaddress.ip_address(bytes(raw))) if len(raw) in (4, 16) else ""
    return {
        "serviceName": endpoint.service_name.decode("utf-8", "replace"),
        "ipv4": address,
        "port": endpoint.port,
    }


def _service(endpoint: Any) -> str:
    return _text(endpoint.get("serviceName")) if isinstance(endpoint, Mapping) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return (v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()
