"""Which tests run which lines, and what they say of a mutant: all in copies of the tree, so that its own files stay as they are."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tools.mutant_plugin import MOST_LINES, PROBE, RECORDS, TESTS, WORK, end
from tools.mutant_sites import Mutant

ROOT: Final = Path(__file__).resolve().parent.parent
BELOW: Final = ("contracts", "connectors", "models", "graph")
"""Packages that never import what is judged: those of their modules that the tests need are imported once, before the first fork."""
FIRST_S: Final = 2.0
FIRST_FILES: Final = 4
"""Processor seconds, and files, of the tests of the first round, which most mutants don't survive."""
MORE_S: Final = 30.0
"""Beside three times what its tests take, before a mutant counts as one that never ends."""
WAITED_S: Final = 45.0
"""The same for seconds of the clock, beside ten times what they last: the machine may be busy."""


@dataclass(frozen=True)
class Trial:
    """What is known of a test that passes."""

    name: str
    seconds: float
    """Of the processor."""
    lasted: float
    lines: frozenset[tuple[str, int]]

    @property
    def file(self) -> str:
        """Where it is."""
        return self.name.partition("::")[0]


@dataclass(frozen=True)
class Measured:
    """What the tests are known by, and the modules below what is judged that they import."""

    trials: list[Trial]
    needed: list[str]


@dataclass(frozen=True)
class Outcome:
    """`killed by` a test or a collection that fails, `endless`, `survived`, `not covered`."""

    mutant: Mutant
    verdict: str
    tests: int = 0

    @property
    def killed(self) -> bool:
        return self.verdict in {"killed", "endless"}


