"""Incidents begin and end with what users feel."""

from __future__ import annotations

import msgspec
import pytest

from contracts.events import Anomaly, Change, Contribution
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, IncidentPhase, ServiceState, Severity
from graph.diagnosis import DiagnosisEngine
from graph.grouping import felt
from tests.unit.graph.diagnosis import shop
from tests.unit.graph.diagnosis.scenarios import feed, incidents
from tests.unit.graph.diagnosis.shop import ONSET, Fault

FAULT = {"pricing": Fault(slow=0.2)}


def anomaly(
    service: str, feature: str, onset_ns: int, time_ns: int, phase: AnomalyPhase = AnomalyPhase.UPDATED
) -> Anomaly:
    part = Contribution(signal="metrics", feature=feature, value=1.0, low=0.0, high=0.5, decades=8.0, share=1.0)
    return Anomaly(
        id=f"a-{service}-{feature}",
        environment="shop",
        service=service,
        phase=phase,
        state=ServiceState.ANOMALOUS,
        onset_ns=onset_ns,
        time_ns=time_ns,
        p_value=1e-8,
        decades=8.0,
        contributions=(part,),
        detector="test",
        model_version="1",
        text="",
    )


def played(recovered_s: int, more, faults=FAULT, resolve_s: float = 5, faulty_s: int = 12) -> list:
    engine = DiagnosisEngine("shop", DiagnoseSettings(resolve_s=resolve_s))
    said = []
    for now_ns, events in shop.play(faults, faulty_s=faulty_s, recovered_s=recovered_s):
        feed(engine, [*events, *more(now_ns)], now_ns)
        said += [(now_ns, x) for x in engine.tick(now_ns)]
    return incidents(said)


def cpu_goes_on(now_ns: int) -> list:
    """From the onset on the culprit's CPU is at another level, which stays when users are well again."""
    return [anomaly("pricing", "cpu_utilization", ONSET, now_ns)] if now_ns > ONSET + 2 * SECOND else []


def test_a_resource_at_another_level_keeps_no_incident_open():
    said = played(60, cpu_goes_on)
    assert [i.phase for i in said].count(IncidentPhase.OPENED) == 1
    assert said[-1].phase is IncidentPhase.RESOLVED
    assert said[-1].time_ns < ONSET + 50 * SECOND
    assert len({i.id for i in said}) == 1


def goes_on(feature: str, value: float):
    """From the onset on the culprit's caller shows this beside what is expected of it, 0.5, and for ever, whatever its users say."""

    def told(now_ns: int) -> list:
        found = anomaly("catalog", feature, ONSET, now_ns)
        part = msgspec.structs.replace(found.contributions[0], value=value)
        return [msgspec.structs.replace(found, contributions=(part,))] if now_ns > ONSET + 2 * SECOND else []

    return told


@pytest.mark.parametrize("feature", ["latency_p99", "metric_latency_p95", "call_latency_p95"])
def test_what_takes_a_little_longer_keeps_no_incident_open(feature: str):
    """A tail that stays a hundredth above what is expected held one open for eleven minutes, in which later faults drowned."""
    said = played(90, goes_on(feature, 0.51))
    assert said[-1].phase is IncidentPhase.RESOLVED
    assert said[-1].time_ns < ONSET + 50 * SECOND
    assert len({i.id for i in said}) == 1, "and starts none by itself"


@pytest.mark.parametrize(("feature", "value", "recovered_s"), [("latency_p99", 1.0, 40), ("error_rate", 0.51, 90)])
def test_what_takes_much_longer_or_fails_keeps_it_open(feature: str, value: float, recovered_s: int):
    assert played(recovered_s, goes_on(feature, value))[-1].phase is not IncidentPhase.RESOLVED


def test_what_takes_much_longer_for_long_and_hurts_nobody_keeps_it_open_no_more():
    """The tail of a service of four milliseconds held one open for eleven minutes, in which five other faults were taken for its own."""
    said = played(90, goes_on("latency_p99", 1.0))
    assert said[-1].phase is IncidentPhase.RESOLVED
    assert len({i.id for i in said}) == 1, "and starts none by itself"


