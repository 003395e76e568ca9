"""When an incident that is out is worth saying again."""

from __future__ import annotations

import msgspec

from contracts.events import Candidate, Incident, PathStep
from contracts.verdicts import CauseKind
from graph.diagnosis.case import is_material
from tests.unit.contracts.samples import EVENTS

SAMPLE = next(e for e in EVENTS.values() if isinstance(e, Incident))


def _incident(*path: str, service: str = "stock", probability: float = 0.9) -> Incident:
    steps = tuple(PathStep(service=name, symptom="errors") for name in path)
    leader = Candidate(service=service, kind=CauseKind.ERRORS, probability=probability, evidence=(), path=steps)
    return msgspec.structs.replace(SAMPLE, candidates=(leader,))


def test_the_same_again_is_no_news() -> None:
    assert not is_material(_incident("orders", "stock"), _incident("orders", "stock", probability=0.91))


def test_a_path_known_further_up_is_news_and_a_shorter_one_is_not() -> None:
    short, long = _incident("stock"), _incident("gateway", "orders", "stock")
    assert is_material(short, long)
    assert not is_material(long, short)


def test_another_culprit_or_certainty_is_news() -> None:
    before = _incident("orders", "stock")
    assert is_material(before, _incident("orders", "stock", service="orders"))
    assert is_material(before, _incident("orders", "stock", probability=0.7))
