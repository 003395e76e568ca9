"""Whose doing it is where a service without spans passes calls on: its callers' word is all there is of it, and those behind it tell of themselves."""

from __future__ import annotations

import pytest

from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, CALL_RATE, CPU, ERROR_RATE, LATENCY_P95
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.situation import Edge, Node, Shift
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, call, change, level, node, ranked, ratio

AS_EVER = level(CALL_RATE, 20.0, 20.1)
GARNET = Node("garnet", shifts={CPU: Shift(CPU, 0.2, 0.2, 0.0, 0.0, 5.0, 30.0)})
"""It tells of its processor alone."""
SLOW = (level(CALL_LATENCY_P95, 0.05, 0.6), AS_EVER)
FAILING = (ratio(CALL_ERROR_RATE, 0.4), AS_EVER)


def onward(*shifts: Shift, known_s: float = 9.0) -> Edge:
    return Edge("garnet", "opal", {s.feature: s for s in shifts}, known_ns=ONSET + round(known_s * S))


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize(
    ("seen", "symptom", "kind"),
    [
        (SLOW, level(LATENCY_P95, 0.1, 0.65), CauseKind.LATENCY),
        (FAILING, ratio(ERROR_RATE, 0.4), CauseKind.ERRORS),
    ],
)
def test_what_nobody_behind_it_shows_is_its_own(seen, symptom, kind: CauseKind, released: bool) -> None:
    changes = (change("deploy", "v1", "v2", service="opal"),) if released else ()
    calls = (call("web", "garnet", *seen), onward(AS_EVER))
    found = ranked(node("web", symptom), GARNET, node("opal"), calls=calls, changes=changes)
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("garnet", kind)
    assert leader.probability > 0.75
    assert not [x for s in found.values() for x in s.findings if x.channel == "network"]


@pytest.mark.parametrize(
    ("seen", "behind", "symptom"),
    [
        (SLOW, (level(CALL_LATENCY_P95, 0.01, 0.56), AS_EVER), level(LATENCY_P95, 0.01, 0.56)),
        (FAILING, (ratio(CALL_ERROR_RATE, 0.4), AS_EVER), ratio(ERROR_RATE, 0.4)),
    ],
)
def test_what_those_behind_it_account_for_is_theirs(seen, behind, symptom) -> None:
    own = level(LATENCY_P95, 0.1, 0.65) if seen is SLOW else ratio(ERROR_RATE, 0.4)
    calls = (call("web", "garnet", *seen), onward(*behind))
    found = ranked(node("web", own), GARNET, node("opal", symptom), calls=calls)
    assert next(iter(found)) == "opal"
    assert found["opal"].probability > 10 * found["garnet"].probability
    assert {x.explained_by for x in found["garnet"].findings} == {"opal"}


@pytest.mark.parametrize(("known_s", "suspected"), [(-1.0, True), (8.0, False)])
def test_of_whom_nothing_is_heard_behind_it_may_be_who_does_not_answer(known_s: float, suspected: bool) -> None:
    calls = (call("web", "garnet", ratio(CALL_ERROR_RATE, 1.0), AS_EVER), onward(known_s=known_s))
    found = ranked(node("web", ratio(ERROR_RATE, 1.0)), GARNET, Node("opal"), calls=calls)
    assert next(iter(found)) == "garnet"
    assert (found["opal"].probability > 0.05) is suspected
    assert (found["garnet"].probability < 0.95) is suspected
