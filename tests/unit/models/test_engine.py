"""The engine over scripted telemetry: what is told, when, and in which words."""

import dataclasses

import numpy as np
import pytest

from contracts import features as f
from contracts import topics
from contracts.checks.detector_frames import FEATURES, T0, as_they_come, frame, steady
from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, decode, encode
from contracts.frames.codec import pack, unpack
from contracts.frames.feature_frame import EvidenceFrame, Presence
from contracts.ports import Record
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from models.engine import DetectEngine
from models.ledger import Ledger
from models.service.state import BankState
from streams.stages.detect import DetectStage
from tests.representatives import representatives

SETTINGS = DetectSettings(detectors=("bank",))
OPENED, CLOSED = AnomalyPhase.OPENED, AnomalyPhase.CLOSED


def run(engine, windows, change=lambda window, values: values, start=0, seed=3, rows=4, **given):
    """Feed steady windows, changed by `change`; events in order as (window, event)."""
    told = []
    for i, values in enumerate(steady(windows, rows=rows, seed=seed)):
        w = start + i
        now = T0 + (w + 1) * SECOND
        sent = change(w, values.copy())
        if sent is not None:
            made = sent if not isinstance(sent, np.ndarray) else frame(w, sent, **given)
            told += [(w, a) for a in engine.observe(made, now)[1]]
        told += [(w, a) for a in engine.tick(now)]
    return told


def failing(since, until=10_000, row=0):
    def change(window, values):
        if since <= window < until:
            values[row, 1], values[row, 2:] = 0.4, values[row, 2:] * 6
        return values

    return change


def of(told, phase):
    return [(w, a) for w, a in told if a.phase is phase]


def test_calm_telemetry_opens_nothing_and_becomes_healthy_after_warming_up():
    engine = DetectEngine(0, SETTINGS)
    run(engine, 10)
    assert set(engine.states("e").values()) == {ServiceState.WARMING}
    assert run(engine, 200, start=10) == []
    assert set(engine.states("e").values()) == {ServiceState.HEALTHY}


def test_a_fault_is_one_episode_found_within_two_windows_even_of_a_young_service():
    engine = DetectEngine(0, SETTINGS)
    told = run(engine, 90, failing(40, 60))
    (opened, event), (closed, last) = of(told, OPENED)[0], of(told, CLOSED)[0]
    assert len(of(told, OPENED)) == len(of(told, CLOSED)) == 1
    assert 40 <= opened <= 41
    assert 60 <= closed <= 75
    assert event.id == last.id
    assert event.onset_ns == T0 + 40 * SECOND
    assert (event.service, event.state, last.state) == ("s0", ServiceState.ANOMALOUS, ServiceState.HEALTHY)


def test_the_event_explains_itself():
    told = run(DetectEngine(0, SETTINGS), 60, failing(40))
    event = of(told, OPENED)[0][1]
    assert {c.feature for c in event.contributions} >= {f.ERROR_RATE, f.LATENCY_P50}
    assert sum(c.share for c in event.contributions) == pytest.approx(1.0)
    errors = next(c for c in event.contributions if c.feature == f.ERROR_RATE)
    assert errors.value == pytest.approx(0.4)
    assert errors.high < 0.2
    assert "error rate 40 %, expected 0–" in event.text
    assert event.p_value <= SETTINGS.open_p
    assert decode(Anomaly, encode(event)) == event


def test_updates_come_at_most_once_a_second_and_only_with_news():
    told = run(DetectEngine(0, SETTINGS), 70, failing(40))
    updates = [w for w, a in told if a.phase is AnomalyPhase.UPDATED]
    assert len(updates) <= 6
    assert len(set(updates)) == len(updates)


def test_one_slow_second_is_no_incident():
    def pause(window, values):
        if window == 120:
            values[0, 2:] *= 20
        return values

    assert run(DetectEngine(0, SETTINGS), 160, pause) == []


