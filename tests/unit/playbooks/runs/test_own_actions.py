"""Actions from plug-ins in a run: one that only lets time pass, and one that policy knows by another name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contracts.verdicts import RunState
from playbooks.language.model import Step, Verify
from tests.plugin_dist import install
from tests.unit.playbooks.runs.support import RESTART, Process, World, decision

SOURCE = """
from homeostat.api import Action, Argument, NumberValue, Touches

class Settle(Action):
    name = "settle"
    text = "Let windows close."
    touches = Touches.NOTHING
    arguments = (Argument(key="windows", value=NumberValue(1, 10, whole=True), text="this many", required=True),)

    def pause_s(self, arguments):
        return 2.0 * int(arguments["windows"])

class Ring(Action):
    name = "ring"
    text = "Ring somebody up."
    touches = Touches.SOMEBODY

    @property
    def policy_name(self):
        return "phone"

SETTLE, RING = Settle(), Ring()
"""
BOOK = replace(RESTART, name="own", verify=Verify(()), steps=())


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "acme-own", SOURCE, {"action.settle": ":SETTLE", "action.ring": ":RING"})


async def test_one_that_touches_nothing_waits_without_an_actuator_and_counts_as_no_effect() -> None:
    steps = (
        Step("settle", "settle", {"windows": "${{ replicas }}"}),
        Step("restart", "restart", {}, needs=("settle",)),
    )
    world = World(replace(BOOK, steps=(replace(steps[0], arguments={"windows": 2}), steps[1])))
    await world.executor.on_decision(decision("own"))
    await world.run_to(3)
    assert not world.process.requests, "it waits"
    (entry,) = world.journal.entries.values()
    assert [dict(line.data) for line in entry.steps] == [{"action": "settle", "seconds": 4.0}]
    await world.run_to(8)
    await world.done()
    assert [r.action for r in world.process.requests] == ["restart"]
    assert world.state() is RunState.SUCCEEDED
    told = [(r.step, r.text) for r in world.actions if r.type == "io.homeostat.step.intent"]
    assert told == [("settle", "waiting 4 s"), ("restart", "restart cart")]


async def test_a_pause_that_cannot_be_computed_ends_the_run_and_nothing_was_done() -> None:
    world = World(replace(BOOK, steps=(Step("settle", "settle", {"windows": "${{ replicas }}"}),)))
    await world.executor.on_decision(decision("own"))
    await world.run_to(3)
    await world.done()
    assert world.state() is RunState.FAILED
    assert "settle did not happen: settle: ${{ replicas }}: replicas is not known" in world.actions[-1].text


async def test_policy_is_asked_by_the_name_it_knows() -> None:
    world = World(replace(BOOK, steps=(Step("ring", "ring"),)))
    world.process = Process(actions=frozenset({"ring"}))
    world.born()
    await world.executor.on_decision(decision("own"))
    await world.run_to(2)
    await world.done()
    assert [r.action for r in world.process.requests] == ["ring"]
    asked = world.policy.asked[-1]
    assert asked["action"] == {"kind": "phone", "arguments": {}, "touches": "somebody"}
    assert asked["actions"] == ["command", "phone", "restart", "rollback", "scale", "webhook"]
    assert not world.on("telemetry.changes"), "nothing of the target was changed"
