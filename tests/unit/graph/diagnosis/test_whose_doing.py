"""Whose doing it is: a queue behind slow callees, calls that fail on the way, one failed request, demand that leaves room, an outage of users."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from contracts.events import Change
from contracts.features import (
    CALL_ERROR_RATE,
    CALL_LATENCY_P95,
    CALL_RATE,
    CPU,
    ERROR_RATE,
    IN_FLIGHT,
    LATENCY_P50,
    LATENCY_P95,
    NETWORK_GAP,
    QUEUE_LAG,
    REQUEST_RATE,
)
from contracts.mix import Blame, Mix
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.explained import calls_in, latency_shares
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.judgement import WAITING_MOST
from graph.ranking import Suspect, rank

ONSET = 1_780_000_000 * S


def level(feature: str, before: float, after: float) -> Shift:
    """A change beyond doubt, seen in ten windows and known from sixty."""
    return Shift(feature, before, after, 20.0 if after > before else -20.0, 15.0, 10.0, 60.0)


def ratio(feature: str, after: float, trials: float = 200.0) -> Shift:
    return Shift(feature, 0.0, after, 40 * after, 20.0 if after else 0.0, trials, 1200.0)


def node(name: str, *shifts: Shift, rate: float = 20.0) -> Node:
    asked = Shift(REQUEST_RATE, 20.0, rate, (rate - 20.0) / 4, abs(rate - 20.0), 10.0, 60.0)
    return Node(name, shifts={REQUEST_RATE: asked, **{s.feature: s for s in shifts}}, known_ns=ONSET + 9 * S)


def call(caller: str, callee: str, *shifts: Shift, each: float = 1.0) -> Edge:
    made = {"expected": 200 * each, "usual": 200 * each, "observed": 200 * each, "attempted": 200 * each}
    told = {s.feature: s for s in shifts}
    return Edge(caller, callee, told, each, each, **made, known_ns=ONSET + 9 * S)


def situation(*nodes: Node, calls: tuple[Edge, ...] = (), changes: tuple[Change, ...] = ()) -> Situation:
    edges = {(e.caller, e.callee): e for e in calls}
    return Situation("shop", ONSET, ONSET + 10 * S, {n.name: n for n in nodes}, edges, changes)


def ranked(*nodes: Node, calls: tuple[Edge, ...] = (), changes: tuple[Change, ...] = ()) -> dict[str, Suspect]:
    return {s.service: s for s in rank(situation(*nodes, calls=calls, changes=changes))}


def change(kind: str, before: str = "", after: str = "", actor: str = "", service: str = "cart") -> Change:
    return Change(
        environment="shop",
        service=service,
        kind=kind,
        time_ns=ONSET - 5 * S,
        actor=actor,
        before=before,
        after=after,
        text=f"{kind} of {service}",
    )


# --- queues


def test_a_queue_is_its_callees_doing_where_they_fail_it():
    worker = node("worker", level(QUEUE_LAG, 0.0, 500.0), level(LATENCY_P95, 0.1, 3.0), ratio(ERROR_RATE, 0.6))
    stock = node("stock", level(LATENCY_P95, 0.05, 2.95), ratio(ERROR_RATE, 0.6))
    failed = call("worker", "stock", level(CALL_LATENCY_P95, 0.05, 2.95), ratio(CALL_ERROR_RATE, 0.6))
    found = ranked(worker, stock, calls=(failed,))
    assert next(iter(found)) == "stock"
    assert found["stock"].probability > 5 * found["worker"].probability
    assert any(x.channel == "waiting" and x.explained_by == "stock" for x in found["worker"].findings)


def test_a_queue_says_only_so_much():
    (found,) = rank(situation(node("worker", Shift(QUEUE_LAG, 0.0, 500.0, 1e11, 20.0, 10.0, 60.0))))
    assert max(x.strength for x in found.findings if x.channel == "waiting") == WAITING_MOST


# --- refused, or given up

CALLED = level(CALL_RATE, 20.0, 20.1)


@pytest.mark.parametrize(
    ("waits", "kind"),
    [
        pytest.param((0.05, 0.001), CauseKind.CRASH, id="refused at once"),
        pytest.param((0.05, 1.0), CauseKind.HANG, id="given up"),
    ],
)
def test_who_serves_nothing_while_its_callers_fail_is_down_though_they_count_their_calls(waits, kind: CauseKind):
    """Client spans that name their peer count calls that nobody ever answered."""
    gateway = node("gateway", ratio(ERROR_RATE, 0.5), level(LATENCY_P95, 0.1, 0.5))
    failing = call("gateway", "cart", CALLED, ratio(CALL_ERROR_RATE, 1.0), level(CALL_LATENCY_P95, *waits))
    bystander = node("stock", level(CPU, 0.2, 0.5), rate=60.0)
    asked_more = call("gateway", "stock", level(CALL_RATE, 20.0, 60.0))
    found = ranked(gateway, node("cart", rate=0.0), bystander, calls=(failing, asked_more))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("cart", kind)
    assert leader.probability > 0.9
    assert any(x.explained_by == "cart" for x in found["gateway"].findings if x.channel == "errors")


def test_who_tells_that_it_serves_what_fails_is_not_down():
    """It answers every call, with a failure."""
    gateway = node("gateway", ratio(ERROR_RATE, 0.5))
    failing = call("gateway", "cart", CALLED, ratio(CALL_ERROR_RATE, 1.0))
    found = ranked(gateway, node("cart", ratio(ERROR_RATE, 1.0)), calls=(failing,))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("cart", CauseKind.ERRORS)


# --- what it does by itself


def chatty(*more: Shift, each: float = 4.0) -> tuple[Edge, ...]:
    """Each request of the cart makes so many calls of the stock, where it made one."""
    often = call("cart", "stock", level(CALL_RATE, 20.0, 20.0 * each), *more)
    return call("gateway", "cart"), replace(often, per_request_after=each, observed=200 * each, attempted=200 * each)


def slowed() -> tuple[Node, ...]:
    return (
        node("gateway", level(LATENCY_P95, 0.1, 0.4)),
        node("cart", level(LATENCY_P95, 0.05, 0.35)),
        node("stock", rate=80.0),
    )


def test_who_makes_many_more_calls_for_each_request_was_changed_and_is_not_merely_slow():
    leader = next(iter(ranked(*slowed(), calls=chatty()).values()))
    assert (leader.service, leader.kind) == ("cart", CauseKind.BAD_RELEASE)
    assert any("4 instead of 1 calls of stock" in x.text for x in leader.findings)


@pytest.mark.parametrize(
    ("more", "cold"),
    [((), True), ((ratio(CALL_ERROR_RATE, 0.3),), False)],
    ids=["nothing fails", "calls fail, and are made again"],
)
def test_who_asks_its_store_more_for_each_request_has_a_cold_cache(more: tuple[Shift, ...], cold: bool):
    often = call("cart", "db:postgresql/carts", level(CALL_RATE, 20.0, 80.0), *more)
    often = replace(often, per_request_after=4.0, observed=800.0, attempted=800.0)
    store = Node("db:postgresql/carts", "database", own=False)
    found = ranked(*slowed()[:2], store, calls=(call("gateway", "cart"), often))["cart"]
    assert ("cold_cache" in [x.channel for x in found.findings]) is cold
    assert found.kind is not CauseKind.BAD_RELEASE
    both = ranked(*slowed(), store, calls=(*chatty(), often))["cart"]
    assert "cold_cache" not in [x.channel for x in both.findings], (
        "it asks others more as well: what it does has changed"
    )


def test_who_is_asked_for_much_more_may_be_asked_for_something_else():
    surged = (
        node("gateway", rate=100.0),
        node("cart", level(LATENCY_P95, 0.05, 0.35), rate=100.0),
        node("stock", rate=400.0),
    )
    found = ranked(*surged, calls=chatty())
    assert not [x for x in found["cart"].findings if x.channel == "calls"]
    assert found["cart"].kind is not CauseKind.BAD_RELEASE


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(chatty(ratio(CALL_ERROR_RATE, 0.6)), id="they fail and are made again"),
        pytest.param(chatty(each=1.4), id="hardly more"),
        pytest.param((chatty()[0], replace(chatty()[1], expected=800.0)), id="its routes need them"),
        pytest.param((chatty()[0], replace(chatty()[1], in_part=True)), id="a sampler may have begun"),
    ],
)
def test_more_calls_are_no_change_of_what_it_does_where(calls: tuple[Edge, ...]):
    found = ranked(*slowed(), calls=calls)
    assert not any(x.channel == "calls" for s in found.values() for x in s.findings)


@pytest.mark.parametrize(
    ("depot", "changed"), [(40.0, False), (800.0, True)], ids=["instead of others", "besides others"]
)
def test_who_calls_one_more_and_another_less_by_as_much_is_asked_for_something_else(depot: float, changed: bool):
    often, other = chatty()[1], call("cart", "depot")
    seldom = replace(
        other, per_request_before=4.0, per_request_after=depot / 200, expected=800.0, observed=depot, attempted=depot
    )
    found = ranked(*slowed(), node("depot"), calls=(chatty()[0], often, seldom))
    assert any(x.channel == "calls" for x in found["cart"].findings) is changed


def test_more_calls_of_a_store_alone_may_be_a_cold_cache():
    often = replace(chatty()[1], callee="db:postgresql/stock")
    store = Node("db:postgresql/stock", kind="database", own=False)
    found = ranked(*slowed()[:2], store, calls=(chatty()[0], often))
    assert not any(x.channel == "calls" for s in found.values() for x in s.findings)


# --- demand


@pytest.mark.parametrize(("took", "saturated"), [(0.005, False), (0.1, True)])
def test_more_requests_saturate_nobody_whom_they_keep_busy_for_a_part_of_the_time(took: float, saturated: bool):
    """How long they take by now says nothing: whoever is slow has many in flight."""
    slow = level(LATENCY_P50, took, 2.0), level(LATENCY_P95, 1.1 * took, 5.0)
    asked = node("cart", *slow, level(CPU, 0.5, 0.9), rate=60.0)
    found = ranked(node("gateway"), asked, calls=(call("gateway", "cart"),))
    assert any(x.channel == "demand" for x in found["cart"].findings) is saturated


# --- on the way


def test_calls_that_fail_though_their_callee_serves_well_are_lost_on_the_way():
    gateway = node("gateway", ratio(ERROR_RATE, 0.4))
    refused = call("gateway", "cart", ratio(CALL_ERROR_RATE, 1.0))
    found = ranked(gateway, node("cart"), node("user"), calls=(refused, call("gateway", "user")))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("cart", CauseKind.NETWORK)
    assert leader.findings[0].peer == "gateway"


def test_where_all_calls_of_a_service_are_lost_on_the_way_it_is_at_its_end():
    failing = tuple(call("cart", c, ratio(CALL_ERROR_RATE, 1.0)) for c in ("user", "stock"))
    well = tuple(call("orders", c) for c in ("user", "stock"))
    nodes = [node("cart", ratio(ERROR_RATE, 1.0)), node("orders"), node("user"), node("stock")]
    leader = next(iter(ranked(*nodes, calls=(*failing, *well)).values()))
    assert (leader.service, leader.kind) == ("cart", CauseKind.NETWORK)


@pytest.mark.parametrize(
    "callee",
    [
        pytest.param(node("cart", ratio(ERROR_RATE, 1.0)), id="it tells of them"),
        pytest.param(node("cart", level(LATENCY_P95, 0.1, 3.0)), id="it is slow: who gives up sees failures that it never knows of"),
        pytest.param(Node("cart", own=False), id="it has no telemetry"),
        pytest.param(Node("cart", shifts=node("cart").shifts, known_ns=ONSET), id="it was not heard of since"),
    ],
)  # fmt: skip
def test_failures_are_not_lost_on_the_way_where(callee: Node):
    gateway = node("gateway", ratio(ERROR_RATE, 0.4))
    found = ranked(gateway, callee, calls=(call("gateway", "cart", ratio(CALL_ERROR_RATE, 1.0)),))
    assert all(s.kind is not CauseKind.NETWORK for s in found.values())


def test_who_gives_up_waiting_did_not_wait_for_a_callee_that_takes_a_fraction_of_that():
    """Calls time out on the way and are tried again: the callee and who it calls are asked for more, and are a little slower for it."""
    gateway = node("gateway", ratio(ERROR_RATE, 0.6), level(LATENCY_P95, 0.1, 2.1))
    cut = call("gateway", "cart", ratio(CALL_ERROR_RATE, 1.0), level(CALL_LATENCY_P95, 0.02, 0.5), each=0.5)
    retried = node("cart", level(LATENCY_P95, 0.02, 0.03), level(CPU, 0.3, 0.55), rate=40.0)
    behind = node("stock", level(LATENCY_P95, 0.01, 0.018), level(CPU, 0.4, 0.75), rate=40.0)
    passed_on = call("cart", "stock", level(CALL_LATENCY_P95, 0.01, 0.018))
    found = ranked(gateway, retried, behind, calls=(cut, passed_on))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("cart", CauseKind.HANG), "all of its callers wait in vain"
    assert leader.probability > 0.9
    (slow,) = (x for x in found["stock"].findings if x.channel == "latency")
    assert "users hardly feel" in slow.text


@pytest.mark.parametrize(("lost", "kind"), [(0.03, CauseKind.NETWORK), (0.3, CauseKind.HANG)])
def test_few_calls_that_time_out_are_lost_on_the_way_and_by_no_instance_that_hangs(lost: float, kind: CauseKind):
    """An instance that hangs takes its share of the calls: two of a hundred are none's, and all of them would be restarted for it."""
    gateway = node("gateway", ratio(ERROR_RATE, lost, 1000.0), level(LATENCY_P95, 0.2, 0.3))
    waits = call("gateway", "cart", ratio(CALL_ERROR_RATE, lost, 1000.0), level(CALL_LATENCY_P95, 0.12, 0.19))
    for blamed in (math.nan, 1.0):
        leader = next(iter(ranked(gateway, node("cart"), calls=(replace(waits, blamed=blamed),)).values()))
        assert (leader.service, leader.kind) == ("cart", kind)


