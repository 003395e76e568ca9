"""The action and the actuator of the example load_shedding.py: one file, registered as a plugin, and known everywhere."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

import connectors.policy
from connectors.actuators.dry_run import DryRunActuator
from connectors.actuators.registry import open_actuators
from connectors.policy.rego import RegoPolicy, built_in
from contracts.actions import installed_actions
from contracts.checks import action as action_suite
from contracts.checks import actuator as actuator_suite
from contracts.errors import InvalidPlaybook
from contracts.events import Change, decode
from contracts.ports import StepEntry, StepRequest, Target, TargetState
from contracts.settings import ActSettings, BindingSettings, load
from contracts.verdicts import Conduct, HeldReason, RunState, StepPhase
from homeostat.cli.app import cli
from homeostat.reference import actions_reference
from playbooks.guards import GuardContext, Standing, check, outage_of
from playbooks.guards.context import acted
from playbooks.language import Playbook, inspect, read_all
from playbooks.language.reference import reference
from playbooks.language.schema import json_schema
from playbooks.runs.journal_records import Announced, save_announced
from playbooks.runs.plan import key_of, plan_from
from tests.patience import PATIENCE_S
from tests.plugin_dist import install, started_anew
from tests.unit.playbooks.runs.support import T0, World, approval, decision

SOURCE = Path(__file__).parents[3] / "docs" / "examples" / "acme-homeostat" / "acme_homeostat" / "load_shedding.py"
PLAYBOOK = """\
apiVersion: homeostat.io/v1
kind: Playbook
metadata: {name: relieve, version: "1", description: Turn half of the requests away at the door.}
trigger: {match: {cause: saturation}}
tier: 2
guards: {blastRadius: 1}
steps:
  - {name: shed, action: shed, with: {admit: 0.5}}
verify: {checks: [{feature: error_rate}], for: 3s, within: 30s}
rollback:
  - {name: open, action: shed, with: {admit: before}}
"""
STATE = TargetState(2, 2, detail={"admit": "1.0", "behind": "orders catalog"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is on the import path, with the plugin, a file of doors, and the playbook."""
    points = {"action.shed": ":SHED", "actuator.door": ":DOOR"}
    install(monkeypatch, tmp_path, "load-shedding", SOURCE.read_text("utf-8"), points)
    doors = {name: {"admit": 1.0, "replicas": 2, "ready": 2} for name in ("cart", "orders")}
    (tmp_path / "doors.json").write_text(json.dumps(doors))
    (tmp_path / "relieve.yaml").write_text(PLAYBOOK)
    return tmp_path


def uninstall(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in folder.glob("*.dist-info/entry_points.txt"):
        file.unlink()
    importlib.invalidate_caches()
    started_anew(monkeypatch)
    assert "shed" not in installed_actions()


def book(text: str = PLAYBOOK) -> Playbook:
    found, problems = inspect("relieve.yaml", text.encode())
    assert found is not None, problems
    return found


def module() -> ModuleType:
    return importlib.import_module("load_shedding")


def doors(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "doors.json").read_text())
    return found


def world(folder: Path) -> World:
    """An executor's world in which the actuator is the door."""
    bound = {"test": BindingSettings()}
    found = World(book(), settings=ActSettings(audit_ack_s=PATIENCE_S, environments=bound))
    settings = load({"act": {"actuators": ["door"]}, "plugins": {"door": {"file": str(folder / "doors.json")}}})
    (found.process,) = open_actuators(settings.act, settings.plugins)  # type: ignore[assignment]
    found.policy = built_in()  # type: ignore[assignment]
    found.born()
    return found


async def fail(found: World, seconds: float) -> None:
    await found.run_to(seconds, error=0.6)


# --- the rules of actions and actuators


@pytest.mark.parametrize("check", action_suite.CHECKS)
def test_it_is_an_action(check: action_suite.Check, folder: Path) -> None:
    check(lambda: module().SHED)


