"""Whether a request failed: the same judgement on spans in every encoding and on metric points."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.otlp.conventions import standard
from connectors.otlp.decode import decode
from connectors.otlp.failures import judges
from contracts.frames.decoded import KIND_CLIENT, KIND_CONSUMER, KIND_SERVER, Decoded
from contracts.topics import OTLP_METRICS, OTLP_SPANS
from tests.unit.connectors.otlp.builders import as_json, descending, fill, histogram, metrics, traces

SHOP = {"service.name": "shop"}
MANY = 200
"""Spans from which on a message is read as columns."""
ENCODE = {"protobuf": lambda m: m.SerializeToString(), "descending": descending, "json": as_json}
INTERNAL = 1


def spans_of(span: dict[str, Any], encoding: str, *, many: bool) -> Decoded:
    """A span among others that are well."""
    well = {"attributes": {"http.response.status_code": 200, "url.path": "/x"}}
    return decode(OTLP_SPANS, ENCODE[encoding](traces(SHOP, well, span, *[well] * (MANY if many else 1))))


def on_spans(attributes: dict[str, Any], code: int = 0, kind: int = KIND_SERVER) -> bool:
    """The verdict on a span, which is the same in every encoding and number."""
    found = set()
    for encoding in ENCODE:
        for many in (False, True):
            decoded = spans_of({"attributes": attributes, "code": code, "kind": kind}, encoding, many=many)
            assert decoded.spans is not None
            found.add(bool(decoded.spans.error[1]))
            assert not decoded.spans.error[[0, *range(2, len(decoded.spans))]].any()
    (verdict,) = found
    return verdict


def on_points(attributes: dict[str, Any]) -> bool:
    """The verdict on a histogram's point."""
    message, scope = metrics(SHOP)
    fill(histogram(scope, "http.server.request.duration", [1, 2], [0.1]), attributes)
    rows = decode(OTLP_METRICS, message.SerializeToString()).histograms
    assert rows is not None
    return bool(rows.error[0])


SAID = [
    # OpenTelemetry, new and old
    ({"http.response.status_code": 500}, True),
    ({"http.response.status_code": 404, "error.type": "404"}, False),
    ({"http.status_code": 502}, True),
    ({"http.status_code": 429}, False),
    ({"http.status_code": 499}, False),
    ({"http.status_code": 302}, False),
    ({"http.response.status_code": 200, "error.type": "timeout"}, True),
    ({"error.type": "java.net.UnknownHostException"}, True),
    ({"error.type": "503"}, True),
    ({"error.type": "404"}, False),
    ({"error.type": "_OTHER"}, True),
    # texts: Envoy, Istio, Zipkin, Jaeger
    ({"http.status_code": "503", "response_flags": "UH", "component": "proxy"}, True),
    ({"http.status_code": "404", "response_flags": "-"}, False),
    ({"http.status_code": "200", "response_flags": "-"}, False),
    ({"http.status_code": "0", "response_flags": "UC"}, True),
    ({"http.status_code": "0", "response_flags": "DC"}, False),
    ({"http.status_code": 599.0}, True),
    # gRPC and Connect: numbers, texts, names as languages spell them
    ({"rpc.grpc.status_code": 14}, True),
    ({"rpc.grpc.status_code": 5}, False),
    ({"rpc.grpc.status_code": 0}, False),
    ({"rpc.grpc.status_code": "13"}, True),
    ({"rpc.response.status_code": "UNAVAILABLE"}, True),
    ({"rpc.response.status_code": "NOT_FOUND"}, False),
    ({"rpc.response.status_code": "DeadlineExceeded"}, True),
    ({"rpc.response.status_code": "InvalidArgument"}, False),
    ({"rpc.connect_rpc.error_code": "internal"}, True),
    ({"rpc.connect_rpc.error_code": "already_exists"}, False),
    ({"grpc.status_code": "StatusCode.UNIMPLEMENTED"}, True),
    ({"http.status_code": 200, "grpc.status_code": "14"}, True),
    ({"grpc_response_status": "2"}, True),
    ({"error.type": "RESOURCE_EXHAUSTED"}, False),
    # OpenTracing, Jaeger, Brave
    ({"error": True}, True),
    ({"error": "true"}, True),
    ({"error": False}, False),
    ({"error": "false"}, False),
    ({"error": "connection refused"}, True),
    ({"error": True, "http.status_code": 404}, False),
    ({"otel.status_code": "ERROR"}, True),
    ({"otel.status_code": "OK"}, False),
    # Micrometer, Spring Boot 2 and 3
    ({"status": "500", "outcome": "SERVER_ERROR", "exception": "None", "uri": "/x"}, True),
    ({"status": "404", "outcome": "CLIENT_ERROR", "exception": "none", "error": "none"}, False),
    ({"status": "200", "outcome": "SUCCESS", "exception": "None"}, False),
    ({"status": "UNKNOWN", "outcome": "UNKNOWN", "exception": "IOException"}, True),
    ({"outcome": "SERVER_ERROR"}, True),
    ({}, False),
    ({"http.request.method": "GET", "server.port": 500, "thread.id": 14}, False),
]


