"""Spans as columns. Attributes are looked at only where they can matter: they cost more than everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from connectors.otlp import links, marks, meshes, peers, span_bytes, span_verdicts, statements, streaming
from connectors.otlp.codecs import link_ids, status_code
from connectors.otlp.columns import times, usable
from connectors.otlp.flatten import DecodeContext, Flat, flatten
from connectors.otlp.reasons import BAD_TIME, INVALID_FIELD
from connectors.otlp.schema import LinksOfSpan
from connectors.otlp.values import pairs_from_bytes
from contracts.frames.decoded import (
    B1,
    I8,
    I32,
    KIND_CLIENT,
    KIND_CONSUMER,
    KIND_PRODUCER,
    U64,
    SpanBatch,
)

_HAS_PEER: Final = np.array([kind in peers.PEER_OF for kind in range(6)])
_MESSAGES: Final = np.array([kind in (KIND_PRODUCER, KIND_CONSUMER) for kind in range(6)])
_ID_NAMES: Final = ("traceId", "spanId", "parentSpanId")


_SORTS: Final = (
    *(peers.PEER_KEYS, peers.NAMING_KEYS, peers.URL_KEYS, marks.MARKING, marks.SIZES, meshes.KEYS),
    *(statements.NAMING_KEYS, statements.TEXT_KEYS),
)
_PEER, _NAMING, _URL, _MARKING, _SIZE, _MESH, _STATEMENT, _TEXT, _VERDICT = (1 << i for i in range(9))
"""Sorts of attributes (see `span_bytes.sorts_of`); those of verdicts come last, for they are up to settings."""
_OF_CALLS: Final = peers.PEER_KEYS | peers.URL_KEYS | statements.KEYS


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
    error, stream = span_verdicts.of_messages(spans, kind, code, payload, context)
    name = context.strings.column(codec.names(spans))
    states = [(s.trace_state, marks.is_random(s.flags)) for s in spans]
    said = codec.read(spans, payload, range(len(spans)), marks.MARK_KEYS)
    proxy = meshes.of_messages(spans, payload, flat, context)
    columns = _Columns(
        ids=(trace, span, parent),
        start=times([s.start_time_unix_nano for s in spans]),
        end=times([s.end_time_unix_nano for s in spans]),
        kind=kind,
        error=error,
        name=name,
        peer=_peers(spans, kind, payload, context),
        stream=stream,
        marks=marks.of_messages(kind, name, states, said, context),
        proxy=proxy,
    )
    rows = np.flatnonzero(links.may_call(kind, parent)).tolist()
    found = ((row, *ids) for row in rows for ids in codec.links(spans[row]))
    return _batch(columns, flat, (bad_trace, bad_span, bad_parent), context, found)


def plain_span_batch(entries: Iterable[Any], context: DecodeContext) -> SpanBatch | None:
    """The same of messages whose spans are still bytes; None where they are few or not plain (see `span_bytes`)."""
    flat = flatten(entries, "Spans", context)
    spans = span_bytes.read(flat.items) if len(flat.items) >= span_bytes.FEWEST else None
    if spans is None:
        return None
    kind, code = spans.kind.astype(np.int8), np.zeros(len(spans.kind), np.int64)
    for row, status in spans.statuses():
        code[row] = status_code(status)
    name, every = context.strings.bytes_column(*spans.names()), spans.attributes
    sorts = span_bytes.sorts_of(span_bytes.key_starts(spans, every), (*_SORTS, span_verdicts.keys_of(context)))
    error, stream = span_verdicts.of_columns(spans, kind, code, every.where(sorts & _VERDICT != 0), context)
    marking, sizes = every.where(sorts & _MARKING != 0), every.where(sorts & _SIZE != 0)
    columns = _Columns(
        ids=(spans.trace, spans.span, spans.parent),
        start=spans.start_ns,
        end=spans.end_ns,
        kind=kind,
        error=error,
        name=name,
        peer=_plain_peers(spans, kind, sorts, context),
        stream=stream,
        marks=marks.of_columns(spans, kind, name, (marking, sizes), context),
        proxy=meshes.of_columns(spans, every.where(sorts & _MESH != 0), flat, context),
    )
    return _batch(columns, flat, ([], [], []), context, _plain_links(spans, kind))


def _plain_links(spans: span_bytes.SpanBytes, kind: I8) -> Iterator[tuple[int, int, int]]:
    """Row, trace and span of the links of plain spans."""
    if not len(spans.linked):
        return
    start = spans.start.tolist()
    for row in spans.linked[links.may_call(kind, spans.parent)[spans.linked]].tolist():
        for link in LinksOfSpan.FromString(spans.text[start[row] : start[row + 1]]).links[: links.MOST]:
            yield row, *link_ids(link)


@dataclass(frozen=True, slots=True)
class _Peers:
    """Whom each of n spans names, which of them are known by nothing but an address, and what is asked of databases."""

    name: I32
    by_address: B1
    statement: I32


@dataclass(frozen=True, slots=True)
class _Columns:
    """n spans before they are judged; `ids` are those of traces, spans and parents."""

    ids: tuple[U64, U64, U64]
    start: U64
    end: U64
    kind: I8
    error: B1
    name: I32
    peer: _Peers
    stream: B1
    """Those whose attributes say so."""
    marks: marks.Marks
    proxy: I8
    """As in `SpanBatch`; empty where none is a proxy's."""