def silenced(since, presence, until=10_000, row=0):
    """From `since` to `until` nothing comes of one service, and its sender says what that means."""

    def change(window, values):
        if not since <= window < until:
            return values
        values[row] = np.nan
        values[row, 0] = 0.0 if presence is Presence.QUIET else np.nan
        said = np.zeros(len(values), np.int8)
        said[row] = presence
        return frame(window, values, presence=said)

    return change


def test_a_service_that_is_asked_nothing_any_more_is_found_in_a_few_windows():
    engine = DetectEngine(0, SETTINGS)
    told = run(engine, 64, silenced(60, Presence.QUIET))
    window, event = of(told, OPENED)[0]
    assert (event.service, window <= 62) == ("s0", True)
    assert "no requests for 2 s, expected" in event.text
    told = run(engine, 60, silenced(60, Presence.QUIET), start=64)
    assert engine.states("e")["s0"] is ServiceState.ANOMALOUS
    assert not of(told, CLOSED)


@pytest.mark.parametrize("rows", [(0,), (0, 1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("seconds", [1, 20, 120])
def test_lost_telemetry_makes_services_stale_and_is_told_of_none(rows, seconds):
    engine = DetectEngine(0, SETTINGS)

    def lose(window, values):
        said = np.zeros(len(values), np.int8)
        if 60 <= window < 60 + seconds:
            values[list(rows)], said[list(rows)] = np.nan, Presence.MISSING
        return frame(window, values, presence=said)

    told = run(engine, 60 + seconds, lose)
    states = engine.states("e")
    assert {s for s, state in states.items() if state is ServiceState.STALE} == {f"s{i}" for i in rows}
    told += run(engine, 60, lose, start=60 + seconds, seed=4)
    assert set(engine.states("e").values()) == {ServiceState.HEALTHY}
    assert told == []


def test_a_fault_goes_on_while_its_telemetry_is_lost():
    engine = DetectEngine(0, SETTINGS)

    def change(window, values):
        failing(50)(window, values)
        return silenced(60, Presence.MISSING, until=100)(window, values)

    told = run(engine, 120, change)
    assert len(of(told, OPENED)) == 1
    assert of(told, CLOSED) == []
    assert engine.states("e")["s0"] is ServiceState.ANOMALOUS


def test_a_row_that_does_not_come_is_no_silence():
    engine = DetectEngine(0, SETTINGS)

    def without(window, values):
        kept = values if window < 60 else values[1:]
        return frame(window, kept, services=tuple(f"s{i}" for i in range(4))[-len(kept) :])

    assert run(engine, 80, without) == []
    evidence, _ = engine.observe(frame(80, next(steady(1, rows=3)), services=("s1", "s2", "s3")), 0)
    assert evidence.services == ("s1", "s2", "s3"), "a row was invented"
    assert run(engine, 30, without, start=81) == []
    assert engine.states("e")["s0"] is ServiceState.STALE, "nothing has come of it for stale_s"


@pytest.mark.parametrize("broken", [0, 3, 5])
def test_who_is_later_than_others_is_judged_as_they_are(broken):
    late = (0, 1, 2, 5, 15, 60)
    windows = [failing(70, 80, broken)(w, v) for w, v in enumerate(steady(110, rows=6, seed=11))]
    engine, told, states = DetectEngine(0, SETTINGS), [], {}
    for window, rows, given in as_they_come(windows, late):
        now = T0 + (window + late[rows[0]] + 1) * SECOND
        evidence, anomalies = engine.observe(given, now)
        told += anomalies + engine.tick(now)
        states.update(zip(evidence.services, evidence.state, strict=True))
    opened = [a for a in told if a.phase is OPENED]
    assert [a.service for a in opened] == [f"s{broken}"]
    assert T0 + 70 * SECOND <= opened[0].time_ns <= T0 + 71 * SECOND
    assert [a.service for a in told if a.phase is CLOSED] == [f"s{broken}"]
    assert set(states.values()) == {ServiceState.HEALTHY}


def test_when_nothing_comes_any_more_all_are_stale_and_nobody_is_blamed():
    engine = DetectEngine(0, SETTINGS)
    run(engine, 60)
    assert engine.tick(T0 + 500 * SECOND) == []
    assert set(engine.states("e").values()) == {ServiceState.STALE}


def test_a_gap_in_what_was_recorded_is_no_silence():
    engine = DetectEngine(0, SETTINGS)
    run(engine, 60)
    told = run(engine, 60, start=4000)
    assert told == []
    assert set(engine.states("e").values()) == {ServiceState.HEALTHY}


def test_what_our_own_action_disturbs_is_not_learnt():
    disturbed, plain = DetectEngine(0, SETTINGS), DetectEngine(0, SETTINGS)
    for engine in (disturbed, plain):
        run(engine, 60)
    disturbed.suspend("e", "s0", T0 + 120 * SECOND)

    def slower(window, values):
        values[0, 2:] *= 1.4
        return values

    for engine in (disturbed, plain):
        run(engine, 60, slower, start=60, seed=4)
    values = next(steady(1, rows=4, seed=5))
    later = frame(200, values)
    assert disturbed.observe(later, 0)[0].high[0, 2] < 0.8 * plain.observe(later, 0)[0].high[0, 2]


def test_corrections_give_evidence_and_no_events():
    engine = DetectEngine(0, SETTINGS)
    run(engine, 60)
    for window in (57, 58, 59):
        values = next(steady(1, rows=4, seed=6))
        values[0, 1] = 0.9
        evidence, told = engine.observe(frame(window, values, revision=1), 0)
        assert told == []
        assert evidence.p_value[0] < 1e-3


def test_busy_is_not_broken():
    def busy(window, values):
        use = np.full((4, 1), 0.3) + 0.01 * np.sin(window + np.arange(4))[:, None]
        if window >= 100:
            use[0] = 0.9
        return frame(window, use, signal="metrics", features=(f.CPU,), counts=np.zeros(4, np.int64))

    told = run(DetectEngine(0, SETTINGS), 125, busy)
    assert told == []


def test_a_leak_is_found_while_it_grows():
    def leak(window, values):
        use = np.full((4, 1), 0.3) + 0.003 * np.sin(window * 0.7 + np.arange(4))[:, None]
        use[0] += 0.005 * max(0, window - 100)
        return frame(window, use, signal="metrics", features=(f.MEMORY,), counts=np.zeros(4, np.int64))

    told = run(DetectEngine(0, SETTINGS), 170, leak)
    window, event = of(told, OPENED)[0]
    assert (event.service, window < 160) == ("s0", True)
    assert event.contributions[0].feature == f.MEMORY
    (ahead,) = event.forecasts
    assert (ahead.feature, ahead.signal, ahead.hurts) == (f.MEMORY, "metrics", pytest.approx(0.9, abs=0.1))
    assert 0 < ahead.soonest_s <= ahead.seconds <= ahead.latest_s
    assert "and rising" in event.text
    assert sum(c.share for c in event.contributions) == pytest.approx(1.0)


def test_a_bad_release_is_not_excused_by_being_new():
    def release(window, values):
        values = failing(60)(window, values)
        return frame(window, values, versions=("2" if window >= 60 else "1", "1", "1", "1"))

    told = run(DetectEngine(0, SETTINGS), 70, release)
    assert of(told, OPENED)[0][0] <= 62


def test_time_lost_between_two_services_is_an_anomaly_of_the_edge():
    names = (f.CALL_RATE, f.CALL_ERROR_RATE, f.CALL_LATENCY_P95, f.NETWORK_GAP)

    def edge(window, values):
        gap = values[:2, 2] * 0.1
        if window >= 100:
            gap[0] *= 300
        cells = np.stack([values[:2, 0], np.zeros(2), values[:2, 3] + gap, gap], axis=1)
        given = {"services": ("a", "a"), "peers": ("b", "c"), "versions": ("", ""), "attributes": ("", "")}
        return frame(window, cells, signal="edges", features=names, **given)

    told = run(DetectEngine(0, SETTINGS), 110, edge)
    event = of(told, OPENED)[0][1]
    assert (event.service, event.peer) == ("a", "b")


def test_a_restored_engine_goes_on_as_if_nothing_had_happened():
    settings = DetectSettings()
    old, new = DetectEngine(0, settings), DetectEngine(0, settings)
    run(old, 90, failing(80))
    new.restore(old.snapshot())
    assert run(old, 40, failing(80, 95), start=90) == run(new, 40, failing(80, 95), start=90)
    assert old.snapshot() == new.snapshot()


def test_the_stage_emits_evidence_and_anomalies_by_environment():
    stage = DetectStage(0, SETTINGS)
    emits = []
    for window, values in enumerate(steady(50, rows=4)):
        sent = failing(40)(window, values)
        record = Record(topics.FEATURES, 0, window, None, pack(frame(window, sent)))
        emits += stage.handle(record, T0 + (window + 1) * SECOND) + stage.tick(T0 + (window + 1) * SECOND)
    evidence = [unpack(EvidenceFrame, e.value) for e in emits if e.topic == topics.EVIDENCE]
    assert len(evidence) == 50
    assert evidence[-1].state[0] == ServiceState.ANOMALOUS
    assert evidence[-1].score.shape == (4, len(FEATURES))
    anomalies = [e for e in emits if e.topic == topics.ANOMALIES]
    assert {(e.key, e.route) for e in anomalies} == {("s0", "e")}
    assert stage.counters["anomalies_opened"] == 1
    twin = DetectStage(0, SETTINGS)
    twin.restore(stage.snapshot())
    assert twin.snapshot() == stage.snapshot()


@pytest.mark.parametrize(
    "payload", [b"", b"junk", pack(dataclasses.replace(frame(0, np.ones((1, 5))), signal="tarot"))]
)
def test_the_stage_refuses_what_is_no_feature_frame(payload):
    with pytest.raises(UnreadableEvent):
        DetectStage(0, SETTINGS).handle(Record(topics.FEATURES, 0, 0, None, payload), 0)


def test_an_unknown_feature_is_refused_by_name():
    odd = frame(0, np.ones((1, 5)), features=(*FEATURES[:4], "phase_of_the_moon"))
    with pytest.raises(UnreadableEvent, match="phase_of_the_moon"):
        DetectStage(0, SETTINGS).handle(Record(topics.FEATURES, 0, 0, None, pack(odd)), 0)


def lossy(seed, share=0.2, until=10_000):
    """Now and then a part of the spans of a window never comes, of each service by itself."""
    r = np.random.default_rng(seed)

    def change(window, values):
        lost = (r.random(len(values)) < share) & (window < until)
        values[:, 0] = np.where(lost, np.round(values[:, 0] * r.random(len(values))), values[:, 0])
        values[values[:, 0] == 0, 1:] = np.nan
        return values

    return change


@pytest.mark.parametrize("seed", representatives(range(4), 0))
def test_spans_that_get_lost_here_and_there_are_no_drop_of_requests(seed):
    told = run(DetectEngine(0, SETTINGS), 300, lossy(seed), seed=seed)
    assert not [a.text for _, a in of(told, OPENED)]


@pytest.mark.parametrize("losing", [False, True])
def test_requests_that_stay_away_are_found_though_spans_get_lost(losing):
    loses = lossy(5, until=10_000 if losing else 0)

    def change(window, values):
        values = loses(window, values)
        if window >= 200:
            values[0, 0] = np.round(values[0, 0] * 0.2)
        return values

    told = run(DetectEngine(0, SETTINGS), 230, change)
    first = of(told, OPENED)[0]
    assert first[1].service == "s0"
    assert 200 <= first[0] <= (220 if losing else 203)


def test_a_lull_of_a_minute_hides_no_drop_of_later():
    def change(window, values):
        if 120 <= window < 180:
            values[0, 0] = np.round(values[0, 0] * (0.55 + 0.45 * abs(window - 150) / 30))
        if window >= 260:
            values[0, 0] = np.round(values[0, 0] * 0.2)
        return values

    told = [w for w, a in of(run(DetectEngine(0, SETTINGS), 270, change), OPENED) if a.service == "s0"]
    assert [w for w in told if w >= 260] == [w for w in told if 260 <= w <= 264]
    assert max(told) >= 260


CALLS = (f.CALL_RATE, f.CALL_ERROR_RATE, f.CALL_LATENCY_P95, f.NETWORK_GAP)


def calling(engine, window, *pairs):
    """A window of calls without anything to tell between these services."""
    cells = np.tile([10.0, 0.0, 0.05, np.nan], (len(pairs), 1))
    blank = ("",) * len(pairs)
    given = {"services": tuple(a for a, _ in pairs), "peers": tuple(b for _, b in pairs)}
    made = frame(window, cells, signal="edges", features=CALLS, versions=blank, attributes=blank, **given)
    assert engine.observe(made, T0 + (window + 1) * SECOND)[1] == []


def alike(values, slower=0.0):
    """Few requests of each; of the first many fail, and the second is so many times slower."""
    values[:, 0] = 20.0
    if slower:
        values[0, 1], values[1, 2:4] = 0.35, values[1, 2:4] * slower
    return values


@pytest.mark.parametrize(
    ("pairs", "agree"),
    [
        ((("s1", "s0"),), True),
        ((("s0", "s1"),), True),
        ((("s0", "db"), ("s1", "db")), True),
        ((("s0", "s2"), ("s1", "s2")), False),
        ((("s2", "s0"), ("s3", "s1")), False),
    ],
    ids=["caller", "callee", "they share a database", "they share who tells for itself", "strangers"],
)
def test_neighbours_that_agree_are_as_good_as_a_second_window(pairs, agree):
    def change(window, values):
        return alike(values, 1.6 if window == 60 else 0.0)

    engine = DetectEngine(0, SETTINGS)
    run(engine, 60, change)
    calling(engine, 60, *pairs)
    told = run(engine, 1, change, start=60, seed=9)
    assert [a.service for _, a in of(told, OPENED)] == (["s0"] if agree else [])


@pytest.mark.parametrize("other", [0.0, 0.45])
def test_two_of_whom_one_window_leaves_no_doubt_agree_whoever_they_are(other):
    def change(window, values):
        values = alike(values)
        if window == 60:
            values[0, 1], values[3, 1] = 0.45, other
        return values

    engine = DetectEngine(0, SETTINGS)
    run(engine, 60, change)
    calling(engine, 60, ("s1", "s2"))
    told = run(engine, 1, change, start=60, seed=9)
    assert [a.service for _, a in of(told, OPENED)] == (["s0", "s3"] if other else [])


def test_what_was_saved_before_neighbours_and_dips_were_looked_at_is_read():
    engine = DetectEngine(0, SETTINGS)
    run(engine, 40)
    world = engine._world("e")
    saved = world.services.plain()
    assert saved.pop("felt").shape == saved["decades"].shape
    assert len(Ledger.of(saved)) == len(world.services)
    assert not Ledger.of(saved).felt_in(np.arange(4), T0 + 39 * SECOND).any()
    _, bank = engine.detectors[0]._tracks["e", "spans"]
    known = bank.state.plain()
    del known["dip"], known["longest_dip"]
    assert not BankState.of(known).dip.any()


@pytest.mark.parametrize(("others", "agree"), [(1, True), (60, False)])
def test_of_many_neighbours_one_shows_something_by_chance(others, agree):
    def change(window, values):
        return alike(values, 1.6 if window == 60 else 0.0)

    engine = DetectEngine(0, SETTINGS)
    run(engine, 60, change, rows=62)
    calling(engine, 60, *((f"s{1 + i}", "s0") for i in range(others)))
    told = run(engine, 1, change, start=60, seed=9, rows=62)
    assert [a.service for _, a in of(told, OPENED)] == (["s0"] if agree else [])