def unanswered(caller: str, callee: str, *shifts: Shift, answered: float) -> Edge:
    return replace(call(caller, callee, *shifts), observed=answered)


def test_calls_that_wait_for_a_callee_that_is_quick_to_others_were_not_answered_by_some_of_its_instances():
    """What hangs is in no statistics of the callee's: its other requests are as quick as ever."""
    gateway = node("gateway", level(LATENCY_P95, 0.2, 4.2))
    hung = unanswered("gateway", "cart", level(CALL_LATENCY_P95, 0.2, 10.0), answered=160.0)
    quick = level(LATENCY_P95, 0.2, 0.2)
    (leader, *_) = rank(situation(gateway, node("cart", quick), calls=(hung,)))
    assert (leader.service, leader.kind) == ("cart", CauseKind.HANG)
    assert leader.probability < 0.75, "their way may lose them as well"
    (leader, *_) = rank(situation(gateway, node("cart", quick, level(IN_FLIGHT, 4.0, 60.0)), calls=(hung,)))
    assert (leader.service, leader.kind) == ("cart", CauseKind.HANG)
    assert leader.probability > 0.9
    assert "40 of 200 calls were not answered" in leader.findings[0].text


def test_calls_to_processes_that_have_just_begun_are_not_missed_yet():
    """What new processes answered is told of once their exporters have begun."""

    def missed(after_s: int, *changes: Change) -> bool:
        lost = unanswered("gateway", "cart", answered=60.0)
        whole = situation(node("gateway"), node("cart"), calls=(lost,), changes=changes)
        found = rank(replace(whole, now_ns=ONSET + after_s * S))
        return any("140 of 200 calls were not answered" in x.text for s in found for x in s.findings)

    def began(before_s: int, kind: str = "deploy", service: str = "cart") -> Change:
        return Change(environment="shop", service=service, kind=kind, time_ns=ONSET - before_s * S)

    assert missed(3)
    assert not missed(3, began(6))
    assert not missed(3, began(-1, "restart"))
    assert missed(12, began(6)), "they have had time to tell"
    assert missed(3, began(60))
    assert missed(3, began(6, "config"))
    assert missed(3, began(6, service="gateway"))


