"""Calls that never had an answer miss none: of a name that stands for another service, too, and of a service half of which tells nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import Presence
from contracts.units import SECOND as S
from graph.evidence.situation import Edge
from graph.ranking import rank
from graph.world import World
from tests.unit.graph.diagnosis.test_absence import ONSET, T0, frame

ASKED = 10
"""Calls that the tax makes of the basket in a second."""


def seen(answers: tuple[int, int] | None, how: str) -> World:
    """The tax calls the basket all the time, which serves others; `answers`: how many of these calls in a second were joined with an answer
    before the onset and since, None where none ever was. `how` it tells of its calls: by `name`, or by client `spans`."""
    world = World("shop")
    for t in range(ONSET + 30):
        fails = 0.5 if t >= ONSET else 0.0
        served = {("tax", ""): [10, fails, 0.05, 0.08, 0.09], ("basket", ""): [30, 0.0, 0.01, 0.02, 0.02]}
        world.take(frame(Signal.SPANS, t, served, Presence.OBSERVED))
        if how == "name":
            named = {("tax", "external:basket"): [ASKED, 0.0, 0.02, np.nan]}
            world.take(frame(Signal.EDGES, t, named, Presence.OBSERVED))
        if answers is not None:
            joined = frame(
                Signal.EDGES, t, {("tax", "basket"): [answers[t >= ONSET], 0.0, 0.02, 0.001]}, Presence.OBSERVED
            )
            aside = [[ASKED if how == "spans" else 0.0, 0.0, 0.0, 0.0]]
            world.take(replace(joined, aside=np.array(aside, np.float32)))
    return world


def edge(world: World) -> Edge:
    return world.situation(["tax", "basket"], T0 + ONSET * S).edges["tax", "basket"]


@pytest.mark.parametrize(
    ("answers", "how", "unanswered"),
    [
        (None, "name", 0.0),
        ((5, 5), "name", 0.0),
        ((5, 5), "spans", 0.0),
        ((5, 1), "name", 120.0),  # of 150 that are due in 30 s
        ((5, 1), "spans", 120.0),
        ((10, 10), "name", 0.0),
        ((10, 5), "name", 150.0),
        ((10, 5), "spans", 150.0),
    ],
)
def test_only_answers_that_used_to_come_are_missing(
    answers: tuple[int, int] | None, how: str, unanswered: float
) -> None:
    world = seen(answers, how)
    assert edge(world).unanswered == pytest.approx(unanswered, abs=1.0)
    blamed = rank(world.situation(["tax", "basket"], T0 + ONSET * S))[0].service
    assert blamed == ("basket" if unanswered else "tax")
