"""An event loop whose time is virtual: nobody waits, time jumps to whatever is due next. The same tasks run in the same order each time.

Work that is handed to threads is done at once and in place, so no thread's speed has a say in the order of things.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from contracts.units import SECOND

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Never waits: it moves the loop's time by as much as it was to wait."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every task waits for another one, and no time will change that")
        if timeout > 0:
            self.loop.virtual_s += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Seconds since its beginning are `virtual_s`."""

    def __init__(self) -> None:
        jump = _Jump()
        jump.loop = self
        self.virtual_s = 0.0
        super().__init__(jump)

    def time(self) -> float:
        """Virtual seconds."""
        return self.virtual_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do the work here and now."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as e:  # noqa: BLE001 - as from a thread: it is whoever waits for it that has to know
            done.set_exception(e)
        return done


class VirtualClock:
    """The clock of a virtual loop that began at `start_ns`."""

    def __init__(self, loop: VirtualLoop, start_ns: int) -> None:
        self._loop, self._start_ns = loop, start_ns

    def now_ns(self) -> int:
        """Now, epoch nanoseconds."""
        return self._start_ns + int(self._loop.virtual_s * SECOND)


def run_virtually(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end in virtual time."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main(loop))
