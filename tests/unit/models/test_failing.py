"""Failures among requests: how soon a share is found, that it doesn't flicker, when it is over, and whose share is usual."""

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import T0, frame
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from models.engine import DetectEngine
from models.service.failing import chernoff
from tests.patience import LONG_S
from tests.representatives import representatives

OPENED, CLOSED = AnomalyPhase.OPENED, AnomalyPhase.CLOSED
COLUMNS = (f.REQUEST_RATE, f.ERROR_RATE)
ROWS = 40


def windows(rate, shares, seed):
    """Values (ROWS, 2) of windows with `rate` requests, of which `shares[window]` fail."""
    r = np.random.default_rng(seed)
    for share in shares:
        count = r.poisson(rate, ROWS)
        failed = r.binomial(count, share)
        yield np.stack([count, np.where(count > 0, failed / np.maximum(count, 1), np.nan)], axis=1)


def told_of(rate, shares, seed=1, engine=None):
    """By row, [(window, event)] of an engine that sees the windows; and the states of each window."""
    engine = engine or DetectEngine(0, DetectSettings())
    told, states = [[] for _ in range(ROWS)], []
    for window, values in enumerate(windows(rate, shares, seed)):
        now = T0 + (window + 1) * SECOND
        for event in engine.observe(frame(window, values, features=COLUMNS), now)[1]:
            told[int(event.service[1:])].append((window, event))
        seen = engine.states("e")
        states.append([seen[f"s{i}"] for i in range(ROWS)])
    return told, states


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(
    ("rate", "share", "within", "lasts"),
    representatives(
        [(100, 0.02, 10, 300), (20, 0.05, 15, 120), (20, 0.05, 15, 300), (50, 0.3, 2, 300)], (20, 0.05, 15, 120)
    ),
)
def test_a_share_of_failures_is_found_in_time_without_flicker_and_is_over_soon(rate, share, within, lasts):
    usual, begin = 0.0005, 4 * lasts // 3
    end = begin + lasts
    shares = [share if begin <= w < end else usual for w in range(end + 100)]
    told, states = told_of(rate, shares)
    opened = [[w for w, a in events if a.phase is OPENED and begin <= w < end] for events in told]
    closed = [[w for w, a in events if a.phase is CLOSED] for events in told]
    delays = sorted(o[0] + 1 - begin for o in opened)
    assert delays[int(0.95 * ROWS) - 1] <= within
    assert sum(len(o) for o in opened) <= ROWS + 1, "one alarm per fault"
    assert not any(w < begin for events in told for w, _ in events)
    after = sorted(w[-1] + 1 - end for w in closed)
    assert after[int(0.95 * ROWS) - 1] <= 30
    healthy = sum(state is ServiceState.HEALTHY for w in range(begin + within, end) for state in states[w])
    assert healthy <= 0.005 * ROWS * (end - begin)


@pytest.mark.timeout(LONG_S)
def test_a_short_run_of_failures_is_over_soon_whatever_comes_after_it():
    begin, end = 200, 215
    told, _ = told_of(13, [0.06 if begin <= w < end else 0.0005 for w in range(320)], seed=5)
    spells = [[w for w, a in events if a.phase in (OPENED, CLOSED) and w >= begin] for events in told]
    after = sorted(spell[1] + 1 - end for spell in spells if spell)
    assert len(after) >= 0.9 * ROWS
    assert after[int(0.9 * len(after))] <= 30, "it is compared with what it was, not with that and all that came since"


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize("count", representatives([400, 1200], 400))
def test_who_always_has_failures_is_not_alarmed(count):
    told, _ = told_of(100, [0.02] * count, seed=2)
    assert sum(len(events) for events in told) == 0


@pytest.mark.timeout(LONG_S)
def test_a_share_that_doubles_is_found_where_failures_are_usual():
    told, _ = told_of(100, [0.02] * 200 + [0.06] * 20, seed=3)
    assert all(any(a.phase is OPENED and w < 220 for w, a in events) for events in told)


def test_the_reason_tells_the_share_of_the_run_and_what_is_expected():
    told, _ = told_of(100, [0.0005] * 200 + [0.03] * 20, seed=4)
    event = next(a for _, a in told[0] if a.phase is OPENED)
    part = event.contributions[0]
    assert part.feature == f.ERROR_RATE
    assert 0.01 < part.value < 0.06
    assert part.low == 0.0
    assert 0.0 < part.high < part.value


def test_the_bound_of_chernoff_holds():
    r = np.random.default_rng(5)
    n, share = 200, 0.02
    k = r.binomial(n, share, 200_000)
    for most in (8, 10, 12):
        bound = float(np.exp(-chernoff(np.array(float(most)), np.array(float(n)), np.array(share))))
        assert (k >= most).mean() <= bound
