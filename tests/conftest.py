"""What holds for every test: nothing leaks, random tests repeat, and recordings are skipped with a reason when absent."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# The default suite gives the same answer every time. `HYPOTHESIS_PROFILE=explore` searches where nobody has looked.
settings.register_profile(
    "deterministic",
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "deterministic"))

# Ten thousand tests and what they import stay to the end: Python's default (700) would look through them for garbage again and again, for
# a tenth of all the processor time.
gc.set_threshold(100_000, 20, 50)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every coroutine test is watched for leaks. First in set-up is last in tear-down: fixtures may clean up before.

    Files with slow tests come first, so that no worker is left alone with one at the end.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(item.obj)):
            item.fixturenames.insert(0, "no_leaked_tasks")


def pytest_collection_finish() -> None:
    """What has been collected is no garbage: it is never looked through again, and what the tests themselves leave is cleared up sooner."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a test that leaves asyncio tasks running behind it."""
    before = asyncio.all_tasks()
    yield
    # A task cancelled by the test's last line needs a few turns of the loop to end.
    for _ in range(5):
        await asyncio.sleep(0)
    leaked = asyncio.all_tasks() - before - {asyncio.current_task()}
    for task in leaked:
        task.cancel()
    await asyncio.gather(*leaked, return_exceptions=True)
    if leaked:
        pytest.fail("tasks left running: " + ", ".join(sorted(str(task.get_coro()) for task in leaked)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded incidents and labelled series, kept beside the checkout because of their size."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no recordings beside the checkout (../shared/data)")
    return folder
