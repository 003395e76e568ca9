"""From bytes to feature rows nothing gets lost uncounted: records in = processed + late + left out + dead letters."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from contracts.errors import UndecodableTelemetry
from contracts.frames import FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings, load
from contracts.topics import FEATURES, OTLP_LOGS, OTLP_SPANS, PARTIALS
from contracts.units import SECOND
from streams.stage import Emit
from streams.stages.features import FeatureStage
from streams.stages.ingest import IngestStage
from tests.checks.fuzz.garbage import garbage
from tests.representatives import representatives
from tests.unit.connectors.otlp.builders import T0, logs, traces
from tests.unit.connectors.otlp.test_accounting import records

INGESTED = ("spans", "points", "log_records")
LEFT_OUT = ("duplicates", "future", "service_limit", "added_points")


def settings(**ingest: object) -> Settings:
    return load({"ingest": ingest})


def ingested(counters: Counter[str]) -> int:
    """Records that the stage says it took in or left out."""
    skipped = sum(n for name, n in counters.items() if name.startswith("skipped_"))
    return skipped + sum(counters[name] for name in (*INGESTED, *LEFT_OUT))


@pytest.mark.parametrize("seed", representatives(range(2), 0))
def test_every_fuzz_input_through_ingest(seed: int) -> None:
    """Some spoilt times lie in the future, and there is room for three services."""
    stages: dict[str, IngestStage] = {}
    taken: Counter[str] = Counter()
    letters = unknown = 0
    for n, (topic, payload) in enumerate(garbage(seed, 2500, T0)):
        stage = stages.setdefault(topic, IngestStage(topic, 0, settings(max_services=1), 1))
        before = ingested(stage.counters)
        try:
            stage.handle(Record(topic, 0, n, None, payload, T0), T0)
            stage.tick(T0)
        except UndecodableTelemetry:
            letters += 1
            assert ingested(stage.counters) == before, "a dead letter is nothing else"
            continue
        found = records(topic, payload)
        if found is None:  # the plain readers can't
            unknown += 1
            found = ingested(stage.counters) - before
        taken[topic] += found
        assert ingested(stage.counters) - before == found, (topic, payload)
    total = sum((s.counters for s in stages.values()), Counter[str]())
    assert ingested(total) == taken.total()
    assert all(total[name] for name in (*INGESTED, "duplicates", "future", "service_limit"))
    assert letters > 1000
    assert unknown < 250


@pytest.mark.parametrize(
    ("topic", "room"),
    representatives(itertools.product([OTLP_SPANS, OTLP_LOGS], [1, 4]), (OTLP_SPANS, 4), (OTLP_LOGS, 1)),
)
def test_every_record_from_bytes_to_rows(topic: str, room: int) -> None:
    """Late by up to three minutes, or ahead of everybody, sent twice, of more services than there is room for."""
    rng, config = random.Random(3), settings(max_delay_s=30, max_services=room)
    ingest, features = IngestStage(topic, 0, config, 1), FeatureStage(0, config)
    rows: dict[tuple[str, int], int] = {}
    sent, now = 0, T0
    last: bytes = b""

    def told(outputs: list[object]) -> None:
        for output in outputs:
            assert isinstance(output, Emit)
            if output.topic == PARTIALS:
                features.handle(Record(PARTIALS, 0, 0, None, output.value, now), now)
            elif output.topic == FEATURES:
                frame = unpack(FeatureFrame, output.value)
                for service, count in zip(frame.services, frame.counts.tolist(), strict=True):
                    rows[service, frame.window_ns] = count  # a correction replaces the row

    for n in range(600):
        now += SECOND // 4
        late = rng.choice([0, 0, 0, 1, 5, 60, 180, -400]) * SECOND
        service = {"service.name": f"s{rng.randrange(7)}"}
        if topic == OTLP_SPANS:
            spans = [
                {
                    "trace_id": (9 * n + i + 1).to_bytes(16, "big"),
                    "start_time_unix_nano": now - late - 5,
                    "end_time_unix_nano": now - late,
                }
                for i in range(3)
            ]
            message = traces(service, *spans).SerializeToString()
        else:
            message = logs(
                service, *({"time_unix_nano": now - late, "body": "x"} for _ in range(3))
            ).SerializeToString()
        payload = last if last and rng.random() < 0.1 else message
        last = message
        sent += 3
        told(list(ingest.handle(Record(topic, 0, n, None, payload, now), now)))
        told(list(ingest.tick(now)))
        told(list(features.tick(now)))
    for _ in range(200):
        now += SECOND
        told([*ingest.tick(now), *features.tick(now)])
    assert ingested(ingest.counters) == sent
    counts = features.counters
    assert (
        sum(rows.values()) + counts["late"] + counts["service_limit"]
        == ingest.counters[INGESTED[0 if topic == OTLP_SPANS else 2]]
    )
    assert counts["late"]
    assert ingest.counters["future"]
    assert counts["service_limit"] + ingest.counters["service_limit"]
