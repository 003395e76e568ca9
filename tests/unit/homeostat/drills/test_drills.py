"""Drills: the systems are whole, each fault's truth names what is there, variations differ, and what came of a fault is judged."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from contracts import events as e
from contracts.errors import UnknownName
from contracts.verdicts import AnomalyPhase, CauseKind, IncidentPhase, RunState, ServiceState, Severity
from homeostat.cli.judging import drill
from homeostat.demo.clients import Normal
from homeostat.demo.load import RouteSecond, Second
from homeostat.demo.watching import INTENT, EventsSeen
from homeostat.drills.ailments import LastingAilment, LastingAilments, write_lasting
from homeostat.drills.drilling import faults_named
from homeostat.drills.faults import FAULTS, DrillFault
from homeostat.drills.scorecard import DrillRow, row_of
from homeostat.drills.system_plan import GuestEntry, RoutePlan, ServiceDesign, StepPlan, SystemDesign, unsound
from homeostat.drills.systems import SYSTEMS, system_named

BEGAN = 1_700_000_000.0
FAULT = {f.name: f for f in FAULTS["hotel"]}
HOTEL = system_named("hotel")


@pytest.mark.parametrize("name", ["hotel", "hotel/1", "hotel/7"])
def test_a_system_is_whole(name: str) -> None:
    system = system_named(name)
    assert unsound(system) == []
    assert 16 <= system.processes() <= 30


def test_what_is_not_whole_is_named() -> None:
    site = ServiceDesign({"/": RoutePlan(0.1, ((StepPlan("gone", "/x"), StepPlan("site", "/y")),))}, pools={"store": 1})
    found = unsound(SystemDesign("n", {"site": site}, {"in": GuestEntry("site", "/z", 1.0)}))
    assert found == [
        "site calls gone, which isn't there",
        "site calls /y of site, which it doesn't serve",
        "site has a pool for store, whom it doesn't call",
        "guests ask /z of site, which it doesn't serve",
    ]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_truth_of_each_fault_names_what_is_there(system: str) -> None:
    services = SYSTEMS[system].services
    faults = FAULTS[system]
    assert len({f.name for f in faults}) == len(faults)
    for fault in faults:
        assert {*fault.roots, *(s for _, s in fault.right | fault.tried)} <= services.keys(), fault.name
        assert bool(fault.roots) == bool(fault.causes), fault.name
        assert not fault.right & fault.tried, fault.name
        own = {s for _, s in fault.right}
        assert all(services[s].telling.any for s in own), f"{fault.name}: nobody could see what is to be mended"
    assert [f.name for f in faults if not f.roots] == ["good-release", "burst", "job"]


def test_a_variation_is_the_same_for_a_seed_and_another_for_another() -> None:
    one, again, other = system_named("hotel/3"), system_named("hotel/3"), system_named("hotel/4")
    assert one == again
    assert one != other
    assert one.services.keys().isdisjoint(HOTEL.services)
    assert one.identity("rates") == f"hotel3/{one.called('rates')}"


def test_names_that_there_are_not_are_told_with_those_there_are() -> None:
    with pytest.raises(UnknownName, match="hotel"):
        system_named("castle")
    with pytest.raises(UnknownName, match="kill-one"):
        faults_named("hotel", ["flood"])
    said = CliRunner().invoke(drill, ["--system", "hotel", "flood"])
    assert said.exit_code == 2
    assert "hotel has no fault flood" in said.output


def test_without_a_fault_they_are_listed() -> None:
    said = CliRunner().invoke(drill, ["--system", "hotel"])
    assert said.exit_code == 0
    assert [line.split()[0] for line in said.output.splitlines()] == [f.name for f in FAULTS["hotel"]]
    assert "hang" in CliRunner().invoke(drill, []).output


def test_what_lasts_is_of_a_service_or_of_its_calls(tmp_path: Path) -> None:
    file = tmp_path / "lasting.json"
    write_lasting(file, [LastingAilment("rooms", error_rate=0.4), LastingAilment("site", "rooms", 0.6)])
    lasting = LastingAilments(file)
    assert [a.error_rate for a in lasting.of("rooms")] == [0.4]
    assert [a.delay_s for a in lasting.of("site", "rooms")] == [0.6]
    assert lasting.of("site") == []
    assert LastingAilments(tmp_path / "none.json").of("rooms") == []


# --- the judgement

NS = int(BEGAN * 1e9)
NORMAL = Normal({"room": 0.05})
ALARM = e.Anomaly(
    id="a", environment="default", service="hotel/site", phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS, onset_ns=NS,
    time_ns=NS, p_value=1e-9, decades=9.0, contributions=(), detector="bank", model_version="1", text="fails",
)  # fmt: skip


def incident(*suspects: tuple[str, CauseKind], settled: bool = True) -> e.Incident:
    causes = tuple(e.Candidate(service=s, kind=k, probability=0.9, evidence=(), path=()) for s, k in suspects)
    return e.Incident(
        id="i", environment="default", phase=IncidentPhase.OPENED, severity=Severity.CRITICAL, onset_ns=NS, time_ns=NS, revision=1,
        anomalies=("a",), services=("hotel/site",), candidates=causes, blast_radius=(), confidence=0.9, settled=settled, text="t",
    )  # fmt: skip


def act(target: str, action: str = "restart") -> e.ActionRecord:
    return e.ActionRecord(
        id="x", type=INTENT, environment="default", sequence=1, time_ns=NS, run="r", decision="d", incident="i", playbook="p",
        playbook_version="1", target=target, state=RunState.RUNNING, actor="homeostat", text="t", data={"action": action},
    )  # fmt: skip


def judged(fault: DrillFault, *events: e.Event, bad_s: int = 12, seconds: int = 30) -> DrillRow:
    heard = EventsSeen(BEGAN, [(BEGAN + 2.0 + i, event) for i, event in enumerate(events)])
    went = [Second(BEGAN + i, {"room": RouteSecond(5, 5 if i < bad_s else 0, 0.05)}) for i in range(seconds)]
    return row_of(fault, HOTEL, heard, went, NORMAL)


def test_the_right_remedy_at_the_first_attempt_passes() -> None:
    lead = ("hotel/content", CauseKind.CRASH)
    row = judged(
        FAULT["kill"],
        ALARM,
        incident(("hotel/site", CauseKind.ERRORS), settled=False),
        incident(lead),
        act("hotel/content"),
    )
    assert (row.detected_s, row.first, row.first_settled, row.kind_right) == (2.0, False, True, True)
    assert [a.judged for a in row.acts] == ["right"]
    assert (row.felt_s, row.well_s, row.passed) == (1.0, 12.0, True)
    assert "restart hotel/content (right, 5 s)" in row.line()


@pytest.mark.parametrize(
    ("fault", "done", "word"),
    [
        ("kill", act("hotel/rooms"), "wrong"),
        ("kill", act("hotel/content", "scale"), "wrong"),
        ("third-slow", act("hotel/payments"), "wrong"),
        ("flag", act("hotel/rooms"), "tried"),
        ("job", act("hotel/loyalty"), "needless"),
    ],
)
def test_what_is_done_is_judged_by_the_truth(fault: str, done: e.ActionRecord, word: str) -> None:
    row = judged(FAULT[fault], done)
    assert [a.judged for a in row.acts] == [word]
    assert not row.passed


def test_who_was_not_well_for_long_enough_is_not_well() -> None:
    assert judged(FAULT["kill"], bad_s=28).well_s is None


def test_somebody_elses_store_is_known_by_its_address() -> None:
    row = judged(FAULT["store-slow"], incident(("external:ledger-db.hotel.internal", CauseKind.DEPENDENCY)))
    assert row.first
    assert not row.passed, "nobody was asked"


def test_what_was_open_before_the_fault_is_of_something_else() -> None:
    stale = incident(("hotel/site", CauseKind.LATENCY))
    own = msgspec.structs.replace(incident(("hotel/content", CauseKind.CRASH)), id="own")
    heard = EventsSeen(BEGAN, [(BEGAN + 1.0, stale), (BEGAN + 3.0, own)])
    row = row_of(FAULT["kill"], HOTEL, heard, [], NORMAL, frozenset({stale.id}))
    assert (row.named, row.first) == ("hotel/content", True)


def test_a_row_is_kept_as_json() -> None:
    row = judged(FAULT["job"], bad_s=0)
    assert row.passed
    assert msgspec.json.decode(msgspec.json.encode(row), type=DrillRow) == row
