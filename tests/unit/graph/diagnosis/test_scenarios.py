"""One fault of each kind in a shop of ten services: the culprit comes first, for the right reason, within seconds."""

from __future__ import annotations

import pytest

from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import CauseKind, IncidentPhase, Severity
from graph.diagnosis import DiagnosisEngine
from tests.representatives import representatives
from tests.unit.graph.diagnosis.scenarios import incidents, run
from tests.unit.graph.diagnosis.shop import ONSET, START, Fault

SCENARIOS = {
    "slow leaf": ({"pricing": Fault(slow=0.2)}, "pricing", CauseKind.LATENCY, "latency"),
    "failing service": ({"payment": Fault(fails=0.4)}, "payment", CauseKind.ERRORS, "no callee accounts for it"),
    "crash": ({"user": Fault(down="crash")}, "user", CauseKind.CRASH, "answered 0 of about"),
    "hang": ({"shipping": Fault(down="hang")}, "shipping", CauseKind.HANG, "waits"),
    "hang below two callers": ({"pricing": Fault(down="hang")}, "pricing", CauseKind.HANG, "answered 0 of about"),
    "CPU shortage": ({"cart": Fault(cpu=0.7, slow=0.15)}, "cart", CauseKind.LATENCY, "CPU"),
    "leak": ({"user": Fault(leak=0.04, slow=0.05)}, "user", CauseKind.LEAK, "memory"),
    "network of a middle service": ({"orders": Fault(gap=0.15)}, "orders", CauseKind.NETWORK, "network time"),
    "network of a leaf": ({"user": Fault(gap=0.15)}, "user", CauseKind.NETWORK, "so do 1 more"),
    "surge": ({"catalog": Fault(demand=4, slow=0.1, cpu=0.2)}, "catalog", CauseKind.SATURATION, "serves"),
    "slow database": (
        {"db:postgresql/orders": Fault(slow=0.3)},
        "db:postgresql/orders",
        CauseKind.DEPENDENCY,
        "call latency",
    ),
    "third party fails": ({"bank": Fault(fails=0.6)}, "bank", CauseKind.DEPENDENCY, "failed calls"),
    "wrong answers": (
        {"user": Fault(skips={"orders": ("payment", "shipping", "db:postgresql/orders")}, logs_errors=0.2)},
        "user",
        CauseKind.ERRORS,
        "what user returns may be wrong",
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("seed", representatives([1, 2], 1))
def test_culprit_is_first_with_its_reason(name: str, seed: int) -> None:
    faults, culprit, kind, reason = SCENARIOS[name]
    said = incidents(run(faults, seed=seed))
    assert said, "no incident"
    first, last = said[0], said[-1]
    assert {i.id for i in said} == {first.id}
    assert first.phase is IncidentPhase.OPENED
    assert first.time_ns <= ONSET + 5 * SECOND
    assert (last.candidates[0].service, last.candidates[0].kind) == (culprit, kind)
    assert first.candidates[0].service == culprit
    assert any(reason in e.text for e in last.candidates[0].evidence)
    assert last.settled
    assert last.confidence > 0.5
    assert last.severity is not Severity.INFO
    assert sum(c.probability for c in last.candidates) <= 1.0 + 1e-3


def test_release_is_blamed_where_errors_follow_a_new_version() -> None:
    versions = lambda age: {"catalog": "v2"} if age >= -2 else {}  # noqa: E731
    last = incidents(run({"catalog": Fault(fails=0.3)}, versions=versions))[-1]
    assert last.candidates[0].service == "catalog"
    assert last.candidates[0].kind is CauseKind.BAD_RELEASE
    assert "deploy to v2" in last.text
    assert [c.after for c in last.changes] == ["v2"]


def test_a_release_alone_is_no_incident() -> None:
    versions = lambda age: {"catalog": "v2"} if age >= 0 else {}  # noqa: E731
    assert incidents(run({}, versions=versions, faulty_s=20)) == []


def test_callers_are_ruled_out_in_words() -> None:
    last = incidents(run({"pricing": Fault(slow=0.2)}))[-1]
    assert last.blast_radius == ("cart", "catalog", "gateway")
    rivals = {c.service: c.ruled_out for c in last.candidates[1:]}
    assert any("explained by its callee pricing" in text for text in rivals.values())
    assert last.candidates[0].ruled_out == ""


def test_path_goes_from_the_entry_to_the_culprit() -> None:
    last = incidents(run({"payment": Fault(fails=0.4)}))[-1]
    path = last.candidates[0].path
    assert [p.service for p in path] == ["gateway", "orders", "payment"]
    assert path[0].edge == "gateway → orders"
    assert "errors" in path[0].symptom
    assert path[-1].edge == ""


@pytest.mark.parametrize("seed", representatives(range(5), 0))
def test_a_healthy_shop_has_no_incident(seed: int) -> None:
    assert incidents(run({}, faulty_s=120, seed=seed)) == []


def test_callees_that_are_no_longer_called_are_innocent() -> None:
    """Orders fails at once, so its callees get no more calls: silent, and innocent."""
    skips = {"orders": ("payment", "shipping", "user", "db:postgresql/orders")}
    last = incidents(run({"orders": Fault(fails=0.97, skips=skips)}))[-1]
    assert last.candidates[0].service == "orders"


def test_incident_resolves_after_the_quiet_time() -> None:
    said = run({"payment": Fault(fails=0.4)}, faulty_s=15, recovered_s=40)
    last = incidents(said)[-1]
    assert last.phase is IncidentPhase.RESOLVED
    assert last.time_ns >= ONSET + 25 * SECOND
    assert "Over after" in last.text


def test_the_same_fault_again_is_a_new_incident() -> None:
    """What was seen during the first incident has not become the usual."""
    engine = DiagnosisEngine("shop", DiagnoseSettings())
    faults = {"payment": Fault(fails=0.4)}
    first = incidents(run(faults, engine, faulty_s=15, recovered_s=40))
    second = incidents(run(faults, engine, healthy_s=10, start_ns=START + 115 * SECOND))
    assert second[0].phase is IncidentPhase.OPENED
    assert second[0].id != first[0].id
    assert second[0].candidates[0].service == "payment"
