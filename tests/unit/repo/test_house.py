"""The house stands as drawn: every package says what it is for, the import rules bite, the wheel holds all of it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("contracts", "connectors", "models", "graph", "playbooks", "streams", "homeostat")

# module -> what it imports: one offender per contract, and per fence that every driver has
OFFENDERS = {
    "contracts/a.py": "import streams",
    "models/a.py": "import graph",
    "graph/a.py": "import ladybug, neo4j",
    "streams/a.py": "import faust, aiokafka",
    "connectors/a.py": "import kubernetes",
}
ALLOWED = {
    "streams/worker.py": "import faust, mode",
    "graph/stores/ladybug.py": "import ladybug",
    "graph/stores/neo4j.py": "import neo4j",
    "connectors/kafka/embedded.py": "import aiokafka, confluent_kafka",
    "connectors/kubernetes/watch.py": "import kubernetes",
    "connectors/actuators/kubernetes.py": "import kubernetes.client",
    "homeostat/wiring.py": "import streams.worker, graph, connectors, contracts",
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_never_lives_in_it(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert docstring is not None
    assert "Here live" in docstring
    assert "Never" in docstring


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
    assert len(verdicts) == 5
    assert set(verdicts.values()) == {"BROKEN"}, verdicts


def test_the_import_rules_allow_what_they_should(tmp_path: Path) -> None:
    verdicts = lint(tmp_path, ALLOWED)
    assert len(verdicts) == 5
    assert set(verdicts.values()) == {"KEPT"}, verdicts


def installed_as(name: str) -> str:
    """Where a file of the repository's packages lies once it is installed."""
    return name if name.startswith("homeostat/") else f"homeostat/{name}"


def test_the_wheel_holds_every_package_and_its_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert {installed_as(name) for name in tracked if (ROOT / name).is_file()} <= packed
    assert not [name for name in packed if name.startswith(("tests/", "tools/", "docs/"))]
    entry_points = [name for name in packed if name.endswith("entry_points.txt")]
    assert len(entry_points) == 1
