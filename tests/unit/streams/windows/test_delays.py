"""How late data usually come: learnt per entity, and a disturbance that is over is forgotten within ten arrivals."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from contracts.units import SECOND as S
from streams.windows.entities import Delays, Entities

CAP = 30 * S


def fed(delays: Delays, late_s: list[float], begun: int = 0) -> list[float]:
    """One event a second of entity 3; the delay in seconds learnt after each."""
    learnt = []
    for second, late in enumerate(late_s, begun):
        delays.observe(np.array([3]), np.array([int(late * S)]), np.array([80]), second * S)
        learnt.append(delays.delay_ns[3] / S)
    return learnt


@pytest.fixture
def delays() -> Delays:
    found = Delays(CAP)
    found.grow(5)
    return found


def test_a_usual_delay_is_waited_for(delays: Delays) -> None:
    assert 5 <= fed(delays, [5.0] * 30)[-1] <= 7
    assert set(delays.delay_ns[[0, 1, 2, 4]]) == {0}


def test_a_batch_every_five_seconds_is_waited_for_throughout(delays: Delays) -> None:
    for batch in range(1, 30):
        windows = np.arange(5)
        delays.observe(np.full(5, 3), (4 - windows) * S, np.full(5, 10), batch * 5 * S)
        assert delays.delay_ns[3] >= 4 * S


def test_a_rare_straggler_is_not(delays: Delays) -> None:
    fed(delays, [0.0] * 200)
    delays.observe(np.array([3]), np.array([9 * S]), np.array([1]), 200 * S)
    assert delays.delay_ns[3] == 0


def test_an_outage_is_forgotten_soon_after(delays: Delays) -> None:
    fed(delays, [0.1] * 60)
    during = fed(delays, [12.0, 8.0, 4.0], 60)
    assert during[-1] > 10
    after = fed(delays, [0.1] * 12, 63)
    assert after[6] > 4
    assert after[-1] < 0.2


def test_delays_outlive_a_snapshot() -> None:
    entities = Entities(10, CAP)
    for name in "abcd":
        entities.number((name, ""))
    fed(entities.delays, [0.1] * 20)
    fed(entities.delays, [12.0], 20)
    state = copy.deepcopy(entities.state())
    again, before_rings = Entities(10, CAP), Entities(10, CAP)
    again.load(copy.deepcopy(state))
    before_rings.load({k: v for k, v in state.items() if k not in {"worst", "arrived", "slot"}})
    expected = fed(entities.delays, [0.1] * 15, 21)
    assert fed(again.delays, [0.1] * 15, 21) == expected
    assert expected[0] > 10
    assert expected[-1] < 0.2
    assert fed(before_rings.delays, [0.1] * 15, 21)[0] == expected[0]


@pytest.mark.parametrize(("at_s", "weights"), [((120, 180, 181, 182), [1, 2, 2, 3]), ((120, 240, 360), [1, 1.5, 1.75])])
def test_what_was_learnt_counts_half_after_more_than_a_minute(
    delays: Delays, at_s: tuple[int, ...], weights: list[float]
) -> None:
    known = []
    for at in at_s:
        delays.observe(np.array([0]), np.array([0]), np.array([1]), at * S)
        known.append(float(delays.weight[0].sum()))
    assert known == weights
