"""Jaeger's spans, in protobuf and in the spellings of JSON: what they say is judged as OTLP's are."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.encodings.foreign_schemas import JaegerSpan
from connectors.encodings.sources import Incoming, decode_as
from contracts.errors import UndecodableTelemetry
from contracts.frames import Decoded
from contracts.frames.decoded import KIND_CLIENT, KIND_SERVER
from tests.unit.connectors.encodings.refusals import tried

TRACE, SPAN, PARENT = bytes(range(1, 17)), bytes(range(1, 9)), bytes(range(2, 10))
T0_S = 1_790_000_000


def as_text(raw: bytes) -> str:
    """Bytes as protobuf's JSON has them."""
    return base64.b64encode(raw).decode()


def span(tags: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A span as Go's jsonpb writes it."""
    return {
        "traceId": as_text(TRACE),
        "spanId": as_text(SPAN),
        "operationName": "GET /cart",
        "startTime": "2026-09-21T14:13:20.250Z",
        "duration": "0.015s",
        "tags": [tag(k, v) for k, v in (tags or {}).items()],
        "process": {"serviceName": "cart", "tags": [{"key": "hostname", "vStr": "cart-0"}]},
        **fields,
    }


def tag(key: str, value: Any) -> dict[str, Any]:
    """A tag as jsonpb writes it: the type of text is left away, 64-bit numbers are texts."""
    if isinstance(value, bool):
        return {"key": key, "vType": "BOOL", "vBool": value}
    if isinstance(value, int):
        return {"key": key, "vType": "INT64", "vInt64": str(value)}
    return {"key": key, "vStr": value}


def read(body: Any) -> Decoded:
    """What a message of JSON is decoded to."""
    return decode_as("jaeger_json", Incoming(json.dumps(body).encode()))


def peer_of(decoded: Decoded) -> str:
    """Whom the first span names."""
    assert decoded.spans is not None
    return decoded.strings[int(decoded.spans.peer[0])]


@pytest.mark.parametrize(
    ("tags", "fails"),
    [
        ({"span.kind": "server", "error": True}, True),
        ({"span.kind": "server", "error": False}, False),
        ({"span.kind": "server", "error": "true"}, True),
        ({"span.kind": "server", "http.status_code": 503}, True),
        ({"span.kind": "server", "http.status_code": "503"}, True),
        ({"span.kind": "server", "http.status_code": 404, "error": True}, False),
        ({"span.kind": "client", "http.status_code": 429}, True),
        ({"span.kind": "client", "http.status_code": 404}, False),
        ({"span.kind": "server", "otel.status_code": "ERROR"}, True),
        ({"span.kind": "server", "grpc.code": "Unavailable"}, True),
    ],
)
def test_tags_are_judged_by_the_table(tags: dict[str, Any], fails: bool) -> None:
    found = read(span(tags)).spans
    assert found is not None
    assert found.error.tolist() == [fails]
    assert found.kind.tolist() == [KIND_SERVER if tags["span.kind"] == "server" else KIND_CLIENT]


@pytest.mark.parametrize(
    ("tags", "peer"),
    [
        ({"span.kind": "client", "peer.service": "payment"}, "external:payment"),
        ({"span.kind": "client", "peer.hostname": "api.bank.example"}, "external:api.bank.example"),
        ({"span.kind": "client", "peer.ipv4": "10.1.2.3"}, "external:10.1.2.3"),
        ({"span.kind": "client", "db.type": "redis", "db.instance": "carts"}, "db:redis/carts"),
        (
            {"span.kind": "producer", "component": "java-kafka", "message_bus.destination": "orders"},
            "messaging:kafka/orders",
        ),
        (
            {"span.kind": "consumer", "component": "spring-rabbitmq", "message_bus.destination": "mails"},
            "messaging:rabbitmq/mails",
        ),
    ],
)
def test_tags_name_peers(tags: dict[str, Any], peer: str) -> None:
    assert peer_of(read(span(tags))) == peer


def test_times_ids_and_process() -> None:
    found = read(span({"span.kind": "server"}, references=[{"traceId": as_text(TRACE), "spanId": as_text(PARENT)}]))
    spans = found.spans
    assert spans is not None
    assert (spans.end_ns - spans.start_ns).tolist() == [15_000_000]
    assert spans.start_ns.tolist() == [T0_S * 10**9 + 250_000_000]
    assert spans.trace.tolist() == [int.from_bytes(TRACE[8:], "big")]
    assert (spans.span.tolist(), spans.parent.tolist()) == (
        [int.from_bytes(SPAN, "big")],
        [int.from_bytes(PARENT, "big")],
    )
    assert (found.resources[0].service, found.resources[0].instance) == ("cart", "cart-0")


@pytest.mark.parametrize(
    ("references", "parent"),
    [
        ([("FOLLOWS_FROM", TRACE, SPAN), ("CHILD_OF", TRACE, PARENT)], PARENT),
        ([("FOLLOWS_FROM", TRACE, PARENT)], PARENT),
        ([("CHILD_OF", bytes(15) + b"\1", PARENT)], None),
        ([], None),
    ],
)
def test_of_several_references_the_parent_is_the_one(references: list[Any], parent: bytes | None) -> None:
    given_refs = [{"refType": k, "traceId": as_text(t), "spanId": as_text(s)} for k, t, s in references]
    found = read(span(references=given_refs)).spans
    assert found is not None
    assert found.parent.tolist() == [int.from_bytes(parent, "big") if parent else 0]


def test_json_as_storage_and_the_api_have_it() -> None:
    stored = {
        "traceID": "fb4a1d1a96d312",  # leading zeros are left away
        "spanID": SPAN.hex(),
        "operationName": "GET /cart",
        "references": [{"refType": "CHILD_OF", "traceID": "fb4a1d1a96d312", "spanID": PARENT.hex()}],
        "startTime": T0_S * 10**6,
        "duration": 15_000,
        "tags": [
            {"key": "span.kind", "type": "string", "value": "server"},
            {"key": "http.status_code", "type": "int64", "value": 500},
        ],
        "processID": "p1",
    }
    answer = {"data": [{"traceID": "fb4a1d1a96d312", "spans": [stored], "processes": {"p1": {"serviceName": "cart"}}}]}
    for body in (answer, {**stored, "process": {"serviceName": "cart", "tags": []}}):
        found = read(body)
        assert found.spans is not None
        assert found.spans.trace.tolist() == [0xFB4A1D1A96D312]
        assert found.spans.parent.tolist() == [int.from_bytes(PARENT, "big")]
        assert found.spans.error.tolist() == [True]
        assert (found.spans.end_ns - found.spans.start_ns).tolist() == [15_000_000]
        assert found.resources[0].service == "cart"


def as_protobuf(body: dict[str, Any]) -> bytes:
    """The span of `span` in protobuf."""
    message = JaegerSpan(trace_id=TRACE, span_id=SPAN, operation_name=body["operationName"].encode())
    message.start_time.seconds, message.start_time.nanos = T0_S, 250_000_000
    message.duration.nanos = 15_000_000
    message.process.service_name = b"cart"
    message.process.tags.add(key=b"hostname", v_str=b"cart-0")
    for t in body["tags"]:
        one = message.tags.add(key=t["key"].encode())
        if "vInt64" in t:
            one.v_type, one.v_int64 = 2, int(t["vInt64"])
        elif "vBool" in t:
            one.v_type, one.v_bool = 1, t["vBool"]
        else:
            one.v_str = t["vStr"].encode()
    for r in body.get("references", ()):
        message.references.add(trace_id=base64.b64decode(r["traceId"]), span_id=base64.b64decode(r["spanId"]))
    return message.SerializeToString()  # type: ignore[no-any-return]


def test_protobuf_says_the_same_as_json() -> None:
    tags = {"span.kind": "client", "http.status_code": 503, "peer.service": "payment", "error": True}
    body = span(tags, references=[{"traceId": as_text(TRACE), "spanId": as_text(PARENT)}])
    found, expected = decode_as("jaeger_proto", Incoming(as_protobuf(body))), read(body)
    assert (found.strings, found.resources) == (expected.strings, expected.resources)
    for column in ("trace", "span", "parent", "kind", "start_ns", "end_ns", "error", "name", "peer"):
        assert getattr(found.spans, column).tolist() == getattr(expected.spans, column).tolist()


def test_an_exception_that_left_the_span_is_a_failure() -> None:
    fields = [tag("event", "exception"), tag("exception.type", "IOError"), tag("exception.escaped", True)]
    found = read(span({"span.kind": "server"}, logs=[{"timestamp": "2026-09-21T14:13:20Z", "fields": fields}])).spans
    assert found is not None
    assert found.error.tolist() == [True]


@pytest.mark.parametrize(
    ("encoding", "payload", "reason"),
    [
        ("jaeger_json", b"", "empty"),
        ("jaeger_json", b"{}", "empty"),
        ("jaeger_json", b'{"traceId"', "truncated"),
        ("jaeger_json", b"spans", "invalid_json"),
        ("jaeger_json", b'{"resourceSpans": []}', "wrong_encoding"),
        ("jaeger_json", b'{"traceId": "zz", "spanId": "zz"}', "invalid_field"),
        ("jaeger_proto", b"\x0a\x10\x01", "truncated"),
        ("jaeger_proto", b"{}", "invalid_protobuf"),
        ("jaeger_proto", b"\xa2\x06\x01a", "wrong_encoding"),
        ("jaeger_proto", b"\x1a\x01a", "invalid_field"),
    ],
)
def test_what_is_no_span_is_refused(encoding: str, payload: bytes, reason: str) -> None:
    with pytest.raises(UndecodableTelemetry) as refused:
        decode_as(encoding, Incoming(payload))
    assert refused.value.reason == reason


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
tags_of_all_kinds = st.lists(
    st.fixed_dictionaries(
        {"key": st.sampled_from(["span.kind", "error", "component", "message_bus.destination"]) | anything},
        optional=dict.fromkeys(("vType", "vStr", "vBool", "vInt64", "type", "value"), anything),
    )
    | anything,
    max_size=3,
)
one_span = st.fixed_dictionaries(
    {"traceId": st.just(as_text(TRACE)) | anything, "spanId": st.just(as_text(SPAN)) | anything},
    optional={
        "startTime": st.just("2026-09-21T14:13:20.25Z") | anything,
        "duration": st.just("1.5s") | anything,
        "operationName": anything,
        "tags": tags_of_all_kinds | anything,
        "process": st.fixed_dictionaries({"serviceName": anything, "tags": tags_of_all_kinds}) | anything,
        "references": st.lists(st.fixed_dictionaries({"traceId": anything, "spanId": anything}), max_size=2) | anything,
        "logs": st.lists(st.fixed_dictionaries({"fields": tags_of_all_kinds}), max_size=2) | anything,
    },
)


@given(st.lists(one_span, max_size=3))
def test_whatever_spans_hold_each_is_read_or_counted(spans: list[Any]) -> None:
    found = tried(lambda: read(spans))
    if isinstance(found, str):
        assert found in {"invalid_field", "empty", "invalid_json"}  # infinity is no JSON
        return
    read_spans = 0 if found.spans is None else len(found.spans)
    assert read_spans + sum(found.skipped.values()) == len(spans)
