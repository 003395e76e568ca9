"""How services are, as people are told: never better than what was seen, and never from longer ago than it says."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Anomaly
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.verdicts import AnomalyKind, AnomalyPhase, ServiceState
from homeostat.service_states import FORGET_NS, Services

T0, SECOND = 1_700_000_000_000_000_000, 10**9


def frame(
    states: dict[str, str], window: int, signal: str = "spans", environment: str = "prod", peer: str = ""
) -> EvidenceFrame:
    features = BY_SIGNAL[Signal.SPANS]
    grid, n = np.zeros((len(states), len(features))), len(states)
    return EvidenceFrame(
        *(
            environment,
            signal,
            0,
            T0 + window * SECOND,
            SECOND,
            tuple(states),
            (peer,) * n if peer else (),
            ("",) * n,
            ("",) * n,
        ),
        *(features, grid, np.zeros(n, np.int64), grid, grid, grid, np.ones(n), tuple(states.values()), ()),
    )


def anomaly(phase: AnomalyPhase, text: str = "error rate 50 %", service: str = "cart") -> Anomaly:
    return Anomaly(
        id="an-1",
        environment="prod",
        service=service,
        phase=phase,
        state=ServiceState.ANOMALOUS,
        onset_ns=T0,
        time_ns=T0,
        p_value=0.0,
        decades=9.0,
        contributions=(),
        detector="bank",
        model_version="1",
        text=text,
    )


def at(window: float) -> int:
    return T0 + int((window + 1) * SECOND)


def row(services: Services, now_ns: int, service: str = "cart") -> dict[str, object]:
    return next(r for r in services.rows(now_ns) if r["service"] == service)


def test_a_service_from_warming_to_gone() -> None:
    services = Services(warmup_windows=30, stale_s=30)
    for i in range(3):
        services.observe(frame({"cart": "warming"}, i), at(i + 0.5))
    found = row(services, at(3))
    assert (found["state"], found["since_ns"], found["why"]) == (
        "warming",
        T0,
        "3 windows were seen, at least 30 are needed",
    )
    assert found["delay_s"] == 0.5
    services.observe(frame({"cart": "healthy"}, 3), at(3))
    services.observe(frame({"cart": "warming"}, 3, "metrics"), at(3))
    assert (row(services, at(3))["state"], row(services, at(3))["why"]) == (
        "healthy",
        "as expected; metrics still warming",
    )
    services.observe(frame({"cart": "anomalous"}, 4), at(4))
    services.note(anomaly(AnomalyPhase.OPENED))
    found = row(services, at(5))
    assert (found["state"], found["since_ns"], found["why"]) == ("anomalous", T0 + 4 * SECOND, "error rate 50 %")
    services.note(anomaly(AnomalyPhase.CLOSED))
    services.observe(frame({"cart": "healthy"}, 5), at(5))
    assert services.counts(at(5)) == {"prod": {"healthy": 1}}
    assert row(services, at(36))["state"] == "stale"
    assert row(services, at(36))["why"] == "nothing of it was seen for 31 s"
    assert services.rows(at(5) + FORGET_NS + 1) == []


def test_what_became_of_a_model_makes_no_service_anomalous() -> None:
    services = Services(30, 30)
    services.observe(frame({"cart": "anomalous"}, 0), at(0))
    drifted = anomaly(AnomalyPhase.OPENED, "calm windows are no longer as river@3 knows them")
    services.note(msgspec.structs.replace(drifted, kind=AnomalyKind.MODEL))
    assert "river@3" not in str(row(services, at(1))["why"])


def test_a_signal_that_ended_has_no_say_and_a_late_window_changes_nothing() -> None:
    services = Services(30, 30)
    services.observe(frame({"cart": "anomalous"}, 0, "logs"), at(0))
    for i in range(20):
        services.observe(frame({"cart": "healthy"}, i), at(i))
    assert row(services, at(20))["state"] == "healthy"
    services.observe(frame({"cart": "anomalous"}, 3), at(20))
    assert row(services, at(20))["state"] == "healthy"


def test_edges_and_what_only_callers_know_are_no_services() -> None:
    services = Services(30, 30)
    services.observe(frame({"cart": "anomalous"}, 0, "edges", peer="stock"), at(0))
    services.observe(frame({"db:postgresql/stock": "healthy"}, 0), at(0))
    services.note(anomaly(AnomalyPhase.OPENED))
    assert services.rows(at(0)) == []


def test_environments_that_go_elsewhere_are_forgotten() -> None:
    services = Services(30, 30)
    services.observe(frame({"a": "healthy"}, 0), at(0))
    services.observe(frame({"a": "healthy"}, 0, environment="test"), at(0))
    services.forget(lambda environment: environment == "test")
    assert services.counts(at(0)) == {"prod": {"healthy": 1}}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([s.value for s in ServiceState]), st.integers(0, 20), st.sampled_from(["spans", "logs"])
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 200),
)
def test_healthy_is_only_said_of_what_was_seen_healthy_just_now(looks: list[tuple[str, int, str]], later: int) -> None:
    services = Services(30, 30)
    last: dict[str, tuple[int, str]] = {}
    for state, window, signal in looks:
        services.observe(frame({"cart": state}, window, signal), at(20))
        if window >= last.get(signal, (0, ""))[0]:
            last[signal] = window, state
    newest = max(window for window, _ in last.values())
    said = {state for window, state in last.values() if newest - window <= 10}
    found = row(services, at(20 + later))["state"]
    if later > 30:
        assert found == "stale"
    elif found == "healthy":
        assert "healthy" in said
        assert not said & {"anomalous", "stale"}
    else:
        assert found in said
