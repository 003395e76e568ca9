"""Shapley values: what each of several players adds to the worth of all, in the mean over all orders in which they may come.

They are the one division of a worth that adds up to it, gives equals the same and nothing to who changes nothing (Shapley, "A Value for
n-Person Games", 1953; of models' features: Štrumbelj and Kononenko, JMLR 11, 2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from contracts.frames.decoded import B1, F64

EXACT: Final = 8
"""Players up to which all coalitions are asked (2 to their number); beyond, orders are drawn."""
ORDERS: Final = 64
"""Orders that are drawn, each with its reverse beside it, which evens out most of the chance (Mitchell et al., JMLR 23, 2022)."""

Worth = Callable[[B1], F64]
"""The worth (coalitions,) of coalitions (coalitions, players)."""


def shapley(worth: Worth, players: int, seed: int) -> F64:
    """Values (players,); their sum is the worth of all less that of none. `seed`: of the orders, where there are too many players to ask all
    coalitions."""
    if not players:
        return np.zeros(0)
    return _exact(worth, players) if players <= EXACT else _sampled(worth, players, seed)


def _exact(worth: Worth, players: int) -> F64:
    codes = np.arange(1 << players)
    inside = (codes[:, None] >> np.arange(players)) & 1 == 1
    worths, size = worth(inside), inside.sum(axis=1)
    weight = np.array([1.0 / (players * math.comb(players - 1, k)) for k in range(players)])
    values = np.zeros(players)
    for player in range(players):
        without = codes[~inside[:, player]]
        values[player] = float((weight[size[without]] * (worths[without | (1 << player)] - worths[without])).sum())
    return values


def _sampled(worth: Worth, players: int, seed: int) -> F64:
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(players) for _ in range(ORDERS // 2)]
    orders = np.array([order for first in drawn for order in (first, first[::-1])])
    place = np.argsort(orders, axis=1)
    inside = place[:, None, :] < np.arange(players + 1)[None, :, None]
    worths = worth(inside.reshape(-1, players)).reshape(len(orders), players + 1)
    added = np.diff(worths, axis=1)
    values: F64 = np.take_along_axis(added, place, axis=1).mean(axis=0)
    return values
