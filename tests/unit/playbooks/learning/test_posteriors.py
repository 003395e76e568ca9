"""P(success): prior, evidence, shrinkage, forgetting; and whether predictions come true."""

import json
import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from contracts.errors import UnreadableEvent
from contracts.events import Feedback
from contracts.settings import DecideSettings
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, Outcome
from playbooks.learning import Learning, Posteriors, Prediction, from_json, learning_of, surprise

HALF_LIFE = 1800 * S
T0 = 10**6 * S


def feedback(
    outcome: Outcome = Outcome.BETTER,
    *,
    run: str = "r1",
    target: str = "cart",
    at: int = T0,
    by: str = "homeostat",
    credit: float = 1.0,
) -> Feedback:
    return Feedback(
        run=run, decision="d" + run, incident="i", environment="prod", playbook="restart", cause=CauseKind.HANG,
        target=target, outcome=outcome, time_ns=at, measures=(), text="", by=by, credit=credit,
    )  # fmt: skip


def p(posteriors: Posteriors, service: str = "cart", at: int = T0) -> float:
    return posteriors.probability("restart", CauseKind.HANG, "prod", service, at)


def test_without_history_it_is_the_prior():
    assert p(Posteriors(Learning(2, 1))) == pytest.approx(2 / 3)
    assert p(Posteriors(learning_of(DecideSettings()))) == pytest.approx(2 / 3)


def test_one_success_by_hand():
    # Over all services (2 + 1) / (3 + 1) = 0.75; here (3 × 0.75 + 1) / (3 + 1) = 0.8125.
    assert p(Posteriors().update(feedback(), T0)) == pytest.approx(0.8125)


def test_other_services_learn_too_but_less():
    after = Posteriors().update(feedback(Outcome.WORSE), T0)
    assert p(after, "cart") < p(after, "web") < p(Posteriors(), "web")
    assert p(after, "web") == pytest.approx(2 / 5)


def test_harm_weighs_more_than_no_effect_and_inconclusive_nothing():
    same, worse = (Posteriors().update(feedback(o), T0) for o in (Outcome.SAME, Outcome.WORSE))
    assert p(worse) < p(same) < p(Posteriors())
    assert p(Posteriors().update(feedback(Outcome.INCONCLUSIVE), T0)) == p(Posteriors())


def test_a_recovery_that_would_have_come_anyway_teaches_less():
    half = Posteriors().update(feedback(credit=0.5), T0)
    assert p(Posteriors()) < p(half) < p(Posteriors().update(feedback(), T0))


def test_capability_halves_in_half_an_hour_and_trust_lasts_for_days():
    after = Posteriors().update(feedback(Outcome.SAME), T0)
    later = after.experience("restart", CauseKind.HANG, "prod", "cart", T0 + HALF_LIFE)
    assert later.failures == pytest.approx(0.5)
    day = T0 + 48 * HALF_LIFE
    assert p(after, "cart", day) == pytest.approx(p(after, "web", day), abs=1e-9), "own history is forgotten"
    assert p(after, "web", day) < 2 / 3 - 0.05, "trust is not"


def test_the_same_outcome_delivered_twice_counts_once_and_a_person_counts_besides():
    once = Posteriors().update(feedback(), T0)
    assert once.update(feedback(), T0 + S) is once
    assert p(once.update(feedback(Outcome.WORSE, by="ada"), T0)) < p(once)


OUTCOMES = st.lists(
    st.tuples(st.sampled_from(list(Outcome)), st.integers(0, 10_000), st.sampled_from(["cart", "web"])), max_size=8
)


@given(OUTCOMES, st.randoms(use_true_random=False))
def test_outcomes_may_come_in_any_order(outcomes, random):
    events = [feedback(o, run=f"r{i}", at=T0 + t * S, target=s) for i, (o, t, s) in enumerate(outcomes)]
    shuffled = list(events)
    random.shuffle(shuffled)
    now = T0 + 20_000 * S
    a, b = Posteriors(), Posteriors()
    for x, y in zip(events, shuffled, strict=True):
        a, b = a.update(x, now), b.update(y, now)
    assert p(a, at=now) == pytest.approx(p(b, at=now), rel=1e-9)


@given(OUTCOMES)
def test_it_is_a_probability_and_survives_json(outcomes):
    posteriors = Posteriors()
    for i, (o, t, s) in enumerate(outcomes):
        posteriors = posteriors.update(feedback(o, run=f"r{i}", at=T0 + t * S, target=s), T0 + t * S)
    assert 0 < p(posteriors) < 1
    again = from_json(json.loads(json.dumps(posteriors.to_json())), posteriors.learning)
    assert again == posteriors


@given(OUTCOMES, st.sampled_from(["cart", "web"]))
def test_a_success_never_makes_it_less_likely(outcomes, service):
    posteriors = Posteriors()
    for i, (o, t, s) in enumerate(outcomes):
        posteriors = posteriors.update(feedback(o, run=f"r{i}", at=T0 + t * S, target=s), T0 + t * S)
    now = T0 + 10_000 * S
    better = posteriors.update(feedback(run="last", at=now, target=service), now)
    assert p(better, service, now) >= p(posteriors, service, now)


def test_something_else_is_not_what_was_learnt():
    with pytest.raises(UnreadableEvent):
        from_json({"services": 3}, Learning())


def test_a_clock_that_runs_ahead_does_not_undo_forgetting():
    future = Posteriors().update(feedback(at=T0 + 100 * HALF_LIFE), T0)
    assert p(future) == pytest.approx(0.8125)


def predictions(*outcomes: bool, probability: float = 0.8) -> list[Prediction]:
    return [Prediction(T0, probability, o) for o in outcomes]


def test_predictions_that_do_not_come_true_surprise():
    assert surprise(predictions(False, False), T0) == 0, "two say nothing"
    assert surprise(predictions(False, False, False), T0) == pytest.approx(2.4 / math.sqrt(0.48))
    assert surprise(predictions(True, True, True, True, False), T0) == pytest.approx(0)
    assert surprise(predictions(True, True, True), T0) < 0
    assert surprise(predictions(False, False, False), T0 + 3601 * S) == 0, "an hour later it is history"
    assert surprise(predictions(False, False, False, probability=0.0), T0) == 0
