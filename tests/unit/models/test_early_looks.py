"""What the engine makes of windows that are not over: what is plain opens an anomaly, nothing is learnt, and nothing else follows."""

from __future__ import annotations

import copy
import dataclasses
import functools

import numpy as np
import pytest

from contracts import topics
from contracts.checks.detector_frames import T0, frame, steady
from contracts.events import Anomaly, decode
from contracts.frames import GLIMPSE, FeatureFrame, pack
from contracts.ports import Record
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase
from models.engine import DetectEngine
from models.ledger import Ledger
from streams.stages.detect import DetectStage

SETTINGS = DetectSettings(detectors=("bank",))
WARM = 60
OPENED = AnomalyPhase.OPENED


def window(
    number: int, *, errors: float = 0.0, slower: float = 1.0, part: float = 1.0, requests: float = 50.0
) -> FeatureFrame:
    """A window of four services; of s0 such a share fails, and s0 is so much slower. `part`: of what has come so far, a glimpse."""
    values = next(iter(steady(1, rows=4, seed=number)))
    values[:, 0] = np.round(requests * part)
    values[0, 1], values[0, 2:] = max(errors, values[0, 1]), values[0, 2:] * slower
    made = frame(number, values)
    if part == 1.0:
        return made
    values[:, 0] = np.nan
    return dataclasses.replace(made, revision=GLIMPSE, values=values)


def warm(requests: float = 50.0) -> DetectEngine:
    """An engine that knows what is usual until window `WARM`: a copy of one that has lived until then."""
    return copy.deepcopy(_warm(requests))


@functools.cache
def _warm(requests: float) -> DetectEngine:
    engine = DetectEngine(0, SETTINGS)
    for number in range(WARM):
        assert engine.observe(window(number, requests=requests), at(number + 1))[1] == []
    return engine


def at(number: float) -> int:
    return T0 + int(number * SECOND)


def opened(told: list[Anomaly]) -> list[str]:
    assert all(a.phase is OPENED for a in told)
    return [a.service for a in told]


def test_the_end_of_one_window_and_the_half_of_the_next_are_two_windows():
    engine = warm()
    assert engine.observe(window(WARM, slower=3.0), at(WARM + 1))[1] == []
    (event,) = engine.glimpse(window(WARM + 1, slower=3.0, part=0.5))
    assert (event.service, event.time_ns) == ("s0", at(WARM + 1))
    assert event.onset_ns == at(WARM)
    assert "median latency" in event.text
    assert "request rate" not in event.text


def test_two_windows_that_are_not_told_yet_count_as_well():
    engine = warm()
    assert engine.glimpse(window(WARM, slower=3.0, part=0.9)) == []
    assert opened(engine.glimpse(window(WARM + 1, slower=3.0, part=0.5))) == ["s0"]


def test_two_looks_at_one_window_are_one_window():
    engine = warm()
    for part in (0.5, 0.9):
        assert engine.glimpse(window(WARM, slower=3.0, part=part)) == []
    assert engine.observe(window(WARM, slower=3.0), at(WARM + 1.5))[1] == []
    assert engine.glimpse(window(WARM + 1, part=0.5)) == []


def test_what_the_whole_window_does_not_show_counts_no_more():
    engine = warm()
    assert engine.glimpse(window(WARM, slower=3.0, part=0.5)) == []
    assert engine.observe(window(WARM), at(WARM + 1.5))[1] == []
    assert engine.glimpse(window(WARM + 1, slower=3.0, part=0.5)) == []


def test_two_of_three_windows_are_those_that_were_looked_at_last():
    engine = warm()
    assert engine.observe(window(WARM, slower=3.0), at(WARM + 1.5))[1] == []
    assert engine.glimpse(window(WARM + 1, part=0.9)) == []
    assert engine.glimpse(window(WARM + 2, part=0.9)) == []
    assert engine.glimpse(window(WARM + 3, slower=3.0, part=0.5)) == []
    assert opened(engine.glimpse(window(WARM + 4, slower=3.0, part=0.5))) == ["s0"]


@pytest.mark.parametrize(("requests", "alone"), [(100.0, True), (30.0, False)])
def test_what_leaves_hardly_a_doubt_needs_no_second_window_where_many_requests_came(requests: float, alone: bool):
    engine = warm(requests)
    told = engine.glimpse(window(WARM, errors=0.5, part=0.5, requests=requests))
    assert opened(told) == (["s0"] if alone else [])


def test_nothing_is_learnt_and_a_version_that_is_only_seen_early_is_news_again():
    looked, other = warm(), warm()
    new = window(WARM, slower=1.4, part=0.5)
    versions = ("2", *new.versions[1:])
    assert looked.glimpse(dataclasses.replace(new, versions=versions)) == []
    whole = dataclasses.replace(window(WARM, slower=1.4), versions=versions)
    (seen, _), (unseen, _) = looked.observe(whole, at(WARM + 1)), other.observe(whole, at(WARM + 1))
    assert np.array_equal(seen.score, unseen.score)
    assert np.array_equal(seen.high, unseen.high, equal_nan=True)


def test_an_episode_that_opened_early_is_ended_by_windows_that_come_after_it():
    engine = warm()
    engine.glimpse(window(WARM, errors=0.5, part=0.5, requests=100.0))
    told = []
    for number in range(WARM, WARM + 30):
        bad = WARM <= number < WARM + 10
        told += [(number, a) for a in engine.observe(window(number, errors=0.5 if bad else 0.0), at(number + 1.5))[1]]
        part = engine.glimpse(window(number + 1, errors=0.5 if bad else 0.0, part=0.5))
        assert not [a for a in part if told and told[-1][1].phase is OPENED]
    closed = [number for number, a in told if a.phase is AnomalyPhase.CLOSED]
    assert len(closed) == 1
    assert WARM + 11 <= closed[0] <= WARM + 25


def test_neighbours_agree_in_windows_that_are_not_over():
    engine = warm(20.0)
    cells = np.array([[10.0, 0.0, 0.05, np.nan]])
    calls = ("call_rate", "call_error_rate", "call_latency_p95", "network_gap")
    given = {"services": ("s1",), "peers": ("s0",), "versions": ("",), "attributes": ("",), "features": calls}
    engine.observe(frame(WARM - 1, cells, signal="edges", **given), at(WARM))
    both = window(WARM, errors=0.5, part=0.9, requests=20.0)
    both.values[1, 1] = 0.5
    assert opened(engine.glimpse(both)) == ["s0", "s1"]


def test_the_stage_tells_what_opens_and_gives_no_evidence():
    stage = DetectStage(0, SETTINGS)
    for number in range(WARM):
        stage.handle(Record(topics.FEATURES, 0, number, None, pack(window(number)), (), 0), at(number + 1))
    look = window(WARM, errors=0.5, part=0.7, requests=100.0)
    (told,) = stage.handle(Record(topics.FEATURES, 0, WARM, None, pack(look), (), 0), at(WARM + 0.6))
    assert told.topic == topics.ANOMALIES
    assert decode(Anomaly, told.value).service == "s0"
    assert stage.counters["glimpses"] == len(look.services)


def test_what_was_saved_before_there_were_early_looks_is_read():
    saved = warm()._world("e").services.plain()
    for name in ("glimpsed_ns", "glimpsed", "glimpse_flag"):
        assert len(saved.pop(name)) == 3
    ledger = Ledger.of(saved)
    assert (ledger.glimpsed_ns == -1).all()
    assert not ledger.glimpse_flag.any()
