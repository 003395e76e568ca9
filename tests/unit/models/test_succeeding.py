"""What became of the models of members is told as events of their own, members are told what came of their claims, and anomalies name who spoke."""

import dataclasses

import msgspec
import numpy as np
import pytest

from contracts.checks.detector_frames import T0
from contracts.events import Anomaly, decode
from contracts.ports.detecting import ClaimOutcome, ModelNews, SeriesKey
from contracts.settings import DetectSettings
from contracts.verdicts import AnomalyKind, AnomalyPhase, ModelStep, ServiceState
from models.adapters.pyod_detector import PyodDetector
from models.detectors import create
from models.fusion import Fusion
from models.succeeding import Successions
from streams.stages.detect import DetectStage
from tests.unit.contracts.samples import EVENTS
from tests.unit.models.test_fusion import fuse, scores, window

SPANS = SeriesKey("e", "spans", "s0")
OPENED = EVENTS["Anomaly"]
assert isinstance(OPENED, Anomaly)


class Member(PyodDetector):
    """Says what became of its models as it is given, and keeps what it is told."""

    def __init__(self, *news):
        super().__init__()
        self.given, self.told = list(news), []

    def news(self):
        found, self.given = self.given, []
        return found

    def version_of(self, series):
        return 7

    def take_outcome(self, outcome):
        self.told.append(outcome)

    def take_opened(self, environment, service, window_ns):
        self.told.append((environment, service))


def news(step, version=4, other=3, window_ns=T0):
    return ModelNews(SeriesKey("e", "spans", "*"), step, version, other, window_ns, "calm minutes 9 : 0")


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        (ModelStep.DRIFTED, AnomalyPhase.OPENED),
        (ModelStep.PROMOTED, AnomalyPhase.ADOPTED),
        (ModelStep.DROPPED, AnomalyPhase.CLOSED),
        (ModelStep.ROLLED_BACK, AnomalyPhase.ADOPTED),
    ],
)
def test_each_step_is_an_event_that_names_both_models_and_says_nothing_of_the_service(step, phase):
    (told,) = Successions([Member(news(step))]).conclude([], [])
    assert (told.kind, told.step, told.phase, told.service) == (AnomalyKind.MODEL, step, phase, "*")
    assert told.members == ("pyod@4", "pyod@3")
    assert told.state is ServiceState.WARMING
    assert "pyod@4" in told.text
    assert "pyod@3" in told.text


def test_one_challenge_is_one_id_and_a_rollback_another():
    member = Member(news(ModelStep.DRIFTED), news(ModelStep.PROMOTED, window_ns=T0 + 1), news(ModelStep.ROLLED_BACK))
    drifted, promoted, rolled_back = (a.id for a in Successions([member]).conclude([], []))
    assert drifted == promoted != rolled_back


def test_members_are_told_what_came_of_their_own_claims_and_what_opened():
    member = Member()
    mine, anothers = (ClaimOutcome(name, True, "e", "s0", T0, True) for name in ("pyod", "another"))
    Successions([member]).conclude(
        [mine, anothers], [OPENED, msgspec.structs.replace(OPENED, phase=AnomalyPhase.CLOSED)]
    )
    assert member.told == [mine, (OPENED.environment, OPENED.service)]


def test_an_anomaly_names_the_member_whose_word_counted():
    made = Successions([Member(), *create(DetectSettings())])
    assert made.versioned(OPENED, "pyod", SPANS).members == ("pyod@7",)
    assert made.versioned(OPENED, "bank", SPANS).members == ()


def test_the_bank_alone_has_nobody_to_tell():
    assert not Successions(create(DetectSettings())).any


def test_the_stage_tells_and_counts_what_became_of_models():
    stage = DetectStage(0, DetectSettings())
    outputs = stage._tell(Successions([Member(news(ModelStep.PROMOTED))]).conclude([], []))
    assert stage.counters["models_promoted"] == 1
    assert stage.counters["anomalies_adopted"] == 0
    assert [decode(Anomaly, o.value).step for o in outputs] == [ModelStep.PROMOTED]


def test_claims_of_the_one_beside_are_counted_and_earn_no_weight():
    fusion, beside = Fusion(), dataclasses.replace(scores(0.5), rival=np.array([1e-6]))
    fusion.combine(window(0), scores(0.5), {"river": beside}, 1e-4)
    assert Fusion.of(fusion.plain()).claims == fusion.claims
    fusion.opened("e", "s0", window(3).window_ns)
    assert fusion.take_outcomes() == [ClaimOutcome("river", True, "e", "s0", window(0).window_ns, True)]
    assert fusion.take_outcomes() == []
    assert all(credit.came_true == 0.0 for record in fusion.records.values() for credit in record)
    assert fuse(fusion, 0.5, 9, river=0.5) == 0.5
