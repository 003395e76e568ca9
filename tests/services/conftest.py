"""Real servers as fixtures: one of each per test run, started when first asked for, in the run's temporary folder.

A service that can't be built or started fails the tests that need it, with the reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

import connectors.policy
from tests.services.servers.cluster import Cluster, cluster
from tests.services.servers.kafka import KafkaServer, kafka
from tests.services.servers.neo4j import Neo4jServer, neo4j
from tests.services.servers.opa import OpaServer, opa

HERE = Path(__file__).parent
BUILT_IN_POLICY = Path(connectors.policy.__file__).parent / "default.rego"
TIMEOUT_S = 300
"""Of a test that says nothing else. Building and starting servers is not counted: they have limits of their own."""


SHARED: Final = ("cluster_with_kwok", "neo4j_server", "kafka_server", "opa_server")
LONGEST_FIRST: Final = (
    "test_chaos",
    "test_outages",
    "cluster_with_kwok",
    "kafka_server",
    "neo4j_server",
    "test_replay",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time than unit tests have; and in parallel (`--dist loadgroup`) all tests of a server go to one process, which
    starts it once, and what takes longest begins first."""
    mine = [item for item in items if HERE in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S, func_only=True))
    places = {id(item): place for place, item in enumerate(sorted(mine, key=_rank))}
    items.sort(key=lambda item: places.get(id(item), -1))


def _group(item: pytest.Item) -> str:
    """The shared server that a test asks for (none asks for two), else its file."""
    asked = getattr(item, "fixturenames", ())
    return next((name for name in SHARED if name in asked), item.path.stem)


def _rank(item: pytest.Item) -> int:
    group = _group(item)
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)


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
