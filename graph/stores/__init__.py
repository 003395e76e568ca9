"""Graph stores: the embedded one, Neo4j, and the one of a running Homeostat over HTTP.

The only place where graph drivers are imported, and only once a store of that kind is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from contracts.errors import GraphUnavailable
from contracts.plugins import NO_SECTIONS, PluginRegistry, PluginSections
from contracts.ports import GraphStore
from contracts.settings import GraphPlace, GraphSettings
from graph.stores.remote import RemoteStore


def graph_file(data_dir: Path) -> Path:
    """Where the embedded graph lies."""
    return data_dir / "graph.lbug"


def open_store(settings: GraphSettings, data_dir: Path, plugins: PluginSections = NO_SECTIONS) -> GraphStore:
    """The configured store, with its schema up to date. Retrying is the caller's. A damaged file of the embedded one is set aside.

    Raises:
        GraphUnavailable: it can't be reached; reason graph_locked if another process has the file open.
        Forbidden: the credentials are wrong.
        InvalidSettings: the server's certificate is not trusted.
        UnknownName: `settings.store` is none of `STORES`, which plugins add to under the entry point `homeostat.graph_store`.
    """
    if settings.store == "ladybug":
        from graph.stores.recovery import open_whole

        return open_whole(graph_file(data_dir))
    store = STORES.open(settings.store, GraphPlace(settings, data_dir), plugins)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


def open_reader(
    settings: GraphSettings, data_dir: Path, api_url: str, plugins: PluginSections = NO_SECTIONS
) -> GraphStore:
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
        return STORES.open(settings.store, GraphPlace(settings, data_dir), plugins)
    except GraphUnavailable as e:
        if e.reason == "graph_locked":
            return RemoteStore(api_url)
        raise


def _ladybug(place: GraphPlace) -> GraphStore:
    from graph.stores.ladybug import LadybugStore

    return LadybugStore(graph_file(place.data_dir))


def _neo4j(place: GraphPlace) -> GraphStore:
    from graph.stores.neo4j import Neo4jStore

    s = place.settings
    return Neo4jStore(s.url, s.user, s.password.get_secret_value(), s.database, ca_file=s.ca_file)


STORES: Final[PluginRegistry[GraphPlace, GraphStore]] = PluginRegistry(
    "graph_store", {"ladybug": _ladybug, "neo4j": _neo4j}, GraphStore
)

__all__ = ["STORES", "RemoteStore", "graph_file", "open_reader", "open_store"]
