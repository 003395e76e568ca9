"""kill −9 at every boundary of a run: the effect happened exactly once or the run says `unknown`; never twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from playbooks.audit import verify_chain
from tests.checks.crash.stories import flaws
from tests.patience import LONG_S

ROOT = Path(__file__).parents[3]


def cases(folder: Path, variant: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.checks.crash.lives", str(folder), variant]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(all(case["died"]) for case in found) > 50, "the boundaries were not reached"
    return found


def times(case: dict[str, Any]) -> Counter[str]:
    return Counter(effect["step"] for effect in case["effects"])


def check_trail(case: dict[str, Any]) -> None:
    assert all(effect["announced"] for effect in case["effects"]), "an effect without a prior audit event"
    assert verify_chain(line.encode() for line in case["messages"]).intact, case["deaths"]
    assert set(case["kept"]) == set(case["messages"]), "what the journal keeps and what the world read differ"
    assert flaws(json.loads(line) for line in case["messages"]) == [], case["deaths"]


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
def test_the_effect_happens_exactly_once(tmp_path: Path) -> None:
    for case in cases(tmp_path, "sighted"):
        assert case["state"] == "succeeded", case["deaths"]
        assert times(case) == {"grow": 1, "restart": 1}, case["deaths"]
        check_trail(case)


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
def test_where_it_cannot_be_known_the_run_says_unknown(tmp_path: Path) -> None:
    states = Counter[str]()
    for case in cases(tmp_path, "blind"):
        states[case["state"]] += 1
        assert all(count == 1 for count in times(case).values()), case["deaths"]
        if case["state"] == "succeeded":
            assert times(case) == {"grow": 1, "restart": 1}, case["deaths"]
        else:
            assert case["state"] == "unknown", case["deaths"]
            assert "a person must look" in case["messages"][-1]
        check_trail(case)
    assert states["unknown"] >= 4, "dying between intent and outcome leaves it unknown"


@pytest.mark.slow
@pytest.mark.timeout(LONG_S)
def test_kills_at_random_moments_with_processes_as_targets(tmp_path: Path) -> None:
    """`TEST_KILLS=300 pytest tests/checks/crash -k random` kills as often."""
    kills = os.environ.get("TEST_KILLS", "6")
    command = [sys.executable, "-m", "tests.checks.crash.random_kills", str(tmp_path / "kills"), kills]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found = json.loads(done.stdout)
    assert found["kills"] == int(kills)
    assert found["wrong"] == []
    assert found["states"].get("succeeded", 0) > found["decisions"] / 2, "hardly anything was done at all"
