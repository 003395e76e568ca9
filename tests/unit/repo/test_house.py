"""The house stands as drawn: every package says what it is for, the import rules bite, the wheel holds all of it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.names import PACKAGES

ROOT = Path(__file__).resolve().parents[3]

# module -> what it imports: one offender per contract, and per fence that every driver has
OFFENDERS = {
    "contracts/a.py": "import streams",
    "models/a.py": "import graph",
    "graph/a.py": "import ladybug, neo4j",
    "streams/a.py": "import faust, aiokafka, twin",
    "connectors/a.py": "import kubernetes",
}
ALLOWED = {
    "streams/worker.py": "import faust, mode",
    "graph/stores/ladybug.py": "import ladybug",
    "graph/stores/neo4j.py": "import neo4j",
    "connectors/kafka/embedded.py": "import aiokafka, confluent_kafka",
    "connectors/kubernetes/watch.py": "import kubernetes",
    "homeostat/wiring.py": "import streams.worker, graph, connectors, contracts",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_never_lives_in_it(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert docstring is not None
    assert "Here live" in docstring
    assert "Never" in docstring


def test_units_of_time_are_defined_once() -> None:
    """A second counted out in nanoseconds anywhere else is a second definition."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path == ROOT / "contracts/units.py":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                whole = isinstance(node, ast.Constant) and type(node.value) is int and node.value >= 10**9
                if whole and node.value % 10**9 == 0:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    names = {t.id for t in ast.walk(node) if isinstance(t, ast.Name) and isinstance(t.ctx, ast.Store)}
                    if {"SECOND", "MINUTE", "NS", "MILLISECOND"} & names:
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {sorted(names)}")
    assert not found


def test_the_time_is_asked_of_the_one_clock() -> None:
    found = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "time.time_ns" in path.read_text()
    ]
    assert found == ["contracts/ports/clock.py"]


def lint(folder: Path, modules: dict[str, str]) -> dict[str, str]:
    """Verdict per contract for a house that holds only `modules`, under this project's rules."""
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for name in (*(f"{package}/__init__.py" for package in PACKAGES), *modules):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(modules.get(name, ""))
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    output = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    return dict(re.findall(r"^(\S.*?) (KEPT|BROKEN)\b", output, re.MULTILINE))


def test_the_import_rules_bite(tmp_path: Path) -> None:
    verdicts = lint(tmp_path, OFFENDERS)
    assert len(verdicts) == 6
    assert set(verdicts.values()) == {"BROKEN"}, verdicts


def test_the_import_rules_allow_what_they_should(tmp_path: Path) -> None:
    verdicts = lint(tmp_path, ALLOWED)
    assert len(verdicts) == 6
    assert set(verdicts.values()) == {"KEPT"}, verdicts


def installed_as(name: str) -> str:
    """Where a file of the repository's packages lies once it is installed."""
    return name if name.startswith("homeostat/") else f"homeostat/{name}"


def test_the_image_is_given_all_that_the_wheel_is_built_from(tmp_path: Path) -> None:
    """`hatchling build` as the Dockerfile runs it, with the files that .dockerignore lets through and no others."""
    context = tmp_path / "src"
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for name in (line[1:] for line in lines if line.startswith("!")):
        for found in ROOT.glob(name):
            place = context / found.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(found, place)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=context, check=True, capture_output=True
    )
    (wheel,) = (context / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {installed_as(f"{package}/__init__.py") for package in PACKAGES} <= packed
    assert {name.partition("/")[0] for name in packed if ".dist-info/" not in name} == {"homeostat"}
