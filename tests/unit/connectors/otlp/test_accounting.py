"""Nothing is lost silently: every record of every message is read, left out and counted, or the message is refused whole.

The records that went in are counted by readers of their own, which share no code with the decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from connectors.otlp.decode import decode
from connectors.otlp.split import split
from connectors.otlp.wire import Malformed, fields, modern, signal_of, varint
from contracts.errors import UndecodableTelemetry
from contracts.frames import Decoded
from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW
from tests.checks.fuzz.garbage import garbage, good
from tests.unit.connectors.otlp.builders import T0, as_json, counter, gauge, histogram, logs, metrics, traces

FIELD = Path(__file__).parents[5] / "shared" / "field" / "inputs"
DATA = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
SHAPES = {
    "resourceSpans": ("scopeSpans", "instrumentationLibrarySpans", "spans", "spans"),
    "resourceMetrics": ("scopeMetrics", "instrumentationLibraryMetrics", "metrics", "metrics"),
    "resourceLogs": ("scopeLogs", "instrumentationLibraryLogs", "logRecords", "logs"),
}


def accounted(decoded: Decoded) -> int:
    """Records that were read, added to others, or left out."""
    batches = (decoded.spans, decoded.points, decoded.histograms, decoded.logs)
    return sum(len(b) for b in batches if b is not None) + decoded.added + sum(decoded.skipped.values())


def records(topic: str, payload: bytes) -> int | None:
    """Records of a message; None where the plain readers can't read it."""
    if topic == RAW:
        return _of_raw(payload)
    if payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        try:
            return sum(_of_json(json.loads(payload.decode("utf-8-sig"))))
        except (ValueError, RecursionError):
            return None
    message = {OTLP_SPANS: TracesData, OTLP_METRICS: MetricsData, OTLP_LOGS: LogsData}[signal_of(payload) or topic]()
    try:
        message.ParseFromString(payload)
    except DecodeError:
        return None
    return sum(_of_protobuf(message)) + sum(
        _strange_fields(modern(payload), 0, metrics=isinstance(message, MetricsData))
    )


BELOW = ({1}, {2}, {2}, {5, 7, 9, 10, 11}, {1})
"""Fields in which the records of a message, a resource, a scope, a metric and of data stand."""
BESIDE = (set(), {1, 3}, {1, 3})


def _strange_fields(body: bytes, level: int, *, metrics: bool) -> Iterator[int]:
    """Records in fields that OTLP doesn't have, of a message (level 0), its resources and their scopes."""
    for number, wire, start, end in fields(body, 0, len(body)):
        inner = body[start:end]
        if wire == 2 and number in BELOW[level] and level < 2:
            yield from _strange_fields(inner, level + 1, metrics=metrics)
        elif wire == 2 and number in BELOW[level] and metrics:
            yield from _strange_metric(inner)
        elif wire == 2 and number not in BELOW[level] | BESIDE[level]:
            yield max(1, _leaves(inner, level + 1, metrics=metrics))


def _leaves(body: bytes, level: int, *, metrics: bool) -> int:
    """Records in what stands at a level: a resource (1), a scope (2), a metric (3), its data (4)."""
    if level == 5 or (level == 3 and not metrics):
        return 1
    try:
        parts = [body[s:e] for n, w, s, e in fields(body, 0, len(body)) if w == 2 and n in BELOW[level]]
    except Malformed:
        return 1
    return sum(max(1, _leaves(part, level + 1, metrics=metrics)) for part in parts)


def _strange_metric(metric: bytes) -> Iterator[int]:
    known = [(n, s, e) for n, w, s, e in fields(metric, 0, len(metric)) if w == 2 and n in BELOW[3]]
    if not known:
        strange = [metric[s:e] for n, w, s, e in fields(metric, 0, len(metric)) if w == 2 and n not in (1, 2, 3, 12)]
        counts = [max(1, _leaves(data, 4, metrics=True)) for data in strange]
        yield sum(counts) - 1 if counts else 0  # the metric itself counts as one already
    for _, start, end in known:
        data = metric[start:end]
        yield sum(w == 2 and n != 1 for n, w, *_ in fields(data, 0, len(data)))


