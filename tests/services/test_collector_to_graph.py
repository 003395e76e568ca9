"""From an SDK through a Collector and Kafka to a worker and Neo4j: the graph learns the town, and a fault in its traffic becomes an
incident whose causal path the documentation's query returns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from connectors.kafka.client import KafkaBroker
from contracts.events import Anomaly, DeadLetter, Incident
from contracts.settings import BrokerSettings
from contracts.topics import OTLP_SPANS
from contracts.verdicts import AnomalyKind, AnomalyPhase
from graph.stores.neo4j import Neo4jStore
from tests.scenarios.story import Story, listening, until
from tests.scenarios.town import CALLS
from tests.services.chaos.fleet import Fleet
from tests.services.sdk_town import SdkTown, sdk_town
from tests.services.servers.collector import collector
from tests.services.servers.kafka import KafkaServer, kafka
from tests.services.servers.neo4j import Neo4jServer
from tests.services.servers.process import free_port

GUIDE: Final = Path(__file__).parents[2] / "docs" / "graph.md"
WARMUP: Final = 8
EXPORTERS: Final[Mapping[str, dict[str, Any]]] = {
    "default": {},
    "scattered": {
        "traces": {"encoding": "otlp_json"},
        "partition_traces_by_id": True,
        "producer": {"compression": "zstd"},
    },
}


def _config(exporter: str, port: int, bootstrap: str) -> str:
    """A Collector between SDKs and Kafka, with nothing set that need not be."""
    text: str = yaml.safe_dump(
        {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"kafka": {"brokers": [bootstrap], **EXPORTERS[exporter]}},
            "service": {
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["kafka"]}},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }
    )
    return text


def _settings(environment: str, graph: Neo4jServer) -> dict[str, object]:
    return {
        "environment": environment,
        "broker": {"fetch_wait_ms": 50},
        "receivers": {"enabled": False},
        "api": {"port": 0},
        "detect": {"warmup_windows": WARMUP},
        "act": {"actuators": ["dry-run"]},
        "graph": {"store": "neo4j", "url": graph.uri, "user": graph.user, "password": graph.password},
    }


def _documented(heading: str) -> str:
    """The query below a question of docs/graph.md."""
    found = re.search(
        rf"^\*\*{re.escape(heading)}\*\*.*?^```cypher\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found is not None, heading
    return found[1]


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.timeout(300)
async def test_from_the_sdk_to_the_graph(exporter: str, neo4j_server: Neo4jServer, tmp_path: Path) -> None:
    environment, port = f"town-{exporter}", free_port()
    async with kafka(tmp_path / "kafka") as server:
        await KafkaBroker(BrokerSettings(url=server.url)).ensure_topics(4)
        fleet = Fleet(tmp_path, server.url, _settings(environment, neo4j_server))
        try:
            async with (
                collector(tmp_path / "collector", _config(exporter, port, server.bootstrap)),
                sdk_town(f"127.0.0.1:{port}") as town,
                listening(server.bootstrap) as story,
            ):
                await fleet.add()
                await fleet.ready()
                incident = await _blamed(story, town)
                await _travelled_as(exporter, server)
            await fleet.stop(fleet.members)
        finally:
            await fleet.end()
        assert not fleet.tracebacks()
    graph = Neo4jStore(neo4j_server.uri, neo4j_server.user, neo4j_server.password)
    try:
        _learnt(graph, environment)
        _explained(graph, incident)
    finally:
        graph.close()


async def _blamed(story: Story, town: SdkTown) -> Incident:
    await until(lambda: len(story.states) == len(CALLS) and all(len(s) > WARMUP + 4 for s in story.states.values()), 90)
    # A broker that stalls at its start holds telemetry back, and that is rightly told; nothing is told of a service.
    assert not [a for a in story.all(Anomaly) if a.kind is not AnomalyKind.TELEMETRY]
    town.broken.add("stock")
    await story.want(Anomaly, lambda a: a.phase is AnomalyPhase.OPENED and a.kind is not AnomalyKind.TELEMETRY)
    # The cause may be settled before all have shown that they feel it.
    felt = {"gateway", "orders"}
    found = await story.want(
        Incident, lambda i: i.settled and _path(i) == ["gateway", "orders", "stock"] and felt <= set(i.services)
    )
    assert not story.all(DeadLetter)
    return found


def _path(incident: Incident) -> list[str]:
    return [step.service for step in incident.candidates[0].path]


async def _travelled_as(exporter: str, server: KafkaServer) -> None:
    """The Collector did with the spans what its configuration says."""
    broker = KafkaBroker(BrokerSettings(url=server.url))
    records = [r async for r in broker.read([OTLP_SPANS])]
    scattered = exporter == "scattered"
    assert {r.value[:1] == b"{" for r in records} == {scattered}, "JSON or protobuf"
    assert {r.key is not None for r in records} == {scattered}, "keyed by trace, or not at all"
    assert len({r.partition for r in records}) > 1


def _learnt(graph: Neo4jStore, environment: str) -> None:
    services = graph.query("MATCH (s:Service {environment: $e}) RETURN s.service AS name", {"e": environment})
    assert {row["name"] for row in services} == set(CALLS)
    calls = graph.query(
        "MATCH (a:Service {environment: $e})-[c:CALLS]->(b:Service) RETURN a.service AS a, b.service AS b, c.calls AS n",
        {"e": environment},
    )
    assert {(row["a"], row["b"]) for row in calls} == {(a, b) for a, to in CALLS.items() for b in to}
    assert all(row["n"] > WARMUP for row in calls), calls


def _explained(graph: Neo4jStore, incident: Incident) -> None:
    causes = graph.query(
        _documented("Who caused it, by which path, and why not somebody else?"), {"incident": incident.id}
    )
    first, *rivals = causes
    assert (first["rank"], first["service"], first["kind"]) == (1, "stock", "errors")
    assert first["path"] == ["gateway", "orders", "stock"]
    assert first["evidence"]
    assert first["ruled_out"] == ""
    assert all(rival["ruled_out"] for rival in rivals)
    felt = graph.query(_documented("How far from the cause was it felt?"), {"incident": incident.id})
    assert {"felt_by": "gateway", "culprit": "stock", "hops": 2} in felt
