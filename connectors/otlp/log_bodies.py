"""What a log record's own text says: its message, how severe it is, and to which trace it belongs.

Programs write their level into the text long before anybody sets a severity: as JSON (zap, pino, bunyan, logrus, slog, Serilog, ECS, GELF,
monolog, loguru, MongoDB, Google Cloud), as a map, in logfmt, as the first letter of klog's and glog's lines, in brackets (nginx, Apache,
Envoy, RabbitMQ, log4j, gunicorn), before a colon (Python, .NET, PostgreSQL), as the priority of syslog, as the status of an access log.
Numbers are OpenTelemetry's (logs data model, Appendix B). Nothing here is kept: masking comes after, in `templates`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from connectors.otlp.conventions import standard
from connectors.otlp.failures import judges
from connectors.otlp.json_model import ERRORS
from connectors.otlp.values import Plain, cached, number_of, text_of
from contracts.secrets import MASK, names_secret

TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, FATAL = 1, 5, 9, 10, 13, 17, 21
LEVELS: Final = {
    **dict.fromkeys(("TRACE", "TRC", "TRCE", "FINEST", "VERBOSE", "VRB", "SILLY", "T", "V"), TRACE),
    **dict.fromkeys(("DEBUG", "DBG", "DBUG", "DEBG", "FINE", "FINER", "CONFIG", "D"), DEBUG),
    **dict.fromkeys(("INFO", "INF", "INFORMATION", "INFORMATIONAL", "LOG", "HTTP", "HINT", "DEFAULT", "I"), INFO),
    **dict.fromkeys(("NOTICE", "NOTE", "NTC", "N"), NOTICE),
    **dict.fromkeys(("WARN", "WARNING", "WRN", "W"), WARN),
    **dict.fromkeys(("ERROR", "ERR", "EROR", "ERRO", "SEVERE", "EXCEPTION", "FAIL", "FAILURE", "E"), ERROR),
    **dict.fromkeys(("FATAL", "FTL", "CRITICAL", "CRIT", "CRT", "ALERT", "EMERG", "EMERGENCY", "PANIC"), FATAL),
    **dict.fromkeys(("DPANIC", "F", "C"), FATAL),
}
"""What levels are called. Single letters and short forms count where a level is expected, not in running text."""
_SYSLOG: Final = (FATAL, FATAL, FATAL, ERROR, WARN, NOTICE, INFO, DEBUG)
"""By syslog's severity (RFC 5424, 6.2.1)."""

_MESSAGE_KEYS: Final = (
    ("message", "msg", "log", "event", "body", "@m", "@mt", "short_message", "MESSAGE", "Message", "RenderedMessage"),
    ("textPayload", "renderedMessage", "MessageTemplate", "full_message", "text", "error.message", "err", "error"),
)
"""The second only where nothing has any of the first."""
_LEVEL_KEYS: Final = (
    *("level", "severity", "levelname", "log.level", "lvl", "loglevel", "log_level", "level_name", "severity_text"),
    *("severitytext", "@l", "levelno", "priority", "severitynumber", "severity_number", "log.severity", "loglevelname"),
    *("severity.text", "syslog.severity", "log.syslog.severity.name", "status"),
)
"""In lower case."""
_NESTED: Final = (
    "log",
    "record",
    "fields",
    "attributes",
    "context",
    "mdc",
    "dd",
    "trace",
    "span",
    "jsonPayload",
    "labels",
)
_TRACE_KEYS: Final = frozenset(
    {
        *(
            "traceid",
            "trace",
            "@tr",
            "oteltraceid",
            "ddtraceid",
            "logginggoogleapiscomtrace",
            "xb3traceid",
            "b3traceid",
        ),
        *("traceparent", "xtraceid", "xcloudtracecontext"),
    }
)
_SPAN_KEYS: Final = frozenset({"spanid", "@sp", "otelspanid", "ddspanid", "logginggoogleapiscomspanid", "xb3spanid"})
_FAILURES: Final = (
    *("exception", "exc_info", "stack_trace", "stacktrace", "stack", "@x", "err", "error", "error.stack_trace"),
    *("traceback", "exception.type", "exception.message", "exception.stacktrace", "error.type", "error.message"),
    *("error.kind", "error.stack", "exceptiontype", "exception_type"),
)

