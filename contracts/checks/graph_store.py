"""What every graph store must do.

    from contracts.checks import graph_store
    graph_store.run_all(lambda: MyStore(...))          # or
    @pytest.mark.parametrize("check", graph_store.CHECKS)
    def test_my_store(check): check(lambda: MyStore(...))

The factory gives an open, *empty* store; the checks migrate and close it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from contracts.checks.expecting import expect, refuses
from contracts.checks.graph_rows import (
    T0,
    action,
    anomaly,
    call,
    cause,
    change,
    deployed,
    incident,
    link,
    service,
    thing,
)
from contracts.checks.running import on_same
from contracts.errors import HomeostatError, InvalidQuery, UnknownName
from contracts.ports import GraphStore
from contracts.units import SECOND

Factory = Callable[[], GraphStore]
Check = Callable[[Factory], None]
Rows = list[dict[str, Any]]


@contextmanager
def opened(factory: Factory) -> Iterator[GraphStore]:
    """A migrated store, closed at the end."""
    store = factory()
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def _one(store: GraphStore, cypher: str, **parameters: Any) -> dict[str, Any]:
    rows = store.query(cypher, parameters)
    expect(len(rows), 1, f"rows of {cypher}")
    return rows[0]


def _count(store: GraphStore, pattern: str) -> int:
    return int(_one(store, f"MATCH {pattern} RETURN count(*) AS n")["n"])


def check_reads_no_more_than_asked(factory: Factory) -> None:
    """A question with `most` gives the first rows, and all where there are fewer."""
    with opened(factory) as store:
        asked = "UNWIND range(1, 50) AS i RETURN i ORDER BY i"
        expect([r["i"] for r in store.query(asked, most=3)], [1, 2, 3], "the first three rows")
        expect(len(store.query(asked, most=60)), 50, "rows where there are fewer than asked for")


def check_migrates_twice(factory: Factory) -> None:
    """Migrating is idempotent and keeps what is there."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a")])
        store.migrate()
        expect(_count(store, "(s:Service)"), 1, "services after a second migrate")


def check_service_round_trip(factory: Factory) -> None:
    """Every property comes back as written, text unchanged whatever its characters."""
    with opened(factory) as store:
        row = service("ns/ü'\"\\|日本\n", attributes='{"tier": "gold"}', first_seen=T0, last_seen=T0 + 1)
        store.write("upsert_services", [row])
        got = _one(store, "MATCH (s:Service {key: $key}) RETURN s", key=row["key"])["s"]
        expect(got, row, "a node as a dict of its properties")


def check_services_merge(factory: Factory) -> None:
    """Seen twice is one service: earliest first_seen, newest words, an empty word or an older row hides nothing."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a", last_seen=T0 + 5)])
        store.write("upsert_services", [service("a", version="2", kind="", first_seen=T0 - 9, last_seen=T0 + 9)])
        store.write("upsert_services", [service("a", version="0", first_seen=T0 + 1, last_seen=T0 + 1)])
        got = _one(store, "MATCH (s:Service) RETURN s")["s"]
        expect(got, service("a", version="2", first_seen=T0 - 9, last_seen=T0 + 9), "the merged service")


def check_later_row_of_a_batch_wins(factory: Factory) -> None:
    """Rows about the same thing in one batch count in their order."""
    with opened(factory) as store:
        batch = [anomaly("x", "a", phase=p, time=T0 + i) for i, p in enumerate(("opened", "updated", "closed"))]
        store.write("upsert_anomalies", [*batch, anomaly("y", "a")])
        expect(_one(store, "MATCH (a:Anomaly {id: 'x'}) RETURN a.phase AS p")["p"], "closed", "phase of the last row")
        expect(_count(store, "(:Anomaly)-[:AFFECTS]->(:Service)"), 2, "AFFECTS")


def check_writes_are_idempotent(factory: Factory) -> None:
    """Writing everything twice leaves the same graph as once."""
    with opened(factory) as store:
        counts = []
        for _ in range(2):
            _write_story(store)
            nodes, links = _count(store, "(n)"), _count(store, "()-[r]->()")
            counts.append((nodes, links))
        expect(counts[1], counts[0], "nodes and relationships after the second time")


def check_any_order(factory: Factory) -> None:
    """The last thing first: what a row refers to needn't be there yet, and is filled in when it comes."""
    with opened(factory) as store:
        _write_story(store, backwards=True)
        got = _one(store, "MATCH (:Incident {id: 'i'})-[c:CAUSED_BY]->(s:Service) WHERE c.rank = 1 RETURN s, c")
        expect(got["s"], service("db"), "the service that came after its cause")
        expect(got["c"]["evidence"], ["memory grew", "no callee explains it"], "evidence")
        expect(_count(store, "(:Anomaly)-[:PART_OF]->(:Incident {severity: 'critical'})"), 2, "PART_OF")


