"""Rows that have not come, are missing or stale say nothing of a service; rows that say it was quiet do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts.events import Anomaly
from contracts.features import BY_SIGNAL, QUEUE_LAG, Signal
from contracts.frames import EvidenceFrame, Presence
from contracts.units import SECOND as S
from contracts.verdicts import AnomalyPhase, CauseKind, ServiceState
from graph.diagnosis.assess import assess
from graph.diagnosis.case import Case
from graph.evidence.silence import silence
from graph.grouping import Group
from graph.ranking import rank
from graph.world import World

T0 = 1_780_000_000 * S
ONSET, END = 60, 75
RATE = 10


def frame(signal: Signal, window: int, rows: dict[tuple[str, str], list[float]], presence: Presence) -> EvidenceFrame:
    shape = (len(rows), len(BY_SIGNAL[signal]))
    values = np.array(list(rows.values())).reshape(shape)
    names, peers = zip(*rows, strict=True)
    return EvidenceFrame(
        environment="shop", signal=signal, partition=0, window_ns=T0 + window * S, width_ns=S, services=names,
        peers=peers if signal is Signal.EDGES else (), versions=("",) * len(rows), attributes=("",) * len(rows),
        features=BY_SIGNAL[signal], values=values, counts=np.nan_to_num(values[:, 0]).astype(np.int64), score=np.zeros(shape),
        low=np.zeros(shape), high=np.ones(shape), p_value=np.ones(len(rows)), state=("healthy",) * len(rows), notes=(),
        presence=np.full(len(rows), presence, np.int8),
    )  # fmt: skip


def seen(how: str, end: int = END) -> World:
    """The gateway has failed half of its requests since the onset. `how`: what has come of the user service since then."""
    world, nothing = World("shop"), [np.nan] * 4
    for t in range(end):
        ill = t >= ONSET
        gateway = [RATE, 0.5 if ill else 0.0, 0.05, 0.08, 0.09]
        world.take(frame(Signal.SPANS, t, {("gateway", ""): gateway}, Presence.OBSERVED))
        late = 30 if how == "late" else 0
        if not ill or how in {"late", "serves"}:
            if t >= late:
                served = {("user", ""): [RATE, 0.0, 0.01, 0.02, 0.02]}
                world.take(frame(Signal.SPANS, t - late, served, Presence.OBSERVED))
                calls = {("gateway", "user"): [RATE, 0.0, 0.02, 0.001]}
                world.take(frame(Signal.EDGES, t - late, calls, Presence.OBSERVED))
        elif how == "missing":
            world.take(frame(Signal.SPANS, t, {("user", ""): [np.nan, *nothing]}, Presence.MISSING))
            world.take(frame(Signal.EDGES, t, {("gateway", "user"): nothing}, Presence.MISSING))
        elif how == "quiet":
            world.take(frame(Signal.SPANS, t, {("user", ""): [0.0, *nothing]}, Presence.QUIET))
            world.take(frame(Signal.EDGES, t, {("gateway", "user"): [0.0, *nothing[1:]]}, Presence.QUIET))
    return world


@pytest.mark.parametrize("how", ["late", "missing", "nothing"])
def test_what_has_not_come_is_no_silence(how: str):
    situation = seen(how).situation(["gateway", "user"], T0 + ONSET * S)
    assert [f for f in silence(situation) if f.service == "user"] == []
    suspects = {s.service: s for s in rank(situation)}
    assert suspects["user"].score < 0.1
    assert suspects["gateway"].probability > 0.8


def test_who_says_that_nothing_came_is_silent():
    situation = seen("quiet").situation(["gateway", "user"], T0 + ONSET * S)
    found = [f for f in silence(situation) if f.service == "user"]
    assert [f.kind for f in found] == [CauseKind.CRASH]
    assert rank(situation)[0].service == "user"


@pytest.mark.parametrize(("how", "waits"), [("late", True), ("missing", True), ("nothing", True), ("quiet", False)])
def test_a_caller_is_not_settled_on_before_its_callees_are_known(how: str, waits: bool):
    """In the seconds after a callee fell silent its caller alone shows something."""
    world = seen(how, END - 9)
    group = Group("inc-1", T0 + ONSET * S, "gateway")
    group.add(anomaly("gateway"))
    found = assess(world, group, T0 + ONSET * S, 0)
    assert found is not None
    case = Case(group)
    case.follow(found.leader, T0 + ONSET * S)
    assert found.leader.service == ("user" if how == "quiet" else "gateway")
    assert case.settled(found, 1.5) is not waits
    later = assess(seen(how), group, T0 + ONSET * S, 0)
    assert later is not None
    assert case.settled(later, 1.5) is (how != "late"), "nobody is waited for for ever, but calls that still come are"


@pytest.mark.parametrize(
    ("kind", "callee", "waits"),
    [
        (CauseKind.ERRORS, "quiet", True),
        (CauseKind.LATENCY, "quiet", True),
        (CauseKind.CRASH, "quiet", False),
        (CauseKind.HANG, "quiet", False),
        (CauseKind.ERRORS, "serves", False),
    ],
)
def test_a_caller_is_not_settled_on_while_calls_to_a_callee_that_hushed_may_still_be_out(
    kind: CauseKind, callee: str, waits: bool
):
    """They are seen once the caller gives up. Who doesn't answer itself waits for nobody, and a callee that serves has answered."""
    group = Group("inc-1", T0 + ONSET * S, "gateway")
    group.add(anomaly("gateway"))
    case = Case(group)

    def settled(end: int) -> bool:
        found = assess(seen(callee, end), group, T0 + ONSET * S, 0)
        assert found is not None
        blamed = next(s for s in found.suspects if s.service == "gateway")
        found = replace(found, suspects=(replace(blamed, kind=kind, probability=1.0),), calls_until_ns=T0 + end * S)
        return case.settled(found, 1.5)

    assert settled(ONSET + 6) is not waits
    assert settled(ONSET + 14), "nobody gives up that late: what is not known by then is not waited for"


