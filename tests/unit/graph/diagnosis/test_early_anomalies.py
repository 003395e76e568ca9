"""Anomalies that opened by windows that are not over: nobody is blamed before the evidence is there that they were found in."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from contracts.events import Anomaly, Incident
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from graph.diagnosis import DiagnosisEngine
from tests.unit.graph.diagnosis.shop import ONSET, Fault, play

SICK = "catalog"


def told(*, early: bool, lost: bool = False) -> list[tuple[float, Incident]]:
    """Incidents by seconds since the onset. Catalog fails; its anomaly opens with half of the second window, before any evidence of it.
    `lost`: of catalog itself no evidence comes any more."""
    engine, found = DiagnosisEngine("shop", DiagnoseSettings()), []
    waiting: list[EvidenceFrame] = []
    for end_ns, events in play({SICK: Fault(fails=0.5)}, faulty_s=12):
        now = end_ns - SECOND // 2  # the windows before this one are in, and half of it has passed
        for frame in waiting:
            engine.evidence(frame, now)
        found += incidents(engine, now)
        if now == ONSET + 3 * SECOND // 2:
            first = next(a for a in alarms() if a.service == SICK)
            opened = msgspec.structs.replace(first, onset_ns=ONSET, time_ns=ONSET + SECOND, early=early)
            engine.anomaly(opened, now)
            found += incidents(engine, now)
        waiting = [e for e in events if isinstance(e, EvidenceFrame)]
        if lost and end_ns > ONSET:
            waiting = [without(frame) for frame in waiting if frame.signal != Signal.EDGES]
    return [((now - ONSET) / SECOND, i) for now, i in found]


def alarms() -> list[Anomaly]:
    return [e for _, events in play({SICK: Fault(fails=0.5)}) for e in events if isinstance(e, Anomaly)]


def without(frame: EvidenceFrame) -> EvidenceFrame:
    """A frame without catalog's row."""
    kept = [i for i, name in enumerate(frame.services) if name != SICK]
    columns = {n: tuple(getattr(frame, n)[i] for i in kept) for n in ("services", "versions", "attributes", "state")}
    arrays = {n: getattr(frame, n)[kept] for n in ("values", "counts", "score", "low", "high", "p_value", "presence")}
    return replace(frame, **columns, **arrays)


def incidents(engine: DiagnosisEngine, now: int) -> list[tuple[int, Incident]]:
    return [(now, x) for x in engine.tick(now) if isinstance(x, Incident)]


def test_an_incident_opens_with_the_evidence_of_the_window_that_the_anomaly_was_found_in():
    when, first = told(early=True)[0]
    assert when == 2.5
    assert first.candidates[0].service == SICK


def test_without_that_word_it_opens_by_what_is_there():
    assert told(early=False)[0][0] == 1.5


def test_who_is_no_longer_heard_of_is_waited_for_three_seconds():
    when = [at for at, _ in told(early=True, lost=True)]
    assert not when or when[0] == pytest.approx(4.5, abs=1.0)