def test_who_tells_of_the_failures_that_took_so_long_is_not_at_a_loss_for_the_wait():
    """The slowest calls are those that failed, and the callee says so: no time is lost on the way."""
    gateway = node("gateway", level(LATENCY_P95, 0.1, 0.4), ratio(ERROR_RATE, 0.1))
    failing = call("gateway", "cart", ratio(CALL_ERROR_RATE, 0.1), level(CALL_LATENCY_P95, 0.03, 0.13))
    cart = node("cart", ratio(ERROR_RATE, 0.1), level(LATENCY_P95, 0.03, 0.031))
    assert ranked(gateway, cart, calls=(failing,))["cart"].kind is CauseKind.ERRORS


def test_calls_that_fail_and_are_made_again_make_their_caller_slow_though_nothing_of_it_fails():
    gateway = node("gateway", level(LATENCY_P95, 0.07, 0.37))
    failing = call("gateway", "cart", ratio(CALL_ERROR_RATE, 0.3), each=0.4)
    cart = node("cart", ratio(ERROR_RATE, 0.3))
    assert next(iter(ranked(gateway, cart, calls=(failing,)))) == "cart"


def test_what_fails_all_callers_and_tells_of_nothing_has_crashed_instances():
    """One caller sees failures, the other no answers: both calls go to the instance that is gone."""
    nodes = [node("users", ratio(ERROR_RATE, 0.3)), node("search", ratio(ERROR_RATE, 0.1)), node("auth"), node("stock")]
    calls = [call("users", "auth", ratio(CALL_ERROR_RATE, 0.3)), unanswered("search", "auth", answered=140.0)]
    calls += [call(n, "stock") for n in ("users", "search")]
    (leader, *_) = rank(situation(*nodes, calls=tuple(calls)))
    assert (leader.service, leader.kind) == ("auth", CauseKind.CRASH)


