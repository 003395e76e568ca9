"""Constants of judgement stand in one table per wing, with words on where they come from, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TABLES = {
    "graph": ("ranking.py", "grouping.py", "evidence/*.py", "diagnosis/assess.py"),
    "models": (
        "harm.py",
        "episodes.py",
        "fusion.py",
        "saturation.py",
        "engine.py",
        "episode_judge.py",
        "level_adoption.py",
        "strictness.py",
        "low_traffic/reasons.py",
        "low_traffic/watch.py",
        "low_traffic/latency.py",
    ),
}
"""By wing: the modules that judge, which hold no number of their own."""
MATHEMATICS = {0.5, 0.375, 1.2533, 0.3, 0.8}
"""Anscombe's 3/8, Mills' ratio and its bounds, halves."""
HUGE, TINY = 100.0, 1e-2
"""Factors of units and guards against division by zero lie beyond."""


def table(wing: str) -> Path:
    return ROOT / wing / "judgement.py"


def constants(path: Path) -> dict[str, ast.AnnAssign]:
    found = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.AnnAssign))
    return {n.target.id: n for n in found if isinstance(n.target, ast.Name)}


def modules(wing: str) -> Iterator[Path]:
    for pattern in TABLES[wing]:
        found = sorted((ROOT / wing).glob(pattern))
        assert found, pattern
        yield from found


@pytest.mark.parametrize("wing", TABLES)
def test_every_constant_is_explained_and_used(wing: str) -> None:
    body = ast.parse(table(wing).read_text()).body
    open_: list[str] = []
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            open_.append(node.target.id)
        elif isinstance(node, ast.Expr):
            open_ = []
    assert not open_, f"nothing is said of {open_}"
    others = [p for p in (ROOT / wing).rglob("*.py") if p != table(wing)]
    used = {n.id for p in others for n in ast.walk(ast.parse(p.read_text())) if isinstance(n, ast.Name)}
    own = {
        n.id
        for n in ast.walk(ast.parse(table(wing).read_text()))
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    assert constants(table(wing)).keys() - used - own == set()


@pytest.mark.parametrize("wing", TABLES)
def test_modules_that_judge_have_no_numbers_of_their_own(wing: str) -> None:
    found = []
    for path in modules(wing):
        for node in ast.walk(ast.parse(path.read_text())):
            value = node.value if isinstance(node, ast.Constant) else None
            if (
                isinstance(value, float)
                and not value.is_integer()
                and value not in MATHEMATICS
                and TINY <= value <= HUGE
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {value}")
    assert found == [], f"numbers of judgement belong in {wing}/judgement.py"


@pytest.mark.parametrize("wing", TABLES)
def test_no_name_of_the_table_is_set_elsewhere(wing: str) -> None:
    names, found = constants(table(wing)).keys() - {"DECAY"}, []
    for path in modules(wing):
        found += [f"{path.relative_to(ROOT)}: {name}" for name in constants(path).keys() & names]
    assert found == []
