"""The two questions of the command line, on a small story."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.checks import graph_rows as rows
from contracts.checks.graph_rows import T0
from contracts.errors import UnknownName
from contracts.ports import GraphStore
from contracts.units import SECOND
from graph.queries import path, why
from graph.rendering import render_path, render_why
from graph.stores.ladybug import LadybugStore
from graph.topology_file import parse_topology


@pytest.fixture(scope="module")
def store() -> Iterator[GraphStore]:
    store = LadybugStore()
    store.migrate()
    store.write("upsert_services", [rows.service(n) for n in ("web", "shop/cart", "shop/stock", "db", "mail")])
    store.write(
        "upsert_calls",
        [
            rows.call("web", "shop/cart"),
            rows.call("web", "shop/stock", calls=200, errors=50),
            rows.call("shop/cart", "db"),
            rows.call("shop/stock", "db"),
            rows.call("db", "web"),
            rows.call("web", "mail", valid_to=T0 + 5 * SECOND),
        ],
    )
    store.write("upsert_anomalies", [rows.anomaly("x", "web"), rows.anomaly("y", "db", onset=T0 - SECOND)])
    store.write("upsert_incidents", [rows.incident("inc-1", ["x", "y", "unknown"]), rows.incident("old", onset=1)])
    store.write(
        "upsert_causes",
        [
            rows.cause("inc-1", "db", 1, path_text="web <- shop/cart <- db"),
            rows.cause("inc-1", "web", 2, kind="latency", ruled_out="its callee db explains it"),
        ],
    )
    store.write("upsert_changes", [rows.change("c1", "db", time=T0 - 60 * SECOND), rows.change("c0", "db", time=1)])
    done = rows.action(
        "run-1", "inc-1", "db", state="succeeded", time=T0 + SECOND, outcome="better", text="memory fell"
    )
    store.write("upsert_actions", [done])
    yield store
    store.close()


def names(store: GraphStore, a: str, b: str, at_ns: int | None = None) -> list[list[str]]:
    found = path(store, "e", a, b) if at_ns is None else path(store, "e", a, b, at_ns)
    return [[chain[0].caller, *(hop.callee for hop in chain)] for chain in found.paths]


def test_all_shortest_paths(store: GraphStore) -> None:
    assert names(store, "web", "db") == [["web", "shop/cart", "db"], ["web", "shop/stock", "db"]]
    assert names(store, "stock", "cart") == [["shop/stock", "db", "web", "shop/cart"]]
    assert names(store, "web", "web") == []


def test_the_graph_as_it_was(store: GraphStore) -> None:
    assert names(store, "web", "mail") == []
    assert names(store, "web", "mail", T0 + SECOND) == [["web", "mail"]]
    assert names(store, "web", "mail", T0 - 1) == []


def test_render_path(store: GraphStore) -> None:
    text = render_path(path(store, "e", "web", "stock"))
    assert text.splitlines() == [
        "web -> shop/stock",
        "  web -> shop/stock: 200 calls, 50 failed (25.0%); known from spans, confidence 90%",
    ]
    assert "does not call" in render_path(path(store, "e", "mail", "web"))
    assert "other way round: try web mail" not in render_path(path(store, "e", "mail", "web"))
    at = T0 + SECOND
    assert "other way round: try web mail" in render_path(path(store, "e", "mail", "web", at))


def test_a_long_chain_and_a_dense_graph_end() -> None:
    store = LadybugStore()
    store.migrate()
    layers = [[f"s{i}-{j}" for j in range(8)] for i in range(8)]
    store.write(
        "upsert_calls",
        [rows.call(a, b) for one, two in itertools.pairwise(layers) for a in one for b in two],
    )
    found = path(store, "e", "s0-0", "s7-7")
    store.close()
    assert len(found.paths) == 10
    assert {len(chain) for chain in found.paths} == {7}


def test_unknown_names(store: GraphStore) -> None:
    with pytest.raises(UnknownName, match="did you mean 'shop/cart'"):
        path(store, "e", "web", "shop/crat")
    with pytest.raises(UnknownName, match=r"environment 'prod'.*valid: e"):
        path(store, "prod", "web", "db")
    with pytest.raises(UnknownName, match="valid: inc-1, old"):
        why(store, "nope")


@pytest.mark.parametrize("wanted", ["inc-1", "inc", "latest"])
def test_why(store: GraphStore, wanted: str) -> None:
    answer = why(store, wanted)
    assert (answer.incident, answer.severity, answer.confidence) == ("inc-1", "critical", 0.8)
    assert [(c.service, c.kind, c.rank) for c in answer.causes] == [("db", "leak", 1), ("web", "latency", 2)]
    assert [c.time_ns for c in answer.changes] == [T0 - 60 * SECOND]
    assert [(d.playbook, d.service, d.outcome) for d in answer.deeds] == [("restart", "db", "better")]
    assert {s.id for s in answer.symptoms} == {"x", "y", "unknown"}


def test_render_why(store: GraphStore) -> None:
    text = render_why(why(store, "inc-1"))
    assert text.startswith(
        "Incident inc-1 (critical, opened) in e\nsince 2023-11-14 22:13:20.000Z, cause known with 80% confidence\n\nit broke\n"
    )
    for line in (
        "  1. db: leak, 70%",
        "     path: web <- shop/cart <- db",
        "     - memory grew",
        "  2. web: latency, 35%: its callee db explains it",
        "  2023-11-14 22:12:20.000Z db: deploy from 1 to 2 by ci: deployed 2",
        "  2023-11-14 22:13:21.000Z restart on db: succeeded, better (run run-1)",
        "    memory fell",
    ):
        assert line in text.splitlines(), f"{line!r} is not in:\n{text}"


def test_render_why_of_a_bare_incident(store: GraphStore) -> None:
    text = render_why(why(store, "old"))
    assert "Cause: no cause was found" in text
    assert "Done: nothing was done" in text


def test_declared_calls_are_found_and_end_with_their_declaration() -> None:
    store = LadybugStore()
    store.migrate()
    for source, now in (("services: {a: {calls: [b, c]}, b: , c: }", 5), ("services: {a: {calls: [b]}, b: , c: }", 9)):
        for write in parse_topology(source, "t.yaml", "e").writes(now):
            store.write(write.statement, write.rows)
    assert (names(store, "a", "b"), names(store, "a", "c"), names(store, "a", "c", 8)) == (
        [["a", "b"]],
        [],
        [["a", "c"]],
    )
    store.write("upsert_services", [rows.service("a", version="7", kind="external")])
    for write in parse_topology("services: {a: {version: '1', kind: job, labels: {team: x}}}", "t.yaml", "e").writes(
        12
    ):
        store.write(write.statement, write.rows)
    got = store.query("MATCH (s:Service {key: 'e|a'}) RETURN s.version AS v, s.kind AS k, s.labels AS l")
    store.close()
    assert got == [{"v": "7", "k": "external", "l": '{"team": "x"}'}]


CALLS = st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20)


@settings(max_examples=25, deadline=None)
@given(CALLS, st.integers(0, 7))
def test_shortest_paths_are_those_of_an_exhaustive_search(calls: set[tuple[int, int]], end: int) -> None:
    store = LadybugStore()
    store.migrate()
    store.write("upsert_services", [rows.service(f"s{i}") for i in range(8)])
    store.write("upsert_calls", [rows.call(f"s{a}", f"s{b}") for a, b in sorted(calls)])
    found = names(store, "s0", f"s{end}")
    store.close()
    expected = exhaustive(calls, end)
    assert len(found) == min(len(expected), 10)
    assert [[int(name[1:]) for name in chain] for chain in found] == expected[: len(found)]


def exhaustive(calls: set[tuple[int, int]], end: int) -> list[list[int]]:
    """All shortest chains from 0, those with the smaller last caller first."""
    chains = [[0]]
    while end and chains and not any(c[-1] == end for c in chains):
        longer = [[*c, b] for c in chains for a, b in calls if a == c[-1] and b not in c]
        chains = longer
    return sorted((c for c in chains if end and c[-1] == end), key=lambda c: c[::-1])
