"""Inputs from the field in which one name stood for services of two namespaces."""

from __future__ import annotations

from connectors.otlp.decode import decode
from contracts.topics import OTLP_SPANS
from tests.checks.field.inputs import lines_of
from tests.checks.field.runs import incidents


def test_one_name_in_two_namespaces_is_two_services_and_the_one_that_fails_is_blamed() -> None:
    first = incidents("F03")[0]
    assert first.candidates[0].service == "staging/payment"
    assert not any(s.startswith("prod/") for s in first.services)


def test_what_a_service_claims_to_run_as_is_of_its_own_namespace() -> None:
    resources = {r for line in lines_of("F03")[:50] for r in decode(OTLP_SPANS, line).resources}
    assert {r.service for r in resources} == {
        f"{n}/{s}" for n in ("prod", "staging") for s in ("gateway", "checkout", "payment")
    }
    for resource in resources:
        assert dict(resource.attributes)["k8s.namespace.name"] == resource.service.partition("/")[0]
