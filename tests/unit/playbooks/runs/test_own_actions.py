"""Actions from plugins in a run: one that only lets time pass, and one that policy knows by another name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.actions import action_of
from contracts.errors import ActionFailed
from contracts.ports import TargetState
from contracts.verdicts import RunState
from playbooks.guards import outage_of, planned_replicas
from playbooks.language import inspect
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

    def also_affects(self, arguments, state):
        return ("web", "cart", "web", *("idle",) * (state.ready == 0))

class Broken(Action):
    name = "break"
    text = "Fail in one question."
    undo = "{name: undo, action: break}"
    fails = ""

    def __getattribute__(self, asked):
        if asked == type(self).fails:
            raise ZeroDivisionError("boom")
        return super().__getattribute__(asked)

SETTLE, RING, BROKEN = Settle(), Ring(), Broken()
"""
QUESTIONS = (
    "normalised", "mistakes", "absolute", "restored", "ensure_as_written", "variant", "replicas", "taken", "outage", "also_affects",
    "refusal", "unable", "pointless", "words", "levels", "simulated",
)  # fmt: skip
ONLY_WORDS = {"words", "levels", "simulated", "normalised", "mistakes"}
"""What a run does not need, or is asked before there is one."""
BREAKS = """\
apiVersion: homeostat.io/v1
kind: Playbook
metadata: {name: breaks, version: "1", description: It fails.}
trigger: {match: {cause: errors}}
tier: 1
rollback: []
steps:
  - {name: break, action: break}
verify: {checks: [{feature: error_rate}]}
"""
STATE = TargetState(2, 2)
BOOK = replace(RESTART, name="own", verify=Verify(()), steps=())


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(
        monkeypatch,
        tmp_path,
        "acme-own",
        SOURCE,
        {"action.settle": ":SETTLE", "action.ring": ":RING", "action.break": ":BROKEN"},
    )


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
    assert asked["actions"] == [
        *("break", "command", "drain", "flag", "phone", "restart", "rollback", "scale", "shift", "webhook")
    ]
    assert asked["blast_radius"] == ["web", "cart"], "whom it affects besides, each once"
    assert not world.on("telemetry.changes"), "nothing of the target was changed"


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("tier", [1, 2])
async def test_one_that_fails_in_a_question_is_not_done_and_harms_nothing_else(
    question: str, tier: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert action_of("break").name == "break", "it is read before it fails"
    monkeypatch.setattr(sys.modules["acme_own"].Broken, "fails", question)
    book = replace(BOOK, tier=tier, steps=(Step("break", "break"),), rollback=(Step("undo", "break"),))
    world = World(
        replace(book, verify=RESTART.verify), replace(RESTART, guards=replace(RESTART.guards, cooldown_s=0.0))
    )
    world.process = Process(actions=frozenset({"break", "restart"}))
    world.born()
    await world.executor.on_decision(decision("own"))
    await world.run_to(60, error=0.6)
    did = [r.action for r in world.process.requests]
    if question in ONLY_WORDS or (question == "pointless" and tier == 1):
        assert (did, world.state()) == (["break", "break"], RunState.ROLLED_BACK)
    elif question == "restored":
        assert (did, world.state()) == (["break"], RunState.FAILED)
    else:
        assert (did, world.state()) == ([], RunState.REFUSED)
    await world.executor.on_decision(decision(name="d2", now_ns=world.clock.now_ns()))
    await world.run_to(65, error=0.6)
    await world.done()
    assert [r.action for r in world.process.requests[len(did) :]] == ["restart"]
    end = [r.text for r in world.actions if r.decision == "d1"][-1]
    assert ("action break of a plugin fails: ZeroDivisionError: boom" in end) is (len(did) < 2), end


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_playbook_with_one_that_fails_is_read_or_refused_with_its_place(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert action_of("break").name == "break"
    monkeypatch.setattr(sys.modules["acme_own"].Broken, "fails", question)
    playbook, problems = inspect("b.yaml", BREAKS.encode())
    if question in {"normalised", "mistakes"}:
        assert [str(p) for p in problems] == [
            "b.yaml:8:5: action break of a plugin fails: ZeroDivisionError: boom; mend or uninstall its plugin [action_fault]"
        ]
    else:
        assert playbook is not None, problems
        outage_of(playbook, STATE)
        if question in {"absolute", "replicas"}:
            with pytest.raises(ActionFailed, match="boom"):
                planned_replicas(playbook, STATE, {})
        else:
            assert planned_replicas(playbook, STATE, {}) == ()