def check_bare_service_has_a_name(factory: Factory) -> None:
    """A service known only by its key has its environment and name."""
    with opened(factory) as store:
        store.write("upsert_anomalies", [anomaly("x", "ns/a")])
        got = _one(store, "MATCH (s:Service) RETURN s.environment AS e, s.service AS n")
        expect(got, {"e": "e", "n": "ns/a"}, "a bare service")


def check_older_word_changes_nothing(factory: Factory) -> None:
    """A message delivered again later doesn't turn an anomaly, an incident or a run back."""
    with opened(factory) as store:
        store.write("upsert_incidents", [incident("i", phase="resolved", time=T0 + 9)])
        store.write("upsert_incidents", [incident("i", phase="opened", time=T0)])
        expect(_one(store, "MATCH (i:Incident) RETURN i.phase AS p")["p"], "resolved", "phase")
        store.write("upsert_actions", [action("r", "i", "a", state="succeeded", time=T0 + 9, outcome="better")])
        store.write("upsert_actions", [action("r", "i", "a", state="running", time=T0)])
        expect(
            _one(store, "MATCH (a:Action) RETURN a.state AS s, a.outcome AS o"),
            {"s": "succeeded", "o": "better"},
            "run",
        )


def check_calls_keep_intervals(factory: Factory) -> None:
    """A call that ended and began again is two relationships; one still open is updated in place."""
    with opened(factory) as store:
        store.write("upsert_calls", [call("a", "b"), call("a", "b", calls=20, last_seen=T0 + 2)])
        store.write("upsert_calls", [call("a", "b", calls=30, valid_to=T0 + 3, last_seen=T0 + 3)])
        store.write("upsert_calls", [call("a", "b", valid_from=T0 + 5, last_seen=T0 + 5)])
        rows = store.query("MATCH ()-[c:CALLS]->() RETURN c ORDER BY c.valid_from")
        expect([(r["c"]["calls"], r["c"]["valid_to"]) for r in rows], [(30, T0 + 3), (10, 0)], "calls and valid_to")


def _write_cluster(store: GraphStore) -> None:
    pods = [thing("Pod", f"cart-{i}") for i in range(3)]
    store.write("upsert_objects", [thing("Deployment", "cart"), thing("Node", "n1"), *pods])
    owns = [link("deployment/cart", "owns", f"pod/cart-{i}") for i in range(3)]
    runs = [link(f"pod/cart-{i}", "runs_on", "node/n1") for i in range(3)]
    scales = link("horizontalpodautoscaler/cart", "scales", "deployment/cart")
    store.write("link_objects", [*owns, *runs, scales])
    store.write("link_services", [deployed("cart", "deployment/cart")])


def check_objects(factory: Factory) -> None:
    """What runs where and who owns it, from the service to the node; an older word on an object changes nothing."""
    with opened(factory) as store:
        _write_cluster(store)
        store.write("upsert_objects", [thing("Pod", "cart-0", state="Running", time=T0 + 9)])
        store.write("upsert_objects", [thing("Pod", "cart-0", state="Pending", time=T0 + 5)])
        cypher = (
            "MATCH (s:Service {service: 'cart'})-[:DEPLOYED_AS]->(:Object)-[:OWNS*1..3]->(p:Object)-[:RUNS_ON]->(n:Object)"
            " RETURN p.name AS pod, p.state AS state, n.name AS node ORDER BY pod"
        )
        found = [tuple(row.values()) for row in store.query(cypher)]
        expect(found, [("cart-0", "Running", "n1"), ("cart-1", "", "n1"), ("cart-2", "", "n1")], "pods and their nodes")
        scaled = "MATCH (:Object)-[:SCALES]->(o:Object) RETURN o.name AS name"
        expect(store.query(scaled), [{"name": "cart"}], "what an autoscaler scales")