@dataclass
class CoverMap:
    """Tests of each line, the cheapest first."""

    trials: Sequence[Trial]
    lines: dict[tuple[str, int], list[Trial]] = field(init=False)
    modules: dict[str, list[Trial]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines, modules = defaultdict(list), defaultdict[str, dict[str, Trial]](dict)
        for trial in sorted(self.trials, key=lambda t: (t.seconds, t.name)):
            for path, line in trial.lines:
                self.lines[path, line].append(trial)
                modules[path][trial.name] = trial
        self.modules = {path: list(trials.values()) for path, trials in modules.items()}

    def covering(self, mutant: Mutant, users: Iterable[str], budget: float) -> list[Trial]:
        """Tests that run the mutant's statement; of what runs at import, those that run anything of the module, else of its users.

        Together they take up to `budget` seconds of the processor, as measured without a mutant.
        """
        if mutant.statement:
            found = self.lines.get((mutant.path, mutant.statement), [])
        else:
            found = self.modules.get(mutant.path) or [t for user in users for t in self.modules.get(user, [])]
        chosen: list[Trial] = []
        spent = 0.0
        module = mutant.path.removesuffix(".py").replace("/", ".")
        # Those of a file that names the module, then the others: each the cheapest first.
        for trial in sorted(set(found), key=lambda t: (module not in _text(t.file), t.seconds, t.name)):
            if (spent := spent + trial.seconds) > budget and chosen:
                break
            chosen.append(trial)
        return chosen


@functools.cache
def _text(file: str) -> str:
    path = ROOT / file
    return path.read_text("utf-8") if path.is_file() else ""


def copy_of(root: Path, where: Path) -> Path:
    """A copy of the tracked files and of what is not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, where / name)
    return where


def environment(copy: Path, **more: str) -> dict[str, str]:
    """Variables of a process that is to import the copy and nothing of the tree itself."""
    return {**os.environ, "PYTHONPATH": str(copy), **more}


def measured(copy: Path, modules: Iterable[str], tests: Sequence[str], jobs: int) -> Measured:
    """Run the tests once, in a copy whose modules note the lines that run."""
    index: list[tuple[str, int]] = []
    for path in modules:
        (copy / path).write_text(instrumented((copy / path).read_text("utf-8"), path, index), "utf-8")
    assert len(index) < MOST_LINES
    (copy / "mutant_probe.py").write_text(PROBE)
    records = copy / "mutant-records"
    records.mkdir()
    options = ["-q", "-p", "tools.mutant_plugin", "-p", "no:cacheprovider", "-n", str(jobs), "--dist", "loadfile"]
    command = [sys.executable, "-m", "pytest", *options, "-m", "not long and not timed", *tests]
    subprocess.run(command, cwd=copy, env=environment(copy, **{RECORDS: str(records)}), check=False)
    found = {name: test for path in records.glob("gw*.json") for name, test in json.loads(path.read_text()).items()}
    needed = {name for path in records.glob("gw*.modules") for name in path.read_text().splitlines()}
    trials = [
        Trial(name, test["seconds"], test["lasted"], frozenset(index[n] for n in test["lines"]))
        for name, test in sorted(found.items())
        if test["passed"]
    ]
    return Measured(trials, sorted(name for name in needed if name.partition(".")[0] in BELOW))


def instrumented(text: str, path: str, index: list[tuple[str, int]]) -> str:
    """The module, with a byte set before each statement of its functions; what the bytes mean is added to `index`."""
    tree = ast.parse(text)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(part): part for function in functions for n in function.body for part in [function, *ast.walk(n)]}
    for node in inside.values():
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and body and isinstance(body[0], ast.stmt) and not isinstance(node, ast.ClassDef):
                setattr(node, name, list(_probed(body, path, index)))
    at = 1 if ast.get_docstring(tree) is not None else 0
    at += sum(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    tree.body.insert(at, ast.parse("from mutant_probe import seen as _seen_").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _probed(body: list[ast.stmt], path: str, index: list[tuple[str, int]]) -> Iterator[ast.stmt]:
    for n, statement in enumerate(body):
        words = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if not (n == 0 and words):
            yield ast.parse(f"_seen_[{len(index)}] = 1").body[0]
            index.append((path, statement.lineno))
        yield statement


def patched(mutants: Sequence[tuple[Mutant, list[Trial]]], scratch: Path, jobs: int) -> Iterator[Outcome]:
    """What came of mutants of functions: one process imports and collects everything once, and forks for each."""
    work = scratch / "work.jsonl"
    told = work.with_suffix(".verdicts")
    told.touch()
    with work.open("w") as lines:
        for mutant, trials in mutants:
            text = mutant.applied((ROOT / mutant.path).read_text("utf-8")) if mutant.path else ""
            job = {
                "path": mutant.path,
                "text": text,
                "tests": [t.name for t in trials],
                "seconds": MORE_S + 3 * sum(t.seconds for t in trials),
                "patience": WAITED_S + 10 * sum(t.lasted for t in trials),
            }
            lines.write(json.dumps(job) + "\n")
    files = sorted({t.file for _, trials in mutants for t in trials})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-s",
        "--tb=no",
        "-p",
        "tools.mutant_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    variables = {**os.environ, WORK: str(work), "MUTANT_JOBS": str(jobs)}
    with (
        subprocess.Popen([*command, *files], cwd=ROOT, env=variables, stdout=subprocess.DEVNULL) as running,
        told.open() as lines,
    ):
        try:
            over = False
            while not over:
                over = running.poll() is not None
                for line in lines.read().splitlines():
                    n, status = (int(part) for part in line.split())
                    yield Outcome(mutants[n][0], verdict_of(status), len(mutants[n][1]))
                time.sleep(0.1)
        finally:
            running.terminate()


def verdict_of(status: int) -> str:
    """Of a child's status: what pytest says, or the end of its patience."""
    return "endless" if os.WIFSIGNALED(status) else VERDICTS.get(os.WEXITSTATUS(status), NO_VERDICT)


class Bench:
    """Tries mutants in forked processes, one at a time in each copy of the tree."""

    def __init__(self, copies: Sequence[Path], needed: Iterable[str]) -> None:
        self.free = list(copies)
        self.begun = 0
        self.running: dict[int, tuple[Outcome, Path, float, list[list[Trial]]]] = {}
        for name in needed:
            importlib.import_module(name)

    def tried(self, mutants: Iterable[tuple[Mutant | None, list[Trial]]]) -> Iterator[Outcome]:
        """What came of each, in the order in which they end. Without a mutant the tests run on the text as it is."""
        try:
            yield from self._tried(mutants)
        finally:
            for pid in self.running:
                end(pid)

    def _tried(self, mutants: Iterable[tuple[Mutant | None, list[Trial]]]) -> Iterator[Outcome]:
        for mutant, trials in mutants:
            while not self.free:
                yield from self._ended()
            copy = self.free.pop()
            if mutant:
                (copy / mutant.path).write_text(mutant.applied((ROOT / mutant.path).read_text("utf-8")), "utf-8")
                # A time of its own: what is compiled of another text is not taken for it.
                self.begun += 1
                os.utime(copy / mutant.path, (self.begun, self.begun))
            self._begin(Outcome(mutant or UNCHANGED, "", len(trials)), copy, _rounds(trials))
        while self.running:
            yield from self._ended()

    def _begin(self, outcome: Outcome, copy: Path, rounds: list[list[Trial]]) -> None:
        trials = rounds.pop(0)
        patience = WAITED_S + 10 * sum(t.lasted for t in trials)
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = _run(copy, trials)
            finally:
                os._exit(code)
        self.running[pid] = (outcome, copy, time.monotonic() + patience, rounds)

    def _ended(self) -> Iterator[Outcome]:
        time.sleep(0.02)
        for pid, (outcome, copy, until, rounds) in list(self.running.items()):
            late = time.monotonic() > until
            if late:
                end(pid)
            done, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if not done:
                continue
            del self.running[pid]
            end(pid)
            verdict = verdict_of(status)
            if verdict == SURVIVED and rounds:
                self._begin(outcome, copy, rounds)
                continue
            if outcome.mutant != UNCHANGED:
                shutil.copy2(ROOT / outcome.mutant.path, copy / outcome.mutant.path)
            self.free.append(copy)
            yield Outcome(outcome.mutant, verdict, outcome.tests)


UNCHANGED: Final = Mutant("", "unchanged", 0, 0, 0, 0, "")
SURVIVED, NO_VERDICT = "survived", "no verdict"
VERDICTS: Final = {0: SURVIVED, 1: "killed", 2: "killed", 3: "killed"}
"""Of pytest's exit codes: a module that can't be imported interrupts the collection (2)."""


def _rounds(trials: list[Trial]) -> list[list[Trial]]:
    """First the cheapest of a few files, then the rest."""
    first: list[Trial] = []
    files: set[str] = set()
    spent = 0.0
    for trial in sorted(trials, key=lambda t: (t.seconds, t.name)):
        file = trial.file
        spent += trial.seconds
        if first and spent > FIRST_S:
            break
        if file in files or len(files) < FIRST_FILES:
            files.add(file)
            first.append(trial)
    rest = [trial for trial in trials if trial not in first]
    return [first, rest] if rest else [first]


def _run(copy: Path, trials: list[Trial]) -> int:
    """In a child: run the tests. Returns pytest's exit code."""
    os.setpgid(0, 0)
    seconds = int(MORE_S + 3 * sum(t.seconds for t in trials))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    os.chdir(copy)
    chosen = copy / "mutant-tests"
    by_file = defaultdict[str, list[str]](list)
    for trial in trials:
        by_file[trial.file].append(trial.name)
    chosen.write_text("\n".join(name for names in by_file.values() for name in names))
    with (copy / "mutant-output").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment(copy, **{TESTS: str(chosen)}))
    sys.path[:] = [str(copy), *(p for p in sys.path if p not in {"", str(ROOT)})]
    for name in [n for n in sys.modules if n.partition(".")[0] == "tools"]:
        del sys.modules[name]
    import pytest

    return int(pytest.main(["-x", "-q", "-p", "tools.mutant_plugin", "-p", "no:cacheprovider", *by_file]))
