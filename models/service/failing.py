"""Failures among requests: sequential tests of the share that fails, at several sizes of harm at once.

Each series is tested against the share that is usual of it, with a tolerance, by one likelihood ratio per share that would be worse
(`WORSE` times as much): Page's CUSUM (1954), which is an e-detector (Shin, Ramdas & Rinaldo 2023, NEJSDS 1): over a usual run, the
mean number of windows until 10^d is passed by any of them is at least 10^d divided by their number. Requests count as they come, so
that two per cent of a hundred requests a second and of ten a second take as many requests to find. Beside it stands the newest window
alone, by Chernoff's bound. When the share is back, a mirrored test says so, and all begin anew.

What is usual is learnt from windows that are over for half a minute to a minute, and only of times in which nothing is suspected: a
fault is never compared with itself. In the state, the cubes of a bank hold for a share: `acc` the tests (nats), `raw` failures and
`var` requests of their runs, `width[0]` by how much failures vary more than chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import (
    BRIEF_DECADES,
    FAILURES_CLUMP,
    FAILURES_END,
    FAILURES_MOST,
    FAILURES_PER_WINDOW,
    FAILURES_TOLERATED,
    FAILURES_USUAL_S,
    FAILURES_WORSE,
    FEWEST_FAILURES,
    HELD_S,
    LEAST_WORSE,
    SLOW_TOLERATED,
    SLOW_WHEN_NEW,
    SUDDEN_FAILURES,
)
from models.service.evidence import BASE, DECADES
from models.service.state import BankState
from models.service.tuning import Tuning

WORSE = np.array(FAILURES_WORSE)
SUSPECTED = 3.0
"""Nats from which nothing more is learnt of what is usual."""
AT_ONCE = 0.3
"""Decades that looking for several shares at once costs: the tests say much the same, so half of the bound of their number."""
PRIOR = (0.4, 20.0)


@dataclass(frozen=True, slots=True)
class Failing:
    """Per series: decades (with the bank's base), which test says most, and whether the newest window alone does."""

    decades: F64
    which: NDArray[np.int8]
    single: B1


def usual_share(s: BankState, column: int) -> F64:
    """Share of failures that is usual: Beta-shrunk, so that a clean young series is not held to zero."""
    found: F64 = (s.share_errors[column] + PRIOR[0]) / (s.share_trials[column] + PRIOR[1])
    return found


def tolerated(s: BankState, column: int, tolerance: tuple[float, float] = FAILURES_TOLERATED) -> F64:
    """Share of failures that counts as usual: with a tolerance, and with how far the usual itself is known."""
    share = usual_share(s, column)
    unsure = np.sqrt(share * (1.0 - share) / (s.share_trials[column] + PRIOR[1]))
    factor, added = tolerance
    found: F64 = np.minimum(share * factor + added + unsure, 0.9)
    return found


def judge(
    s: BankState, column: int, window: tuple[F64, F64, B1], cap: float, *, slow: bool = False, known: float = 0.0
) -> Failing:
    """Take in a window of every series: its requests, the share of them that failed, and whether it is known. `slow`: the share is of
    those that took too long; one window of them says nothing alone (a pause is no incident). `known`: requests that the usual share must
    rest on."""
    trials, share, seen = window
    n = np.where(seen, trials, 0.0)
    k = np.where(seen, share, 0.0) * n
    usual = tolerated(s, column, SLOW_TOLERATED if slow else FAILURES_TOLERATED)
    if slow and (s.deploy > 0).any():
        usual = np.where(s.deploy > 0, tolerated(s, column, SLOW_WHEN_NEW), usual)
    clump = s.width[0, column]
    worse = np.clip(np.maximum(usual * WORSE[:, None], usual + LEAST_WORSE), None, 0.98)
    gain = k * np.log(worse / usual) + (n - k) * np.log1p((usual - worse) / (1.0 - usual))
    gain /= clump
    tests = s.acc[:, column]
    np.minimum(gain, FAILURES_PER_WINDOW, out=gain)
    tests += gain
    ripe = s.share_trials[column] >= known
    tests *= ripe
    np.clip(tests, 0.0, FAILURES_MOST, out=tests)
    runs = tests > 0.0
    s.raw[:, column] = np.where(runs, s.raw[:, column] + k, 0.0)
    s.var[:, column] = np.where(runs, s.var[:, column] + n, 0.0)
    which = tests.argmax(axis=0).astype(np.int8)
    _end(s, column, (n, k, gain), usual, which)
    nats = tests.max(axis=0)
    decades = nats * DECADES - AT_ONCE
    alone = np.where(k >= FEWEST_FAILURES, chernoff(k, n, usual) / clump, 0.0) * DECADES
    if slow:
        alone[:] = 0.0
    alone = np.where(k < SUDDEN_FAILURES * n, np.minimum(alone, BRIEF_DECADES), alone)
    single = alone > decades
    most = ripe * np.minimum(np.maximum(np.where(single, alone, decades), 0.0), cap)
    return Failing(np.where(most > 0.0, most + BASE, 0.0), which, single)


def _end(s: BankState, column: int, window: tuple[F64, F64, F64], usual: F64, which: NDArray[np.int8]) -> None:
    """Begin all tests anew where the share is back, against the share of the run when evidence for it last grew: what came since is what is
    being judged, and would make a fault look the smaller the longer it is over. `window`: requests, failures, and what they add to each test."""
    n, k, gain = window
    for known in (s.over, s.worst):
        known[column] *= s.acc[:, column].max(axis=0) > 0.0
    on = np.flatnonzero((s.acc[:, column].max(axis=0) > SUSPECTED) & (n > 0))
    if not len(on):
        return
    at = which[on], column, on
    run = s.raw[at] / np.maximum(s.var[at], 1.0)
    grew = (gain[which[on], on] > 0.0) | (s.worst[column, on] <= 0.0)
    s.worst[column, on] = np.where(grew, run, s.worst[column, on])
    run = np.clip(s.worst[column, on], 1e-6, 0.98)
    back = np.minimum(np.maximum(usual[on], run / 5.0), 0.9 * run)
    news = k[on] * np.log(back / run) + (n[on] - k[on]) * np.log1p((run - back) / (1.0 - run))
    s.over[column, on] = np.maximum(s.over[column, on] + news, 0.0)
    ended = on[s.over[column, on] >= FAILURES_END]
    s.acc[:, column, ended] = s.raw[:, column, ended] = s.var[:, column, ended] = 0.0
    s.over[column, ended] = s.worst[column, ended] = 0.0


def begin_anew(s: BankState, shares: B1) -> None:
    """Begin all tests of these columns anew."""
    s.acc[:, shares] = s.raw[:, shares] = s.var[:, shares] = 0.0
    s.width[:, shares] = 1.0


def chernoff(k: F64, n: F64, share: F64) -> F64:
    """Nats: -ln of a bound on the chance of k failures or more among n, where `share` of them fail (Chernoff 1952)."""
    found = np.clip(k / np.maximum(n, 1e-9), 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        nats = k * np.log(found / share) + np.where(n > k, (n - k) * np.log((1.0 - found) / (1.0 - share)), 0.0)
    return np.where(found > share, nats, 0.0)


def learn(s: BankState, t: Tuning, column: int, window: tuple[F64, F64], calm: B1, passed_s: F64) -> None:
    """Learn from a window: it is held, set aside, and becomes known when it is over for long enough and nothing was suspected
    since. `window`: requests and the share that failed; `passed_s`: seconds since the series' window before."""
    trials, share = window
    suspected = s.acc[:, column].max(axis=0) > SUSPECTED
    may = calm & ~suspected
    n = np.where(may, trials, 0.0)
    k = np.where(may, share, 0.0) * n
    usual = usual_share(s, column)
    expected = usual * n
    off = np.square(k - expected)
    rate = np.where(may & (expected > 0.02) & (s.n[column] > t.warmup), 0.004, 0.0)
    clump = np.minimum(off / np.maximum(expected * (1.0 - usual), 1e-9), 50.0)
    s.width[0, column] = np.clip(s.width[0, column] + rate * (clump - s.width[0, column]), 1.0, FAILURES_CLUMP)
    s.held_errors[column] += k
    s.held_trials[column] += n
    s.held_s[column] += np.where(may, passed_s, 0.0)
    if suspected.any():  # what was suspected is no measure of what is usual
        for held in (s.held_errors, s.held_trials, s.aside_errors, s.aside_trials):
            held[column] *= ~suspected
    young = s.n[column] < 2.0 * t.warmup
    due = np.flatnonzero(may & ((s.held_s[column] >= HELD_S) | young))
    if not len(due):
        return
    keep = 0.5 ** (s.held_s[column, due] / FAILURES_USUAL_S)
    fresh = young[due]
    for known, aside, held in (
        (s.share_errors, s.aside_errors, s.held_errors),
        (s.share_trials, s.aside_trials, s.held_trials),
    ):
        known[column, due] = known[column, due] * keep + aside[column, due] + np.where(fresh, held[column, due], 0.0)
        aside[column, due] = np.where(fresh, 0.0, held[column, due])
        held[column, due] = 0.0
    s.held_s[column, due] = 0.0
