"""The actions there are: each keeps the rules of actions, and the suite that says so finds what breaks them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts.actions import (
    BUILT_IN,
    Action,
    Argument,
    NumberValue,
    ReplicaBounds,
    TextValue,
    Touches,
    action_of,
    installed_actions,
    touches_target,
    waits,
)
from contracts.checks import action as suite
from contracts.errors import ActionFailed, InvalidPlugin
from contracts.ports import TargetState
from contracts.settings import ActSettings
from homeostat.implementations import names_for
from playbooks.language import lint_all
from playbooks.language.reader import LIBRARY
from tests.plugin_dist import install

STATE = TargetState(2, 2, version="2", previous_version="1")
BOUNDS = ReplicaBounds(1, 5)
WAVE = """
from homeostat.api import Action

class Wave(Action):
    name = "wave"
    text = "Wave at the target."

class Unlike(Wave):
    name = "nod"

WAVE, UNLIKE, WORD = Wave(), Unlike(), "a word"
"""


@pytest.mark.parametrize("check", suite.CHECKS)
@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_action_keeps_the_rules(name: str, check: suite.Check) -> None:
    check(lambda: BUILT_IN[name])


class Good(Action):
    name = "drain"
    text = "Let no new requests in."
    arguments = (Argument(key="share", value=NumberValue(0, 1), text="of its traffic", required=True),)


class Nameless(Good):
    name = "Drain It"


class Relative(Good):
    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        return {"share": arguments["share"] / 2}


class Changing(Good):
    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        assert isinstance(given, dict)
        given["more"] = 1
        return given


class Exaggerating(Good):
    def outage(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        return "all of it"


class Deaf(Good):
    def refusal(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        return ""


class Silent(Good):
    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        return "something is done"


class Unjournalled(Good):
    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return {**given, "share": {0.5}}


class Moody(Good):
    asked = 0

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        Moody.asked += 1
        return Moody.asked % 2


class Impatient(Good):
    touches = Touches.NOTHING

    def pause_s(self, arguments: Mapping[str, Any]) -> float:
        return -1.0


class Unexplained(Good):
    arguments = (Argument(key="name", value=TextValue("[a-z]+"), text="who"),)


class Doubled(Good):
    arguments = (*Good.arguments, *Good.arguments)


class Unreachable(Good):
    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        raise ActionFailed("never")


def test_a_good_one_passes() -> None:
    suite.run_all(Good)


@pytest.mark.parametrize(
    "kind",
    [
        Nameless, Relative, Changing, Exaggerating, Deaf, Silent, Unjournalled, Moody, Impatient, Unexplained, Doubled,
        Unreachable,
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_found(kind: type[Action]) -> None:
    with pytest.raises((AssertionError, TypeError)):
        suite.run_all(kind)


def test_what_each_built_in_one_touches() -> None:
    found = {name: action.touches.value for name, action in BUILT_IN.items()}
    assert found == {
        "scale": "target",
        "restart": "target",
        "rollback": "target",
        "flag": "target",
        "shift": "target",
        "drain": "target",
        "wait": "nothing",
        "webhook": "somebody",
        "command": "anything",
    }
    assert [n for n in BUILT_IN if waits(n)] == ["wait"]
    assert [n for n in BUILT_IN if touches_target(n)] == ["scale", "restart", "rollback", "flag", "shift", "drain"]


def test_an_action_that_is_not_installed_answers_with_care() -> None:
    gone = action_of("shed")
    assert not gone.installed
    assert gone.text == (
        "action 'shed' is not installed here (there are: command, drain, flag, restart, rollback, scale, shift, wait, webhook): a person must look"
    )
    assert (gone.touches, gone.change, waits("shed"), touches_target("shed")) == ("anything", "shed", False, False)
    for computed in (lambda: gone.absolute({}, STATE, BOUNDS), lambda: gone.restored({}, STATE, STATE, BOUNDS)):
        with pytest.raises(ActionFailed, match="'shed' is not installed"):
            computed()
    assert gone.words("cart", {"share": 1}) == "shed cart (share=1)"


def test_a_factor_stays_within_what_guards_and_the_target_allow() -> None:
    scale = action_of("scale")
    assert scale.absolute({"factor": 9}, STATE, BOUNDS) == {"replicas": 5}
    assert scale.absolute({"factor": 9}, replace(STATE, most=3), BOUNDS) == {"replicas": 3}
    assert scale.absolute({"factor": 0.01}, STATE, BOUNDS) == {"replicas": 1}
    assert scale.absolute({"by": 9}, STATE, BOUNDS) == {"replicas": 11}, (
        "what is written is for the guards to hold back"
    )


def test_plug_ins_add_actions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lay = partial(install, monkeypatch, tmp_path)
    lay("acme-wave", WAVE, {"action.wave": ":WAVE"})
    assert list(installed_actions()) == [*BUILT_IN, "wave"]
    assert action_of("wave").text == "Wave at the target."


@pytest.mark.parametrize(
    ("point", "target", "why"),
    [
        ("action.wave", ":UNLIKE", "calls itself 'nod'"),
        ("action.wave", ":WORD", "leads to str, which is no homeostat.api.Action"),
        ("action.wave", ":NONE", "can't be loaded"),
        ("action.scale", ":WAVE", "takes the name of a built-in action"),
    ],
)
def test_what_is_no_action_of_its_name_is_refused_with_its_distribution(
    point: str, target: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "acme-wave", WAVE, {point: target})
    with pytest.raises(InvalidPlugin, match=r"acme-wave 1\.0") as refused:
        installed_actions()
    assert why in str(refused.value)


CALL = """
from homeostat.api import Action, Mistake, Touches, name_from

class Call(Action):
    name = "call"
    text = "Have somebody called."
    touches = Touches.SOMEBODY
    arguments = (name_from("act.commands", "a name", "ann"),)

    @property
    def policy_name(self):
        return "phone"

    def mistakes(self, given):
        if given.get("name") == "nobody":
            yield Mistake("name", "nobody", "nobody can't be called", "name somebody")

CALL = Call()
"""


def test_its_own_rules_and_names_from_settings_hold_for_its_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "acme-call", CALL, {"action.call": ":CALL"})
    suite.run_all(lambda: action_of("call"))
    file = tmp_path / "call.yaml"
    text = (LIBRARY / "page-dependency-owner.yaml").read_text("utf-8")
    file.write_text(text.replace("action: webhook", "action: call").replace("name: pager", "name: nobody"))
    named = names_for(ActSettings(commands={"ann": ["dial"]}))
    found = [str(p).removeprefix(f"{file}:") for p in lint_all([file], named)]
    assert any("nobody can't be called; name somebody [nobody]" in p for p in found), found
    assert any("no setting act.commands defines 'nobody'; there are: ann [not_in_settings]" in p for p in found), found