def behind(late: int, end: int) -> World:
    """The user service, whose telemetry comes so many seconds late, fails since the onset, and so does the gateway, which calls it."""
    world = World("shop")
    for t in range(end):
        served = [RATE, 0.5 if t >= ONSET else 0.0, 0.05, 0.08, 0.09]
        world.take(frame(Signal.SPANS, t, {("gateway", ""): served}, Presence.OBSERVED))
        other = {("gateway", "cart"): [RATE, 0.0, 0.02, 0.001]}
        world.take(frame(Signal.EDGES, t, other, Presence.OBSERVED))
        if (then := t - late) >= 0:
            failing = 0.5 if then >= ONSET else 0.0
            world.take(frame(Signal.SPANS, then, {("user", ""): [RATE, failing, 0.01, 0.02, 0.02]}, Presence.OBSERVED))
            calls = {("gateway", "user"): [RATE, failing, 0.02, 0.001]}
            world.take(frame(Signal.EDGES, then, calls, Presence.OBSERVED))
    return world


@pytest.mark.parametrize("late", [6, 14, 25])
def test_who_usually_is_late_is_waited_for_and_its_calls_are_not_missed(late: int):
    group = Group("inc-1", T0 + ONSET * S, "gateway")
    group.add(anomaly("gateway"))
    for end in range(ONSET + 3, ONSET + late + 8):
        found = assess(behind(late, end), group, T0 + ONSET * S, 0)
        assert found is not None
        case = Case(group)
        case.follow(found.leader, T0 + ONSET * S)
        lost = [x for s in found.suspects for x in s.findings if x.channel in {"pattern", "silence"}]
        assert not lost, f"calls that have not come yet are missed after {end - ONSET} s"
        if case.settled(found, 1.5):
            assert found.leader.service == "user", f"settled on its caller after {end - ONSET} s"
    assert case.settled(found, 1.5)


@pytest.mark.parametrize(("failing", "at_once"), [(0.8, False), (0.0, True)])
def test_a_caller_is_beyond_doubt_only_while_nobody_whom_it_calls_shows_anything(failing: float, at_once: bool):
    """The first failed calls between two services may come a window after the failures of both."""
    world = World("shop")
    for t in range(ONSET + 3):
        ill = t >= ONSET
        rows = {
            ("gateway", ""): [RATE, 0.5 if ill else 0.0, 0.05, 0.08, 0.09],
            ("user", ""): [RATE, failing if ill else 0.0, 0.01, 0.02, 0.02],
        }
        world.take(frame(Signal.SPANS, t, rows, Presence.OBSERVED))
        world.take(frame(Signal.EDGES, t, {("gateway", "user"): [RATE, 0.0, 0.02, 0.001]}, Presence.OBSERVED))
    group = Group("inc-1", T0 + ONSET * S, "gateway")
    group.add(anomaly("gateway"))
    found = assess(world, group, T0 + ONSET * S, 0)
    assert found is not None
    blamed = next(s for s in found.suspects if s.service == "gateway")
    found = replace(found, suspects=(replace(blamed, probability=0.99),))
    case = Case(group)
    case.follow(found.leader, T0 + (ONSET + 2) * S)
    assert case.settled(found, 1.5) is at_once
    assert case.settled(found, 0.5)


@pytest.mark.parametrize(
    ("held_s", "later", "amid", "shows"),
    [
        pytest.param(100, 0.5, {"gateway"}, False, id="as the other incident made it"),
        pytest.param(100, 0.9, {"gateway"}, True, id="more than that one made of it"),
        pytest.param(100, 0.5, set(), True, id="no other incident is about it"),
        pytest.param(10, 0.5, {"gateway"}, True, id="the other one has just begun"),
    ],
)
def test_what_another_incident_made_of_a_service_long_ago_is_no_sign_of_a_new_one(held_s, later, amid, shows: bool):
    world, new = World("shop"), ONSET + held_s
    for t in range(new + 5):
        if t == ONSET + 2:
            world.freeze(["gateway"], T0 + ONSET * S)
        failing = later if t >= new else 0.5 if t >= ONSET else 0.0
        served = [RATE, failing, 0.05, 0.08, 0.09]
        world.take(frame(Signal.SPANS, t, {("gateway", ""): served}, Presence.OBSERVED))
    situation = world.situation(["gateway"], T0 + new * S, amid=amid)
    assert (rank(situation)[0].score > 0.5) is shows