def _of_protobuf(message: Any) -> Iterator[int]:
    for entry in next((v for d, v in message.ListFields() if d.number == 1), ()):
        for scope in next((v for d, v in entry.ListFields() if d.number == 2), ()):
            for item in next((v for d, v in scope.ListFields() if d.number == 2), ()):
                kind = item.WhichOneof("data") if isinstance(message, MetricsData) else "itself"
                yield 1 if kind in (None, "itself") else len(getattr(item, kind).data_points)


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(v) for v in value]
    if not isinstance(value, dict):
        return value
    pairs = ((k.split("_"), v) for k, v in value.items() if v is not None)
    return {first + "".join(w[:1].upper() + w[1:] for w in rest): _camel(v) for (first, *rest), v in pairs}


def _listed(value: Any) -> list[Any]:
    """Members of a list; something else where a list belongs is one broken thing."""
    return value if isinstance(value, list) else [] if value is None else [...]


def _strange(body: Any, known: set[str], below: int) -> int:
    """Records in members that OTLP doesn't have; `below` says how many lists deep they would lie."""
    return sum(_objects(v, below) for k, v in body.items() if k not in known)


def _objects(value: Any, below: int) -> int:
    if isinstance(value, list):
        some = [v for v in value if isinstance(v, dict) and v and not set(v) <= {"key", "value"}]
        return sum(_inside(v, below) or 1 for v in some)
    if not isinstance(value, dict):
        return 0
    return _inside(value, below) or bool(set(value) & MARKS)


def _inside(value: dict[str, Any], below: int) -> int:
    if below == 0:
        return len(value["dataPoints"]) if isinstance(value.get("dataPoints"), list) else 0
    if below == 1:
        return sum(_inside(v, 0) for v in value.values() if isinstance(v, dict))
    return sum(_objects(v, below - 1) for k, v in value.items() if isinstance(v, list) and k != "attributes")


MARKS = {*DATA, "traceId", "spanId", "timeUnixNano", "observedTimeUnixNano", "startTimeUnixNano", "body"}


def _of_json(body: Any) -> Iterator[int]:
    body = _camel(body)
    yield _strange(body, set(SHAPES), 3)
    for key, (scopes, old_scopes, items, old_items) in SHAPES.items():
        for entry in _listed(body.get(key)):
            if not isinstance(entry, dict):
                yield 1
                continue
            yield _strange(entry, {"resource", "schemaUrl", scopes, old_scopes}, 2)
            for scope in (*_listed(entry.get(scopes)), *_listed(entry.get(old_scopes))):
                if not isinstance(scope, dict):
                    yield 1
                    continue
                yield _strange(scope, {"scope", "instrumentationLibrary", "schemaUrl", items, old_items}, 1)
                found = _listed(scope.get(items)) + (_listed(scope.get(old_items)) if items != old_items else [])
                yield from map(_of_metric, found) if items == "metrics" else (1 for _ in found)


def _of_metric(metric: Any) -> int:
    if not isinstance(metric, dict):
        return 1
    strange = _strange(metric, {"name", "unit", "description", "metadata", *DATA}, 0)
    given = [metric[k] for k in DATA if k in metric]
    return strange + sum(map(_of_data, given)) if given or strange else 1


def _of_data(data: Any) -> int:
    if not isinstance(data, dict) or not isinstance(data.get("dataPoints", []), list):
        return 1
    return len(data.get("dataPoints", [])) + _strange(data, {"dataPoints", "aggregationTemporality", "isMonotonic"}, 0)


