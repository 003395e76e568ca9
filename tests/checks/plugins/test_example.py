"""The example plugins pass the suites of their ports: from the checkout, and installed beside the wheel in an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

from contracts import plugins
from contracts.settings import Settings, load
from homeostat.plugins import PLUGIN_KINDS, check, find, reports
from tests.patience import LONG_S, PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "acme-homeostat"
POINTS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
NAMES = {group.removeprefix("homeostat."): next(iter(points)) for group, points in POINTS.items()}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]


@pytest.fixture
def from_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The example as an installer would lay it, without one."""
    info = tmp_path / "acme_homeostat-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-homeostat\nVersion: 1.0.0\n")
    lines = [
        line for group, points in POINTS.items() for line in (f"[{group}]", *(f"{n} = {v}" for n, v in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return load({"plugins": {"desired-state": {"folder": "x"}, "measurements-db": {"file": "x"}}}, environ={})


def test_there_is_one_example_of_each_kind() -> None:
    assert set(NAMES) == set(PLUGIN_KINDS)
    assert {f"homeostat.{kind}" for kind in NAMES} <= set(plugins.GROUPS)


@pytest.mark.parametrize("kind", sorted(PLUGIN_KINDS))
async def test_every_example_passes_its_suite(kind: str, from_checkout: Settings) -> None:
    found = [outcome async for outcome in check(find(NAMES[kind]), from_checkout)]
    assert len(found) == len(PLUGIN_KINDS[kind].suite.CHECKS)
    assert [o for o in found if o.problem] == []


def test_they_are_listed_with_their_settings(from_checkout: Settings) -> None:
    found = {(r.kind, r.name): r for r in reports(from_checkout, built_in=False)}
    assert set(found) == set(NAMES.items())
    assert [r for r in found.values() if r.problem or r.in_use] == []
    assert found["sink", "events-db"].settings == {"plugins.events-db.file": "SQLite file with the table `events`"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheels of Homeostat and of the example. Libraries are this environment's: no registry is asked."""
    base = tmp_path_factory.mktemp("plugins")
    for project in (ROOT, EXAMPLE):
        _run(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(base / "dist")],
            project,
        )
    venv.create(base / "env", with_pip=False)
    own = Path(sysconfig.get_path("purelib", vars={"base": str(base / "env"), "platbase": str(base / "env")}))
    (own / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    wheels = [str(wheel) for wheel in (base / "dist").glob("*.whl")]
    assert len(wheels) == 2
    python = str(base / "env" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--no-index", "--no-deps", "--ignore-installed", *wheels], base)
    return base / "env" / "bin"


def _run(command: list[str], folder: Path, status: int = 0) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    found = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert found.returncode == status, f"{command}: {found.stdout}{found.stderr}"
    return found.stdout + found.stderr


def test_installed_beside_the_wheel_they_are_found_checked_and_used(environment: Path, tmp_path: Path) -> None:
    homeostat = str(environment / "homeostat")
    (tmp_path / "state").mkdir()
    config = tmp_path / "homeostat.yaml"
    config.write_text(
        "detect: {detectors: [bank, cantelli]}\n"
        "act: {actuators: [desired-state], policy: freeze, environments: {default: {}}}\n"
        "sinks: {use: [events-db]}\n"
        "plugins:\n  desired-state: {folder: state}\n  events-db: {file: events.sqlite}\n"
    )
    listed = json.loads(_run([homeostat, "--config", str(config), "plugin", "list", "--json"], tmp_path))
    ours = {(r["kind"], r["name"]): r["in_use"] for r in listed if r["brought_by"] == "acme-homeostat 1.0.0"}
    assert ours == {(k, n): k in {"actuator", "detector", "policy", "sink"} for k, n in NAMES.items()}
    checked = ("actuator", "detector", "sink")
    said = _run([homeostat, "--config", str(config), "plugin", "check", *(NAMES[kind] for kind in checked)], tmp_path)
    for kind in checked:
        assert (
            f"{len(PLUGIN_KINDS[kind].suite.CHECKS)} checks passed"
            in said.partition(f"'{NAMES[kind]}' of")[2].split("\n")[0]
        )
    doctor = _run([homeostat, "--config", str(config), "doctor"], tmp_path, status=1)  # nothing runs yet
    assert "ok  plugin     actuator 'desired-state' of acme-homeostat 1.0.0\n" in doctor
    assert "ok  plugin     source 'measurements-db' of acme-homeostat 1.0.0, not in use\n" in doctor
    config.write_text("plugins:\n  events-db:\n    fil: x\n")
    wrong = _run([homeostat, "--config", str(config), "settings"], tmp_path, status=1)
    assert f"{config}:3: plugins.events-db.fil: unknown setting, did you mean 'plugins.events-db.file'?" in wrong
