"""Log lines without any envelope as OTLP: text, JSON objects (one or several a message), and what the Collector's encoding `raw` writes.

What a line says of its level and its trace is read where all logs are (`connectors.otlp.log_bodies`). Who wrote it and when only
structured lines say; else the topic's settings, the message's headers and its timestamp do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from connectors.encodings.span_builder import put
from connectors.otlp.conventions import Conventions
from connectors.otlp.json_model import ERRORS
from connectors.otlp.reasons import EMPTY, malformed_json, refuse
from connectors.otlp.values import Plain, number_of, text_of
from contracts.units import MILLISECOND, SECOND

_FACTS: Final = {
    "service.name": "log_service",
    "k8s.namespace.name": "log_namespace",
    "k8s.pod.name": "log_pod",
    "k8s.pod.uid": "log_pod_uid",
    "k8s.container.name": "log_container",
    "k8s.deployment.name": "log_deployment",
    "host.name": "log_host",
    "deployment.environment.name": "log_environment",
}
"""Resource attribute -> the fact of the table that says where a line has it."""
_DEPTH: Final = 5
_UNITS: Final = ((1e11, SECOND), (1e14, MILLISECOND), (1e17, 1000), (1e20, 1))
"""Below these numbers a time is in such units: seconds, milli-, micro- and nanoseconds of today are of different sizes."""
_LARGEST: Final = (1 << 63) - 1
_SPACE: Final = b" \t\r\n"


def from_any(payload: bytes, resource: Mapping[str, Plain], time_ns: int, conventions: Conventions) -> LogsData:
    """The records of a message: JSON objects where it is made of such, else the text. `resource` says who sent it where it doesn't.

    Raises:
        UndecodableTelemetry: there is nothing in it.
    """
    return _message(list(_values(payload)), resource, time_ns, conventions)


def from_text(payload: bytes, resource: Mapping[str, Plain], time_ns: int, conventions: Conventions) -> LogsData:
    """The one record of a message that is text, whatever it looks like. Raises as `from_any`."""
    return _message([payload.decode("utf-8", "replace")], resource, time_ns, conventions)


def from_json(payload: bytes, resource: Mapping[str, Plain], time_ns: int, conventions: Conventions) -> LogsData:
    """The records of a message that must be JSON: a value, an array of them, or one a line.

    Raises:
        UndecodableTelemetry: it is not JSON, or there is nothing in it.
    """
    try:
        values = json_values(payload)
    except ERRORS as e:
        raise malformed_json(e) from e
    return _message(values, resource, time_ns, conventions)


def _values(payload: bytes) -> Iterator[Any]:
    start = payload.lstrip(_SPACE)[:1]
    if start in (b"{", b"[", b'"'):
        try:
            found = json_values(payload)
        except ERRORS:
            found = []
        if found and (start != b"[" or all(isinstance(v, dict) for v in found)):
            yield from found
            return
    yield payload.decode("utf-8", "replace")


def json_values(payload: bytes) -> list[Any]:
    """The values of JSON: those of an array, one, or one a line."""
    try:
        body = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        lines = [line for line in payload.splitlines() if line.strip(_SPACE)]
        if len(lines) < 2:
            raise
        return [msgspec.json.decode(line) for line in lines]
    return body if isinstance(body, list) else [body]


def _message(values: Sequence[Any], resource: Mapping[str, Plain], time_ns: int, conventions: Conventions) -> LogsData:
    message = LogsData()
    scopes: dict[tuple[tuple[str, str], ...], Any] = {}
    for value in values:
        if value in (None, {}, []) or (isinstance(value, str) and not value.strip()):
            continue
        fields = dict(_flat(value)) if isinstance(value, dict) else {}
        said = {**_said_by(fields, conventions), **resource} if fields else dict(resource)
        key = tuple(sorted((k, text_of(v)) for k, v in said.items()))
        scope = scopes.get(key)
        if scope is None:
            entry = message.resource_logs.add()
            put(entry.resource.attributes, said)
            scope = scopes[key] = entry.scope_logs.add()
        record = scope.log_records.add(time_unix_nano=_time_of(fields, conventions) or max(time_ns, 0))
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        record.body.string_value = text.encode("utf-8", "replace").decode()
    if not message.resource_logs:
        raise refuse(EMPTY)
    return message


def _said_by(fields: Mapping[str, Any], conventions: Conventions) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for attribute, fact in _FACTS.items():
        text = next((t for k in conventions.keys(fact) if isinstance(t := fields.get(k), str) and t.strip()), "")
        if text:
            found[attribute] = text.strip()
    return found


def _time_of(fields: Mapping[str, Any], conventions: Conventions) -> int:
    """Epoch nanoseconds of what a line says of its time; 0 where it says nothing that can be read."""
    for key in conventions.keys("log_time"):
        if time_ns := epoch_ns(fields.get(key)):
            return time_ns
    return 0


def epoch_ns(value: Any) -> int:
    """Epoch nanoseconds of a time in ISO 8601, or a number of seconds, milli-, micro- or nanoseconds; 0 where it is neither."""
    number = number_of(value)
    if number is not None and 0 < number < _UNITS[-1][0]:
        unit = next(u for limit, u in _UNITS if number < limit)
        time_ns = int(value) * unit if isinstance(value, int) else round(number * unit / 1000) * 1000
        return time_ns if time_ns <= _LARGEST and number > 1e8 else 0
    return _iso(value) if isinstance(value, str) else 0


def _iso(text: str) -> int:
    try:
        found = datetime.fromisoformat(text.strip().replace(",", "."))
    except ValueError:
        return 0
    try:
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return 0
    return max(int(seconds // 1) * SECOND + found.microsecond * 1000, 0)


def _flat(value: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Fields of an object and of those in it, with their path."""
    for key, inner in value.items():
        if isinstance(inner, dict) and depth < _DEPTH:
            yield from _flat(inner, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", inner
