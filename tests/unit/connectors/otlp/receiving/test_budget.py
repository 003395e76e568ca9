"""What is in flight is bounded, in total and for each peer, and nothing is ever left over."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.otlp.receiving.budget import Budget, Hold, ReceiverLimits
from connectors.otlp.receiving.intake import peer_of
from contracts.errors import Retryable

LIMITS = ReceiverLimits(requests=4, peer_requests=2, bytes=100, peer_bytes=60)


def test_requests_in_total_and_of_a_peer() -> None:
    budget = Budget(LIMITS)
    first, _, _, _ = (budget.enter(p) for p in "aabb")
    for peer in "abc":
        with pytest.raises(Retryable) as caught:
            budget.enter(peer)
        assert caught.value.reason == "overloaded"
    first.release()
    first.release()
    budget.enter("c")
    assert budget.requests == 4


def test_bytes_in_total_and_of_a_peer() -> None:
    budget = Budget(LIMITS)
    one, other = budget.enter("a"), budget.enter("b")
    one.grow(60)
    with pytest.raises(Retryable):
        one.grow(1)
    other.grow(40)
    with pytest.raises(Retryable):
        other.grow(1)
    one.shrink_to(10)
    other.grow(20)
    assert (budget.bytes, dict(budget.peer_bytes)) == (70, {"a": 10, "b": 60})


async def test_one_waits_for_room_in_line() -> None:
    budget = Budget(LIMITS)
    one, two, other = budget.enter("a"), budget.enter("a"), budget.enter("b")
    one.grow(60)
    waiting = asyncio.create_task(two.room(30, 60))
    await asyncio.sleep(0)
    await other.room(40, 60)  # not held up by who waits for a share of its own
    assert not waiting.done()
    one.release()
    await waiting
    assert budget.bytes == 70


async def test_patience_ends() -> None:
    budget = Budget(LIMITS)
    one, two = budget.enter("a"), budget.enter("a")
    one.grow(60)
    with pytest.raises(Retryable) as caught:
        await two.room(1, 0.01)
    assert caught.value.reason == "overloaded"
    one.release()
    assert (two.size, budget.bytes) == (0, 0)


async def test_who_gives_up_holds_nothing() -> None:
    budget = Budget(LIMITS)
    one, two = budget.enter("a"), budget.enter("a")
    one.grow(60)
    waiting = asyncio.create_task(two.room(30, 60))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    two.release()
    one.release()
    assert (budget.bytes, budget.requests) == (0, 0)


def test_what_is_pinned_is_held_until_it_is_let_go() -> None:
    budget = Budget(LIMITS)
    with budget.enter("a") as hold:
        hold.grow(50)
        let_go = hold.pin()
    assert (budget.bytes, budget.requests) == (50, 1)
    let_go()
    assert (budget.bytes, budget.requests) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.integers(0, 80)), max_size=60))
def test_no_limit_is_ever_passed_and_nothing_is_left(steps: list[tuple[int, str, int]]) -> None:
    budget, holds, pins = Budget(LIMITS), list[Hold](), []
    for what, peer, size in steps:
        try:
            match what:
                case 0:
                    holds.append(budget.enter(peer))
                case 1 | 2 if holds:
                    holds[size % len(holds)].grow(size)
                case 3 if holds:
                    holds[size % len(holds)].shrink_to(size)
                case 4 if holds:
                    pins.append(holds[size % len(holds)].pin())
                case 5 if holds:
                    holds.pop(size % len(holds)).release()
        except Retryable:
            pass
        assert 0 <= budget.bytes <= LIMITS.bytes
        assert 0 <= budget.requests <= LIMITS.requests
        assert all(0 < n <= LIMITS.peer_bytes for n in budget.peer_bytes.values())
    for hold in holds:
        hold.release()
    for let_go in pins:
        let_go()
    assert (budget.bytes, budget.requests, budget.peer_bytes, budget.peer_requests) == (0, 0, {}, {})


def test_who_is_one_peer() -> None:
    assert peer_of("10.0.0.1") == "10.0.0.1" == peer_of("::ffff:10.0.0.1")
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") != peer_of("2001:db8:0:1::1")
    assert peer_of("fe80::1%eth0") == peer_of("fe80::2%eth0")
    assert peer_of("") == ""