def anomaly(service: str) -> Anomaly:
    at = T0 + (ONSET + 2) * S
    return Anomaly(
        id="a", environment="shop", service=service, phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS,
        onset_ns=T0 + ONSET * S, time_ns=at, p_value=1e-9, decades=9.0, contributions=(), detector="x", model_version="1", text="",
    )  # fmt: skip


def entry(requests: list[int], failed: float, presence: Presence = Presence.OBSERVED, *, writes: bool = True) -> World:
    """A gateway that nobody is seen calling: what it is asked for, by window since the onset, and the share of that which fails. `writes`:
    whether it logs each request."""
    world = World("shop")
    for t in range(ONSET + len(requests)):
        n = 200 if t < ONSET else requests[t - ONSET]
        row = [n, failed if t >= ONSET else 0.0, 0.05, 0.08, 0.09] if n else [0.0, *[np.nan] * 4]
        frames = Presence.OBSERVED if n else presence
        world.take(frame(Signal.SPANS, t, {("gateway", ""): row}, frames))
        if writes:
            world.take(frame(Signal.LOGS, t, {("gateway", ""): [n, 0.0 if n else np.nan, 0.0]}, frames))
    return world


def opens(world: World, service: str = "gateway") -> bool:
    group = Group("inc-1", T0 + ONSET * S, service)
    group.add(anomaly(service))
    found = assess(world, group, T0 + ONSET * S, 0)
    assert found is not None
    return found.opens


@pytest.mark.parametrize(
    ("requests", "failed", "is_one"),
    [
        pytest.param([0] * 6, 0.0, True, id="nobody comes any more"),
        pytest.param([0] * 2, 0.0, False, id="nobody came for two seconds: telemetry may be lost"),
        pytest.param([70] * 6, 0.0, True, id="most do not come any more"),
        pytest.param([20] * 12 + [190] * 4, 0.0, False, id="most did not come for a while"),
        pytest.param([150] * 12, 0.0, False, id="fewer come"),
        pytest.param([200] * 12, 0.015, True, id="three in two hundred fail, for long enough"),
        pytest.param([200] * 2, 0.005, False, id="two fail"),
    ],
)
def test_what_users_feel_is_an_incident_whoever_is_to_blame(requests: list[int], failed: float, is_one: bool):
    assert opens(entry(requests, failed, Presence.QUIET)) is is_one


@pytest.mark.parametrize(("left", "windows", "is_one"), [(0, 12, True), (0, 6, False), (20, 30, False)])
def test_where_nothing_else_tells_of_fewer_requests_a_sampler_may_leave_them_out(left: int, windows: int, is_one: bool):
    assert opens(entry([left] * windows, 0.0, Presence.QUIET, writes=False)) is is_one


def test_missing_rows_are_no_lack_of_users():
    assert not opens(entry([0] * 12, 0.0, Presence.MISSING))


def worker(consumed: int, lag_each: float) -> World:
    """A service that consumes what a gateway leaves for it: since the onset so many messages per second, while `lag_each` more wait each second.
    Its callers wait for none of them."""
    world = World("shop")
    for t in range(END):
        ill = t >= ONSET
        done = consumed if ill else RATE
        told = {("gateway", ""): [RATE, 0.0, 0.05, 0.08, 0.09], ("worker", ""): [done, 0.0, 0.01, 0.02, 0.02]}
        world.take(frame(Signal.SPANS, t, told, Presence.OBSERVED))
        left = {("gateway", "worker"): [RATE, 0.0, np.nan, np.nan]}  # its publishing spans name whom they are for
        world.take(frame(Signal.EDGES, t, left, Presence.OBSERVED))
        readings = [np.nan] * len(BY_SIGNAL[Signal.METRICS])
        readings[BY_SIGNAL[Signal.METRICS].index(QUEUE_LAG)] = 2.0 + t % 3 + lag_each * max(t - ONSET + 1, 0)
        world.take(frame(Signal.METRICS, t, {("worker", ""): readings}, Presence.OBSERVED))
    return world


@pytest.mark.parametrize(
    ("consumed", "lag_each", "is_one"),
    [
        pytest.param(1, RATE - 1, True, id="hardly any is consumed, and they pile up"),
        pytest.param(4, RATE - 4, True, id="fewer are consumed, and they pile up"),
        pytest.param(1, 0.0, False, id="fewer are told of, and none waits: a sampler may have begun"),
        pytest.param(RATE, 5.0, False, id="as many as ever are consumed: more were left at once"),
    ],
)
def test_messages_that_pile_up_unconsumed_are_an_incident_though_nobody_waits_for_them(consumed, lag_each, is_one):
    world = worker(consumed, lag_each)
    assert opens(world, "worker") is is_one
    if is_one:
        leader = rank(world.situation(["gateway", "worker"], T0 + ONSET * S))[0]
        assert (leader.service, leader.kind) == ("worker", CauseKind.HANG)
