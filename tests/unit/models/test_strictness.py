"""How much more is asked for before an anomaly opens follows of a budget and of what people say, whatever the order; and hides no harm."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.checks.detector_frames import FEATURES, T0, frame, steady
from contracts.errors import UnreadableEvent
from contracts.events import Feedback, Incident, IncidentVerdict, Strictness
from contracts.frames.decoded import F64
from contracts.settings import DetectSettings, Objective
from contracts.units import DAY, SECOND
from contracts.verdicts import AnomalyPhase, CauseKind, IncidentPhase, Outcome, Severity, VerdictKind
from models.engine import DetectEngine
from models.judgement import FALSE_PER_WEEK, HARD_DECADES, LOOSEST, STRICTEST, THIN_CAP, VERDICTS_COUNT_NS
from models.ledger import weigh
from models.service.columns import SLOW
from models.strictness import EnvironmentRecord, bounded, expected_false, strictness
from tests.unit.contracts.samples import EVENTS

Change = Callable[[F64], None]
NOW = T0 + 100 * DAY
PLAIN = DetectSettings()
FALSE, RIGHT, MISSED, WITHDRAWN = VerdictKind
RATE, ERRORS, P50, _, _ = (FEATURES.index(name) for name in FEATURES)


def verdict(about: str, kind: VerdictKind = FALSE, at_ns: int = NOW, by: str = "ann") -> IncidentVerdict:
    return IncidentVerdict(id=about, environment="e", verdict=kind, by=by, time_ns=at_ns, about_ns=at_ns)


def record(*verdicts: IncidentVerdict, services: int = 3) -> EnvironmentRecord:
    made = EnvironmentRecord("e")
    made.hear((f"s{i}" for i in range(services)), NOW)
    for said in verdicts:
        made.note_verdict(said, NOW)
    return made


def told(*verdicts: IncidentVerdict, settings: DetectSettings = PLAIN) -> Strictness:
    return record(*verdicts).told(settings, NOW)


KINDS = st.sampled_from([FALSE, RIGHT, MISSED])
VERDICTS = st.lists(
    st.builds(
        verdict,
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(list(VerdictKind)),
        st.integers(NOW - 3 * DAY, NOW),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=12,
)
BUDGETS = st.none() | st.floats(1e-3, 1e3)


# --- the rule


@given(VERDICTS, st.randoms(use_true_random=False))
def test_the_order_of_verdicts_and_their_repetitions_do_not_matter(
    said: list[IncidentVerdict], r: random.Random
) -> None:
    shuffled = said + r.sample(said, len(said) // 2)
    r.shuffle(shuffled)
    assert told(*shuffled) == told(*said)


@given(VERDICTS, KINDS, BUDGETS)
def test_what_is_taken_back_leaves_exactly_what_would_be_without_it(
    said: list[IncidentVerdict], kind: VerdictKind, budget: float | None
) -> None:
    settings = DetectSettings(false_incidents_per_week=budget)
    taken_back = verdict("new", kind, NOW - 9), verdict("new", WITHDRAWN, NOW - 8)
    assert told(*said, *taken_back, settings=settings) == told(*said, settings=settings)


@given(VERDICTS, BUDGETS)
def test_it_is_bounded_and_a_false_alarm_never_lowers_it_nor_a_missed_incident_raises_it(
    said: list[IncidentVerdict], budget: float | None
) -> None:
    settings = DetectSettings(false_incidents_per_week=budget)
    now, stricter, looser = (
        told(*said, *more, settings=settings).strictness
        for more in ((), (verdict("new", FALSE),), (verdict("new", MISSED),))
    )
    assert LOOSEST <= looser <= now <= stricter <= STRICTEST
    assert told(*said, verdict("new", RIGHT), settings=settings).strictness == now


def test_nothing_said_is_as_tuned_whatever_the_number_of_services() -> None:
    for services in (1, 30, 5000):
        word = record(services=services).told(PLAIN, NOW)
        assert (word.strictness, word.text) == (0.0, "as detection is tuned")
        assert word.services == services


def test_each_false_alarm_asks_for_so_many_times_rarer_evidence_as_the_budget_is_small() -> None:
    few, many = (strictness(b, b, 2, 0) for b in (0.01, 10.0))
    assert few.of_verdicts == pytest.approx(2 * math.log10(3.0)), "half an event is the least that a budget is worth"
    assert many.of_verdicts == pytest.approx(2 * math.log10(1 + 1 / 40))
    assert strictness(0.01, 0.01, 1, 1).total == 0.0, "a missed one weighs as much as a false one"


@given(st.integers(1, 100_000), st.floats(1e-3, 1e3))
def test_a_budget_brings_what_is_expected_to_what_is_accepted(services: int, accepted: float) -> None:
    settings = DetectSettings(false_incidents_per_week=accepted)
    expected = expected_false(services, settings)
    parts = strictness(accepted, expected, 0, 0)
    if LOOSEST < parts.total < STRICTEST:
        assert expected * 10**-parts.total == pytest.approx(accepted)
    else:
        assert parts.total in (LOOSEST, STRICTEST)


def test_more_services_ask_for_more_until_false_discoveries_are_bounded_anyway() -> None:
    assert expected_false(20, PLAIN) == pytest.approx(20 * FALSE_PER_WEEK)
    assert expected_false(100, PLAIN) == expected_false(10_000, PLAIN) == pytest.approx(100 * FALSE_PER_WEEK)


def test_a_budget_of_one_environment_holds_there_alone() -> None:
    settings = DetectSettings(false_incidents_per_week=1000.0, false_incidents_by_environment={"e": 1e-6})
    assert told(settings=settings).strictness == STRICTEST
    elsewhere = EnvironmentRecord("other").told(settings, NOW)
    assert (elsewhere.accepted, elsewhere.strictness) == (1000.0, LOOSEST)


def test_a_verdict_counts_for_four_weeks_and_one_of_before_never() -> None:
    young, old = (
        record(verdict("a", at_ns=NOW - VERDICTS_COUNT_NS)),
        record(verdict("a", at_ns=NOW - VERDICTS_COUNT_NS - 1)),
    )
    assert young.told(PLAIN, NOW).strictness > 0
    assert young.told(PLAIN, NOW + 1).strictness == 0
    assert old.told(PLAIN, NOW).strictness == 0


def test_why_is_told_with_what_held_it() -> None:
    strict = DetectSettings(false_incidents_per_week=1e-4)
    word = told(verdict("a"), verdict("b"), verdict("c", MISSED), settings=strict)
    assert "0.0001 false a week accepted, 0.09 expected: +1.50" in word.text
    assert "said in four weeks: false alarms 2, missed 1: +0.48" in word.text
    assert word.text.endswith(f"bounded at {STRICTEST:+.2f}")


def test_bounds_leave_what_one_slow_window_may_show_and_what_thin_services_may_not() -> None:
    opens = -math.log10(PLAIN.open_p)
    assert opens + STRICTEST <= SLOW[0]
    assert opens + LOOSEST > THIN_CAP


@pytest.mark.parametrize("services", [("redis:cache",), ()])
def test_what_is_no_service_does_not_count(services: tuple[str, ...]) -> None:
    made = record()
    made.hear(services, NOW)
    made.hear(["gone"], NOW - 2 * DAY)
    assert made.told(PLAIN, NOW).services == 3


# --- what came true


def incident(name: str, at_ns: int = NOW, phase: IncidentPhase = IncidentPhase.OPENED) -> Incident:
    return Incident(
        id=name, environment="e", phase=phase, severity=Severity.WARNING, onset_ns=at_ns, time_ns=at_ns, revision=1,
        anomalies=(), services=(), candidates=(), blast_radius=(), confidence=0.5, settled=True, text="",
    )  # fmt: skip


def outcome(of: str, found: Outcome) -> Feedback:
    sample = EVENTS["Feedback"]
    assert isinstance(sample, Feedback)
    return msgspec.structs.replace(sample, incident=of, outcome=found, cause=CauseKind.HANG)


def test_what_nobody_says_anything_of_is_unknown_and_never_right() -> None:
    made = record(verdict("false"), verdict("right", RIGHT), verdict("mended", FALSE), verdict("back", WITHDRAWN))
    for name in ("false", "right", "mended", "repaired", "tried", "back", "silent"):
        assert made.note_incident(incident(name))
        assert not made.note_incident(incident(name, phase=IncidentPhase.UPDATED)), "once"
    assert made.note_feedback(outcome("repaired", Outcome.BETTER))
    assert made.note_feedback(outcome("mended", Outcome.BETTER)), "what a person says of it is what counts"
    assert not made.note_feedback(outcome("tried", Outcome.INCONCLUSIVE))
    word = made.told(PLAIN, NOW)
    assert (word.opened, word.said_false, word.said_right, word.repaired, word.unknown) == (7, 2, 1, 1, 3)
    assert made.told(PLAIN, NOW + 8 * DAY).opened == 0, "of the last week"


# --- what detection makes of it


@given(st.lists(st.floats(0, 12), min_size=1, max_size=20), st.floats(LOOSEST, STRICTEST))
def test_more_evidence_never_counts_for_less_and_what_is_beyond_doubt_counts_as_it_is(
    shown: list[float], s: float
) -> None:
    decades = np.array(sorted(shown))
    weighed = weigh(decades, s)
    assert (np.diff(weighed) >= 0).all()
    assert (weighed[decades >= HARD_DECADES] >= decades[decades >= HARD_DECADES]).all()
    assert (weighed >= np.minimum(decades, decades - s)).all()


def word(value: float, environment: str = "e") -> Strictness:
    sample = EVENTS["Strictness"]
    assert isinstance(sample, Strictness)
    return msgspec.structs.replace(sample, environment=environment, strictness=value)


WARM = 200


@cache
def warmed(rows: int) -> bytes:
    """The state of detection after steady telemetry of so many services."""
    engine = DetectEngine(0, PLAIN)
    for window, values in enumerate(steady(WARM, rows=rows, seed=11)):
        engine.observe(frame(window, values), T0 + (window + 1) * SECOND)
    return engine.snapshot()


def opened(value: float, change: Change, windows: int = 40, rows: int = 4) -> list[int]:
    """Windows after the change at which anomalies of the first service open, at this strictness."""
    engine, found = DetectEngine(0, PLAIN), []
    engine.restore(warmed(rows))
    engine.heed_strictness(word(value))
    for window, values in enumerate(steady(windows, rows=rows, seed=12)):
        change(values)
        made = frame(WARM + window, values)
        events = engine.observe(made, made.window_ns + SECOND)[1]
        found += [window for a in events if a.phase is AnomalyPhase.OPENED and a.service == "s0"]
    return found


def failing(share: float) -> Change:
    def change(values: F64) -> None:
        values[0, ERRORS] = share

    return change


def slower(factor: float) -> Change:
    def change(values: F64) -> None:
        values[0, P50:] *= factor

    return change


def silent(values: F64) -> None:
    values[0] = (0.0, np.nan, np.nan, np.nan, np.nan)


HARD = {"half fail": failing(0.5), "all fail": failing(1.0), "five times as slow": slower(5.0), "no requests": silent}


@pytest.mark.parametrize("name", HARD)
def test_a_hard_fault_is_found_in_the_same_window_at_the_strictest(name: str) -> None:
    usual, strictest = opened(0.0, HARD[name]), opened(STRICTEST, HARD[name])
    assert strictest == usual
    assert usual
    assert usual[0] <= 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half fail", "five times as slow"])
def test_a_hard_fault_among_many_services_takes_at_most_two_windows_more_at_the_strictest(name: str) -> None:
    usual, strictest = (opened(value, HARD[name], windows=8, rows=600)[0] for value in (0.0, STRICTEST))
    assert usual <= strictest <= usual + 2


@pytest.mark.parametrize(
    ("promised", "broken"),
    [
        (Objective(availability=0.97), failing(0.08)),
        (Objective(latency_s=0.03), slower(1.0)),
    ],
)
def test_a_broken_objective_is_told_as_soon_at_the_strictest(promised: Objective, broken: Change) -> None:
    settings = DetectSettings(objectives={"s0": promised})
    engines = {value: DetectEngine(0, settings) for value in (0.0, STRICTEST)}
    found: dict[float, list[int]] = {value: [] for value in engines}
    for value, engine in engines.items():
        engine.heed_strictness(word(value))
        for window, values in enumerate(steady(200, rows=3, seed=5)):
            broken(values)
            made = frame(window, values)
            events = engine.observe(made, made.window_ns + SECOND)[1]
            found[value] += [window for a in events if a.phase is AnomalyPhase.OPENED]
    assert found[STRICTEST] == found[0.0] != []


def test_what_is_marginal_takes_longer_the_stricter_one_is() -> None:
    delays = [opened(value, failing(0.035), windows=120)[0] for value in (LOOSEST, 0.0, STRICTEST)]
    assert delays == sorted(delays)
    assert delays[0] < delays[2]


def test_the_last_word_holds_through_a_restart_and_bounds_hold_whoever_says_it() -> None:
    engine = DetectEngine(0, PLAIN)
    for value in (0.1, 0.7):
        engine.heed_strictness(word(value))
    state, engine = engine.snapshot(), DetectEngine(0, PLAIN)
    engine.restore(state)
    values = next(iter(steady(1)))
    engine.observe(frame(0, values), T0)
    assert engine._states["e"].services.strictness == engine._states["e"].edges.strictness == 0.7
    engine.heed_strictness(word(99.0))
    assert engine._states["e"].services.strictness == STRICTEST
    engine.heed_strictness(word(-99.0))
    assert engine._states["e"].strictness == LOOSEST
    with pytest.raises(UnreadableEvent, match="strictness is no number"):
        bounded(math.nan)


def test_another_environment_is_judged_as_before() -> None:
    engine = DetectEngine(0, PLAIN)
    engine.heed_strictness(word(1.0, environment="other"))
    engine.observe(frame(0, next(iter(steady(1)))), T0)
    assert engine._states["e"].strictness == 0.0
