"""What pytest does for mutants: says which lines each test runs, or runs chosen tests in a chosen order.

Loaded by `-p tools.mutant_plugin`. With `MUTANT_RECORDS` (a folder) it writes a JSON file per process: test -> outcome, seconds
and numbers of the lines run, also by processes that the test starts and kills. With `MUTANT_TESTS` (a file) it runs
the tests listed there, one a line, and no others.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

RECORDS: Final = "MUTANT_RECORDS"
TESTS: Final = "MUTANT_TESTS"
SEEN: Final = "MUTANT_SEEN"
MOST_LINES: Final = 1 << 16
PROBE: Final = f'''"""A byte for each line of what is watched: 1 once it has run. Shared by all processes of one pytest worker."""
import mmap, os
_path = os.environ.get("{SEEN}")
if _path:
    with open(_path, "r+b") as _file:
        seen = mmap.mmap(_file.fileno(), 0)
else:
    seen = bytearray({MOST_LINES})
'''
"""The module that instrumented code imports its bytes from."""


class _Recorder:
    """Zeroes the bytes before each test, and reads them after it."""

    def __init__(self, folder: Path) -> None:
        self.worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self.folder = folder
        path = folder / f"{self.worker}.seen"
        path.write_bytes(bytes(MOST_LINES))
        os.environ[SEEN] = str(path)
        with path.open("r+b") as file:
            self.seen = mmap.mmap(file.fileno(), 0)
        self.tests: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.seen[:] = bytes(MOST_LINES)
        record = self.tests[item.nodeid] = {"passed": True}
        began, spent = time.monotonic(), _spent()
        result = yield
        record["seconds"] = _spent() - spent
        record["lasted"] = time.monotonic() - began
        record["lines"] = [n for n, byte in enumerate(self.seen[:]) if byte]
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid in self.tests:
            self.tests[report.nodeid]["passed"] &= report.passed

    def pytest_sessionfinish(self) -> None:
        (self.folder / f"{self.worker}.json").write_text(json.dumps(self.tests))
        (self.folder / f"{self.worker}.modules").write_text("\n".join(sys.modules))


class _Chooser:
    def __init__(self, wanted: list[str]) -> None:
        self.rank = {name: n for n, name in enumerate(wanted)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.rank]
        if len(chosen) != len(self.rank):
            raise pytest.UsageError(f"{len(self.rank) - len(chosen)} of the chosen tests are not there")
        items[:] = sorted(chosen, key=lambda item: self.rank[item.nodeid])


def _spent() -> float:
    """Processor seconds of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_configure(config: pytest.Config) -> None:
    if RECORDS in os.environ:
        config.pluginmanager.register(_Recorder(Path(os.environ[RECORDS])))
    if TESTS in os.environ:
        config.pluginmanager.register(_Chooser(Path(os.environ[TESTS]).read_text("utf-8").splitlines()))
