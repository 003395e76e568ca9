"""Small mistakes that are made on purpose: which there are, which are left alone, and that a sample can be drawn again."""

from __future__ import annotations

import ast
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S
from tools import mutant_plugin
from tools.mutant_plugin import Pulse
from tools.mutant_sites import mutants_of
from tools.mutant_trials import CoverMap, Trial, instrumented
from tools.mutants import sampled

TEXT = '''"""Words: 1 < 2."""
from __future__ import annotations
from typing import Final
__all__ = ["one", "two"]
MOST: Final = 3
Either = int | str

def use(n: int, by: int = 2) -> int | None:
    """What it does, 1 time."""
    assert n > 0
    _LOG.warning("%d", n + 1)
    if n > MOST and not by:
        raise ValueError(f"{n + 1} is too much")
    total = 0
    for i in range(n):
        total += i
    note(total)
    return min(total, MOST)
'''


def changes(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mutant in mutants_of("m.py", text):
        before = text.encode()[mutant.start : mutant.end].decode()
        found.setdefault(mutant.kind, []).append(f"{before} -> {mutant.after}")
    return found


def test_each_kind_of_mistake_is_made_and_what_says_nothing_is_left_alone() -> None:
    found = changes(TEXT)
    assert found == {
        "number": ["3 -> (2)", "3 -> 4", "2 -> (1)", "2 -> 3", "0 -> (-1)", "0 -> 1"],
        "comparison": ["n > MOST -> (n <= MOST)", "n > MOST -> (n >= MOST)"],
        "and/or": ["n > MOST and not by -> (n > MOST or not by)"],
        "condition": ["n > MOST and not by -> False", "n > MOST and not by -> True"],
        "sign": ["not by -> (by)"],
        "statement left out": [
            'raise ValueError(f"{n + 1} is too much") -> pass',
            "total += i -> pass",
            "note(total) -> pass",
        ],
        "loop over nothing": ["range(n) -> ()"],
        "arithmetic": ["total += i -> total -= i"],
        "result lost": ["min(total, MOST) -> None"],
        "opposite": ["min -> max"],
    }


def test_every_mutant_is_a_module_that_differs_in_its_place_only() -> None:
    text = TEXT.replace("Words", "Wörter σ")
    for mutant in mutants_of("m.py", text):
        changed = mutant.applied(text)
        ast.parse(changed)
        assert changed != text
        before, after = text.splitlines(), changed.splitlines()
        assert [n for n, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b] == [mutant.line]


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("m = 99", ["100", "(98)"]),
        ("m = 100", ["200", "(50)"]),
        ("m = 4_000.0", ["8000.0", "(2000.0)"]),
        ("now_ns = self._sent_ns = 0", []),
        ("sent_ns: int = 0", []),
        ("late = waited_ns > 0", []),
        ("sent_ns = 1", ["2", "(0)"]),
        ("sent = 0", ["1", "(-1)"]),
        ("late = waited_ns > other == 0", ["1", "(-1)"]),
    ],
)
def test_numbers_are_changed_by_what_somebody_could_miss(line: str, numbers: list[str]) -> None:
    assert {m.after for m in mutants_of("m.py", line) if m.kind == "number"} == set(numbers)


def test_only_what_is_deleted_from_something_is_missed() -> None:
    kinds = [(m.line, m.kind) for m in mutants_of("m.py", "def f(a, b):\n    del a\n    del b[2:]\n")]
    assert (3, "statement left out") in kinds
    assert not any(line == 2 for line, _ in kinds)


def test_what_is_made_when_a_module_is_imported_is_told_from_what_runs_later() -> None:
    """A default is made once, where the function is defined: giving the function other code changes nothing of it."""
    text = (
        TEXT
        + """
def outer():
    def inner(much=7):
        return much
    return inner
"""
    )
    mutants = mutants_of("m.py", text)
    assert {(m.line, m.statement) for m in mutants if m.at_import} == {(5, 0), (8, 10)}
    assert any(m.line == 22 for m in mutants), "that of an inner function is made whenever the outer one runs"


def test_a_sample_is_drawn_in_proportion_to_lines_and_can_be_drawn_again() -> None:
    texts = {"much": {f"{n}.py": TEXT for n in range(9)}, "little": {"m.py": TEXT}}
    sample = sampled(texts, 7, 50)
    assert sample == sampled(texts, 7, 50)
    assert sample != sampled(texts, 8, 50)
    assert [sum(m.path == "m.py" for m in sample), len(sample)] == [5, 50]


def test_the_lines_of_each_test_are_those_that_it_runs() -> None:
    index: list[tuple[str, int]] = []
    code = instrumented(TEXT, "m.py", index).replace("from mutant_probe import seen as _seen_", "_seen_ = SEEN")

    def lines(n: int) -> set[int]:
        seen = bytearray(100)
        names: dict[str, object] = {"SEEN": seen, "_LOG": pytest, "note": print}
        exec(code.replace("_LOG.warning", "print"), names)
        names["use"](n)  # type: ignore[operator]
        return {index[i][1] for i, byte in enumerate(seen) if byte}

    assert lines(2) == {10, 11, 12, 14, 15, 16, 17, 18}
    with pytest.raises(AssertionError):
        lines(0)


@pytest.mark.parametrize(
    ("budget", "chosen"), [(100.0, ["cheap", "dear", "dearest"]), (5.0, ["cheap", "dear"]), (0.5, ["cheap"])]
)
def test_a_mutant_is_tried_with_the_tests_of_its_line_the_cheapest_first(budget: float, chosen: list[str]) -> None:
    costs: Mapping[str, float] = {"dearest": 9.0, "dear": 3.0, "cheap": 1.0}
    trials = [Trial(name, s, s, frozenset({("m.py", 16)})) for name, s in costs.items()]
    other = Trial("other", 0.1, 0.1, frozenset({("m.py", 13)}))
    cover = CoverMap([*trials, other])
    mutant = next(m for m in mutants_of("m.py", TEXT) if m.after == "total -= i")
    assert [t.name for t in cover.covering(mutant, (), budget)] == chosen
    at_import = next(m for m in mutants_of("m.py", TEXT) if m.line == 5)
    assert [t.name for t in cover.covering(at_import, (), 0.2)] == ["other"], "any test of the module"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system doesn't tell")
def test_a_process_that_waits_for_what_never_comes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant_plugin, "IDLE_S", 0.0)
    here = Pulse(os.getpid())
    assert not here.has_stopped()
    begun = os.times().user
    while os.times().user - begun < 0.2:
        pass
    assert not here.has_stopped(), "it was at work"
    waits = subprocess.Popen(["sleep", "600"])
    try:
        pulse, until = Pulse(waits.pid), time.monotonic() + PATIENCE_S
        while not (found := pulse.has_stopped()) and time.monotonic() < until:
            time.sleep(0.01)
        assert found
        monkeypatch.setattr(here, "ticks", 1 << 60)
        assert not here.has_stopped(), "it has a child, which may be at work"
    finally:
        waits.kill()
        waits.wait()
    assert not pulse.has_stopped(), "of what is over nothing is told"


def test_what_is_asserted_of_lengths_is_left_alone() -> None:
    found = {(m.kind, m.after) for m in mutants_of("m.py", "a = sorted(zip(b, c + 1, strict=True), reverse=True)")}
    assert found == {("arithmetic", "(c - 1)"), ("number", "(0)"), ("number", "2"), ("boolean", "False")}
