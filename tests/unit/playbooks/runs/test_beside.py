"""What another system does than the one that runs the target: it is done to what the latter describes, and told as a change of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from contracts.errors import TargetNotFound
from contracts.events import FlagChange
from contracts.ports import Mark, Target, TargetState
from contracts.settings import ActSettings
from contracts.verdicts import HeldReason
from playbooks.guards import Held
from playbooks.language import library
from playbooks.runs import effects
from playbooks.runs.plan import RunPlan, Surroundings, plan_of
from playbooks.runs.reporting import change_of
from tests.unit.playbooks.runs.support import BOUND, T0, Process, decision

TURN = next(p for p in library() if p.name == "turn-off-flag")


@dataclass
class Turner(Process):
    """It turns flags, and knows no service."""

    name: str = "command"
    actions: frozenset[str] = frozenset({"command", "flag"})
    described: list[str] = field(default_factory=list)

    async def describe(self, target: Target) -> TargetState:
        self.described.append(target.service)
        raise TargetNotFound("commands know no service")


def plan() -> RunPlan:
    found = plan_of(decision(TURN.name), TURN, now_ns=T0, surroundings=Surroundings())
    return replace(found, flag=FlagChange(name="new", before="off", after="on"))


async def test_the_target_is_described_by_who_runs_it_and_the_flag_turned_by_who_can() -> None:
    process, turner = Process(), Turner()
    aim = await effects.find_target(plan(), "flag", (process, turner), ActSettings(environments=BOUND))
    assert isinstance(aim, effects.Aim)
    assert (aim.actuator, aim.identity, aim.state is not None) == (turner, process.identity, True)
    effect = effects.prepare(plan(), "value-before", TURN.steps[0], "k", aim, mark=Mark("here", "flag", T0))
    assert isinstance(effect, effects.Prepared)
    assert effect.request.arguments == {"flag": "new", "to": "off"}
    change = change_of(plan(), TURN.steps[0], aim.state, effect.request.arguments, T0)
    assert change is not None
    assert (change.kind, change.subject, change.after, change.service) == ("flag", "flag/new", "off", "cart")


async def test_nothing_is_turned_of_what_nobody_runs_or_another_environment_has() -> None:
    lost = await effects.find_target(plan(), "flag", (Turner(),), ActSettings(environments=BOUND))
    assert isinstance(lost, Held)
    assert lost.reason is HeldReason.NO_TARGET
    elsewhere = Process(name="plugged")
    elsewhere.identity = replace(elsewhere.identity, namespace="theirs")
    ours = {"test": BOUND["test"].model_copy(update={"namespaces": ("ours",)})}
    stray = await effects.find_target(plan(), "flag", (elsewhere, Turner()), ActSettings(environments=ours))
    assert isinstance(stray, Held)
    assert stray.reason is HeldReason.UNBOUND_ENVIRONMENT


@pytest.mark.parametrize("action", ["flag", "shift"])
async def test_that_nobody_can_is_said_in_words_that_help(action: str) -> None:
    held = await effects.find_target(plan(), action, (Process(),), ActSettings(environments=BOUND))
    assert isinstance(held, Held)
    assert held.reason is HeldReason.NOT_CAPABLE
    assert f"act.actions.{action}" in held.text
