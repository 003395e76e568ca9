"""What every graph store must do when it is asked: parameters, answers, texts, and refusing what is not a question or can't be understood.

Part of `contracts.checks.graph_store`; the factory gives an open, *empty* store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from contracts.checks.expecting import expect, refuses
from contracts.checks.graph_rows import anomaly, call, incident, service
from contracts.errors import InvalidQuery, UnknownName
from contracts.ports import GraphStore

Factory = Callable[[], GraphStore]
Check = Callable[[Factory], None]


@contextmanager
def opened(factory: Factory) -> Iterator[GraphStore]:
    """A migrated store, closed at the end."""
    store = factory()
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def one(store: GraphStore, cypher: str, **parameters: Any) -> dict[str, Any]:
    """The only row of an answer."""
    rows = store.query(cypher, parameters)
    expect(len(rows), 1, f"rows of {cypher}")
    return rows[0]


def count(store: GraphStore, pattern: str) -> int:
    """How often a pattern is in the graph."""
    return int(one(store, f"MATCH {pattern} RETURN count(*) AS n")["n"])


def check_reads_no_more_than_asked(factory: Factory) -> None:
    """A question with `most` gives the first rows, and all where there are fewer."""
    with opened(factory) as store:
        asked = "UNWIND range(1, 50) AS i RETURN i ORDER BY i"
        expect([r["i"] for r in store.query(asked, most=3)], [1, 2, 3], "the first three rows")
        expect(len(store.query(asked, most=60)), 50, "rows where there are fewer than asked for")


def check_causal_path(factory: Factory) -> None:
    """Paths of several hops are found, as one value with nodes and relationships."""
    with opened(factory) as store:
        store.write("upsert_calls", [call("a", "b"), call("b", "c"), call("c", "d"), call("a", "z")])
        cypher = (
            "MATCH p = (:Service {key: 'e|a'})-[:CALLS*1..6]->(:Service {key: 'e|d'})"
            " UNWIND nodes(p) AS n RETURN collect(n.service) AS names"
        )
        expect(one(store, cypher)["names"], ["a", "b", "c", "d"], "names on the path")
        path = one(store, "MATCH p = (:Service {key: 'e|a'})-[:CALLS]->(:Service {key: 'e|z'}) RETURN p")["p"]
        expect([n["service"] for n in path["nodes"]], ["a", "z"], "nodes of a path")
        expect([r["calls"] for r in path["relationships"]], [10], "relationships of a path")


def check_parameters(factory: Factory) -> None:
    """Parameters of every plain type arrive as they are, and never become part of the text."""
    with opened(factory) as store:
        values = {"t": "x' RETURN 1 //", "i": 2**62, "f": 0.1, "b": True, "l": ["a", "b"]}
        got = one(store, "RETURN $t AS t, $i AS i, $f AS f, $b AS b, $l AS l", **values)
        expect(got, values, "parameters")
        expect(store.query("MATCH (s:Service) WHERE s.key IN $keys RETURN s", {"keys": ("e|a",)}), [], "a tuple")


def check_plain_values(factory: Factory) -> None:
    """Answers are plain: null is None, maps and lists nest, a property that is not there is absent."""
    with opened(factory) as store:
        got = one(store, "RETURN null AS n, 1.5 AS f, [1, 2] AS l, {a: 'b'} AS m")
        expect(got, {"n": None, "f": 1.5, "l": [1, 2], "m": {"a": "b"}}, "values")
        store.write("upsert_anomalies", [anomaly("x", "a")])
        store.write("upsert_incidents", [incident("i", ["later"])])
        bare = one(store, "MATCH (a:Anomaly {id: 'later'}) RETURN a")["a"]
        expect(bare, {"id": "later"}, "a bare anomaly")


def check_odd_texts(factory: Factory) -> None:
    """Any text comes back as it was: separators, quotes, newlines, nothing at all."""
    texts = ("", "'\"\\", "a\nb\r\tc", "\x1e", "\x1f,\x1e;\x1d", "$rows", "ünïcödé ☂ 🌂", " ")
    with opened(factory) as store:
        store.write("upsert_services", [service(f"s{i}", version=text) for i, text in enumerate(texts)])
        rows = store.query("MATCH (s:Service) RETURN s.version AS v ORDER BY s.key")
        expect(tuple(row["v"] for row in rows), texts, "texts")
        store.write("upsert_calls", [call("a", "b", confidence=0.1 + 0.2, calls=2**62, source="it's")])
        got = one(store, "MATCH ()-[c:CALLS]->() RETURN c.confidence AS f, c.calls AS i, c.source AS s")
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
        expect(one(store, "MATCH (s:Service) RETURN s")["s"], service("a"), "the graph after all attempts")
        store.query("CREATE (:Playbook {name: 'mine'})", read_only=False)
        expect(count(store, "(:Playbook)"), 1, "playbooks after a permitted write")


def check_words_that_look_like_clauses(factory: Factory) -> None:
    """Strings, comments, properties and quoted names may say anything."""
    with opened(factory) as store:
        store.write("upsert_services", [service("a")])
        cypher = (
            "MATCH (s:Service) WHERE s.key <> 'CREATE; DELETE' /* SET */ RETURN s.key AS `merge`, {set: 1} AS m // DROP"
        )
        expect(one(store, cypher), {"merge": "e|a", "m": {"set": 1}}, "a harmless question")


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
        expect(count(store, "(s:Service)"), 0, "services after refused writes")


QUESTIONS: Final[tuple[Check, ...]] = (
    check_reads_no_more_than_asked,
    check_causal_path,
    check_parameters,
    check_plain_values,
    check_odd_texts,
    check_read_only,
    check_words_that_look_like_clauses,
    check_bad_queries,
)
