"""How severe a record is and to which trace it belongs, by all the ways in which programs write that into their text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.otlp.decode import decode
from connectors.otlp.log_bodies import said_by, said_in, severity_of
from contracts.topics import OTLP_LOGS
from tests.unit.connectors.otlp.builders import as_json, logs

T = "2026-01-01T00:00:00.000Z"
AWAY = "database is away"

OBJECTS: list[tuple[dict[str, Any], int]] = [
    ({"level": "error", "ts": 1767225600.1, "caller": "pay/db.go:17", "msg": AWAY}, 17),
    ({"level": "dpanic", "msg": AWAY}, 21),
    ({"L": "x", "level": "warn", "msg": AWAY}, 13),
    ({"level": 50, "time": 1767225600000, "pid": 1, "hostname": "a", "msg": AWAY}, 17),
    ({"level": 60, "time": 1767225600000, "msg": AWAY}, 21),
    ({"level": 40, "name": "shop", "v": 0, "msg": AWAY}, 13),
    ({"level": 30, "time": 1767225600000, "msg": AWAY}, 9),
    ({"level": "ERROR+4", "time": T, "msg": AWAY}, 17),
    ({"@t": T, "@m": AWAY, "@l": "Error"}, 17),
    ({"@t": T, "@mt": AWAY}, 9),
    ({"@t": T, "@mt": AWAY, "@l": "Fatal", "@x": "System.Exception"}, 21),
    ({"@timestamp": T, "log.level": "ERROR", "message": AWAY, "ecs.version": "1.2.0"}, 17),
    ({"@timestamp": T, "log": {"level": "warn", "logger": "x"}, "message": AWAY}, 13),
    ({"version": "1.1", "host": "a", "short_message": AWAY, "level": 3}, 17),
    ({"version": "1.1", "host": "a", "short_message": AWAY, "level": 6}, 9),
    ({"message": AWAY, "context": {}, "level": 400, "level_name": "ERROR", "channel": "app"}, 17),
    ({"message": AWAY, "level": 550, "channel": "app"}, 21),
    ({"text": "x", "record": {"level": {"icon": "x", "name": "ERROR", "no": 40}, "message": AWAY}}, 17),
    ({"t": {"$date": T}, "s": "E", "c": "NETWORK", "id": 4, "ctx": "conn1", "msg": AWAY}, 17),
    ({"severity": "CRITICAL", "message": AWAY, "timestamp": T}, 21),
    ({"severity": "error", "textPayload": AWAY}, 17),
    ({"levelname": "WARNING", "message": AWAY, "name": "root"}, 13),
    ({"levelno": 40, "msg": AWAY}, 17),
    ({"levelno": 30, "msg": AWAY}, 13),
    ({"LogLevel": "Error", "Category": "Shop", "Message": AWAY}, 17),
    ({"PRIORITY": "3", "MESSAGE": AWAY, "_SYSTEMD_UNIT": "pay.service"}, 17),
    ({"timestamp": T, "level": "ERROR", "fields": {"message": AWAY}, "target": "pay"}, 17),
    ({"SeverityNumber": 18, "Body": "x", "message": AWAY}, 18),
    ({"ts": 1.5, "v": 0, "msg": AWAY, "err": "dial tcp: refused"}, 17),
    ({"msg": AWAY, "stack": "Error: x\n    at y (z.js:1:2)"}, 17),
    ({"log": f"{T} ERROR {AWAY}\n", "stream": "stderr", "time": T}, 17),
    ({"log": json.dumps({"level": "error", "msg": AWAY}), "stream": "stdout"}, 17),
    ({"message": AWAY, "level": True}, 0),
    ({"message": AWAY, "level": {"x": 1}}, 0),
    ({"message": AWAY, "level": 3}, 0),
    ({"message": AWAY}, 0),
    ({"message": AWAY, "error": None, "err": "", "exception": False}, 0),
]
LINES: list[tuple[str, int]] = [
    # logfmt
    (f'time="{T}" level=error msg="{AWAY}"', 17),
    (f'ts={T} caller=db.go:17 level=warn msg="{AWAY}"', 13),
    (f't={T} lvl=eror msg="{AWAY}"', 17),
    (f't={T} lvl=crit msg="{AWAY}"', 21),
    (f'level=info ts={T} msg="{AWAY}"', 9),
    (f'time={T} level=ERROR source=db.go:1 msg="{AWAY}" err="dial tcp"', 17),
    (f'level="debug" msg="{AWAY}"', 5),
    ('severity=error msg="a \\"quoted\\" word" x=1', 17),
    (f'logger=tsdb t={T} level=fatal msg="{AWAY}"', 21),
    ("at=error code=H12 desc=\"Request timeout\" method=GET level=error", 17),
    (f'ts={T} level=panic component="db" msg="{AWAY}"', 21),
    (f'msg="{AWAY}" error="dial tcp: refused" x=1', 17),
    # klog and glog
    (f'E0101 00:00:00.000000       1 reflector.go:138] {AWAY}', 17),
    (f'W0101 00:00:00.000000      12 client.go:17] {AWAY}', 13),
    ('I0101 00:00:00.000000       1 main.go:1] "Starting" version="v1"', 9),
    (f'F0101 00:00:00.000000       1 main.go:1] {AWAY}', 21),
    (f'E20260101 00:00:00.000000 4711 store.cc:17] {AWAY}', 17),
    ('I20260101 00:00:00.000000 4711 store.cc:17] ERROR is only a word here', 9),
    ('E0101 00:00:00.000000       1 leaderelection.go:330] error retrieving lock', 17),
    (f'W20260101 00:00:00.123456 140735 x.cc:9] {AWAY}', 13),
    # nginx, Apache, access logs
    ('2026/01/01 00:00:00 [error] 31#31: *1 connect() failed (111: Connection refused)', 17),
    ('2026/01/01 00:00:00 [crit] 31#31: *1 SSL_do_handshake() failed', 21),
    (f'2026/01/01 00:00:00 [warn] 1#1: {AWAY}', 13),
    ('2026/01/01 00:00:00 [notice] 1#1: signal process started', 10),
    ('2026/01/01 00:00:00 [emerg] 1#1: bind() failed', 21),
    ('2026/01/01 00:00:00 [alert] 1#1: worker process exited', 21),
    (f'[Thu Jan 01 00:00:00.000000 2026] [core:error] [pid 7] [client 10.0.0.1:1] {AWAY}', 17),
    (f'[Thu Jan 01 00:00:00 2026] [error] [client 10.0.0.1] {AWAY}', 17),
    ('10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /error HTTP/1.1" 502 157 "-" "curl/8"', 17),
    ('10.0.0.1 - ann [01/Jan/2026:00:00:00 +0000] "POST /pay HTTP/2.0" 200 12', 9),
    ('10.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /ERROR HTTP/1.1" 404 1', 9),
    (f'[2026-01-01 00:00:00.000][12][error][upstream] [source/x.cc:1] {AWAY}', 17),
    (f'[2026-01-01 00:00:00.000][12][warning][config] {AWAY}', 13),
    # log4j, logback, JUL
    (f'2026-01-01 00:00:00,123 ERROR [main] c.x.Pay - {AWAY}', 17),
    (f'2026-01-01 00:00:00.123  WARN 1 --- [nio-1] c.x.Pay : {AWAY}', 13),
    (f'00:00:00.123 [main] ERROR c.x.Pay - {AWAY}', 17),
    (f'[2026-01-01 00:00:00,123] ERROR {AWAY} (kafka.server.KafkaServer)', 17),
    (f'{T}  INFO --- {AWAY}', 9),
    (f'SEVERE: {AWAY}', 17),
    (f'Jan 01, 2026 12:00:00 AM com.x.Pay run SEVERE: {AWAY}', 17),
    (f'FATAL [main] {AWAY}', 21),
    (f'2026-01-01 00:00:00 TRACE x - {AWAY}', 1),
    ('2026-01-01 00:00:00,1 INFO  x - no ERROR here', 9),
    (f'Exception in thread "main" java.lang.IllegalStateException: {AWAY}', 17),
    (f'java.sql.SQLException: {AWAY}', 17),
    # Python
    (f'ERROR:root:{AWAY}', 17),
    (f'WARNING:urllib3.connectionpool:{AWAY}', 13),
    (f'CRITICAL:x:{AWAY}', 21),
    (f'2026-01-01 00:00:00,123 - shop.pay - ERROR - {AWAY}', 17),
    (f'[2026-01-01 00:00:00 +0000] [7] [ERROR] {AWAY}', 17),
    ('ERROR:    Exception in ASGI application', 17),
    ('INFO:     10.0.0.1:1 - "GET / HTTP/1.1" 200 OK', 9),
    (f'[2026-01-01 00:00:00,123: ERROR/MainProcess] {AWAY}', 17),
    (f'[ERROR] {T} 0f8fad5b {AWAY}', 17),
    ('Traceback (most recent call last):\n  File "pay.py", line 17, in f\n    x()\nValueError: no', 17),
    (f'ValueError: {AWAY}', 17),
    # zap's console, .NET, Serilog, NLog, Rust, Ruby, PHP, databases, others
    (f'{T}\tERROR\tpay/db.go:17\t{AWAY}', 17),
    (f'{T}\terror\tpay/db.go:17\t{AWAY}', 17),
    (f'{T} error {AWAY}', 17),
    (f'fail: Shop.Pay[0]\n      {AWAY}', 17),
    (f'crit: Shop.Pay[0]\n      {AWAY}', 21),
    ('info: Microsoft.Hosting.Lifetime[0]\n      Application started', 9),
    (f'[00:00:00 ERR] {AWAY}', 17),
    (f'2026-01-01 00:00:00.000 +00:00 [WRN] {AWAY}', 13),
    (f'2026-01-01 00:00:00.0000|ERROR|Shop.Pay|{AWAY}', 17),
    (f'[{T} ERROR shop::pay] {AWAY}', 17),
    (f'thread \'main\' panicked at src/main.rs:1:1:\n{AWAY}', 21),
    (f'E, [2026-01-01T00:00:00.000000 #1] ERROR -- : {AWAY}', 17),
    (f'W, [2026-01-01T00:00:00.000000 #1]  WARN -- : {AWAY}', 13),
    (f'[2026-01-01 00:00:00] production.ERROR: {AWAY} {{}}', 17),
    ('2026-01-01 00:00:00.000 UTC [12] ERROR:  relation "x" does not exist', 17),
    ('2026-01-01 00:00:00.000 UTC [12] LOG:  checkpoint complete', 9),
    (f'2026-01-01 00:00:00.000 UTC [12] FATAL:  {AWAY}', 21),
    (f'1:M 01 Jan 2026 00:00:00.000 # {AWAY}', 13),
    ('1:M 01 Jan 2026 00:00:00.000 * Ready to accept connections', 10),
    (f'2026-01-01 00:00:00.000000+00:00 [error] <0.100.0> {AWAY}', 17),
    (f'2026-01-01T00:00:00.000000Z 0 [ERROR] [MY-010457] [Server] {AWAY}', 17),
    ('panic: runtime error: invalid memory address', 21),
    (f'level: error, {AWAY}', 17),
    # syslog
    (f'<11>1 {T} host pay 7 - - {AWAY}', 17),
    (f'<8>1 {T} host pay 7 - - {AWAY}', 21),
    (f'<12>1 {T} host pay 7 - - {AWAY}', 13),
    (f'<14>1 {T} host pay 7 - - {AWAY}', 9),
    (f'<165>1 {T} host pay 7 - - {AWAY}', 10),
    (f'<191>1 {T} host pay 7 - - {AWAY}', 5),
    (f'<11>Jan  1 00:00:00 host pay[7]: {AWAY}', 17),
    (f'<34>Jan 11 00:00:00 host su: {AWAY}', 21),
    (f'<27>2026-01-01T00:00:00Z host pay[7]: {AWAY}', 17),
    (f'<30>Jan  1 00:00:00 host pay[7]: {json.dumps({"level": "error", "msg": AWAY})}', 17),
    # nothing said
    (AWAY, 0),
    ("", 0),
    ("no errors were found", 0),
    ("terror in the street", 0),
    ("<999>1 no syslog", 0),
    ("a=b", 0),
    ("the error rate is 7", 0),
    ("GET /error 200", 0),
    ("user info updated", 0),
]  # fmt: skip


@pytest.mark.parametrize(("values", "severity"), OBJECTS)
def test_severity_of_a_structured_body(values: dict[str, Any], severity: int) -> None:
    assert said_by(values).severity == severity
    assert said_in(json.dumps(values)).severity == severity
    assert AWAY in said_in(json.dumps(values)).message


@pytest.mark.parametrize(("line", "severity"), LINES)
def test_severity_of_a_line(line: str, severity: int) -> None:
    assert said_in(line).severity == severity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("E", 17),
        ("W", 13),
        ("eror", 17),
        ("fail", 17),
        ("dbug", 5),
        ("Trce", 1),
        ("ERROR+2", 17),
        ("WARN-1", 13),
        ("notice", 10),
        ("emerg", 21),
        ("Informational", 9),
        ("", 0),
        ("errors", 0),
        ("ERROR9", 0),
    ],
)
def test_severity_names(text: str, number: int) -> None:
    assert severity_of(text) == number


TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
LOW, HALF = int(TRACE[16:], 16), int(SPAN, 16)


@pytest.mark.parametrize(
    ("body", "trace", "span"),
    [
        (json.dumps({"trace_id": TRACE, "span_id": SPAN, "msg": AWAY}), LOW, HALF),
        (json.dumps({"traceId": TRACE, "spanId": SPAN, "msg": AWAY}), LOW, HALF),
        (json.dumps({"trace.id": TRACE, "span.id": SPAN, "message": AWAY}), LOW, HALF),
        (json.dumps({"trace": {"id": TRACE}, "span": {"id": SPAN}, "message": AWAY}), LOW, HALF),
        (json.dumps({"@tr": TRACE, "@sp": SPAN, "@m": AWAY}), LOW, HALF),
        (json.dumps({"otelTraceID": TRACE, "otelSpanID": SPAN, "message": AWAY}), LOW, HALF),
        (json.dumps({"mdc": {"traceId": TRACE, "spanId": SPAN}, "message": AWAY}), LOW, HALF),
        (json.dumps({"logging.googleapis.com/trace": f"projects/p/traces/{TRACE}", "message": AWAY}), LOW, 0),
        (
            json.dumps({"dd.trace_id": "12345678901234567890", "dd.span_id": 7, "message": AWAY}),
            12345678901234567890,
            7,
        ),
        (json.dumps({"dd": {"trace_id": "12345678901234567890"}, "message": AWAY}), 12345678901234567890, 0),
        (json.dumps({"traceparent": f"00-{TRACE}-{SPAN}-01", "message": AWAY}), LOW, 0),
        (json.dumps({"X-B3-TraceId": SPAN, "message": AWAY}), HALF, 0),
        (f'level=error traceID={TRACE} spanID={SPAN} msg="{AWAY}"', LOW, HALF),
        (f"{T} ERROR [trace_id={TRACE} span_id={SPAN}] {AWAY}", LOW, HALF),
        (f"ERROR {AWAY} traceparent=00-{TRACE}-{SPAN}-01", LOW, HALF),
        (f"ERROR traceId: {TRACE.upper()} {AWAY}", LOW, 0),
        (json.dumps({"trace_id": "none", "span_id": "", "msg": AWAY}), 0, 0),
        (f"ERROR trace_id=12 {AWAY}", 0, 0),
        (AWAY, 0, 0),
    ],
)
def test_ids_in_bodies(body: str, trace: int, span: int) -> None:
    found = said_in(body)
    assert (found.trace, found.span) == (trace, span)


def read(*bodies: str, seconds: float = 0.0, **more: Any) -> Any:
    """Bodies as records that come one after the other."""
    rows = [
        {"body": b, "time_unix_nano": 1_767_225_600_000_000_000 + int(i * seconds * 1e9), **more}
        for i, b in enumerate(bodies)
    ]
    decoded = decode(OTLP_LOGS, as_json(logs({"service.name": "shop"}, *rows)))
    assert decoded.logs is not None
    return decoded


JAVA = ["ERROR c.x.Pay - failed", "java.lang.IllegalStateException: no", "\tat c.x.Pay.run(Pay.java:17)", "\tat c.x.Main.main(Main.java:1)",
        "Caused by: java.io.IOException: gone", "\tat c.x.Db.get(Db.java:9)", "\t... 2 more"]  # fmt: skip
TRACES = {
    "java": JAVA,
    "java alone": JAVA[1:],
    "python": ["Traceback (most recent call last):", '  File "pay.py", line 17, in f', "    x()", "ValueError: no"],
    "python after": ["ERROR:root:failed", "Traceback (most recent call last):", '  File "a.py", line 1, in f', "    x()", "ValueError: no"],
    "go": ["panic: no", "", "goroutine 1 [running]:", "main.main()", "\t/src/main.go:17 +0x1d", "exit status 2"],
    "node": ["Error: no", "    at f (/app/pay.js:17:3)", "    at async g (node:internal/x:1:1)"],
    ".net": ["fail: Shop.Pay[0]", "System.InvalidOperationException: no", "   at Shop.Pay.Run() in Pay.cs:line 17",
             "   --- End of inner exception stack trace ---"],
    "ruby": ["E, [2026-01-01T00:00:00.000000 #1] ERROR -- : no", "\tfrom pay.rb:17:in `f'"],
    "php": ["PHP Fatal error:  Uncaught Exception: no", "#0 /app/pay.php(17): f()", "#1 {main}"],
    "rust": ["thread 'main' panicked at src/main.rs:1:1:", "stack backtrace:", "   0: rust_begin_unwind", "   1: core::panicking::panic_fmt"],
}  # fmt: skip


@pytest.mark.parametrize("kind", TRACES)
def test_a_stack_trace_is_one_record_line_by_line_or_whole(kind: str) -> None:
    lines = [x for x in TRACES[kind] if x != "exit status 2"]
    apart = read(*lines, "INFO all is well", severity_number=0)
    assert len(apart.logs) == 2 + (kind == "python after")
    assert apart.skipped == {"stack_line": len(lines) + 1 - len(apart.logs)}
    whole = read("\n".join(lines), "INFO all is well")
    assert len(whole.logs) == 2
    assert whole.skipped == {}
    assert whole.logs.severity[0] >= 17 or kind == "php"


def test_one_fault_is_one_template_whatever_its_frames() -> None:
    head = "ERROR c.x.Pay - failed\njava.lang.IllegalStateException: no 7"
    one, other = (
        f"{head}\n\tat c.x.{name}.run({name}.java:17)\nCaused by: java.io.IOException: gone" for name in ("A", "B")
    )
    found = read(one, other)
    assert len(set(found.logs.template.tolist())) == 1
    assert found.strings[found.logs.body[0]] == (
        "ERROR c.x.Pay - failed\njava.lang.IllegalStateException: no <num>\nCaused by: java.io.IOException: gone"
    )


def test_lines_apart_in_time_or_of_others_are_records() -> None:
    assert len(read("ERROR failed", "\tat c.x.Pay.run(Pay.java:17)", seconds=5.0).logs) == 2
    assert len(read("INFO fine", "  two spaces and text", "ValueError is a class").logs) == 3


def test_a_long_structured_body_keeps_its_level() -> None:
    body = json.dumps({"message": AWAY, "stack_trace": "x" * 20_000, "level": "error"})
    assert read(body).logs.severity.tolist() == [17]


@pytest.mark.parametrize(
    "body",
    ["a=" * 5000, '{"level":' * 500, "<11>1 " * 900, "[error" * 900, "traceid=" * 900, "E0101 " * 900, "x\n" * 4000],
)
def test_odd_bodies_are_read_soon(body: str) -> None:
    assert read(body).logs.severity.tolist() in ([0], [17])
