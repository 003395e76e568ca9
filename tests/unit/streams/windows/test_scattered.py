"""However the same spans are scattered, delayed, repeated and interrupted: the same features and the same edges."""

from __future__ import annotations

import random

import pytest

from contracts.settings import IngestSettings, Settings
from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from tests.representatives import representatives
from tests.unit.streams.windows.support import MS, T0, Cluster, Span, otlp, rows_of, traffic

SECONDS = 28
SETTINGS = Settings(ingest=IngestSettings(max_delay_s=30))


def run(cluster: Cluster, spans: list[Span], shuffle: int) -> dict:
    """Send the spans in batches about when they ended, and let the cluster work until everything has come out."""
    rng = random.Random(shuffle)
    sent = sorted(((s.end + (rng.randrange(800 * MS) if shuffle else 0), n, s) for n, s in enumerate(spans)))
    now, tick = T0, T0
    while sent:
        size = rng.randrange(1, 60) if shuffle else 50
        batch, sent = sent[:size], sent[size:]
        now = max(now, batch[-1][0])
        while tick + 100 * MS <= now:
            tick += 100 * MS
            cluster.tick(tick)
            cluster.work(tick, 40 if shuffle else 10_000)
        cluster.send(rng.randrange(cluster.partitions), otlp([s for _, _, s in batch]), now)
    for _ in range(250):
        tick += 100 * MS
        cluster.work(tick, 10_000)
        cluster.tick(tick)
    return rows_of(cluster.frames)


def until(rows: dict, end: int) -> dict:
    return {k: v for k, v in rows.items() if k[1] < end}


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    return traffic(seed=3, seconds=SECONDS)


@pytest.fixture(scope="module")
def alone(spans: list[Span]) -> dict:
    return run(Cluster(1, 1, seed=0, settings=SETTINGS), spans, shuffle=0)


@pytest.mark.parametrize(("seed", "crash"), representatives([(1, 0.0), (3, 0.02), (4, 0.05)], (4, 0.05)))
def test_scattering_changes_nothing(spans: list[Span], alone: dict, seed: int, crash: float) -> None:
    cluster = Cluster(4, 3, seed=seed, crash=crash, settings=SETTINGS)
    rows = run(cluster, spans, shuffle=seed)
    end = T0 + (SECONDS - 1) * SECOND
    got, expected = until(rows, end), until(alone, end)
    assert {k: v for k, v in got.items() if v[0]} == {k: v for k, v in expected.items() if v[0]}
    assert got == expected, "rows of silent services"
    assert cluster.crashes > 0 or crash == 0
    assert cluster.counters["late"] == 0


def test_every_request_is_in_exactly_one_window(spans: list[Span], alone: dict) -> None:
    counted = sum(v[0] for k, v in alone.items() if k[0] == "spans" and k[2] == "gateway")
    assert counted == sum(s.kind == 2 and s.service == "gateway" for s in spans)


def test_edges(spans: list[Span], alone: dict) -> None:
    total: dict[tuple[str, str], float] = {}
    for (signal, _, service, peer), values in alone.items():
        if signal == "edges":
            total[service, peer] = total.get((service, peer), 0) + values[0]
    made = {s: sum(x.service == s and x.kind in (2, 5) for x in spans) for s in ("orders", "stock", "mailer")}
    assert total == {
        ("gateway", "orders"): made["orders"],
        ("orders", "stock"): made["stock"],
        ("orders", "mailer"): made["mailer"],
        ("stock", "db:postgresql/stock"): made["stock"],
        ("orders", "messaging:kafka/orders"): made["mailer"],
        ("messaging:kafka/orders", "mailer"): made["mailer"],
    }


def test_a_silent_service_is_reported_as_silent(alone: dict) -> None:
    silent = T0 + 22 * SECOND
    assert alone["spans", silent, "stock", ""] == (0.0, -1.0, -1.0, -1.0, -1.0, -1.0)
    assert alone["spans", silent, "gateway", ""][0] > 0


def test_root_spans_are_the_requests_of_a_service_that_serves_none(spans: list[Span], alone: dict) -> None:
    counted = sum(v[0] for k, v in alone.items() if k[0] == "spans" and k[2] == "cron")
    assert counted == sum(s.service == "cron" for s in spans)


@pytest.mark.parametrize("before", [1, 2, 5])
def test_an_owner_that_died_before_its_first_snapshot_has_counted_nothing_twice(before: int) -> None:
    """Its frames held several records each; those of its successor must not hold some that are counted and some that are not."""
    cluster = Cluster(1, 1, seed=0, settings=SETTINGS)
    spans = [Span("cart", i + 1, i + 1, 0, 2, T0, T0 + (10 + i) * MS) for i in range(8)]
    for i, span in enumerate(spans):
        cluster.send(0, otlp([span]), T0 + i * MS)
    ingest = next(m for m in cluster.members if m.topic == OTLP_SPANS)
    for _ in range(before):
        cluster._take(ingest.stage.handle(cluster.logs[OTLP_SPANS, 0][ingest.at], T0 + SECOND), T0 + SECOND)
        ingest.at += 1
    cluster._take(ingest.stage.tick(T0 + SECOND), T0 + SECOND)
    cluster._revive(ingest)
    now = T0 + SECOND
    for _ in range(200):
        now += 100 * MS
        cluster.work(now, 100)
        cluster._take([o for m in cluster.members for o in m.stage.tick(now)], now)
    counted = {key: values[0] for key, values in rows_of(cluster.frames).items() if values[0]}
    assert counted == {("spans", T0, "cart", ""): 8.0}
