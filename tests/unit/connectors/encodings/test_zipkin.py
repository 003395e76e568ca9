"""Zipkin's spans, v1, v2 and protobuf: what they say is judged as OTLP's are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.encodings.foreign_schemas import ZipkinSpans
from connectors.encodings.sources import Incoming, decode_as
from contracts.errors import UndecodableTelemetry
from contracts.frames import Decoded
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER
from tests.unit.connectors.encodings.refusals import tried

T0_US = 1_790_000_000_000_000
TRACE, SPAN, CHILD = "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "b2fb4a1d1a96d312"


def span(**fields: Any) -> dict[str, Any]:
    """A span of v2 that ended."""
    return {
        "traceId": TRACE,
        "id": SPAN,
        "name": "get /cart",
        "timestamp": T0_US,
        "duration": 1500,
        "localEndpoint": {"serviceName": "cart", "ipv4": "10.0.0.1"},
        **fields,
    }


def read(*spans: Any) -> Decoded:
    """What a message of these is decoded to."""
    return decode_as("zipkin_json", Incoming(json.dumps(list(spans)).encode()))


def peers_of(decoded: Decoded) -> list[str]:
    """Whom each span names."""
    assert decoded.spans is not None
    return [decoded.strings[i] for i in decoded.spans.peer]


@pytest.mark.parametrize(
    ("kind", "tags", "fails"),
    [
        ("SERVER", {"http.status_code": "503"}, True),
        ("SERVER", {"http.status_code": "404", "error": "404"}, False),
        ("CLIENT", {"http.status_code": "429"}, True),
        ("SERVER", {"error": "connection refused"}, True),
        ("SERVER", {"error": "true"}, True),
        ("SERVER", {"error": ""}, False),
        ("SERVER", {"grpc.status_code": "UNAVAILABLE"}, True),
        ("SERVER", {"otel.status_code": "ERROR"}, True),
        ("SERVER", {"otel.status_code": "OK", "error": "handled"}, False),
        ("SERVER", {}, False),
    ],
)
def test_tags_are_judged_by_the_table(kind: str, tags: dict[str, str], fails: bool) -> None:
    found = read(span(kind=kind, tags=tags)).spans
    assert found is not None
    assert found.error.tolist() == [fails]


@pytest.mark.parametrize(
    ("kind", "fields", "peer"),
    [
        ("CLIENT", {"remoteEndpoint": {"serviceName": "payment"}}, "external:payment"),
        ("CLIENT", {"remoteEndpoint": {"ipv4": "10.1.2.3", "port": 443}}, "external:10.1.2.3"),
        ("CLIENT", {"tags": {"db.system": "postgresql", "db.name": "orders"}}, "db:postgresql/orders"),
        (
            "PRODUCER",
            {"remoteEndpoint": {"serviceName": "kafka"}, "tags": {"kafka.topic": "orders"}},
            "messaging:kafka/orders",
        ),
        (
            "CONSUMER",
            {"remoteEndpoint": {"serviceName": "rabbitmq"}, "tags": {"rabbit.queue": "mails"}},
            "messaging:rabbitmq/mails",
        ),
        ("SERVER", {"remoteEndpoint": {"serviceName": "gateway"}}, ""),
    ],
)
def test_remote_endpoints_are_peers(kind: str, fields: dict[str, Any], peer: str) -> None:
    assert peers_of(read(span(kind=kind, **fields))) == [peer]


def test_two_sides_that_share_an_id_are_two_spans_and_their_children_the_servers() -> None:
    child = span(id=CHILD, parentId=SPAN, kind="CLIENT", localEndpoint={"serviceName": "cart"})
    found = read(span(kind="CLIENT", localEndpoint={"serviceName": "gateway"}), span(kind="SERVER", shared=True), child)
    spans = found.spans
    assert spans is not None
    assert len({*spans.span.tolist()}) == 3
    assert spans.parent[1] == spans.span[0]
    assert spans.parent[2] == spans.span[1]


def test_a_child_of_a_shared_span_that_came_elsewhere_is_the_servers_too() -> None:
    child = span(id=CHILD, parentId="c2fb4a1d1a96d312", kind="CLIENT")
    alone = read(span(id="c2fb4a1d1a96d312", kind="SERVER", shared=True), span(kind="SERVER", shared=True)).spans
    found = read(span(kind="SERVER", shared=True), child).spans
    assert alone is not None
    assert found is not None
    assert found.parent[1] == alone.span[0]


def test_the_first_version_of_json() -> None:
    endpoint, server = {"serviceName": "gateway", "ipv4": "10.0.0.1"}, {"serviceName": "cart"}
    old = {
        "traceId": TRACE[16:],
        "id": SPAN,
        "name": "get",
        "timestamp": T0_US,
        "duration": 2000,
        "annotations": [
            {"timestamp": T0_US, "value": "cs", "endpoint": endpoint},
            {"timestamp": T0_US + 200, "value": "sr", "endpoint": server},
            {"timestamp": T0_US + 1700, "value": "ss", "endpoint": server},
            {"timestamp": T0_US + 2000, "value": "cr", "endpoint": endpoint},
        ],
        "binaryAnnotations": [
            {"key": "http.status_code", "value": "500", "endpoint": server},
            {"key": "sa", "value": True, "endpoint": server},
        ],
    }
    found = read(old)
    spans = found.spans
    assert spans is not None
    assert spans.kind.tolist() == [KIND_CLIENT, KIND_SERVER]
    assert [found.resources[i].service for i in spans.resource] == ["gateway", "cart"]
    assert (spans.end_ns - spans.start_ns).tolist() == [2_000_000, 1_500_000]
    assert spans.error.tolist() == [True, True]
    assert spans.parent[1] == spans.span[0]
    assert peers_of(found) == ["external:cart", ""]


def test_a_local_span_of_the_first_version() -> None:
    local = {"key": "lc", "value": "spring", "endpoint": {"serviceName": "cart"}}
    old = {"traceId": "1", "id": "2", "name": "bang", "timestamp": T0_US, "duration": 7, "binaryAnnotations": [local]}
    found = read(old)
    assert found.resources[0].service == "cart"
    assert found.spans is not None
    assert (found.spans.trace.tolist(), found.spans.span.tolist(), found.spans.kind.tolist()) == ([1], [2], [1])


def test_protobuf_says_the_same_as_json() -> None:
    tags = {"http.status_code": "503", "http.method": "GET"}
    as_json = span(kind="CLIENT", parentId=CHILD, tags=tags, remoteEndpoint={"serviceName": "payment", "port": 80})
    message = ZipkinSpans()
    one = message.spans.add(trace_id=bytes.fromhex(TRACE), id=bytes.fromhex(SPAN), parent_id=bytes.fromhex(CHILD))
    one.kind, one.name, one.timestamp, one.duration = 1, b"get /cart", T0_US, 1500
    one.local_endpoint.service_name = b"cart"
    one.remote_endpoint.service_name, one.remote_endpoint.port = b"payment", 80
    for key, value in tags.items():
        one.tags.add(key=key.encode(), value=value.encode())
    found = decode_as("zipkin_proto", Incoming(message.SerializeToString()))
    expected = read(as_json)
    assert found.strings == expected.strings
    assert found.resources == expected.resources
    for column in ("trace", "span", "parent", "kind", "start_ns", "end_ns", "error", "name", "peer"):
        assert getattr(found.spans, column).tolist() == getattr(expected.spans, column).tolist()


def test_what_an_exporter_put_among_the_tags_of_the_sender_is_the_senders() -> None:
    found = read(
        span(kind="SERVER", tags={"k8s.pod.name": "cart-0", "service.namespace": "shop", "http.method": "GET"})
    )
    assert found.resources[0].service == "shop/cart"
    assert ("k8s.pod.name", "cart-0") in found.resources[0].attributes


def test_a_call_that_has_not_ended_is_counted_and_a_message_needs_no_duration() -> None:
    for kind, read_at_all in (("CLIENT", False), ("SERVER", False), ("PRODUCER", True), ("CONSUMER", True)):
        unfinished = span(kind=kind)
        del unfinished["duration"]
        found = read(unfinished)
        assert (found.spans is not None) is read_at_all
        assert found.skipped == ({} if read_at_all else {"bad_time": 1})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty"),
        (b"{}", "empty"),
        (b"[{", "truncated"),
        (b"not json", "invalid_json"),
        (b'"text"', "wrong_encoding"),
        (b'[{"traceId": "xyz", "id": "1"}]', "invalid_field"),
        (b'[{"id": "1"}]', "invalid_field"),
        (b"[3]", "invalid_field"),
        (b"[" * 5000, "invalid_json"),
    ],
)
def test_what_is_no_span_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(UndecodableTelemetry) as refused:
        decode_as("zipkin_json", Incoming(payload))
    assert refused.value.reason == reason


def test_an_empty_list_is_an_empty_request() -> None:
    assert read().is_empty


def test_a_broken_span_costs_no_other() -> None:
    found = read(span(kind="SERVER"), {"traceId": "zz"}, span(id=CHILD, kind="SERVER"))
    assert found.spans is not None
    assert len(found.spans) == 2
    assert found.skipped == {"invalid_field": 1}


endpoints = st.none() | st.fixed_dictionaries(
    {}, optional={"serviceName": st.text(), "ipv4": st.text(), "port": st.integers()}
)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
spans_of_all_kinds = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "traceId": st.sampled_from([TRACE, "1", "", "zz"]) | anything,
            "id": st.sampled_from([SPAN, CHILD, ""]) | anything,
            "parentId": st.sampled_from([SPAN, CHILD, ""]) | anything,
            "kind": st.sampled_from(["CLIENT", "SERVER", "PRODUCER", "CONSUMER"]) | anything,
            "timestamp": st.integers(-1, 1 << 64) | anything,
            "duration": st.integers(-1, 1 << 64) | anything,
            "name": anything,
            "shared": anything,
            "localEndpoint": endpoints | anything,
            "remoteEndpoint": endpoints | anything,
            "tags": st.dictionaries(st.text(), anything, max_size=3) | anything,
        },
    )
    | anything,
    max_size=4,
)


@given(spans_of_all_kinds)
def test_whatever_spans_hold_each_is_read_or_counted(given_spans: list[Any]) -> None:
    payload = json.dumps(given_spans).encode()
    found = tried(lambda: decode_as("zipkin_json", Incoming(payload)))
    if isinstance(found, str):
        assert found in {"invalid_field", "invalid_json", "wrong_encoding", "empty"}
        return
    read_spans = 0 if found.spans is None else len(found.spans)
    assert read_spans + sum(found.skipped.values()) == len(given_spans)


def test_kinds() -> None:
    found = read(
        *(span(kind=k, id=f"{i + 1}") for i, k in enumerate(("CLIENT", "SERVER", "PRODUCER", "CONSUMER")))
    ).spans
    assert found is not None
    assert found.kind.tolist() == [KIND_CLIENT, KIND_SERVER, KIND_PRODUCER, KIND_CONSUMER]