_COUNTED: Final = frozenset({"failed", "fault"})
"""Flags of spans that are numbers of things in logs."""
_NO_FAILURE: Final[tuple[Plain, ...]] = (
    None,
    "",
    False,
    0,
    "null",
    "nil",
    "<nil>",
    "none",
    "None",
    "false",
    "0",
    "-",
    {},
    [],
)

_LOGFMT: Final = re.compile(r"""(?:^|(?<=\s))([A-Za-z_][\w.@/-]{0,63})=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?=\s|$)""")
_KLOG: Final = re.compile(r"([IWEFD])\d{4}(?:\d{4})? \d\d:\d\d:\d\d(?:\.\d+)?\s+\d+ [^\s\]]+:\d+\] ?")
_SYSLOG_LINE: Final = re.compile(r"<(\d{1,3})>(?:1 |(?=[A-Z][a-z]{2} [ \d]\d |\d{4}-))")
_ACCESS: Final = re.compile(r'\S+ \S+ \S+ \[[^\]]{10,40}\] "[A-Z]{3,10} [^"]*" (\d{3}) ')
_RUBY: Final = re.compile(r"([DIWEFA]), \[\d{4}-\d\d-\d\dT[\d:.]+ #\d+\]\s+([A-Z]+) -- ")
_REDIS: Final = re.compile(r"\d+:[XCSM] \d\d [A-Z][a-z]{2} \d{4} [\d:.]+ ([.\-*#]) ")
_REDIS_LEVELS: Final = {".": DEBUG, "-": INFO, "*": NOTICE, "#": WARN}
_CRASH: Final = re.compile(
    r"(?:(?P<error>Traceback \(most recent call last\):|Exception in thread |Unhandled (?:exception|rejection)|Uncaught |"
    r"(?:[a-z_$][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error)\b(?=:|\s|$)|[A-Z]\w*(?:Error|Exception): |=ERROR REPORT)"
    r"|(?P<fatal>panic: |fatal error: |thread '[^']*' panicked at))"
)
_WORD: Final = re.compile(
    r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SEVERE|FATAL|CRITICAL|PANIC|EMERG|ALERT|CRIT)\b(?!-\w)"
)
_SET_OFF: Final = re.compile(
    r"""
    [\[|<(]\s*(?:[a-z_]+:)?(?P<bracket>trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|alert|emerg|fatal|panic
        |INF|DBG|WRN|ERR|FTL|VRB|[TDIWEF])\s*[\]|>)]
  | ^(?P<start>trce|dbug|info|warn|fail|crit|trace|debug|notice|warning|err|error|critical|fatal|panic
        |Trace|Debug|Info|Notice|Warn|Warning|Error|Critical|Fatal|LOG|ERR|HINT|DETAIL)(?::\s|\[|\s+[-|])
  | (?<=\d|[zZ\]])[\s|]+(?P<after>trace|debug|info|notice|warn|warning|err|error|crit|critical|fatal|panic|LOG
        |INF|DBG|WRN|ERR|FTL)[\s:|\]]
  | (?<![\w"])(?:level|severity|lvl)["']?\s*[:=]\s*["']?(?P<named>[A-Za-z]{1,11})\b
    """,
    re.VERBOSE,
)
_NEAR: Final = 120
"""Characters in which a line says how severe it is, if it does."""
_NAME: Final = re.compile(r"(?:SEVERITY_NUMBER_)?([A-Z]+?)(?:([2-4])|[+-]\d+)?")
_IN_TEXT: Final = re.compile(
    r"\b(?P<key>(?i:trace[-_.]?id|span[-_.]?id|otelTraceID|otelSpanID))[\"']?\s*[:=]\s*[\"']?(?P<id>[0-9a-fA-F]{16,32})\b"
    r"|\b00-(?P<parent>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}\b"
)
_DEPTH: Final = 3
_LONGEST_ACCESS: Final = 2048
_MONOLOG: Final = ((200, DEBUG), (250, INFO), (300, NOTICE), (400, WARN), (500, ERROR), (10_000, FATAL))
"""Below these numbers."""
_PYTHON: Final = (TRACE, DEBUG, INFO, WARN, ERROR, FATAL)
_BUNYAN: Final = (TRACE, TRACE, DEBUG, INFO, WARN, ERROR, FATAL)
"""By tens."""


