"""From a key to the few numbers it leads to: as a plain dictionary of sets has it, whatever is learnt between two questions."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames.decoded import I64, U64
from streams.windows import calls
from streams.windows.calls import Fan

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.integers(0, 5) | st.integers(2**64 - 3, 2**64 - 1), st.integers(0, 4)), max_size=12)


def columns(pairs: Pairs) -> tuple[U64, I64]:
    return np.array([k for k, _ in pairs], np.uint64), np.array([t for _, t in pairs], np.int64)


def led(fan: Fan, keys: list[int]) -> Pairs:
    """(index in `keys`, target), sorted."""
    which, targets = fan.of(np.array(keys, np.uint64))
    assert which.dtype == targets.dtype == np.int64
    return sorted(zip(which.tolist(), targets.tolist(), strict=True))


@given(st.lists(PAIRS, max_size=5), st.lists(st.integers(0, 6) | st.integers(2**64 - 4, 2**64 - 1), max_size=6))
def test_every_key_leads_to_what_was_learnt_of_it(rounds: list[Pairs], asked: list[int]) -> None:
    fan, model = Fan(), defaultdict[int, set[int]](set)
    for pairs in rounds:
        fan.learn(*columns(pairs))
        for key, target in pairs:
            model[key].add(target)
        assert led(fan, asked) == [(i, t) for i, key in enumerate(asked) for t in sorted(model.get(key, ()))]
        again = Fan()
        again.load(fan.state())
        assert led(again, asked) == led(fan, asked)
        fan = again


def test_a_key_leads_to_so_many_and_no_more_after_a_restart_either() -> None:
    fan = Fan()
    fan.learn(*columns([(7, t) for t in range(31)]))
    again = Fan()
    again.load(fan.state())
    for one in (fan, again):
        one.learn(*columns([(7, 3)]))  # known already
        one.learn(*columns([(7, 31)]))
        one.learn(*columns([(7, 32), (8, 32)]))
        assert led(one, [7, 8]) == [*((0, t) for t in range(32)), (1, 32)]


def test_full_it_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MOST_PAIRS", 3)
    fan = Fan()
    for key in (1, 2, 3):
        fan.learn(*columns([(key, 0)]))
    assert led(fan, [1, 2, 3]) == [(0, 0), (1, 0), (2, 0)]
    fan.learn(*columns([(3, 0)]))  # known: no room is needed
    assert led(fan, [1, 2, 3]) == [(0, 0), (1, 0), (2, 0)]
    fan.learn(*columns([(4, 9)]))
    assert led(fan, [1, 2, 3, 4]) == [(3, 9)]
    fan.learn(*columns([(4, t) for t in range(2)]))
    assert led(fan, [4]) == [(0, 0), (0, 1), (0, 9)]


def test_what_fan_forgot_does_not_count_against_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_MOST_PAIRS", 3)
    monkeypatch.setattr(calls, "_MOST_TARGETS", 2)
    fan = Fan()
    fan.learn(*columns([(1, 0), (1, 1), (2, 0)]))
    fan.learn(*columns([(3, 0)]))
    fan.learn(*columns([(1, 5), (1, 6)]))
    assert led(fan, [1]) == [(0, 5), (0, 6)]
