"""What every graph store must do.

    from contracts.checks import graph_store
    graph_store.run_all(lambda: MyStore(...))          # or
    @pytest.mark.parametrize("check", graph_store.CHECKS)
    def test_my_store(check): check(lambda: MyStore(...))

The factory gives an open, *empty* store; the checks migrate and close it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from contracts.checks.expecting import expect, refuses
from contracts.checks.graph_questions import QUESTIONS, count, one, opened
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
from contracts.errors import HomeostatError
from contracts.ports import GraphStore
from contracts.units import SECOND

Factory = Callable[[], GraphStore]
Check = Callable[[Factory], None]


def check_migrates_twice(factory: Factory) -> None:
    """Migrating is idempotent and keeps what is there."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a")])
        store.migrate()
        expect(count(store, "(s:Service)"), 1, "services after a second migrate")


def check_service_round_trip(factory: Factory) -> None:
    """Every property comes back as written, text unchanged whatever its characters."""
    with opened(factory) as store:
        row = service("ns/ü'\"\\|日本\n", attributes='{"tier": "gold"}', first_seen=T0, last_seen=T0 + 1)
        store.write("upsert_services", [row])
        got = one(store, "MATCH (s:Service {key: $key}) RETURN s", key=row["key"])["s"]
        expect(got, row, "a node as a dict of its properties")


def check_services_merge(factory: Factory) -> None:
    """Seen twice is one service: earliest first_seen, newest words, an empty word or an older row hides nothing."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a", last_seen=T0 + 5)])
        store.write("upsert_services", [service("a", version="2", kind="", first_seen=T0 - 9, last_seen=T0 + 9)])
        store.write("upsert_services", [service("a", version="0", first_seen=T0 + 1, last_seen=T0 + 1)])
        got = one(store, "MATCH (s:Service) RETURN s")["s"]
        expect(got, service("a", version="2", first_seen=T0 - 9, last_seen=T0 + 9), "the merged service")


def check_later_row_of_a_batch_wins(factory: Factory) -> None:
    """Rows about the same thing in one batch count in their order."""
    with opened(factory) as store:
        batch = [anomaly("x", "a", phase=p, time=T0 + i) for i, p in enumerate(("opened", "updated", "closed"))]
        store.write("upsert_anomalies", [*batch, anomaly("y", "a")])
        expect(one(store, "MATCH (a:Anomaly {id: 'x'}) RETURN a.phase AS p")["p"], "closed", "phase of the last row")
        expect(count(store, "(:Anomaly)-[:AFFECTS]->(:Service)"), 2, "AFFECTS")


def check_writes_are_idempotent(factory: Factory) -> None:
    """Writing everything twice leaves the same graph as once."""
    with opened(factory) as store:
        counts = []
        for _ in range(2):
            _write_story(store)
            nodes, links = count(store, "(n)"), count(store, "()-[r]->()")
            counts.append((nodes, links))
        expect(counts[1], counts[0], "nodes and relationships after the second time")


def check_any_order(factory: Factory) -> None:
    """The last thing first: what a row refers to needn't be there yet, and is filled in when it comes."""
    with opened(factory) as store:
        _write_story(store, backwards=True)
        got = one(store, "MATCH (:Incident {id: 'i'})-[c:CAUSED_BY]->(s:Service) WHERE c.rank = 1 RETURN s, c")
        expect(got["s"], service("db"), "the service that came after its cause")
        expect(got["c"]["evidence"], ["memory grew", "no callee explains it"], "evidence")
        expect(count(store, "(:Anomaly)-[:PART_OF]->(:Incident {severity: 'critical'})"), 2, "PART_OF")


def check_bare_service_has_a_name(factory: Factory) -> None:
    """A service known only by its key has its environment and name."""
    with opened(factory) as store:
        store.write("upsert_anomalies", [anomaly("x", "ns/a")])
        got = one(store, "MATCH (s:Service) RETURN s.environment AS e, s.service AS n")
        expect(got, {"e": "e", "n": "ns/a"}, "a bare service")


def check_older_word_changes_nothing(factory: Factory) -> None:
    """A message delivered again later doesn't turn an anomaly, an incident or a run back."""
    with opened(factory) as store:
        store.write("upsert_incidents", [incident("i", phase="resolved", time=T0 + 9)])
        store.write("upsert_incidents", [incident("i", phase="opened", time=T0)])
        expect(one(store, "MATCH (i:Incident) RETURN i.phase AS p")["p"], "resolved", "phase")
        store.write("upsert_actions", [action("r", "i", "a", state="succeeded", time=T0 + 9, outcome="better")])
        store.write("upsert_actions", [action("r", "i", "a", state="running", time=T0)])
        expect(
            one(store, "MATCH (a:Action) RETURN a.state AS s, a.outcome AS o"),
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
        expect(count(store, "()-[c:OWNS {valid_to: 0}]->()"), 2, "OWNS that hold")
        expect(
            count(store, f"(:Object {{name: 'cart-2'}})-[c:RUNS_ON {{valid_to: {T0 + 5}}}]->()"),
            1,
            "RUNS_ON that ended",
        )
        expect(count(store, "()-[c:DEPLOYED_AS {valid_to: 0}]->()"), 1, "DEPLOYED_AS that hold")
        store.write("retire_objects", [retire | {"kind": "Deployment", "kept": [], "time": T0 + 7}])
        expect(count(store, "()-[c:DEPLOYED_AS {valid_to: 0}]->()"), 0, "DEPLOYED_AS after the last")


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
        got = one(store, "MATCH ()-[c:CAUSED_BY]->() RETURN c.evidence AS e, c.path AS p")
        expect(got, {"e": [], "p": []}, "empty lists")
        expect(count(store, "(:Service)"), 2, "services (none with an empty key)")


def check_threads(factory: Factory) -> None:
    """Threads write and ask at once; nothing is lost and no question sees half a batch."""
    with opened(factory) as store:
        torn: list[int] = []
        failed: list[BaseException] = []

        def write(writer: int) -> None:
            for i in range(5):
                store.write("upsert_services", [service(f"{writer}-{i}-{j}") for j in range(10)])

        def ask() -> None:
            torn.extend(count(store, "(s:Service)") % 10 for _ in range(20))

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
        expect((count(store, "(s:Service)"), set(torn)), (100, {0}), "services, and counts modulo the batch size")


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
    *QUESTIONS,
    check_threads,
    check_close,
)

run_all: Final = on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
