"""The two encodings behind one face: what spans, metrics and logs need to ask of a message, protobuf or JSON.

Messages of both have the same attribute names (protobuf's); a codec covers the places where they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from google.protobuf.message import DecodeError
from msgspec import Raw

from connectors.otlp import json_model as model
from connectors.otlp import metric_data
from connectors.otlp.columns import NO_TRACE, halves, id_of, ids_or_none
from connectors.otlp.identity import Identified, IdentityRules, identify_json, identify_proto
from connectors.otlp.links import MOST
from connectors.otlp.metric_data import EXPONENTIAL, GAUGE, HISTOGRAM, SUM, SUMMARY, MetricData, Placed, enum_names
from connectors.otlp.reasons import Skips
from connectors.otlp.schema import AttributesOfLog, AttributesOfSpan, Link, Status
from connectors.otlp.values import Plain, cached, from_bytes, from_proto, pairs_from_bytes, short
from connectors.otlp.wire import Malformed, item_at, item_starts
from contracts.frames.decoded import U64

_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_CODES: Final = ("UNSET", "OK", "ERROR")


ERROR_CODE: Final = 2
_FINE: Final = frozenset({0, "0", "", "DEPRECATED_STATUS_CODE_OK", None})
"""Codes of until OTLP 0.6, which had one for each kind of failure, that are none."""
KIND_NUMBERS: Final = enum_names("SPAN_KIND", _KINDS)
CODE_NUMBERS: Final = enum_names("STATUS_CODE", _CODES)


@dataclass(frozen=True, slots=True)
class Needle:
    """What to look for in the bytes of a message before reading any attributes: a hit may be a coincidence, a miss means
    that there is nothing. `protobuf` gives the positions of hits in a message, `json` says whether there is one; `wanted`
    are the attributes to read where it hits."""

    protobuf: Callable[[bytes], Sequence[int]]
    json: Callable[[bytes], bool]
    wanted: frozenset[str]


class Codec(Protocol):
    """What differs between the encodings."""

    def identify(self, resource: Any, environment: str, rules: IdentityRules) -> Identified | None:
        """Identity of a resource; None where it cannot be read."""
        ...

    def ids(self, values: Sequence[Any], width: int) -> tuple[U64, list[int]]:
        """Low 64 bits of ids of `width` bytes (0 where empty), and the rows that are not such ids."""
        ...

    def kinds(self, spans: Sequence[Any]) -> list[int]:
        """Kinds of spans; 0 where unknown."""
        ...

    def codes(self, spans: Sequence[Any]) -> list[int]:
        """Status codes of spans: 0 unset, 1 ok, 2 error."""
        ...

    def names(self, spans: Sequence[Any]) -> list[str]:
        """Names of spans."""
        ...

    def pick(self, spans: Sequence[Any], payload: bytes, needle: Needle) -> Iterator[tuple[int, dict[str, Plain]]]:
        """Rows of the spans that hold what the needle searches for, and their attributes that it wants."""
        ...

    def read(
        self, spans: Sequence[Any], payload: bytes, rows: Sequence[int], wanted: frozenset[str]
    ) -> Iterator[dict[str, Plain]]:
        """The attributes of some rows that are wanted."""
        ...

    def rows(self, spans: Sequence[Any], payload: bytes, pattern: re.Pattern[bytes]) -> Sequence[int]:
        """Rows of the spans in whose bytes a pattern is found, attributes or events."""
        ...

    def links(self, span: Any) -> list[tuple[int, int]]:
        """Low 64 bits of the ids of the traces and spans that a span links to."""
        ...

    def attributes(self, attributes: Any) -> dict[str, Plain]:
        """All attributes of a metric point."""
        ...

    def data(self, metric: Any, skips: Skips, at: Placed) -> MetricData | None:
        """The data of a metric at a place; None where there are none that can be read. What can't is counted."""
        ...

    def points(self, data: MetricData, skips: Skips, source: Placed) -> Iterable[Any]:
        """The points of a metric's data; those that cannot be read are counted."""
        ...

    def number(self, point: Any) -> float | None:
        """The value of a number point."""
        ...

    def body(self, record: Any) -> Plain:
        """The body of a log record."""
        ...

    def severity(self, record: Any) -> int | str:
        """The severity number of a log record, or its name."""
        ...

    def log_attributes(self, records: Sequence[Any], payload: bytes, rows: Sequence[int]) -> Iterator[dict[str, Plain]]:
        """The attributes of some rows of all log records of a message."""
        ...


