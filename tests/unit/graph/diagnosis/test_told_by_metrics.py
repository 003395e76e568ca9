"""A service that sends metrics and no spans, known to its callers by the name they call it: as well known after hours as after minutes."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.events import Anomaly, Contribution, Incident
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState, Severity
from graph.diagnosis.engine import DiagnosisEngine

START = 1_700_000_000 * SECOND
WIDTH_S = 5
Rows = dict[tuple[str, str], dict[str, float]]


def frame(signal: Signal, rows: Rows, window_ns: int) -> EvidenceFrame:
    names, n = BY_SIGNAL[signal], len(rows)
    values = np.array([[v.get(f, np.nan) for f in names] for v in rows.values()], np.float64)
    known = np.isfinite(values)
    return EvidenceFrame(
        environment="prod",
        signal=signal.value,
        partition=0,
        window_ns=window_ns,
        width_ns=WIDTH_S * SECOND,
        services=tuple(k[0] for k in rows),
        peers=tuple(k[1] for k in rows) if signal is Signal.EDGES else (),
        versions=("",) * n,
        attributes=("",) * n,
        features=names,
        values=values,
        counts=np.full(n, 100, np.int64),
        score=np.where(known & (values > 0.3) & (values < 1.0), 8.0, 0.0),
        low=np.full_like(values, np.nan),
        high=np.full_like(values, np.nan),
        p_value=np.ones(n),
        state=(ServiceState.HEALTHY,) * n,
        notes=(),
        presence=np.full(n, Presence.OBSERVED, np.int8),
    )


class Shop:
    """`web` (spans) calls `pay` (metrics alone), which begins to fail, and is well again later."""

    def __init__(self) -> None:
        self.engine, self.now_ns = DiagnosisEngine("prod", DiagnoseSettings()), START
        self.told: list[Incident] = []

    def go_on(self, seconds: int, failing: float = 0.0) -> None:
        for _ in range(seconds // WIDTH_S):
            served = {"latency_p50": 0.1, "latency_p95": 0.15, "latency_p99": 0.2}
            web: Rows = {("web", ""): {"request_rate": 20.0, "error_rate": failing} | served}
            of_pay = {f"metric_{k}": v for k, v in served.items()}
            pay: Rows = {("pay", ""): {"metric_request_rate": 20.0, "metric_error_rate": failing} | of_pay}
            call = {"call_rate": 20.0, "call_error_rate": failing, "call_latency_p95": 0.12}
            for signal, rows in (
                (Signal.SPANS, web),
                (Signal.METRICS, pay),
                (Signal.EDGES, {("web", "external:pay"): call}),
            ):
                self.engine.evidence(frame(signal, rows, self.now_ns), self.now_ns)
            self.now_ns += WIDTH_S * SECOND
            self.told += [x for x in self.engine.tick(self.now_ns) if isinstance(x, Incident)]

    def anomaly(self, service: str, feature: str, onset_ns: int) -> None:
        part = Contribution(signal="spans", feature=feature, value=0.4, low=0.0, high=0.1, decades=8.0, share=1.0)
        self.engine.anomaly(
            Anomaly(
                id=f"an-{service}",
                environment="prod",
                service=service,
                phase=AnomalyPhase.OPENED,
                state=ServiceState.ANOMALOUS,
                onset_ns=onset_ns,
                time_ns=self.now_ns,
                p_value=1e-8,
                decades=8.0,
                contributions=(part,),
                detector="test",
                model_version="1",
                text=f"{service} fails",
            ),
            self.now_ns,
        )


def failing_after(calm_s: int) -> Shop:
    shop = Shop()
    shop.go_on(calm_s)
    onset_ns = shop.now_ns
    shop.go_on(15, failing=0.4)
    shop.anomaly("web", "error_rate", onset_ns)
    shop.anomaly("pay", "metric_error_rate", onset_ns)
    shop.go_on(10, failing=0.4)
    return shop


@pytest.mark.parametrize("calm_s", [300, 3000])
def test_whom_callers_alone_tell_of_is_called_by_them_however_long_ago_that_was_learnt(calm_s: int) -> None:
    shop = failing_after(calm_s)
    assert len({i.id for i in shop.told}) == 1
    leader = shop.told[-1].candidates[0]
    assert (leader.service, [p.service for p in leader.path]) == ("pay", ["web", "pay"])
    assert leader.probability > 0.9
    assert "no callee accounts" not in next(c for c in shop.told[-1].candidates if c.service == "web").ruled_out


def test_what_is_mended_by_its_metrics_is_felt_no_more() -> None:
    shop = failing_after(300)
    assert shop.told[-1].felt is Severity.CRITICAL
    shop.go_on(30)
    assert shop.told[-1].felt is Severity.INFO
