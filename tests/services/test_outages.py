"""Neo4j and OPA away for a minute: detection goes on, graph writes wait within a bound and are counted, and nothing is done without policy."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from connectors.kafka.client import KafkaBroker
from contracts.events import ActionRecord, Decision, encode
from contracts.settings import BrokerSettings
from contracts.topics import DECISIONS, partition_of
from contracts.verdicts import RunState
from tests.scenarios.story import Story, listening, until
from tests.scenarios.town import CALLS
from tests.services.chaos.accounts import deeds
from tests.services.chaos.decisions import decision_of
from tests.services.chaos.fleet import Fleet, command_settings, effects_of
from tests.services.conftest import BUILT_IN_POLICY
from tests.services.servers.kafka import kafka
from tests.services.servers.neo4j import Neo4jServer, neo4j
from tests.services.servers.opa import OpaServer, opa
from tests.services.servers.process import free_port, page
from tests.services.test_replay import living

AWAY_S: Final = 60.0
EXPIRY_S: Final = 40.0
"""A decision from the beginning of the outage is too old at its end, one from its second half isn't."""
QUEUE: Final = 10


@dataclass
class Scene:
    """A worker, what it says of itself, and what it did."""

    folder: Path
    broker: KafkaBroker
    story: Story
    status_url: str

    async def decide(self, environment: str) -> Decision:
        """A decision is made there; the same one may come twice."""
        decision = decision_of(environment, f"nothing-{environment}")
        for _ in range(2):
            await self.broker.send(DECISIONS, encode(decision), partition=partition_of(environment, 4))
        return decision

    async def graph(self) -> dict[str, int]:
        """Its graph writes: waiting, dropped, failed."""
        found: dict[str, int] = json.loads(await self.get("/status"))["graph"]
        return found

    async def written(self) -> dict[str, int]:
        """The same, once none waits."""
        async with asyncio.timeout(60):
            while (found := await self.graph())["queue"]:
                await asyncio.sleep(0.2)
        return found

    async def get(self, path: str) -> bytes:
        """One of its pages."""
        return await page(self.status_url + path)

    def ended(self, decision: Decision) -> list[ActionRecord]:
        """How the run of a decision ended."""
        return self.story.all(ActionRecord, lambda r: r.decision == decision.id and r.type in ENDS)

    @property
    def effects(self) -> int:
        return len(effects_of(self.folder))


ENDS: Final = {
    f"io.homeostat.run.{s}" for s in (RunState.SUCCEEDED, RunState.INCONCLUSIVE, RunState.REFUSED, RunState.FAILED)
}


def _settings(folder: Path, graph: Neo4jServer, policy: OpaServer, port: int) -> dict[str, object]:
    return {
        "environment": "prod",
        "broker": {"fetch_wait_ms": 50},
        "receivers": {"enabled": False},
        "api": {"port": port},
        "detect": {"warmup_windows": 8},
        "act": {
            **command_settings(folder, ("before", "early", "late", "after")),
            "policy": policy.document,
            "decision_expiry_s": EXPIRY_S,
            "foreign_decisions": True,
        },
        "graph": {"store": "neo4j", "url": graph.uri, "user": graph.user, "password": graph.password, "queue": QUEUE},
    }


@pytest.mark.timeout(420)
async def test_a_minute_without_graph_and_policy(tmp_path: Path) -> None:
    async with (
        kafka(tmp_path / "kafka") as log,
        neo4j(tmp_path / "neo4j") as graph,
        opa(tmp_path / "opa", BUILT_IN_POLICY) as policy,
    ):
        port = free_port()
        fleet = Fleet(tmp_path, log.url, _settings(tmp_path, graph, policy, port))
        try:
            async with living(log.url) as town, listening(log.bootstrap) as story:
                await fleet.add()
                await fleet.ready()
                broker = KafkaBroker(BrokerSettings(url=log.url))
                await broker.start()
                try:
                    scene = Scene(tmp_path, broker, story, f"http://127.0.0.1:{port}")
                    await _well(scene)
                    await graph.kill()
                    await policy.kill()
                    town.broken.add("stock")  # so that there is much to write
                    early, late = await _without(scene)
                    await policy.start()
                    await graph.start()
                    await _well_again(scene, early, late)
                    found = await deeds(broker)
                finally:
                    await broker.stop()
            await fleet.stop(fleet.members)
        finally:
            await fleet.end()
        assert not fleet.tracebacks()
        assert not any(found.broken.values())


async def _well(scene: Scene) -> None:
    await until(lambda: len(scene.story.states) == len(CALLS) and min(map(len, scene.story.states.values())) > 12, 90)
    before = await scene.decide("before")
    await until(lambda: scene.ended(before))
    assert scene.effects == 1
    assert (await scene.graph())["dropped"] == 0


async def _without(scene: Scene) -> tuple[Decision, Decision]:
    """The outage: features go on, nothing is done, what can't be written waits."""
    began, windows = time.monotonic(), {s: len(states) for s, states in scene.story.states.items()}
    early = await scene.decide("early")
    late: Decision | None = None
    waited: list[int] = []
    while time.monotonic() < began + AWAY_S:
        if late is None and time.monotonic() > began + AWAY_S - EXPIRY_S / 2:
            late = await scene.decide("late")
        waited.append((await scene.graph())["queue"])
        assert scene.effects == 1, "an effect without policy"
        await asyncio.sleep(1)
    assert late is not None
    assert {s: len(states) - windows[s] > AWAY_S * 0.8 for s, states in scene.story.states.items()} == dict.fromkeys(
        CALLS, True
    )
    assert max(waited) == QUEUE
    assert (await scene.graph())["dropped"] > 0
    return early, late


async def _well_again(scene: Scene, early: Decision, late: Decision) -> None:
    """What waited is done, once; what is too old is refused, and says why; the graph has what was kept."""
    (refused,) = scene.ended(early)
    assert (refused.state, refused.data["reason"]) == (RunState.REFUSED, "policy_unavailable")
    await until(lambda: scene.ended(late))
    assert effects_of(scene.folder)[1:] == [scene.ended(late)[0].run]
    lost = (await scene.written())["dropped"]
    after = await scene.decide("after")
    await until(lambda: scene.ended(after))
    assert await scene.written() == {"queue": 0, "dropped": lost, "failed": 0}
    samples = (await scene.get("/metrics")).decode()
    assert 'homeostat_runs_refused_total{reason="policy_unavailable"} 1.0' in samples
    assert f'homeostat_graph_writes_total{{result="dropped"}} {float(lost)}' in samples
