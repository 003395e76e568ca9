"""Requests that become fewer: how soon a drop is found at little traffic, when it is over, and what merely looks like one."""

import itertools

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import T0, frame
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase
from models.engine import DetectEngine
from models.service.state import EBB, BankState
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.unit.models.test_failing import COLUMNS

ROWS = 40
BEGIN = 240
"""Windows before anything happens."""
OPENED, CLOSED = AnomalyPhase.OPENED, AnomalyPhase.CLOSED


def opened_and_closed(counts):
    """By row, windows in which an anomaly opened and in which one closed. `counts` (windows, ROWS): requests."""
    engine = DetectEngine(0, DetectSettings())
    opened, closed = [[] for _ in range(ROWS)], [[] for _ in range(ROWS)]
    for window, served in enumerate(counts):
        values = np.stack([served, np.where(served > 0, 0.0, np.nan)], axis=1)
        for event in engine.observe(frame(window, values, features=COLUMNS), T0 + (window + 1) * SECOND)[1]:
            where = opened if event.phase is OPENED else closed if event.phase is CLOSED else None
            if where is not None:
                where[int(event.service[1:])].append(window)
    return opened, closed


def drawn(rates, seed, more_than_chance=0.0):
    """Requests (windows, ROWS) at these rates; `more_than_chance`: how much the rate itself varies from window to window."""
    r = np.random.default_rng(seed)
    rates = np.repeat(np.asarray(rates, float)[:, None], ROWS, axis=1)
    if more_than_chance:
        rates = rates * r.gamma(1.0 / more_than_chance, more_than_chance, rates.shape)
    return r.poisson(rates).astype(float)


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("rate", "left", "within"),
    representatives([(5.6, 0.29, 20), (20, 0.4, 9), (9, 0.5, 25), (60, 0.5, 6)], (5.6, 0.29, 20), (60, 0.5, 6)),
)
def test_a_drop_is_found_by_the_requests_of_all_windows_since_it_began(rate, left, within):
    """One of two instances hangs: what hangs is in no statistics, so that all there is to see is that less is answered."""
    opened, _ = opened_and_closed(drawn([rate] * BEGIN + [rate * left] * 60, seed=1))
    delays = sorted(next((w + 1 - BEGIN for w in row if w >= BEGIN), 999) for row in opened)
    assert delays[int(0.8 * ROWS) - 1] <= within
    assert not any(w < BEGIN for row in opened for w in row)


@pytest.mark.timeout(LONG_S)
def test_a_drop_is_one_anomaly_and_over_when_requests_are_back():
    opened, closed = opened_and_closed(drawn([8] * BEGIN + [2] * 90 + [8] * 90, seed=2))
    assert all(len([w for w in row if w >= BEGIN]) == 1 for row in opened)
    over = sorted(row[-1] - (BEGIN + 90) if row else 999 for row in closed)
    assert over[int(0.9 * ROWS) - 1] <= 40


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("rate", "lasts"), representatives(itertools.product([4, 20, 200], [120, 240]), (4, 240), (200, 120))
)
def test_an_office_that_closes_is_no_drop(rate, lasts):
    closing = [rate * (1.0 - 0.88 * min(w / lasts, 1.0)) for w in range(lasts + 60)]
    opened, _ = opened_and_closed(drawn([rate] * BEGIN + closing, seed=3))
    assert sum(len(row) for row in opened) <= 0.1 * ROWS


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("rates", "more_than_chance"),
    [
        pytest.param([30] * BEGIN + [24] * 200, 0.0, id="a fifth fewer"),
        pytest.param([30] * 600, 0.05, id="load that varies"),
        pytest.param([(30 if w % 60 > 6 else 55) for w in range(600)], 0.0, id="a job of every minute"),
        pytest.param([(30 if w % 97 else 2) for w in range(600)], 0.0, id="a batch that is lost now and then"),
    ],
)
def test_what_harms_nobody_opens_nothing(rates, more_than_chance):
    opened, _ = opened_and_closed(drawn(rates, seed=4, more_than_chance=more_than_chance))
    assert sum(len(row) for row in opened) == 0


def test_the_reason_tells_how_many_came_and_how_many_are_usual():
    engine, told = DetectEngine(0, DetectSettings()), []
    for window, served in enumerate(drawn([9] * BEGIN + [3] * 30, seed=5)):
        values = np.stack([served, np.where(served > 0, 0.0, np.nan)], axis=1)
        told += engine.observe(frame(window, values, features=COLUMNS), T0 + (window + 1) * SECOND)[1]
    parts = [a.contributions[0] for a in told if a.phase is OPENED]
    assert len(parts) >= 0.8 * ROWS
    for part in parts:
        assert part.feature == f.REQUEST_RATE
        assert part.value < part.low < 9.5 < part.high


def test_what_was_saved_before_this_was_tested_is_read():
    columns = DetectEngine(0, DetectSettings())
    columns.observe(frame(0, np.full((2, 2), 5.0), features=COLUMNS), T0 + SECOND)
    (bank,) = [bank for _, bank in columns.detectors[0]._tracks.values()]
    known = bank.state.plain()
    for name in EBB:
        del known[name]
    assert not BankState.of(known).ebb.any()
