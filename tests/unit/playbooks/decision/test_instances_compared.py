"""What comparing the instances of a service decides: the sick one alone is restarted, and what all share is asked about."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from contracts.events import Candidate, Evidence
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, DecisionVerdict, HeldReason, Severity
from playbooks.decision import PERSON, decide
from playbooks.language import library
from playbooks.runs.arguments import resolve
from playbooks.runs.plan import Surroundings, plan_of
from tests.unit.playbooks.decision.test_deciding import LIBRARY, NOW, SETTINGS, STATE, WORLD, incident

KNOWN = replace(STATE, instances=("cart-7f", "cart-9k"))
CALM = replace(
    WORLD,
    targets={"cart": KNOWN, "web": STATE},
    services={"cart": replace(WORLD.services["cart"], values={"request_rate": 5.0}, high={"request_rate": 9.0})},
)


def suspected(kind: CauseKind, *channels: str, **told: object) -> Candidate:
    evidence = tuple(Evidence(channel=c, weight=0.5, text=c) for c in channels)
    return Candidate(service="cart", kind=kind, probability=0.95, evidence=evidence, path=(), **told)


def after(cause: Candidate, seconds: float):
    return msgspec.structs.replace(incident(cause, severity=Severity.CRITICAL), onset_ns=NOW - int(seconds * S))


@pytest.mark.parametrize("kind", [CauseKind.LATENCY, CauseKind.ERRORS, CauseKind.HANG, CauseKind.CRASH])
def test_the_sick_instance_alone_is_restarted(kind: CauseKind) -> None:
    found = decide(after(suspected(kind, instances=2, instance="cart-7f"), 5), CALM, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-sick-instance")
    assert found.cause_instance == "cart-7f"
    (playbook,) = [p for p in library() if p.name == "restart-sick-instance"]
    plan = plan_of(found, playbook, now_ns=NOW, surroundings=Surroundings())
    assert resolve(plan, playbook.steps[0], KNOWN) == {"strategy": "instance", "instance": "cart-7f"}


def test_one_that_its_platform_does_not_know_is_not_named() -> None:
    """Its telemetry gives it a name of its own: then all of them are restarted, as when none is known."""
    found = decide(after(suspected(CauseKind.LATENCY, instances=2, instance="9d1c-uuid"), 5), CALM, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")


@pytest.mark.parametrize("kind", [CauseKind.LATENCY, CauseKind.ERRORS])
def test_before_all_instances_are_restarted_they_are_compared(kind: CauseKind) -> None:
    early = decide(after(suspected(kind), 5), CALM, LIBRARY, SETTINGS)
    assert early.verdict is DecisionVerdict.NOTHING
    assert "how the 2 instances of cart compare is not known yet" in early.text
    for world, cause, seconds in (
        (CALM, suspected(kind), 12),
        (CALM, suspected(kind, "cpu", instances=2), 5),
        (replace(CALM, targets={"cart": replace(STATE, replicas=1, ready=1)}), suspected(kind), 5),
    ):
        assert decide(after(cause, seconds), world, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT


def test_late_telemetry_is_waited_for_by_its_own_time() -> None:
    late = replace(CALM, reached_ns=NOW - 40 * S)
    found = decide(after(suspected(CauseKind.LATENCY), 45), late, LIBRARY, SETTINGS)
    assert found.verdict is DecisionVerdict.NOTHING
    assert "is not known yet" in found.text


def test_what_does_not_answer_is_not_waited_for() -> None:
    found = decide(after(suspected(CauseKind.HANG), 5), CALM, LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-hung-service")


def test_where_all_became_slow_alike_for_no_reason_of_their_own_a_person_is_asked() -> None:
    alike = {"instances": 2, "alike": 2}
    asked = decide(after(suspected(CauseKind.LATENCY, "latency", **alike), 20), CALM, LIBRARY, SETTINGS)
    assert (asked.verdict, asked.chosen.playbook) == (DecisionVerdict.ASK, PERSON)
    held = next(o for o in asked.options if o.playbook == "restart-slow-service")
    assert held.held is HeldReason.CONDITION
    for reason in ("cpu", "memory"):
        own = decide(after(suspected(CauseKind.LATENCY, "latency", reason, **alike), 20), CALM, LIBRARY, SETTINGS)
        assert (own.verdict, own.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")


def test_who_has_a_cold_cache_is_not_restarted() -> None:
    told = after(suspected(CauseKind.LATENCY, "latency", "cpu", "cold_cache", instances=2, alike=2), 40)
    found = decide(told, CALM, LIBRARY, SETTINGS)
    held = next(o for o in found.options if o.playbook == "restart-slow-service")
    assert held.held is HeldReason.CONDITION
    assert found.verdict is not DecisionVerdict.ACT


def test_who_fails_under_more_demand_than_it_can_serve_is_not_restarted() -> None:
    found = decide(after(suspected(CauseKind.ERRORS, "errors", "demand"), 40), CALM, LIBRARY, SETTINGS)
    held = next(o for o in found.options if o.playbook == "restart-failing-service")
    assert held.held is HeldReason.CONDITION
    assert found.verdict is not DecisionVerdict.ACT
    assert (
        decide(after(suspected(CauseKind.ERRORS, "errors"), 40), CALM, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
    )


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (CauseKind.LATENCY, DecisionVerdict.NOTHING),
        (CauseKind.ERRORS, DecisionVerdict.ACT),
        (CauseKind.HANG, DecisionVerdict.ACT),
    ],
)
def test_what_slowed_users_down_for_a_moment_is_left_alone_once_they_are_served_as_before(
    kind: CauseKind, verdict: DecisionVerdict
) -> None:
    passed = msgspec.structs.replace(after(suspected(kind), 40), felt=Severity.INFO)
    found = decide(passed, CALM, LIBRARY, SETTINGS)
    assert found.verdict is verdict
    if verdict is DecisionVerdict.NOTHING:
        assert "users are served as before by now" in found.text
    assert decide(after(suspected(kind), 40), CALM, LIBRARY, SETTINGS).verdict is DecisionVerdict.ACT
