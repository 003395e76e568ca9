"""The way in for telemetry of any encoding: one message of one topic to columns. Pure: the same message gives the same columns.

OTLP is decoded as it is; everything else is said in OTLP first and decoded as that, so that the same table of conventions judges all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from connectors.encodings import jaeger, raw_logs, remote_write, snappy, zipkin
from connectors.encodings.span_builder import SpanBuilder
from connectors.otlp.chosen_series import SeriesChoice
from connectors.otlp.conventions import Conventions, standard
from connectors.otlp.decode import MAX_BYTES, decode
from connectors.otlp.flatten import UnreadMetric
from connectors.otlp.identity import STANDARD, IdentityRules
from connectors.otlp.reasons import EMPTY, INVALID_FIELD, TOO_LARGE, WRONG_SNAPPY, Skips, refuse
from connectors.otlp.values import Plain
from contracts.errors import UndecodableTelemetry, UnknownName
from contracts.frames.decoded import Decoded
from contracts.ports import Record
from contracts.settings import ENCODINGS, LONG_LIVED, Settings, TopicSettings
from contracts.topics import INGRESS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS
from contracts.units import MILLISECOND

_OF_RESOURCE: Final = re.compile(r"(?:service|k8s|deployment|container|host|cloud)\.[\w.]+")
_SPACE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it came: its bytes, the headers beside it, when the log took it, and what its topic's settings say."""

    payload: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    time_ns: int = 0
    topic: TopicSettings = field(default_factory=TopicSettings)


@dataclass(frozen=True, slots=True)
class ReadingRules:
    """How telemetry is read; see `connectors.otlp.decode.decode`."""

    default_environment: str = "default"
    conventions: Conventions | None = None
    long_lived: tuple[str, ...] = LONG_LIVED
    unread: Counter[UnreadMetric] | None = None
    rules: IdentityRules = STANDARD
    choice: SeriesChoice | None = None


STANDARD_READING: Final = ReadingRules()


@dataclass(frozen=True, slots=True)
class Translated:
    """A message said in OTLP: its signal's topic, its bytes, what was left out, and what became part of something else. `samples`
    and `histograms` are how many of them were in a write request."""

    signal: str
    payload: bytes
    skips: Skips
    added: int = 0
    samples: int = 0
    histograms: int = 0


def decode_record(record: Record, topics: Mapping[str, TopicSettings], reading: ReadingRules) -> Decoded:
    """The columns of a message from an ingress topic, or from one that the settings name.

    Raises:
        UndecodableTelemetry: nothing in it can be read.
        UnknownName: it is from neither.
    """
    settings = topics.get(record.topic)
    if settings is None:
        if record.topic not in INGRESS:
            raise UnknownName("topic of telemetry", record.topic, (*INGRESS, *topics))
        return _decode(record.topic, record.value, reading)
    incoming = Incoming(record.value, record.headers, record.timestamp_ms * MILLISECOND, settings)
    return decode_as(settings.encoding, incoming, reading)


def decode_as(encoding: str, incoming: Incoming, reading: ReadingRules = STANDARD_READING) -> Decoded:
    """The columns of a message in an encoding, which is one of `contracts.settings.ENCODINGS`.

    Raises:
        UndecodableTelemetry: nothing in it can be read.
        UnknownName: there is no such encoding.
    """
    if incoming.topic.environment:
        reading = replace(reading, default_environment=incoming.topic.environment)
    if encoding in _OTLP:
        return _decode(OTLP_SPANS, incoming.payload, reading)
    translate = TRANSLATIONS.get(encoding)
    if translate is None:
        raise UnknownName("encoding", encoding, ENCODINGS)
    if len(incoming.payload) > MAX_BYTES:
        raise refuse(TOO_LARGE, f"{len(incoming.payload)} bytes, at most {MAX_BYTES}")
    if not incoming.payload.strip(_SPACE):
        raise refuse(EMPTY)
    try:
        translated = translate(incoming, reading.conventions or standard())
    except RecursionError:
        raise refuse(INVALID_FIELD, "nested too deeply") from None
    skips = translated.skips
    if not translated.payload:
        if skips.counts and set(skips.counts) == {INVALID_FIELD}:
            raise refuse(INVALID_FIELD, skips.first)
        return Decoded(skipped=skips.as_dict(), added=translated.added)
    decoded = _decode(translated.signal, translated.payload, reading)
    skipped = dict(sorted((Counter(decoded.skipped) + skips.counts).items()))
    return replace(decoded, skipped=skipped, added=decoded.added + translated.added)


