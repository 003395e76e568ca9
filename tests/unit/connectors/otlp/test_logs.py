"""Log records become templates."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.log_bodies import severity_of
from connectors.otlp.templates import template_of
from contracts.topics import OTLP_LOGS, OTLP_METRICS
from tests.unit.connectors.otlp.builders import T0, as_json, descending, logs
from tests.unit.connectors.otlp.test_spans import same

SHOP = {"service.name": "checkout"}


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ("order 123 took 4.5ms", "order <num> took <num>"),
        ("user 7f9c0e4a-1b2c-4d5e-8f90-123456789abc logged in", "user <uuid> logged in"),
        ("connect to 10.0.0.1:5432 failed", "connect to <ip> failed"),
        ("peer fe80:0:0:0:1:2:3:4 gone", "peer <ip> gone"),
        ("at 2024-01-02T03:04:05.678Z done", "at <time> done"),
        ("03:04:05,678 done", "<time> done"),
        ("GET /orders/42/items/7 200", "GET /orders/<num>/items/<num> <num>"),
        ('no such key "a b c"', "no such key <text>"),
        ("can't open it, isn't there", "can't open it, isn't there"),
        ("commit deadbeef0 at 0xFFAA", "commit <hex> at <hex>"),
        ("order ord_98213 refused", "order <id> refused"),
        ("INFO t.s.TravelServiceImpl#372", "INFO t.s.TravelServiceImpl#372"),
        ("failed in pay.py:17 with -3", "failed in pay.py:17 with <num>"),
        ("Travel2Controller ready", "Travel2Controller ready"),
        ("", ""),
    ],
)
def test_masks(body: str, masked: str) -> None:
    assert template_of(body).text == masked


def test_the_hash_is_that_of_the_masked_text() -> None:
    assert template_of("order 1").hash == template_of("order 2").hash
    assert template_of("order 1").hash != template_of("orders 1").hash
    assert template_of("order 1").hash == 12860995672517329331


@pytest.mark.parametrize(
    ("body", "masked", "severity"),
    [
        ('{"level":"error","msg":"order 7 lost","ts":1.5}', "order <num> lost", 17),
        ('{"b":2,"a":{"x":1}}', "a={<text>:<num>} b=<num>", 0),
        ('{"level":"error","msg":', "{<text>:<text>,<text>:", 0),
        ('{"a":' * 600, None, 0),
    ],
)
def test_bodies_that_are_json(body: str, masked: str | None, severity: int) -> None:
    found = template_of(body)
    assert found.severity == severity
    assert masked is None or found.text == masked


def test_long_bodies_do_not_take_long() -> None:
    for unit in ("a", "1", "'", '"x', "0x", "a.b#", "1.1.", "f:", "-", "ab1c_"):
        assert len(template_of(unit * 200_000).text) <= 4 * 1024


@pytest.mark.parametrize(
    ("text", "number"),
    [("ERROR", 17), ("warn", 13), ("SEVERITY_NUMBER_ERROR2", 18), ("Information", 9), ("17", 17), ("99", 0), ("x", 0)],
)
def test_severity_text(text: str, number: int) -> None:
    assert severity_of(text) == number


def message() -> Any:
    trace, span = bytes(8) + b"\0\0\0\0\0\0\0\7", b"\0\0\0\0\0\0\0\5"
    built = logs(
        SHOP,
        {"body": "order 1 paid", "severity_number": 9, "trace_id": trace, "span_id": span},
        {"body": "order 2 paid", "severity_text": "Warning"},
        {"body": "ERROR no stock", "time_unix_nano": 0, "observed_time_unix_nano": T0 + 1},
        {"body": "no time", "time_unix_nano": 0},
        {},
    )
    record = built.resource_logs[0].scope_logs[0].log_records[4]
    record.body.ClearField("value")
    for key, value in (("b", "x"), ("a", "order 7")):
        record.body.kvlist_value.values.add(key=key).value.string_value = value
    return built


ENCODINGS: dict[str, Any] = {
    "ascending": lambda m: m.SerializeToString(),
    "descending": descending,
    "json": as_json,
    "json_named_enums": lambda m: as_json(m, enums_as_numbers=False),
    "json_snake_case": lambda m: as_json(m, snake=True),
    "json_base64_ids": lambda m: as_json(m, hexadecimal=False),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("topic", [OTLP_LOGS, OTLP_METRICS])
def test_columns_of_a_message(topic: str, encoding: str) -> None:
    decoded = decode(topic, ENCODINGS[encoding](message()))
    found = decoded.logs
    assert found is not None
    assert [decoded.strings[i] for i in found.body] == [
        "order <num> paid",
        "order <num> paid",
        "ERROR no stock",
        "a=order <num> b=x",
    ]
    assert found.severity.tolist() == [9, 13, 17, 0]
    assert found.time_ns.tolist() == [T0, T0, T0 + 1, T0]
    assert found.trace.tolist() == [7, 0, 0, 0]
    assert found.span.tolist() == [5, 0, 0, 0]
    assert decoded.skipped == {"bad_time": 1}
    assert same(decoded, decode(OTLP_LOGS, message().SerializeToString()))


def test_a_body_that_is_not_utf8_is_kept_as_far_as_it_can_be_read() -> None:
    built = logs(SHOP, {"body": "no xxxx left", "severity_text": "ERROR"}, {"body": "fine"})
    decoded = decode(OTLP_LOGS, built.SerializeToString().replace(b"xxxx", b"\xff" * 4))
    assert decoded.logs is not None
    assert [decoded.strings[i] for i in decoded.logs.body] == ["no \ufffd\ufffd\ufffd\ufffd left", "fine"]
    assert decoded.logs.severity.tolist() == [17, 0]
