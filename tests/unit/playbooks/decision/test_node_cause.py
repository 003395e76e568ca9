"""A node that is the cause: the service there is moved off it; or out of the zone; without an actuator that can, a person is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.verdicts import CauseKind, Conduct, DecisionVerdict, HeldReason
from playbooks.decision import Attempt, decide
from playbooks.language import library
from playbooks.runs.arguments import resolve
from playbooks.runs.plan import Surroundings, plan_of
from tests.unit.playbooks.decision.test_deciding import LIBRARY, NOW, SETTINGS, answers
from tests.unit.playbooks.decision.test_instances_compared import CALM, KNOWN, after, suspected

ABLE = replace(CALM, actions=CALM.actions | {"drain"})
SICK = suspected(CauseKind.NODE, "ground", node="n1", there=("cart", "stock"))


def test_the_service_is_moved_off_the_node() -> None:
    found = decide(after(SICK, 5), ABLE, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook, found.chosen.target) == (
        DecisionVerdict.ACT,
        "move-off-sick-node",
        "cart",
    )
    assert found.cause_node == "n1"
    (playbook,) = [p for p in library() if p.name == "move-off-sick-node"]
    plan = plan_of(found, playbook, now_ns=NOW, surroundings=Surroundings())
    assert resolve(plan, playbook.steps[0], KNOWN) == {"node": "n1", "set": "aside"}
    assert resolve(plan, playbook.rollback[0], KNOWN) == {"node": "n1", "set": "back"}


@pytest.mark.parametrize("alone", [True, False])
def test_the_only_instance_is_moved_by_a_person_alone(alone: bool) -> None:
    count = 1 if alone else 2
    state = replace(KNOWN, replicas=count, ready=count)
    found = decide(after(SICK, 5), replace(ABLE, targets={**ABLE.targets, "cart": state}), LIBRARY, SETTINGS)
    assert found.verdict is (DecisionVerdict.ASK if alone else DecisionVerdict.ACT)


def test_the_only_instance_is_moved_once_its_platform_knows_that_it_is_gone_with_its_node() -> None:
    state = replace(KNOWN, replicas=1, ready=1)
    gone = answers(Conduct.WORSE, silent=True).standings
    world = replace(ABLE, targets={**ABLE.targets, "cart": state}, standings=gone)
    assert decide(after(SICK, 5), world, LIBRARY, SETTINGS).verdict is DecisionVerdict.NOTHING
    assert decide(after(SICK, 15), world, LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK
    noticed = replace(world, targets={**ABLE.targets, "cart": replace(state, ready=0)})
    assert decide(after(SICK, 5), noticed, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


def test_the_service_is_moved_out_of_the_zone() -> None:
    zone = suspected(CauseKind.NODE, "ground", zone="eu-a", there=("cart", "stock"))
    found = decide(after(zone, 5), ABLE, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook, found.chosen.target) == (
        DecisionVerdict.ACT,
        "move-out-of-sick-zone",
        "cart",
    )
    (playbook,) = [p for p in library() if p.name == "move-out-of-sick-zone"]
    plan = plan_of(found, playbook, now_ns=NOW, surroundings=Surroundings())
    assert resolve(plan, playbook.steps[0], KNOWN) == {"zone": "eu-a", "set": "aside"}
    assert resolve(plan, playbook.rollback[0], KNOWN) == {"zone": "eu-a", "set": "back"}


def test_where_no_actuator_can_a_person_is_asked() -> None:
    unable = replace(ABLE, actions=frozenset({"restart", "scale", "rollback"}))
    assert decide(after(SICK, 5), unable, LIBRARY, SETTINGS).verdict is DecisionVerdict.ASK


def test_who_answers_as_before_is_not_moved() -> None:
    calm = replace(ABLE, standings=answers(Conduct.AS_BEFORE).standings)
    found = decide(after(SICK, 5), calm, LIBRARY, SETTINGS)
    assert found.verdict is DecisionVerdict.ASK
    assert [o.held for o in found.options if o.playbook == "move-off-sick-node"] == [HeldReason.INNOCENT]


@pytest.mark.parametrize(
    ("tried", "target", "outcome", "goes_on"),
    [
        ("restart-hung-service", "stock", "worse", True),
        ("restart-hung-service", "stock", "same", True),
        (
            "move-off-sick-node",
            "pay",
            "same",
            True,
        ),  # who was moved is there no more: the next one that is sick there follows
        ("move-off-sick-node", "pay", "worse", False),
        ("restart-hung-service", "pay", "worse", False),  # it is not there
    ],
)
def test_what_was_tried_in_vain_on_another_service_there_is_no_doubt(
    tried: str, target: str, outcome: str, goes_on: bool
) -> None:
    world = replace(ABLE, number=2, attempts=(Attempt("inc-1-d1", tried, target, outcome, NOW),))
    found = decide(after(SICK, 5), world, LIBRARY, SETTINGS)
    assert found.verdict is (DecisionVerdict.ACT if goes_on else DecisionVerdict.ASK)
