"""What lasts: harm stays an anomaly for as long as it is there, a harmless new level becomes normal as an event, and a person
has the last word on both."""

import copy
from functools import cache

import numpy as np
import pytest

from contracts import features as f
from contracts import topics
from contracts.checks.detector_frames import FEATURES, T0, frame, steady
from contracts.events import Adoption, Anomaly, Contribution, decode, encode
from contracts.ports import Record
from contracts.settings import DetectSettings, Objective
from contracts.units import SECOND
from contracts.verdicts import AdoptionVerdict, AnomalyPhase, ServiceState
from models.adoption import BUCKETS, Course, Former, against, remembered
from models.engine import DetectEngine
from models.harm import harms
from streams.stages.detect import DetectStage
from tests.patience import LONG_S
from tests.representatives import representatives

pytestmark = pytest.mark.slow
BANK = DetectSettings(detectors=("bank",))
HOUR = 3600
OPENED, CLOSED, ADOPTED = AnomalyPhase.OPENED, AnomalyPhase.CLOSED, AnomalyPhase.ADOPTED
RATE, ERRORS, P50, P95, P99 = (FEATURES.index(n) for n in FEATURES)
METRICS = (f.CPU, f.MEMORY)


class Told:
    """Windows of telemetry through an engine: what it told, and in which states the first service was when."""

    def __init__(self, settings=BANK, rows=3):
        self.engine, self.rows = DetectEngine(0, settings), rows
        self.events, self.states, self.window = [], [], 0

    def run(self, windows, change=lambda values: None, seed=None):
        for values in steady(windows, rows=self.rows, seed=self.window + 3 if seed is None else seed):
            change(values)
            self.take(frame(self.window, values))
            self.window += 1
        return self

    def take(self, made):
        now = made.window_ns + made.width_ns
        told = [*self.engine.observe(made, now)[1], *self.engine.tick(now)]
        self.events += [(self.window, a) for a in told]
        self.states.append(self.engine.states("e")["s0"])

    def of(self, phase, service="s0"):
        return [(w, a) for w, a in self.events if a.phase is phase and a.service == service]

    def heed(self, verdict, service="s0", time_ns=1, by="ann"):
        word = Adoption(environment="e", service=service, verdict=verdict, by=by, time_ns=time_ns)
        told = self.engine.heed(word)
        self.events += [(self.window, a) for a in told]
        return told


def errors(share):
    def change(values):
        values[0, ERRORS] = share

    return change


def latency(factor):
    def change(values):
        values[0, P50:] *= factor

    return change


def traffic(factor):
    def change(values):
        values[0, RATE] *= factor
        values[0, ERRORS] = 0.01  # as steady as a share of so many requests is

    return change


@cache
def _lived(raised: int, factor: float) -> Told:
    return lived().run(raised, traffic(factor)) if raised else Told().run(300)


def lived(raised: int = 0, factor: float = 1.0) -> Told:
    """Five minutes as usual, then windows with so many times the traffic: what many tests begin with is lived through once."""
    return copy.deepcopy(_lived(raised, factor))


