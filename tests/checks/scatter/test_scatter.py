"""The same traffic, scattered over four partitions and three real workers: the same features and the same edges as on
one partition in memory."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from connectors.kafka.embedded import EmbeddedBroker
from contracts.frames import FeatureFrame, unpack
from contracts.ports import Record
from contracts.settings import Settings, load
from contracts.topics import FEATURES, INGRESS, OTLP_SPANS, TOPICS
from contracts.units import SECOND
from homeostat.endpoints import running
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from tests.patience import LONG_S, PATIENCE_S
from tests.unit.streams.windows.support import MS, T0, Span, otlp, rows_of, traffic

SECONDS, WORKERS, PARTITIONS = 12, 3, 4
OPTIONS = {
    "ingest.max_delay_s": 3600,
    "ingest.idle_timeout_s": 15,
    "receivers.enabled": False,
    "api.port": 0,
}
Rows = dict[tuple[str, int, str, str], tuple[float, ...]]


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_three_workers_find_what_one_partition_in_memory_finds(tmp_path: Path) -> None:
    spans = traffic(seed=9, seconds=SECONDS)
    expected = _whole(_alone(spans, load({"ingest": {"max_delay_s": 3600}})))
    assert {k[0] for k in expected} == {"spans", "edges"}
    broker = EmbeddedBroker(load().broker)
    await broker.start()
    await broker.ensure_topics(PARTITIONS)
    try:
        async with _workers(broker, tmp_path) as folders:
            shares = await _shares(folders)
            assert all(shares), "every worker owns something"
            await _send(broker, spans)
            found: Rows = {}
            until = time.monotonic() + 3 * PATIENCE_S
            while found != expected and time.monotonic() < until:
                await asyncio.sleep(0.5)
                found = _whole(rows_of([unpack(FeatureFrame, r.value) async for r in broker.read([FEATURES])]))
            assert {k: v for k, v in found.items() if expected.get(k) != v} == {}
            assert found.keys() == expected.keys()
    finally:
        await broker.stop()


def _whole(rows: Rows) -> Rows:
    """Rows of windows that all have seen whole."""
    return {k: v for k, v in rows.items() if k[1] < T0 + (SECONDS - 1) * SECOND}


def _alone(spans: list[Span], settings: Settings) -> Rows:
    frames: list[FeatureFrame] = []

    def keep(record: Record) -> None:
        if record.topic == FEATURES:
            frames.append(unpack(FeatureFrame, record.value))

    pipeline = MemoryPipeline(perceive_specs(settings, dict.fromkeys(TOPICS, 1)), 1, keep)
    now = T0
    for batch in _batches(spans, 50):
        while now + 100 * MS < batch[-1].end:
            now += 100 * MS
            pipeline.tick(now)
        pipeline.feed(OTLP_SPANS, otlp(batch), now)
    for _ in range(300):
        now += 100 * MS
        pipeline.tick(now)
    return rows_of(frames)


def _batches(spans: list[Span], size: int) -> list[list[Span]]:
    ended = sorted(spans, key=lambda s: s.end)
    return [ended[i : i + size] for i in range(0, len(ended), size)]


async def _send(broker: EmbeddedBroker, spans: list[Span]) -> None:
    """Spans about in the order in which they ended, each to any partition: traces and services are torn apart."""
    rng = random.Random(4)
    for batch in _batches(spans, 40):
        parts = [rng.randrange(PARTITIONS) for _ in batch]
        for partition in set(parts):
            some = [s for s, p in zip(batch, parts, strict=True) if p == partition]
            await broker.send(OTLP_SPANS, otlp(some), partition=partition)


@asynccontextmanager
async def _workers(broker: EmbeddedBroker, folder: Path) -> AsyncIterator[list[Path]]:
    folders = [folder / f"worker-{n}" for n in range(WORKERS)]
    for each in folders:
        each.mkdir()
    processes = [await _start(broker, f) for f in folders]
    try:
        yield folders
    finally:
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(asyncio.wait_for(p.wait(), PATIENCE_S) for p in processes))
    assert [p.returncode for p in processes] == [0] * WORKERS, "stopped gracefully"


async def _start(broker: EmbeddedBroker, folder: Path) -> asyncio.subprocess.Process:
    sets = [part for name, value in OPTIONS.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "homeostat", "--data-dir", str(folder), *sets, "worker"]
    with (folder / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *command, "--broker", f"kafka://{broker.bootstrap}", stdout=log, stderr=log, env=dict(os.environ)
        )


async def _shares(folders: list[Path]) -> list[set[str]]:
    """The partitions of each worker, once all of the ingress topics belong to exactly one."""
    wanted = {f"{topic}/{p}" for topic in INGRESS for p in range(PARTITIONS)}
    shares: list[set[str]] = []
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        shares = [set((await _status(f)).get("partitions", ())) & wanted for f in folders]
        if sum(map(len, shares)) == len(wanted) and set().union(*shares) == wanted and all(shares):
            return shares
        await asyncio.sleep(0.2)
    logs = "\n".join((f / "log").read_text()[-1500:] for f in folders)
    raise AssertionError(f"the workers did not share the partitions: {shares}\n{logs}")


async def _status(folder: Path) -> dict[str, Any]:
    found = running(folder)
    if found is None:
        return {}
    async with aiohttp.ClientSession() as session, session.get(f"{found.api}/status") as response:
        return dict(await response.json())