def test_who_suffers_for_long_keeps_it_open():
    said = played(0, lambda _: [], faulty_s=100)
    assert said
    assert all(i.phase is not IncidentPhase.RESOLVED for i in said)


def test_what_outlives_its_incident_starts_none():
    said = played(90, cpu_goes_on)
    assert said[-1].phase is IncidentPhase.RESOLVED


def test_what_was_done_in_answer_is_no_suspect_change():
    def scaled(now_ns: int) -> list:
        if now_ns != ONSET + 6 * SECOND:
            return []
        change = Change(
            environment="shop", service="pricing", kind="scale", time_ns=now_ns, actor="homeostat", after="3"
        )
        return [change, another(change, "deploy")]

    said = played(0, scaled)
    assert said
    assert all(c.actor != "homeostat" for i in said for c in i.changes)
    assert not any(e.channel == "release" for i in said for c in i.candidates for e in c.evidence)


def another(change: Change, kind: str) -> Change:
    return Change(
        environment="shop", service="pricing", kind=kind, time_ns=change.time_ns, actor="homeostat", after="v3"
    )


def test_evidence_that_was_pooled_keeps_its_incident_open():
    """Where there are few requests nothing else tells of them."""
    pooled = anomaly("pricing", "log_rate", ONSET, ONSET)
    assert not felt(pooled)
    assert felt(msgspec.structs.replace(pooled, pooled_s=30.0))
    assert felt(anomaly("pricing", "error_rate", ONSET, ONSET))
    assert not felt(anomaly("pricing", "memory_utilization", ONSET, ONSET))


@pytest.mark.parametrize("fault", [Fault(slow=1.0), Fault(fails=0.5)])
def test_a_burst_that_has_passed_is_felt_no_more_though_it_was_severe(fault: Fault):
    """While the incident is not over yet, it says how bad it has been, and how bad it is; also of work that was left undone."""
    said = played(25, lambda _: [], faults={"pricing": fault}, resolve_s=60)
    ill = [i for i in said if i.phase is not IncidentPhase.RESOLVED and i.time_ns < ONSET + 12 * SECOND]
    later = [i for i in said if i.phase is IncidentPhase.UPDATED and i.time_ns > ONSET + 20 * SECOND]
    assert ill
    assert all(i.felt is i.severity and i.severity is not Severity.INFO for i in ill)
    assert [i.felt for i in later][-1] is Severity.INFO
    assert later[-1].severity is ill[-1].severity


def test_work_that_failed_for_a_moment_is_felt_no_more_either():
    """Users may never see what fails where nobody waits for it. Once it is done again, that is over as well."""
    said = played(25, lambda _: [], faults={"pricing": Fault(fails=0.9)}, resolve_s=60)
    later = [i for i in said if i.phase is IncidentPhase.UPDATED and i.time_ns > ONSET + 20 * SECOND]
    assert [i.felt for i in later][-1] is Severity.INFO
    assert later[-1].severity is not Severity.INFO


def test_harm_that_returns_is_told_of_with_the_onset_that_it_is_compared_with():
    """What an incident says of its candidates is of what befell them since then: whoever acts on that compares with the same time."""
    again_ns = ONSET + 30 * SECOND

    def returns(now_ns: int) -> list:
        fails = anomaly("pricing", "error_rate", again_ns, now_ns)
        return [fails] if now_ns >= again_ns + 2 * SECOND else []

    said = played(30, returns, resolve_s=60)
    assert {i.since_ns for i in said if i.time_ns < again_ns} == {said[0].onset_ns}
    assert {i.id for i in said} == {said[0].id}
    assert said[-1].onset_ns == said[0].onset_ns
    assert said[-1].since_ns == said[-1].ranked_from_ns == again_ns