@pytest.mark.timeout(LONG_S)
@pytest.mark.parametrize(("times", "windows"), representatives([(1, 400), (8, HOUR // 4)], (1, 400)))
def test_harm_that_lasts_for_hours_is_never_healthy(times: int, windows: int):
    def faults(values):
        values[0, ERRORS] = 0.5
        values[1, ERRORS] = 0.05
        values[2, P50:] *= 5.0
        values[3, P50:] *= 1.8
        values[4, RATE] *= 0.1

    told, sick = Told(rows=7).run(300), ("s0", "s1", "s2", "s3", "s4")
    for _ in range(times):
        told.run(windows, faults)
        states = told.engine.states("e")
        assert {states[s] for s in sick} == {ServiceState.ANOMALOUS}
        assert {states[s] for s in ("s5", "s6")} == {ServiceState.HEALTHY}
    for service in sick:
        (opened, _), *others = told.of(OPENED, service)
        assert 300 <= opened <= 340
        assert not others
        assert not told.of(CLOSED, service)
        assert not told.of(ADOPTED, service)
    told.run(60)
    assert set(told.engine.states("e").values()) == {ServiceState.HEALTHY}
    assert len([a for _, a in told.events if a.phase is CLOSED]) == len(sick)


def test_harm_that_lasts_is_never_healthy_whatever_helps_the_bank():
    told = Told(DetectSettings(), rows=1).run(150).run(300, errors(0.5))
    assert set(told.states[152:]) == {ServiceState.ANOMALOUS}


def test_harm_lasts_through_restarts_of_homeostat():
    told = lived()
    for _ in range(3):
        told.run(100, errors(0.5))
        state, told.engine = told.engine.snapshot(), DetectEngine(0, BANK)
        told.engine.restore(state)
    assert set(told.states[302:]) == {ServiceState.ANOMALOUS}


def test_a_service_that_fails_from_the_beginning_is_not_taken_for_healthy():
    told = Told().run(250, errors(0.5))
    window, event = told.of(OPENED)[0]
    assert window <= 10
    assert event.contributions[0].feature == f.ERROR_RATE
    assert "error rate 50 %" in event.text
    assert ServiceState.HEALTHY not in told.states
    told.run(120)
    assert told.states[-1] is ServiceState.HEALTHY


def test_a_few_failures_of_a_young_service_are_no_outage():
    assert not Told().run(300, errors(0.08)).of(OPENED)


@pytest.mark.parametrize("key", ["s0", "e:s0"])
def test_an_objective_is_judged_whatever_was_usual(key):
    strict = DetectSettings(detectors=("bank",), objectives={key: Objective(availability=0.97)})
    told = Told(strict).run(200, errors(0.08))
    assert [a.contributions[0].high for _, a in told.of(OPENED)] == [pytest.approx(0.03)]
    assert told.states[-1] is ServiceState.ANOMALOUS
    assert not told.of(OPENED, "s1")


def test_latency_beyond_its_objective_is_an_anomaly_from_the_beginning():
    promised = DetectSettings(detectors=("bank",), objectives={"s0": Objective(latency_s=0.03)})
    told = Told(promised).run(200)
    assert told.of(OPENED)
    assert told.states[-1] is ServiceState.ANOMALOUS
    assert "p95 latency" in told.of(OPENED)[0][1].text


def test_failures_within_the_objective_may_become_normal():
    lenient = DetectSettings(detectors=("bank",), objectives={"s0": Objective(availability=0.9)})
    told = Told(lenient).run(300).run(400, errors(0.06))
    assert len(told.of(ADOPTED)) == 1
    assert told.states[-1] is ServiceState.HEALTHY


def test_a_harmless_level_is_adopted_as_an_event_that_says_what_from_and_to():
    told = lived(400, 4.0)
    assert not told.of(OPENED), "nobody feels it"
    adopted, event = told.of(ADOPTED)[0]
    assert BANK.adopt_after_s <= adopted - 300 <= BANK.adopt_after_s + 15
    assert (event.by, event.state) == ("homeostat", ServiceState.HEALTHY)
    rate = next(c for c in event.contributions if c.feature == f.REQUEST_RATE)
    assert rate.value == pytest.approx(204, rel=0.1)
    assert 51 < rate.high < 110
    assert "request rate 2" in event.text
    assert "until now" in event.text
    assert len(told.events) == 1, "what was adopted is normal"


def test_what_was_adopted_is_judged_like_what_was_learnt():
    told = lived(400, 4.0)

    def both(values):
        values[0, RATE] *= 4.0
        values[0, ERRORS] = 0.4

    since = told.window
    told.run(10, both)
    assert [w - since for w, _ in told.of(OPENED)] == [pytest.approx(0, abs=1)]


def test_slow_requests_that_were_adopted_are_told_of_no_more():
    def tail(values):
        values[0, P99] *= 2.0

    told = lived().run(250, tail)
    assert [a.phase for _, a in told.events] == [ADOPTED]
    told.run(60, lambda values: values.__setitem__((0, P99), 8.0 * values[0, P99]))
    assert told.of(OPENED), "more of them are news"


def test_a_return_to_what_was_normal_before_is_no_lasting_drop():
    told = lived(400, 8.0).run(200)
    assert len(told.of(ADOPTED)) == 2
    back = told.of(ADOPTED)[1][0]
    assert back - 700 <= 40
    assert told.states[-1] is ServiceState.HEALTHY


def test_a_resource_that_climbs_is_not_adopted_and_one_that_has_settled_is():
    def usage(climb):
        told, r = Told(), np.random.default_rng(5)
        for window in range(900):
            level = 0.3 + (0 if window < 300 else 0.2 + climb * (window - 300))
            values = 0.3 + r.normal(0.0, 0.004, (3, 2))
            values[0, 1] += level - 0.3
            told.take(frame(window, values, signal="metrics", features=METRICS, counts=np.zeros(3, np.int64)))
            told.window += 1
        return told

    level, climbing = usage(0.0), usage(0.0012)
    assert len(level.of(ADOPTED)) == 1
    assert level.states[-1] is ServiceState.HEALTHY
    assert climbing.of(OPENED)
    assert not climbing.of(ADOPTED)
    assert climbing.states[-1] is ServiceState.ANOMALOUS


def test_a_few_failures_within_what_is_allowed_hold_no_anomaly_for_ever():
    r = np.random.default_rng(7)
    told = Told(rows=1)

    def run(windows, share):
        for values in steady(windows, rows=1, seed=told.window + 3):
            values[0, ERRORS] = r.binomial(int(values[0, RATE]), share) / values[0, RATE]
            told.take(frame(told.window, values))
            told.window += 1

    run(200, 0.0005)
    run(900, 0.006)
    assert told.of(OPENED)
    assert told.states[-1] is ServiceState.HEALTHY, "six in a thousand are allowed"


def test_a_chain_of_small_adoptions_makes_no_harm_normal():
    first, second = Former("spans", 0.01, 0.02, 0.015, 10), Former("spans", 0.02, 0.03, 0.025, 20)
    formers = remembered({f.LATENCY_P50: first}, {f.LATENCY_P50: second, f.REQUEST_RATE: second})
    assert (formers[f.LATENCY_P50].high, formers[f.LATENCY_P50].until_ns) == (0.02, 20)
    assert formers[f.REQUEST_RATE] is second
    part = Contribution(
        signal="spans", feature=f.LATENCY_P50, value=0.04, low=0.025, high=0.035, decades=3.0, share=0.0
    )
    assert not harms(part, BANK, Objective())
    assert harms(against(part, formers), BANK, Objective())


def test_who_falls_silent_after_an_adoption_is_not_on_the_way_back():
    told = lived(200, 4.0)
    assert told.of(ADOPTED)
    told.run(12, traffic(0.02))
    assert told.of(OPENED)


def test_a_person_takes_a_level_for_normal_whatever_it_harms():
    told = lived().run(200, latency(5.0))
    event = told.heed(AdoptionVerdict.ACCEPT)[0]
    assert (event.phase, event.by) == (ADOPTED, "ann")
    assert "taken for normal by ann" in event.text
    told.run(300, latency(5.0))
    assert told.states[-1] is ServiceState.HEALTHY
    assert len(told.of(OPENED)) == 1


def test_a_person_refuses_before_anything_is_adopted():
    told = lived(30, 4.0)
    told.heed(AdoptionVerdict.REFUSE)
    told.run(400, traffic(4.0))
    assert not told.of(ADOPTED)
    assert told.states[-1] is ServiceState.ANOMALOUS
    told.heed(AdoptionVerdict.ACCEPT, time_ns=2)
    assert told.run(30, traffic(4.0)).states[-1] is ServiceState.HEALTHY


def test_a_refusal_undoes_an_adoption_also_after_a_restart():
    told = lived(400, 4.0)
    assert told.states[-1] is ServiceState.HEALTHY
    state, told.engine = told.engine.snapshot(), DetectEngine(0, BANK)
    told.engine.restore(state)
    told.heed(AdoptionVerdict.REFUSE)
    told.run(400, traffic(4.0))
    assert len(told.of(OPENED)) == 1
    assert told.states[-1] is ServiceState.ANOMALOUS
    assert told.run(60).states[-1] is ServiceState.HEALTHY, "what was normal before the adoption is normal again"


def test_only_the_newest_word_holds():
    told = lived(30, 4.0)
    told.heed(AdoptionVerdict.REFUSE, time_ns=9)
    assert told.heed(AdoptionVerdict.ACCEPT, time_ns=5) == []
    assert told.run(300, traffic(4.0)).states[-1] is ServiceState.ANOMALOUS


def test_the_stage_heeds_words_and_tells_what_follows():
    stage = DetectStage(0, BANK)

    def take(topic, value, offset):
        return stage.handle(Record(topic, 0, offset, b"", value, (), T0), T0)

    told = lived(50, 4.0)
    stage.engine = told.engine
    word = Adoption(environment="e", service="s0", verdict=AdoptionVerdict.ACCEPT, by="ann", time_ns=1)
    emits = take(topics.ADOPTIONS, encode(word), 1)
    assert [decode(Anomaly, e.value).phase for e in emits] == [ADOPTED]
    assert emits[0].route == "e"
    assert stage.counters["adoptions_accept"] == 1


def test_one_that_serves_nobody_any_more_is_not_called_healthy():
    told = Told(rows=2).run(300).run(20, errors(0.5))
    for values in steady(120, rows=2, seed=9):
        values[0] = (0.0, np.nan, np.nan, np.nan, np.nan)
        told.take(frame(told.window, values))
        told.window += 1
    assert ServiceState.HEALTHY not in told.states[302:]


def test_a_course_keeps_a_bounded_number_of_means():
    course = Course("spans", 1.0, 2.0)
    for second in range(10_000):
        course.take(second * SECOND, float(second))
    assert len(course.starts) <= BUCKETS
    assert not course.settled()
    assert course.level() == pytest.approx(7500, rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_step_has_settled(noise):
    course, r = Course("spans", 1.0, 2.0), np.random.default_rng(1)
    for second in range(120):
        course.take(second * SECOND, 10.0 + r.normal(0.0, noise))
    assert course.settled()
    assert course.level() == pytest.approx(10.0, abs=0.5)
