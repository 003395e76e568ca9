"""Telemetry at delays of 0.5 to 60 s per service and signal, through the real stages: faults are found in all, rows invented in none."""

from __future__ import annotations

import pytest

from contracts.frames import Presence
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.unit.streams.fleet import Fault, Fleet

DELAYS = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
SERVICES = tuple(f"late{d:g}" for d in DELAYS)
SPANS_AT = dict(zip(SERVICES, DELAYS, strict=True))
MIXED = {
    (service, signal): DELAYS[(i + shift) % len(DELAYS)]
    for i, service in enumerate(SERVICES)
    for signal, shift in (("spans", 0), ("logs", 2), ("metrics", 4))
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]
FIRST, EVERY, LONG = 110, 8, 15


@pytest.mark.parametrize("kind", representatives(["slow", "errors", "drop"], "errors"))
def test_faults_are_found_however_late_telemetry_is(kind: str) -> None:
    faults = tuple(Fault(kind, s, FIRST + EVERY * i, FIRST + EVERY * i + LONG) for i, s in enumerate(SERVICES))
    fleet = Fleet(SERVICES, MIXED, faults).run(FIRST + EVERY * len(faults) + LONG)
    assert fleet.invented() == []
    opened = fleet.anomalies(lambda a: a.service != "gateway" and not a.peer)
    assert [a.service for _, a in sorted(opened, key=lambda x: x[1].onset_ns)] == list(SERVICES)
    for fault, (told, anomaly) in zip(faults, sorted(opened, key=lambda x: x[1].onset_ns), strict=True):
        onset = (anomaly.onset_ns - 1_700_000_000_000_000_000) / 1e9
        assert fault.begin - 6 <= onset < fault.end, (fault, onset)
        assert told <= fault.begin + 15 + 1.2 * SPANS_AT[fault.service], (fault, told)


def test_every_second_of_everyone_is_told_once() -> None:
    fleet = Fleet(SERVICES, MIXED).run(165)
    seen: dict[tuple[str, int], Presence] = {}
    for service, second, what, count in fleet.rows():
        assert (service, second) not in seen, "a row came twice"
        seen[service, second] = what
        assert count == fleet.served.get((service, second), 0) or what is not Presence.OBSERVED
    late = {k for k, what in seen.items() if what is Presence.MISSING and fleet.served.get(k)}
    assert {k for k in late if k[1] > 130} == set(), "once its delay is known, nothing of a service is missing"
    assert {service for service, _ in seen} == {"gateway", *SERVICES}
    assert fleet.anomalies() == []
