"""Who leaves when there is no room: those who were there once, long ago; never those who are heard of."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.capacity import MERIT_NS, Room
from contracts.units import SECOND as S

HOUR, DAY, T0 = 3600 * S, 86_400 * S, 1_700_000_000 * S


def test_a_flood_displaces_itself() -> None:
    room, now = Room[str](50, 60 * S), T0
    steady = [f"service-{n}" for n in range(30)]
    refused = 0
    for second in range(3 * 3600):
        now = T0 + second * S
        for name in steady:
            assert room.admit(name, now)[0]
        if second > 3600:
            for n in range(3):
                admitted, gone = room.admit(f"flood-{second}-{n}", now)
                refused += not admitted
                assert not set(gone) & set(steady)
        assert len(room) <= 50
    assert refused > 1000


@pytest.mark.parametrize("later", [90 * S, HOUR, 3 * DAY])
def test_after_a_flood_newcomers_are_let_in(later: int) -> None:
    room = Room[str](1000, 60 * S)
    for n in range(21_000):
        room.admit(f"job-{n}", T0 + n * S // 100)
    end = T0 + 210 * S + later
    assert all(room.admit(f"new-{n}", end + n * S)[0] for n in range(500))


def test_who_was_there_for_long_outlasts_who_was_there_once() -> None:
    room = Room[str](10, 60 * S)
    for minute in range(120):
        room.admit("nightly", T0 + minute * 60 * S)
    at = T0 + 2 * HOUR
    left: list[str] = []
    for n in range(300):
        at += 10 * S
        left += room.admit(f"once-{n}", at)[1]
    assert left
    assert "nightly" not in left
    assert at - (T0 + 2 * HOUR) < MERIT_NS
    for n in range(30):
        left += room.admit(f"later-{n}", at + DAY + n * 60 * S)[1]
    assert "nightly" in left


def test_who_is_kept_does_not_leave() -> None:
    room = Room[str](2, S)
    room.admit("a", T0)
    room.admit("b", T0 + S)
    assert room.admit("c", T0 + 10 * S, {"a", "b"}) == (False, [])
    assert room.admit("c", T0 + 20 * S, {"a"}) == (True, ["b"])


def test_after_a_restart_those_who_were_there_have_long_been_there() -> None:
    room = Room[str](2, 10 * S)
    room.load([], ["a", "b"])
    assert room.admit("new", T0) == (False, [])
    assert room.admit("a", T0 + 20 * S) == (True, [])
    assert room.admit("new", T0 + 21 * S) == (True, ["b"])


@given(st.integers(0, 10_000), st.integers(1, 20))
def test_never_more_than_there_is_room_for_and_none_who_is_heard_of(seed: int, most: int) -> None:
    rng, room, last, now = random.Random(seed), Room[int](most, 30 * S), {}, T0
    for _ in range(200):
        now += rng.randrange(-2, 20) * S
        name = rng.randrange(3 * most)
        admitted, gone = room.admit(name, now)
        for one in gone:
            assert last.pop(one) < now - 30 * S
        if admitted:
            last[name] = max(now, last.get(name, 0))
        assert len(room) == len(last) <= most