class Said(NamedTuple):
    """What a body says. `severity` 0 and ids 0 where it says nothing; ids are the low 64 bits."""

    message: str
    severity: int = 0
    trace: int = 0
    span: int = 0


def said_in(body: str) -> Said:
    """What the text of a record says."""
    start = body.lstrip()[:1]
    values = _json_object(body) if start == "{" else None
    if values is not None:
        return said_by(values)
    line = _SYSLOG_LINE.match(body)
    if line is not None and int(line[1]) < 192:
        rest = said_in(body[body.find("{") :]) if body.endswith("}") and "{" in body else Said(body)
        return rest._replace(
            message=body if rest.message == body else rest.message, severity=rest.severity or _SYSLOG[int(line[1]) % 8]
        )
    pairs = _logfmt(body)
    if pairs is not None:
        return said_by(pairs, body)
    trace, span = ids_in(body)
    return Said(body, level_in(body), trace, span)


def said_by(values: Mapping[str, Plain], whole: str = "", depth: int = 0) -> Said:
    """What a structured body says; `whole` stands in for a message that it does not have."""
    severity, trace, span = 0, 0, 0
    for mapping in _mappings(values):
        severity = severity or _level_of(mapping)
        for key, value in mapping.items():
            plain = key if key.startswith("@") else re.sub(r"[^a-z0-9]", "", key.lower())
            if plain in _TRACE_KEYS:
                trace = trace or _id(value, "traceparent" in plain)
            elif plain in _SPAN_KEYS:
                span = span or _id(value)
    message = _message(values)
    if message is None:
        message = whole or " ".join(f"{k}={MASK if names_secret(k) else text_of(v)}" for k, v in sorted(values.items()))
    elif depth < _DEPTH and severity == 0:
        inner = said_in(message) if message.lstrip()[:1] != "{" else _inner(message, depth)
        message, severity = inner.message, inner.severity
        trace, span = trace or inner.trace, span or inner.span
    if not severity and (any(values.get(key) not in _NO_FAILURE for key in _FAILURES) or _failed(values)):
        severity = ERROR
    return Said(message, severity, trace, span)


def _failed(values: Mapping[str, Plain]) -> bool:
    """Whether a structured body tells of a request that failed: an access log."""
    nested = values.get("http")
    response = nested.get("response") if isinstance(nested, dict) else None
    code = response.get("status_code") if isinstance(response, dict) else None
    said = {k: v for k, v in values.items() if k not in _COUNTED or v is True}
    return judges(standard())[0].failed(said if code is None else {**said, "http.response.status_code": code})


def _inner(message: str, depth: int) -> Said:
    values = _json_object(message)
    return Said(message) if values is None else said_by(values, depth=depth + 1)


def level_in(text: str) -> int:
    """The severity that a line of text claims, near its beginning; 0 where it claims none."""
    near = text[:_NEAR]
    second = near[1:2]
    if second.isdigit() or second in (",", ":"):  # what begins so is rare: other lines are not looked at
        if (found := _KLOG.match(near)) is not None or (found := _RUBY.match(near)) is not None:
            return LEVELS.get(found[1], INFO)
        if (found := _REDIS.match(near)) is not None:
            return _REDIS_LEVELS[found[1]]
    if '] "' in near and (found := _ACCESS.match(text, 0, _LONGEST_ACCESS)) is not None:
        return ERROR if found[1] >= "500" else INFO
    if (found := _CRASH.match(near)) is not None:
        return FATAL if found["fatal"] else ERROR
    loud = _WORD.search(near)
    quiet = _SET_OFF.search(near) if loud is None else _SET_OFF.search(near, 0, loud.start())
    if quiet is not None:
        return LEVELS.get((quiet[quiet.lastgroup or 0]).upper(), 0)
    return LEVELS[loud[1]] if loud is not None else 0


_DIGITS: Final = 4
"""Of a severity that is a number; longer ones are none."""


@cached(256, 64)
def severity_of(text: str) -> int:
    """SeverityNumber (1 to 24) of a severity's name or text; 0 where it is unknown."""
    found = _NAME.fullmatch(text.strip().upper())
    if found is None:
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS and 1 <= int(text) <= 24 else 0
    level = LEVELS.get(found[1], 0)
    return level + int(found[2]) - 1 if level and found[2] else level


