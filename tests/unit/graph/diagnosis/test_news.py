"""What of an incident is news to its readers."""

from __future__ import annotations

import pytest

from contracts.events import Candidate, Incident
from contracts.verdicts import CauseKind, IncidentPhase, Severity
from graph.diagnosis.case import is_material


def incident(service: str, probability: float, kind: CauseKind = CauseKind.LATENCY) -> Incident:
    candidate = Candidate(service=service, kind=kind, probability=probability, evidence=(), path=())
    return Incident(
        id="inc-1",
        environment="prod",
        phase=IncidentPhase.UPDATED,
        severity=Severity.WARNING,
        onset_ns=1,
        time_ns=2,
        revision=1,
        anomalies=(),
        services=("shop",),
        candidates=(candidate,),
        blast_radius=(),
        confidence=probability,
        settled=True,
        text="",
    )


@pytest.mark.parametrize(
    ("old", "new", "news"),
    [
        (("shop", 0.01), ("bank", 0.02), False),
        (("shop", 0.15), ("bank", 0.17), False),
        (("shop", 0.15), ("bank", 0.22), True),
        (("shop", 0.25), ("bank", 0.12), True),
        (("shop", 0.50), ("shop", 0.55), False),
        (("shop", 0.50), ("shop", 0.70), True),
        (("shop", 0.01), ("shop", 0.17), True),
    ],
)
def test_another_leader_is_news_where_it_may_be_the_cause(old, new, news: bool):
    assert is_material(incident(*old), incident(*new)) is news


def test_another_kind_of_a_likely_cause_is_news():
    assert is_material(incident("shop", 0.6), incident("shop", 0.6, CauseKind.CRASH))
