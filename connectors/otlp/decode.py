"""From the bytes of one message to columns. Pure: the same bytes give the same columns.

Protobuf and JSON are told apart by the first byte, and a message on the wrong topic is read as what it is. Whatever the
bytes, the outcome is a `Decoded` or an `UndecodableTelemetry`; the reasons are listed in `connectors.otlp.reasons`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData

from connectors.otlp import foreign_fields, json_read, unknown, wire
from connectors.otlp.chosen_series import SeriesChoice
from connectors.otlp.codecs import JSON, PROTO, PROTO_ERRORS, Codec
from connectors.otlp.conventions import Conventions, standard
from connectors.otlp.failures import judges
from connectors.otlp.flatten import DecodeContext, UnreadMetric
from connectors.otlp.identity import STANDARD, IdentityRules
from connectors.otlp.logs import log_batch
from connectors.otlp.metrics import MetricReader
from connectors.otlp.raw import decode_raw
from connectors.otlp.reasons import (
    EMPTY,
    INVALID_FIELD,
    INVALID_JSON,
    INVALID_PROTOBUF,
    NOT_OTLP,
    NOTHING_READ,
    TOO_LARGE,
    UNKNOWN_FIELD,
    malformed_protobuf,
    refuse,
)
from connectors.otlp.schema import LogsData, TracesData, TracesOfBytes
from connectors.otlp.spans import plain_span_batch, span_batch
from contracts.errors import UnknownName
from contracts.frames.decoded import Decoded, HistogramBatch, LogBatch, PointBatch, SpanBatch
from contracts.settings import LONG_LIVED
from contracts.topics import INGRESS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, RAW

MAX_BYTES: Final = 64 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_JSON_SPACE: Final = b" \t\r\n"
_SPACES: Final = re.compile(rb"[ \t\r\n]*")
_PROTOBUF_START: Final = 0x0A  # field 1, length-delimited: resource_spans, resource_metrics, resource_logs
_MESSAGES: Final[dict[str, Any]] = {OTLP_SPANS: TracesData, OTLP_METRICS: MetricsData, OTLP_LOGS: LogsData}


def decode(  # noqa: PLR0913 - what settings say of reading, each by its name
    topic: str,
    payload: bytes,
    *,
    default_environment: str = "default",
    conventions: Conventions | None = None,
    long_lived: tuple[str, ...] = LONG_LIVED,
    unread: Counter[UnreadMetric] | None = None,
    rules: IdentityRules = STANDARD,
    choice: SeriesChoice | None = None,
) -> Decoded:
    """The columns of one message from an ingress topic. `conventions` says what names mean (None: the standard table), `long_lived`
    are patterns of the names of spans whose durations are no latency, `unread` counts the points of metrics that couldn't be read,
    `rules` name services and environments, `choice` says which metrics are general series, too.

    Raises:
        UndecodableTelemetry: nothing in it can be read; the message names the place, `reason` the kind of problem.
        UnknownName: not an ingress topic.
    """
    if topic not in INGRESS:
        raise UnknownName("ingress topic", topic, INGRESS)
    if len(payload) > MAX_BYTES:
        raise refuse(TOO_LARGE, f"{len(payload)} bytes, at most {MAX_BYTES}")
    table = conventions or standard()

    def context(codec: Codec) -> DecodeContext:
        return DecodeContext(
            codec, default_environment, long_lived, rules, conventions=table, unread=unread, choice=choice
        )

    if payload[:1] == b"\n" and topic != RAW and not _is_json(payload):
        return _decode_protobuf(topic, payload, context)
    text = payload.removeprefix(_BOM).lstrip(_JSON_SPACE)
    if not text:
        raise refuse(EMPTY)
    if text[:1] != b"{":
        raise refuse(NOT_OTLP, f"it starts with 0x{text[0]:02x}")
    try:
        if topic == RAW:
            return decode_raw(text, default_environment)
        return _decode_json(text, context(JSON))
    except RecursionError:
        raise refuse(INVALID_JSON, "nested too deeply") from None


def _is_json(payload: bytes) -> bool:
    """Whether a message that starts with a line feed, which is also protobuf's first byte, is JSON after white space.

    A protobuf message would need a length byte of white space or `{` and that many bytes of resource after it.
    """
    at = _SPACES.match(payload).end()  # type: ignore[union-attr]
    if payload[at : at + 1] not in (b"", b"{"):
        return False
    return at == len(payload) or (payload.rstrip()[-1:] == b"}" and wire.signal_of(payload) is None)


def _decode_protobuf(topic: str, payload: bytes, fresh: Callable[[Codec], DecodeContext]) -> Decoded:
    if (wire.signal_of(payload) or topic) == OTLP_SPANS:
        decoded = _plain_spans(payload, fresh(PROTO))
        if decoded is not None:
            return decoded
    payload = wire.modern(payload)
    signal, context = wire.signal_of(payload) or topic, fresh(PROTO)
    try:
        message = _MESSAGES[signal].FromString(payload)
    except PROTO_ERRORS as e:
        raise malformed_protobuf(payload, signal) from e
    spans = message.resource_spans if signal == OTLP_SPANS else ()
    points = message.resource_metrics if signal == OTLP_METRICS else ()
    logs = message.resource_logs if signal == OTLP_LOGS else ()
    foreign_fields.count_in_protobuf(message, context.skips, metrics=signal == OTLP_METRICS)
    try:
        decoded = _decoded(context, (spans, points, logs), payload)
    except PROTO_ERRORS as e:
        raise refuse(INVALID_PROTOBUF, "a resource or a status that is not one") from e
    if _nothing_known(decoded) and (found := unknown.in_protobuf(signal, payload)):
        raise refuse(NOTHING_READ, found)
    return decoded


def _plain_spans(payload: bytes, context: DecodeContext) -> Decoded | None:
    """Spans by the quick way, where there are many and all of them are plain; None: not so."""
    try:
        message = TracesOfBytes.FromString(payload)
        entries = message.resource_spans
        if any(entry.instrumentation_library_spans for entry in entries):  # as they were called until OTLP 0.15
            return None
        spans = plain_span_batch(entries, context)
    except PROTO_ERRORS:
        return None
    if spans is None:
        return None
    foreign_fields.count_in_protobuf(message, context.skips)
    return _result(context, spans)


def _decode_json(payload: bytes, context: DecodeContext) -> Decoded:
    message = json_read.read(payload, context.skips)
    entries = (message.resource_spans, message.resource_metrics, message.resource_logs)
    decoded = _decoded(context, entries, payload)
    if _nothing_known(decoded) and (found := unknown.in_json(payload) or context.skips.first):
        raise refuse(NOTHING_READ, found)
    return decoded


def _nothing_known(decoded: Decoded) -> bool:
    """Whether there is no record but some in unknown fields: a message like that is kept whole."""
    return decoded.is_empty or (set(decoded.skipped) == {UNKNOWN_FIELD} and replace(decoded, skipped={}).is_empty)


def _decoded(context: DecodeContext, entries: tuple[Any, Any, Any], payload: bytes) -> Decoded:
    spans = span_batch(entries[0], payload, context)
    reader = MetricReader(context, judges(context.conventions)[1])
    reader.read(entries[1])
    logs = log_batch(entries[2], payload, context)
    points, histograms = reader.batch(), reader.histograms.batch()
    skips = context.skips
    nothing = spans is None and points is None and histograms is None and logs is None
    if nothing and skips.counts and set(skips.counts) == {INVALID_FIELD}:
        raise refuse(INVALID_FIELD, skips.first)
    calls, added = reader.histograms.calls(), reader.points.added + reader.histograms.added
    return replace(_result(context, spans, points, histograms, logs), calls=calls, added=added)


def _result(
    context: DecodeContext,
    spans: SpanBatch | None,
    points: PointBatch | None = None,
    histograms: HistogramBatch | None = None,
    logs: LogBatch | None = None,
) -> Decoded:
    return Decoded(
        strings=context.strings.table(),
        resources=context.resources.table(),
        spans=spans,
        linked=context.linked,
        points=points,
        histograms=histograms,
        logs=logs,
        skipped=context.skips.as_dict(),
        unread=tuple((resource, name, points) for (resource, name), points in context.unread_of.items()),
        series=tuple(context.series),
    )
