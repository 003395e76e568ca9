"""Since when to look: what quick means date better than slow ones, and anomalies that come before the evidence they were found in."""

from __future__ import annotations

from collections import deque

import pytest
from msgspec.structs import replace

from contracts.events import Anomaly, Contribution
from contracts.frames import EvidenceFrame
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND as S
from contracts.verdicts import AnomalyPhase, ServiceState
from graph.diagnosis import DiagnosisEngine
from graph.diagnosis.assess import diagnosis_onset
from graph.grouping import Group
from tests.unit.graph.diagnosis import shop
from tests.unit.graph.diagnosis.scenarios import feed, incidents
from tests.unit.graph.diagnosis.shop import ONSET, Fault


def anomaly(name: str, onset_s: float, window_s: float, decades: float = 8.0) -> Anomaly:
    part = Contribution(
        signal="spans", feature="error_rate", value=0.5, low=0.0, high=0.1, decades=8.0, share=1.0, window_s=window_s
    )
    return Anomaly(
        id=name, environment="shop", service=name, phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS,
        onset_ns=int(onset_s * S), time_ns=int((onset_s + window_s) * S), p_value=1e-8, decades=decades, contributions=(part,),
        detector="bank", model_version="1", text="fails",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "onset_s"),
    [
        pytest.param([("web", 70, 30)], 70, id="a slow one alone"),
        pytest.param([("web", 70, 30), ("cart", 95, 3)], 95, id="a quick one within its window dates it"),
        pytest.param([("web", 70, 30), ("cart", 110, 3)], 70, id="what began after its window is something else"),
        pytest.param([("web", 95, 3), ("cart", 97, 2)], 95, id="two quick ones: the first"),
        pytest.param([("web", 90, 0), ("cart", 95, 0)], 90, id="single windows: the first"),
    ],
)
def test_the_onset_is_dated_by_who_dates_best(told: list[tuple[str, float, float]], onset_s: float) -> None:
    group = Group("inc", int(told[0][1] * S), "web")
    for name, since_s, window_s in told:
        group.add(anomaly(name, since_s, window_s))
    assert diagnosis_onset(group) == onset_s * S


def test_a_weak_quick_one_dates_nothing() -> None:
    group = Group("inc", 70 * S, "web")
    group.add(anomaly("web", 70, 30, decades=30.0))
    group.add(anomaly("cart", 95, 3, decades=2.0))
    assert diagnosis_onset(group) == 70 * S


@pytest.mark.parametrize("behind_s", [0, 10])
def test_nothing_is_said_of_an_onset_that_evidence_has_not_reached(behind_s: int) -> None:
    """A worker that is behind reads few anomalies at once and much evidence late: that an operation of a caller is slow would be all it knows."""
    engine, held, said = DiagnosisEngine("shop", DiagnoseSettings()), deque[EvidenceFrame](), []
    slow = replace(anomaly("frontend", ONSET / S + 1, 3), operation="GET /buy")
    for now_ns, events in shop.play({"pricing": Fault(slow=0.2)}, faulty_s=12 + behind_s):
        held.extend(x for x in events if isinstance(x, EvidenceFrame))
        due = [held.popleft() for _ in range(len(held)) if held[0].window_ns + (behind_s + 1) * S <= now_ns]
        news = [slow] if now_ns == ONSET + 4 * S else []
        feed(engine, [*due, *news, *(x for x in events if not isinstance(x, EvidenceFrame))], now_ns)
        said += [(now_ns, x) for x in engine.tick(now_ns)]
    found = incidents(said)
    assert found
    assert all(i.time_ns >= i.onset_ns for i in found), "an incident of what nothing is known of"