def reading_of(settings: Settings, conventions: Conventions) -> ReadingRules:
    """How the settings have telemetry read."""
    return ReadingRules(
        settings.environment,
        conventions,
        settings.ingest.long_lived,
        rules=IdentityRules(settings.ingest.environment_from, settings.ingest.namespace_from),
        choice=SeriesChoice(settings.series.metrics) if settings.series.metrics else None,
    )


def _decode(topic: str, payload: bytes, reading: ReadingRules) -> Decoded:
    return decode(
        topic,
        payload,
        default_environment=reading.default_environment,
        conventions=reading.conventions,
        long_lived=reading.long_lived,
        unread=reading.unread,
        rules=reading.rules,
        choice=reading.choice,
    )


def _spans(read: Callable[[bytes, SpanBuilder], None]) -> Callable[[Incoming, Conventions], Translated]:
    def translate(incoming: Incoming, _: Conventions) -> Translated:
        builder = SpanBuilder()
        read(incoming.payload, builder)
        return Translated(OTLP_SPANS, builder.serialized(), builder.skips)

    return translate


def _logs(read: Callable[..., Any]) -> Callable[[Incoming, Conventions], Translated]:
    def translate(incoming: Incoming, conventions: Conventions) -> Translated:
        message = read(incoming.payload, _resource_of(incoming), incoming.time_ns, conventions)
        return Translated(OTLP_LOGS, message.SerializeToString(), Skips())

    return translate


def _resource_of(incoming: Incoming) -> dict[str, Plain]:
    """What settings and headers say of who sent a line: headers more, as they come with it."""
    given = {"service.name": incoming.topic.service, "service.namespace": incoming.topic.namespace}
    headers = {k: v.decode("utf-8", "replace") for k, v in incoming.headers if v and _OF_RESOURCE.fullmatch(k)}
    return {**{k: v for k, v in given.items() if v}, **headers}


def _metrics(incoming: Incoming, _: Conventions) -> Translated:
    return translated_write(plain_write(incoming.payload))


def plain_write(payload: bytes) -> bytes:
    """A write request without Snappy, which some that put it into Kafka leave away: Kafka compresses by itself.

    Raises:
        UndecodableTelemetry: too large when decompressed.
    """
    try:
        return snappy.decompressed(payload, MAX_BYTES)
    except UndecodableTelemetry as e:
        if e.reason != WRONG_SNAPPY:
            raise
        return payload


def translated_write(payload: bytes) -> Translated:
    """A plain write request as OTLP metrics.

    Raises:
        UndecodableTelemetry: it is none.
    """
    skips = Skips()
    message, stats = remote_write.read(payload, skips)
    return Translated(OTLP_METRICS, message.SerializeToString(), skips, stats.added, stats.samples, stats.histograms)


_OTLP: Final = ("otlp_proto", "otlp_json")
OF_METRICS: Final = (*_OTLP, "prometheus_remote_write")
"""Encodings that may hold metrics."""
TRANSLATIONS: Final[dict[str, Callable[[Incoming, Conventions], Translated]]] = {
    "jaeger_proto": _spans(jaeger.from_proto),
    "jaeger_json": _spans(jaeger.from_json),
    "zipkin_proto": _spans(zipkin.from_proto),
    "zipkin_json": _spans(zipkin.from_json),
    "raw": _logs(raw_logs.from_any),
    "text": _logs(raw_logs.from_text),
    "json": _logs(raw_logs.from_json),
    "prometheus_remote_write": _metrics,
}
