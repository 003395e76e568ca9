"""One full sample of every event and frame; the golden files hold their bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from contracts import events as e
from contracts import frames as f
from contracts.verdicts import (
    AnomalyPhase,
    Autonomy,
    CauseKind,
    DecisionVerdict,
    HeldReason,
    IncidentPhase,
    Outcome,
    RunState,
    ServiceState,
    Severity,
)

T = 1_700_000_000_000_000_000

CHANGE = e.Change(
    environment="prod",
    service="shop/cart",
    kind="deploy",
    time_ns=T,
    actor="ci",
    before="1.0",
    after="1.1",
    text="rolled out",
)
CANDIDATE = e.Candidate(
    service="shop/cart",
    kind=CauseKind.BAD_RELEASE,
    probability=0.9,
    evidence=(e.Evidence(channel="latency", weight=2.5, text="p95 latency 1.8 s, expected 0.04-0.09 s"),),
    path=(e.PathStep(service="web", symptom="slow", edge="calls"), e.PathStep(service="shop/cart", symptom="slow")),
)
OPTION = e.Option(
    playbook="roll-back-bad-release",
    playbook_version="1.0.0",
    target="shop/cart",
    tier=2,
    score=0.61,
    success_probability=0.8,
    terms=(e.Term(name="value", value=0.8, text="P(success) x value"),),
    why="best score",
)
EVENTS: dict[str, e.Event] = {
    "DeadLetter": e.DeadLetter(
        source_topic="otlp_spans",
        source_partition=1,
        source_offset=7,
        reason="truncated",
        detail="at byte 3",
        payload=b"\x0a\xff\x00",
        key=b"k",
        time_ns=T,
    ),
    "Change": CHANGE,
    "Anomaly": e.Anomaly(
        id="prod/shop/cart/1700000000",
        environment="prod",
        service="shop/cart",
        phase=AnomalyPhase.OPENED,
        state=ServiceState.ANOMALOUS,
        onset_ns=T,
        time_ns=T + 1,
        p_value=1e-6,
        decades=6.0,
        contributions=(
            e.Contribution(
                signal="spans", feature="latency_p95", value=1.8, low=0.04, high=0.09, decades=6.0, share=1.0
            ),
        ),
        detector="fused",
        model_version="1",
        text="p95 latency 1.8 s",
    ),
    "Incident": e.Incident(
        id="prod/1700000000/shop-cart",
        environment="prod",
        phase=IncidentPhase.OPENED,
        severity=Severity.CRITICAL,
        onset_ns=T,
        time_ns=T + 2,
        revision=1,
        anomalies=("prod/shop/cart/1700000000",),
        services=("web", "shop/cart"),
        candidates=(CANDIDATE,),
        blast_radius=("web",),
        confidence=0.9,
        settled=True,
        text="cart is slow since 1.1",
        changes=(CHANGE,),
    ),
    "Decision": e.Decision(
        id="d-1",
        incident="prod/1700000000/shop-cart",
        environment="prod",
        time_ns=T + 3,
        verdict=DecisionVerdict.ACT,
        autonomy=Autonomy.ACT,
        cause=CauseKind.BAD_RELEASE,
        cause_service="shop/cart",
        cause_probability=0.9,
        onset_ns=T,
        chosen=OPTION,
        options=(OPTION, e.Option(playbook="do-nothing", score=0.0, held=HeldReason.COOLDOWN, held_text="60 s left")),
        world_hash="ab" * 32,
        text="roll cart back",
    ),
    "Approval": e.Approval(decision="d-1", environment="prod", approve=True, by="ann", time_ns=T, comment="go"),
    "ActionRecord": e.ActionRecord(
        id="prod/1",
        type="io.homeostat.run.running",
        environment="prod",
        sequence=1,
        time_ns=T,
        run="r-1",
        decision="d-1",
        incident="prod/1700000000/shop-cart",
        playbook="roll-back-bad-release",
        playbook_version="1.0.0",
        target="shop/cart",
        state=RunState.RUNNING,
        actor="homeostat",
        text="begins",
        data={"replicas": 3, "force": False, "note": None},
        digest="cd" * 32,
    ),
    "Feedback": e.Feedback(
        run="r-1",
        decision="d-1",
        incident="prod/1700000000/shop-cart",
        environment="prod",
        playbook="roll-back-bad-release",
        cause=CauseKind.BAD_RELEASE,
        target="shop/cart",
        outcome=Outcome.BETTER,
        time_ns=T,
        measures=(
            e.Measure(
                service="shop/cart",
                feature="latency_p95",
                baseline=0.05,
                during=1.8,
                after=0.06,
                low=0.04,
                high=0.09,
                better=True,
            ),
        ),
        text="p95 latency back to 0.06 s",
    ),
    "Control": e.Control(scope="*", acting=False, autonomy=Autonomy.OBSERVE, by="ann", time_ns=T, reason="freeze"),
    "NodeStatus": e.NodeStatus(
        node="n-1", stage="worker", lifecycle="running", healthy=True, time_ns=T, partitions=(0, 1), software="0.1.0"
    ),
}

_ROWS: dict[str, Any] = {
    "environment": "prod",
    "signal": "spans",
    "partition": 2,
    "window_ns": T,
    "width_ns": 1_000_000_000,
    "services": ("shop/cart",),
    "peers": (),
    "versions": ("1.1",),
    "attributes": ('{"k8s.deployment.name":"cart"}',),
    "features": ("request_rate", "latency_p95"),
    "values": np.array([[12.0, np.nan]]),
    "counts": np.array([12], np.int64),
    "notes": (),
}
FRAMES: dict[str, Any] = {
    "FeatureFrame": f.FeatureFrame(revision=0, **_ROWS),
    "EvidenceFrame": f.EvidenceFrame(
        score=np.array([[0.0, 3.5]]),
        low=np.array([[5.0, 0.01]]),
        high=np.array([[20.0, 0.05]]),
        p_value=np.array([1e-4]),
        state=("anomalous",),
        **_ROWS,
    ),
    "SpanFrame": f.SpanFrame(
        environment="prod",
        source="otlp_spans/1",
        sequence=4,
        watermark_ns=T,
        services=("shop/cart",),
        service=np.array([0], np.int32),
        trace=np.array([1], np.uint64),
        span=np.array([2], np.uint64),
        parent=np.array([0], np.uint64),
        kind=np.array([2], np.int8),
        start_ns=np.array([T], np.int64),
        end_ns=np.array([T + 5], np.int64),
        error=np.array([True]),
    ),
    "PartialFrame": f.PartialFrame(
        environment="prod",
        signal="spans",
        source="otlp_spans/1",
        sequence=4,
        watermark_ns=T,
        services=("shop/cart",),
        versions=("1.1",),
        attributes=("",),
        template_text=(),
        **{
            **f.empty_columns(),
            "window_ns": np.array([T], np.int64),
            "service": np.array([0], np.int32),
            "count": np.array([3], np.int64),
        },
    ),
}
