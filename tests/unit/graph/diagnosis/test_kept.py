"""Spans of which another part is kept are no count of calls: the requests at both ends are, where they are known."""

from __future__ import annotations

import math

import pytest

from contracts.features import CALL_RATE, METRIC_REQUEST_RATE, REQUEST_RATE
from graph.evidence.kept import by_metrics, kept_otherwise, weighed
from graph.evidence.situation import Edge, Node, Shift


def rate(name: str, before: float, after: float, windows: float = 10.0) -> Shift:
    return Shift(name, before, after, 0.0, 0.0, windows, 60.0)


def node(name: str, spans: float | None = 10.0, counted: float | None = 10.0, before: float = 10.0) -> Node:
    """A service of ten requests a second before, whose spans and metrics now tell of so many."""
    found = {REQUEST_RATE: spans, METRIC_REQUEST_RATE: counted}
    return Node(name, shifts={n: rate(n, before, after) for n, after in found.items() if after is not None})


def calls(caller: str, callee: str, attempted: float = 100.0, observed: float = 10.0, in_part: bool = False) -> Edge:
    found = {CALL_RATE: rate(CALL_RATE, 10.0, observed / 10)}
    return Edge(caller, callee, found, 1.0, 1.0, 100.0, 100.0, observed, attempted, in_part=in_part)


@pytest.mark.parametrize(
    ("spans", "counted", "otherwise"),
    [
        (10.0, 10.0, False),
        (1.0, 10.0, True),
        (None, 10.0, True),
        (40.0, 10.0, True),
        (1.0, 1.0, False),
        (0.0, 0.0, False),
        (0.0, None, False),
        (8.0, 10.0, False),
    ],
)
def test_another_part_is_kept_where_spans_and_metrics_part(spans: float | None, counted: float | None, otherwise: bool):
    assert kept_otherwise(node("shop", spans, counted)) is otherwise


def test_metrics_that_have_stopped_say_nothing_of_who_is_dead():
    dead = Node(
        "shop",
        shifts={
            REQUEST_RATE: rate(REQUEST_RATE, 10.0, 1.0),
            METRIC_REQUEST_RATE: rate(METRIC_REQUEST_RATE, 10.0, 10.0, 1.0),
        },
    )
    assert not kept_otherwise(dead)


def told(*nodes: Node, edges: tuple[Edge, ...], named: frozenset[tuple[str, str]] = frozenset()) -> dict:
    otherwise = {n.name for n in nodes if kept_otherwise(n)}
    known = {n.name: by_metrics(n) if n.name in otherwise else n for n in nodes}
    return weighed({(e.caller, e.callee): e for e in edges}, known, otherwise, named)


def test_calls_to_who_keeps_less_are_counted_by_the_requests_at_both_ends():
    (edge,) = told(node("a"), node("b", spans=1.0), edges=(calls("a", "b"),)).values()
    assert edge.unanswered == 0.0
    assert (edge.expected, edge.observed) == (100.0, 100.0)
    (dead,) = told(node("a", spans=1.0), node("b", spans=0.0, counted=None), edges=(calls("a", "b"),)).values()
    assert (dead.expected, dead.observed) == (100.0, 0.0), "who is dead answers none of them"


def test_where_the_requests_of_a_call_can_not_be_told_nothing_is_expected_of_it():
    several = told(node("a"), node("c"), node("b", spans=1.0), edges=(calls("a", "b"), calls("c", "b")))
    assert [(e.expected, e.unanswered) for e in several.values()] == [(0.0, 0.0)] * 2
    (untold,) = told(node("a", counted=None, spans=None), node("b", spans=1.0), edges=(calls("a", "b"),)).values()
    assert (untold.expected, untold.unanswered) == (0.0, 0.0)


def test_whom_nameless_calls_were_meant_for_is_not_known_where_one_of_its_callees_keeps_less():
    edges = calls("a", "b"), calls("a", "c")
    nameless = told(node("a"), node("b", spans=1.0), node("c"), edges=edges)
    assert math.isnan(nameless["a", "c"].attempted)
    by_name = told(node("a"), node("b", spans=1.0), node("c"), edges=edges, named=frozenset({("a", "c")}))
    assert by_name["a", "c"].unanswered == 90.0


def test_where_all_is_kept_as_before_calls_stay_as_they_were_counted():
    edges = (calls("a", "b"),)
    assert told(node("a"), node("b"), edges=edges) == {("a", "b"): edges[0]}
