"""A flag goes back to what it was and calls are led elsewhere where somebody can do that; where nobody can, nothing else is decided than without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import Candidate, FlagChange, Incident
from contracts.ports import TargetState
from contracts.verdicts import CauseKind, Conduct, DecisionVerdict, HeldReason, Severity
from playbooks.decision import PERSON, Attempt, DecisionWorld, decide
from playbooks.decision.belief import believed
from playbooks.decision.candidates import involved_in
from playbooks.guards import Standing
from playbooks.language import library
from playbooks.runs.arguments import resolve, restore
from playbooks.runs.plan import RunPlan, Surroundings, plan_of
from tests.unit.playbooks.decision.test_deciding import ACTIONS, LIBRARY, NOW, SETTINGS, STATE, WORLD, incident, why

FLAG = FlagChange(name="new-checkout", before="off", after="on")
ABLE = replace(WORLD, actions=ACTIONS | {"flag", "shift"})
PLAYBOOKS = {p.name: p for p in library()}


def flagged(probability: float = 0.9, flag: FlagChange | None = FLAG) -> Candidate:
    return Candidate(service="cart", kind=CauseKind.FLAG, probability=probability, evidence=(), path=(), flag=flag)


def between(service: str = "pay", probability: float = 0.9, **more: str) -> Candidate:
    peer = "web" if service == "pay" else "pay"
    given = {"caller": "web", "callee": "pay", **more}
    return Candidate(
        service=service, kind=CauseKind.NETWORK, probability=probability, evidence=(), path=(), peer=peer, **given
    )


def planned(incident_: Incident, world: DecisionWorld) -> RunPlan:
    decision = decide(incident_, world, LIBRARY, SETTINGS)
    assert decision.verdict is DecisionVerdict.ACT, decision.text
    return plan_of(decision, PLAYBOOKS[decision.chosen.playbook], now_ns=NOW, surroundings=Surroundings())


def test_a_flag_goes_back_to_what_it_was_and_forth_if_that_was_wrong() -> None:
    plan = planned(incident(flagged()), ABLE)
    (step,), (back,) = plan.playbook.steps, plan.playbook.rollback
    assert (plan.playbook.name, plan.target) == ("turn-off-flag", "cart")
    assert resolve(plan, step, STATE) == {"flag": "new-checkout", "to": "off"}
    assert restore(plan, back, STATE, STATE) == {"flag": "new-checkout", "to": "on"}


@pytest.mark.parametrize(
    "flag",
    [None, FlagChange(name="", before="off", after="on"), FlagChange(name="new-checkout", before="", after="on")],
)
def test_which_flag_or_what_it_was_is_asked_a_person(flag: FlagChange | None) -> None:
    found = decide(incident(flagged(flag=flag)), ABLE, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ASK, PERSON)


@pytest.mark.parametrize("name", ["--all", "../other", "a b", "", "x" * 300])
def test_what_is_no_name_of_a_flag_is_never_turned(name: str) -> None:
    found = decide(incident(flagged(flag=replace_name(name))), ABLE, LIBRARY, SETTINGS)
    if found.verdict is DecisionVerdict.ACT:
        plan = planned(incident(flagged(flag=replace_name(name))), ABLE)
        with pytest.raises(Exception, match="can't be the name of a flag"):
            resolve(plan, plan.playbook.steps[0], STATE)


def replace_name(name: str) -> FlagChange:
    return FlagChange(name=name, before="off", after="on")


def test_calls_are_led_elsewhere_at_the_one_that_makes_them_whichever_end_is_suspected() -> None:
    ill = Standing(Conduct.WORSE, "a tenth of its requests fail")
    world = replace(ABLE, targets={"web": STATE, "pay": STATE}, standings={"web": ill})
    for end in ("pay", "web"):
        found = incident(between(end), severity=Severity.CRITICAL)
        assert set(involved_in(found)) == {"web", *({end} - {"web"})}
        plan = planned(found, world)
        assert (plan.playbook.name, plan.target, plan.cause_service) == ("shift-traffic-from-bad-path", "web", end)
        (step, waits), (back,) = plan.playbook.steps, plan.playbook.rollback
        assert waits.action == "wait", "calls that are out say nothing of the other path"
        assert resolve(plan, step, STATE) == {"caller": "web", "callee": "pay", "path": "other"}
        assert restore(plan, back, STATE, STATE) == {"caller": "web", "callee": "pay", "path": "usual"}


def test_both_ends_of_one_path_are_no_rivals() -> None:
    world = replace(ABLE, targets={"web": STATE, "pay": STATE}, standings={"web": Standing(Conduct.WORSE, "it fails")})
    both = incident(between("web", 0.6), between("pay", 0.35))
    assert planned(both, world).target == "web"
    elsewhere = incident(between("web", 0.6), between("db", 0.35, caller="web", callee="db"))
    assert decide(elsewhere, world, LIBRARY, SETTINGS).verdict is not DecisionVerdict.ACT


def test_who_calls_and_answers_as_before_is_left_alone() -> None:
    well = Standing(Conduct.AS_BEFORE, "it answers as before")
    world = replace(ABLE, targets={"web": STATE, "pay": STATE}, standings={"web": well})
    found = decide(incident(between()), world, LIBRARY, SETTINGS)
    assert found.verdict is not DecisionVerdict.ACT
    assert "is not to blame" in why(found, "shift-traffic-from-bad-path")


def test_who_only_fails_in_its_calls_is_the_one_whose_calls_are_led_elsewhere() -> None:
    handed = Standing(
        Conduct.AS_BEFORE, "27 of its 27 requests that failed did so in calls of its own", handed_on="so they did"
    )
    world = replace(ABLE, targets={"web": STATE, "pay": STATE}, standings={"web": handed})
    plan = planned(incident(between(), severity=Severity.CRITICAL), world)
    assert (plan.playbook.name, plan.target) == ("shift-traffic-from-bad-path", "web")


def test_one_sick_instance_is_no_path() -> None:
    state = TargetState(replicas=2, ready=2, instances=("web-1", "web-2"))
    world = replace(ABLE, targets={"web": state, "pay": state})
    found = decide(incident(between("web", instance="web-1")), world, LIBRARY, SETTINGS)
    assert "condition" in why(found, "shift-traffic-from-bad-path")


@pytest.mark.parametrize(("cause", "name"), [(flagged(), "turn-off-flag"), (between(), "shift-traffic-from-bad-path")])
def test_where_nobody_can_do_it_the_rest_is_decided_as_if_it_were_not_there(cause: Candidate, name: str) -> None:
    others = [p for p in LIBRARY if p.name != name]
    for severity in Severity:
        found = incident(cause, severity=severity)
        here, without = (decide(found, WORLD, playbooks, SETTINGS) for playbooks in (LIBRARY, others))
        assert (here.verdict, here.chosen.playbook) == (without.verdict, without.chosen.playbook)
        assert [o.playbook for o in here.options if o.playbook != name] == [o.playbook for o in without.options]
        option = next(o for o in here.options if o.playbook == name)
        assert option.held is HeldReason.NOT_CAPABLE or severity is Severity.INFO


def test_a_path_that_was_left_in_vain_was_not_what_is_wrong() -> None:
    found = incident(
        between(probability=0.6), Candidate(service="db", kind=CauseKind.HANG, probability=0.3, evidence=(), path=())
    )
    tried = Attempt("d0", "shift-traffic-from-bad-path", "web", "same", NOW)
    assert believed(found, replace(ABLE, attempts=(tried,)), LIBRARY).candidates[0].service == "db"