def test_a_few_calls_on_their_way_are_not_unanswered():
    assert unanswered("a", "b", answered=192.0).unanswered == 0.0
    assert unanswered("a", "b", answered=185.0).unanswered == 15.0


@pytest.mark.parametrize(
    ("gap", "kind"),
    [
        pytest.param(0.3, CauseKind.NETWORK, id="time is lost between the two"),
        pytest.param(0.001, CauseKind.LATENCY, id="its own spans of these calls are slow, among many that are not"),
    ],
)
def test_one_caller_waits_for_a_callee_that_is_quick_on_the_whole(gap: float, kind: CauseKind):
    gateway = node("gateway", level(LATENCY_P95, 0.1, 0.5))
    waits = call("gateway", "cart", level(CALL_LATENCY_P95, 0.05, 0.45), level(NETWORK_GAP, 0.001, gap))
    (leader, *_) = rank(situation(gateway, node("cart", level(LATENCY_P95, 0.05, 0.051)), calls=(waits,)))
    assert (leader.service, leader.kind) == ("cart", kind)


# --- how much is enough


def test_one_request_that_fails_is_no_failing_service():
    one, many = (ranked(node("cart", ratio(ERROR_RATE, 1.0, n)))["cart"].score for n in (1.0, 30.0))
    assert one < 0.5 * many


