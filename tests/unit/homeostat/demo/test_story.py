"""What the demonstration concludes from what it saw: customers' seconds, events, and the judgement on a scene."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import events as e
from contracts.ports import Record
from contracts.topics import ACTIONS, ANOMALIES, DECISIONS, FEEDBACK
from contracts.verdicts import (
    AnomalyPhase,
    Autonomy,
    CauseKind,
    DecisionVerdict,
    Outcome,
    RunState,
    ServiceState,
)
from homeostat.demo.clients import Normal, Suffering, learn, suffering
from homeostat.demo.load import RouteSecond, Second
from homeostat.demo.scenes import SCENES, Scene
from homeostat.demo.shop.blueprint import LOAD, SHOP
from homeostat.demo.verdict import judge
from homeostat.demo.watching import EventsSeen

NORMAL = Normal({"/buy": 0.1})
HANG = next(s for s in SCENES if s.name == "hang")
OUTAGE = next(s for s in SCENES if s.name == "outage")


def second(at: float, failed: int = 0, p95_s: float = 0.1) -> Second:
    return Second(at, {"/buy": RouteSecond(10, failed, p95_s)})


def test_usual_waits_are_medians_so_that_one_slow_second_does_not_count() -> None:
    assert learn([second(0), second(1, p95_s=9.0), second(2, p95_s=0.12)]).p95_s == {"/buy": 0.12}


@pytest.mark.parametrize(
    ("seen", "hurts"),
    [(second(0), False), (second(0, failed=1), True), (second(0, p95_s=0.24), False), (second(0, p95_s=0.4), True)],
)
def test_what_hurts(seen: Second, hurts: bool) -> None:
    assert NORMAL.hurts(seen) is hurts


def test_customers_are_well_only_after_three_good_seconds() -> None:
    fault_at = 100.2
    seconds = [second(100), second(101, failed=5), second(102, failed=5), second(103), second(104)]
    felt = suffering(seconds, NORMAL, fault_at)
    assert felt.well_s is None
    assert felt.felt_s == pytest.approx(1.8)
    assert suffering([*seconds, second(105)], NORMAL, fault_at).well_s == pytest.approx(2.8)


def test_a_fault_nobody_felt_has_no_times() -> None:
    assert suffering([second(100), second(101)], NORMAL, 100.0) == Suffering(None, None)


def _anomaly() -> e.Anomaly:
    return e.Anomaly(
        id="a",
        environment="default",
        service=HANG.culprit,
        phase=AnomalyPhase.OPENED,
        state=ServiceState.ANOMALOUS,
        onset_ns=0,
        time_ns=1,
        p_value=1e-9,
        decades=9.0,
        contributions=(),
        detector="fused",
        model_version="1",
        text="silent",
    )


def _decision(**changed: Any) -> e.Decision:
    fields: dict[str, Any] = {
        "id": "d",
        "incident": "i",
        "environment": "default",
        "time_ns": 1,
        "verdict": DecisionVerdict.ACT,
        "autonomy": Autonomy.ACT,
        "cause": CauseKind.HANG,
        "cause_service": HANG.culprit,
        "cause_probability": 0.9,
        "onset_ns": 0,
        "chosen": e.Option(playbook="restart-hung-service", score=0.6),
        "options": (),
        "world_hash": "",
        "text": "",
    }
    return e.Decision(**{**fields, **changed})


def _effect(target: str, action: str | None = "restart") -> e.ActionRecord:
    return e.ActionRecord(
        id="1",
        type="io.homeostat.step.intent",
        environment="default",
        sequence=1,
        time_ns=1,
        run="r",
        decision="d",
        incident="i",
        playbook="p",
        playbook_version="1",
        target=target,
        state=RunState.RUNNING,
        actor="homeostat",
        text="",
        data={"key": "k"} if action is None else {"key": "k", "action": action},
    )


def _better() -> e.Feedback:
    return e.Feedback(
        run="r",
        decision="d",
        incident="i",
        environment="default",
        playbook="p",
        cause=CauseKind.HANG,
        target=HANG.culprit,
        outcome=Outcome.BETTER,
        time_ns=1,
        measures=(),
        text="",
    )


def _heard(*events: tuple[str, e.Event]) -> EventsSeen:
    heard = EventsSeen()
    for topic, event in events:
        heard.take(Record(topic, 0, 0, None, e.encode(event)))
    return heard


WELL = Suffering(1.0, 8.0)


def test_a_scene_that_went_as_it_should() -> None:
    waited = _effect(HANG.culprit, None)
    done = (ACTIONS, _effect(HANG.culprit)), (ACTIONS, waited)
    heard = _heard((ANOMALIES, _anomaly()), (DECISIONS, _decision()), *done, (FEEDBACK, _better()))
    report = judge(HANG, heard, WELL)
    assert report.passed
    assert heard.ended(HANG)
    assert set(report.seconds) == {"felt", "detected", "decided", "verified", "well"}


@pytest.mark.parametrize(
    ("scene", "events", "question"),
    [
        (HANG, [(DECISIONS, _decision(cause_service="shop/cart"))], "culprit ranked first"),
        (HANG, [(DECISIONS, _decision(cause=CauseKind.LATENCY))], "culprit ranked first"),
        (HANG, [(DECISIONS, _decision(verdict=DecisionVerdict.ASK))], "decision: act"),
        (HANG, [(ACTIONS, _effect("shop/cart"))], "no act on a healthy service"),
        (HANG, [(ACTIONS, _effect(HANG.culprit, "scale"))], "action: restart"),
        (HANG, [(ACTIONS, _effect(HANG.culprit)), (ACTIONS, _effect(HANG.culprit, "scale"))], "action: restart"),
        (HANG, [(ACTIONS, _effect(HANG.culprit, None))], "action: restart"),
        (HANG, [], "noticed"),
        (HANG, [(ANOMALIES, _anomaly())], "repair verified"),
        (OUTAGE, [(ACTIONS, _effect("external:bank"))], "no act on a healthy service"),
    ],
)
def test_what_goes_wrong_is_said(scene: Scene, events: list[tuple[str, e.Event]], question: str) -> None:
    report = judge(scene, _heard(*events), WELL)
    assert not report.passed
    assert question in {j.question for j in report.judgements if not j.passed}


def test_the_shop_is_whole() -> None:
    calls = {service for s in SHOP.values() for route in s.routes.values() for service, _ in route.calls}
    assert calls <= set(SHOP)
    assert set(LOAD) == set(SHOP["frontend"].routes)
    assert sum(s.instrumented for s in SHOP.values()) == 6


def test_scenes_cover_a_restart_a_scaling_a_rollback_and_a_question() -> None:
    assert [s.action for s in SCENES] == ["restart", "scale", "rollback", ""]
    assert [s.verdict for s in SCENES][-1] is DecisionVerdict.ASK
