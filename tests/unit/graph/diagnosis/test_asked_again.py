"""More requests are more demand if it is surely more, and not those again that failed; fewer calls of all callees alike are nobody's silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import CALL_ERROR_RATE, CPU, ERROR_RATE, LATENCY_P95, POOL_WAIT, REQUEST_RATE
from contracts.verdicts import CauseKind
from graph.evidence.silence import silence
from graph.evidence.situation import Edge, Node, Shift
from graph.ranking import Suspect
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio, situation

BUSY = level(CPU, 0.5, 0.9)


def is_demand(suspect: Suspect) -> bool:
    return any(x.channel == "demand" for x in suspect.findings)


def made(times: float, needed: float, *shifts: Shift) -> Edge:
    """Calls of the cart, as many times the usual as are made, and as its callers' own requests need."""
    count = 200 * times
    return replace(call("gateway", "cart", *shifts), expected=200 * needed, observed=count, attempted=count)


@pytest.mark.parametrize(
    ("own", "seen", "needed", "again"),
    [
        (ratio(ERROR_RATE, 0.8), ratio(CALL_ERROR_RATE, 0.8), 1.0, True),
        (ratio(ERROR_RATE, 0.8), ratio(CALL_ERROR_RATE, 0.8), 1.6, False),  # users ask for so much more
        (ratio(ERROR_RATE, 0.05), ratio(CALL_ERROR_RATE, 0.05), 1.0, False),  # so few failures are not made again so often
        (level(LATENCY_P95, 0.1, 3.0), ratio(CALL_ERROR_RATE, 0.5), 1.0, True),  # given up by callers, who ask again
        (level(LATENCY_P95, 0.1, 3.0), None, 1.0, False),  # nothing says that any failed
    ],
)  # fmt: skip
@pytest.mark.parametrize("load", [BUSY, level(POOL_WAIT, 0.1, 8.0)])
def test_what_failed_and_is_asked_for_again_is_no_more_demand(
    own: Shift, seen: Shift | None, needed: float, again: bool, load: Shift
):
    calls = (made(1.8, needed, *(() if seen is None else (seen,))),)
    cart = node("cart", own, load, level(LATENCY_P95, 0.1, 3.0), rate=36.0)
    found = ranked(node("gateway"), cart, calls=calls)["cart"]
    assert (found.kind is CauseKind.SATURATION, is_demand(found)) == (not again, not again)


def test_of_whom_nobody_is_seen_to_call_it_is_not_known_whether_it_is_asked_again():
    found = ranked(node("cart", ratio(ERROR_RATE, 0.8), BUSY, level(LATENCY_P95, 0.1, 3.0), rate=36.0))["cart"]
    assert is_demand(found)


@pytest.mark.parametrize(("decades", "more"), [(1.5, False), (2.9, False), (3.0, True)])
def test_more_requests_that_may_be_chance_are_no_more_demand(decades: float, more: bool):
    """However few they are: of a service that fails it would be said, surely, that it is asked for too much."""
    rate = Shift(REQUEST_RATE, 4.0, 6.5, 1.2, decades, 7.0, 160.0)
    slow = level(LATENCY_P95, 0.05, 0.3)
    found = ranked(Node("worker", shifts={x.feature: x for x in (rate, slow, ratio(ERROR_RATE, 0.3))}))["worker"]
    assert is_demand(found) is more
    assert (found.kind is CauseKind.SATURATION) is more


@pytest.mark.parametrize(("others", "silent"), [(0.4, False), (0.5, False), (0.6, True), (1.0, True)])
def test_who_is_missed_hardly_more_than_all_others_is_not_the_silent_one(others: float, silent: bool):
    """A caller that fails before it makes its calls makes fewer of all of them, of some by chance a little less than of others."""
    caller = node("cart", ratio(ERROR_RATE, 0.6))
    shares = {"queue": 0.38, "stock": others, "payment": others}
    calls = tuple(
        replace(call("cart", name), observed=200 * share, attempted=float("nan")) for name, share in shares.items()
    )
    quiet = [Node(name, shifts={REQUEST_RATE: level(REQUEST_RATE, 20.0, 20.0 * s)}) for name, s in shares.items()]
    found = {x.service: x.strength for x in silence(situation(caller, *quiet, calls=calls))}
    assert (found["queue"] > 0.5) is silent
