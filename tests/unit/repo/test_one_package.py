"""What is installed has one top-level name: imports are mapped when the wheel is built, and what couldn't be mapped isn't written."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tools.one_package import INNER, TOP, mapped, write_tree

ROOT = Path(__file__).resolve().parents[3]
MODULES = [p for package in (*INNER, TOP) for p in sorted((ROOT / package).rglob("*.py"))]
PATH = re.compile(rf"({'|'.join(INNER)})(\.\w+)+(:\w+)?")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from contracts.errors import Retryable\n", "from homeostat.contracts.errors import Retryable\n"),
        ("from graph import queries as q  # ü\n", "from homeostat.graph import queries as q  # ü\n"),
        (
            "from models.engine import (\n    A,\n    B,\n)\n",
            "from homeostat.models.engine import (\n    A,\n    B,\n)\n",
        ),
        ("def f():\n    from streams import a\n", "def f():\n    from homeostat.streams import a\n"),
        ("if X: from streams import a\n", "if X: from homeostat.streams import a\n"),
        ('"""from graph import x\n"""\n', '"""from graph import x\n"""\n'),
        (
            "from graphs import x\nfrom homeostat.graph_writer import y\n",
            "from graphs import x\nfrom homeostat.graph_writer import y\n",
        ),
        ("import graphlib\nimport numpy as models\n", "import graphlib\nimport numpy as models\n"),
    ],
)
def test_imports_are_mapped_and_nothing_else(before: str, after: str) -> None:
    assert mapped(before, "x.py") == after


@pytest.mark.parametrize(
    "source",
    ["import contracts\n", "import os, graph.stores as g\n", "from  graph import x\n", "from graph\\\n import x\n"],
)
def test_what_can_not_be_mapped_fails_the_build(source: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py:1: "):
        mapped(source, "x.py")


def test_two_things_of_one_name_fail_the_build(tmp_path: Path) -> None:
    for package in (*INNER, TOP):
        (tmp_path / package).mkdir()
    write_tree(tmp_path, tmp_path / "first")
    (tmp_path / TOP / "models.py").touch()
    with pytest.raises(ValueError, match="homeostat/models would be two things"):
        write_tree(tmp_path, tmp_path / "second")


def test_every_module_can_be_mapped() -> None:
    for module in MODULES:
        name = str(module.relative_to(ROOT))
        after = mapped(module.read_text("utf-8"), name)
        found = {
            (n.module or "").partition(".")[0]
            for n in ast.walk(ast.parse(after))
            if isinstance(n, ast.ImportFrom) and not n.level
        }
        assert not found & set(INNER), name


def _module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name.partition(":")[0]) is not None
    except ModuleNotFoundError:
        return False


def test_no_string_is_the_name_of_a_module() -> None:
    """It would name nothing once installed: `__package__` and `__name__` are right in both places."""
    wrong = [
        f"{module.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and PATH.fullmatch(node.value)
        and _module(node.value)
    ]
    assert wrong == []