def _of_raw(payload: bytes) -> int | None:
    try:
        body = json.loads(payload.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    try:
        requests = max(len(body.get("latencies_ms") or []), len(body.get("responses") or []))
    except TypeError:
        return None
    known = {"service", "timestamp", "environment", "version", "latencies_ms", "responses", "cpu_percent", "memory_mb"}
    requests += sum(len(v) for k, v in body.items() if k not in known and isinstance(v, list))
    return requests + sum(body.get(k) is not None for k in ("cpu_percent", "memory_mb"))


def holds(topic: str, payload: bytes) -> bool:
    """Check one message; whether it was read and could be counted."""
    try:
        decoded = decode(topic, payload)
    except UndecodableTelemetry:
        return False
    expected = records(topic, payload)
    if expected is None:
        return False
    assert accounted(decoded) == expected, (topic, payload)
    return True


def kinds() -> list[tuple[str, bytes]]:
    """Messages of several resources and kinds of metric, in every spelling."""
    spans = traces({"service.name": "a"}, {}, {"trace_id": b"short"}, {"end_time_unix_nano": 1}, {"kind": 9})
    spans.MergeFrom(traces({}, *({"span_id": n.to_bytes(8, "big")} for n in range(1, 5))))
    points, scope = metrics({"service.name": "a"})
    for state in ("used", "free", "cached"):
        gauge(scope, "system.memory.usage", 5.0, **{"system.memory.state": state})
    for pod in ("p1", "p2"):
        gauge(scope, "process.memory.usage", 1.0, pod=pod)
    gauge(scope, "nobody.knows.it", 1.0)
    gauge(scope, "process.memory.usage", float("nan"))
    counter(scope, "http.server.request.count", 17)
    histogram(scope, "http.server.request.duration", [1, 5, 2], [0.1, 1.0])
    histogram(scope, "http.server.request.duration", [1, 5], [0.1, 1.0])
    histogram(scope, "http.server.request.duration", [], [])
    scope.metrics.add(name="process.memory.usage")
    scope.metrics.add(name="http.server.duration").summary.data_points.add(time_unix_nano=T0, count=3)
    records_ = logs({"service.name": "a"}, {"body": "x"}, {"time_unix_nano": 0, "body": "y"}, {"severity_number": 99})
    found = [(OTLP_SPANS, spans), (OTLP_METRICS, points), (OTLP_LOGS, records_)]
    spelt = (lambda m: m.SerializeToString(), as_json, lambda m: as_json(m, snake=True))
    return [(topic, spell(m)) for topic, m in found for spell in spelt]


@pytest.mark.parametrize(("topic", "payload"), kinds())
def test_every_kind_of_record(topic: str, payload: bytes) -> None:
    assert holds(topic, payload)


@pytest.mark.parametrize("seed", range(3))
def test_every_record_of_the_fuzz_inputs(seed: int) -> None:
    counted = sum(holds(topic, payload) for topic, payload in garbage(seed, 2500, T0))
    assert counted > 300


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["spans", "resource", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(st.sampled_from([k for k in kinds() if k[1][:1] == b"{"]), JSON_VALUES, st.integers(0, 10_000))
@settings(max_examples=300)
def test_any_value_in_any_field_of_json(chosen: tuple[str, bytes], value: Any, where: int) -> None:
    topic, payload = chosen
    body = json.loads(payload)
    places = list(_places(body))
    owner, key = places[where % len(places)]
    owner[key] = value
    holds(topic, json.dumps(body).encode())


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, inner in list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield value, key
        yield from _places(inner)


# Old names


def with_libraries(message: Any) -> bytes:
    """The bytes of a message whose scopes are in field 1000, as transitional senders write them."""
    out = b""
    data = message.SerializeToString()
    for _, _, start, end in fields(data, 0, len(data)):
        entry, at = b"", start
        for number, _, s, e in fields(data, start, end):
            entry += b"\xc2\x3e" + varint(e - s) + data[s:e] if number == 2 else data[at:e]
            at = e
        out += b"\n" + varint(len(entry)) + entry
    return out


def with_old_names(message: Any, snake: bool) -> bytes:
    """JSON of a message as it was until OTLP 0.12."""
    text = as_json(message, snake=snake).decode()
    for new, old in (
        ("scopeSpans", "instrumentationLibrarySpans"),
        ("scopeMetrics", "instrumentationLibraryMetrics"),
        ("scopeLogs", "instrumentationLibraryLogs"),
        ("logRecords", "logs"),
        ("scope", "instrumentationLibrary"),
        ("scope_spans", "instrumentation_library_spans"),
        ("scope_metrics", "instrumentation_library_metrics"),
        ("scope_logs", "instrumentation_library_logs"),
        ("log_records", "logs"),
    ):
        text = text.replace(f'"{new}"', f'"{old}"')
    return text.encode()


def messages() -> dict[str, Any]:
    found = {
        t: {OTLP_SPANS: TracesData, OTLP_METRICS: MetricsData, OTLP_LOGS: LogsData}[t].FromString(p)
        for t, p in kinds()
        if p[:1] == b"\n"
    }
    assert len(found) == 3
    return found


@pytest.mark.parametrize("topic", [OTLP_SPANS, OTLP_METRICS, OTLP_LOGS])
def test_instrumentation_libraries_are_scopes(topic: str) -> None:
    message = messages()[topic]
    now = decode(topic, message.SerializeToString())
    for old in (with_libraries(message), with_old_names(message, False), with_old_names(message, True)):
        read = decode(topic, old)
        assert accounted(read) == accounted(now) > 0
        assert read.skipped == now.skipped
        assert {r.service for r in read.resources} == {r.service for r in now.resources}


@pytest.mark.parametrize("topic", [OTLP_SPANS, OTLP_METRICS, OTLP_LOGS])
def test_old_and_new_names_in_one_message(topic: str) -> None:
    message = messages()[topic]
    now = accounted(decode(topic, message.SerializeToString()))
    assert accounted(decode(topic, message.SerializeToString() + with_libraries(message))) == 2 * now
    both = {k: v + json.loads(as_json(message))[k] for k, v in json.loads(with_old_names(message, False)).items()}
    assert accounted(decode(topic, json.dumps(both).encode())) == 2 * now


@pytest.mark.parametrize("topic", [OTLP_SPANS, OTLP_METRICS, OTLP_LOGS])
def test_a_large_message_with_old_names_is_split_like_any(topic: str) -> None:
    message = messages()[topic]
    for _ in range(3):
        message.MergeFrom(message.FromString(message.SerializeToString()))
    now = accounted(decode(topic, message.SerializeToString()))
    for old in (with_libraries(message), with_old_names(message, False), with_old_names(message, True)):
        pieces, rejected = split(topic, old, len(old) // 2)
        assert rejected == 0
        assert len(pieces) > 1
        assert sum(accounted(decode(topic, p)) for p in pieces) == now


@pytest.mark.skipif(not FIELD.is_dir(), reason=f"no field inputs in {FIELD}")
def test_old_instrumentation_library_from_the_field() -> None:
    decoded = decode(OTLP_SPANS, (FIELD / "F06-old-instrumentation-library.json").read_bytes())
    assert decoded.spans is not None
    assert [decoded.strings[n] for n in decoded.spans.name] == ["GET /x"]
    assert decoded.resources[0].service == "shop"


# Messages of which nothing is read

EMPTY: list[tuple[str, bytes]] = [
    (OTLP_SPANS, b"\n\x00"),
    (OTLP_SPANS, b'{"resourceSpans":[]}'),
    (
        OTLP_SPANS,
        b'{"resourceSpans":[{"resource":{"attributes":[]},"scopeSpans":[{"scope":{"name":"x"},"spans":[]}],"schemaUrl":"u"}]}',
    ),
    (OTLP_METRICS, b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[]}}]}]}]}'),
    *((t, traces({"service.name": "a"}).SerializeToString()) for t in (OTLP_SPANS, OTLP_METRICS, OTLP_LOGS)),
    (RAW, b'{"service":"a","timestamp":1700000000}'),
]
FOREIGN: list[tuple[str, bytes]] = [
    (OTLP_SPANS, b'{"resourceSpans":[{"scopeSpansV2":[{"spans":[{}]}]}]}'),
    (OTLP_SPANS, b'{"resourceSpans":[{"scopeSpans":[{"span":[{}]}]}]}'),
    (OTLP_SPANS, b'{"resourceSpans":[],"resourceProfiles":[{}]}'),
    (OTLP_SPANS, b'{"resourceSpans":[{"resource":5}]}'),
    (OTLP_METRICS, b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"points":[{}]}}]}]}]}'),
    (OTLP_LOGS, b'{"resource_logs":[{"scope_logs":[{"records":[{}]}]}]}'),
    (OTLP_SPANS, b"\n\x05\x22\x03abc"),  # a field 4 there
    (OTLP_SPANS, b"\n\x00\x12\x03abc"),  # a field 2 beside the resources
    (OTLP_LOGS, b"\n\x06\x12\x04\x2a\x02ab"),  # a field 5 in a scope
    (RAW, b'{"service":"a","timestamp":1700000000,"latency":[5]}'),
]