TABLE = standard()
RPC_NAMES = TABLE.table.judgement.rpc.names
RPC_FAULTS = {2, 4, 12, 13, 14, 15}
"""Of the server, by https://opentelemetry.io/docs/specs/semconv/rpc/grpc/."""


def spellings(code: int, name: str) -> list[Any]:
    """A code as SDKs, meshes and tracers write it."""
    words = [w.capitalize() for w in name.split("_")]
    named = [name, name.lower(), "".join(words), f"StatusCode.{name}", f"Status.Code.{name}", " ".join(words)]
    return [code, float(code), str(code), *(named if name else [])]


@given(st.sampled_from(TABLE.keys("http_status")), st.integers(100, 599), st.sampled_from((int, float, str)))
@settings(max_examples=200)
def test_a_code_is_the_same_whichever_attribute_and_type_it_has(key: str, code: int, written: Any) -> None:
    """A number, a text, a float: on spans, points and by who called."""
    for points in (False, True):
        judge = judges(TABLE)[points]
        assert judge.failed({key: written(code)}) == (code >= 500)
        assert judge.failed({key: written(code)}, caller=True) == (code >= 500 or code == 429)
        for kind in "1xx", "2XX", "4xx", "5xx":
            assert judge.failed({key: kind}) == (kind == "5xx")


@given(st.sampled_from(TABLE.keys("rpc_status")), st.integers(0, 16), st.data())
@settings(max_examples=200)
def test_an_rpc_code_is_the_same_whichever_attribute_and_spelling_it_has(key: str, code: int, data: Any) -> None:
    value = data.draw(st.sampled_from(spellings(code, RPC_NAMES[code])))
    for points in (False, True):
        judge = judges(TABLE)[points]
        assert judge.failed({key: value}) == (code in RPC_FAULTS)
        assert judge.failed({key: value}, status=2) == (code in RPC_FAULTS or code == 0)
        assert judge.failed({key: value}, caller=True) == (code in RPC_FAULTS or code == 8)


@given(st.sampled_from(TABLE.keys("error_flag")), st.sampled_from((True, "true", "True", "TRUE", 1, "1", "yes")))
def test_a_flag_is_a_bool_a_text_or_a_number(key: str, value: Any) -> None:
    for points in (False, True):
        assert judges(TABLE)[points].failed({key: value})
        assert not judges(TABLE)[points].failed({key: False if value is True else "false"})


@pytest.mark.parametrize(("attributes", "failed"), SAID)
def test_spans_and_metrics_judge_the_same_fact_alike(attributes: dict[str, Any], failed: bool) -> None:
    assert on_points(attributes) == failed
    assert on_spans(attributes) == failed


