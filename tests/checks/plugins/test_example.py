"""The example plugins pass the suites of their ports: from the checkout, and installed beside the wheel in an empty environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import sysconfig
import time
import tomllib
import venv
from pathlib import Path

import pytest

from contracts import plugins
from contracts.checks.sink import published
from contracts.frames import EvidenceFrame, unpack
from contracts.settings import Settings, load
from contracts.topics import EVIDENCE
from homeostat.plugins import PLUGIN_KINDS, check, find, reports
from homeostat.runtime import Runtime
from tests.patience import LONG_S, PATIENCE_S
from tests.plugin_dist import started_anew

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "acme-homeostat"
POINTS = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
ALL = {(group.removeprefix("homeostat."), name) for group, points in POINTS.items() for name in points}
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
    started_anew(monkeypatch)
    return load(
        {"plugins": {"desired-state": {"folder": "x"}, "measurements-db": {"file": "x"}, "door": {"file": "x"}}},
        environ={},
    )


def test_there_is_one_example_of_each_kind() -> None:
    assert set(NAMES) == set(PLUGIN_KINDS)
    assert {f"homeostat.{kind}" for kind in NAMES} <= set(plugins.GROUPS)


@pytest.mark.parametrize(("kind", "name"), sorted(ALL))
async def test_every_example_passes_its_suite(kind: str, name: str, from_checkout: Settings) -> None:
    found = [outcome async for outcome in check(find(name), from_checkout)]
    assert len(found) == len(PLUGIN_KINDS[kind].suite.CHECKS)
    assert [o for o in found if o.problem] == []


def test_they_are_listed_with_their_settings(from_checkout: Settings) -> None:
    found = {(r.kind, r.name): r for r in reports(from_checkout, built_in=False)}
    assert set(found) == ALL
    assert [r for r in found.values() if r.problem] == []
    assert [r.name for r in found.values() if r.in_use] == ["shed"], "every action that is installed is in use"
    assert found["sink", "events-db"].settings == {"plugins.events-db.file": "SQLite file with the table `events`"}


@pytest.mark.usefixtures("from_checkout")
async def test_they_run_in_a_running_homeostat(tmp_path: Path) -> None:
    """Measurements come in by the source, are judged by the detector, incidents go out by the sink; actuator, policy and graph store
    are those of the example."""
    measurements, events, wanted = tmp_path / "m.sqlite", tmp_path / "e.sqlite", tmp_path / "wanted"
    wanted.mkdir()
    settings = load(
        {
            "data_dir": str(tmp_path / "data"),
            "api": {"port": 0},
            "receivers": {"enabled": False},
            "detect": {"detectors": ["cantelli"], "warmup_windows": 5},
            "act": {"actuators": ["desired-state"], "policy": "freeze"},
            "graph": {"store": "slow-log"},
            "sinks": {"use": ["events-db"]},
            "sources": {"use": ["measurements-db"]},
            "plugins": {
                "desired-state": {"folder": str(wanted)},
                "events-db": {"file": str(events)},
                "freeze": {"file": str(tmp_path / "freeze.txt")},
                "measurements-db": {"file": str(measurements), "every_s": 0.1},
            },
        },
        environ={},
    )
    runtime = Runtime(settings)
    await runtime.start()
    try:
        assert runtime.status()["acting"]["actuators"] == ["desired-state"]
        with contextlib.closing(sqlite3.connect(measurements)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS measurements (id INTEGER PRIMARY KEY, measurement TEXT)")
            for n in range(5):
                measurement = {
                    "service": "cart",
                    "timestamp": time.time() - 5 + n,
                    "latencies_ms": [10.0],
                    "responses": [{"status": 200}],
                }
                db.execute("INSERT INTO measurements (measurement) VALUES (?)", (json.dumps(measurement),))
        incident = published(1)
        await runtime.broker.send(incident.topic, incident.value, key=incident.key.encode(), partition=0)
        async with asyncio.timeout(PATIENCE_S):
            async for record in runtime.broker.read([EVIDENCE], follow=True):
                if "cart" in unpack(EvidenceFrame, record.value).services:
                    break
            while _rows(measurements, "SELECT id FROM measurements") or not _rows(events, "SELECT id FROM events"):
                await asyncio.sleep(0.05)
        assert _rows(events, "SELECT id FROM events") == [(incident.id,)]
        assert runtime.status()["sources"]["measurements-db"]["received"] == 5
    finally:
        await runtime.stop()


def _rows(file: Path, query: str) -> list[tuple[str, ...]]:
    if not file.exists():
        return []
    with contextlib.closing(sqlite3.connect(file)) as db:
        return db.execute(query).fetchall()


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
    in_use = {"shed", "desired-state", "cantelli", "freeze", "events-db"}
    assert ours == {(kind, name): name in in_use for kind, name in ALL}
    checked = ("action", "actuator", "detector", "sink")
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
