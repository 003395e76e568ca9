"""What pytest does for mutants: says which lines each test runs, or runs chosen tests in a chosen order.

Loaded by `-p tools.mutant_plugin`. With `MUTANT_RECORDS` (a folder) it writes a JSON file per process: test -> outcome, seconds
and numbers of the lines run, also by processes that the test starts and kills. With `MUTANT_TESTS` (a file) it runs
the tests listed there, one a line, and no others. With `MUTANT_WORK` (a file) it collects once, and tries each mutant listed there in a
forked process, in which the functions of the module are given the code of its mutant.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import mmap
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final, TextIO

import pytest

RECORDS: Final = "MUTANT_RECORDS"
TESTS: Final = "MUTANT_TESTS"
WORK: Final = "MUTANT_WORK"
SEEN: Final = "MUTANT_SEEN"
MOST_LINES: Final = 1 << 16
IDLE_S: Final = 10.0
IDLE_TICKS: Final = 3
"""Hundredths of a second of the processor in that time."""
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


class Pulse:
    """Whether a process still does anything: one that waits for what never comes, and looks for it now and then, has no children, and
    spends next to no time of the processor."""

    def __init__(self, pid: int) -> None:
        self.of = Path(f"/proc/{pid}")
        self.ticks = -math.inf
        self.since = time.monotonic()

    def has_stopped(self) -> bool:
        """Hardly anything was done for `IDLE_S`; never where the system doesn't tell."""
        if time.monotonic() - self.since < IDLE_S:
            return False
        try:
            ticks = sum(map(int, self.of.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]))
            children = self.of.joinpath(f"task/{self.of.name}/children").read_text()
        except OSError:
            return False
        stopped = ticks - self.ticks <= IDLE_TICKS and not children
        self.ticks, self.since = ticks, time.monotonic()
        return stopped


class _Patcher:
    """Reads a JSON line per mutant (`path`, `text`, `tests`, `seconds` of the processor and `patience` of the clock), and writes `n exit status`
    per line to the file beside it."""

    def __init__(self, work: Path) -> None:
        self.mutants = [json.loads(line) for line in work.read_text("utf-8").splitlines()]
        self.verdicts = work.with_suffix(".verdicts")
        self.running: dict[int, tuple[int, float, Pulse]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """What fails is a verdict: nobody asks for the smallest example."""
        # Not before: pytest refuses a plugin that was imported when it begins, as it is where mutants are tried in copies.
        from hypothesis import Phase, settings

        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", settings(), phases=phases, report_multiple_bugs=False)
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        functions = _functions(session.config.rootpath)
        jobs = int(os.environ["MUTANT_JOBS"])
        gc.collect()
        gc.freeze()  # else each child's collections copy all that it shares with this process
        with self.verdicts.open("a", buffering=1) as told:
            for n, mutant in enumerate(self.mutants):
                while len(self.running) >= jobs:
                    self._reap(told)
                chosen = [items[name] for name in mutant["tests"]]
                pid = os.fork()
                if pid == 0:
                    _try(session, mutant, chosen, functions)
                self.running[pid] = n, time.monotonic() + mutant["patience"], Pulse(pid)
            while self.running:
                self._reap(told)
        return True

    def _reap(self, told: TextIO) -> None:
        time.sleep(0.01)
        for pid, (n, until, pulse) in list(self.running.items()):
            late = time.monotonic() > until or pulse.has_stopped()
            if late:
                end(pid)
            done, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if done:
                end(pid)
                del self.running[pid]
                told.write(f"{n} {status}\n")


def _functions(root: Path) -> dict[tuple[str, str, int], list[FunctionType]]:
    """All functions of the project's modules, by file, qualified name and first line."""
    found: dict[tuple[str, str, int], list[FunctionType]] = {}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(root)):
            code = one.__code__
            found.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(one)
    return found


def _try(
    session: pytest.Session,
    mutant: dict[str, Any],
    chosen: list[pytest.Item],
    functions: dict[tuple[str, str, int], list[FunctionType]],
) -> None:
    """In a child: run the tests on the mutant up to the first that fails; ends the process, with 1 if one did."""
    code = 70
    try:
        os.setpgid(0, 0)
        seconds = int(mutant["seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        if mutant["path"]:
            path = str(session.config.rootpath / mutant["path"])
            changes = 0
            for changed in _codes(compile(mutant["text"], path, "exec", dont_inherit=True)):
                for function in functions.get((path, changed.co_qualname, changed.co_firstlineno), ()):
                    changes += function.__code__ != changed
                    function.__code__ = changed  # refused where a variable of what is around it isn't used any more
            if not changes:
                raise RuntimeError("no function of this module has the mistake in it")
        code = 0
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                code = 1
                break
    finally:
        os._exit(code)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Those of all functions in a module; what is inside a function comes with it."""
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield part
            yield from _codes(part)


def end(pid: int) -> None:
    """A child, and whatever it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _spent() -> float:
    """Processor seconds of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def pytest_configure(config: pytest.Config) -> None:
    if RECORDS in os.environ:
        config.pluginmanager.register(_Recorder(Path(os.environ[RECORDS])))
    if TESTS in os.environ:
        config.pluginmanager.register(_Chooser(Path(os.environ[TESTS]).read_text("utf-8").splitlines()))
    if WORK in os.environ:
        config.pluginmanager.register(_Patcher(Path(os.environ[WORK])))
