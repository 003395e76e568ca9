"""Whatever the bytes: a `Decoded` or an `UndecodableTelemetry` with a reason from the list."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.otlp import decode as module
from connectors.otlp.decode import decode
from connectors.otlp.reasons import REFUSED, SKIPPED
from contracts.errors import UndecodableTelemetry, UnknownName
from contracts.frames.decoded import Decoded
from contracts.topics import INGRESS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, PARTIALS, RAW
from homeostat.bench import reading
from tests.unit.connectors.otlp import test_logs, test_spans
from tests.unit.connectors.otlp.builders import as_json, counter, descending, gauge, histogram, metrics
from tests.unit.connectors.otlp.test_spans import same

DEEP = 100_000
OUTCOMES = {"", *REFUSED}


def outcome(topic: str, payload: bytes) -> str:
    """The reason of a refusal, or "" where the message was decoded."""
    try:
        decoded = decode(topic, payload)
    except UndecodableTelemetry as e:
        return e.reason
    assert isinstance(decoded, Decoded)
    assert set(decoded.skipped) <= set(SKIPPED)
    return ""


def metrics_message() -> Any:
    message, scope = metrics({"service.name": "checkout"})
    gauge(scope, "process.memory.usage", 5.0, a="b")
    counter(scope, "process.cpu.time", 12)
    histogram(scope, "http.server.request.duration", [1, 2, 3], [0.1, 0.2])
    point = scope.metrics.add(name="http.server.request.duration").exponential_histogram.data_points.add(scale=2)
    point.positive.bucket_counts.extend([1, 2])
    return message


MESSAGES = {OTLP_SPANS: test_spans.message(), OTLP_METRICS: metrics_message(), OTLP_LOGS: test_logs.message()}
RAW_PAYLOAD = (
    b'{"service":"cart","timestamp":1700000000,"latencies_ms":[5],"responses":[{"status":200}],"cpu_percent":5}'
)
PAYLOADS = [
    (topic, encode(message))
    for topic, message in MESSAGES.items()
    for encode in (lambda m: m.SerializeToString(), descending, as_json, lambda m: as_json(m, snake=True))
] + [(RAW, RAW_PAYLOAD)]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (OTLP_SPANS, b"", "empty"),
        (OTLP_SPANS, b" \n\t ", "empty"),
        (OTLP_SPANS, b"\xef\xbb\xbf", "empty"),
        (OTLP_SPANS, b"{}", "empty"),
        (OTLP_SPANS, b"hello", "not_otlp"),
        (OTLP_SPANS, b"\x1f\x8b\x08", "not_otlp"),
        (OTLP_SPANS, b"[1]", "not_otlp"),
        (OTLP_SPANS, b'{"spans":[]}', "not_otlp"),
        (OTLP_SPANS, b'{"resourceProfiles":[]}', "wrong_signal"),
        (OTLP_SPANS, b'{"resourceSpans":[', "truncated"),
        (OTLP_SPANS, b'{"resourceSpans":[}', "invalid_json"),
        (OTLP_SPANS, b'{"resourceSpans":[NaN]}', "invalid_json"),
        (OTLP_SPANS, b'{"resourceSpans":{}}', "invalid_field"),
        (OTLP_SPANS, b'{"resourceSpans":[1]}', "invalid_field"),
        (OTLP_SPANS, b'{"resourceSpans":[{"resource":5,"scopeSpans":[{"spans":[{}]}]}]}', "invalid_field"),
        (OTLP_SPANS, b'{"a":"\xff"}', "invalid_json"),
        (OTLP_SPANS, b'{"resourceSpans":' + b"[" * DEEP, "invalid_json"),
        (OTLP_SPANS, b'{"x":' * DEEP, "invalid_json"),
        (OTLP_SPANS, b'{"resource_spans":' + b"[" * DEEP + b"]" * DEEP + b"}", "invalid_json"),
        (OTLP_SPANS, b"\n\x05ab", "truncated"),
        (OTLP_SPANS, b"\n\x03abc", "invalid_protobuf"),
        (RAW, b"\n\x03abc", "not_otlp"),
        (RAW, b"{}", "invalid_field"),
        (RAW, b'{"service":', "truncated"),
    ],
)
def test_reasons(topic: str, payload: bytes, reason: str) -> None:
    assert outcome(topic, payload) == reason


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    assert outcome(OTLP_SPANS, b"{" + b" " * 10) == "too_large"


def test_an_empty_list_is_a_message() -> None:
    assert decode(OTLP_SPANS, b'{"resourceSpans":[]}') == Decoded()
    assert decode(OTLP_SPANS, b"\n\x00").spans is None


def test_only_ingress_topics_are_decoded() -> None:
    with pytest.raises(UnknownName, match="otlp_spans"):
        decode(PARTIALS, b"{}")


@pytest.mark.parametrize(("topic", "payload"), PAYLOADS)
def test_every_truncation_has_an_outcome(topic: str, payload: bytes) -> None:
    outcomes = {outcome(topic, payload[:n]) for n in range(len(payload))}
    assert outcome(topic, payload) == ""
    assert "truncated" in outcomes


@given(st.sampled_from(INGRESS), st.binary(max_size=200))
@settings(max_examples=400)
def test_any_bytes_have_an_outcome(topic: str, payload: bytes) -> None:
    assert outcome(topic, payload) in OUTCOMES
    assert outcome(topic, b"\n" + payload) in OUTCOMES
    assert outcome(topic, b"{" + payload) in OUTCOMES


@given(st.sampled_from(PAYLOADS), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8))
@settings(max_examples=600)
def test_damaged_messages_have_an_outcome(chosen: tuple[str, bytes], damage: list[tuple[int, int]]) -> None:
    topic, payload = chosen
    damaged = bytearray(payload)
    for at, byte in damage:
        damaged[at % len(damaged)] = byte
    assert outcome(topic, bytes(damaged)) in OUTCOMES


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([p for p in PAYLOADS if p[1][:1] == b"{"]), JSON_VALUES, st.integers(0, 10_000))
@settings(max_examples=600)
def test_any_value_in_any_field_has_an_outcome(chosen: tuple[str, bytes], value: Any, where: int) -> None:
    topic, payload = chosen
    body = json.loads(payload)
    places: list[tuple[Any, Any]] = []
    _places(body, places)
    owner, key = places[where % len(places)]
    owner[key] = value
    assert outcome(topic, json.dumps(body).encode()) in OUTCOMES


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        found.append((value, key))
        _places(inner, found)


@given(st.dictionaries(st.text(max_size=12), JSON_VALUES, max_size=5))
def test_any_object_on_the_raw_topic_has_an_outcome(body: dict[str, Any]) -> None:
    assert outcome(RAW, json.dumps({"service": "a", "timestamp": 1, **body}).encode()) in OUTCOMES


def test_unknown_fields_are_ignored() -> None:
    body = json.loads(as_json(test_spans.message()))
    body["future"] = {"x": [1]}
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["future"] = {"deep": [{}]}
    assert same(decode(OTLP_SPANS, json.dumps(body).encode()), decode(OTLP_SPANS, as_json(test_spans.message())))


def test_protobuf_unknown_fields_are_ignored() -> None:
    payload = test_spans.message().SerializeToString()
    assert same(decode(OTLP_SPANS, payload + b"\xf8\x3e\x05"), decode(OTLP_SPANS, payload))


def test_decoding_is_a_function_of_the_bytes() -> None:
    for topic, payload in PAYLOADS:
        assert same(decode(topic, payload), decode(topic, payload))


def test_environment_of_resources_that_name_none() -> None:
    payload = test_spans.message().SerializeToString()
    assert decode(OTLP_SPANS, payload, default_environment="blue").resources[0].environment == "blue"
    assert decode(OTLP_SPANS, payload).resources[0].environment == "default"


def test_bench_messages_are_equal_in_both_encodings() -> None:
    left = decode(OTLP_SPANS, reading.protobuf_payload(200))
    right = decode(OTLP_SPANS, reading.json_payload(200))
    assert left.spans is not None
    assert len(left.spans) == 200
    assert same(left, right)
    assert same(left, decode(OTLP_SPANS, descending(reading.span_message(200))))
    assert reading.protobuf_payload(200) == reading.protobuf_payload(200)


def test_bench_measures_each_encoding() -> None:
    assert all(rate > 0 for rate in reading.run(seconds=0.01, spans=40).values())
