"""What each value counted in an anomaly: the parts add up to the score that was told, whoever opened it."""

from itertools import permutations

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import T0, frame, steady
from contracts.events import Contribution
from contracts.ports.detecting import SeriesKey
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase
from models.contributions import _joined, accounted, shared
from models.engine import DetectEngine
from models.judgement import ADDS_SECOND
from models.low_traffic.reasons import Reason, joint, worth_of
from tests.representatives import representatives

SPOKEN = (AnomalyPhase.OPENED, AnomalyPhase.UPDATED)


def part(feature, decades, signal="spans"):
    return Contribution(signal=signal, feature=feature, value=1.0, low=0.0, high=0.5, decades=decades, share=0.0)


def shares(*parts, signal="spans"):
    return {c.feature: c.share for c in accounted(parts, signal)}


def test_what_stands_alone_is_all_of_it():
    assert shares(part(f.ERROR_RATE, 5.0)) == {f.ERROR_RATE: pytest.approx(1.0)}


def test_of_a_group_that_says_much_the_same_equals_share_what_one_would_have():
    found = shares(part(f.LATENCY_P50, 5.0), part(f.LATENCY_P95, 5.0), part(f.ERROR_RATE, 5.0))
    assert found[f.LATENCY_P50] == pytest.approx(found[f.LATENCY_P95])
    assert found[f.ERROR_RATE] == pytest.approx(2 * found[f.LATENCY_P50], rel=0.25)
    assert sum(found.values()) == pytest.approx(1.0)


def test_the_second_counts_as_its_rule_says():
    """Two groups, a >= b: a + w b; each comes first in one of two orders."""
    found, w = shares(part(f.ERROR_RATE, 6.0), part(f.LATENCY_P95, 4.0)), ADDS_SECOND
    a, b = 6.0 - 0.699, 4.0 - 0.699
    assert found[f.ERROR_RATE] * (a + w * b) == pytest.approx((a + a + w * b - b) / 2, abs=0.01)


def test_what_a_service_does_to_itself_counts_beside_what_users_feel_only_as_another_signal():
    found = shares(part(f.LATENCY_P95, 5.0), part("cpu_utilization", 6.0, "metrics"))
    assert found[f.LATENCY_P95] > found["cpu_utilization"] > 0.0
    assert shares(part("cpu_utilization", 6.0, "metrics"), signal="metrics") == {"cpu_utilization": pytest.approx(1.0)}


def test_without_evidence_of_its_own_nothing_is_divided_by_zero():
    assert shares(part(f.ERROR_RATE, 0.0)) == {f.ERROR_RATE: 0.0}
    assert sum(shares(part(f.ERROR_RATE, 0.1), part(f.LATENCY_P95, 0.2)).values()) == pytest.approx(1.0)


def test_reasons_of_low_traffic_add_up_by_their_own_rule():
    reasons = [
        Reason("s", d, part(name, d)) for name, d in ((f.ERROR_RATE, 3.0), (f.ERROR_RATE, 2.0), (f.CALL_RATE, 4.0))
    ]
    worth = worth_of(reasons)
    assert worth(np.ones((1, 3), np.bool_))[0] == pytest.approx(joint(reasons))
    told = shared([r.contribution for r in reasons], worth)
    assert sum(c.share for c in told) == pytest.approx(1.0)
    assert told[0].feature == f.CALL_RATE


def broken(window, values):
    """The first service fails and is slow for a while."""
    if 200 <= window < 215:
        values[0, 1], values[0, 2:] = 0.4, values[0, 2:] * 6
    return values


def told(detectors, **members):
    settings = DetectSettings.model_validate({"detectors": detectors, "members": members})
    engine, found = DetectEngine(0, settings), []
    for window, values in enumerate(steady(230, rows=6)):
        found += engine.observe(frame(window, broken(window, values)), T0 + (window + 1) * SECOND)[1]
    return [a for a in found if a.phase in SPOKEN]


def test_parts_of_the_banks_anomalies_add_up_to_the_told_score_and_no_scaling_is_needed():
    events = told(["bank"])
    assert events
    for a in events:
        assert sum(c.share * a.decades for c in a.contributions) == pytest.approx(a.decades)
        assert all(c.share > 0 for c in a.contributions)
        assert not a.members
        whole = _joined(a.contributions, "spans")(np.ones((1, len(a.contributions)), np.bool_))
        assert whole[0] == pytest.approx(a.decades), "the rule is the one by which it was judged"


MEMBERS = {
    "river": (["river"], {}),
    "pyod": (["pyod"], {}),
    "svm": (["mine"], {"mine": {"model": "river.anomaly.OneClassSVM", "parameters": {"nu": 0.1}}}),
    "ecod": (["mine"], {"mine": {"model": "pyod.models.ecod.ECOD", "parameters": {}}}),
}


@pytest.mark.parametrize("name", representatives(MEMBERS, "river", "pyod"))
def test_what_a_model_of_another_library_says_is_divided_among_features(name):
    detectors, members = MEMBERS[name]
    events = told(detectors, **members)
    assert events, "the fault is found"
    for a in events:
        assert [m.split("@")[0] for m in a.members] == detectors, "it says whose model spoke, and which"
        assert int(a.members[0].split("@")[1]) >= 1
        assert a.contributions
        assert sum(c.share * a.decades for c in a.contributions) == pytest.approx(a.decades)
        assert {c.feature for c in a.contributions} & {f.ERROR_RATE, f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99}
        loudest = max(a.contributions, key=lambda c: c.share)
        assert loudest.value is not None
        assert loudest.decades > 0


def test_a_members_parts_are_the_shapley_values_of_its_own_word():
    """Asked again for every coalition, by another reckoning: against the mean over all orders."""
    settings = DetectSettings.model_validate({"detectors": ["pyod"]})
    (detector,) = DetectEngine(0, settings).detectors
    for window, values in enumerate(steady(205, rows=6)):
        scores = detector.update(frame(window, broken(window, values)), np.ones(6, np.bool_))
    parts = detector.parts(SeriesKey("e", "spans", "s0"))
    track = detector._tracks["e", "spans"]
    at = int(np.flatnonzero(track.seen.aligned.rows == track.normaliser.alignment.slots.find("s0", ""))[0])
    vector = track.seen.vectors[at]
    active = np.flatnonzero(vector).tolist()

    def says(inside):
        asked = np.zeros((1, len(vector)))
        asked[0, inside] = vector[inside]
        return -np.log10(track.models.champion.score(asked)[0])

    expected = dict.fromkeys(active, 0.0)
    orders = list(permutations(active))
    for order in orders:
        for k, column in enumerate(order):
            expected[column] += (says(list(order[: k + 1])) - says(list(order[:k]))) / len(orders)
    names = track.normaliser.columns.names
    assert parts == pytest.approx({names[column]: v for column, v in expected.items()})
    assert sum(parts.values()) == pytest.approx(-np.log10(scores.p_value[0]) - says([]))


def test_who_was_not_asked_says_nothing():
    for name in ("river", "pyod"):
        (detector,) = DetectEngine(0, DetectSettings(detectors=(name,))).detectors
        assert detector.parts(SeriesKey("e", "spans", "s0")) == {}
        detector.update(frame(0, next(steady(1))), np.ones(8, np.bool_))
        assert detector.parts(SeriesKey("e", "spans", "s0")) == {}
        assert detector.parts(SeriesKey("e", "spans", "nobody")) == {}
