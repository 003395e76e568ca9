"""Joins go on from snapshots of every age: what spans did not have then is as if nothing had been said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.windows.collect import Receipt
from streams.windows.edges import EdgeJoiner
from streams.windows.request_rows import SPAN
from streams.windows.state import dump, load
from tests.unit.streams.windows.support import SERVER, decoded
from tests.unit.streams.windows.test_edges import CALLEE, CALLER, SETTINGS, Joining, edges, span

AGES: dict[str, tuple[set[str], set[str]]] = {
    "now": (set(), set()),
    "before weights": ({"weight"}, {"weights"}),
    "before clocks": ({"weight", "clock"}, {"weights", "clocks"}),
    "before sites": ({"weight", "clock", "site"}, {"weights", "clocks", "sites"}),
}
"""Columns that spans did not have, and parts that snapshots did not have."""


def aged(rows: bytes, without: set[str]) -> bytes:
    """The same spans as they were kept then."""
    old = np.frombuffer(rows, SPAN)
    order = [n for n in SPAN.names or () if n not in without]
    found = np.zeros(len(old), np.dtype([(n, SPAN[n]) for n in order]))
    for name in order:
        found[name] = old[name]
    return found.tobytes()


def of_age(state: bytes, age: str) -> bytes:
    columns, parts = AGES[age]
    body: dict[str, Any] = {k: v for k, v in load("edges", 1, state).items() if k not in parts}
    for table in ("parents", "waiting"):
        body[table] = [[keys, aged(rows, columns), *times] for keys, rows, *times in body[table]]
    body["arrived"] = aged(body["arrived"], columns) if body["arrived"] else b""
    return dump("edges", 1, body)


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("order", [(CALLER, CALLEE), (CALLEE, CALLER)])
def test_the_other_half_is_found_among_spans_of_an_older_snapshot(age: str, order: tuple[Any, Any]) -> None:
    joining = Joining()
    joining.send(order[0])
    joiner = EdgeJoiner("prod", SETTINGS, 1)
    joiner.restore(of_age(joining.joiner.snapshot(), age))
    joining.joiner = joiner
    assert edges(joining.send(order[1])) == [("a", "b", 1, 0, 100, 30, 1)]


@pytest.mark.parametrize("age", AGES)
def test_what_had_arrived_is_joined_after_it(age: str) -> None:
    joining = Joining()
    joining.send(CALLER)
    for _, _, frame in _spans(joining):
        joining.joiner.add(frame, joining.now)
    assert joining.joiner.pending == 1
    joiner = EdgeJoiner("prod", SETTINGS, 1)
    joiner.restore(of_age(joining.joiner.snapshot(), age))
    assert joiner.pending == 1
    found = joiner.flush("telemetry.spans/0", 9, joining.now)
    assert edges([f for _, _, f in found if f.signal == "edges" and len(f.count)]) == [("a", "b", 1, 0, 100, 30, 1)]


def _spans(joining: Joining) -> Any:
    joining.builder.add(decoded([CALLEE]), Receipt(joining.now, joining.now), joining.offset)
    return joining.builder.flush().spans


def test_a_span_that_ends_before_it_began_took_no_time() -> None:
    for callee in (span("b", 2, 1, SERVER, 50, 20), span("b", 2, 1, SERVER, 20, 20)):
        found = edges(Joining().send(span("a", 1, 9, 1, 0, 100), callee))
        assert found == [("a", "b", 1, 0, 0, 0, 0)]
    backwards = span("a", 1, 9, 3, 100, 60)
    assert edges(Joining().send(backwards, span("b", 2, 1, SERVER, 100, 90))) == [("a", "b", 1, 0, 0, 0, 1)]


@pytest.mark.parametrize("parts", [4, 5, 6, 7])
def test_what_calls_said_goes_on_from_snapshots_that_knew_less_of_them(parts: int) -> None:
    joining = Joining()
    joining.send(CALLER, CALLEE)
    body = load("edges", 1, joining.joiner.snapshot())
    body["witness"] = body["witness"][:parts]
    joiner = EdgeJoiner("prod", SETTINGS, 1)
    joiner.restore(dump("edges", 1, body))
    kept = load("edges", 1, joiner.snapshot())["witness"]
    assert str(kept[:parts]) == str(body["witness"])
    assert bool(kept[4]) == (parts > 4)
    joining.joiner = joiner
    more = span("a", 11, 9, 3, 200, 300), span("b", 12, 11, SERVER, 220, 290)
    assert edges(joining.send(*more)) == [("a", "b", 1, 0, 100, 30, 1)]
