"""Spans in every encoding become the same columns."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from connectors.otlp.decode import decode
from contracts.errors import UndecodableTelemetry
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_PRODUCER, KIND_SERVER, Decoded
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import MS, T0, as_json, descending, traces

SHOP = {"service.name": "checkout", "service.namespace": "shop", "service.version": "1.2"}


def same(left: Decoded, right: Decoded) -> bool:
    """Whether two results are equal column by column."""
    for name in ("spans", "points", "histograms", "logs"):
        a, b = getattr(left, name), getattr(right, name)
        if (a is None) != (b is None):
            return False
        if a is not None and not all(
            np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        ):
            return False
    return (left.strings, left.resources, left.skipped) == (right.strings, right.resources, right.skipped)


def message() -> Any:
    return traces(
        SHOP,
        {"name": "GET /orders", "code": 2, "attributes": {"http.response.status_code": 500}},
        {
            "kind": KIND_CLIENT,
            "parent_span_id": bytes(7) + b"\1",
            "attributes": {"db.system": "postgresql", "db.name": "orders", "server.address": "10.0.0.1"},
        },
        {"kind": KIND_PRODUCER, "attributes": {"messaging.system": "kafka", "messaging.destination.name": "paid"}},
        {"kind": KIND_CLIENT, "attributes": {"server.address": "payment"}},
    )


ENCODINGS = {
    "ascending": lambda m: m.SerializeToString(),
    "descending": descending,
    "json": as_json,
    "json_named_enums": lambda m: as_json(m, enums_as_numbers=False),
    "json_snake_case": lambda m: as_json(m, snake=True),
    "json_base64_ids": lambda m: as_json(m, hexadecimal=False),
    "json_with_bom": lambda m: b"\xef\xbb\xbf \n" + as_json(m),
    "json_after_line_feeds": lambda m: b"\n\n" + as_json(m),
    "json_with_nulls": lambda m: as_json(m).replace(b'"kind"', b'"status": null, "droppedLinksCount": null, "kind"', 1),
}


def test_columns_of_a_message() -> None:
    decoded = decode(OTLP_SPANS, message().SerializeToString())
    spans = decoded.spans
    assert spans is not None
    assert decoded.resources[0].service == "shop/checkout"
    assert decoded.resources[0].version == "1.2"
    assert spans.trace.tolist() == [1, 2, 3, 4]
    assert spans.span.tolist() == [1, 2, 3, 4]
    assert spans.parent.tolist() == [0, 1, 0, 0]
    assert spans.kind.tolist() == [KIND_SERVER, KIND_CLIENT, KIND_PRODUCER, KIND_CLIENT]
    assert spans.start_ns.tolist() == [T0] * 4
    assert spans.end_ns.tolist() == [T0 + 5 * MS] * 4
    assert spans.error.tolist() == [True, False, False, False]
    assert [decoded.strings[i] for i in spans.name] == ["GET /orders", "GET /", "GET /", "GET /"]
    assert [decoded.strings[i] for i in spans.peer] == [
        "",
        "db:postgresql/orders",
        "messaging:kafka/paid",
        "external:payment",
    ]
    assert spans.by_address.tolist() == [False, False, False, True]
    assert decoded.skipped == {}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_gives_the_same_columns(encoding: str) -> None:
    expected = decode(OTLP_SPANS, message().SerializeToString())
    assert same(decode(OTLP_SPANS, ENCODINGS[encoding](message())), expected)


def test_descending_order_is_another_byte_string() -> None:
    assert descending(message()) != message().SerializeToString()


@pytest.mark.parametrize("encode", [lambda m: m.SerializeToString(), as_json], ids=["protobuf", "json"])
def test_spans_on_another_topic_are_read_as_spans(encode: Any) -> None:
    decoded = decode(OTLP_METRICS, encode(message()))
    assert decoded.spans is not None
    assert len(decoded.spans) == 4


@pytest.mark.parametrize("encode", [lambda m: m.SerializeToString(), descending, as_json])
def test_a_server_error_without_a_status_is_an_error(encode: Any) -> None:
    spans = [
        {"attributes": {"http.status_code": 503}},
        {"attributes": {"http.response.status_code": 404}},
        {"attributes": {"http.response.status_code": 500}, "code": 1},
        {"attributes": {"http.status_code": 599}, "kind": 1},
        {"attributes": {"http.response.status_code": 511}, "kind": KIND_CLIENT},
    ]
    decoded = decode(OTLP_SPANS, encode(traces(SHOP, *spans)))
    assert decoded.spans is not None
    assert decoded.spans.error.tolist() == [True, False, False, False, True]


@pytest.mark.parametrize(
    ("attributes", "kind", "peer"),
    [
        ({"db.system.name": "redis", "server.address": "cache"}, KIND_CLIENT, "db:redis/cache"),
        ({"db.system": "redis", "net.peer.name": "10.1.2.3"}, KIND_CLIENT, "db:redis"),
        ({"db.system": "mysql", "db.namespace": "shop"}, 2, ""),
        ({"messaging.system": "rabbitmq", "messaging.destination": "mail"}, KIND_CONSUMER, "messaging:rabbitmq/mail"),
        ({"messaging.system": "kafka", "messaging.destination.name": "t"}, KIND_CLIENT, "messaging:kafka/t"),
        ({"rpc.system": "grpc", "server.address": "payment"}, KIND_CLIENT, "external:payment"),
        ({"rpc.system": "grpc", "server.address": "payment"}, KIND_SERVER, ""),
        ({"note": "db.system and messaging.system are words here"}, KIND_CLIENT, ""),
    ],
)
def test_peers(attributes: dict[str, str], kind: int, peer: str) -> None:
    plain: dict[str, Any] = {}
    for payload in (
        traces(SHOP, plain, {"kind": kind, "attributes": attributes}, plain).SerializeToString(),
        descending(traces(SHOP, plain, {"kind": kind, "attributes": attributes}, plain)),
        as_json(traces(SHOP, plain, {"kind": kind, "attributes": attributes}, plain)),
    ):
        decoded = decode(OTLP_SPANS, payload)
        assert decoded.spans is not None
        assert [decoded.strings[i] for i in decoded.spans.peer] == ["", peer, ""]


@pytest.mark.parametrize("encode", [lambda m: m.SerializeToString(), as_json], ids=["protobuf", "json"])
def test_bad_times_and_ids_are_counted_and_the_rest_is_kept(encode: Any) -> None:
    decoded = decode(
        OTLP_SPANS,
        encode(
            traces(
                SHOP,
                {"end_time_unix_nano": T0 - 1},
                {"start_time_unix_nano": 0},
                {"trace_id": b"short"},
                {"span_id": bytes(8)},
                {"parent_span_id": b"123"},
                {"name": "kept"},
                {"start_time_unix_nano": 1 << 63, "end_time_unix_nano": (1 << 63) + 1},
            )
        ),
    )
    assert decoded.spans is not None
    assert [decoded.strings[i] for i in decoded.spans.name] == ["kept"]
    assert sum(decoded.skipped.values()) == 6
    assert decoded.skipped["bad_time"] in (2, 3)  # JSON refuses the year 2262 as a field, protobuf as a time


def test_a_message_without_one_usable_span_names_the_place() -> None:
    bad = traces(SHOP, {"trace_id": b"short"}, {"trace_id": b""})
    for payload in (bad.SerializeToString(), as_json(bad)):
        with pytest.raises(UndecodableTelemetry) as caught:
            decode(OTLP_SPANS, payload)
        assert caught.value.reason == "invalid_field"
        assert "resourceSpans[0].scopeSpans[0].spans[0].traceId" in str(caught.value)


def test_one_field_of_the_wrong_type_costs_one_span() -> None:
    body = json.loads(as_json(message()))
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][1]["startTimeUnixNano"] = {"no": "time"}
    decoded = decode(OTLP_SPANS, json.dumps(body).encode())
    assert decoded.spans is not None
    assert len(decoded.spans) == 3
    assert decoded.skipped == {"invalid_field": 1}
    del body["resourceSpans"][0]["scopeSpans"][0]["spans"][2:]
    del body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    with pytest.raises(
        UndecodableTelemetry, match=r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]\.startTimeUnixNano"
    ):
        decode(OTLP_SPANS, json.dumps(body).encode())


def test_resources_appear_once() -> None:
    one, two = traces(SHOP, {}), traces({"service.name": "payment"}, {})
    one.MergeFrom(two)
    one.MergeFrom(traces(SHOP, {"span_id": b"12345678"}))
    decoded = decode(OTLP_SPANS, one.SerializeToString())
    assert [r.service for r in decoded.resources] == ["shop/checkout", "payment"]
    assert decoded.spans is not None
    assert decoded.spans.resource.tolist() == [0, 1, 0]


def test_text_that_is_not_utf8_costs_nothing_but_itself() -> None:
    database = {"db.system": "mysql", "db.name": "orders", "note": "yyyy"}
    resource = {**SHOP, "host.name": "zzzz"}
    payload = traces(resource, {"name": "GET /xx"}, {"kind": KIND_CLIENT, "attributes": database}).SerializeToString()
    for text in (b"/xx", b"yyyy", b"zzzz"):
        payload = payload.replace(text, b"\xff" * len(text))
    decoded = decode(OTLP_SPANS, payload)
    assert decoded.spans is not None
    assert [decoded.strings[i] for i in decoded.spans.name] == ["GET \ufffd\ufffd\ufffd", "GET /"]
    assert [decoded.strings[i] for i in decoded.spans.peer] == ["", "db:mysql/orders"]
    assert decoded.resources[0].service == "shop/checkout"
    assert decoded.resources[0].instance == "\ufffd" * 4


def test_a_status_message_that_is_not_utf8_leaves_the_code() -> None:
    message = traces(SHOP, {"code": 2}, {"code": 1}, {})
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.status.message = "zzzz"
    payload = message.SerializeToString()
    for encoded in (payload, descending(message)):
        decoded = decode(OTLP_SPANS, encoded.replace(b"zzzz", b"\xff" * 4))
        assert decoded.spans is not None
        assert decoded.spans.error.tolist() == [True, False, False]


def test_many_spans_of_all_sizes_keep_their_attributes_apart() -> None:
    spans = [
        {"kind": KIND_CLIENT, "name": "n" * (7 * i % 300), "attributes": {"db.system": f"s{i}", "x": "y" * (i * i)}}
        if i % 3
        else {"name": ""}
        for i in range(160)
    ]
    for payload in (traces(SHOP, *spans).SerializeToString(), descending(traces(SHOP, *spans))):
        decoded = decode(OTLP_SPANS, payload)
        assert decoded.spans is not None
        peers = [decoded.strings[i] for i in decoded.spans.peer]
        assert peers == [f"db:s{i}" if i % 3 else "" for i in range(160)]


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        (b"\x10\x05", True),  # deprecated_code UNKNOWN_ERROR
        (b"\x10\x0d\x18\x00", True),
        (b"\x10\x00", False),
        (b"\x18\x01\x10\x02", False),  # a code of today's counts
        (b"\x18\x02", True),
        (b"", False),
    ],
)
@pytest.mark.parametrize("times", [1, 200])
def test_codes_of_old_spans(status: bytes, failed: bool, times: int) -> None:
    message = traces({"service.name": "a"}, *({"kind": 1} for _ in range(times)))
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.status.MergeFromString(status)
    spans = decode(OTLP_SPANS, message.SerializeToString()).spans
    assert spans is not None
    assert spans.error.tolist() == [failed] * times


@pytest.mark.parametrize(
    ("status", "failed"),
    [
        ({"deprecatedCode": 2}, True),
        ({"deprecatedCode": "DEPRECATED_STATUS_CODE_UNKNOWN_ERROR"}, True),
        ({"deprecated_code": 13, "code": 0}, True),
        ({"deprecatedCode": "DEPRECATED_STATUS_CODE_OK"}, False),
        ({"deprecatedCode": 0}, False),
        ({"deprecatedCode": None}, False),
        ({"deprecatedCode": 2, "code": 1}, False),
        ({"code": "STATUS_CODE_ERROR"}, True),
    ],
)
def test_codes_of_old_spans_in_json(status: dict[str, object], failed: bool) -> None:
    snake = any("_" in key for key in status)
    body = json.loads(as_json(traces({"service.name": "a"}, {"kind": 1}), snake=snake))
    scopes = next(iter(body.values()))[0]["scope_spans" if snake else "scopeSpans"]
    scopes[0]["spans"][0]["status"] = status
    spans = decode(OTLP_SPANS, json.dumps(body).encode()).spans
    assert spans is not None
    assert spans.error.tolist() == [failed]
