"""Log lines without any envelope: who wrote them, when, and how severe they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.encodings.sources import Incoming, decode_as
from contracts.errors import UndecodableTelemetry
from contracts.frames import Decoded
from contracts.settings import TopicSettings
from tests.unit.connectors.encodings.refusals import tried

T0 = 1_790_000_000_000_000_000
CART = TopicSettings(encoding="raw", service="cart", namespace="shop", environment="prod")


def read(payload: bytes | dict[str, Any] | list[Any], encoding: str = "raw", **fields: Any) -> Decoded:
    """What a message is decoded to."""
    line = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return decode_as(encoding, Incoming(line, **{"time_ns": T0, "topic": CART, **fields}))


def severities(decoded: Decoded) -> list[int]:
    """Of each record."""
    assert decoded.logs is not None
    found: list[int] = decoded.logs.severity.tolist()
    return found


@pytest.mark.parametrize(
    ("line", "severity", "text"),
    [
        (b"2026-01-02 10:00:00 ERROR payment 4711 refused", 17, "<time> ERROR payment <num> refused"),
        (b"level=warn msg=slow", 13, "slow"),
        (b"E0102 10:00:00.123456       1 server.go:12] no route", 17, None),
        (b'"ERROR as the Collector writes a text"', 17, "ERROR as the Collector writes a text"),
        (b'{"level": "error", "msg": "no"}', 17, "no"),
        (b"plain", 0, "plain"),
        (b"[error] 12#12: *1 connect() failed", 17, "[error] <num>#<num>: *<num> connect() failed"),
        (b"{not json", 0, "{not json"),
        (b"[1, 2]", 0, None),
        (b"caf\xe9 ERROR: broken text", 17, None),
    ],
)
def test_lines_are_read_as_log_bodies_are(line: bytes, severity: int, text: str | None) -> None:
    found = read(line)
    assert severities(found) == [severity]
    assert found.logs is not None
    assert found.logs.time_ns.tolist() == [T0]
    assert text is None or found.strings[found.logs.body[0]] == text
    assert (found.resources[0].environment, found.resources[0].service) == ("prod", "shop/cart")


@pytest.mark.parametrize(
    ("fields", "service"),
    [
        ({"service": {"name": "till"}, "log.level": "error"}, "till"),
        ({"service.name": "till"}, "till"),
        ({"app": "till"}, "till"),
        ({"kubernetes": {"namespace_name": "shop", "labels": {"app": "till"}}}, "shop/till"),
        ({"kubernetes": {"namespace": "shop", "deployment": {"name": "till"}}}, "shop/till"),
        ({"kubernetes": {"namespace_name": "shop", "container_name": "till"}}, "shop/till"),
        ({"SYSLOG_IDENTIFIER": "till"}, "till"),
        ({"service": 3}, "unknown_service"),
    ],
)
def test_structured_lines_say_who_wrote_them(fields: dict[str, Any], service: str) -> None:
    assert read({"msg": "x", **fields}, topic=TopicSettings(encoding="raw")).resources[0].service == service


def test_settings_and_headers_say_more_than_lines() -> None:
    assert read({"msg": "x", "app": "other"}).resources[0].service == "shop/cart"
    headers = (("service.name", b"till"), ("k8s.pod.name", b"till-0"), ("traceparent", b"x"))
    found = read(b"x", headers=headers).resources[0]
    assert (found.service, found.instance) == ("shop/till", "till-0")


@pytest.mark.parametrize(
    ("fields", "time_ns"),
    [
        ({"@timestamp": "2026-09-21T14:13:20.250Z"}, T0 + 250_000_000),
        ({"time": "2026-09-21T16:13:20+02:00"}, T0),
        ({"ts": 1_790_000_000.5}, T0 + 500_000_000),
        ({"timestamp": 1_790_000_000_250}, T0 + 250_000_000),
        ({"timestamp": "1790000000250"}, T0 + 250_000_000),
        ({"timestamp": "2026-09-21 14:13:20,250"}, T0 + 250_000_000),
        ({"__REALTIME_TIMESTAMP": "1790000000250000"}, T0 + 250_000_000),
        ({"time": "noon"}, T0),
        ({"time": -1}, T0),
        ({"time": 1e400}, T0),
    ],
)
def test_structured_lines_say_when(fields: dict[str, Any], time_ns: int) -> None:
    line = json.dumps({"msg": "x", **fields}).replace("Infinity", '"inf"').encode()
    logs = read(line).logs
    assert logs is not None
    assert abs(int(logs.time_ns[0]) - time_ns) < 1000


def test_several_objects_in_a_message_are_as_many_records() -> None:
    lines = b'{"level":"error","msg":"a"}\n{"level":"info","msg":"b"}\n'
    assert severities(read(lines)) == [17, 9]
    assert severities(read(b'[{"level":"error","msg":"a"},{"level":"info","msg":"b"}]')) == [17, 9]
    assert severities(read(lines, "json")) == [17, 9]


def test_a_stack_trace_is_one_record() -> None:
    trace = b"java.lang.IllegalStateException: no\n\tat com.shop.Cart.pay(Cart.java:12)\n\tat com.shop.Main.main(Main.java:1)"
    assert severities(read(trace)) == [17]


def test_text_stays_text() -> None:
    found = read(b'{"level":"error"}\n{"level":"error"}', "text")
    assert found.logs is not None
    assert len(found.logs) == 1


@pytest.mark.parametrize(
    ("encoding", "line", "reason"),
    [
        ("raw", b"", "empty"),
        ("raw", b" \n", "empty"),
        ("raw", b'""', "empty"),
        ("raw", b"{}", "empty"),
        ("json", b"text", "invalid_json"),
        ("json", b'{"a":', "truncated"),
        ("json", b"null", "empty"),
    ],
)
def test_nothing_is_refused(encoding: str, line: bytes, reason: str) -> None:
    with pytest.raises(UndecodableTelemetry) as refused:
        read(line, encoding)
    assert refused.value.reason == reason


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode), st.sampled_from(["raw", "text", "json"]))
def test_any_bytes_are_records_or_refused(line: bytes, encoding: str) -> None:
    try:
        found = read(line, encoding)
    except UndecodableTelemetry:
        return
    assert found.logs is not None


@given(st.lists(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8)), min_size=1))
def test_each_object_is_a_record_or_empty(objects: list[dict[str, Any]]) -> None:
    wanted = sum(bool(o) for o in objects)
    found = tried(lambda: read("\n".join(map(json.dumps, objects)).encode(), "json"))
    if isinstance(found, str):
        assert (found, wanted) == ("empty", 0)
        return
    assert (0 if found.logs is None else len(found.logs)) + sum(found.skipped.values()) == wanted
