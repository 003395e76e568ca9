"""No test has a time limit of its own: what the suite concludes must not depend on how quick the machine is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
WAITS = frozenset({"timeout", "wait_for", "join", "wait", "communicate"})
"""Calls whose number is a limit for something to come about."""
SEEN_NOT_TO_COME = frozenset({"asyncio.wait"})
"""How long it is looked whether something comes that must not: a slow machine only sees less."""
EXPORTS = frozenset({"HttpSpanExporter"})
"""The limit of an export that is to fail either way."""


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def _elapsed(node: ast.AST) -> bool:
    return "monotonic() -" in ast.unparse(node)


def _limits(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines at which a number of seconds is what something must not take."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = [k.value for k in node.keywords if k.arg == "timeout" and name not in SEEN_NOT_TO_COME | EXPORTS]
            if name.rpartition(".")[2] in WAITS:
                given += node.args
            if any(_is_number(g) for g in given):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt | ast.LtE) and _elapsed(node.left):
            yield node.lineno, ast.unparse(node)


def test_waits_have_the_one_bound_that_is_generous() -> None:
    found = [
        f"{path.relative_to(TESTS.parent)}:{line} {text}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.relative_to(TESTS).parts[0] != "services"
        for line, text in _limits(ast.parse(path.read_text()))
    ]
    assert not found, "use tests.patience: " + "; ".join(found)


@pytest.mark.parametrize(
    ("code", "is_limit"),
    [
        ("asyncio.timeout(30)", True),
        ("asyncio.timeout(PATIENCE_S)", False),
        ("pytest.mark.timeout(60)", True),
        ("asyncio.wait_for(x.wait(), 5)", True),
        ("subprocess.run(x, timeout=60)", True),
        ("thread.join(10)", True),
        ("', '.join(words)", False),
        ("asyncio.wait([x], timeout=0.5)", False),
        ("assert time.monotonic() - began < 20", True),
        ("assert time.monotonic() - began >= 0.2", False),
    ],
)
def test_what_is_a_limit(code: str, is_limit: bool) -> None:
    assert bool(list(_limits(ast.parse(code)))) is is_limit
