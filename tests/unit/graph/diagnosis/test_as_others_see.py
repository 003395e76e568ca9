"""A service that sends no spans tells nothing of the calls that it makes: what other callers see of those it calls, it sees as well."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from contracts.features import (
    CALL_ERROR_RATE,
    CALL_LATENCY_P95,
    CALL_RATE,
    ERROR_RATE,
    LATENCY_P95,
    LOG_ERROR_RATE,
    LOG_RATE,
)
from contracts.verdicts import CauseKind
from graph.evidence.situation import Edge, Node, Shift
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, S, call, level, node, ranked, ratio

FAILS = ratio(CALL_ERROR_RATE, 0.3)
LATE = level(CALL_LATENCY_P95, 0.08, 0.85)
ALDER = node("alder", ratio(ERROR_RATE, 0.2), level(LATENCY_P95, 0.09, 0.85))
HERON = node("heron", ratio(ERROR_RATE, 0.3, 60.0), level(LATENCY_P95, 0.09, 0.85))
MAPLE = node("maple", Shift(LATENCY_P95, 0.02, 0.021, 0.1, 0.1, 10.0, 60.0))
LOGS = level(LOG_RATE, 3.0, 4.0)
DUNE = Node("dune", shifts={LOG_RATE: LOGS, LOG_ERROR_RATE: ratio(LOG_ERROR_RATE, 0.3, 60.0)}, known_ns=ONSET + 9 * S)


def passed(callee: str, *shifts: Shift, answered: float = 200.0) -> Edge:
    """Calls of dune, known by whoever answers them."""
    told = {CALL_RATE: Shift(CALL_RATE, 20.0, 20.0, 0.0, 0.0, 10.0, 60.0), **{s.feature: s for s in shifts}}
    return replace(call("dune", callee), shifts=told, attempted=math.nan, observed=answered)


@pytest.mark.parametrize("others", [("heron",), ("heron", "pine")])
def test_who_is_lost_to_other_callers_is_lost_to_one_that_tells_of_no_calls(others: tuple[str, ...]) -> None:
    lost = tuple(call(name, "maple", FAILS, LATE) for name in others)
    callers = [replace(HERON, name=name) for name in others]
    edges = (call("alder", "dune", FAILS, LATE), passed("maple", answered=140.0), passed("ember"), *lost)
    found = ranked(ALDER, DUNE, MAPLE, node("ember"), *callers, calls=edges)
    assert next(iter(found)) == "maple"
    assert found["maple"].kind is CauseKind.HANG
    assert found["dune"].probability < 0.25
    own = {x.channel: x for x in found["dune"].findings if x.channel in ("errors", "log_errors")}
    assert {x.explained_by for x in own.values()} == {"maple"}


def test_who_is_slow_to_other_callers_is_slow_to_one_that_tells_of_no_calls() -> None:
    slow = call("heron", "maple", level(CALL_LATENCY_P95, 0.05, 0.8))
    edges = (call("alder", "dune", LATE), passed("maple"), passed("ember"), slow)
    heron = node("heron", level(LATENCY_P95, 0.09, 0.85))
    quiet = replace(DUNE, shifts={LOG_RATE: LOGS})
    alder = node("alder", level(LATENCY_P95, 0.09, 0.85))
    found = ranked(alder, quiet, MAPLE, node("ember"), heron, calls=edges)
    assert next(iter(found)) == "maple"
    assert found["dune"].probability < 0.25


def test_who_answers_others_as_ever_accounts_for_nothing() -> None:
    fine = (call("heron", "maple"), call("heron", "ember"))
    edges = (call("alder", "dune", FAILS, LATE), passed("maple"), passed("ember"), *fine)
    found = ranked(ALDER, DUNE, MAPLE, node("ember"), node("heron"), calls=edges)
    leader = found["dune"]
    assert next(iter(found)) == "dune"
    assert leader.kind in (CauseKind.ERRORS, CauseKind.LATENCY, CauseKind.HANG)
    assert not any(x.explained_by for x in leader.findings)


def test_who_tells_of_its_calls_is_believed_rather_than_others() -> None:
    """It calls who is lost to others, and each call of its own is answered: what it fails is its own."""
    lost = call("heron", "maple", FAILS, LATE)
    dune = node("dune", ratio(ERROR_RATE, 0.3), level(LATENCY_P95, 0.08, 0.8))
    edges = (call("alder", "dune", FAILS, LATE), call("dune", "maple"), call("dune", "ember"), lost)
    found = ranked(ALDER, dune, MAPLE, node("ember"), HERON, calls=edges)
    assert not any(x.explained_by == "maple" for x in found["dune"].findings)
