"""Calling again what failed for a while: one way to pause between attempts, to stop trying, and to say so.

For calls that are complete in themselves. A loop that does something else between two attempts takes its pauses from `Backoff`;
background work that begins again after a crash is `contracts.supervision`'s.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from contracts.errors import Retryable

log = logging.getLogger(__name__)
T = TypeVar("T")

Until = Callable[[Exception, float], bool]
"""Whether to give up: asked with the error of the last attempt and the pause (seconds) that would follow."""
Told = Callable[[Exception, float], None]
"""Says that an attempt failed: with its error and the pause (seconds) before the next."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds between attempts: `first_s`, then twice as long each time, up to `longest_s`.

    With a `seed` each pause is drawn between half and the whole of that ("equal jitter",
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that processes that failed together don't come
    again together; without one it is exact.
    """

    first_s: float
    longest_s: float
    seed: int | None = None


def every(seconds: float) -> Pauses:
    """The same pause each time."""
    return Pauses(seconds, seconds)


class Backoff:
    """The pauses of one series of failures after another."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self._random = None if pauses.seed is None else random.Random(pauses.seed)
        self.failures = 0
        """In a row, until now."""

    def reset(self) -> None:
        """It went well: the next pause is the first again."""
        self.failures = 0

    def next_s(self) -> float:
        """How long to wait now, in seconds."""
        whole = min(self._pauses.longest_s, self._pauses.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return whole if self._random is None else whole * self._random.uniform(0.5, 1.0)


def never(_error: Exception, _pause_s: float) -> bool:
    """Give up never."""
    return False


def within(patience_s: float | Callable[[Exception], float], now_s: Callable[[], float] | None = None) -> Until:
    """Give up where the next attempt would be later than `patience_s` from now; it may depend on the error. `now_s`: a clock of
    seconds, the monotonic one if not given."""
    now_s = now_s or time.monotonic
    began_s = now_s()

    def until(error: Exception, pause_s: float) -> bool:
        left_s = patience_s(error) if callable(patience_s) else patience_s
        return now_s() + pause_s > began_s + left_s

    return until


def warned(error: Exception, pause_s: float) -> None:
    """Log the error and when the call is tried again."""
    log.warning("%s; trying again in %.1f s", error, pause_s)


def quiet(_error: Exception, _pause_s: float) -> None:
    """Say nothing: a first failure is what is expected."""


async def retrying(
    call: Callable[[], Awaitable[T]],
    until: Until = never,
    *,
    pauses: Pauses,
    on: type[Exception] | tuple[type[Exception], ...] = Retryable,
    told: Told = warned,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """Call until it succeeds; what it returned.

    Errors of the kinds `on` are `told` and tried again after a pause, unless `until` says to give up.

    Raises:
        Exception: the last error when it was given up, and at once any that is not of `on`.
    """
    backoff = Backoff(pauses)
    while True:
        try:
            return await call()
        except on as e:
            pause_s = backoff.next_s()
            if until(e, pause_s):
                raise
            told(e, pause_s)
        await sleep(pause_s)
