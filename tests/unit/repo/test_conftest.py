"""The suite's own promises: a leaked task, an unclosed socket or an unexpected warning fails the test that caused it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# file -> (body, what the report must say of it; empty: it must pass)
FILES = {
    "test_task.py": (
        "import asyncio\nasync def test():\n    task = asyncio.create_task(asyncio.sleep(60))\n",
        "tasks left running: <coroutine object sleep",
    ),
    "test_task_of_a_fixture.py": (
        (
            "import asyncio, pytest\n"
            "@pytest.fixture\nasync def f():\n    task = asyncio.create_task(asyncio.Event().wait())\n    yield\n"
            "async def test(f):\n    pass\n"
        ),
        "tasks left running: <coroutine object Event.wait",
    ),
    "test_socket.py": (
        "import gc, socket\ndef test():\n    s = socket.socket()\n    del s\n    gc.collect()\n",
        "unclosed <socket.socket",
    ),
    "test_warning.py": ("import warnings\ndef test():\n    warnings.warn('surprise')\n", "UserWarning: surprise"),
    "test_never_awaited.py": (
        "import gc\nasync def work():\n    pass\ndef test():\n    work()\n    gc.collect()\n",
        "was never awaited",
    ),
    "test_cleaned_up.py": (
        (
            "import asyncio, pytest\n"
            "@pytest.fixture\nasync def worker():\n"
            "    task = asyncio.create_task(asyncio.sleep(60))\n    yield task\n    task.cancel()\n"
            "async def test(worker):\n    assert not worker.done()\n"
            "async def test_cancelled_by_its_last_line():\n    asyncio.create_task(asyncio.sleep(60)).cancel()\n"
        ),
        "",
    ),
    "services/test_real_server.py": ("def test():\n    assert False, 'asked a real server'\n", ""),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with this one's pytest settings and conftest, and FILES as its tests."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (folder / "tests/services").mkdir(parents=True)
    (folder / "tests/conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    for name, (body, _) in FILES.items():
        (folder / "tests" / name).write_text(body)
    return folder


def run_pytest(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_what_is_left_behind_fails_its_own_test(suite: Path) -> None:
    report = run_pytest(suite)
    failed = set(re.findall(r"^(?:FAILED|ERROR) tests/(\S+?)::", report, re.MULTILINE))
    assert failed == {name for name, (_, message) in FILES.items() if message}, report
    for _, message in FILES.values():
        assert message in report


def test_real_servers_are_asked_only_by_name(suite: Path) -> None:
    assert "asked a real server" in run_pytest(suite, "tests/services")
