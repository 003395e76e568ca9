"""Topics of one's own at the first stage: whatever is on them is read, left out and counted, or a dead letter and nothing else."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from contracts.errors import UndecodableTelemetry
from contracts.ports import Record
from contracts.settings import ENCODINGS, load
from streams.stages.ingest import IngestStage
from tests.unit.connectors.encodings import test_jaeger, test_zipkin
from tests.unit.connectors.encodings.writes import TARGET, first, histogram, second
from tests.unit.connectors.otlp.builders import as_json, traces

SERIES = [*histogram("http_server_request_duration_seconds", [4, 7, 9, 10]), ("process_cpu_seconds_total", TARGET, 1.0)]
JAEGER = test_jaeger.span({"span.kind": "server", "http.status_code": 500})
SPANS = traces({"service.name": "cart"}, {}, {})
GOOD: dict[str, list[tuple[bytes, int]]] = {
    "otlp_proto": [(SPANS.SerializeToString(), 2)],
    "otlp_json": [(as_json(SPANS), 2)],
    "jaeger_proto": [(test_jaeger.as_protobuf(JAEGER), 1)],
    "jaeger_json": [(json.dumps(JAEGER).encode(), 1), (json.dumps([JAEGER, {"traceId": ""}]).encode(), 2)],
    "zipkin_json": [(json.dumps([test_zipkin.span(kind="SERVER"), {}, 3]).encode(), 3)],
    "zipkin_proto": [(b"", -1)],
    "raw": [(b"ERROR no", 1), (b'{"a": 1}\n{"b": 2}', 2)],
    "text": [(b"{}", 1)],
    "json": [(b'[{"a": 1}, {"b": 2}]', 2)],
    "prometheus_remote_write": [(first(SERIES), len(SERIES)), (second(SERIES), len(SERIES)), (first(SERIES[:2]), 2)],
}
"""Messages, and how many records each has; -1: it is a dead letter."""
TAKEN = ("spans", "points", "log_records", "duplicates", "future", "added_points")


def counted(counters: Counter[str]) -> int:
    """Records that the stage says it took in or left out."""
    return sum(counters[name] for name in TAKEN) + sum(n for name, n in counters.items() if name.startswith("skipped_"))


def stage_of(encoding: str) -> IngestStage:
    """Ingest of a topic in this encoding."""
    return IngestStage("ours", 0, load({"ingest": {"topics": {"ours": encoding}}}), 1)


def handled(stage: IngestStage, payload: bytes, offset: int) -> int:
    """Records that became of a message; -1: it is a dead letter."""
    before, now = counted(stage.counters), 1_800_000_000 * 10**9
    try:
        stage.handle(Record("ours", 0, offset, None, payload, (), now // 10**6), now)
    except UndecodableTelemetry:
        assert counted(stage.counters) == before
        return -1
    stage.tick(now)
    return counted(stage.counters) - before


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_record_is_taken_in_or_counted(encoding: str) -> None:
    stage = stage_of(encoding)
    for offset, (payload, records) in enumerate(GOOD[encoding]):
        assert handled(stage, payload, offset) == records, payload


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_broken_messages_never_break_the_stage(encoding: str) -> None:
    rng, stage = random.Random(encoding), stage_of(encoding)
    messages = [payload for payload, _ in GOOD[encoding]] + [p for found in GOOD.values() for p, _ in found]
    letters = 0
    for offset in range(600):
        payload = bytearray(rng.choice(messages))
        for _ in range(rng.randrange(4)):
            if payload:
                payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        if payload and rng.random() < 0.3:
            del payload[rng.randrange(len(payload)) :]
        letters += handled(stage, bytes(payload), offset) < 0
    assert letters