class ProtoCodec:
    """Messages of the generated protobuf classes."""

    def identify(self, resource: Any, environment: str, rules: IdentityRules) -> Identified | None:
        """Identity, cached under the resource's serialized bytes."""
        serialized = resource if isinstance(resource, bytes) else resource.SerializeToString()
        return identify_proto(serialized, environment, rules)

    def ids(self, values: Sequence[bytes], width: int) -> tuple[U64, list[int]]:
        """Ids are bytes."""
        lengths = set(map(len, values))
        if lengths == {width}:
            return halves(b"".join(values), width), []
        if lengths <= {0, width}:
            empty = NO_TRACE[:width]
            return halves(b"".join([v or empty for v in values]), width), []
        return _mended([v if len(v) == width else None if v else NO_TRACE[:width] for v in values], width)

    def kinds(self, spans: Sequence[Any]) -> list[int]:
        """Kinds are open enums."""
        return [s.kind if 0 <= s.kind <= 5 else 0 for s in spans]

    def codes(self, spans: Sequence[Any]) -> list[int]:
        """Status is a sub-message, unread because it is mostly empty."""
        return [status_code(s.status) if s.status else 0 for s in spans]

    def names(self, spans: Sequence[Any]) -> list[str]:
        """Names are bytes, each decoded once."""
        names = [s.name for s in spans]
        texts = {name: name.decode("utf-8", "replace") for name in set(names)}
        return [texts[name] for name in names]

    def pick(self, spans: Sequence[Any], payload: bytes, needle: Needle) -> Iterator[tuple[int, dict[str, Plain]]]:
        """Searches the whole message at once, then reads the spans in which something was found."""
        hits = needle.protobuf(payload)
        if len(hits) == 0:
            return
        starts = item_starts(payload)
        rows = np.unique(np.searchsorted(np.array(starts), hits, side="right") - 1).tolist()
        for row in rows:
            if row >= 0:
                start, end = item_at(payload, starts[row])
                attributes = AttributesOfSpan.FromString(payload[start:end]).attributes
                yield row, pairs_from_bytes(attributes, needle.wanted)

    def read(
        self, spans: Sequence[Any], payload: bytes, rows: Sequence[int], wanted: frozenset[str]
    ) -> Iterator[dict[str, Plain]]:
        """Attributes are read from the message's bytes."""
        starts = item_starts(payload) if rows else []
        for row in rows:
            start, end = item_at(payload, starts[row])
            yield pairs_from_bytes(AttributesOfSpan.FromString(payload[start:end]).attributes, wanted)

    def rows(self, spans: Sequence[Any], payload: bytes, pattern: re.Pattern[bytes]) -> Sequence[int]:
        """The whole message is searched at once."""
        hits = [match.start() for match in pattern.finditer(payload)]
        rows = np.unique(np.searchsorted(np.array(item_starts(payload)), hits, side="right") - 1)
        return rows[rows >= 0].tolist()  # type: ignore[no-any-return]

    def links(self, span: Any) -> list[tuple[int, int]]:
        """Links are bytes; one that is none is left out."""
        found = []
        for serialized in span.links[:MOST]:
            try:
                found.append(link_ids(Link.FromString(serialized)))
            except DecodeError:
                continue
        return found

    def attributes(self, attributes: Any) -> dict[str, Plain]:
        """All values are converted."""
        return {a.key: short(from_proto(a.value)) for a in attributes}

    def data(self, metric: Any, skips: Skips, at: Placed) -> MetricData | None:
        """Which of the data fields is set."""
        return metric_data.of_protobuf(metric, skips, at)

    def points(self, data: MetricData, skips: Skips, source: Placed) -> Iterable[Any]:
        """Points are decoded already."""
        return data.points

    def number(self, point: Any) -> float | None:
        """Integer or double."""
        which = point.WhichOneof("value")
        return float(getattr(point, which)) if which else None

    def body(self, record: Any) -> Plain:
        """Nearly always text."""
        return _body(record.body) if record.body else None

    def severity(self, record: Any) -> int | str:
        """An open enum, or the text where it is not set."""
        return record.severity_number or record.severity_text.decode("utf-8", "replace")  # type: ignore[no-any-return]

    def log_attributes(self, records: Sequence[Any], payload: bytes, rows: Sequence[int]) -> Iterator[dict[str, Plain]]:
        """Attributes are read from the message's bytes."""
        starts = item_starts(payload) if rows else []
        for row in rows:
            start, end = item_at(payload, starts[row])
            yield pairs_from_bytes(AttributesOfLog.FromString(payload[start:end]).attributes)


def link_ids(link: Any) -> tuple[int, int]:
    """Low 64 bits of a link's ids; 0 where one is not of its length."""
    return (_low(link.trace_id) if len(link.trace_id) == 16 else 0, _low(link.span_id) if len(link.span_id) == 8 else 0)


def _low(raw: bytes) -> int:
    return int.from_bytes(raw[-8:], "big")


