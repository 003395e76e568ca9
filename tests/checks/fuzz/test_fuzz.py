"""Thousands of broken messages through Faust: each is in the dead-letter topic whole, or counted; good ones still flow.

TEST_FUZZ=10000 sends so many.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.kafka.embedded import FETCH_WAIT_MS, EmbeddedBroker
from connectors.otlp.decode import decode as read
from connectors.state.sqlite import SqliteStateStore
from contracts.errors import UndecodableTelemetry
from contracts.events import DeadLetter, decode
from contracts.frames import Decoded, FeatureFrame, unpack
from contracts.ports import SystemClock
from contracts.settings import load
from contracts.topics import DEADLETTER, FEATURES
from homeostat.wiring import perceive_specs
from streams.worker import Worker, WorkerWiring
from tests.checks.fuzz.garbage import garbage, good
from tests.patience import LONG_S

MESSAGES, PARTITIONS = int(os.environ.get("TEST_FUZZ", "2000")), 4
KEPT = ("spans", "points", "log_records")
DROPPED = ("duplicates", "future", "service_limit")

Place = tuple[str, int, int]


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
async def test_broken_messages_are_kept_whole_or_counted(tmp_path: Path) -> None:
    settings = load({"data_dir": tmp_path, "ingest": {"max_delay_s": 10}})
    broker = EmbeddedBroker(settings.broker)
    await broker.start()
    partitions = await broker.ensure_topics(PARTITIONS)
    specs = perceive_specs(settings, partitions)
    state = SqliteStateStore(tmp_path / "state.sqlite")
    worker = Worker(
        WorkerWiring(
            *(settings, broker, partitions, state, SystemClock(), specs),
            graph=lambda write: None,
            log_id="one",
            fetch_wait_ms=FETCH_WAIT_MS,
        )
    )
    letters: list[DeadLetter] = []
    following = asyncio.create_task(_follow(broker, letters))
    try:
        await worker.start()
        sent = await _send(broker)
        await _until(lambda: worker.host.counters["ingest", "messages"] == MESSAGES)
        refused, items, skipped = _expected(sent)
        await _until(lambda: len(letters) >= len(refused))
        await _until(lambda: sum(worker.host.totals()["ingest", k] for k in (*KEPT, *DROPPED)) >= items)

        assert {_place(d): (d.payload, d.reason) for d in letters} == refused, "whole, each once, with its reason"
        assert len(letters) == len(refused) == worker.host.counters["ingest", "dead_letters"]
        totals = worker.host.totals()
        assert sum(totals["ingest", k] for k in (*KEPT, *DROPPED)) == items
        assert {k: totals["ingest", k] for k in skipped} == skipped
        assert not [k for k in totals if k[1] in ("tick_errors", "unsendable")]
        assert MESSAGES > len(refused) > MESSAGES // 2, "most of it is garbage, and some is not"

        await _good_telemetry_still_flows(broker)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await worker.stop()
        await state.close()
        await broker.stop()
    assert worker.unacknowledged == 0


async def _follow(broker: EmbeddedBroker, letters: list[DeadLetter]) -> None:
    async for record in broker.read([DEADLETTER], follow=True):
        letter = decode(DeadLetter, record.value)
        letters.append(letter)


async def _send(broker: EmbeddedBroker) -> dict[Place, bytes]:
    """Everything sent, by where it lies in the log."""
    places: dict[Place, bytes] = {}
    batch = []
    for n, (topic, data) in enumerate(garbage(5, MESSAGES, time.time_ns())):
        batch.append((topic, data, await broker.enqueue(topic, data, partition=n // 4 % PARTITIONS)))
        if len(batch) == 500 or n == MESSAGES - 1:
            for topic_, data_, sent in batch:
                at = await sent
                places[topic_, at.partition, at.offset] = data_
            batch = []
    assert len(places) == MESSAGES
    return places


def _expected(sent: dict[Place, bytes]) -> tuple[dict[Place, tuple[bytes, str]], int, dict[str, int]]:
    """By reading each message apart from any pipeline: what is refused and why, records in what is not, and what of
    these is skipped."""
    refused: dict[Place, tuple[bytes, str]] = {}
    skipped: Counter[str] = Counter()
    items = 0
    for place, data in sent.items():
        try:
            found = read(place[0], data)
        except UndecodableTelemetry as e:
            refused[place] = (data, e.reason)
        else:
            items += _items(found)
            skipped.update({f"skipped_{k}": n for k, n in found.skipped.items()})
    return refused, items, dict(skipped)


def _items(found: Decoded) -> int:
    return sum(len(batch) for batch in (found.spans, found.points, found.histograms, found.logs) if batch is not None)


def _place(letter: DeadLetter) -> Place:
    return letter.source_topic, letter.source_partition, letter.source_offset


async def _good_telemetry_still_flows(broker: EmbeddedBroker) -> None:
    since = time.time_ns()
    async with asyncio.timeout(LONG_S):
        while True:
            for topic, messages in good(time.time_ns()).items():
                await broker.send(topic, messages[0], partition=1)
            await asyncio.sleep(0.3)
            frames = [unpack(FeatureFrame, r.value) async for r in broker.read([FEATURES], last=30)]
            if {"shop/cart", "till"} <= {
                s for f in frames if f.window_ns > since and f.counts.any() for s in f.services
            }:
                return


async def _until(condition: Callable[[], bool], seconds: float = LONG_S) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)
