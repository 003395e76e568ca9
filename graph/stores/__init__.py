"""Graph stores: the embedded one, Neo4j, and the one of a running Homeostat over HTTP.

The only place where graph drivers are imported, and only once a store of that kind is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contracts.errors import GraphUnavailable, UnknownName
from contracts.ports import GraphStore
from contracts.settings import GraphSettings
from graph.stores.remote import RemoteStore

STORES: Final = ("ladybug", "neo4j")


def graph_file(data_dir: Path) -> Path:
    """Where the embedded graph lies."""
    return data_dir / "graph.lbug"


def open_store(settings: GraphSettings, data_dir: Path) -> GraphStore:
    """The configured store, with its schema up to date. Retrying is the caller's. A damaged file of the embedded one is set aside.

    Raises:
        GraphUnavailable: it can't be reached; reason graph_locked if another process has the file open.
        Forbidden: the credentials are wrong.
        InvalidSettings: the server's certificate is not trusted.
        UnknownName: `settings.store` is none of `STORES`.
    """
    if settings.store == "ladybug":
        from graph.stores.recovery import open_whole

        return open_whole(graph_file(data_dir))
    store = _open(settings, data_dir)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


def open_reader(settings: GraphSettings, data_dir: Path, api_url: str) -> GraphStore:
    """The configured store for asking only; through the running Homeostat at `api_url` if that has the file open.

    Raises:
        GraphUnavailable: there is no graph yet, or it can't be reached.
    """
    if settings.store == "ladybug" and not graph_file(data_dir).exists():
        raise GraphUnavailable(
            f"there is no knowledge graph in {data_dir} yet",
            reason="no_graph",
            fix="start `homeostat up`, or set data_dir to where it runs",
        )
    try:
        return _open(settings, data_dir)
    except GraphUnavailable as e:
        if e.reason == "graph_locked":
            return RemoteStore(api_url)
        raise


def _open(settings: GraphSettings, data_dir: Path) -> GraphStore:
    match settings.store:
        case "ladybug":
            from graph.stores.ladybug import LadybugStore

            return LadybugStore(graph_file(data_dir))
        case "neo4j":
            from graph.stores.neo4j import Neo4jStore

            password = settings.password.get_secret_value()
            return Neo4jStore(settings.url, settings.user, password, settings.database, ca_file=settings.ca_file)
        case _:
            raise UnknownName("graph store", settings.store, STORES)


__all__ = ["STORES", "RemoteStore", "graph_file", "open_reader", "open_store"]
