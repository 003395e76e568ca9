"""Supervised tasks: crashes are told, counted, restarted with growing pauses; ends are clean; no other background work exists."""

from __future__ import annotations

import ast
import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import supervision
from contracts.ports import ManualClock
from contracts.supervision import CALM_S, LONGEST_S, Supervised, SupervisedThread, TaskPhase, crashes, end, once, tasks
from tests.patience import PATIENCE_S
from tools.names import PACKAGES

ROOT = Path(__file__).resolve().parents[3]


class Script:
    """Work that crashes so many times, then waits for ever; and a sleep that takes no time."""

    def __init__(self, crashes: int, clock: ManualClock | None = None, lasts_s: float = 0.0) -> None:
        self.left, self.pauses, self.waiting = crashes, list[float](), asyncio.Event()
        self.clock, self.lasts_s = clock, lasts_s

    async def work(self) -> None:
        if self.clock:
            self.clock.advance_to(self.clock.now_ns() + int(self.lasts_s * 1e9))
        if self.left:
            self.left -= 1
            raise KeyError("target")
        self.waiting.set()
        await asyncio.Event().wait()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def test_a_crash_is_told_counted_and_the_work_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    script, before = Script(3), crashes().get("test-work", 0)
    task = Supervised("test-work", script.work, detail="a", clock=ManualClock(5), sleep=script.sleep).start()
    await script.waiting.wait()
    assert script.pauses == [0.5, 1.0, 2.0]
    assert crashes()["test-work"] == before + 3
    assert (task.state.phase, task.state.restarts, task.state.why) == (TaskPhase.RUNNING, 3, "KeyError: 'target'")
    assert task.state.failing, "it crashed a moment ago"
    assert task.state in tasks()
    assert "test-work a crashed" in caplog.text
    assert "Traceback" in caplog.text
    await task.stop()
    assert task.state.phase is TaskPhase.ENDED
    assert not task.state.failing
    assert "test-work" not in {t.name for t in tasks()}


async def test_pauses_grow_to_a_limit_and_begin_anew_after_calm() -> None:
    script = Script(12)
    task = Supervised("test-grow", script.work, sleep=script.sleep).start()
    await script.waiting.wait()
    assert max(script.pauses) == script.pauses[-1] == LONGEST_S
    await task.stop()
    clock = ManualClock(1)
    calm = Script(3, clock, lasts_s=CALM_S)
    task = Supervised("test-calm", calm.work, clock=clock, sleep=calm.sleep).start()
    await calm.waiting.wait()
    assert calm.pauses == [0.5, 0.5, 0.5]
    assert not task.state.failing
    await task.stop()


async def test_it_says_that_it_restarts_and_since_when() -> None:
    clock, gate = ManualClock(7), asyncio.Event()

    async def work() -> None:
        clock.advance_to(9)
        raise OSError(28, "No space left on device")

    async def sleep(_: float) -> None:
        await gate.wait()

    task = Supervised("test-since", work, clock=clock, sleep=sleep).start()
    while task.state.phase is TaskPhase.RUNNING:
        await asyncio.sleep(0)
    assert (task.state.phase, task.state.since_ns) == (TaskPhase.RESTARTING, 9)
    assert "No space left" in task.state.why
    await task.stop()


async def test_to_be_stopped_is_no_crash_and_what_it_waited_for_being_cancelled_is_one() -> None:
    script = Script(0)
    task = Supervised("test-stop", script.work).start()
    await script.waiting.wait()
    await task.stop()
    await task.stop()
    assert "test-stop" not in crashes()

    async def work() -> None:
        if "test-inner" in crashes():
            return
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    task = Supervised("test-inner", work, first_s=0.0).start()
    await task.wait()
    assert crashes()["test-inner"] == 1


async def test_a_task_that_returns_has_ended() -> None:
    ended: list[bool] = []

    async def work() -> None: ...

    task = Supervised("test-end", work).start()
    task.add_done_callback(lambda: ended.append(True))
    await task.wait()
    await asyncio.sleep(0)
    assert (task.running, ended, task.state.phase) == (False, [True], TaskPhase.ENDED)


async def test_what_ends_by_itself_never_fails_unheard(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("nobody asks")

    once("test-once", fails())
    while supervision._begun:
        await asyncio.sleep(0)
    assert "nobody asks" in caplog.text
    assert crashes()["test-once"] == 1
    assert not supervision._begun


def test_a_thread_begins_again_too(caplog: pytest.LogCaptureFixture) -> None:
    left, ran = [2], threading.Event()

    def work() -> None:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("thread")
        ran.set()

    with caplog.at_level(logging.ERROR):
        thread = SupervisedThread("test-thread", work, first_s=0.0).start()
        assert ran.wait(PATIENCE_S)
        assert thread.join(PATIENCE_S)
    assert crashes()["test-thread"] == 2
    assert thread.state.phase is TaskPhase.ENDED


ALLOWED = {
    "contracts/supervision.py": "the helper itself",
    "contracts/checks/graph_store.py": "threads that race in a check, which joins them and raises what they raised",
    "contracts/checks/journal.py": "threads that race in a check, which joins them and raises what they raised",
    "homeostat/bench/stores.py": "the benchmark's own slow network, gone with its process",
}
_BEGINNERS = frozenset({"create_task", "ensure_future", "Thread", "run_coroutine_threadsafe", "Timer"})


def _bare(path: Path) -> Iterator[str]:
    """Where background work begins without supervision. Groups of tasks are fine: whoever opened one gets its errors."""
    text = path.read_text()
    if not any(name in text for name in _BEGINNERS):
        return
    tree = ast.parse(text)
    groups = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and "TaskGroup" in ast.unparse(item.context_expr)
    } | {
        a.arg
        for a in ast.walk(tree)
        if isinstance(a, ast.arg) and a.annotation is not None and "TaskGroup" in ast.unparse(a.annotation)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            owner, _, name = ast.unparse(node.func).rpartition(".")
            if name in _BEGINNERS and owner not in groups and (name != "Thread" or owner == "threading"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node.func)}"


def test_background_work_is_begun_by_the_helper_alone() -> None:
    found = [
        line
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in _bare(path)
    ]
    assert not found, "use contracts.supervision: " + "; ".join(found)
    assert all(list(_bare(ROOT / path)) for path in ALLOWED), "an exception that is no longer needed"


async def test_ending_waits_for_what_tidies_up_and_for_what_fails() -> None:
    told: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("tidied up")

    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    tasks = [once("tidy", tidy(), awaited=True), once("fails", fails(), awaited=True)]
    await asyncio.sleep(0)
    await end(*tasks)
    assert told == ["tidied up"]
    assert all(t.done() for t in tasks)
    await end()
