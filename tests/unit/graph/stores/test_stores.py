"""Every store passes the shipped checks."""

import os
from pathlib import Path

import pytest

from contracts.checks import graph_store
from contracts.ports import GraphStore
from graph.stores.ladybug import LadybugStore

NEO4J = os.environ.get("HOMEOSTAT_TEST_NEO4J", "")  # bolt://user:password@host:port


def neo4j() -> GraphStore:
    from urllib.parse import urlsplit

    from graph.stores.neo4j import Neo4jStore

    at = urlsplit(NEO4J)
    store = Neo4jStore(f"{at.scheme}://{at.hostname}:{at.port}", at.username or "neo4j", at.password or "")
    store.query("MATCH (n) DETACH DELETE n", read_only=False)
    return store


@pytest.mark.parametrize("check", graph_store.CHECKS)
def test_in_memory(check: graph_store.Check) -> None:
    check(LadybugStore)


@pytest.mark.parametrize("check", graph_store.CHECKS)
def test_in_a_file(check: graph_store.Check, tmp_path: Path) -> None:
    check(lambda: LadybugStore(tmp_path / "data" / "graph.lbug"))


if NEO4J:

    @pytest.mark.parametrize("check", graph_store.CHECKS)
    def test_neo4j(check: graph_store.Check) -> None:
        check(neo4j)
