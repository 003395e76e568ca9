"""Questions to people: once each, not withdrawn for what is over in a moment, not asked again and again."""

from __future__ import annotations

import msgspec
import pytest

from contracts.events import Decision, Option
from contracts.ports import RunEntry
from contracts.units import SECOND
from contracts.verdicts import Autonomy, CauseKind, DecisionVerdict, HeldReason, RunState, Severity
from playbooks.decision import NOTHING
from playbooks.decision.pending_state import (
    ASKED_AGAIN_S,
    CALM_S,
    RETURNS_S,
    PendingDecision,
    differs,
    offered,
    question,
    revise,
    signature,
)
from tests.unit.playbooks.decision.test_pending import incident

ASK, ACT, NO = DecisionVerdict.ASK, DecisionVerdict.ACT, DecisionVerdict.NOTHING
RESTART = ("restart-hung-service", "cart")


def option(playbook: str, target: str, held: HeldReason | None = None) -> Option:
    return Option(
        playbook=playbook,
        playbook_version="",
        target=target,
        tier=1,
        score=0.5,
        success_probability=0.5,
        terms={},
        held=held,
        held_text="",
        why="",
    )


def decision(verdict: DecisionVerdict, at_s: float, held: HeldReason | None = None) -> Decision:
    remedy = option(*RESTART, held)
    return Decision(
        id="inc-1-d2",
        incident="inc-1",
        environment="prod",
        time_ns=int(at_s * SECOND),
        verdict=verdict,
        autonomy=Autonomy.ACT,
        cause=CauseKind.HANG,
        cause_service="cart",
        cause_probability=0.9,
        onset_ns=1,
        chosen=option(NOTHING, "") if verdict is NO else remedy,
        options=(remedy, option(NOTHING, "")),
        world_hash="",
        text="",
    )


def asked(times: int = 1) -> PendingDecision:
    """An incident about which a person was asked at second 0."""
    first = decision(ASK, 0)
    case = PendingDecision(incident(2, 1), 1, "inc-1-d1", str(ASK), signature(first), *RESTART)
    case.asked = {question(first): (0, times)}
    return case


@pytest.mark.parametrize("held", [HeldReason.CONCURRENCY, HeldReason.BLAST_RADIUS])
def test_an_offer_stands_while_something_else_is_under_way(held):
    assert not differs(asked(), decision(NO, 10, held), 10 * SECOND)


@pytest.mark.parametrize("held", [HeldReason.UNFELT, HeldReason.INNOCENT, None])
def test_an_offer_is_withdrawn_when_there_is_no_need_any_more(held):
    assert differs(asked(), decision(NO, 10, held), 10 * SECOND)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_the_same_question_is_asked_again_after_a_while_and_ever_longer(times: int):
    case, pause_s = asked(times), ASKED_AGAIN_S * 2 ** (times - 1)
    case.last, case.live, case.live_verdict = signature(decision(NO, 5)), "", ""
    for at_s, again in ((CALM_S + 6, False), (pause_s - 1, False), (pause_s, True)):
        assert differs(case, decision(ASK, at_s), int(at_s * SECOND)) is again


def test_what_is_done_waits_for_no_question():
    case = asked(3)
    case.last = signature(decision(NO, 5))
    assert differs(case, decision(ACT, 6), 6 * SECOND)


def test_another_question_is_asked_at_once():
    case = asked()
    case.asked = {"restart-slow-service web": (0, 1)}
    case.last = signature(decision(NO, 5))
    assert differs(case, decision(ASK, 10), 10 * SECOND)


@pytest.mark.parametrize(
    ("times", "well_s", "again"),
    [
        (1, RETURNS_S - 1, False),
        (1, RETURNS_S, True),
        (2, RETURNS_S, False),
        (2, 2 * RETURNS_S, True),
        (0, RETURNS_S, False),
    ],
)
def test_that_users_are_hurt_again_after_they_were_well_is_a_question_of_its_own(
    times: int, well_s: float, again: bool
):
    """A third party that was slow, and answered, and fails now: whoever was asked about it takes it for over."""
    case = asked(times)
    case.asked = case.asked if times else {}
    case.live, case.live_verdict = "", ""
    for at_s, felt in ((10, Severity.INFO), (20, Severity.INFO), (10 + well_s, Severity.WARNING)):
        told = msgspec.structs.replace(case.incident, felt=felt, severity=Severity.CRITICAL)
        revise(case, told, int(at_s * SECOND))
    assert case.incident.felt is Severity.WARNING
    assert differs(case, decision(ASK, 11 + well_s), int((11 + well_s) * SECOND)) is again


def run(decision_: str, state: RunState) -> RunEntry:
    return RunEntry(decision_, decision_, "prod", "cart", RESTART[0], state, 1, 1, 0, {})


def test_a_run_that_is_about_to_ask_stands_in_nobodys_way():
    acting = PendingDecision(incident(2, 1), 1, "inc-2-d1", str(ACT))
    runs = [run("inc-1-d1", RunState.PENDING), run("inc-2-d1", RunState.PENDING), run("inc-1-d1", RunState.RUNNING)]
    found = [r.state for r in offered(runs, [asked(), acting])]
    assert found == [RunState.AWAITING_APPROVAL, RunState.PENDING, RunState.RUNNING]
