"""Calls that are known later than their caller's failures: the callee is blamed for what the caller did until then, and waited for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.events import Anomaly, Contribution
from contracts.features import ERROR_RATE, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.units import SECOND as S
from contracts.verdicts import AnomalyPhase, ServiceState
from graph.diagnosis.assess import assess
from graph.diagnosis.case import Case
from graph.grouping import Group
from graph.world import World
from tests.unit.graph.diagnosis.test_absence import frame

T0 = 1_780_000_000 * S
SLIGHT, FAILS = 60, 66
"""Something slight is unusual from the first second on; requests fail from the second."""
LATE = 4


def edges(window: int, callee: str, failed: float) -> EvidenceFrame:
    row = [10.0, failed / 10.0, 0.02, 0.001]
    made = frame(Signal.EDGES, window, {("lark", callee): row}, Presence.OBSERVED)
    return replace(made, aside=np.array([[10.0, np.nan, np.nan, failed]]))


def world(until: int) -> World:
    """Lark's spans and violet's come at once, juniper's and the calls of it four seconds later."""
    found = World("shop")
    for t in range(until):
        share = 0.4 if t >= FAILS else 0.0
        at_once = {("lark", ""): [10.0, share, 0.05, 0.08, 0.09], ("violet", ""): [10.0, 0.0, 0.01, 0.02, 0.02]}
        found.take(frame(Signal.SPANS, t, at_once, Presence.OBSERVED))
        found.take(edges(t, "violet", 0.0))
        past = t - LATE
        if past >= 0:
            theirs = 0.4 if past >= FAILS else 0.0
            served = {("juniper", ""): [10.0, theirs, 0.01, 0.02, 0.02]}
            found.take(frame(Signal.SPANS, past, served, Presence.OBSERVED))
            found.take(edges(past, "juniper", 4.0 if past >= FAILS else 0.0))
    return found


def anomaly() -> Anomaly:
    told = Contribution(
        signal="spans", feature=ERROR_RATE, value=0.4, low=0.0, high=0.05, decades=9.0, share=1.0, window_s=2.0
    )
    return Anomaly(
        id="a", environment="shop", service="lark", phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS,
        onset_ns=T0 + SLIGHT * S, time_ns=T0 + (FAILS + 2) * S, p_value=1e-9, decades=9.0, contributions=(told,), detector="t",
        model_version="1", text="",
    )  # fmt: skip


def looked_at(until: int) -> tuple[str, bool]:
    """Who leads after so many seconds, and whether that is fit to act on."""
    event = anomaly()
    group = Group("inc", event.onset_ns, "lark", {event.id: event})
    seen = assess(world(until), group, event.onset_ns, 0)
    assert seen is not None
    case = Case(group)
    case.follow(seen.leader, seen.situation.now_ns - 3 * S)
    return seen.leader.service, case.settled(seen, 2.0)


def test_nobody_is_blamed_before_its_callees_are_known_since_its_failures() -> None:
    """They are known since the onset all the while."""
    for until in range(FAILS + 3, FAILS + LATE + 2):
        assert looked_at(until) in {("lark", False), ("juniper", True), ("juniper", False)}, until


@pytest.mark.parametrize("since_s", [3, 5, 8])
def test_who_fails_in_calls_that_come_late_is_not_to_blame(since_s: int) -> None:
    """Of ten seconds of failures the calls of a few are known: in all of those the callee failed."""
    assert looked_at(FAILS + LATE + since_s) == ("juniper", True)
