"""Shapley values: they are the mean over all orders, add up, and give nothing to who changes nothing; drawn ones are near."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.shapley import EXACT, shapley


def game(table):
    """The worth of a coalition by its code."""
    worths = np.array(table, dtype=float)
    return lambda inside: worths[inside @ (1 << np.arange(inside.shape[1]))]


def by_orders(worth, players):
    values = np.zeros(players)
    orders = list(itertools.permutations(range(players)))
    for order in orders:
        inside = np.zeros((1, players), np.bool_)
        before = worth(inside)[0]
        for player in order:
            inside[0, player] = True
            now = worth(inside)[0]
            values[player] += (now - before) / len(orders)
            before = now
    return values


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.floats(-9, 9), min_size=1 << n, max_size=1 << n)))
def test_they_are_the_mean_over_all_orders(table):
    players = len(table).bit_length() - 1
    worth = game(table)
    assert shapley(worth, players, 0) == pytest.approx(by_orders(worth, players), abs=1e-9)


def weights(players):
    return np.random.default_rng(5).random(players)


@pytest.mark.parametrize("players", [EXACT, EXACT + 4])
def test_they_add_up_whether_all_coalitions_are_asked_or_orders_are_drawn(players):
    most = weights(players)
    most[1] = 0.0

    def worth(inside):
        return 1.0 + np.square(inside @ most)

    values = shapley(worth, players, 3)
    whole = worth(np.ones((1, players), np.bool_))[0]
    assert values.sum() == pytest.approx(whole - 1.0)
    assert values[1] == pytest.approx(0.0)
    assert np.array_equal(values, shapley(worth, players, 3)), "the same seed draws the same orders"
    exact = most * most.sum()  # of a squared sum
    assert values == pytest.approx(exact, rel=0.25)


def test_of_nobody_there_are_none():
    assert shapley(lambda inside: np.ones(len(inside)), 0, 0).tolist() == []
