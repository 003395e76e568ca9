"""A path that is lost is one pair's; several calls of one service that are lost at once are its own doing: no other path mends that."""

from __future__ import annotations

import pytest

from contracts.features import CALL_ERROR_RATE, ERROR_RATE, NETWORK_GAP
from contracts.verdicts import CauseKind
from graph.diagnosis.case import _one_path
from graph.evidence.situation import Edge, Shift
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio

REFUSED = ratio(CALL_ERROR_RATE, 0.1)
LATE = level(NETWORK_GAP, 0.001, 0.4)


@pytest.mark.parametrize(("off", "fails"), [(REFUSED, True), (LATE, False)])
@pytest.mark.parametrize("lost", [("reviews",), ("reviews", "basket")])
def test_only_one_lost_path_is_one(off: Shift, fails: bool, lost: tuple[str, ...]) -> None:
    callees = ("reviews", "basket", "stock", "media")
    own = (ratio(ERROR_RATE, 0.2),) if fails else ()
    others = [node(f"c{i}") for i in range(3)]
    edges: list[Edge] = [call("search", c, *((off,) if c in lost else ())) for c in callees]
    edges += [call(n.name, c) for n in others for c in callees]
    found = ranked(node("search", *own), *map(node, callees), *others, calls=tuple(edges))
    leader = next(iter(found.values()))
    assert leader.kind is CauseKind.NETWORK
    path = _one_path(leader)
    if len(lost) > 1:
        assert path is None
    else:
        assert path is not None
        assert {path.peer, leader.service} == {"search", "reviews"}