@pytest.mark.parametrize("check", actuator_suite.CHECKS)
async def test_its_actuator_is_one(check: actuator_suite.Check, folder: Path) -> None:
    own = module().DoorSettings(file=folder / "doors.json")
    await check(
        actuator_suite.Subject(
            open=lambda: module().DoorActuator(own, ActSettings()),
            target=Target("test", "cart"),
            effects=lambda: sum(len(d.get("keys", ())) for d in doors(folder).values()),
            arguments={"shed": {"admit": 0.5}},
            unlisted="cart",
        )
    )


# --- the language


def test_a_playbook_that_uses_it_is_read_and_has_a_schema(folder: Path) -> None:
    (found,) = read_all([folder / "relieve.yaml"])
    assert found.steps[0].arguments == {"admit": 0.5}
    assert found.rollback[0].arguments == {"admit": "before"}
    jsonschema.validate(YAML(typ="safe").load(PLAYBOOK), json_schema())
    wrong = YAML(typ="safe").load(PLAYBOOK.replace("admit: 0.5", "admit: 2"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("admit: 0.5", "admit: 2", "8:46: 'admit' must be 0 to 1, not 2 [out_of_range]"),
        ("admit: 0.5", "admit: before", "8:46: 'admit': 'before' is only known in rollback steps [before]"),
        ("with: {admit: 0.5}", "with: {admits: 1}", "8:39: unknown key 'admits' in action shed; did you mean 'admit'?"),
        (", with: {admit: 0.5}", "", "8:5: action shed needs 'with' holding 'admit' [missing]"),
        ('"1"', "'${{'", "3:36: 'version' must be a version"),
        (
            "rollback:\n  - {name: open, action: shed, with: {admit: before}}\n",
            "",
            "8:26: 'shed' can't undo itself: add 'rollback'; such as {name: open, action: shed, with: {admit: before}}; or",
        ),
        ("action: shed, with: {admit: 0.5", "action: shedd, with: {admit: 0.5", "8:26: unknown action 'shedd'; did you mean 'shed'? valid: scale, restart, rollback, drain, wait, webhook, command, shed"),
    ],
)  # fmt: skip
def test_its_arguments_are_checked_as_those_of_any_action(old: str, new: str, said: str, folder: Path) -> None:
    assert old in PLAYBOOK
    _, problems = inspect("relieve.yaml", PLAYBOOK.replace(old, new, 1).encode())
    assert any(str(p).startswith(f"relieve.yaml:{said}") for p in problems), [str(p) for p in problems]


def test_a_playbook_is_refused_where_the_action_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(folder, monkeypatch)
    with pytest.raises(InvalidPlaybook) as refused:
        read_all([folder / "relieve.yaml"])
    valid = "valid: scale, restart, rollback, drain, wait, webhook, command [unknown_action]"
    assert f"relieve.yaml:8:26: unknown action 'shed'; {valid}" in str(refused.value)
    linted = CliRunner().invoke(cli, ["playbook", "lint", str(folder / "relieve.yaml")])
    assert (linted.exit_code, "8:26: unknown action 'shed'" in linted.output) == (1, True)


def test_lint_the_schema_command_and_both_references_know_it(folder: Path) -> None:
    linted = CliRunner().invoke(cli, ["playbook", "lint", str(folder / "relieve.yaml")])
    assert (linted.exit_code, linted.output) == (0, "1 playbooks, no mistakes\n")
    schema = CliRunner().invoke(cli, ["playbook", "schema"])
    assert '"shed"' in schema.output
    assert "### action: shed\n\nLet only a share of the target's requests in. Needs `rollback`" in reference([])
    assert "| `shed` | the target | Let only a share of the target's requests in. |" in actions_reference()


# --- deciding


def held(state: TargetState, text: str = PLAYBOOK, **context: Any) -> str:
    found = GuardContext(now_ns=T0, known_services=("cart", "orders", "catalog", "web"), **context)
    verdict = check(book(text), Target("test", "cart"), state, found)
    return "" if verdict is None else f"{verdict.reason}: {verdict.text}"