class JsonCodec:
    """Structs of `json_model`."""

    def identify(self, resource: Raw, environment: str, rules: IdentityRules) -> Identified | None:
        """Identity, cached under the resource's text."""
        try:
            return identify_json(bytes(resource), environment, rules)
        except model.ERRORS:
            return None

    def ids(self, values: Sequence[str | None], width: int) -> tuple[U64, list[int]]:
        """Ids are hexadecimal; some encoders write base64, as the proto3 mapping has it."""
        texts = [v or "" for v in values]
        joined = ids_or_none(texts, width)
        return (halves(joined, width), []) if joined is not None else _mended([id_of(t, width) for t in texts], width)

    def kinds(self, spans: Sequence[Any]) -> list[int]:
        """Kinds are numbers or names."""
        return [KIND_NUMBERS.get(s.kind, 0) for s in spans]

    def codes(self, spans: Sequence[Any]) -> list[int]:
        """Status is usually absent; its code is a number or a name."""
        return [_json_code(s.status) if s.status is not None else 0 for s in spans]

    def names(self, spans: Sequence[Any]) -> list[str]:
        """Names are texts."""
        return [s.name for s in spans]

    def pick(self, spans: Sequence[Any], payload: bytes, needle: Needle) -> Iterator[tuple[int, dict[str, Plain]]]:
        """Attributes are unread: searched one by one, then read."""
        if not needle.json(payload):
            return
        for row, span in enumerate(spans):
            if needle.json(bytes(span.attributes)):
                yield row, model.pick_json(span.attributes, needle.wanted)

    def read(
        self, spans: Sequence[Any], payload: bytes, rows: Sequence[int], wanted: frozenset[str]
    ) -> Iterator[dict[str, Plain]]:
        """Attributes are unread so far."""
        return (model.pick_json(spans[row].attributes, wanted) for row in rows)

    def rows(self, spans: Sequence[Any], payload: bytes, pattern: re.Pattern[bytes]) -> Sequence[int]:
        """Events are unread so far."""
        return [row for row, span in enumerate(spans) if pattern.search(bytes(span.events))]

    def links(self, span: Any) -> list[tuple[int, int]]:
        """Links are unread so far; one that is none is left out."""
        if span.links is model.NOTHING:
            return []
        try:
            given = model.LINKS.decode(span.links) or ()
        except model.ERRORS:
            return []
        ids = [(id_of(link.trace_id or "", 16), id_of(link.span_id or "", 8)) for link in given[:MOST]]
        return [(_low(trace), _low(span)) for trace, span in ids if trace and span]

    def attributes(self, attributes: Any) -> dict[str, Plain]:
        """Attributes of a point are decoded with it."""
        return model.pairs_of(attributes)

    def data(self, metric: Any, skips: Skips, at: Placed) -> MetricData | None:
        """The first data field there is."""
        return metric_data.of_json(metric, skips, at)

    def points(self, data: MetricData, skips: Skips, source: Placed) -> Iterable[Any]:
        """Points are decoded now, those that have not been before."""
        decoder = _POINT_DECODERS[data.kind]
        for i, raw in enumerate(data.points):
            try:
                yield decoder.decode(raw) if isinstance(raw, Raw) else raw
            except model.ERRORS as e:
                skips.invalid(f"{source.place}.dataPoints[{i}]", str(e))

    def number(self, point: Any) -> float | None:
        """Integer or double."""
        value = point.as_int if point.as_double is None else point.as_double
        try:
            return None if value is None else float(value)
        except OverflowError:
            return None

    def body(self, record: Any) -> Plain:
        """Any value."""
        return model.plain(record.body)

    def severity(self, record: Any) -> int | str:
        """A number or its name, or the text where it is not set."""
        return record.severity_number or record.severity_text or 0

    def log_attributes(self, records: Sequence[Any], payload: bytes, rows: Sequence[int]) -> Iterator[dict[str, Plain]]:
        """Attributes are unread so far."""
        return (model.pick_json(records[row].attributes, None) for row in rows)


_POINT_DECODERS: Final = {
    GAUGE: model.NUMBER_POINT,
    SUM: model.NUMBER_POINT,
    HISTOGRAM: model.HISTOGRAM_POINT,
    EXPONENTIAL: model.EXPONENTIAL_POINT,
    SUMMARY: model.SUMMARY_POINT,
}
PROTO: Final = ProtoCodec()
JSON: Final = JsonCodec()
PROTO_ERRORS: Final = (DecodeError, RecursionError, Malformed)


@cached(8192, 4096)
def _body(serialized: bytes) -> Plain:
    try:
        return from_bytes(serialized)
    except DecodeError:
        return None


def _json_code(status: model.StatusJson) -> int:
    code = CODE_NUMBERS.get(status.code, 0)
    return code or (0 if status.deprecated_code in _FINE else ERROR_CODE)


@cached(1024, 4096)
def status_code(serialized: bytes) -> int:
    """The code in a serialized Status. DecodeError if it is none."""
    status = Status.FromString(serialized)
    return status.code or (ERROR_CODE if status.deprecated_code else 0)


def _mended(values: Sequence[bytes | None], width: int) -> tuple[U64, list[int]]:
    """Ids where some are broken: those become 0 and are named."""
    empty = bytes(width)
    column = halves(b"".join([empty if v is None else v for v in values]), width)
    return column, [i for i, v in enumerate(values) if v is None]
