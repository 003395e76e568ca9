"""A look at protobuf bytes without decoding them: what signal they hold and whether they were cut off.

TracesData, MetricsData and LogsData share their outer levels (field 1: resource; in it field 2: scope; in it field 2:
item), so protobuf cannot tell them apart by itself; the fields of the first items can.
Wire format: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from contracts.topics import OTLP_LOGS, OTLP_METRICS, OTLP_SPANS

DEPRECATED_TAG: Final = b"\xc2\x3e"
"""The tag of field 1000, length-delimited: instrumentation_library_spans, _metrics, _logs."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LOOK_AT: Final = 8
_DEPRECATED: Final = 1000
_ITEM_TAG: Final = 0x12  # field 2, length-delimited
_METRIC_DATA: Final = {5, 7, 9, 10, 11}  # gauge, sum, histogram, exponential histogram, summary
_SPAN_TIMES: Final = {7, 8}  # start_time_unix_nano, end_time_unix_nano: both fixed64
_LOG_TIMES: Final = {1, 11}  # time_unix_nano, observed_time_unix_nano: both fixed64
_SPAN_KIND: Final = 6
_ID_LENGTHS: Final = [16, 8]  # trace_id, span_id
_ABSENT: Final = (-1, 0, 0)
_NAME: Final = re.compile(rb"[ -~]+")  # of an instrument

Field = tuple[int, int, int, int]  # number, wire type, start and end of the content


class Malformed(ValueError):
    """Bytes that are not protobuf, or end too early (`truncated`)."""

    def __init__(self, truncated: bool) -> None:
        super().__init__("truncated" if truncated else "malformed")
        self.truncated = truncated


def signal_of(payload: bytes) -> str | None:
    """The topic whose signal the first items look like; None where there are no items or they look like nothing."""
    items = 0
    try:
        for start, end in _items(payload):
            topic = _looks_like(payload, start, end)
            if topic is not None:
                return topic
            items += 1
            if items == _LOOK_AT:
                break
    except Malformed:
        pass
    return None


def is_truncated(payload: bytes) -> bool:
    """Whether the outermost message ends inside a field."""
    try:
        for _ in fields(payload, 0, len(payload)):
            pass
    except Malformed as e:
        return e.truncated
    return False


def modern(payload: bytes) -> bytes:
    """The message with what lies in its resources' field 1000 (instrumentation libraries, as they were called until OTLP 0.15)
    moved to field 2 (scopes): the two have the same fields. What isn't protobuf stays as it is."""
    if DEPRECATED_TAG not in payload:
        return payload
    try:
        return b"".join(_with_scopes(payload)) if _is_old(payload) else payload
    except Malformed:
        return payload


def _is_old(payload: bytes) -> bool:
    """Whether a resource has a field 1000. Its tag also stands in ids, by chance: only the resources in which it does are looked at."""
    tag = payload.find(DEPRECATED_TAG)
    for number, wire, start, end in fields(payload, 0, len(payload)):
        if tag < 0:
            return False
        if tag >= end:
            continue
        if (number, wire) == (1, _BYTES) and any(inner == _DEPRECATED for inner, *_ in fields(payload, start, end)):
            return True
        tag = payload.find(DEPRECATED_TAG, end)
    return False


def _with_scopes(payload: bytes) -> Iterator[bytes]:
    at = 0
    for number, wire, start, end in fields(payload, 0, len(payload)):
        if (number, wire) != (1, _BYTES):
            yield payload[at:end]
        else:
            entry, begin = [], start
            for inner, inner_wire, s, e in fields(payload, start, end):
                old = (inner, inner_wire) == (_DEPRECATED, _BYTES)
                entry.append(bytes([_ITEM_TAG]) + varint(e - s) + payload[s:e] if old else payload[begin:e])
                begin = e
            body = b"".join(entry)
            yield b"\n" + varint(len(body)) + body
        at = end


def varint(value: int) -> bytes:
    """A number of seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(data: bytes, at: int, end: int) -> Iterator[Field]:
    """The fields of the message in `data[at:end]`.

    Raises:
        Malformed: not protobuf, or cut off.
    """
    while at < end:
        tag, at = _varint(data, at, end)
        wire = tag & 7
        if wire == _VARINT:
            _, stop = _varint(data, at, end)
        elif wire == _BYTES:
            length, at = _varint(data, at, end)
            stop = at + length
        elif wire in (_FIXED64, _FIXED32):
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            raise Malformed(truncated=False)
        if stop > end:
            raise Malformed(truncated=True)
        yield tag >> 3, wire, at, stop
        at = stop


def positions(data: bytes, literal: bytes) -> Iterator[int]:
    """Where `literal` stands in `data`."""
    at = data.find(literal)
    while at >= 0:
        yield at
        at = data.find(literal, at + 1)


def _items(payload: bytes) -> Iterator[tuple[int, int]]:
    for start, end in _scopes(payload):
        yield from (f[2:] for f in fields(payload, start, end) if f[:2] == (2, _BYTES))


def _scopes(payload: bytes) -> Iterator[tuple[int, int]]:
    for number, wire, start, end in fields(payload, 0, len(payload)):
        if (number, wire) != (1, _BYTES):
            continue
        for inner, inner_wire, s, e in fields(payload, start, end):
            if (inner, inner_wire) == (2, _BYTES):
                yield s, e


def item_starts(payload: bytes) -> list[int]:
    """Where the items (spans, metrics, log records) of a message start, in order: the positions of their tags.

    Raises:
        Malformed: not protobuf, or cut off.
    """
    starts: list[int] = []
    add = starts.append
    for begin, end in _scopes(payload):
        at = begin
        while at < end:
            # Nearly all items are less than 16 KiB long: a length of one byte or two.
            if at + 2 < end and payload[at] == _ITEM_TAG:
                low, high = payload[at + 1], payload[at + 2]
                if low < 0x80:
                    add(at)
                    at += 2 + low
                    continue
                if high < 0x80:
                    add(at)
                    at += 3 + low - 0x80 + (high << 7)
                    continue
            number, wire, _, stop = next(fields(payload, at, end))
            if (number, wire) == (2, _BYTES):
                add(at)
            at = stop
        if at > end:
            raise Malformed(truncated=True)
    return starts


def item_at(payload: bytes, at: int) -> tuple[int, int]:
    """Start and end of the content of the item whose tag is at `at`."""
    length, start = _varint(payload, at + 1, len(payload))
    return start, start + length


def _looks_like(data: bytes, start: int, end: int) -> str | None:
    found = {number: (wire, s, e) for number, wire, s, e in fields(data, start, end)}
    wires = {number: wire for number, (wire, _, _) in found.items()}
    if any(wires.get(n) == _FIXED64 for n in _SPAN_TIMES):
        return OTLP_SPANS
    if any(wires.get(n) == _FIXED64 for n in _LOG_TIMES):
        return OTLP_LOGS
    ids = [data[s:e] for wire, s, e in (found.get(n, _ABSENT) for n in (1, 2)) if wire == _BYTES]
    has_ids = [len(x) for x in ids] == _ID_LENGTHS
    # Of a span without times the name stands where a metric has its gauge, and the ids where that has its name and description.
    if has_ids and (wires.get(_SPAN_KIND) == _VARINT or not _NAME.fullmatch(ids[0])):
        return OTLP_SPANS
    if wires.get(1) == _BYTES and any(wires.get(n) == _BYTES for n in _METRIC_DATA):
        return OTLP_METRICS
    return OTLP_SPANS if has_ids else None


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Malformed(truncated=False)
    raise Malformed(truncated=True)
