"""Catching up: what may have been read before a crash gets frames of its own, message by message, and no more than those."""

from __future__ import annotations

from contracts.frames import PartialFrame, SpanFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings
from contracts.topics import OTLP_SPANS, PARTIALS, SPANS
from contracts.units import SECOND
from streams.stage import Emit, Output
from streams.stages.edges import EdgeStage
from streams.stages.ingest import IngestStage
from tests.unit.streams.windows.support import MS, SERVER, T0, Span, otlp

PARTITIONS, MESSAGES = 8, 20
NOW = T0 + 60 * SECOND


def backlog() -> list[Record]:
    """Messages of one span each, written before now."""
    spans = [Span("web", n + 1, n + 1, 0, SERVER, T0 + n * MS, T0 + (n + 5) * MS) for n in range(MESSAGES)]
    return [Record(OTLP_SPANS, 0, n, None, otlp([span]), (), T0 // MS + n + 5) for n, span in enumerate(spans)]


def emits(outputs: list[Output], topic: str) -> list[Emit]:
    return [o for o in outputs if isinstance(o, Emit) and o.topic == topic]


def test_each_message_has_its_rows_sent_alone_and_the_time_is_told_on_the_tick() -> None:
    stage = IngestStage(OTLP_SPANS, 0, Settings(), PARTITIONS)
    stage.begin_anew()
    sent = [output for record in backlog() for output in stage.handle(record, NOW)]
    partials = [unpack(PartialFrame, e.value) for e in emits(sent, PARTIALS)]
    assert [p.count.tolist() for p in partials] == [[1]] * MESSAGES
    assert [p.sequence for p in partials] == list(range(1, MESSAGES + 1))
    assert [len(unpack(SpanFrame, e.value).span) for e in emits(sent, SPANS)] == [1] * MESSAGES
    told = stage.tick(NOW)
    for topic, kind in ((PARTIALS, PartialFrame), (SPANS, SpanFrame)):
        frames = [unpack(kind, e.value) for e in emits(told, topic)]
        assert {e.partition for e in emits(told, topic)} == set(range(PARTITIONS))
        assert {(f.sequence, f.watermark_ns) for f in frames} == {(MESSAGES, T0 + (MESSAGES + 4) * MS)}


def test_the_joiner_tells_the_time_on_the_tick_too() -> None:
    ingest, edges = IngestStage(OTLP_SPANS, 0, Settings(), 1), EdgeStage(0, Settings(), PARTITIONS)
    edges.begin_anew()
    spans = [e for record in backlog() for e in emits([*ingest.handle(record, NOW), *ingest.tick(NOW)], SPANS)]
    first, *frames = [Record(SPANS, 0, n, None, e.value, (), T0 // MS + n) for n, e in enumerate(spans)]
    edges.handle(first, NOW)
    for seconds in range(4):  # until it may say how far time has come
        edges.tick(NOW + seconds * SECOND)
    later = NOW + 3 * SECOND
    assert [output for frame in frames for output in edges.handle(frame, later)] == [], "no call, nothing to send"
    assert {e.partition for e in emits(edges.tick(later), PARTIALS)} == set(range(PARTITIONS))
