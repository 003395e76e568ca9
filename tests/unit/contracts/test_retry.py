"""What is tried again: how long between attempts, when no more, and what is said."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import BrokerUnavailable, Permanent
from contracts.retry import Backoff, Pauses, every, never, quiet, retrying, within


class Failing:
    """Fails as often as told, then answers; time passes while it sleeps only."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.slept, self.now_s = list(errors), list[float](), 0.0

    async def call(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


def away(n: int) -> list[Exception]:
    return [BrokerUnavailable(f"away {i}") for i in range(n)]


async def test_a_call_is_repeated_until_it_succeeds_with_pauses_that_double(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing(*away(5))
    with caplog.at_level(logging.WARNING):
        assert await retrying(failing.call, pauses=Pauses(0.5, 3.0), sleep=failing.sleep) == "answer"
    assert failing.slept == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert [r.message for r in caplog.records][1] == "away 1; trying again in 1.0 s"
    assert len(caplog.records) == 5


async def test_what_comes_later_than_patience_allows_is_not_tried() -> None:
    failing = Failing(*away(100))
    with pytest.raises(BrokerUnavailable, match="away 3"):
        await retrying(failing.call, within(10.0, failing.clock), pauses=every(3.0), sleep=failing.sleep, told=quiet)
    assert failing.now_s == 9.0


async def test_patience_may_depend_on_the_error() -> None:
    failing = Failing(BrokerUnavailable("away"), Permanent("locked", reason="locked"), Permanent("never reached"))
    until = within(lambda e: 100.0 if isinstance(e, BrokerUnavailable) else 1.0, failing.clock)
    with pytest.raises(Permanent, match="locked"):
        await retrying(failing.call, until, pauses=every(3.0), on=Exception, sleep=failing.sleep, told=quiet)
    assert failing.now_s == 3.0


async def test_the_stop_condition_sees_the_error_and_the_pause() -> None:
    failing, asked = Failing(*away(3)), list[tuple[str, float]]()

    def until(error: Exception, pause_s: float) -> bool:
        asked.append((str(error), pause_s))
        return len(asked) == 2

    with pytest.raises(BrokerUnavailable, match="away 1"):
        await retrying(failing.call, until, pauses=Pauses(1.0, 8.0), sleep=failing.sleep, told=quiet)
    assert asked == [("away 0", 1.0), ("away 1", 2.0)]
    assert failing.slept == [1.0]


@pytest.mark.parametrize(
    ("error", "on", "again"),
    [
        (Permanent("no"), None, False),
        (Permanent("no"), Permanent, True),
        (ValueError("no"), None, False),
        (ValueError("no"), (OSError, ValueError), True),
    ],
)
async def test_only_errors_of_the_given_kinds_are_tried_again(
    error: Exception, on: type[Exception] | tuple[type[Exception], ...] | None, again: bool
) -> None:
    failing = Failing(error)
    kinds = {} if on is None else {"on": on}
    call: Callable[[], object] = failing.call
    if again:
        assert await retrying(call, never, pauses=every(1.0), sleep=failing.sleep, told=quiet, **kinds) == "answer"
    else:
        with pytest.raises(type(error)):
            await retrying(call, never, pauses=every(1.0), sleep=failing.sleep, told=quiet, **kinds)


@given(st.integers(), st.integers(1, 60))
def test_backoff_grows_to_its_bound_and_starts_over(seed: int, failures: int) -> None:
    backoff, twin = Backoff(Pauses(0.25, 10, seed)), Backoff(Pauses(0.25, 10, seed))
    waits = [backoff.next_s() for _ in range(failures)]
    assert waits == [twin.next_s() for _ in range(failures)]
    assert all(min(10, 0.25 * 2**i) / 2 <= w <= min(10, 0.25 * 2**i) for i, w in enumerate(waits))
    assert backoff.failures == failures
    backoff.reset()
    assert backoff.next_s() <= 0.25


@given(st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 2000))
def test_without_a_seed_pauses_are_exact_and_never_overflow(first: float, longest: float, failures: int) -> None:
    backoff = Backoff(Pauses(first, longest))
    for i in range(failures):
        assert backoff.next_s() == min(longest, first * 2.0 ** min(i, 30))