@pytest.mark.parametrize(
    ("attributes", "code", "kind", "failed"),
    [
        ({"rpc.grpc.status_code": 5}, 2, KIND_SERVER, False),
        ({"rpc.response.status_code": "NOT_FOUND", "error.type": "NOT_FOUND"}, 2, KIND_SERVER, False),
        ({"http.response.status_code": 404}, 2, KIND_SERVER, False),
        ({"http.response.status_code": "422"}, 2, KIND_SERVER, False),
        ({"http.response.status_code": 404, "error.type": "404"}, 2, KIND_CLIENT, False),
        ({"http.response.status_code": 402}, 2, KIND_CLIENT, False),
        ({"rpc.grpc.status_code": 5}, 2, KIND_CLIENT, False),
        ({"http.response.status_code": 429}, 2, KIND_CLIENT, True),
        ({"http.response.status_code": 429}, 2, KIND_SERVER, False),
        ({"rpc.grpc.status_code": 8}, 0, KIND_CLIENT, True),
        ({"rpc.grpc.status_code": 8}, 2, KIND_SERVER, False),
        ({"http.response.status_code": 200}, 2, KIND_SERVER, True),
        ({"rpc.grpc.status_code": 0}, 2, KIND_SERVER, True),
        ({"db.system": "redis"}, 2, KIND_CLIENT, True),
        ({"error.type": "ECONNREFUSED"}, 2, KIND_CLIENT, True),
        ({"http.response.status_code": 503}, 1, KIND_SERVER, False),
        ({"http.status_code": 503}, 0, INTERNAL, False),
        ({"http.status_code": 404}, 2, INTERNAL, True),
        ({"http.status_code": 404}, 2, KIND_CONSUMER, True),
        ({"error": True}, 0, INTERNAL, True),
        ({"error.type": "ValueError"}, 0, KIND_CONSUMER, True),
        ({}, 2, KIND_SERVER, True),
    ],
)
def test_a_code_says_whose_fault_it_was_else_the_status_decides(
    attributes: dict[str, Any], code: int, kind: int, failed: bool
) -> None:
    assert on_spans(attributes, code, kind) == failed


@pytest.mark.parametrize(
    ("escaped", "attributes", "failed"),
    [
        (True, {}, True),
        ("True", {}, True),
        ("true", {"http.response.status_code": 200}, True),
        (False, {}, False),
        ("False", {}, False),
        (None, {}, False),
        (True, {"http.response.status_code": 404}, False),
    ],
)
@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("encoding", ENCODE)
def test_an_exception_that_left_its_span_is_a_failure_and_one_that_was_handled_is_none(
    escaped: Any, attributes: dict[str, Any], failed: bool, many: bool, encoding: str
) -> None:
    message = traces(SHOP, {}, {"attributes": attributes}, *[{}] * (MANY if many else 1))
    event = message.resource_spans[0].scope_spans[0].spans[1].events.add(name="exception")
    fill(event, {"exception.type": "ValueError"} | ({} if escaped is None else {"exception.escaped": escaped}))
    decoded = decode(OTLP_SPANS, ENCODE[encoding](message))
    assert decoded.spans is not None
    assert decoded.spans.error[1] == failed
    assert decoded.spans.error.sum() == failed


@pytest.mark.parametrize("many", [False, True])
def test_many_that_say_different_things_are_each_judged(many: bool) -> None:
    codes = [200, 503, 404, "500", "200", 100, 599, "nonsense", 600, 99]
    spans = [
        {"attributes": {"http.status_code": c, "url.path": f"/{i}", "error.type" if i % 7 == 0 else "x": "y"}}
        for i, c in enumerate(codes * (30 if many else 1))
    ]
    judge = judges(standard())[0]
    for encode in ENCODE.values():
        decoded = decode(OTLP_SPANS, encode(traces(SHOP, *spans)))
        assert decoded.spans is not None
        assert decoded.spans.error.tolist() == [judge.failed(s["attributes"]) for s in spans]
