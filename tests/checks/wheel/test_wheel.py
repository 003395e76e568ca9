"""The wheel stands alone: built from the checkout, installed elsewhere, it runs outside the checkout with all its data."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.otlp.recording import read
from contracts.topics import OTLP_SPANS
from homeostat.reference import settings_reference
from playbooks.language import reader
from tests.patience import LONG_S, PATIENCE_S
from tests.unit.connectors.otlp import builders as build
from tools.names import PACKAGES

ROOT = Path(__file__).resolve().parents[3]
DATA = (".yaml", ".json", ".toml", ".cypher", ".rego", ".sql", ".typed")
USES = """
import asyncio, sys
from importlib import import_module
from pathlib import Path

from homeostat.connectors.journal.sqlite import SqliteJournal
from homeostat.connectors.policy import open_policy
from homeostat.contracts.settings import load
from homeostat.graph import queries
from homeostat.graph.stores import open_store
from homeostat.playbooks.language import reader, schema

for name in sys.argv[1:]:
    print(Path(import_module(name).__file__).resolve())
settings = load({"data_dir": "data"})
settings.data_dir.mkdir()
SqliteJournal(settings.data_dir / "journal.sqlite").close()
store = open_store(settings.graph, settings.data_dir)
assert store.query("MATCH (s:Service) RETURN count(s) AS n") == [{"n": 0}]
store.close()
assert schema.json_schema()["properties"]
asyncio.run(open_policy("").close())
claimed = {"contracts", "connectors", "models", "graph", "playbooks", "streams", "twin", "tests", "tools"}
assert not [m for m in sys.modules if m.split(".")[0] in claimed]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]
Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)], ROOT)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; libraries are this environment's, the checkout is out of sight."""
    folder = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (own / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-index", "--no-deps", "--ignore-installed", str(wheel)], folder)
    return folder


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run a program of the fresh environment in an empty folder; what it printed."""
    return lambda program, *arguments: _run([str(installed / "bin" / program), *arguments], tmp_path)


def _run(command: list[str], folder: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert found.returncode == 0, f"{command}: {found.stdout}{found.stderr}"
    return found.stdout


def test_all_files_are_in_it_and_no_others(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert sum(n.endswith("entry_points.txt") for n in names) == 1
    packed = {n for n in names if ".dist-info/" not in n}
    tracked = {f for f in _run(["git", "ls-files", *PACKAGES], ROOT).split() if (ROOT / f).is_file()}
    assert {n if n.startswith("homeostat/") else f"homeostat/{n}" for n in tracked} == packed
    assert {n.split("/")[0] for n in packed} == {"homeostat"}, (
        "one top-level name, and none that a user's own code may have"
    )
    assert {Path(n).suffix or Path(n).name for n in packed} == {".py", *DATA[:-1], ".typed"}


def test_it_runs_from_there_and_uses_its_own_data(run: Run, installed: Path) -> None:
    names = [p if p == "homeostat" else f"homeostat.{p}" for p in PACKAGES]
    places = run("python", "-c", USES, *names).split()
    assert len(places) == len(PACKAGES)
    assert all(Path(place).is_relative_to(installed.resolve()) for place in places)


def test_commands(run: Run, tmp_path: Path) -> None:
    assert "Begin with" in run("homeostat", "--help")
    names = [line.split()[0] for line in run("homeostat", "playbook", "list").splitlines()]
    assert names == [p.name for p in reader.library()]
    assert run("homeostat", "settings", "--reference") == settings_reference()
    recording = tmp_path / "recorded.jsonl"
    recording.write_bytes(build.as_json(build.traces({"service.name": "cart"}, {}, {})) + b"\n")
    assert [m.topic for m in read([recording])] == [OTLP_SPANS]
    assert "0 incidents, 0 dead letters" in run("homeostat", "replay", str(recording))


EVERY_MODULE = """
import importlib, pkgutil, sys
import homeostat

for found in pkgutil.walk_packages(homeostat.__path__, "homeostat."):
    if not found.name.endswith(("__main__", ".launcher")):  # those are programs
        importlib.import_module(found.name)
print(sorted({m.split(".")[0] for m in sys.modules} & {"contracts", "connectors", "models", "graph", "playbooks", "streams", "twin"}))
"""


def test_every_module_can_be_imported_there_and_none_by_another_name(run: Run) -> None:
    assert run("python", "-c", EVERY_MODULE).splitlines()[-1] == "[]"


def test_packages_of_the_same_names_are_nobodys_business(run: Run, tmp_path: Path) -> None:
    """An application, or a plugin, may have its own `models` and `contracts`, before Homeostat's on the path."""
    for name in PACKAGES[:-1]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("WHOSE = 'the user'\n")
    mine = (
        "import models, contracts; import homeostat.api, homeostat.runtime; print(models.WHOSE, '|', contracts.WHOSE)"
    )
    assert run("python", "-c", mine).strip() == "the user | the user"


def test_the_whole_loop_runs_from_there(run: Run, tmp_path: Path) -> None:
    """`homeostat up` comes up, says that it is well, and ends when told to."""
    ports = ["--grpc-port", "0", "--http-port", "0", "--api-port", "0"]
    program = f"""
import signal, subprocess, sys, time
from pathlib import Path
from homeostat.endpoints import running
up = subprocess.Popen([str(Path(sys.executable).with_name("homeostat")), "--data-dir", "data", "up", *{ports!r}], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
until = time.monotonic() + {PATIENCE_S}
while running(Path("data")) is None and up.poll() is None and time.monotonic() < until:
    time.sleep(0.1)
print("up" if running(Path("data")) else "down")
up.send_signal(signal.SIGTERM)
errors = up.communicate(timeout={PATIENCE_S})[1].decode()
print(up.returncode, "Traceback" in errors, errors if "Traceback" in errors else "")
"""
    assert run("python", "-c", program).split() == ["up", "0", "False"]
