"""Neo4j, with authentication on, passes the shipped checks of a graph store; what it refuses is said in one line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contracts.checks import graph_store as checks
from contracts.errors import Forbidden
from graph.stores.neo4j import Neo4jStore
from tests.services.servers.neo4j import Neo4jServer

Opening = Callable[[], Neo4jStore]


@pytest.fixture
def opening(neo4j_server: Neo4jServer) -> Opening:
    """Opens the store, empty: the community edition has one database, which tests share."""

    def opened() -> Neo4jStore:
        store = Neo4jStore(neo4j_server.uri, neo4j_server.user, neo4j_server.password)
        store.query("MATCH (n) DETACH DELETE n", read_only=False)
        return store

    return opened


@pytest.mark.parametrize("check", checks.CHECKS)
def test_checks(check: checks.Check, opening: Opening) -> None:
    check(opening)


@pytest.mark.parametrize("password", ["wrong", ""])
def test_credentials_are_asked_for(neo4j_server: Neo4jServer, password: str) -> None:
    with pytest.raises(Forbidden, match=r"graph\.password"):
        Neo4jStore(neo4j_server.uri, neo4j_server.user, password)