def _batch(
    columns: _Columns, flat: Flat, broken: tuple[list[int], ...], context: DecodeContext, linked: links.Links
) -> SpanBatch | None:
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
        peer=columns.peer.name,
        by_address=columns.peer.by_address,
        stream=(columns.stream | _named_streams(columns.name, context)) & ~_MESSAGES[columns.kind],
        untimed=columns.marks.untimed | ((parent == 0) & _on_a_timetable(flat)),
        weight=columns.marks.weight,
        proxy=columns.proxy if columns.proxy.any() else columns.proxy[:0],
        statement=columns.peer.statement if columns.peer.statement.any() else columns.peer.statement[:0],
    )
    keep = valid & timely
    context.linked = links.linked_batch(batch, ((r, t, s) for r, t, s in linked if keep[r]))
    return _kept(batch, keep)


def _on_a_timetable(flat: Flat) -> B1:
    """Spans of jobs that a timetable starts, by what their pods say."""
    jobs = [not marks.JOB_KEYS.isdisjoint(sender.attributes) for sender, _ in flat.senders]
    if not any(jobs):
        return np.zeros(len(flat.resource), np.bool_)
    return np.repeat(np.array(jobs, np.bool_), [count for _, count in flat.senders])


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
    columns = (getattr(batch, column) for column in SpanBatch.__slots__)
    return SpanBatch(*(c[keep] if len(c) else c for c in columns))


def _peers(spans: list[Any], kind: I8, payload: bytes, context: DecodeContext) -> _Peers:
    """Databases, brokers and addresses that callers name: nobody else may report them."""
    found = _Peers(np.zeros(len(spans), np.int32), np.zeros(len(spans), np.bool_), np.zeros(len(spans), np.int32))
    rows = np.flatnonzero(_HAS_PEER[kind]).tolist()
    asked: list[tuple[int, str]] = []
    for row, attributes in zip(rows, context.codec.read(spans, payload, rows, _OF_CALLS), strict=True):
        peer = peers.PEER_OF[int(kind[row])](attributes)
        found.name[row], found.by_address[row] = context.strings.index(peer.name), peer.by_address
        if peer.name.startswith(statements.DATABASE):
            asked.append((row, statements.statement_of(attributes)))
    for row, statement in asked:
        found.statement[row] = context.strings.index(statement)
    return found


def _named_streams(name: I32, context: DecodeContext) -> B1:
    """Spans whose names are declared as such. A message has few names, so each is looked at once."""
    patterns, table = context.long_lived, context.strings.table()
    if not patterns:
        return np.zeros(len(name), np.bool_)
    known = np.array([streaming.is_long_lived(text, patterns) for text in table], np.bool_)
    found: B1 = known[name]
    return found


