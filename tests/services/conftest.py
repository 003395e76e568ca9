"""Real servers as fixtures: one of each per test run, started when first asked for, in the run's temporary folder.

A service that can't be built or started fails the tests that need it, with the reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time than unit tests have."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S, func_only=True))


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
