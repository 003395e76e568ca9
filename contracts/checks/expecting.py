"""What the suites say with: an answer that is not the expected one, and a refusal that did not come."""

from __future__ import annotations

from collections.abc import Callable

SHOWN = 10_000
"""Characters of a value that a message shows, unless its suite says less."""


def expect(actual: object, expected: object, what: str, shown: int = SHOWN) -> None:
    """Raise AssertionError unless both are equal; of each it shows so many characters."""
    assert actual == expected, f"{what}: expected {expected!r:.{shown}}, got {actual!r:.{shown}}"


def refuses(error: type[Exception], what: str, do: Callable[[], object]) -> None:
    """Raise AssertionError unless the call raises this error."""
    try:
        do()
    except error:
        return
    raise AssertionError(f"{what}: expected {error.__name__}, nothing was raised")
