"""How bad an incident is for users: by what they feel, by what they are promised, and in words."""

from __future__ import annotations

import pytest

from contracts.features import ERROR_RATE, LATENCY_P95
from contracts.settings import DetectSettings, Objective
from contracts.verdicts import Severity
from graph.diagnosis.severity import against_promises, severity_of
from graph.evidence.situation import Shift
from tests.unit.graph.diagnosis.test_whose_doing import level, node, situation


@pytest.mark.parametrize(
    ("gateway", "undone", "severity"),
    [
        ((Shift(LATENCY_P95, 0.1, 0.1, 0.0, 0.0, 10.0, 60.0),), False, Severity.INFO),
        ((Shift(LATENCY_P95, 0.1, 0.1, 0.0, 0.0, 10.0, 60.0),), True, Severity.WARNING),
        ((level(LATENCY_P95, 0.1, 0.15),), False, Severity.WARNING),
        ((level(LATENCY_P95, 0.1, 0.5),), False, Severity.CRITICAL),
        ((), False, Severity.WARNING),  # nothing is known of what users feel
    ],
)
def test_where_users_are_served_as_before_an_incident_is_info(
    gateway: tuple[Shift, ...], undone: bool, severity: Severity
):
    at = situation(node("gateway", *gateway), node("cart", level(LATENCY_P95, 0.1, 3.0)))
    assert severity_of(at, ["gateway"], undone) is severity


PROMISES = {
    "gateway": Objective(availability=0.999, latency_s=0.4),
    "forgiving": Objective(availability=0.9, latency_s=5.0),
    "partial": Objective(latency_s=0.4),
}


def failing(share: float) -> Shift:
    """Failures where there were none, of fifty requests a second for ten seconds."""
    return Shift(ERROR_RATE, 0.0, share, 50.0, 12.0, 500.0, 3000.0)


@pytest.mark.parametrize(
    ("entry", "symptom", "severity"),
    [
        ("gateway", failing(0.02), Severity.CRITICAL),  # twenty times its budget, though two in a hundred are no outage
        ("gateway", failing(0.01), Severity.WARNING),  # ten times: not fast
        ("forgiving", failing(0.2), Severity.WARNING),  # twice what it may
        ("plain", failing(0.2), Severity.CRITICAL),
        ("plain", failing(0.02), Severity.WARNING),
        ("partial", failing(0.2), Severity.CRITICAL),  # nothing is promised of failures
        ("gateway", level(LATENCY_P95, 0.1, 0.5), Severity.CRITICAL),
        ("gateway", level(LATENCY_P95, 0.1, 0.3), Severity.WARNING),  # three times the usual, and within the promise
        ("forgiving", level(LATENCY_P95, 0.1, 3.0), Severity.WARNING),
        ("plain", level(LATENCY_P95, 0.1, 0.3), Severity.CRITICAL),
    ],
)
def test_an_objective_says_what_is_critical(entry: str, symptom: Shift, severity: Severity):
    at = situation(node(entry, symptom), node("cart"))
    assert severity_of(at, [entry], False, lambda name: PROMISES.get(name, Objective())) is severity


def test_users_are_told_what_is_promised_and_not_kept():
    promised = PROMISES.__getitem__
    hurt = node("gateway", failing(0.02), level(LATENCY_P95, 0.1, 0.5))
    said = against_promises(situation(hurt), ["gateway"], promised)
    assert "2 % of its requests fail where 0.1 % may (20 times its error budget)" in said
    assert "500 ms where 400 ms are promised" in said
    assert against_promises(situation(node("gateway", failing(0.0005))), ["gateway"], promised) == ""
    assert against_promises(situation(hurt), ["gateway"], lambda _: Objective()) == "", "nothing is promised"


def test_an_objective_may_be_of_one_environment_only():
    settings = DetectSettings(objectives={"prod:cart": Objective(latency_s=0.2), "cart": Objective(latency_s=2.0)})
    assert settings.objective_of("prod", "cart").latency_s == 0.2
    assert settings.objective_of("staging", "cart").latency_s == 2.0
    assert settings.objective_of("prod", "orders") == Objective()
