"""Real servers as fixtures: one of each per test run, started when first asked for, in the run's temporary folder.

A service that can't be built or started fails the tests that need it, with the reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path, PurePath
from typing import Any, Final

import pytest
import pytest_asyncio
from xdist.scheduler import LoadScopeScheduling

import connectors.policy
from tests.patience import PATIENCE_S
from tests.services.servers.cluster import Cluster, cluster
from tests.services.servers.kafka import KafkaServer, kafka
from tests.services.servers.neo4j import Neo4jServer, neo4j
from tests.services.servers.opa import OpaServer, opa

HERE = Path(__file__).parent
BUILT_IN_POLICY = Path(connectors.policy.__file__).parent / "default.rego"
TIMEOUT_S = 2 * PATIENCE_S
"""Of a test that says nothing else: beyond a single wait's, which says what it waited for. Building and starting servers is not
counted: they have limits of their own."""


SERVERS: Final = {
    "test_actuator_kubernetes": "cluster",
    "test_deploy": "cluster",
    "test_watcher": "cluster",
    "test_broker": "kafka",
    "test_encodings": "kafka",
    "test_journal": "kafka",
    "test_sinks": "kafka",
    "test_state_store": "kafka",
    "test_collector_to_graph": "neo4j",
    "test_graph_store": "neo4j",
    "test_neo4j_speed": "neo4j",
}
"""Files that share a server."""
LONGEST_FIRST: Final = (
    "test_chaos",
    "test_outages",
    "cluster",
    # A process is given two at the start, so that what comes next is behind the first two, and should be short.
    "test_policy",
    "test_collector_configs",
    "test_collector_compression",
    "test_replay",
    "neo4j",
    "test_secured",
    "kafka",
)


class ByServer(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """All tests of a shared server go to one process, which starts it once. (`--dist loadgroup` would do, if it worked:
    https://github.com/pytest-dev/pytest-xdist/issues/1386)"""

    def _split_scope(self, nodeid: str) -> str:
        return _server(PurePath(nodeid.partition("::")[0]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer:
    """How tests are spread over processes."""
    return ByServer(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time than unit tests have; and what takes longest begins first, if only real servers are tested."""
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S, func_only=True))
    if len(mine) == len(items):
        items.sort(key=lambda item: _rank(_server(item.path)))


def _server(file: PurePath) -> str:
    return SERVERS.get(file.stem, file.stem)


def _rank(server: str) -> int:
    return LONGEST_FIRST.index(server) if server in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaServer]:
    """Apache Kafka without authentication. A test that kills it starts it again."""
    async with kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Neo4jServer]:
    """Neo4j with authentication."""
    async with neo4j(tmp_path_factory.mktemp("neo4j")) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def opa_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OpaServer]:
    """OPA with the built-in policy."""
    async with opa(tmp_path_factory.mktemp("opa"), BUILT_IN_POLICY) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster_with_kwok(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A control plane; nodes with kwok's annotation seem to run their pods."""
    async with cluster(tmp_path_factory.mktemp("cluster"), kwok=True) as found:
        yield found
