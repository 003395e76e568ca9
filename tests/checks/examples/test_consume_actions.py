"""The consumer in docs/examples, as a user runs it: a whole run over the embedded broker, then the same with a forgery."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from connectors.kafka.embedded import EmbeddedBroker
from contracts.settings import BrokerSettings
from contracts.topics import partition_of
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import World, decision

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "consume_actions.py"


async def consume(bootstrap: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        "--bootstrap",
        bootstrap,
        "--once",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, (out + errors).decode()


@pytest.mark.slow
async def test_it_reads_the_trail_and_notices_a_forgery() -> None:
    broker = EmbeddedBroker(BrokerSettings())
    await broker.start()
    try:
        await broker.ensure_topics(4)
        world = World()

        async def publish(topic, key, value, headers, route):  # type: ignore[no-untyped-def]
            await broker.send(topic, value, key=key.encode(), partition=partition_of(route, 4), headers=headers)
            world.topic.append((topic, key, value, tuple(headers), route))

        world.publish = publish  # type: ignore[method-assign]
        executor = world.born()
        await world.suffer()
        await executor.on_decision(decision())
        await executor.idle()
        await world.run_to(5)
        await world.done()
        status, text = await consume(broker.bootstrap)
        assert status == 0, text
        assert sum(line.startswith("ok ") for line in text.splitlines()) == len(world.actions) == 6
        assert "io.homeostat.run.succeeded" in text
        assert "test: 6 records" in text

        _, key, value, headers, route = next(m for m in world.topic if m[0] == "autonomous.actions")
        forged = value.replace(b"cart", b"shop")
        await broker.send(
            "autonomous.actions", forged, key=key.encode(), partition=partition_of(route, 4), headers=headers
        )
        status, text = await consume(broker.bootstrap)
        assert status == 1, text
        assert "edited" in text
    finally:
        await broker.stop()
