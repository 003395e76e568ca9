"""What bodies leave open, attributes of log records say: severity, trace, and the message; and structured access logs say who failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.templates import template_of, template_of_map
from contracts.topics import OTLP_LOGS
from tests.unit.connectors.otlp.builders import as_json, descending, fill, logs

SHOP = {"service.name": "shop"}
TRACE = "5b8efff798038103d269b633813fc60c"


def read(body: str, attributes: dict[str, Any], severity: int = 0) -> tuple[int, str, int]:
    """Severity, template and trace of a record among others, the same in every encoding."""
    message = logs(SHOP, {"body": "well"}, {"body": body, "severity_number": severity}, {"body": "well"})
    record = message.resource_logs[0].scope_logs[0].log_records[1]
    if not body:
        record.ClearField("body")
    fill(record, attributes)
    found = set()
    for payload in (message.SerializeToString(), as_json(message), descending(message)):
        batch = decode(OTLP_LOGS, payload)
        assert batch.logs is not None
        assert batch.logs.severity.tolist()[::2] == [0, 0]
        at = int(batch.logs.severity[1])
        found.add((at, batch.strings[int(batch.logs.body[1])], int(batch.logs.trace[1])))
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("attributes", "severity"),
    [
        ({"exception.type": "java.net.ConnectException", "exception.message": "refused"}, 17),
        ({"exception.stacktrace": "java.lang.Error\\n\\tat x.Y.z(Y.java:1)"}, 17),
        ({"level": "error"}, 17),
        ({"level": "warn", "exception.type": "x.Y"}, 13),
        ({"log.level": "FATAL"}, 21),
        ({"severity": "WARNING"}, 13),
        ({"levelname": "CRITICAL"}, 21),
        ({"level": 50}, 17),
        ({"status": "error"}, 17),
        ({"status": "ok"}, 0),
        ({"status": 503, "method": "GET"}, 17),
        ({"status": 204}, 0),
        ({"http.response.status_code": 500}, 17),
        ({"http.status_code": "404"}, 0),
        ({"rpc.grpc.status_code": 14}, 17),
        ({"rpc.grpc.status_code": "NOT_FOUND"}, 0),
        ({"error": "dial tcp: refused"}, 17),
        ({"error": False}, 0),
        ({"error.type": "timeout"}, 17),
        ({"err": "EOF"}, 17),
        ({"error.kind": "TypeError", "error.stack": "at x"}, 17),
        ({"otel.status_code": "ERROR"}, 17),
        ({"failed": 3, "processed": 9}, 0),
        ({"thread.name": "main", "code.lineno": 500}, 0),
    ],
)
def test_attributes_say_how_severe_a_record_is_that_does_not_say_so(attributes: dict[str, Any], severity: int) -> None:
    assert read("order 17 refused", attributes)[:2] == (severity, "order <num> refused")
    assert read("order 17 refused", attributes, severity=9)[0] == 9, "what the record says itself comes first"


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"message": "order 17 lost", "level": "error"}, "order <num> lost"),
        ({"msg": "order 17 lost", "level": "error"}, "order <num> lost"),
        ({"exception.message": "order 17 lost", "exception.type": "x.Lost"}, None),
    ],
)
def test_a_record_without_a_body_says_what_its_attributes_say(attributes: dict[str, Any], text: str | None) -> None:
    found = read("", attributes)
    assert found[0] == 17
    assert found[1] == (text or "exception.message=order <num> lost exception.type=x.Lost")


@pytest.mark.parametrize("key", ["trace_id", "traceId", "dd.trace_id", "otelTraceID"])
def test_traces_in_attributes(key: str) -> None:
    value = str(int(TRACE[16:], 16)) if key.startswith("dd") else TRACE
    assert read("order 17 refused", {key: value})[2] == int(TRACE[16:], 16)


def test_secrets_in_attributes_are_never_kept() -> None:
    secret = "hunter" + "2hunter2"
    assert secret not in read("", {"password": secret, "level": "error"})[1]
    assert secret not in read("", {"message": f"login with password={secret}", "level": "error"})[1]


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ({"time": "x", "method": "GET", "path": "/pay", "status": 502}, 17),
        ({"time": "x", "method": "GET", "path": "/pay", "status": "200"}, 0),
        ({"http": {"response": {"status_code": 503}}, "message": "GET /pay"}, 17),
        ({"response_code": 0, "response_flags": "UF", "path": "/pay"}, 17),
        ({"response_code": 404, "response_flags": "-", "path": "/pay"}, 0),
        ({"grpc.code": "Unavailable", "msg": "finished unary call"}, 17),
        ({"grpc.code": "NotFound", "msg": "finished unary call"}, 0),
        ({"msg": "done", "failed": 1, "ok": 12}, 0),
    ],
)
def test_structured_access_logs_judge_by_the_same_table(body: dict[str, Any], severity: int) -> None:
    assert template_of_map(body).severity == severity
    assert template_of(json.dumps(body)).severity == severity