@pytest.mark.parametrize(("topic", "payload"), EMPTY)
def test_an_empty_message_is_none_to_be_refused(topic: str, payload: bytes) -> None:
    assert decode(topic, payload).is_empty


@pytest.mark.parametrize(("topic", "payload"), FOREIGN)
def test_a_message_of_which_nothing_is_read_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(UndecodableTelemetry) as caught:
        decode(topic, payload)
    assert caught.value.reason == "nothing_read"


@given(st.sampled_from([OTLP_SPANS, OTLP_METRICS, OTLP_LOGS]), st.binary(max_size=40), st.integers(3, 4000))
@settings(max_examples=300)
def test_foreign_protobuf_is_never_taken_for_nothing(topic: str, content: bytes, number: int) -> None:
    tag = varint(number << 3 | 2)
    inner = tag + varint(len(content)) + content
    for payload in (b"\n" + varint(len(inner)) + inner, b"\n\x00" + inner):
        try:
            decoded = decode(topic, payload)
        except UndecodableTelemetry:
            continue
        assert not decoded.is_empty or number in (3, 1000), "schema URLs are known, and 1000 may be an empty scope"


def test_good_messages_are_all_counted() -> None:
    assert all(holds(topic, payload) for topic, payloads in good(T0).items() for payload in payloads)