def test_who_is_busy_and_serves_as_before_is_innocent_of_what_users_feel():
    """The gateway's calls are refused and made again; whom the callee calls has more to do, and answers as quickly as ever."""
    gateway = node("gateway", level(LATENCY_P95, 0.3, 0.5), ratio(ERROR_RATE, 0.02))
    refused = call("gateway", "cart", ratio(CALL_ERROR_RATE, 0.3), each=1.5)
    busy = node("orders", level(CPU, 0.44, 0.68), level(LATENCY_P95, 0.093, 0.1), rate=30.0)
    calls = (refused, call("cart", "orders", level(CALL_LATENCY_P95, 0.093, 0.1)))
    found = ranked(gateway, node("cart", level(LATENCY_P95, 0.15, 0.151)), busy, calls=calls)
    assert next(iter(found)) == "cart"
    assert found["orders"].probability < 0.1


# --- explaining away


def test_a_callee_that_is_slow_to_answer_explains_failures_of_calls_that_timed_out():
    """Nothing fails at the callee itself; all that fails is those who did not wait for it."""
    gateway = node("gateway", ratio(ERROR_RATE, 0.2))
    orders = node("orders", ratio(ERROR_RATE, 0.5), level(LATENCY_P95, 0.1, 0.9))
    slow = node("shipping", level(LATENCY_P95, 0.02, 1.7))
    timed_out = call("orders", "shipping", ratio(CALL_ERROR_RATE, 0.5), level(CALL_LATENCY_P95, 0.02, 0.46))
    calls = (call("gateway", "orders", ratio(CALL_ERROR_RATE, 0.5), each=0.4), timed_out)
    found = ranked(gateway, orders, slow, calls=calls)
    assert next(iter(found)) == "shipping"
    assert found["shipping"].kind is CauseKind.LATENCY


def test_a_callee_of_few_requests_makes_all_of_the_slowest_slow():
    gateway = node("gateway", level(LATENCY_P95, 0.1, 3.0))
    at = situation(gateway, node("cart"), calls=(call("gateway", "cart", level(CALL_LATENCY_P95, 0.1, 3.0), each=0.1),))
    assert latency_shares(at, gateway, gateway.shifts[LATENCY_P95], {})["cart"] == pytest.approx(1.0)
    assert calls_in(LATENCY_P50, 0.1) == calls_in(CALL_LATENCY_P95, 0.1) == 0.1
    assert calls_in(LATENCY_P95, 0.02) == pytest.approx(0.2)
    assert calls_in(LATENCY_P95, 3.0) == 3.0


