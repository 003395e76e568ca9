"""How a suite is run as a whole: all of its checks, one after the other; AssertionError with the first thing that is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def on_same(checks: Iterable[Callable[[T], None]]) -> Callable[[T], None]:
    """A function that has all checks take what it is given (a factory, of which each takes what it needs)."""

    def run_all(given: T) -> None:
        for check in checks:
            check(given)

    return run_all


def on_fresh(checks: Iterable[Callable[[T], None]]) -> Callable[[Callable[[], T]], None]:
    """A function that gives each check a new one of what it is given the making of."""

    def run_all(make: Callable[[], T]) -> None:
        for check in checks:
            check(make())

    return run_all


def awaited_on_same(checks: Iterable[Callable[[T], Awaitable[None]]]) -> Callable[[T], Awaitable[None]]:
    """As `on_same`, for checks that are awaited."""

    async def run_all(given: T) -> None:
        for check in checks:
            await check(given)

    return run_all


def awaited_on_fresh(
    checks: Iterable[Callable[[T], Awaitable[None]]],
) -> Callable[[Callable[[], T]], Awaitable[None]]:
    """As `on_fresh`, for checks that are awaited."""

    async def run_all(make: Callable[[], T]) -> None:
        for check in checks:
            await check(make())

    return run_all
