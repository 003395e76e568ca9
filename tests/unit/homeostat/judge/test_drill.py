"""A scene of the demo as a trial: what was heard and what customers measured become the same record as of a simulated system."""

from __future__ import annotations

import msgspec

from contracts.events import ActionRecord, Anomaly, Candidate, Incident
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, CauseKind, IncidentPhase, RunState, ServiceState, Severity
from homeostat.demo.clients import Normal
from homeostat.demo.load import RouteSecond, Second
from homeostat.demo.play import ScenePlayed
from homeostat.demo.scenes import SCENES
from homeostat.demo.watching import INTENT, EventsSeen
from homeostat.judge.assessment import fault_rows
from homeostat.judge.drill import BEFORE_S, trial_of_scene
from homeostat.judge.page import episode_page
from homeostat.judge.story import told

BEGAN = 1_700_000_000.0


def seconds() -> tuple[Second, ...]:
    def one(i: int) -> Second:
        bad = BEFORE_S <= i < BEFORE_S + 12
        return Second(BEGAN - BEFORE_S + i, {"/cart": RouteSecond(20, 8 if bad else 0, 0.4 if bad else 0.02)})

    return tuple(one(i) for i in range(50))


def events(culprit: str) -> EventsSeen:
    ns = int(BEGAN * SECOND)
    alarm = Anomaly(
        id="a", environment="default", service=culprit, phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS,
        onset_ns=ns, time_ns=ns, p_value=1e-9, decades=9.0, contributions=(), detector="bank", model_version="1", text="silent",
    )  # fmt: skip
    cause = Candidate(service=culprit, kind=CauseKind.HANG, probability=0.9, evidence=(), path=())
    incident = Incident(
        id="i", environment="default", phase=IncidentPhase.OPENED, severity=Severity.CRITICAL, onset_ns=ns, time_ns=ns, revision=1,
        anomalies=("a",), services=(culprit,), candidates=(cause,), blast_radius=(), confidence=0.9, settled=True, text="hangs",
    )  # fmt: skip
    act = ActionRecord(
        id="x", type=INTENT, environment="default", sequence=1, time_ns=ns, run="r", decision="d", incident="i", playbook="p",
        playbook_version="1", target=culprit, state=RunState.RUNNING, actor="homeostat", text="restart", data={"action": "restart"},
    )  # fmt: skip
    return EventsSeen(BEGAN, [(BEGAN + 2.5, alarm), (BEGAN + 3.0, incident), (BEGAN + 4.0, act)])


def test_a_scene_is_judged_as_an_episode_is():
    scene = next(s for s in SCENES if s.name == "hang")
    trial = trial_of_scene(ScenePlayed(scene, events(scene.culprit), seconds(), Normal({"/cart": 0.02})))
    row = fault_rows(trial)[0]
    assert row.found_s == 2.5
    assert row.first
    assert row.kind_right
    assert row.first_right
    assert row.repaired
    assert row.well_s == 12.0
    assert any("hang" in line for line in told(trial))
    assert "<svg" in episode_page(trial)


def test_what_was_adopted_without_having_been_an_anomaly_is_no_alarm():
    _, alarm = events("cart").events[0]
    adopted = msgspec.structs.replace(alarm, id="b", phase=AnomalyPhase.ADOPTED)
    trial = trial_of_scene(ScenePlayed(SCENES[0], EventsSeen(BEGAN, [(BEGAN + 2, adopted)]), seconds(), Normal({})))
    assert trial.alarms == []
    ended = msgspec.structs.replace(alarm, phase=AnomalyPhase.ADOPTED)
    heard = EventsSeen(BEGAN, [(BEGAN + 2, alarm), (BEGAN + 4, ended)])
    (told_of,) = trial_of_scene(ScenePlayed(SCENES[0], heard, seconds(), Normal({}))).alarms
    assert told_of.closed_s == 4.0 + BEFORE_S
