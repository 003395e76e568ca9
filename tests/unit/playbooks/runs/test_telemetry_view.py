"""What a run knows of its environment from telemetry: how far back, whose, and who calls whom."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import Incident
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import MINUTE, SECOND
from contracts.verdicts import IncidentPhase, Severity
from playbooks.runs.telemetry_view import TelemetryView
from tests.unit.playbooks.runs.support import T0, frame


def seen(
    second: float, *names: str, signal: str = "spans", peers: tuple[str, ...] = (), attributes: str = ""
) -> EvidenceFrame:
    found = frame(T0 + round(second * SECOND), dict.fromkeys(names, (50.0, 0.0)))
    return replace(found, signal=signal, peers=peers, attributes=(attributes,) * len(names))


def after(*frames: EvidenceFrame) -> TelemetryView:
    view = TelemetryView()
    for one in frames:
        view.observe(one)
    return view


def seconds(view: TelemetryView) -> list[float]:
    return [(f.window_ns - T0) / SECOND for f in view.frames()]


def test_evidence_is_kept_for_three_minutes_behind_the_newest() -> None:
    early = [seen(second, "cart") for second in (0, 1, 100)]
    assert seconds(after(*early, seen(180, "cart"))) == [0, 1, 100, 180]
    assert seconds(after(*early, seen(180.5, "cart"))) == [1, 100, 180.5]
    assert seconds(after(*early, seen(400, "cart"), seen(300, "web"))) == [400, 300], "late, and young enough"


def test_callers_are_those_of_the_last_minute_and_entries_whom_nobody_calls() -> None:
    def around(*frames: EvidenceFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = after(*frames, seen(60, "cart")).surroundings("cart", "i1", T0)
        return found.callers, found.entries

    calls = seen(0, "web", "cart", "shop", "job", signal="edges", peers=("shop", "cart", "cart", "db"))
    assert around(calls) == (("shop",), ("web",)), "itself, and those of others, aside"
    again = seen(1, "job", "shop", signal="edges", peers=("cart", "web"))
    assert around(calls, again) == (("job", "shop"), ("job",)), "who call one another are no entries"
    assert around(replace(calls, window_ns=T0 - 1), again) == (("job",), ("job",))
    assert around(seen(0, "web", peers=("cart",))) == ((), ()), "spans tell of no calls"


def test_who_sends_no_spans_has_the_callers_that_name_it() -> None:
    heard = seen(0, "prod/pay", signal="metrics")
    calls = seen(0, "prod/web", "prod/shop", signal="edges", peers=("external:pay", "prod/web"))
    found = after(heard, calls).surroundings("prod/pay", "i1", T0)
    assert (found.callers, found.entries) == (("prod/web",), ("prod/shop",))
    joined = seen(1, "prod/web", signal="edges", peers=("batch/pay",))
    assert after(heard, calls, joined).surroundings("prod/pay", "i1", T0).callers == (), "it means another of that name"


def test_a_service_is_what_its_own_telemetry_says_and_not_what_calls_say_of_it() -> None:
    told = '{"k8s.deployment.name":"cart-v2"}'
    for signal in ("spans", "logs", "metrics"):
        assert after(seen(0, "cart", signal=signal, attributes=told)).attributes("cart") == {
            "k8s.deployment.name": "cart-v2"
        }
    assert after(seen(0, "cart", signal="edges", peers=("db",), attributes=told)).attributes("cart") == {}


def incident(
    name: str, revision: int, phase: IncidentPhase = IncidentPhase.OPENED, radius: tuple[str, ...] = ()
) -> Incident:
    return Incident(
        id=name, environment="test", phase=phase, severity=next(iter(Severity)), onset_ns=T0, time_ns=T0, revision=revision,
        anomalies=(), services=("cart",), candidates=(), blast_radius=radius, confidence=1.0, settled=True, text="",
    )  # fmt: skip


def test_the_latest_revision_of_an_incident_counts_in_whatever_order_they_come() -> None:
    view = TelemetryView()
    view.note(incident("i1", 2, radius=("web",)))
    view.note(incident("i1", 1, IncidentPhase.RESOLVED))
    assert not view.is_over("i1")
    assert (view.surroundings("cart", "i1", T0).affected, view.surroundings("cart", "i2", T0).affected) == (
        ("web",),
        (),
    )
    view.note(incident("i1", 2, IncidentPhase.RESOLVED))
    assert view.is_over("i1")
    assert not view.is_over("i2"), "nothing is known of it"
    for number in range(999):
        view.note(incident(f"other-{number}", 1))
    assert view.is_over("i1")
    view.note(incident("one more", 1))
    assert not view.is_over("i1"), "it was noted longest ago of a thousand"


@pytest.mark.parametrize("minutes", [4, 5])
def test_services_at_work_are_those_of_some_minutes(minutes: int) -> None:
    view = after(*(seen(60 * n, "cart") for n in range(minutes)), seen(60 * minutes - 1, "made-up"))
    assert T0 % MINUTE == 20 * SECOND
    assert view.established() == ({"cart"} if minutes == 5 else set())
