"""Gaps in evidence travel with incidents: those of candidates and of their paths, in the event and, where they have weight, in the story."""

from __future__ import annotations

from contracts.events import EvidenceGap, Incident, TelemetryGaps, decode, encode
from contracts.ports import Record
from contracts.settings import DiagnoseSettings
from contracts.topics import GAPS, INCIDENTS
from contracts.verdicts import GapKind
from graph.narrative import seen_in_part
from streams.stage import Emit
from streams.stages.diagnose import DiagnoseStage
from tests.unit.graph.diagnosis.shop import Fault, play
from tests.unit.graph.diagnosis.test_stage import step


def gap(service: str, kind: GapKind, *, certain: bool = True) -> EvidenceGap:
    return EvidenceGap(service=service, kind=kind, text=f"text of {kind}", certain=certain)


def gaps_record(*gaps: EvidenceGap, service: str = "", environment: str = "default") -> Record:
    name = service or gaps[0].service
    return Record(GAPS, 0, 0, None, encode(TelemetryGaps(environment=environment, service=name, time_ns=1, gaps=gaps)))


def incidents(*told: Record, restored: bool = False) -> list[Incident]:
    stage = DiagnoseStage(DiagnoseSettings())
    found: list[Incident] = []
    for second, (now_ns, events) in enumerate(play({"payment": Fault(fails=0.4)}, environment="prod")):
        if second == 5:
            for record in told:
                stage.handle(record, now_ns)
        if second == 10 and restored:
            state, stage = stage.snapshot(), DiagnoseStage(DiagnoseSettings())
            stage.restore(state)
        outputs = [x for x in step(stage, now_ns, events) if isinstance(x, Emit) and x.topic == INCIDENTS]
        found += [decode(Incident, x.value) for x in outputs]
    assert found
    return found


TOLD = (
    gaps_record(gap("payment", GapKind.NO_SERVER_SPANS), gap("payment", GapKind.LATE_SPANS), environment="prod"),
    gaps_record(gap("payment", GapKind.SAMPLED), environment="staging"),
    gaps_record(gap("nobody", GapKind.NO_SERVER_SPANS), environment="prod"),
)


def test_gaps_of_those_on_the_path_travel_with_the_incident() -> None:
    last = incidents(*TOLD)[-1]
    assert last.candidates[0].service == "payment"
    assert [(g.service, g.kind) for g in last.gaps] == [
        ("payment", GapKind.NO_SERVER_SPANS),
        ("payment", GapKind.LATE_SPANS),
    ]
    assert "Seen only in part: payment: text of no_server_spans." in last.text
    assert "late_spans" not in last.text, "it makes the answer later, not another"


def test_they_are_kept_over_a_restart() -> None:
    assert incidents(*TOLD, restored=True) == incidents(*TOLD)


def test_what_was_mended_does_not_travel() -> None:
    mended = gaps_record(service="payment", environment="prod")
    last = incidents(*TOLD, mended)[-1]
    assert last.gaps == ()
    assert "Seen only in part" not in last.text


def test_only_what_is_certain_and_has_weight_is_in_the_story() -> None:
    many = [gap(f"s{i}", GapKind.SAMPLED) for i in range(5)]
    assert seen_in_part([gap("a", GapKind.NO_CLIENT_SPANS, certain=False), gap("a", GapKind.NO_VERSION)]) == ""
    assert seen_in_part(many).endswith("s2: text of sampled, and 2 more.")