# Unknown fields beside good ones

ITEM_OF = {OTLP_SPANS: "spans", OTLP_METRICS: "metrics", OTLP_LOGS: "logRecords"}
GOOD = dict(messages())


def nested(topic: str, level: int) -> tuple[bytes, list[Any]]:
    """What stands at a level of a message (1 a resource, 2 a scope, 3 an item): its bytes, and the list of JSON that holds it."""
    body, text = GOOD[topic].SerializeToString(), json.loads(as_json(GOOD[topic]))
    names = (next(iter(text)), f"scope{next(iter(text)).removeprefix('resource')}", ITEM_OF[topic])
    for name in names[:level]:
        number = 1 if name.startswith("resource") else 2
        _, _, start, end = next(f for f in fields(body, 0, len(body)) if f[0] == number)
        body, listed = body[start:end], text[name]
        text = listed[0]
    return body, listed


@given(
    st.sampled_from([OTLP_SPANS, OTLP_METRICS, OTLP_LOGS]), st.integers(1, 3), st.integers(4, 3000), st.integers(1, 3)
)
@settings(max_examples=200)
def test_whole_resources_scopes_and_records_in_unknown_fields_of_protobuf(
    topic: str, level: int, number: int, times: int
) -> None:
    if number == 1000:
        return
    inner, _ = nested(topic, level)
    strange = (varint(number << 3 | 2) + varint(len(inner)) + inner) * times
    plain = GOOD[topic].SerializeToString()
    payload = plain + b"".join(_within(strange, depth) for depth in (level,))
    assert holds(topic, payload)
    assert decode(topic, payload).skipped["unknown_field"] >= times


def _within(strange: bytes, level: int) -> bytes:
    """Bytes as a field of a message, of a resource of it, or of a scope of that."""
    for number in (2, 1)[3 - level :]:
        strange = varint(number << 3 | 2) + varint(len(strange)) + strange
    return strange


