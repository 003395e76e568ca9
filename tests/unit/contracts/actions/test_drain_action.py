"""What guards are told of draining: one instance at a time, a person for the only one, nothing of a node that is given back."""

from __future__ import annotations

from contracts.actions import action_of
from contracts.ports import TargetState

DRAIN = action_of("drain")
ASIDE, BACK = {"node": "n1", "set": "aside"}, {"node": "n1", "set": "back"}


def test_a_node_is_set_aside_unless_it_is_given_back() -> None:
    assert DRAIN.normalised({"node": "n1"}) == ASIDE
    assert (DRAIN.variant(ASIDE), DRAIN.variant(BACK)) == ("drain/aside", "drain/back")


def test_the_only_instance_that_serves_is_a_persons_to_move() -> None:
    assert DRAIN.outage(ASIDE, TargetState(2, 2)) == ""
    assert "the only instance that serves" in DRAIN.outage(ASIDE, TargetState(1, 1))
    assert DRAIN.outage(ASIDE, TargetState(1, 1, disrupts=0)) == "", "its successor serves before it goes"
    assert DRAIN.outage(ASIDE, TargetState(1, 1, disrupts=1)) != ""
    assert DRAIN.outage(ASIDE, TargetState(1, 0)) == "", "nothing is left to take away"
    assert DRAIN.outage(BACK, TargetState(1, 1)) == ""


def test_no_node_no_drain() -> None:
    assert (
        DRAIN.unable({"node": "", "set": "aside"}, TargetState(2, 2))
        == "no node or zone is named that could be set aside"
    )
    assert DRAIN.unable({"zone": "eu-a", "set": "aside"}, TargetState(2, 2)) == ""
    assert DRAIN.unable(ASIDE, TargetState(2, 2)) == ""
