"""OTLP as bytes: the few messages that a simulated SDK sends, put together from parts that are encoded once.

The encoding is protobuf's own (opentelemetry/proto/…, tag = field << 3 | type). A general encoder takes ten times as long per span, and
spans are what a simulation makes most of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Final

Value = str | int | float | bool
TIME: Final = Struct("<Q")
_DOUBLE: Final = Struct("<d")
FAILED: Final = b"\x7a\x02\x18\x02"
"""Field 15, a status whose code is ERROR."""


def varint(number: int) -> bytes:
    """A number in as few bytes as it needs; negative ones as 64 bits."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def part(field: int, body: bytes) -> bytes:
    """A field that holds bytes, text or a message."""
    return varint(field << 3 | 2) + varint(len(body)) + body


def any_value(value: Value) -> bytes:
    """An AnyValue."""
    if isinstance(value, bool):
        return b"\x10" + varint(int(value))
    if isinstance(value, int):
        return b"\x18" + varint(value)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE.pack(value)
    return part(1, value.encode())


def attributes(field: int, values: Mapping[str, Value]) -> bytes:
    """Repeated KeyValues in a field."""
    return b"".join(part(field, part(1, k.encode()) + part(2, any_value(v))) for k, v in values.items())


def resource(values: Mapping[str, Value]) -> bytes:
    """Field 1 of whatever comes from a resource: its attributes."""
    return part(1, attributes(1, values))


def group(resource_field: bytes, scope: str, records: Iterable[bytes]) -> bytes:
    """One resource and its records, as a message holds it. Records are fields 2 already."""
    return part(1, resource_field + part(2, part(1, part(1, scope.encode())) + b"".join(records)))


def span_shape(name: str, kind: int, values: Mapping[str, Value], *, failed: bool) -> tuple[bytes, bytes]:
    """What is the same in all spans of a kind: before and after their times."""
    before = part(5, name.encode()) + b"\x30" + varint(kind)
    return before, attributes(9, values) + (FAILED if failed else b"")


def span(trace: bytes, me: bytes, parent: bytes, shape: tuple[bytes, bytes], start_ns: int, end_ns: int) -> bytes:
    """A span, as field 2 of its scope."""
    above = b"\x22\x08" + parent if parent else b""
    times = b"\x39" + TIME.pack(start_ns) + b"\x41" + TIME.pack(end_ns)
    body = b"\x0a\x10" + trace + b"\x12\x08" + me + above + shape[0] + times + shape[1]
    size = len(body)
    length = (
        bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7)) if size < 0x4000 else varint(size)
    )
    return b"\x12" + length + body


def log_record(time_ns: int, severity: int, text: bytes) -> bytes:
    """A log record, as field 2 of its scope; `text` is an encoded body (`part(5, any_value(…))`)."""
    body = b"\x09" + TIME.pack(time_ns) + b"\x10" + varint(severity) + text
    return b"\x12" + varint(len(body)) + body


def number_point(time_ns: int, value: float, start_ns: int = 0, values: Mapping[str, Value] | None = None) -> bytes:
    """A NumberDataPoint, as field 1 of its gauge or sum."""
    body = (
        (b"\x11" + TIME.pack(start_ns) if start_ns else b"")
        + b"\x19"
        + TIME.pack(time_ns)
        + b"\x21"
        + _DOUBLE.pack(value)
    )
    return part(1, body + attributes(7, values or {}))


def gauge(name: str, unit: str, points: Iterable[bytes]) -> bytes:
    """A gauge, as field 2 of its scope."""
    return part(2, part(1, name.encode()) + part(3, unit.encode()) + part(5, b"".join(points)))


def counter(name: str, unit: str, points: Iterable[bytes]) -> bytes:
    """A monotonic cumulative sum, as field 2 of its scope."""
    body = b"".join(points) + b"\x10\x02\x18\x01"
    return part(2, part(1, name.encode()) + part(3, unit.encode()) + part(7, body))


def histogram(name: str, unit: str, points: Iterable[bytes]) -> bytes:
    """A cumulative histogram, as field 2 of its scope."""
    return part(2, part(1, name.encode()) + part(3, unit.encode()) + part(9, b"".join(points) + b"\x10\x02"))


def histogram_point(
    start_ns: int, time_ns: int, counts: list[int], bounds: bytes, total: float, values: Mapping[str, Value]
) -> bytes:
    """A HistogramDataPoint, as field 1; `bounds` are packed doubles."""
    body = b"\x11" + TIME.pack(start_ns) + b"\x19" + TIME.pack(time_ns) + b"\x21" + TIME.pack(sum(counts))
    body += b"\x29" + _DOUBLE.pack(total) + part(6, b"".join(TIME.pack(c) for c in counts)) + part(7, bounds)
    return part(1, body + attributes(9, values))


def packed(numbers: Iterable[float]) -> bytes:
    """Doubles in a row."""
    return b"".join(_DOUBLE.pack(n) for n in numbers)
