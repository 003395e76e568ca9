"""A running Homeostat takes telemetry in from sources and tells sinks what it publishes, beside the pipeline."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from contracts.checks.sink import published
from contracts.errors import UnknownName
from contracts.settings import load
from contracts.topics import ACTIONS, DECISIONS, FEATURES, INCIDENTS
from homeostat.runtime import Runtime
from tests.patience import LONG_S, PATIENCE_S
from tests.unit.connectors.otlp import builders as build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]
QUIET = {"api": {"port": 0}, "receivers": {"enabled": False}, "detect": {"detectors": ["bank"]}}


async def test_from_a_source_to_the_topics_and_from_the_topics_to_sinks(tmp_path: Path) -> None:
    came, told = tmp_path / "came.jsonl", tmp_path / "told.jsonl"
    settings = load(
        {
            "data_dir": tmp_path / "data",
            **QUIET,
            "sources": {"use": ["file"], "files": [str(came)], "from_beginning": True},
            "sinks": {"use": ["file", "webhook"], "file": str(told), "webhook": "http://127.0.0.1:1/hook"},
        },
        environ={},
    )
    runtime = Runtime(settings)
    await runtime.start()
    try:
        came.write_bytes(build.as_json(build.traces({"service.name": "cart"}, {}, {})) + b"\n")
        events = [published(n, topic) for n in range(3) for topic in (INCIDENTS, DECISIONS, ACTIONS)]
        for event in events:
            await runtime.broker.send(event.topic, event.value, key=event.key.encode(), partition=0)
        async with asyncio.timeout(PATIENCE_S):
            while not (told.exists() and len(told.read_bytes().splitlines()) == len(events)):
                await asyncio.sleep(0.05)
            frames = [r async for r in _first(runtime, FEATURES)]
            while "sink webhook" not in {lack.what for lack in runtime.vitals().lacks}:
                await asyncio.sleep(0.05)
        assert frames
        status = runtime.status()
        assert status["sources"] == {"file": {"received": 1, "sent": 1}}
        assert status["sinks"]["file"] == {"delivered": len(events)}
        assert status["sinks"]["webhook"]["trouble"].endswith(
            "events wait: the webhook doesn't answer: ClientConnectorError"
        )
        async with aiohttp.ClientSession() as session, session.get(f"{runtime.api.address}/metrics") as response:
            metrics = await response.text()
        assert 'homeostat_source_messages_total{source="file",what="sent"} 1.0' in metrics
        assert f'homeostat_sink_events_total{{sink="file",what="delivered"}} {float(len(events))}' in metrics
        last = published(9)
        await runtime.broker.send(INCIDENTS, last.value, key=last.key.encode(), partition=0)
    finally:
        await runtime.stop()
    ids = [json.loads(line)["id"] for line in told.read_bytes().splitlines()]
    for topic in (INCIDENTS, DECISIONS, ACTIONS):
        assert [i for i in ids if i in {e.id for e in events if e.topic == topic}] == [
            e.id for e in events if e.topic == topic
        ]
    assert ids[-1] == last.id, "what was published last is delivered before the end"


async def _first(runtime: Runtime, topic: str):
    async for record in runtime.broker.read([topic], follow=True):
        yield record
        return


@pytest.mark.parametrize("section", ["sinks", "sources"])
async def test_an_unknown_name_ends_the_start(section: str, tmp_path: Path) -> None:
    runtime = Runtime(load({"data_dir": tmp_path, **QUIET, section: {"use": ["nobody"]}}, environ={}))
    with pytest.raises(UnknownName, match="nobody"):
        await runtime.start()
