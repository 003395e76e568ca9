"""The pipeline in memory is deterministic: the same input gives the same bytes on every topic, whatever the hash seed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from contracts.events import Change, DeadLetter, decode, encode
from contracts.ports import GraphWrite, Record
from contracts.settings import load
from contracts.topics import ANOMALIES, CHANGES, DEADLETTER, FEATURES, INCIDENTS, OTLP_LOGS, OTLP_SPANS, RAW, TOPICS
from contracts.units import SECOND
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.patience import LONG_S
from tests.unit.connectors.otlp import builders as build
from tests.unit.streams.windows.support import MS, T0, Span, otlp, traffic

ROOT = Path(__file__).resolve().parents[3]
SECONDS, BROKEN_FROM, PARTITIONS = 26, 20, 4
STEP_NS = 200 * MS


def spans() -> list[Span]:
    """Traffic in which stock, and so all before it, fails from the twentieth second on."""
    rng = random.Random(2)
    found = []
    for s in traffic(seed=2, seconds=SECONDS, per_second=12):
        bad = s.start > T0 + BROKEN_FROM * SECOND and s.service != "cron" and rng.random() < 0.9
        found.append(Span(s.service, s.trace, s.span, s.parent, s.kind, s.start, s.end, bad, s.peer))
    return sorted(found, key=lambda s: s.end)


def digests() -> tuple[dict[str, str], Counter[str]]:
    """SHA-256 over all that came on each topic and on the way to the graph, and how many messages these were."""
    sums = {name: hashlib.sha256() for name in (*TOPICS, "graph")}
    seen: Counter[str] = Counter()

    def message(record: Record) -> None:
        seen[record.topic] += 1
        sums[record.topic].update(repr((record.partition, record.key, record.headers)).encode() + record.value)

    def graph(write: GraphWrite) -> None:
        seen["graph"] += 1
        sums["graph"].update(repr((write.statement, write.rows)).encode())

    settings = load({"detect": {"warmup_windows": 12}})
    specs = perceive_specs(settings, dict.fromkeys(TOPICS, PARTITIONS))
    pipeline = MemoryPipeline(specs, PARTITIONS, message, graph)
    _feed(pipeline)
    return {name: s.hexdigest() for name, s in sums.items()}, seen


def _feed(pipeline: MemoryPipeline) -> None:
    now, found = T0, spans()
    for number, at in enumerate(range(0, len(found), 40)):
        batch = found[at : at + 40]
        while now + STEP_NS < batch[-1].end:
            now += STEP_NS
            pipeline.tick(now)
        pipeline.feed(OTLP_SPANS, otlp(batch), now, partition=number % PARTITIONS)
        body = {"time_unix_nano": now, "severity_number": 9, "body": f"request {number} of customer {number * 7}"}
        logs = build.logs({"service.name": "orders", "deployment.environment.name": "prod"}, body)
        pipeline.feed(OTLP_LOGS, logs.SerializeToString(), now, partition=number % PARTITIONS)
        pipeline.feed(RAW, b"no measurement", now, key=b"x")
    change = Change(environment="prod", service="stock", kind="deploy", time_ns=now, after="1.1")
    pipeline.feed(CHANGES, encode(change), now, key=b"stock")
    for _ in range(75):
        now += STEP_NS
        pipeline.tick(now)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
def test_the_same_bytes_on_every_topic_in_processes_with_different_hash_seeds() -> None:
    script = f"import json, runpy; print(json.dumps(runpy.run_path({__file__!r})['digests']()))"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "4711")
    ]
    (one, seen), (other, _) = (json.loads(child.communicate(timeout=LONG_S)[0]) for child in children)
    assert one == other
    for topic in (FEATURES, ANOMALIES, INCIDENTS, DEADLETTER, "graph"):
        assert seen[topic], f"nothing on {topic}: the comparison says nothing about it"


def test_messages_are_taken_first_in_first_out_and_what_is_unreadable_is_kept() -> None:
    seen: list[Record] = []
    specs = perceive_specs(load(), dict.fromkeys(TOPICS, 2))
    pipeline = MemoryPipeline(specs, 2, seen.append)
    for value in (b"one", b"two"):
        pipeline.feed(RAW, value, 5, partition=1)
    assert [(r.topic, r.partition, r.offset) for r in seen if r.topic == RAW] == [(RAW, 1, 0), (RAW, 1, 1)]
    assert [decode(DeadLetter, r.value).payload for r in seen if r.topic == DEADLETTER] == [b"one", b"two"]
    assert [r.topic for r in seen] == [RAW, DEADLETTER] * 2, "what follows from a message comes before the next"
