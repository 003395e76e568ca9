"""Streams show that somebody is there; they count as no request, and their durations as no latency."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import Decoded, SpanBatch
from contracts.settings import IngestSettings
from contracts.units import SECOND
from streams.windows.collect import Receipt
from streams.windows.collect_spans import SpanCollector
from streams.windows.edges import EdgeJoiner
from streams.windows.merge import FeatureMerger
from streams.windows.rows import Origin
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, T0, Span, decoded, rows_of

SPANS, EDGES = BY_SIGNAL[Signal.SPANS], BY_SIGNAL[Signal.EDGES]
NOW = Receipt(T0 + SECOND, T0 + SECOND)
REQUEST = Span("gateway", 1, 1, 0, SERVER, T0, T0 + 40 * MS)
SESSION = Span("gateway", 2, 2, 0, SERVER, T0 - 60 * SECOND, T0 + 50 * MS)
PROXIED = (
    Span("gateway", 3, 3, 0, SERVER, T0 - 60 * SECOND, T0 + 60 * MS),
    Span("gateway", 3, 4, 3, CLIENT, T0 - 59 * SECOND, T0 + 59 * MS),
    Span("chat", 3, 5, 4, SERVER, T0 - 58 * SECOND, T0 + 58 * MS),
)


def message(requests: list[Span], streams: list[Span]) -> Decoded:
    found = decoded([*requests, *streams])
    assert isinstance(found.spans, SpanBatch)
    marks = np.array([False] * len(requests) + [True] * len(streams))
    return replace(found, spans=replace(found.spans, stream=marks))


def features(said: Decoded, *, again: bool = False) -> dict:
    """Rows of spans and edges that a message leads to; `again`: the state is saved and read in between."""
    settings = IngestSettings()
    collector = SpanCollector(settings, 1, Counter())
    collector.add(said, NOW)
    if again:
        state = collector.state()
        collector = SpanCollector(settings, 1, Counter())
        collector.load(state)
    partials, spans = collector.flush(Origin("", "otlp/0", 1, 0))
    joiner = EdgeJoiner("prod", settings, 1)
    for _, _, frame in spans:
        joiner.add(frame, T0 + SECOND)
    if again:
        joiner2 = EdgeJoiner("prod", settings, 1)
        joiner2.restore(joiner.snapshot())
        joiner = joiner2
    mergers = {s: FeatureMerger("prod", s, settings) for s in ("spans", "edges")}
    frames = []
    for step in range(5, 60):
        now = T0 + step * SECOND // 5
        partials += joiner.flush("spans/0", step, now)
        for _, _, frame in partials:
            mergers[frame.signal].add(frame, now)
        partials = []
        for merger in mergers.values():
            frames += merger.advance(now)
    return {k: v for k, v in rows_of(frames).items() if k[1] == T0}


@pytest.mark.parametrize("again", [False, True])
def test_a_session_that_ends_is_no_request_and_no_latency(again: bool):
    alone, both = (
        features(message([REQUEST], []), again=again),
        features(message([REQUEST], [SESSION] * 1), again=again),
    )
    assert both["spans", T0, "gateway", ""] == alone["spans", T0, "gateway", ""]


@pytest.mark.parametrize("again", [False, True])
def test_who_serves_nothing_but_sessions_is_there_all_the_same(again: bool):
    rows = features(message([], list(PROXIED)), again=again)
    count, rate, errors, *latencies = rows["spans", T0, "chat", ""]
    assert (count, rate, errors, set(latencies)) == (0, 0, -1, {-1})
    made = rows["edges", T0, "gateway", "chat"]
    assert made[0] == 0, "the call is known, and is not counted"
    assert set(made[2:]) == {-1}


def test_a_call_in_a_session_is_a_call():
    call = Span("chat", 3, 6, 3, SERVER, T0 + 10 * MS, T0 + 20 * MS)
    rows = features(message([call], [PROXIED[0]]))
    assert rows["edges", T0, "gateway", "chat"][0] == 1


def test_an_opening_that_fails_at_once_is_a_request_that_failed():
    quick = replace(SESSION, start=T0 + 10 * MS, error=True)
    cut = replace(SESSION, trace=9, span=9, error=True)
    rows = features(message([], [quick, cut]))
    assert rows["spans", T0, "gateway", ""][:3] == (1, 1, 1)


def test_spans_of_a_snapshot_that_knew_no_streams_are_read():
    collector = SpanCollector(IngestSettings(), 1, Counter())
    collector.add(message([REQUEST], []), NOW)
    state = collector.state()
    state["pending"] = {e: columns[:9] for e, columns in state["pending"].items()}
    restored = SpanCollector(IngestSettings(), 1, Counter())
    restored.load(state)
    partials, _ = restored.flush(Origin("", "otlp/0", 1, 0))
    assert sum(int(p.count.sum()) for _, _, p in partials if p.signal == "spans") == 1
