"""Spans as columns. Attributes are looked at only where they can matter: they cost more than everything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from connectors.otlp import semconv, span_bytes, streaming
from connectors.otlp.codecs import Needle, status_code
from connectors.otlp.columns import times, usable
from connectors.otlp.flatten import DecodeContext, Flat, flatten
from connectors.otlp.reasons import BAD_TIME, INVALID_FIELD
from connectors.otlp.values import Plain, pairs_from_bytes
from connectors.otlp.wire import positions
from contracts.frames.decoded import (
    B1,
    I8,
    I32,
    I64,
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_PRODUCER,
    KIND_SERVER,
    U64,
    SpanBatch,
)

_ERROR: Final = 2
_NAMED: Final = (b"db.system", b"messaging.system", b"peer.service", b"service.peer.name")
_STATUS_MARKER: Final = b"status_code"
_REQUEST_KINDS: Final = (KIND_SERVER, KIND_CLIENT)
_PEER_OF: Final[dict[int, Callable[[Mapping[str, Plain]], str]]] = {
    KIND_CLIENT: semconv.callee_of,
    KIND_PRODUCER: semconv.broker_of,
    KIND_CONSUMER: semconv.broker_of,
}
_HAS_PEER: Final = np.array([kind in _PEER_OF for kind in range(6)])
_MESSAGES: Final = np.array([kind in (KIND_PRODUCER, KIND_CONSUMER) for kind in range(6)])
_ID_NAMES: Final = ("traceId", "spanId", "parentSpanId")
_LONG: Final = 16_384
_QUOTE, _COLON, _SPACE, _FIVE = b'": 5'
_JSON_SERVER_ERROR: Final = re.compile(rb'ntValue"\s*:\s*"?5\d\d\b')


def _named_positions(payload: bytes) -> list[int]:
    return [at for marker in _NAMED for at in positions(payload, marker)]


def _names_callee(text: bytes) -> bool:
    return any(marker in text for marker in _NAMED)


def _server_error_positions(payload: bytes) -> Sequence[int]:
    """Where an integer attribute of 500 to 599 may stand: the tag of int_value (field 3), then a varint of two bytes."""
    data = np.frombuffer(payload, np.uint8)
    at = np.flatnonzero(data[:-2] == 0x18)
    low, high = data[at + 1], data[at + 2]
    found = ((low >= 0xF4) & (high == 3)) | ((low >= 0x80) & (low <= 0xD7) & (high == 4))
    hits: list[int] = at[found].tolist()
    return hits


def _holds_server_error(text: bytes) -> bool:
    """Whether JSON text has an integer attribute of 500 to 599. A regular expression alone is slow on a whole message."""
    if len(text) > _LONG:
        data = np.frombuffer(text, np.uint8)
        at = np.flatnonzero((data[:-4] == _QUOTE) & (data[1:-3] == _FIVE) & (data[4:] == _QUOTE))
        bare = np.flatnonzero((data[:-4] == _COLON) & (data[1:-3] == _FIVE))
        spaced = np.flatnonzero((data[:-4] == _SPACE) & (data[1:-3] == _FIVE))
        if not (len(at) or len(bare) or len(spaced)):
            return False
    return _JSON_SERVER_ERROR.search(text) is not None


_PEERS: Final = Needle(_named_positions, _names_callee, semconv.PEER_KEYS)
_PEER_STARTS: Final = span_bytes.starts_of(semconv.PEER_KEYS)
_NAMING_STARTS: Final = span_bytes.starts_of(
    frozenset((*semconv.DB_SYSTEM, *semconv.MESSAGING_SYSTEM, *semconv.LOGICAL_PEER))
)
_STATUS_STARTS: Final = span_bytes.starts_of(semconv.HTTP_STATUS_KEYS)
_STREAM_STARTS: Final = span_bytes.starts_of(streaming.STREAM_KEYS)
_SERVER_ERRORS: Final = Needle(_server_error_positions, _holds_server_error, semconv.HTTP_STATUS_KEYS)


def span_batch(entries: Iterable[Any], payload: bytes, context: DecodeContext) -> SpanBatch | None:
    """The spans of ResourceSpans messages; None where there are none. `payload` is the message they came from."""
    flat = flatten(entries, "Spans", context)
    spans, codec = flat.items, context.codec
    if not spans:
        return None
    trace, bad_trace = codec.ids([s.trace_id for s in spans], 16)
    span, bad_span = codec.ids([s.span_id for s in spans], 8)
    parent, bad_parent = codec.ids([s.parent_span_id for s in spans], 8)
    kind = np.array(codec.kinds(spans), np.int8)
    code = np.array(codec.codes(spans), np.int64)
    columns = _Columns(
        ids=(trace, span, parent),
        start=times([s.start_time_unix_nano for s in spans]),
        end=times([s.end_time_unix_nano for s in spans]),
        kind=kind,
        error=(code == _ERROR) | _failed_by_status(spans, kind, code, payload, context),
        name=context.strings.column(codec.names(spans)),
        peer=_peers(spans, kind, payload, context),
        stream=_streams(spans, payload, context),
    )
    return _batch(columns, flat, (bad_trace, bad_span, bad_parent), context)


def plain_span_batch(entries: Iterable[Any], context: DecodeContext) -> SpanBatch | None:
    """The same of messages whose spans are still bytes; None where they are few or not plain (see `span_bytes`)."""
    flat = flatten(entries, "Spans", context)
    spans = span_bytes.read(flat.items) if len(flat.items) >= span_bytes.FEWEST else None
    if spans is None:
        return None
    kind, code = spans.kind.astype(np.int8), np.zeros(len(spans.kind), np.int64)
    for row, status in spans.statuses():
        code[row] = status_code(status)
    columns = _Columns(
        ids=(spans.trace, spans.span, spans.parent),
        start=spans.start_ns,
        end=spans.end_ns,
        kind=kind,
        error=(code == _ERROR) | _plain_failed_by_status(spans, kind, code),
        name=context.strings.bytes_column(spans.names()),
        peer=_plain_peers(spans, kind, context),
        stream=_plain_streams(spans),
    )
    return _batch(columns, flat, ([], [], []), context)


@dataclass(frozen=True, slots=True)
class _Columns:
    """n spans before they are judged; `ids` are those of traces, spans and parents."""

    ids: tuple[U64, U64, U64]
    start: U64
    end: U64
    kind: I8
    error: B1
    name: I32
    peer: I32
    stream: B1
    """Those whose attributes say so."""


def _batch(columns: _Columns, flat: Flat, broken: tuple[list[int], ...], context: DecodeContext) -> SpanBatch | None:
    trace, span, parent = columns.ids
    start, end = columns.start, columns.end
    valid = _valid_ids((trace != 0) & (span != 0), broken, flat, context)
    timely = usable(start) & usable(end) & (end >= start)
    context.skips.add(BAD_TIME, int((valid & ~timely).sum()))
    batch = SpanBatch(
        resource=flat.resource,
        trace=trace,
        span=span,
        parent=parent,
        kind=columns.kind,
        start_ns=start.astype(np.int64),
        end_ns=end.astype(np.int64),
        error=columns.error,
        name=columns.name,
        peer=columns.peer,
        stream=(columns.stream | _named_streams(columns.name, context)) & ~_MESSAGES[columns.kind],
    )
    return _kept(batch, valid & timely)


def _valid_ids(valid: B1, broken: tuple[list[int], ...], flat: Flat, context: DecodeContext) -> B1:
    for rows in broken:
        valid[rows] = False
    if not valid.all():
        first = int(np.argmin(valid))
        name = next((n for n, rows in zip(_ID_NAMES, broken, strict=True) if first in rows), "traceId or spanId")
        context.skips.invalid(f"{flat.place(first)}.{name}", "missing or not an id of the right length")
        context.skips.add(INVALID_FIELD, int((~valid).sum()) - 1)
    return valid


def _kept(batch: SpanBatch, keep: B1) -> SpanBatch | None:
    if keep.all():
        return batch
    if not keep.any():
        return None
    return SpanBatch(*(getattr(batch, column)[keep] for column in SpanBatch.__slots__))


def _peers(spans: list[Any], kind: I8, payload: bytes, context: DecodeContext) -> I32:
    """Databases and brokers that callers name: nobody else reports them."""
    peers = np.zeros(len(spans), np.int32)
    for row, attributes in context.codec.pick(spans, payload, _PEERS):
        name = _PEER_OF.get(int(kind[row]))
        if name is not None:
            peers[row] = context.strings.index(name(attributes))
    return peers


def _failed_by_status(spans: list[Any], kind: I8, code: I64, payload: bytes, context: DecodeContext) -> B1:
    """Requests whose instrumentation set no status but recorded an HTTP server error."""
    failed = np.zeros(len(spans), np.bool_)
    if _STATUS_MARKER in payload:
        for row, attributes in context.codec.pick(spans, payload, _SERVER_ERRORS):
            failed[row] = code[row] == 0 and kind[row] in _REQUEST_KINDS and semconv.http_failed(attributes)
    return failed


def _streams(spans: list[Any], payload: bytes, context: DecodeContext) -> B1:
    """Spans whose attributes say that they last as long as their user likes."""
    found = np.zeros(len(spans), np.bool_)
    for row, attributes in context.codec.pick(spans, payload, streaming.STREAMS):
        found[row] = streaming.is_stream(attributes)
    return found


def _named_streams(name: I32, context: DecodeContext) -> B1:
    """Spans whose names are declared as such. A message has few names, so each is looked at once."""
    patterns, table = context.long_lived, context.strings.table()
    if not patterns:
        return np.zeros(len(name), np.bool_)
    known = np.array([streaming.is_long_lived(text, patterns) for text in table], np.bool_)
    found: B1 = known[name]
    return found


def _plain_streams(spans: span_bytes.SpanBytes) -> B1:
    found = np.zeros(len(spans.kind), np.bool_)
    places = streaming.hits(spans.text)
    if not places:
        return found
    maybe = np.zeros(len(found) + 1, np.bool_)
    maybe[np.searchsorted(spans.start, places, side="right") - 1] = True
    attributes = spans.attributes.where(maybe[:-1][spans.attributes.row])
    attributes = attributes.where(span_bytes.among(span_bytes.key_starts(spans, attributes), _STREAM_STARTS))
    for row, pairs in _by_row(spans.text, attributes):
        found[row] = streaming.is_stream(pairs_from_bytes(pairs, streaming.STREAM_KEYS))
    return found


def _plain_peers(spans: span_bytes.SpanBytes, kind: I8, context: DecodeContext) -> I32:
    """As `_peers`. What names peers is the same few attributes again and again: each combination is read once."""
    peers = np.zeros(len(kind), np.int32)
    attributes = spans.attributes.where(_HAS_PEER[kind][spans.attributes.row])
    starts = span_bytes.key_starts(spans, attributes)
    naming = np.zeros(len(kind), np.bool_)
    naming[attributes.row[span_bytes.among(starts, _NAMING_STARTS)]] = True
    some = np.flatnonzero(naming[attributes.row])
    attributes = attributes.where(some[span_bytes.among(starts[some], _PEER_STARTS)])
    for row, pairs in _by_row(spans.text, attributes):
        peers[row] = context.strings.index(_peer_named(int(kind[row]), pairs))
    return peers


def _plain_failed_by_status(spans: span_bytes.SpanBytes, kind: I8, code: I64) -> B1:
    failed = np.zeros(len(kind), np.bool_)
    if _STATUS_MARKER not in spans.text:
        return failed
    hits = np.searchsorted(spans.start, _server_error_positions(spans.text), side="right") - 1
    maybe = np.zeros(len(kind) + 1, np.bool_)
    maybe[hits] = True
    maybe = maybe[:-1] & (code == 0) & np.isin(kind, _REQUEST_KINDS)
    attributes = spans.attributes.where(maybe[spans.attributes.row])
    attributes = attributes.where(span_bytes.among(span_bytes.key_starts(spans, attributes), _STATUS_STARTS))
    for row, pairs in _by_row(spans.text, attributes):
        failed[row] = semconv.http_failed(pairs_from_bytes(pairs, semconv.HTTP_STATUS_KEYS))
    return failed


def _by_row(text: bytes, attributes: span_bytes.Attributes) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """The serialized attributes of each row that has any, in their order."""
    order = np.argsort(attributes.start)
    attributes = attributes.where(order)
    pairs = [text[a:b] for a, b in zip(attributes.start.tolist(), attributes.stop.tolist(), strict=True)]
    first = np.flatnonzero(np.diff(attributes.row, prepend=-1))
    bounds = [*first.tolist(), len(pairs)]
    for i, row in enumerate(attributes.row[first].tolist()):
        yield row, tuple(pairs[bounds[i] : bounds[i + 1]])


@lru_cache(maxsize=4096)
def _peer_named(kind: int, pairs: tuple[bytes, ...]) -> str:
    return _PEER_OF[kind](pairs_from_bytes(pairs, semconv.PEER_KEYS))
