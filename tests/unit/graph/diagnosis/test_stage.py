"""The stage: environments apart, snapshots that go on identically, unreadable input refused."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from contracts.errors import UnreadableEvent
from contracts.events import Anomaly, Incident, decode, encode
from contracts.frames import EvidenceFrame, pack
from contracts.ports import GraphWrite, Record
from contracts.settings import DiagnoseSettings
from contracts.topics import ANOMALIES, EVIDENCE, INCIDENTS
from contracts.verdicts import AnomalyPhase
from streams.stage import Emit, Output
from streams.stages.diagnose import DiagnoseStage
from tests.unit.graph.diagnosis.shop import Fault, play

FAULTS = {"payment": Fault(fails=0.4)}


def record(event: object) -> Record:
    if isinstance(event, EvidenceFrame):
        return Record(EVIDENCE, 0, 0, None, pack(event))
    assert isinstance(event, Anomaly)
    return Record(ANOMALIES, 0, 0, None, encode(event))


def step(stage: DiagnoseStage, now_ns: int, events: list) -> list[Output]:
    out: list[Output] = []
    for event in events:
        out += stage.handle(record(event), now_ns)
    return out + stage.tick(now_ns)


@pytest.mark.parametrize("cut", [30, 62, 66])
def test_a_restored_stage_goes_on_identically(cut: int) -> None:
    straight, moved = DiagnoseStage(DiagnoseSettings()), DiagnoseStage(DiagnoseSettings())
    for second, (now_ns, events) in enumerate(play(FAULTS)):
        if second == cut:
            state = moved.snapshot()
            moved = DiagnoseStage(DiagnoseSettings())
            moved.restore(state)
            assert moved.snapshot() == state
        assert step(straight, now_ns, events) == step(moved, now_ns, events)


def test_environments_do_not_mix() -> None:
    stage = DiagnoseStage(DiagnoseSettings())
    emits: list[Emit] = []
    both = zip(play(FAULTS, environment="a"), play({}, environment="b"), strict=True)
    for (now_ns, sick), (_, well) in both:
        emits += [x for x in step(stage, now_ns, [*sick, *well]) if isinstance(x, Emit)]
    assert {(e.topic, e.route) for e in emits} == {(INCIDENTS, "a")}
    assert {decode(Incident, e.value).environment for e in emits} == {"a"}
    assert all(e.key == decode(Incident, e.value).id for e in emits)


def test_graph_is_told_what_changed() -> None:
    stage, rows = DiagnoseStage(DiagnoseSettings()), {}
    for now_ns, events in play(FAULTS):
        for x in step(stage, now_ns, events):
            if isinstance(x, GraphWrite):
                rows.setdefault(x.statement, []).extend(x.rows)
    assert set(rows) == {"upsert_services", "upsert_calls", "upsert_anomalies", "upsert_incidents", "upsert_causes"}
    kinds = {r["service"]: r["kind"] for r in rows["upsert_services"]}
    assert (kinds["gateway"], kinds["bank"], kinds["db:redis/carts"]) == ("service", "external", "database")
    assert rows["upsert_causes"][0]["service_key"] == "shop|payment"
    assert all(r["valid_to"] == 0 for r in rows["upsert_calls"])


def test_a_call_seen_for_the_first_time_is_told_at_once_and_counts_wait() -> None:
    """Calls come later than the services' own numbers, and time goes on with whatever comes first."""
    stage = DiagnoseStage(DiagnoseSettings())
    told = []
    for now_ns, events in itertools.islice(play({}), 4):
        edges = [e for e in events if isinstance(e, EvidenceFrame) and e.signal == "edges"]
        step(stage, now_ns, [e for e in events if e not in edges])
        assert edges
        told.append({x.statement for x in step(stage, now_ns, edges) if isinstance(x, GraphWrite)})
    assert "upsert_calls" in told[0]
    assert told[1:] == [set()] * 3


@pytest.mark.parametrize("state", [b"", b"x", b"\x81\xa1a\xc4\x01x"])
def test_a_foreign_snapshot_is_refused(state: bytes) -> None:
    with pytest.raises(UnreadableEvent):
        DiagnoseStage(DiagnoseSettings()).restore(state)


def test_a_level_that_nobody_felt_is_part_of_no_incident() -> None:
    told, plain = DiagnoseStage(DiagnoseSettings()), DiagnoseStage(DiagnoseSettings())
    for now_ns, events in play(FAULTS):
        opened = [e for e in events if isinstance(e, Anomaly)]
        adopted = [msgspec.structs.replace(e, id="an-other", phase=AnomalyPhase.ADOPTED) for e in opened]
        assert step(told, now_ns, [*events, *adopted]) == step(plain, now_ns, events)
