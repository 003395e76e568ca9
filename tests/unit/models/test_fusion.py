"""Combining p-values, bounding false discoveries, and p-values from scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import Reference, conformal_p
from models.fusion import discoveries, fuse_detectors
from models.judgement import LEAST_P

P = st.floats(1e-12, 1.0)


def one(**p):
    return float(fuse_detectors({name: np.array([x]) for name, x in p.items()})[0])


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


def test_the_bank_alone_keeps_its_p_value():
    assert one(bank=1e-5) == pytest.approx(1e-5)
    assert one(bank=1e-5, river=float("nan"), pyod=float("nan")) == pytest.approx(1e-5, rel=1e-3)


def test_contented_helpers_cost_the_bank_their_weight_and_no_more():
    assert 1e-5 < one(bank=1e-5, river=1.0, pyod=1.0) < 1.6e-5


def test_helpers_that_agree_add_evidence():
    assert one(bank=1e-3, river=1e-5, pyod=1e-5) < 1e-4


@given(P, P)
def test_helpers_alone_open_nothing(river, pyod):
    assert one(bank=0.5, river=river, pyod=pyod) > 0.05


@given(st.floats(1e-10, 0.5), st.floats(1e-10, 1.0), st.floats(1e-10, 1.0))
def test_a_smaller_p_of_the_bank_never_makes_the_fused_one_larger(bank, river, pyod):
    assert one(bank=bank / 2, river=river, pyod=pyod) <= one(bank=bank, river=river, pyod=pyod) * (1 + 1e-9)


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
