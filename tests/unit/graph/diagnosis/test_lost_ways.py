"""Calls that are never answered: the way to a service is lost where it answers others, an instance of it where all miss a part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import (
    CALL_ERROR_RATE,
    CALL_LATENCY_P95,
    ERROR_RATE,
    IN_FLIGHT,
    LATENCY_P95,
    NETWORK_GAP,
    Signal,
)
from contracts.frames import Presence
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.diagnosis.assess import assess
from graph.evidence.situation import Edge, Shift
from graph.evidence.ways import by_chance, how_sure, split_by_chance
from graph.grouping import Group
from graph.ranking import rank
from graph.world import World
from tests.unit.graph.diagnosis.test_absence import END, ONSET, RATE, T0, anomaly, frame
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio, situation


def made(caller: str, calls: float, answered: float) -> Edge:
    """So many calls to pay."""
    failed = 1.0 - answered / calls
    told = (ratio(CALL_ERROR_RATE, failed, calls),) if failed else ()
    asked = {"attempted": calls, "observed": answered, "expected": calls, "usual": calls}
    return replace(call(caller, "pay", *told), **asked)


CASES = {
    "one of two callers reaches it not at all": (((200.0, 0.0), (200.0, 200.0)), CauseKind.NETWORK),
    "others call less": (((200.0, 0.0), (12.0, 12.0)), CauseKind.NETWORK),
    "a few pass": (((200.0, 6.0), (100.0, 100.0)), CauseKind.NETWORK),
    "it is gone for both": (((200.0, 0.0), (200.0, 0.0)), CauseKind.CRASH),
    "one of its instances is gone for both": (((200.0, 110.0), (200.0, 100.0)), CauseKind.CRASH),
    "as few as tell": (((5.0, 0.0), (4.0, 4.0)), CauseKind.NETWORK),
    "too few to tell": (((4.0, 0.0), (2.0, 2.0)), CauseKind.CRASH),
    "hardly anybody else calls": (((200.0, 0.0), (8.0, 8.0)), CauseKind.CRASH),
}


@pytest.mark.parametrize(("calls", "kind"), CASES.values(), ids=list(CASES))
def test_whether_the_way_or_the_service_is_lost(calls: tuple[tuple[float, float], ...], kind: CauseKind) -> None:
    callers = [
        node(name, ratio(ERROR_RATE, 1.0 - answered / asked))
        for name, (asked, answered) in zip(("web", "app"), calls, strict=True)
    ]
    edges = tuple(made(n.name, asked, answered) for n, (asked, answered) in zip(callers, calls, strict=True))
    fine = tuple(call(n.name, other) for n in callers for other in ("stock", "cart"))
    pay = node("pay", rate=20.0 * sum(e.observed for e in edges) / sum(e.attempted for e in edges))
    found = ranked(*callers, pay, node("stock"), node("cart"), calls=(*edges, *fine))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("pay", kind)


@pytest.mark.parametrize(("others", "kind"), [(4.0, CauseKind.NETWORK), (0.0, CauseKind.HANG)])
def test_who_alone_waits_in_vain_has_lost_its_way(others: float, kind: CauseKind) -> None:
    """Where nobody tells that it is answered, the service may hang."""
    web = node("web", ratio(ERROR_RATE, 1.0, 5.0), level(LATENCY_P95, 0.02, 0.5))
    lost = made("web", 5.0, 0.0)
    lost = replace(lost, shifts={**lost.shifts, CALL_LATENCY_P95: level(CALL_LATENCY_P95, 0.003, 0.5)}, blamed=1.0)
    fine = (call("web", "stock"), call("web", "cart"), *((made("app", others, others),) if others else ()))
    nodes = (web, node("app"), node("pay", rate=2.0 + others), node("stock"), node("cart"))
    leader = next(iter(ranked(*nodes, calls=(lost, *fine)).values()))
    assert (leader.service, leader.kind) == ("pay", kind)


@pytest.mark.parametrize(
    ("told", "fails", "end", "kind"),
    [
        (200.0, 0.0, "pay", CauseKind.NETWORK),  # as many as ever are answered
        (200.0, 1.0, "pay", CauseKind.HANG),  # nobody is
        (200.0, 0.5, "pay", CauseKind.HANG),  # each in part: one of its instances
        (0.0, 0.0, "pay", CauseKind.HANG),  # nobody else tells
    ],
)
def test_calls_that_fail_after_they_were_waited_for_are_lost_where_others_are_answered(
    told: float, fails: float, end: str, kind: CauseKind
) -> None:
    """A caller that counts what it gave up knows of no call without an answer: all of them failed."""
    waited = ratio(CALL_ERROR_RATE, 1.0), level(CALL_LATENCY_P95, 0.007, 0.5)
    asked = {"attempted": 200.0, "observed": 200.0, "expected": 200.0, "usual": 200.0}
    lost = replace(call("web", "pay", *waited), **asked)
    theirs = waited if fails == 1.0 else (ratio(CALL_ERROR_RATE, fails), *waited[1:]) if fails else ()
    others = replace(call("app", "pay", *theirs), **dict.fromkeys(asked, told))
    web = node("web", ratio(ERROR_RATE, 1.0), level(LATENCY_P95, 0.05, 0.55))
    app = node("app", ratio(ERROR_RATE, fails), level(LATENCY_P95, 0.05, 0.55)) if fails else node("app")
    calls = (lost, *((others,) if told else ()), call("web", "stock"), call("web", "cart"))
    leader = next(iter(ranked(web, app, node("pay", rate=20.0), node("stock"), node("cart"), calls=calls).values()))
    assert (leader.service, leader.kind) == (end, kind)


def test_who_reaches_nobody_has_lost_its_own_way() -> None:
    web, app = node("web", ratio(ERROR_RATE, 1.0)), node("app")
    found = ranked(web, app, node("pay", rate=10.0), calls=(made("web", 200.0, 0.0), made("app", 200.0, 200.0)))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("web", CauseKind.NETWORK)


@pytest.mark.parametrize(("fails", "kind"), [(0.04, CauseKind.NETWORK), (0.0, CauseKind.LATENCY)])
def test_calls_that_fail_unknown_to_the_callee_are_lost_on_the_way_though_others_wait(
    fails: float, kind: CauseKind
) -> None:
    """Who gives up on a slow callee is told by it to be slow. A link that loses packets makes some calls wait for them, and loses others."""
    waits = level(CALL_LATENCY_P95, 0.04, 4.0), level(NETWORK_GAP, 0.002, 0.003), ratio(CALL_ERROR_RATE, fails)
    calls = (call("web", "pay", *waits), call("app", "pay"), call("web", "stock"), call("web", "cart"))
    web = node("web", ratio(ERROR_RATE, fails), level(LATENCY_P95, 0.05, 4.1))
    pay = node("pay", Shift(LATENCY_P95, 0.03, 0.031, 0.5, 0.3, 10.0, 60.0))
    found = rank(situation(web, node("app"), pay, node("stock"), node("cart"), calls=calls))
    (told,) = [x for x in next(s for s in found if s.service == "pay").findings if x.channel == "network"]
    assert told.kind is kind
    assert "pay is as quick as before to others" in told.text, "it says most"


@pytest.mark.parametrize(("answered", "kind"), [(True, CauseKind.NETWORK), (False, CauseKind.HANG)])
def test_whoever_else_calls_a_suspect_is_asked_though_nothing_is_wrong_with_it(answered: bool, kind: CauseKind) -> None:
    """`app` is no part of the incident: that it is answered as ever tells whose fault it is that `web` is not."""
    world = World("shop")
    for t in range(END):
        ill = t >= ONSET
        took = 0.5 if ill else 0.01
        spans = {("web", ""): [RATE, float(ill), took + 0.01, took + 0.03, took + 0.04]}
        calls = {("web", "pay"): [RATE, float(ill), took, 0.001]}
        calls |= {("web", other): [RATE, 0.0, 0.01, 0.001] for other in ("stock", "cart")}
        if answered or not ill:
            spans |= {("app", ""): [RATE, 0.0, 0.02, 0.04, 0.05]}
            calls |= {("app", "pay"): [RATE, 0.0, 0.01, 0.001]}
        spans |= {("pay", ""): [RATE if ill else 2 * RATE, 0.0, 0.005, 0.008, 0.009]}
        world.take(frame(Signal.SPANS, t, spans, Presence.OBSERVED))
        world.take(frame(Signal.EDGES, t, calls, Presence.OBSERVED))
    group = Group("inc-1", T0 + ONSET * S, "web")
    group.add(anomaly("web"))
    found = assess(world, group, T0 + ONSET * S, 0)
    assert found is not None
    assert (found.leader.service, found.leader.kind) == ("pay", kind)


def waited(calls: float, *shifts: Shift) -> Edge:
    """Calls of which one took as long as a time-out, and no span tells that it arrived."""
    told = Shift(CALL_LATENCY_P95, 0.042, 1.0, 30.0, 8.0, 1.0, 60.0)
    asked = {"attempted": calls, "observed": calls, "expected": calls, "usual": calls}
    return replace(call("web", "pay", told, *shifts), **asked)


@pytest.mark.parametrize("others", [0.0, 3.0, 200.0])
def test_one_call_that_was_given_up_is_no_slow_way(others: float) -> None:
    """Of a service that is asked now and then, by few, that is as well an instance that hangs."""
    lost = waited(1.0)
    edges = (lost, *((made("app", others, others),) if others else ()))
    nodes = node("web", ratio(ERROR_RATE, 0.2, 5.0)), node("app"), node("pay", rate=(1.0 + others) / 10)
    pay = ranked(*nodes, calls=edges)["pay"]
    assert pay.kind is CauseKind.HANG or pay.probability < 0.75
    assert pay.probability < 0.9


SPLITS = {
    "each of few lost, hardly others' asked": ((3.0, 3.0), (4.0, 0.0), False),
    "a few of few": ((10.0, 3.0), (10.0, 0.0), False),
    "a part of many": ((50.0, 12.0), (60.0, 0.0), True),
    "each of few, of others as many": ((5.0, 5.0), (5.0, 0.0), True),
    "of both, of one more": ((40.0, 14.0), (40.0, 8.0), False),
}


@pytest.mark.parametrize(("own", "others", "proven"), SPLITS.values(), ids=list(SPLITS))
def test_whose_calls_are_lost_may_be_chance(
    own: tuple[float, float], others: tuple[float, float], proven: bool
) -> None:
    edges = [made(n, calls, calls - lost) for n, (calls, lost) in (("web", own), ("app", others))]
    seen = situation(node("web"), node("app"), node("pay"), calls=tuple(edges))
    assert by_chance(seen, "pay", edges[:1]) is not proven
    assert (how_sure(seen, "pay", edges[:1], way=True) > 0.9) is proven


def test_the_chance_of_a_split_is_exact() -> None:
    """Of five and four calls the five are lost: one way of 126."""
    assert split_by_chance([made("web", 5.0, 0.0)], [made("app", 4.0, 4.0)]) == pytest.approx(1 / 126)
    assert split_by_chance([made("web", 2.0, 0.0)], [made("app", 2.0, 1.0)]) == pytest.approx(1 / 2)
    assert split_by_chance([made("web", 5.0, 0.0)], []) == 1.0
    assert split_by_chance([made("web", 5.0, 5.0)], [made("app", 4.0, 4.0)]) == 1.0


@pytest.mark.parametrize(
    ("own", "others", "kind", "acts"),
    [
        ((60.0, 30.0), (60.0, 60.0), CauseKind.NETWORK, True),
        ((8.0, 4.0), (4.0, 4.0), CauseKind.HANG, False),  # half of one's few calls, and by chance none of others'
        ((8.0, 4.0), (0.0, 0.0), CauseKind.HANG, False),  # nobody else can tell
    ],
)
def test_a_part_of_calls_that_are_waited_for_in_vain_is_an_instances_unless_others_tell(
    own: tuple[float, float], others: tuple[float, float], kind: CauseKind, acts: bool
) -> None:
    share = 1.0 - own[1] / own[0]
    told = ratio(CALL_ERROR_RATE, share, own[0]), level(CALL_LATENCY_P95, 0.007, 1.0)
    asked = {"attempted": own[0], "observed": own[0], "expected": own[0], "usual": own[0]}
    lost = replace(call("web", "pay", *told), **asked)
    web = node("web", ratio(ERROR_RATE, share, own[0]), level(LATENCY_P95, 0.05, 1.05))
    edges = (lost, call("web", "cart"), *((made("app", *others),) if others[0] else ()))
    nodes = (web, node("app"), node("cart"), node("pay", rate=(own[1] + others[1]) / 10))
    found = ranked(*nodes, calls=edges)
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("pay", kind)
    assert (leader.probability > 0.75) is acts


@pytest.mark.parametrize("took", [0.012, 0.02])
def test_others_that_are_answered_a_little_late_tell_that_a_way_is_lost(took: float) -> None:
    lost = replace(made("web", 9.0, 0.0), blamed=1.0)
    late = replace(made("app", 4.0, 4.0), shifts={CALL_LATENCY_P95: level(CALL_LATENCY_P95, 0.011, took)})
    web = node("web", ratio(ERROR_RATE, 1.0, 9.0), level(LATENCY_P95, 0.03, 0.53))
    calls = (lost, late, call("web", "stock"), call("web", "cart"))
    found = ranked(web, node("app"), node("pay", rate=2.0), node("stock"), node("cart"), calls=calls)
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("pay", CauseKind.NETWORK)
    assert leader.probability > 0.75


def test_before_others_have_called_again_it_is_not_sure_that_a_service_is_gone() -> None:
    web = node("web", ratio(ERROR_RATE, 1.0, 5.0), level(LATENCY_P95, 0.03, 0.53))
    nodes = web, node("app"), node("pay", rate=10.0), node("stock")
    lost = made("web", 5.0, 0.0)
    seldom = replace(made("app", 1.0, 1.0), attempted=0.0, observed=0.0, expected=0.0, usual=0.7)
    alone, beside = (ranked(*nodes, calls=(lost, call("web", "stock"), *more))["pay"] for more in ((), (seldom,)))
    assert alone.kind is beside.kind is not CauseKind.NETWORK
    assert beside.probability < 0.9 < alone.probability


@pytest.mark.parametrize(
    ("serves", "kind"),
    [
        pytest.param(19.0, CauseKind.NETWORK, id="as much as before, whoever asks: others who are not seen do"),
        pytest.param(1.0, CauseKind.CRASH, id="hardly anything: it does not answer"),
    ],
)
def test_a_callee_with_one_caller_whose_own_count_misses_no_calls_is_well(serves: float, kind: CauseKind) -> None:
    lost = replace(call("users", "pricing"), observed=0.0, attempted=200.0)
    users = node("users", ratio(ERROR_RATE, 0.8), level(LATENCY_P95, 0.2, 2.2))
    found = ranked(users, node("pricing", rate=serves), calls=(lost,))
    leader = next(iter(found.values()))
    assert leader.service == "pricing"
    assert leader.kind is kind


@pytest.mark.parametrize(
    ("more", "kind", "acts"),
    [
        pytest.param((), CauseKind.HANG, False, id="nothing tells whether they came"),
        pytest.param((level(IN_FLIGHT, 1.0, 1.1),), CauseKind.NETWORK, True, id="they are not in it"),
        pytest.param((level(IN_FLIGHT, 1.0, 30.0),), CauseKind.HANG, True, id="it took them, and does not end them"),
    ],
)
def test_what_the_only_caller_misses_is_in_the_callee_or_lost_on_the_way(
    more: tuple[Shift, ...], kind: CauseKind, acts: bool
) -> None:
    """A lossy link to a service of several instances was taken for one of these that hangs, and the service restarted."""
    told = ratio(CALL_ERROR_RATE, 0.35), level(CALL_LATENCY_P95, 0.007, 1.0)
    lost = replace(call("web", "users", *told), blamed=1.0)
    web = node("web", ratio(ERROR_RATE, 0.35), level(LATENCY_P95, 0.07, 0.8))
    users = node("users", level(LATENCY_P95, 0.03, 0.03), *more, rate=13.0)
    found = ranked(web, users, node("cart"), calls=(lost, call("web", "cart")))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("users", kind)
    assert (leader.probability > 0.75) is acts
