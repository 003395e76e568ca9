"""What `make test` leaves to `make test-long`: cases of tests of which it tries others, and no test as a whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.representatives import representatives

ROOT = Path(__file__).resolve().parents[3]
CASES = ["a", ("b", 1), pytest.param("c", 2, marks=pytest.mark.slow, id="third")]


def told(cases: list[object]) -> list[tuple[object, set[str]]]:
    """Values of cases with the names of their marks."""
    return [(c.values, {m.name for m in c.marks}) if hasattr(c, "marks") else (c, set()) for c in cases]


def test_what_is_not_chosen_is_long_and_keeps_its_marks() -> None:
    assert told(representatives(CASES, "a")) == [("a", set()), (("b", 1), {"long"}), (("c", 2), {"slow", "long"})]
    assert told(representatives(CASES, ("b", 1), ("c", 2)))[1:] == [(("b", 1), set()), (("c", 2), {"slow"})]
    assert representatives(CASES, "a")[2].id == "third"


@pytest.mark.parametrize("chosen", [(), ("d",), ("a", "d"), (("b", 2),)])
def test_nothing_or_something_else_cannot_be_chosen(chosen: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match="no such cases"):
        representatives(CASES, *chosen)


def test_only_cases_are_long() -> None:
    """Whoever chooses among cases keeps one; a mark on a test would take it out of `make test`."""
    found = [p for p in (ROOT / "tests").rglob("*.py") if re.search(r"mark\.long\b", p.read_text("utf-8"))]
    assert [str(p.relative_to(ROOT)) for p in found if p != Path(__file__)] == ["tests/representatives.py"]


def test_one_of_two_targets_runs_each_case() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    chosen = dict(re.findall(r"^(test|test-long): setup.*\n\t\$\(BIN\)/pytest .*-m (.+)$", makefile, re.MULTILINE))
    assert chosen == {"test": '"not long"', "test-long": "long"}
    assert re.search(
        r"^for target in check test test-long test-services;", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE
    )