@given(
    st.sampled_from([OTLP_SPANS, OTLP_METRICS, OTLP_LOGS]),
    st.integers(1, 3),
    st.sampled_from(["Span", "scope_span", "records", "resourcespans", "items", "x"]),
    st.booleans(),
)
@settings(max_examples=200)
def test_misspelt_lists_of_json_beside_good_ones(topic: str, level: int, name: str, snake: bool) -> None:
    body = json.loads(as_json(GOOD[topic], snake=snake))
    good, expected = decode(topic, json.dumps(body).encode()), _records_of(nested(topic, level)[1])
    owner = body
    for step in ("resource", "scope")[: level - 1]:
        owner = next(v for k, v in owner.items() if k.startswith(step) and isinstance(v, list))[0]
    owner[name] = nested(topic, level)[1]
    payload = json.dumps(body).encode()
    assert holds(topic, payload)
    decoded = decode(topic, payload)
    assert accounted(decoded) == accounted(good) + expected
    assert decoded.skipped["unknown_field"] == expected


def _records_of(listed: list[Any]) -> int:
    """Records in a list of resources, scopes or items, by the good way to spell them."""
    found = 0
    for entry in listed:
        lists = [v for k, v in entry.items() if isinstance(v, list) and k in (*ITEM_OF.values(), *map(_scopes, SHAPES))]
        data = [v["dataPoints"] for v in entry.values() if isinstance(v, dict) and "dataPoints" in v]
        found += sum(map(_records_of, lists)) if lists else sum(map(len, data)) if data else 1
    return found


def _scopes(resources: str) -> str:
    return SHAPES[resources][0]


@pytest.mark.parametrize("topic", [OTLP_SPANS, OTLP_METRICS, OTLP_LOGS])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_large_message_with_unknown_fields_is_split_and_all_is_counted(topic: str, level: int) -> None:
    inner, listed = nested(topic, level)
    message = GOOD[topic].FromString(GOOD[topic].SerializeToString() * 8)
    strange = varint(77 << 3 | 2) + varint(len(inner)) + inner
    body = json.loads(as_json(message))
    owner = body
    for step in ("resource", "scope")[: level - 1]:
        owner = next(v for k, v in owner.items() if k.startswith(step) and isinstance(v, list))[0]
    owner["misspelt"] = listed
    for payload in (message.SerializeToString() + _within(strange, level), json.dumps(body).encode()):
        pieces, rejected = split(topic, payload, len(payload) // 2)
        whole = decode(topic, payload)
        assert rejected == whole.skipped["unknown_field"]
        assert sum(accounted(decode(topic, p)) for p in pieces) + rejected == accounted(whole)


def test_points_of_a_later_kind_and_in_unknown_fields_of_data() -> None:
    point = varint(1 << 3 | 2) + b"\x02\x08\x01"
    later = b"\x0a\x01m" + varint(13 << 3 | 2) + varint(3 * len(point)) + 3 * point
    beside = b"\x0a\x01n" + varint(5 << 3 | 2) + varint(2 * 4) + 2 * b"\x1a\x02\x08\x01"
    scope = b"".join(b"\x12" + varint(len(m)) + m for m in (later, beside))
    payload = GOOD[OTLP_METRICS].SerializeToString() + _within(scope, 3)
    assert holds(OTLP_METRICS, payload)
    assert decode(OTLP_METRICS, payload).skipped["unknown_field"] == 5


def test_a_metric_with_two_kinds_of_data() -> None:
    body = json.loads(as_json(GOOD[OTLP_METRICS]))
    metrics_ = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    metrics_.append({"name": "m", "gauge": {"dataPoints": [{}]}, "sum": {"dataPoints": [{}, {}], "points": [{"a": 1}]}})
    assert holds(OTLP_METRICS, json.dumps(body).encode())


def test_what_a_measurement_lists_under_other_names() -> None:
    payload = b'{"service":"a","timestamp":1700000000,"latencies_ms":[5],"latency":[5,6],"host":"h"}'
    assert holds(RAW, payload)
    assert decode(RAW, payload).skipped == {"unknown_field": 2}
