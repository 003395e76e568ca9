"""What of an incident is news to its readers."""

from __future__ import annotations

import msgspec
import pytest

from contracts.events import Candidate, Evidence, Incident
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


def shown(**weights: float) -> Incident:
    found = incident("bank", 0.9, CauseKind.DEPENDENCY)
    evidence = tuple(Evidence(channel=c, weight=w, text="") for c, w in weights.items())
    return msgspec.structs.replace(found, candidates=(msgspec.structs.replace(found.candidates[0], evidence=evidence),))


@pytest.mark.parametrize(
    ("old", "new", "news"),
    [
        ({"latency": 1.9, "errors": 0.4}, {"errors": 3.5, "latency": 0.1}, True),
        ({"latency": 1.9}, {"errors": 2.0, "latency": 1.8}, True),
        ({"latency": 1.9, "errors": 1.5}, {"errors": 2.0, "latency": 1.9}, False),
        ({"latency": 1.9}, {"latency": 3.9, "errors": 0.2}, False),
        ({"latency": 1.9}, {"errors": 1.0, "latency": 0.2}, False),
        ({}, {"errors": 1.0}, False),
    ],
)
def test_who_was_slow_and_fails_now_is_news(old: dict[str, float], new: dict[str, float], news: bool):
    assert is_material(shown(**old), shown(**new)) is news