def _plain_peers(spans: span_bytes.SpanBytes, kind: I8, sorts: NDArray[np.uint16], context: DecodeContext) -> _Peers:
    """As `_peers`. What names peers is the same few attributes again and again: each combination is read once."""
    every, naming = spans.attributes, np.zeros(len(kind), np.bool_)
    naming[every.row[np.flatnonzero(sorts & _NAMING)]] = True
    naming &= _HAS_PEER[kind]
    named = every.where(sorts & _PEER != 0)
    named = named.where(naming[named.row])
    told, said = [peers.Peer()], np.zeros(len(kind), np.int64)
    for of_kind, namer in peers.PEER_OF.items():
        same = span_bytes.alike(spans, named.where(kind[named.row] == of_kind))
        said[same.row] = same.group + len(told)
        told += [namer(pairs_from_bytes(pairs, peers.PEER_KEYS)) for pairs in same.pairs]
    nameless = (np.array([not p.name for p in told], np.bool_)[said]) & (kind == KIND_CLIENT)
    urls = every.where(sorts & _URL != 0)
    urls = urls.where(nameless[urls.row])
    for row, pairs in _by_row(spans.text, urls):
        said[row] = len(told)
        told.append(peers.callee_of(pairs_from_bytes(pairs, peers.URL_KEYS)))
    name = _interned([p.name for p in told], said, context)
    stores = np.array([p.name.startswith(statements.DATABASE) for p in told], np.bool_)[said]
    statement = _plain_statements(spans, stores, sorts, context)
    return _Peers(name, np.array([p.by_address for p in told], np.bool_)[said], statement)


def _plain_statements(
    spans: span_bytes.SpanBytes, stores: B1, sorts: NDArray[np.uint16], context: DecodeContext
) -> I32:
    """What calls ask of databases (`stores` says which these are). What names it is the same few attributes again and again; a text
    is read where these do not say all."""
    told, said = [""], np.zeros(len(stores), np.int64)
    if not stores.any():
        return said.astype(np.int32)
    every, lacking = spans.attributes, stores.copy()
    naming = every.where(sorts & _STATEMENT != 0)
    texts = every.where(sorts & _TEXT != 0)
    same = span_bytes.alike(spans, naming.where(stores[naming.row]))
    named = [pairs_from_bytes(pairs, statements.NAMING_KEYS) for pairs in same.pairs]
    lacking[same.row] = np.array([statements.needs_text(n) for n in named], np.bool_)[same.group]
    with_text = np.zeros(len(stores), np.bool_)
    with_text[texts.row] = lacking[texts.row]
    said[same.row] = same.group + len(told)
    told += [statements.statement_of(n) for n in named]
    both = every.where((sorts & (_STATEMENT | _TEXT) != 0) & with_text[every.row])
    more = span_bytes.alike(spans, both)
    said[more.row] = more.group + len(told)
    told += [statements.statement_of(pairs_from_bytes(pairs, statements.KEYS)) for pairs in more.pairs]
    return _interned(told, said, context)


def _interned(told: list[str], said: NDArray[np.int64], context: DecodeContext) -> I32:
    """Numbers of texts, in the order in which rows say them."""
    numbers, first = np.unique(said, return_index=True)
    found = np.zeros(len(told), np.int32)
    for number in numbers[np.argsort(first)].tolist():
        found[number] = context.strings.index(told[number])
    return found[said]


def _by_row(text: bytes, attributes: span_bytes.Attributes) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """The serialized attributes of each row that has any, in their order."""
    order = np.argsort(attributes.start)
    attributes = attributes.where(order)
    pairs = [text[a:b] for a, b in zip(attributes.start.tolist(), attributes.stop.tolist(), strict=True)]
    first = np.flatnonzero(np.diff(attributes.row, prepend=-1))
    bounds = [*first.tolist(), len(pairs)]
    for i, row in enumerate(attributes.row[first].tolist()):
        yield row, tuple(pairs[bounds[i] : bounds[i + 1]])
