"""Services that tell of themselves by metrics alone, or of their memory as a share of its limit, are verified by what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from contracts.features import FEATURES, OTHERWISE
from contracts.frames import EvidenceFrame
from contracts.units import SECOND
from contracts.verdicts import Outcome
from playbooks.language.model import Check, Verify
from playbooks.verify import Verification, Verifier
from tests.unit.playbooks.verify.test_verifier import ACTED, ILL, T0, WELL, outcome, service_frame

BY_METRICS = ("metric_request_rate", "metric_error_rate", "metric_latency_p95")
FULL, ROOM = (50.0, 0.9, 0.1), (50.0, 0.3, 0.1)
BY_MEMORY = ("metric_request_rate", "memory_utilization", "metric_latency_p95")


def metrics(
    second: float, rows: Mapping[str, Sequence[float]], features: tuple[str, ...] = BY_METRICS
) -> EvidenceFrame:
    return replace(service_frame(second, rows), signal="metrics", features=features)


def verifier(*checks: Check, callers: tuple[str, ...] = ()) -> Verifier:
    return Verifier(Verify(checks, for_s=3.0, within_s=20.0), "cart", callers, ACTED)


def history(found: Verifier, fault: Sequence[float], usual: Sequence[float], features: tuple[str, ...]) -> None:
    for second in range(-40, 0):
        found.observe(metrics(second, {"cart": usual if second < -5 else fault}, features))


def verdicts(found: Verifier, frames: Sequence[EvidenceFrame]) -> list[Verification | None]:
    told = []
    for second, frame in enumerate(frames):
        found.observe(frame)
        told.append(found.verdict(T0 + int((second + 1.3) * SECOND)))
    return told


@pytest.mark.parametrize(
    ("check", "fault", "usual", "features"),
    [
        (Check("error_rate"), ILL, WELL, BY_METRICS),
        (Check("latency_p95"), ILL, WELL, BY_METRICS),
        (Check("memory_bytes", better="lower", by=0.2), FULL, ROOM, BY_MEMORY),
    ],
)
def test_what_is_told_otherwise_is_checked_by_that(
    check: Check, fault: Sequence[float], usual: Sequence[float], features: tuple[str, ...]
) -> None:
    found = verifier(check)
    history(found, fault, usual, features)
    told = verdicts(found, [metrics(s, {"cart": usual}, features) for s in range(3)])
    assert [outcome(x) for x in told] == [None, None, Outcome.BETTER]
    assert told[-1] is not None
    assert OTHERWISE[check.feature] in told[-1].text

    again = verifier(check)
    history(again, fault, usual, features)
    told = verdicts(again, [metrics(s, {"cart": fault}, features) for s in range(22)])
    assert Outcome.SAME in [outcome(x) for x in told]


def test_a_caller_that_tells_by_metrics_alone_is_guarded() -> None:
    found = verifier(Check("error_rate"), callers=("web",))
    for second in range(-40, 0):
        found.observe(service_frame(second, {"cart": WELL if second < -5 else ILL}))
        found.observe(metrics(second, {"web": WELL}))
    told = []
    for second in range(12):
        found.observe(service_frame(second, {"cart": ILL}))
        told.append(verdicts(found, [metrics(second, {"web": (50.0, 0.9, 2.0)})])[0])
        told.append(found.verdict(T0 + int((second + 1.3) * SECOND)))
    worse = next(x for x in told if x is not None)
    assert worse.outcome is Outcome.WORSE
    assert "metric_error_rate of web" in worse.text


def test_spans_count_where_there_are_both() -> None:
    found = verifier(Check("error_rate"))
    for second in range(-40, 0):
        found.observe(service_frame(second, {"cart": WELL if second < -5 else ILL}))
        found.observe(metrics(second, {"cart": WELL if second < -5 else ILL}))
    frames = [f for s in range(3) for f in (service_frame(s, {"cart": WELL}), metrics(s, {"cart": ILL}))]
    for frame in frames:
        found.observe(frame)
    assert outcome(found.verdict(T0 + 4 * SECOND)) is Outcome.BETTER, "metrics may be old by half a minute"


def test_each_is_the_others_otherwise_and_tells_of_the_same_kind_of_harm() -> None:
    for one, other in OTHERWISE.items():
        assert OTHERWISE[other] == one
        assert FEATURES[one].worse == FEATURES[other].worse
