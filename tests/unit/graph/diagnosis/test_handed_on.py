"""Requests that failed with a call of theirs: what spans tell of that counts more than rates of calls and failures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from contracts.features import (
    ASIDE,
    BLAMED,
    BY_SIGNAL,
    CALL_ERROR_RATE,
    CALL_LATENCY_P95,
    ERROR_RATE,
    LOG_ERROR_RATE,
    LOG_RATE,
    Signal,
)
from contracts.frames import EvidenceFrame
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.world.world import World
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio


@pytest.mark.parametrize(
    ("blamed", "leader"),
    [pytest.param(1.0, "pay", id="handed on"), pytest.param(0.0, "web", id="made again, and its own")],
)
def test_of_one_failing_call_among_many_spans_say_whether_it_was_the_reason(blamed: float, leader: str):
    """Each request makes a tenth of a call to pay: by rates those failures are a fraction of web's."""
    web = node("web", ratio(ERROR_RATE, 0.2))
    asked = replace(call("web", "pay", ratio(CALL_ERROR_RATE, 0.5), each=0.1), blamed=blamed)
    found = ranked(web, node("pay", ratio(ERROR_RATE, 0.5), rate=2.0), calls=(asked,))
    assert next(iter(found)) == leader


@pytest.mark.parametrize(
    ("waits", "kind"),
    [
        pytest.param(level(CALL_LATENCY_P95, 0.05, 0.5), CauseKind.HANG, id="waits in vain"),
        pytest.param(level(CALL_LATENCY_P95, 0.05, 0.05), CauseKind.NETWORK, id="not waited for"),
    ],
)
def test_who_tells_of_none_of_the_calls_with_which_requests_fail_is_still_asked_about(waits, kind: CauseKind):
    """One of three instances hangs: a few calls to it are missing, too few to tell, and its statistics are those of the others."""
    web = node("web", ratio(ERROR_RATE, 0.3), level(LOG_RATE, 20.0, 26.0), ratio(LOG_ERROR_RATE, 0.25))
    asked = replace(call("web", "email", waits), blamed=0.9)
    other = replace(call("web", "cart"), blamed=0.05)
    found = ranked(web, node("email"), node("cart"), calls=(asked, other))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("email", kind)
    assert "90 % of the requests of web that fail do so in calls to email" in leader.findings[0].text
    assert found["web"].probability < 0.1


def test_where_spans_tell_nothing_rates_do():
    web = node("web", ratio(ERROR_RATE, 0.3))
    asked = call("web", "pay", ratio(CALL_ERROR_RATE, 0.3))
    assert math.isnan(asked.blamed)
    found = ranked(web, node("pay", ratio(ERROR_RATE, 0.3)), calls=(asked,))
    assert next(iter(found)) == "pay"


def frame(signal: Signal, window: int, row: dict[str, float], counts: int, aside: np.ndarray) -> EvidenceFrame:
    edges = signal is Signal.EDGES
    features = BY_SIGNAL[signal]
    values = np.array([[row.get(name, np.nan) for name in features]])
    return EvidenceFrame(
        environment="shop",
        signal=signal.value,
        partition=0,
        window_ns=window * S,
        width_ns=S,
        services=("web",),
        peers=("pay",) if edges else (),
        features=features,
        values=values,
        counts=np.array([counts]),
        score=np.zeros_like(values),
        low=np.full_like(values, np.nan),
        high=np.full_like(values, np.nan),
        versions=("",),
        attributes=("",),
        p_value=np.ones(1),
        state=("healthy",),
        notes=("",),
        aside=aside,
    )


@pytest.mark.parametrize("usual", [0, 1])
@pytest.mark.parametrize("late", [0, 3])
def test_what_was_usual_is_no_news_and_failures_of_which_calls_are_not_known_yet_do_not_count(usual: int, late: int):
    """Ten requests a second; from second 60 on five more of them fail, four of these with a call. Calls come `late` seconds later."""
    world, columns = World("shop"), ASIDE[Signal.EDGES]
    for second in range(70):
        failed, blamed = (usual, usual) if second < 60 else (usual + 5, usual + 4)
        spans = {"request_rate": 10.0, ERROR_RATE: failed / 10}
        world.take(frame(Signal.SPANS, second, spans, 10, np.zeros((1, 3))))
        if second < 70 - late:
            told = np.array([[{"asked": 10.0, BLAMED: float(blamed)}.get(name, 0.0) for name in columns]])
            calls = {"call_rate": 10.0, CALL_ERROR_RATE: blamed / 10}
            world.take(frame(Signal.EDGES, second, calls, 10, told))
    edge = world.situation(["web", "pay"], 60 * S).edges["web", "pay"]
    assert edge.blamed == pytest.approx(4 / 5, rel=0.05)
