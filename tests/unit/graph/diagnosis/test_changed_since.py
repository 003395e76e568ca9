"""What somebody changed while something else was unusual already: it counts from when the service that was changed fell ill."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from contracts.verdicts import CauseKind
from graph.ranking import rank
from tests.unit.graph.diagnosis.test_whose_doing import ERROR_RATE, ONSET, S, change, node, ratio, situation


@pytest.mark.parametrize("kind", ["deploy", "config", "flag"])
@pytest.mark.parametrize(("ill_s", "suspected"), [(32.0, True), (0.0, False), (25.0, False)])
def test_a_change_is_suspected_if_its_service_fell_ill_after_it(kind: str, ill_s: float, suspected: bool) -> None:
    """Users came in greater numbers at the onset, which harms nobody; the change came half a minute later."""
    ill = replace(node("cart", ratio(ERROR_RATE, 0.5)), onset_ns=ONSET + int(ill_s * S))
    made = msgspec.structs.replace(change(kind, before="off", after="on"), time_ns=ONSET + 31 * S, subject="flag/x")
    seen = replace(situation(ill, node("stock"), changes=(made,)), now_ns=ONSET + 40 * S, turned=(made,))
    leader = rank(seen)[0]
    changed = CauseKind.FLAG if kind == "flag" else CauseKind.BAD_RELEASE
    assert (leader.service, leader.kind) == ("cart", changed if suspected else CauseKind.ERRORS)


def test_whoever_is_known_to_be_ill_since_no_time_is_ill_since_the_onset() -> None:
    ill = node("cart", ratio(ERROR_RATE, 0.5))
    late = msgspec.structs.replace(change("deploy"), time_ns=ONSET + 31 * S)
    assert rank(situation(ill, changes=(late,)))[0].kind is CauseKind.ERRORS
