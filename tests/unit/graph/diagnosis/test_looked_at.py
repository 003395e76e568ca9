"""What is beyond doubt after one second is looked at for another, unless a change says itself when it came."""

from __future__ import annotations

import msgspec
import pytest

from contracts.events import Change, Incident
from contracts.frames import EvidenceFrame
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import CauseKind
from graph.diagnosis import DiagnosisEngine
from tests.unit.graph.diagnosis.shop import ONSET, Fault, play
from tests.unit.graph.diagnosis.test_early_anomalies import alarms

SICK = "catalog"


def settled(*, released: bool) -> tuple[float, Incident]:
    """When the story of catalog, which fails, is fit to act on. `released`: a version of it was rolled out just before."""
    engine = DiagnosisEngine("shop", DiagnoseSettings())
    versions = (lambda age: {SICK: "v2"} if age >= 0 else {}) if released else (lambda age: {})
    for end_ns, events in play({SICK: Fault(fails=0.5)}, versions=versions):
        if end_ns == ONSET and released:
            rollout = Change(
                environment="shop", service=SICK, kind="deploy", time_ns=ONSET - SECOND, before="v1", after="v2"
            )
            engine.change(rollout, ONSET)
        for frame in events:
            if isinstance(frame, EvidenceFrame):
                engine.evidence(frame, end_ns)
        if end_ns == ONSET + SECOND:
            first = next(a for a in alarms() if a.service == SICK)
            engine.anomaly(msgspec.structs.replace(first, onset_ns=ONSET, time_ns=ONSET), end_ns)
        for found in engine.tick(end_ns):
            if isinstance(found, Incident) and found.settled:
                return (end_ns - ONSET) / SECOND, found
    raise AssertionError("it never settled")


@pytest.mark.parametrize(
    ("released", "after_s", "kind"), [(False, 2.0, CauseKind.ERRORS), (True, 1.0, CauseKind.BAD_RELEASE)]
)
def test_one_second_is_enough_for_what_was_changed(released: bool, after_s: float, kind: CauseKind):
    when, story = settled(released=released)
    assert (story.candidates[0].service, story.candidates[0].kind) == (SICK, kind)
    assert when == after_s