def check_objects_are_retired(factory: Factory) -> None:
    """What is no longer there ends with its links; other kinds and namespaces, and what had ended before, stay."""
    with opened(factory) as store:
        _write_cluster(store)
        store.write(
            "upsert_objects", [thing("Pod", "elsewhere", namespace="other"), thing("Pod", "cart-1", valid_to=T0 + 1)]
        )
        kept = [thing("Pod", "cart-0")["id"]]
        retire = {"environment": "e", "kind": "Pod", "namespace": "shop", "time": T0 + 5, "kept": kept}
        store.write("retire_objects", [retire])
        ends = store.query("MATCH (o:Object) WHERE o.valid_to > 0 RETURN o.name AS n, o.valid_to AS t ORDER BY n")
        expect([tuple(row.values()) for row in ends], [("cart-1", T0 + 1), ("cart-2", T0 + 5)], "objects that ended")
        expect(_count(store, "()-[c:OWNS {valid_to: 0}]->()"), 2, "OWNS that hold")
        expect(
            _count(store, f"(:Object {{name: 'cart-2'}})-[c:RUNS_ON {{valid_to: {T0 + 5}}}]->()"),
            1,
            "RUNS_ON that ended",
        )
        expect(_count(store, "()-[c:DEPLOYED_AS {valid_to: 0}]->()"), 1, "DEPLOYED_AS that hold")
        store.write("retire_objects", [retire | {"kind": "Deployment", "kept": [], "time": T0 + 7}])
        expect(_count(store, "()-[c:DEPLOYED_AS {valid_to: 0}]->()"), 0, "DEPLOYED_AS after the last")


def check_services_are_forgotten(factory: Factory) -> None:
    """Services that left are taken out with their calls; those seen since stay, and those of which there is something to tell."""
    with opened(factory) as store:
        _write_story(store)
        told = [row["name"] for row in store.query("MATCH (s:Service) RETURN s.service AS name ORDER BY name")]
        strangers = [service(f"x{i}") for i in range(300)]
        store.write("upsert_services", [*strangers, service("back", last_seen=T0 + 9)])
        store.write("upsert_calls", [call("x1", "x2"), call("x3", told[0])])
        rows = [
            {"key": f"e|{name}", "last_seen": T0 + 5} for name in (*(f"x{i}" for i in range(300)), "back", "nobody")
        ]
        store.write("forget_services", rows)
        told_of = "MATCH (s:Service)<-[:CAUSED_BY]-(:Incident) RETURN DISTINCT s.service AS name ORDER BY name"
        causes = [row["name"] for row in store.query(told_of)]
        store.write("forget_services", [{"key": f"e|{name}", "last_seen": T0 + 10**12} for name in causes])
        left = [row["name"] for row in store.query("MATCH (s:Service) RETURN s.service AS name ORDER BY name")]
        expect(left, sorted([*told, "back"]), "services that stay")


def check_ranking_is_replaced(factory: Factory) -> None:
    """A new ranking of an incident replaces the old; other incidents keep theirs."""
    with opened(factory) as store:
        store.write("upsert_causes", [cause("i", "a", 1), cause("i", "b", 2), cause("j", "a", 1)])
        store.write("upsert_causes", [cause("i", "c", 1), cause("i", "b", 2, kind="crash"), cause("i", "b", 3)])
        found = "MATCH (i:Incident {id: $id})-[c:CAUSED_BY]->(s) RETURN s.service AS s, c.kind AS k ORDER BY c.rank"
        expect(_pairs(store, found, "i"), [("c", "leak"), ("b", "crash"), ("b", "leak")], "the ranking")
        expect(_pairs(store, found, "j"), [("a", "leak")], "another incident's ranking")


def check_empty_values(factory: Factory) -> None:
    """Empty lists, missing columns and no rows at all are fine."""
    with opened(factory) as store:
        store.write("upsert_incidents", [])
        store.write("upsert_incidents", [incident("i")])
        store.write("upsert_causes", [cause("i", "a", 1, evidence=[], path=[])])
        store.write("upsert_calls", [{"caller_key": "e|a", "callee_key": "e|b", "valid_from": T0, "valid_to": None}])
        store.write("upsert_actions", [action("r", "", "a", service_key="", playbook="")])
        got = _one(store, "MATCH ()-[c:CAUSED_BY]->() RETURN c.evidence AS e, c.path AS p")
        expect(got, {"e": [], "p": []}, "empty lists")
        expect(_count(store, "(:Service)"), 2, "services (none with an empty key)")