def test_guards_ask_it(folder: Path) -> None:
    narrow = PLAYBOOK.replace("blastRadius: 1", "blastRadius: 0.5")
    assert held(STATE) == ""
    assert held(STATE, narrow) == "blast_radius: 3 of 4 services acted on at once, at most 2 are allowed"
    assert held(replace(STATE, detail={"admit": "1.0"}), narrow) == ""
    assert held(replace(STATE, detail={})) == "not_capable: cart has no door"
    assert held(replace(STATE, refusals={"shed": "the door is the doorman's"})) == "owned: the door is the doorman's"
    assert held(STATE, actions=frozenset({"scale"})) == "not_capable: no actuator can shed"


def test_more_demand_than_usual_is_a_reason_for_it_and_else_an_innocent_is_left_alone(folder: Path) -> None:
    well = Standing(Conduct.AS_BEFORE, "it answers as before")
    assert held(STATE, standing=well).startswith("innocent: cart is not to blame")
    assert held(STATE, standing=replace(well, demand=True)) == ""
    both = PLAYBOOK.replace("steps:\n", "steps:\n  - {name: again, action: restart}\n")
    assert held(STATE, both, standing=replace(well, demand=True)).startswith("innocent")


def test_a_guard_says_what_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = book()
    uninstall(folder, monkeypatch)
    verdict = check(found, Target("test", "cart"), STATE, GuardContext(now_ns=T0, actions=frozenset({"shed", "scale"})))
    assert verdict is not None
    assert (verdict.reason, "action 'shed' is not installed here" in verdict.text) == (HeldReason.NOT_CAPABLE, True)


def test_shutting_the_door_is_an_outage_that_a_person_must_agree_to(folder: Path) -> None:
    shut = book(PLAYBOOK.replace("admit: 0.5", "admit: 0"))
    assert outage_of(shut, STATE).startswith("shed takes away all 2 instances that serve at once")
    assert outage_of(book(), STATE) == ""


# --- runs


async def test_a_run_does_it_and_takes_it_back_when_it_does_not_help(folder: Path) -> None:
    found = world(folder)
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 5)
    assert doors(folder)["cart"]["admit"] == 0.5
    await fail(found, 45)
    assert found.state() is RunState.ROLLED_BACK
    await found.done()
    assert doors(folder)["cart"]["admit"] == 1.0
    assert doors(folder)["orders"] == {"admit": 1.0, "replicas": 2, "ready": 2}
    intents = [r for r in found.actions if r.type == "io.homeostat.step.intent"]
    assert [r.text for r in intents] == ["admit 50% of the requests of cart", "admit 100% of the requests of cart"]
    changes = [decode(Change, body) for body in found.on("telemetry.changes")]
    assert [(c.kind, c.before, c.after, c.text) for c in changes] == [
        ("shed", "1.0", "0.5", "relieve: shed cart 1.0 → 0.5"),
        ("shed", "0.5", "1.0", "relieve: shed cart 0.5 → 1.0"),
    ]
    assert found.graph[-1].rows[0]["state"] == "rolled_back"


async def test_tier_2_does_nothing_that_is_done_already(folder: Path) -> None:
    found = world(folder)
    (folder / "doors.json").write_text(json.dumps({"cart": {"admit": 0.5, "replicas": 2, "ready": 2}}))
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 3)
    await found.done()
    assert found.state() is RunState.REFUSED
    assert found.actions[-1].text == "cart has no other share to admit"


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ('deny contains "never" if input.action.kind == "shed"', False),
        ('deny contains "too little" if { input.action.kind == "shed"; input.action.arguments.admit < 0.3 }', True),
        ('deny contains "nothing on targets" if input.action.touches == "target"', False),
        ('deny contains "orders is ours" if "orders" in input.blast_radius', False),
    ],
)
async def test_policy_is_asked_about_it(rule: str, allowed: bool, folder: Path) -> None:
    (folder / "doors.json").write_text(
        json.dumps({"cart": {"admit": 1.0, "replicas": 2, "ready": 2, "behind": ["orders"]}})
    )
    found = world(folder)
    text = Path(connectors.policy.__file__).with_name("default.rego").read_text("utf-8")
    found.policy = RegoPolicy("own.rego", f"{text}\n{rule}\n")  # type: ignore[assignment]
    found.born()
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 5)
    await found.done()
    assert (doors(folder)["cart"]["admit"] == 0.5) is allowed
    assert (found.state() is RunState.REFUSED) is not allowed


