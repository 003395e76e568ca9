"""A stranger who can send telemetry to one environment changes nothing in what is found in another.

TEST_ATTACKS=100 runs so many attacks; a few, in which each kind occurs, are run otherwise.
"""

from __future__ import annotations

import functools
import os
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from contracts.events import Anomaly, Incident, decode
from contracts.frames import EvidenceFrame, FeatureFrame, unpack
from contracts.ports import GraphWrite, Record
from contracts.settings import load
from contracts.topics import ANOMALIES, EVIDENCE, FEATURES, INCIDENTS, OTLP_LOGS, OTLP_METRICS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.scenarios.attacks import ATTACKS, VICTIMS, Stranger
from tests.unit.connectors.otlp import builders
from tests.unit.streams.windows.support import MS, T0
from tests.unit.streams.windows.test_clocks import Sender, Town

PARTITIONS, SECONDS = 3, 36
FEW = 3
STEP_NS = 500 * MS
BEFORE_S = 2
"""The victim was there before: of who comes first to a full house another may be left outside."""
FRAMES = {FEATURES: FeatureFrame, EVIDENCE: EvidenceFrame}
EVENTS = {ANOMALIES: Anomaly, INCIDENTS: Incident}
SETTINGS = {
    "ingest": {"max_services": 20, "max_environments": 6},
    "detect": {"warmup_windows": 8},
    "diagnose": {"settle_s": 0.5},
}


class Failing(Town):
    """payment fails half of the time from second 20 on."""

    fails_from = 20


Telemetry = tuple[int, int, str, bytes]
"""When it is received, on which partition of which topic, and what it is."""


@functools.cache
def victim() -> tuple[Telemetry, ...]:
    """What the victim sends: spans of three services, their logs and metrics."""
    found: list[Telemetry] = []
    for n, (at, payload) in enumerate(Failing((Sender("payment"),)).messages(SECONDS)):
        found.append((at, n % PARTITIONS, OTLP_SPANS, payload))
    for second in range(SECONDS):
        at = T0 + second * SECOND + 900 * MS
        for n, service in enumerate(VICTIMS):
            resource = {"service.name": service, "deployment.environment.name": "prod"}
            line = {"time_unix_nano": at, "severity_number": 9, "body": f"request {second} of customer {second * 7}"}
            logs = builders.logs(resource, line)
            found.append((at, n % PARTITIONS, OTLP_LOGS, logs.SerializeToString()))
            message, scope = builders.metrics(resource)
            builders.gauge(scope, "process.cpu.utilization", 0.3 + 0.01 * (second % 5), "1", at)
            found.append((at, (n + 1) % PARTITIONS, OTLP_METRICS, message.SerializeToString()))
    return tuple(sorted(found))


class Finds:
    """All that is found in the victim's environment, byte for byte, in order."""

    def __init__(self) -> None:
        self.of: dict[str, list[bytes]] = {name: [] for name in (*FRAMES, *EVENTS, "graph")}
        self.counters: Counter[tuple[str, str]] = Counter()

    def record(self, record: Record) -> None:
        """Keep what is about the victim."""
        if record.topic in FRAMES:
            environment = unpack(FRAMES[record.topic], record.value).environment
        elif record.topic in EVENTS:
            environment = decode(EVENTS[record.topic], record.value).environment
        else:
            return
        if environment == "prod":
            self.of[record.topic].append(record.value)

    def write(self, write: GraphWrite) -> None:
        """Keep rows about the victim."""
        rows = [row for row in write.rows if row.get("environment", "prod") == "prod"]
        if rows and not any("evil" in repr(row) for row in rows):
            self.of["graph"].append(repr((write.statement, rows)).encode())


def found(seed: int | None, kinds: tuple[int, ...] = ()) -> Finds:
    """What is found with (or without) a stranger who does these kinds of things."""
    finds, stranger = Finds(), Stranger(seed or 0)
    rng = random.Random(seed)
    specs = perceive_specs(load(SETTINGS), dict.fromkeys(TOPICS, PARTITIONS))
    pipeline = MemoryPipeline(specs, PARTITIONS, finds.record, finds.write)
    queue, now = list(victim()), T0
    while now < T0 + (SECONDS + 4) * SECOND:
        if seed is not None and now >= T0 + BEFORE_S * SECOND and now % SECOND == 0:
            for kind in kinds:
                for topic, payload in ATTACKS[kind](stranger, now):
                    pipeline.feed(topic, payload, now, partition=rng.randrange(PARTITIONS))
        while queue and queue[0][0] <= now:
            _, partition, topic, payload = queue.pop(0)
            stranger.overheard += [payload] * (topic == OTLP_SPANS)
            pipeline.feed(topic, payload, now, partition=partition)
        pipeline.tick(now)
        now += STEP_NS
    finds.counters = pipeline.host.totals()
    return finds


@functools.cache
def undisturbed() -> Finds:
    return found(None)


def attacks() -> Iterator[tuple[int, tuple[int, ...]]]:
    """Seeds and the kinds of things done: at first all, shared out; then a few together, as the seed has it."""
    wanted = int(os.environ.get("TEST_ATTACKS", FEW))
    for seed in range(wanted):
        if seed < FEW:
            yield seed, tuple(range(len(ATTACKS)))[seed::FEW]
        else:
            rng = random.Random(seed)
            yield seed, tuple(rng.sample(range(len(ATTACKS)), rng.choice((1, 1, 2, 3))))


def test_there_is_something_to_find() -> None:
    finds = undisturbed()
    incidents = [decode(Incident, value) for value in finds.of[INCIDENTS]]
    assert any(i.settled and i.candidates[0].service == "payment" for i in incidents)
    assert all(finds.of.values())


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("seed", "kinds"),
    representatives(attacks(), next(attacks())),
    ids=lambda v: str(v) if isinstance(v, int) else "",
)
def test_what_is_found_stays_the_same(seed: int, kinds: tuple[int, ...]) -> None:
    finds = found(seed, kinds)
    names = [ATTACKS[k].__name__ for k in kinds]
    for topic, values in undisturbed().of.items():
        assert len(finds.of[topic]) == len(values), f"{topic} under {names}"
        assert finds.of[topic] == values, f"{topic} under {names}"

    assert not sum(n for (_, what), n in finds.counters.items() if what == "tick_errors")