def check_causal_path(factory: Factory) -> None:
    """Paths of several hops are found, as one value with nodes and relationships."""
    with opened(factory) as store:
        store.write("upsert_calls", [call("a", "b"), call("b", "c"), call("c", "d"), call("a", "z")])
        cypher = (
            "MATCH p = (:Service {key: 'e|a'})-[:CALLS*1..6]->(:Service {key: 'e|d'})"
            " UNWIND nodes(p) AS n RETURN collect(n.service) AS names"
        )
        expect(_one(store, cypher)["names"], ["a", "b", "c", "d"], "names on the path")
        path = _one(store, "MATCH p = (:Service {key: 'e|a'})-[:CALLS]->(:Service {key: 'e|z'}) RETURN p")["p"]
        expect([n["service"] for n in path["nodes"]], ["a", "z"], "nodes of a path")
        expect([r["calls"] for r in path["relationships"]], [10], "relationships of a path")


def check_parameters(factory: Factory) -> None:
    """Parameters of every plain type arrive as they are, and never become part of the text."""
    with opened(factory) as store:
        values = {"t": "x' RETURN 1 //", "i": 2**62, "f": 0.1, "b": True, "l": ["a", "b"]}
        got = _one(store, "RETURN $t AS t, $i AS i, $f AS f, $b AS b, $l AS l", **values)
        expect(got, values, "parameters")
        expect(store.query("MATCH (s:Service) WHERE s.key IN $keys RETURN s", {"keys": ("e|a",)}), [], "a tuple")


def check_plain_values(factory: Factory) -> None:
    """Answers are plain: null is None, maps and lists nest, a property that is not there is absent."""
    with opened(factory) as store:
        got = _one(store, "RETURN null AS n, 1.5 AS f, [1, 2] AS l, {a: 'b'} AS m")
        expect(got, {"n": None, "f": 1.5, "l": [1, 2], "m": {"a": "b"}}, "values")
        store.write("upsert_anomalies", [anomaly("x", "a")])
        store.write("upsert_incidents", [incident("i", ["later"])])
        bare = _one(store, "MATCH (a:Anomaly {id: 'later'}) RETURN a")["a"]
        expect(bare, {"id": "later"}, "a bare anomaly")


def check_odd_texts(factory: Factory) -> None:
    """Any text comes back as it was: separators, quotes, newlines, nothing at all."""
    texts = ("", "'\"\\", "a\nb\r\tc", "\x1e", "\x1f,\x1e;\x1d", "$rows", "ünïcödé ☂ 🌂", " ")
    with opened(factory) as store:
        store.write("upsert_services", [service(f"s{i}", version=text) for i, text in enumerate(texts)])
        rows = store.query("MATCH (s:Service) RETURN s.version AS v ORDER BY s.key")
        expect(tuple(row["v"] for row in rows), texts, "texts")
        store.write("upsert_calls", [call("a", "b", confidence=0.1 + 0.2, calls=2**62, source="it's")])
        got = _one(store, "MATCH ()-[c:CALLS]->() RETURN c.confidence AS f, c.calls AS i, c.source AS s")
        expect(got, {"f": 0.1 + 0.2, "i": 2**62, "s": "it's"}, "numbers beside texts")


def check_read_only(factory: Factory) -> None:
    """A question can't write, whatever it says; the same text with read_only=False can."""
    texts = (
        "CREATE (s:Service {key: 'evil'})",
        "MATCH (s:Service) SET s.version = 'evil'",
        "MATCH (s:Service) WITH s MERGE (t:Service {key: 'evil'})",
        "MATCH (s:Service) DETACH DELETE s",
        "MATCH (s:Service) /* harmless */ dElEtE s",
        "RETURN 1; CREATE (s:Service {key: 'evil'})",
        "COMMIT; CREATE (s:Service {key: 'evil'})",
        "// RETURN 1\nCREATE (s:Service {key: 'evil'})",
        "LOAD FROM '/etc/hostname' RETURN *",
        "LOAD CSV FROM 'file:///etc/hostname' AS line RETURN line",
        "COPY (MATCH (s:Service) RETURN s.key) TO '/tmp/evil.csv'",
        "CALL threads=1",
        "CALL dbms.listConfig()",
        "MATCH (s:Service) CALL { WITH s SET s.version = 'evil' } RETURN s",
        "",
    )
    with opened(factory) as store:
        store.write("upsert_services", [service("a")])
        for cypher in texts:
            refuses(InvalidQuery, f"{cypher!r} as a question", lambda text=cypher: store.query(text))  # type: ignore[misc]
        expect(_one(store, "MATCH (s:Service) RETURN s")["s"], service("a"), "the graph after all attempts")
        store.query("CREATE (:Playbook {name: 'mine'})", read_only=False)
        expect(_count(store, "(:Playbook)"), 1, "playbooks after a permitted write")