async def test_a_dry_run_says_what_it_would_do(folder: Path) -> None:
    actuator, target = DryRunActuator(), Target("test", "cart")
    assert "shed" in actuator.actions
    result = await actuator.apply(
        StepRequest("k", "r", "s", "shed", target, {"admit": 0.5}, None, 1.0, await actuator.resolve(target))
    )
    assert result.text == "dry run: would admit 50% of the requests of cart"
    assert (await actuator.describe(target)).detail["admit"] == "0.5"


# --- after it was uninstalled


async def test_a_run_that_waits_is_refused_and_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = world(folder)
    found.playbooks["relieve"] = replace(found.playbooks["relieve"], tier=3)
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 2)
    assert found.state() is RunState.AWAITING_APPROVAL
    await found.done()
    uninstall(folder, monkeypatch)
    found.playbooks.clear()
    await found.born().resume()
    await found.executor.on_approval(approval(now_ns=found.clock.now_ns()))
    await fail(found, 4)
    await found.done()
    assert found.state() is RunState.REFUSED
    assert found.actions[-1].data["reason"] == HeldReason.NOT_CAPABLE
    assert found.actions[-1].text == (
        "action 'shed' is not installed here (there are: command, drain, restart, rollback, scale, wait, webhook): a person must look"
    )
    assert doors(folder)["cart"]["admit"] == 1.0


async def test_what_was_done_stays_and_a_person_is_asked_where_the_way_back_is_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = world(folder)
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 5)
    await found.done()
    uninstall(folder, monkeypatch)
    found.playbooks.clear()
    await found.born().resume()
    await fail(found, 45)
    await found.done()
    assert found.state() is RunState.FAILED
    assert "could not roll back: not_capable: action 'shed' is not installed here" in found.actions[-1].text
    assert found.actions[-1].text.endswith("a person must look")
    assert doors(folder)["cart"]["admit"] == 0.5
    (entry,) = found.journal.entries.values()
    assert acted(entry), "an effect of an action that is gone has been had all the same"


async def test_an_intent_without_outcome_is_asked_of_its_actuator(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between intent and outcome, and came back without the action. The actuator still knows the key."""
    found = world(folder)
    await found.executor.on_decision(decision("relieve"))
    await fail(found, 1)
    await found.done()
    (entry,) = found.journal.entries.values()
    plan = plan_from(entry)
    key = key_of(plan.run, "shed", 1)
    intent = {"action": "shed", "arguments": {"admit": 0.5}, "actuator": "door"}
    steps = (StepEntry(plan.run, "shed", StepPhase.INTENT, key, T0, intent),)
    found.journal.entries[entry.run] = replace(entry, state=RunState.RUNNING, steps=steps)
    save_announced(found.journal, plan, Announced("shed", key, 1, intent))
    (folder / "doors.json").write_text(json.dumps({"cart": {"admit": 1.0, "replicas": 2, "ready": 2, "keys": []}}))
    uninstall(folder, monkeypatch)
    found.playbooks.clear()
    await found.born().resume()
    await fail(found, 6)
    await found.done()
    assert found.state() in {RunState.FAILED, RunState.REFUSED}
    assert "action 'shed' is not installed here" in found.actions[-1].text
    assert doors(folder)["cart"]["admit"] == 1.0