def test_who_waits_for_a_callee_that_fails_is_slow_because_of_it():
    """Five calls a second that take 0.4 s more hold its workers: the seconds of the calls alone would explain a tenth."""
    auth = node("auth", level(LATENCY_P50, 0.2, 6.0), ratio(ERROR_RATE, 0.3))
    failing = (ratio(CALL_ERROR_RATE, 1.0), level(CALL_LATENCY_P95, 0.1, 0.5))
    pay = Node("external:pay", kind="external", own=False)
    found = ranked(auth, pay, calls=(call("auth", "external:pay", *failing, each=0.3),))
    assert next(iter(found)) == "external:pay"
    assert found["external:pay"].probability > 5 * found["auth"].probability


@pytest.mark.parametrize(
    ("risen", "p50", "each"),
    [(6.6, 0.596, 0.13), (8.3, 0.625, 0.2), (8.6, 0.622, 0.18), (3.5, 0.35, 0.33), (1.0, 0.327, 1.0)],
)
def test_in_another_mix_a_caller_is_slow_because_of_the_callee_that_is(risen: float, p50: float, each: float):
    """A crawler asks for a slow route: the quantiles of all requests together rise by far more seconds than the callee's calls take."""
    gateway = replace(node("gateway", level(LATENCY_P50, 0.0275, p50), rate=60.0), mix=Mix(Blame.SERVICE, risen))
    catalog = node("catalog", level(LATENCY_P50, 0.008, 0.26), level(LATENCY_P95, 0.012, 0.4))
    slow = call("gateway", "catalog", level(CALL_LATENCY_P95, 0.014, 0.42), each=each)
    found = ranked(gateway, catalog, node("reco"), calls=(slow, call("gateway", "reco", each=each)))
    assert next(iter(found)) == "catalog"
    assert found["catalog"].probability > 3 * found["gateway"].probability


@pytest.mark.parametrize("risen", [1.0, 3.0, 8.0])
def test_in_another_mix_who_is_slow_by_itself_is_found_beside_a_callee_that_hardly_is(risen: float):
    gateway = replace(node("gateway", level(LATENCY_P50, 0.0275, 1.5), rate=60.0), mix=Mix(Blame.SERVICE, risen))
    catalog = node("catalog", Shift(LATENCY_P50, 0.008, 0.0085, 0.8, 2.0, 10.0, 60.0))
    found = ranked(gateway, catalog, calls=(call("gateway", "catalog", each=0.2),))
    assert next(iter(found)) == "gateway"


# --- demand and capacity


@pytest.mark.parametrize(
    ("rate", "cpu", "kind"),
    [
        (
            30.0,
            (0.2, 0.9),
            CauseKind.LATENCY,
        ),  # half as much again would take 30 %: each request takes three times as much
        (30.0, (0.6, 0.9), CauseKind.SATURATION),  # all of it by demand
        (80.0, (0.1, 0.4), CauseKind.SATURATION),  # so much more may exhaust something else
    ],
)
def test_demand_that_leaves_room_saturates_nobody(rate: float, cpu: tuple[float, float], kind: CauseKind):
    found = ranked(node("cart", level(LATENCY_P95, 0.1, 3.0), level(CPU, *cpu), rate=rate))
    assert found["cart"].kind is kind


@pytest.mark.parametrize(("counts", "kind"), [(("4", "1"), CauseKind.SATURATION), (("1", "4"), CauseKind.LATENCY)])
def test_instances_that_were_taken_away_are_missing(counts: tuple[str, str], kind: CauseKind):
    found = ranked(node("cart", level(LATENCY_P95, 0.1, 3.0)), changes=(change("scale", *counts, actor="ada"),))
    assert found["cart"].kind is kind


def test_an_entry_whose_instances_were_killed_is_silent_beyond_doubt():
    quiet = Node("gateway", shifts={REQUEST_RATE: level(REQUEST_RATE, 50.0, 0.0)})
    killed = change("oom", actor="kubelet", service="gateway")
    doubted, sure = (
        max(x.strength for x in ranked(quiet, changes=changes)["gateway"].findings if x.channel == "silence")
        for changes in ((), (killed,))
    )
    assert sure == pytest.approx(2 * doubted)


# --- severity
