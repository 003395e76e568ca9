"""Meshes tell of calls without a status, with codes as texts: what fails there is noticed as it is anywhere else."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.settings import Settings
from contracts.verdicts import IncidentPhase
from tests.representatives import representatives
from tests.scenarios.traffic import END_S, ONSET_S, SERVER, T0, Found, Plan, S, Shop, Trouble, messages, through, value

SETTINGS = Settings(detect={"detectors": ("bank",)})
GRPC = {"rpc.system": "grpc"}

Attributes = dict[str, Any]
FAILED: dict[str, tuple[Attributes, Attributes]] = {
    "Envoy": (
        {"http.status_code": "200", "component": "proxy", "response_flags": "-"},
        {"http.status_code": "503", "component": "proxy", "response_flags": "UH"},
    ),
    "gRPC by name": ({**GRPC, "rpc.response.status_code": "OK"}, {**GRPC, "rpc.response.status_code": "UNAVAILABLE"}),
    "Spring Boot": (
        {"status": "200", "outcome": "SUCCESS", "exception": "none"},
        {"status": "500", "outcome": "SERVER_ERROR", "exception": "none"},
    ),
}
FINE: dict[str, tuple[Attributes, Attributes]] = {
    "not found": ({"http.status_code": "200"}, {"http.status_code": "404"}),
    "gRPC not found": ({"rpc.grpc.status_code": 0}, {"rpc.grpc.status_code": 5}),
}
TROUBLE = Plan(trouble={"checkout": Trouble(fails=0.6)})


def told_by(writing: tuple[Attributes, Attributes], code: int = 0) -> Found:
    """What the pipeline makes of a checkout that fails 60 % of its calls, where the spans that tell of it say so as a mesh does."""
    spans = Shop(TROUBLE, 1).spans_by_end()
    for _, _, span in spans:
        failed = span.pop("status", None) is not None
        said = writing[failed] if span["kind"] == SERVER else {}
        span["attributes"] = [{"key": k, "value": value(v)} for k, v in said.items()]
        if failed and code:
            span["status"] = {"code": code}
    return through(messages(spans, T0 + END_S * S), SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("writing", representatives(FAILED, "Envoy"))
def test_an_outage_that_only_a_mesh_tells_of_is_noticed_within_seconds(writing: str):
    found = told_by(FAILED[writing])
    opened = [(i.time_ns - T0) / S for i in found.incidents if i.phase is not IncidentPhase.RESOLVED]
    assert opened, found.told()
    assert ONSET_S < opened[0] < ONSET_S + 8, found.told()
    assert found.blamed == {"checkout"}, found.told()


@pytest.mark.slow
@pytest.mark.parametrize("writing", representatives(FINE, "gRPC not found"))
def test_what_was_asked_for_and_is_not_there_is_no_outage(writing: str):
    found = told_by(FINE[writing], code=2)
    assert not found.incidents, found.told()
    assert not found.decisions, found.told()
