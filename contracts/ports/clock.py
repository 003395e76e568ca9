"""Time as an argument: the shell owns a clock, tests turn it by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time in epoch nanoseconds."""

    def now_ns(self) -> int:
        """Now, epoch nanoseconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Now, epoch nanoseconds."""
        return time.time_ns()


class ManualClock:
    """A clock that moves only when told to; never backwards."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time last set, epoch nanoseconds."""
        return self._now_ns

    def advance_to(self, now_ns: int) -> None:
        """Move to `now_ns` if that is later."""
        self._now_ns = max(self._now_ns, now_ns)