def ids_in(text: str) -> tuple[int, int]:
    """Ids of the trace and the span that running text names; 0 where it names none."""
    if "race" not in text and "00-" not in text and "RACE" not in text:
        return 0, 0
    trace = span = 0
    for found in _IN_TEXT.finditer(text):
        if found["parent"]:
            trace, span = trace or _id(found["parent"]), span or _id(found["span"])
        elif "span" in found["key"].lower():
            span = span or _id(found["id"])
        else:
            trace = trace or _id(found["id"])
    return trace, span


def _mappings(values: Mapping[str, Plain]) -> Iterator[Mapping[str, Plain]]:
    yield values
    for key in _NESTED:
        inner = values.get(key)
        if isinstance(inner, dict):
            yield {f"{key}.{k}" if key in ("trace", "span", "dd") else k: v for k, v in inner.items()}


def _level_of(values: Mapping[str, Plain]) -> int:
    lower = {k.lower(): k for k in values}
    for key in _LEVEL_KEYS:
        if key in lower and (level := _level(key, values[lower[key]], values)):
            return level
    if "@mt" in values or "@m" in values:
        return INFO  # Serilog's compact format leaves this level out
    short = values.get("s")
    return (
        LEVELS.get(short, 0) if isinstance(short, str) and len(short) == 1 and "c" in values and "msg" in values else 0
    )


def _level(key: str, value: Plain, values: Mapping[str, Plain]) -> int:
    if isinstance(value, dict):
        return next((severity_of(v[:32]) for v in (value.get("name"), value.get("level")) if isinstance(v, str)), 0)
    if isinstance(value, str) and not value.strip().isdecimal():
        return severity_of(value.strip()[:32].split(".")[-1])
    found = number_of(value) if key != "status" else None  # Datadog's levels are texts; numbers are HTTP's
    number = -1.0 if found is None else found
    return _level_of_number(key, int(number), values) if 0 <= number < _MONOLOG[-1][0] else 0


def _level_of_number(key: str, number: int, values: Mapping[str, Plain]) -> int:
    if key in ("severitynumber", "severity_number"):
        return number if 1 <= number <= 24 else 0
    if number >= 100:
        return next(level for below, level in _MONOLOG if number < below)
    if key == "levelno":
        return _PYTHON[min(number // 10, 5)]
    if number >= 10:
        return _BUNYAN[min(number // 10, 6)] if number % 10 == 0 else 0
    syslog = key == "priority" or not {"short_message", "version", "MESSAGE"}.isdisjoint(values)
    return _SYSLOG[number] if syslog and number <= 7 else 0


def _message(values: Mapping[str, Plain]) -> str | None:
    for keys in _MESSAGE_KEYS:
        for mapping in _mappings(values):
            for key in keys:
                found = mapping.get(key)
                if isinstance(found, str) and found:
                    return found
    return None


def _logfmt(body: str) -> dict[str, Plain] | None:
    """The fields of a line in logfmt; None where it is none: it begins with a field, and has more than one."""
    first = _LOGFMT.match(body)
    if first is None or "=" not in body[first.end() :]:
        return None
    found: dict[str, Any] = {}
    for key, value in _LOGFMT.findall(body):
        found.setdefault(key, value[1:-1].replace('\\"', '"') if value[:1] == '"' else value)
    return found if len(found) > 1 else None


def _json_object(body: str) -> dict[str, Plain] | None:
    try:
        values = msgspec.json.decode(body)
    except ERRORS:
        return None
    return values if isinstance(values, dict) else None


def _id(value: Plain, parent: bool = False) -> int:
    """The low 64 bits of an id: hexadecimal, a resource's name that ends in one, a traceparent, or (Datadog) decimal."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value & 0xFFFF_FFFF_FFFF_FFFF
    if not isinstance(value, str):
        return 0
    text = value.split("-")[1] if parent and value.count("-") == 3 else value.rpartition("/")[2].partition(";")[0]
    if len(text) in (16, 32) and all(c in "0123456789abcdefABCDEF" for c in text):
        return int(text[-16:], 16)
    return int(text) & 0xFFFF_FFFF_FFFF_FFFF if text.isascii() and text.isdigit() and 17 <= len(text) <= 20 else 0
