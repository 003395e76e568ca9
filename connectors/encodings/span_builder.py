"""Spans of another encoding on their way to OTLP: one message of resources and spans, and what could not be said in it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Status, TracesData

from connectors.otlp.reasons import Skips
from connectors.otlp.values import Plain, number_of, text_of

TRACE_BYTES, SPAN_BYTES = 16, 8
KINDS: Final = {"internal": 1, "local": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_CODES: Final = {"OK": Status.STATUS_CODE_OK, "ERROR": Status.STATUS_CODE_ERROR}
_STATUS: Final = ("otel.status_code", "status.code")
_OF_RESOURCE: Final = (
    "service.",
    "k8s.",
    "deployment.",
    "container.",
    "host.",
    "cloud.",
    "faas.",
    "process.",
    "telemetry.",
)
"""What begins so says who sent it, also where an exporter put it among the tags of a span."""
_NOT_OF_RESOURCE: Final = frozenset({"service.peer.name", "faas.trigger", "faas.coldstart", "faas.invocation_id"})
_LARGEST: Final = (1 << 63) - 1


class SpanBuilder:
    """The spans of one message, by resource."""

    def __init__(self) -> None:
        self.message = TracesData()
        self.skips = Skips()
        self._scopes: dict[tuple[tuple[str, str], ...], Any] = {}

    def add(self, resource: Mapping[str, Plain], tags: Mapping[str, Plain]) -> Any:
        """A new span of whoever `resource` and some of the tags name, with the other tags as attributes."""
        moved = {k: v for k, v in tags.items() if k.startswith(_OF_RESOURCE) and k not in _NOT_OF_RESOURCE}
        said = {**moved, **{k: v for k, v in resource.items() if v not in (None, "")}}
        key = tuple(sorted((k, text_of(v)) for k, v in said.items()))
        scope = self._scopes.get(key)
        if scope is None:
            entry = self.message.resource_spans.add()
            put(entry.resource.attributes, said)
            scope = self._scopes[key] = entry.scope_spans.add()
        span = scope.spans.add()
        put(span.attributes, {k: v for k, v in tags.items() if k not in moved} if moved else tags)
        code = next((_CODES[c] for k in _STATUS if (c := text_of(tags.get(k)).upper()) in _CODES), 0)
        if code:
            span.status.code = code
        return span

    def serialized(self) -> bytes:
        """The message."""
        return self.message.SerializeToString()


def put(attributes: Any, values: Mapping[str, Plain]) -> None:
    """Add key-value pairs to a repeated KeyValue."""
    for key, value in values.items():
        one = attributes.add(key=key).value
        if isinstance(value, bool):
            one.bool_value = value
        elif isinstance(value, int) and abs(value) <= _LARGEST:
            one.int_value = value
        elif isinstance(value, float):
            one.double_value = value
        elif isinstance(value, bytes):
            one.bytes_value = value
        else:
            one.string_value = text_of(value).encode("utf-8", "replace").decode()


def kind_of(word: Plain) -> int:
    """OTLP's number of a span's kind in words; 0 where it is none."""
    return KINDS.get(text_of(word).strip().lower(), 0)


def hex_id(text: Any, width: int) -> bytes | None:
    """An id of `width` bytes in hexadecimal, where leading zeros may be missing and longer trace ids be cut; b"" where there is
    none, None where it is no id."""
    if text in (None, ""):
        return b""
    if not isinstance(text, str) or len(text) > 2 * TRACE_BYTES:
        return None
    try:
        return whole_id(bytes.fromhex(text.zfill(len(text) + len(text) % 2)), width)
    except ValueError:
        return None


def whole_id(raw: bytes, width: int) -> bytes | None:
    """An id of at most `width` bytes with its leading zeros; b"" where it is nothing but zeros, None where it is longer."""
    if not raw.strip(b"\0"):
        return b""
    if len(raw) > width:
        return None
    return raw.rjust(width, b"\0")


def other_id(span: bytes) -> bytes:
    """The id of the second of two spans that share one: the same each time."""
    return hashlib.blake2b(b"shared" + span, digest_size=SPAN_BYTES).digest()


def nanoseconds(value: Any, factor: int) -> int:
    """A time or duration in units of `factor` ns, also where it is written as a text; -1 where it is none or out of range."""
    number = number_of(value)
    if number is None or math.isnan(number):
        return -1
    is_whole = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    whole = int(value) * factor if is_whole else int(min(max(number, -1.0), 1e19) * factor)
    return whole if 0 <= whole <= _LARGEST else -1


def texts(pairs: Iterable[Any]) -> dict[str, Plain]:
    """Tags of messages whose keys and values are bytes."""
    return {p.key.decode("utf-8", "replace"): p.value.decode("utf-8", "replace") for p in pairs}
