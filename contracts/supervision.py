"""Background work that doesn't die silently: one way to start it, restart it, count its crashes, and tell how it is.

Every task that nobody awaits is one of these, and so is every thread. Work that should go on until it is stopped is `Supervised`
(`SupervisedThread` for threads): when it crashes, that is logged with its traceback and counted, and it begins again after a pause
that grows. Work that ends by itself is begun with `once`: its crash is logged and counted, too, whether somebody asks for its result
or not. `tasks` and `crashes` are what health, `homeostat status` and the metrics tell of all of them; like `asyncio.all_tasks`
they are of the process, so that a part deep below needn't be handed a registry.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from contracts.ports.clock import Clock, SystemClock
from contracts.retry import Backoff, Pauses
from contracts.units import SECOND

log = logging.getLogger(__name__)
FIRST_S: Final = 0.5
"""Pause before the first restart; doubled at each crash."""
LONGEST_S: Final = 30.0
CALM_S: Final = 60.0
"""Who ran this long without a crash has recovered: it isn't failing any more, and its next pause is the first again."""

T = TypeVar("T")


class TaskPhase(enum.StrEnum):
    """Where a supervised task is."""

    RUNNING = "running"
    RESTARTING = "restarting"  # it crashed, and begins again after a pause
    ENDED = "ended"  # it returned, or was stopped


@dataclass(frozen=True, slots=True)
class TaskState:
    """How one supervised task is. `since_ns`: when its phase began; `why`: its last crash; `restarts`: how often in all."""

    name: str
    detail: str
    phase: TaskPhase
    since_ns: int
    restarts: int
    failing: bool
    """Whether it crashed, and hasn't run for `CALM_S` since: what it should do isn't done, or was interrupted just now."""
    why: str = ""


class _Life:
    """What is known of one task or thread. Changed by its own thread only; read by any."""

    def __init__(self, name: str, detail: str, clock: Clock, first_s: float, longest_s: float) -> None:
        self.name, self.detail = name, detail
        self._clock, self._backoff = clock, Backoff(Pauses(first_s, longest_s))
        self._phase, self._since_ns = TaskPhase.RUNNING, clock.now_ns()
        self._restarts, self._why = 0, ""
        _lives.add(self)

    def began(self) -> None:
        self._phase, self._since_ns = TaskPhase.RUNNING, self._clock.now_ns()

    def crashed(self, error: BaseException) -> float:
        """Log and count; how long to wait before it begins again."""
        if self._calm():
            self._backoff.reset()
        pause_s = self._backoff.next_s()
        self._restarts += 1
        self._phase, self._since_ns, self._why = TaskPhase.RESTARTING, self._clock.now_ns(), _words(error)
        _count(self.name)
        what = f"{self.name} {self.detail}".rstrip()
        log.error("%s crashed and begins again in %.1f s", what, pause_s, exc_info=error)
        return pause_s

    def ended(self) -> None:
        self._phase, self._since_ns = TaskPhase.ENDED, self._clock.now_ns()
        _lives.discard(self)

    def state(self) -> TaskState:
        failing = self._phase is not TaskPhase.ENDED and self._backoff.failures > 0 and not self._calm()
        return TaskState(self.name, self.detail, self._phase, self._since_ns, self._restarts, failing, self._why)

    def _calm(self) -> bool:
        return self._phase is TaskPhase.RUNNING and self._clock.now_ns() - self._since_ns >= CALM_S * SECOND


_lives: weakref.WeakSet[_Life] = weakref.WeakSet()
_crashes: Counter[str] = Counter()
_counting = threading.Lock()
_begun: set[asyncio.Task[Any]] = set()


def tasks() -> list[TaskState]:
    """All supervised tasks and threads of this process that haven't ended, by name."""
    return sorted((life.state() for life in list(_lives)), key=lambda s: (s.name, s.detail))


def crashes() -> Mapping[str, int]:
    """How often each background work of this process crashed, by name."""
    with _counting:
        return dict(_crashes)


class Supervised:
    """Runs what `make` makes until stopped, or until that returns; begins again after each crash.

    `name` is also the metric's label, so there are few of them; `detail` says which of several of that name this is.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Coroutine[Any, Any, None]],
        *,
        detail: str = "",
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        first_s: float = FIRST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._make, self._sleep, self._clock = make, sleep, clock or SystemClock()
        self._name, self._detail, self._pauses = name, detail, (first_s, longest_s)
        self._life: _Life | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> TaskState:
        """How it is; `ENDED` before it was started, too."""
        if self._life is None:
            return TaskState(self._name, self._detail, TaskPhase.ENDED, 0, 0, failing=False)
        return self._life.state()

    @property
    def running(self) -> bool:
        """Whether it was started, and has neither returned nor been stopped."""
        return self._task is not None and not self._task.done()

    def start(self) -> Self:
        """Begin. Does nothing where it runs already."""
        if not self.running:
            self._life = _Life(self._name, self._detail, self._clock, *self._pauses)
            text = f"{self._name}-{self._detail}" if self._detail else self._name
            self._task = asyncio.create_task(self._run(self._life), name=text)
        return self

    def cancel(self) -> None:
        """End it, without waiting for its end."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """Cancel it, and return when it has ended. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def wait(self) -> None:
        """Return when it has returned by itself, or was stopped."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def add_done_callback(self, call: Callable[[], None]) -> None:
        """Have `call` called when it has ended."""
        if self._task is not None:
            self._task.add_done_callback(lambda _: call())

    async def _run(self, life: _Life) -> None:
        try:
            while True:
                life.began()
                try:
                    return await self._make()
                except asyncio.CancelledError as e:
                    if _cancelled():
                        raise
                    error: BaseException = e  # something it waited for was cancelled, not it
                except Exception as e:  # noqa: BLE001 - logged, counted, shown: that is what this is for
                    error = e
                await self._sleep(life.crashed(error))
        finally:
            life.ended()


class SupervisedThread:
    """A daemon thread that runs `run` until it returns, and again after each crash."""

    def __init__(
        self, name: str, run: Callable[[], None], *, detail: str = "", first_s: float = FIRST_S, longest_s: float = 5.0
    ) -> None:
        self._work = run
        self._life = _Life(name, detail, SystemClock(), first_s, longest_s)
        text = f"{name}-{detail}" if detail else name
        self._thread = threading.Thread(target=self._run, name=text, daemon=True)

    @property
    def state(self) -> TaskState:
        """How it is."""
        return self._life.state()

    def start(self) -> Self:
        """Begin; once."""
        self._thread.start()
        return self

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                self._life.began()
                try:
                    return self._work()
                except Exception as e:  # noqa: BLE001 - logged, counted, shown
                    time.sleep(self._life.crashed(e))
        finally:
            self._life.ended()


def once(name: str, work: Coroutine[Any, Any, T], *, detail: str = "", awaited: bool = False) -> asyncio.Task[T]:
    """Begin work that ends by itself, and keep it from being collected. Whoever awaits the task gets its result or its error;
    if it crashes, that is logged and counted even where nobody does. `awaited`: somebody surely does, and tells of the error."""
    task = asyncio.create_task(work, name=f"{name}-{detail}" if detail else name)
    _begun.add(task)
    task.add_done_callback(_begun.discard if awaited else lambda done: _over(name, done))
    return task


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what was begun, and return when all of it has ended, however."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _over(name: str, task: asyncio.Task[Any]) -> None:
    _begun.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _count(name)
        log.error("%s failed", task.get_name(), exc_info=error)


def _count(name: str) -> None:
    with _counting:
        _crashes[name] += 1


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".rstrip(": ")
