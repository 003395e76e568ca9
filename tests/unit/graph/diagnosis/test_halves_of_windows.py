"""A caller tells of the calls that it made in a window before the answers of that window are known: none of those is missing yet."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import Presence
from contracts.units import SECOND as S
from graph.evidence.situation import Edge
from graph.world import World
from tests.unit.graph.diagnosis.test_absence import ONSET, T0, frame

CALLS = 12


def edge(since: int, answers: int, known: int, usually_late: int = 0) -> Edge:
    """The tax calls the basket by its name. Of `since` windows since the onset all is known of the calls that it made, and of `known` how many
    were answered. Answers have always come `usually_late` windows later."""
    world, newest = World("shop"), ONSET + since
    for t in range(newest):
        world.take(frame(Signal.SPANS, t, {("tax", ""): [CALLS, 0.0, 0.05, 0.08, 0.09]}, Presence.OBSERVED))
        made = {("tax", "external:basket"): [CALLS, 0.0, 0.02, np.nan]}
        world.take(frame(Signal.EDGES, t, made, Presence.OBSERVED))
        past = t - usually_late
        if past >= 0 and past < ONSET + known:
            answered = answers if past >= ONSET else CALLS
            row = {("tax", "basket"): [answered, 0.0, 0.02, 0.001]}
            world.take(frame(Signal.EDGES, past, row, Presence.OBSERVED if answered else Presence.QUIET))
    return world.situation(["tax", "basket"], T0 + ONSET * S).edges["tax", "basket"]


@pytest.mark.parametrize(("since", "known", "usually_late"), [(2, 1, 0), (3, 2, 0), (6, 5, 0), (4, 3, 1), (6, 2, 4)])
def test_what_is_still_to_come_is_not_missing(since: int, known: int, usually_late: int) -> None:
    found = edge(since, CALLS, known, usually_late)
    assert found.unanswered == 0.0
    assert found.attempted == pytest.approx(known * CALLS)
    assert found.expected == pytest.approx(known * CALLS, rel=0.05), "nor are more calls due than can be known of"


@pytest.mark.parametrize("known", [1, 2, 3])
def test_what_is_known_not_to_be_answered_is_missing_at_once(known: int) -> None:
    assert edge(known + 1, 0, known).unanswered == pytest.approx(known * CALLS)


def test_what_is_overdue_is_missing() -> None:
    """Nothing more is told of the answers, not even that there are none."""
    assert edge(6, CALLS, 2).unanswered == pytest.approx(4 * CALLS)
