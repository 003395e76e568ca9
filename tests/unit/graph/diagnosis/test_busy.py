"""Time that is lost before a busy process takes its requests is its own doing, and not the network's."""

from __future__ import annotations

import pytest

from contracts.features import CALL_LATENCY_P95, CPU, LATENCY_P95, NETWORK_GAP
from contracts.verdicts import CauseKind
from graph.evidence.situation import Node, Shift
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked

LATE = (level(CALL_LATENCY_P95, 0.015, 0.21), level(NETWORK_GAP, 0.005, 0.108))


def content(*shifts: Shift, rate: float = 20.0) -> Node:
    """Its own spans are as short as ever."""
    return node("content", Shift(LATENCY_P95, 0.01, 0.01, 0.0, 0.0, 10.0, 60.0), *shifts, rate=rate)


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (content(level(CPU, 0.01, 0.185)), CauseKind.LATENCY),
        (content(), CauseKind.NETWORK),  # nothing is known of its processor
        (content(level(CPU, 0.2, 0.25)), CauseKind.NETWORK),  # hardly busier
        (content(Shift(CPU, 0.1, 0.4, 3.0, 0.5, 1.0, 60.0)), CauseKind.NETWORK),  # may be chance
    ],
)
def test_a_busy_process_takes_its_requests_late(found: Node, kind: CauseKind):
    rooms = node("rooms", level(LATENCY_P95, 0.02, 0.19))
    suspects = ranked(rooms, found, node("site"), calls=(call("site", "rooms"), call("rooms", "content", *LATE)))
    first = next(iter(suspects.values()))
    assert (first.service, first.kind) == ("content", kind)
    assert ("its processor is busy" in str(first.findings)) == (kind is CauseKind.LATENCY)


def test_a_process_that_is_asked_for_more_is_busy_with_that():
    busy = content(level(CPU, 0.1, 0.6), rate=80.0)
    suspects = ranked(node("rooms"), busy, calls=(call("rooms", "content", *LATE, each=4.0),))
    assert "its processor is busy" not in str(suspects["content"].findings)