def check_words_that_look_like_clauses(factory: Factory) -> None:
    """Strings, comments, properties and quoted names may say anything."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a")])
        cypher = (
            "MATCH (s:Service) WHERE s.key <> 'CREATE; DELETE' /* SET */ RETURN s.key AS `merge`, {set: 1} AS m // DROP"
        )
        expect(_one(store, cypher), {"merge": "e|a", "m": {"set": 1}}, "a harmless question")


def check_bad_queries(factory: Factory) -> None:
    """What can't be understood is InvalidQuery, and the store goes on working."""
    with opened(factory) as store:
        for cypher in (
            "MATCH (s:Service RETURN s",
            "RETURN nope",
            "RETURN 'open",
            "RETURN toUpper(1, 2, 3)",
            "RETURN $gone",
        ):
            refuses(InvalidQuery, repr(cypher), lambda text=cypher: store.query(text))  # type: ignore[misc]
        refuses(UnknownName, "an unknown statement", lambda: store.write("upsert_nothing", [{}]))
        refuses(UnknownName, "an unknown column", lambda: store.write("upsert_services", [service("a", nope=1)]))
        refuses(InvalidQuery, "no unique column", lambda: store.write("upsert_services", [{"environment": "e"}]))
        refuses(InvalidQuery, "a wrong type", lambda: store.write("upsert_services", [service("a", last_seen="now")]))
        refuses(InvalidQuery, "65 bits", lambda: store.write("upsert_services", [service("a", last_seen=2**63)]))
        refuses(InvalidQuery, "a question as a write", lambda: store.write("services", [{}]))
        expect(_count(store, "(s:Service)"), 0, "services after refused writes")


def check_threads(factory: Factory) -> None:
    """Threads write and ask at once; nothing is lost and no question sees half a batch."""
    with opened(factory) as store:
        torn: list[int] = []
        failed: list[BaseException] = []

        def write(writer: int) -> None:
            for i in range(5):
                store.write("upsert_services", [service(f"{writer}-{i}-{j}") for j in range(10)])

        def ask() -> None:
            torn.extend(_count(store, "(s:Service)") % 10 for _ in range(20))

        def caught(do: Callable[..., None], *arguments: int) -> None:
            try:
                do(*arguments)
            except BaseException as e:  # noqa: BLE001 (handed to the checking thread)
                failed.append(e)

        threads = [threading.Thread(target=caught, args=(write, i)) for i in range(2)]
        threads.append(threading.Thread(target=caught, args=(ask,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(failed, [], "errors in threads")
        expect((_count(store, "(s:Service)"), set(torn)), (100, {0}), "services, and counts modulo the batch size")


def check_close(factory: Factory) -> None:
    """Closing twice is fine; a closed store says so."""
    store = factory()
    store.migrate()
    store.close()
    store.close()
    refuses(HomeostatError, "a question to a closed store", lambda: store.query("RETURN 1"))


def _pairs(store: GraphStore, cypher: str, id_: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.query(cypher, {"id": id_})]


def _write_story(store: GraphStore, *, backwards: bool = False) -> None:
    steps: list[tuple[str, Sequence[Mapping[str, Any]]]] = [
        ("upsert_services", [service("web"), service("db")]),
        ("upsert_calls", [call("web", "db")]),
        ("upsert_changes", [change("d", "db")]),
        ("upsert_anomalies", [anomaly("x", "web"), anomaly("y", "db")]),
        ("upsert_incidents", [incident("i", ["x", "y"])]),
        ("upsert_causes", [cause("i", "db", 1), cause("i", "web", 2)]),
        ("upsert_actions", [action("r", "i", "db")]),
        ("upsert_actions", [action("r", "i", "db", state="succeeded", time=T0 + SECOND, outcome="better")]),
    ]
    for name, rows in reversed(steps) if backwards else steps:
        store.write(name, rows)


CHECKS: Final[tuple[Check, ...]] = (
    check_migrates_twice,
    check_reads_no_more_than_asked,
    check_service_round_trip,
    check_services_merge,
    check_later_row_of_a_batch_wins,
    check_writes_are_idempotent,
    check_any_order,
    check_bare_service_has_a_name,
    check_older_word_changes_nothing,
    check_calls_keep_intervals,
    check_objects,
    check_objects_are_retired,
    check_services_are_forgotten,
    check_ranking_is_replaced,
    check_empty_values,
    check_causal_path,
    check_parameters,
    check_plain_values,
    check_odd_texts,
    check_read_only,
    check_words_that_look_like_clauses,
    check_bad_queries,
    check_threads,
    check_close,
)

run_all: Final = on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
