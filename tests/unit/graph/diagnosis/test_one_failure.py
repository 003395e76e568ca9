"""One failure is one incident: two that come to blame the same service are one, looked at from the onset of the surer one."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from contracts.events import Incident
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import IncidentPhase
from graph.diagnosis import DiagnosisEngine
from graph.diagnosis.case import Case
from graph.grouping import Group
from tests.unit.graph.diagnosis import shop
from tests.unit.graph.diagnosis.scenarios import feed

EARLY = 20


def told_of(culprit: str, confidence: float) -> tuple[list[Incident], dict[str, Case]]:
    """An incident that began before blames `culprit` when payment crashes; all that is said, and what is open in the end."""
    engine = DiagnosisEngine("shop", DiagnoseSettings())
    said: list[Incident] = []
    for second, (now_ns, events) in enumerate(shop.play({"payment": shop.Fault(down="crash")}, faulty_s=12)):
        feed(engine, events, now_ns)
        said += [x for x in engine.tick(now_ns) if isinstance(x, Incident)]
        opened = next((c for c in engine._cases.values() if c.published), None)
        if second == 66 and opened is not None and opened.published is not None:
            group = Group("inc-early", shop.START + EARLY * SECOND, "gateway", dict(opened.group.anomalies))
            before = msgspec.structs.replace(opened.published, id="inc-early", confidence=confidence)
            engine._cases["inc-early"] = Case(group, before, culprit, since_ns=shop.START + EARLY * SECOND)
            said.clear()
    return said, engine._cases


def test_two_that_blame_one_service_are_one() -> None:
    said, cases = told_of("payment", 0.6)
    (kept,) = (c for c in cases.values() if c.published is not None)
    assert kept.group.id == "inc-early", "people know the first"
    assert kept.since_ns >= shop.ONSET - 2 * SECOND, "payment was well before"
    assert [i.text for i in said if i.phase is IncidentPhase.RESOLVED] == ["Part of incident inc-early."]
    assert kept.published is not None
    assert kept.published.candidates[0].service == "payment"


def test_an_incident_that_hardly_blames_it_is_another() -> None:
    for culprit, confidence in (("payment", 0.4), ("catalog", 0.9)):
        engine_said, _ = told_of(culprit, confidence)
        assert not [i for i in engine_said if i.text.startswith("Part of incident")], (culprit, confidence)


@pytest.mark.parametrize(
    ("suffers", "score", "joins"),
    [
        (("gateway", "orders"), 0.3, True),
        (("gateway", "orders"), 1.4, False),  # somebody shows a trouble of its own
        (("gateway", "catalog"), 0.3, False),  # somebody suffers whom the first is not about
    ],
)
def test_what_is_told_late_of_those_who_suffer_is_no_second_failure(
    suffers: tuple[str, ...], score: float, joins: bool
) -> None:
    """An operation of the gateway stands out when payment has failed for a while: since then nothing is new."""
    engine, opened = DiagnosisEngine("shop", DiagnoseSettings()), None
    for now_ns, events in shop.play({"payment": shop.Fault(fails=0.6)}, faulty_s=12):
        feed(engine, events, now_ns)
        engine.tick(now_ns)
    (opened,) = (c for c in engine._cases.values() if c.published is not None)
    seen = engine._assess(opened)
    assert seen is not None
    leader = dataclasses.replace(seen.leader, service="gateway", score=score)
    late = dataclasses.replace(seen, suspects=(leader,), affected=suffers)
    case = Case(Group("inc-late", shop.ONSET + 45 * SECOND, "gateway"))
    engine._cases["inc-late"] = case
    assert engine._belongs_elsewhere(case, late) is joins
    assert ("inc-late" in engine._cases) is not joins
