"""What members beside the leader may add, bounding false discoveries, and p-values from scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.checks.detector_frames import frame
from contracts.ports.detecting import Scores
from contracts.units import SECOND
from models.calibration import Reference, conformal_p
from models.fusion import FAMILIES, Credit, Fusion, discoveries
from models.judgement import CLAIM_NS, LEAST_P

P = st.floats(1e-12, 1.0)
LATENCY, ERRORS = FAMILIES.index("latency"), FAMILIES.index("errors")
COLUMN = {LATENCY: 2, ERRORS: 1}


def scores(p, family=LATENCY):
    decades = np.zeros((1, 5))
    decades[0, COLUMN[family]] = 4.0
    nothing = np.full((1, 5), np.nan)
    return Scores(decades, nothing, nothing, np.array([p]), np.ones(1, np.bool_))


def window(n=0):
    return frame(n, np.array([[50.0, 0.0, 0.02, 0.05, 0.08]]))


def fuse(fusion, bank, n=0, **others):
    given = {name: scores(p) for name, p in others.items()}
    return float(fusion.combine(window(n), scores(bank), given, 1e-4)[0])


def trusted(right=500.0, wrong=0.0):
    fusion = Fusion()
    fusion.record("river", LATENCY).came_true += right
    fusion.record("river", LATENCY).came_to_nothing += wrong
    return fusion


@given(st.lists(P, min_size=1, max_size=40), st.floats(0.001, 0.5))
def test_discoveries_are_those_of_the_step_up_procedure(ps, rate):
    p = np.array(ps)
    ordered, n = sorted(ps), len(ps)
    k = max((i for i in range(1, n + 1) if ordered[i - 1] <= rate * i / n), default=0)
    expected = [x <= ordered[k - 1] if k else False for x in ps]
    assert discoveries(p, rate).tolist() == expected


def test_false_discoveries_are_bounded_under_the_null():
    r = np.random.default_rng(1)
    hits = sum(discoveries(r.random(100), 0.05).any() for _ in range(1000))
    assert hits <= 75  # 50 expected; four standard deviations above is 78


@given(P, P, P)
def test_members_that_have_earned_nothing_weigh_nothing(bank, river, pyod):
    assert fuse(Fusion(), bank, river=river, pyod=pyod) == pytest.approx(max(bank, LEAST_P))


@given(P, P)
def test_a_trusted_member_never_makes_the_leader_less_sure_and_never_adds_to_what_it_says(bank, river):
    fused = fuse(trusted(), bank, river=river)
    assert fused <= max(bank, LEAST_P) * (1 + 1e-9)
    assert fused >= min(bank, river) * (1 - 1e-9)


def test_a_trusted_member_may_speak_alone_at_the_price_of_its_weight():
    assert 1e-8 < fuse(trusted(), 0.5, river=1e-8) < 1e-6


def test_nobody_is_trusted_for_a_handful_of_cases_or_when_often_wrong():
    assert Credit(8.0, 0.0).weight == 0.0
    assert Credit(500.0, 100.0).weight == 0.0
    assert 0.0 < Credit(100.0, 1.0).weight < Credit(500.0, 1.0).weight


def test_what_a_service_does_to_itself_is_for_the_leader_alone():
    fusion = trusted()
    fusion.record("river", FAMILIES.index("resource")).came_true += 500.0
    assert fusion.weights("river")[FAMILIES.index("resource")] == 0.0


def test_suspicions_that_come_true_earn_weight_and_others_cost_it():
    fusion = Fusion()
    fuse(fusion, 0.5, 0, river=1e-6)
    fusion.opened("e", "s0", window(3).window_ns)
    assert fusion.record("river", LATENCY).came_true == 1.0
    fuse(fusion, 0.5, 10, river=1e-6)
    fusion.settle("e", window(10).window_ns + CLAIM_NS + SECOND)
    assert fusion.record("river", LATENCY).came_to_nothing == 1.0
    fuse(fusion, 0.5, 200, river=1e-6)
    fusion.refuted("e", "s0")
    assert fusion.record("river", LATENCY).came_to_nothing == 2.0
    assert Fusion.of(fusion.plain()).plain() == fusion.plain()


def test_what_the_leader_says_itself_is_no_claim_of_a_member():
    fusion = Fusion()
    fuse(fusion, 1e-5, 0, river=1e-6)
    assert not fusion.claims


def test_conformal_ranks_are_uniform_on_calm_scores():
    r = np.random.default_rng(2)
    p = conformal_p(r.normal(size=4000), np.sort(r.normal(size=2000)))
    for level in (0.01, 0.05, 0.2):
        assert (p <= level).mean() == pytest.approx(level, rel=0.5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_conformal_p_is_a_probability_that_falls_with_the_score(reference, scores):
    p = conformal_p(np.sort(np.array(scores)), np.sort(np.array(reference)))
    assert ((p >= LEAST_P) & (p <= 1)).all()
    assert (np.diff(p) <= 1e-12).all()


def test_beyond_the_reference_the_tail_goes_below_one_in_n():
    reference = np.sort(np.random.default_rng(3).exponential(size=100))
    assert conformal_p(np.array([reference[-1] * 3]), reference)[0] < 1e-3


def test_a_reference_keeps_the_latest_scores():
    reference = Reference(4)
    assert reference.p(1.0) == 1.0
    for score in (9.0, 9.0, 1.0, 1.0, 1.0, 1.0):
        reference.add(score)
    assert len(reference) == 4
    assert reference.p(9.0) < 0.21


def test_whose_word_counts_for_a_row_is_known():
    """Only who has earned it speaks beside the leader, and of those the surest."""

    def speaker(fusion, bank, **others):
        return fusion.speaker(window(), scores(bank), {name: scores(p) for name, p in others.items()}, 0)

    assert speaker(Fusion(), 0.5, river=1e-9) == ""
    assert speaker(trusted(), 0.5, river=1e-9, pyod=1e-12) == "river"
    assert speaker(trusted(), 1e-11, river=1e-9) == ""
    both = trusted()
    both.record("pyod", LATENCY).came_true += 500.0
    assert speaker(both, 0.5, river=1e-9, pyod=1e-11) == "pyod"
