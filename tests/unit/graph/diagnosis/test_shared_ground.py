"""Several services that are sick at once because of what they run on: the node is the cause, and none of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import Change
from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, ERROR_RATE, LATENCY_P95, REQUEST_RATE
from contracts.instance_parts import INSTANCE, Ailment, ComparedInstances
from contracts.nodes import NODE, ZONE, Ground
from contracts.parts import Fared, Part
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind, Severity
from graph.diagnosis.assess import Assessment
from graph.diagnosis.case import Case, incident_of
from graph.diagnosis.writes import incident_writes
from graph.evidence.situation import Edge, Node, Situation
from graph.grouping import Group
from graph.narrative import path_of, path_text, ruled_out
from graph.ranking import Suspect, rank
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, call, level, node, ratio, situation


def slow(name: str, after: float = 0.5) -> Node:
    return replace(node(name, level(LATENCY_P95, 0.1, after)), onset_ns=ONSET + S)


def on(found: Node, *nodes: str, zone: str = "") -> Node:
    return replace(found, grounds=tuple(Ground(n, zone) for n in nodes))


def apart(found: Node, sick: str, *well: str, zones: dict[str, str] | None = None) -> Node:
    """One instance on `sick` is slow, those on the other nodes are as before."""
    ill, *others = (
        Part({INSTANCE: f"{found.name}-{n}"}, {NODE: n, ZONE: (zones or {}).get(n, "")}) for n in (sick, *well)
    )
    told = ComparedInstances(1 + len(well), ((ill, Ailment.SLOW),), well=tuple(others))
    return replace(on(found, sick, *well), instances=told)


def web(*callees: str, after: float = 1.0) -> tuple[Node, tuple[Edge, ...]]:
    calls = tuple(call("web", n, level(CALL_LATENCY_P95, 0.1, 0.5), each=0.5) for n in callees)
    return on(slow("web", after), "n9"), calls


def leading(
    *nodes: Node, calls: tuple[Edge, ...] = (), changes: tuple[Change, ...] = ()
) -> tuple[Situation, list[Suspect]]:
    at = situation(*nodes, calls=calls, changes=changes)
    return at, rank(at, harmed=True)


def blamed(*nodes: Node, calls: tuple[Edge, ...] = (), changes: tuple[Change, ...] = ()) -> list[str]:
    """Nodes and zones that are candidates."""
    _, found = leading(*nodes, calls=calls, changes=changes)
    return [s.name for s in found if s.ground is not None]


def test_the_node_on_which_an_instance_of_each_of_two_is_sick_is_the_cause() -> None:
    front, calls = web("cart", "stock")
    cart, stock = apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n1", "n3")
    at, found = leading(front, cart, stock, calls=calls)
    leader = found[0]
    assert (leader.name, leader.kind, set(leader.services)) == ("n1", CauseKind.NODE, {"cart", "stock"})
    assert leader.service in leader.services
    assert leader.probability > 0.7
    assert "on n1 at once" in leader.findings[0].text
    assert path_text(path_of(at, leader)).endswith("→ node:n1 (troubles cart, stock)")
    assert ruled_out(at, next(s for s in found if s.name == "cart"), leader) == (
        "cart: its trouble is that of n1, on which it runs"
    )


def test_instances_that_are_sick_on_different_nodes_blame_none_of_them() -> None:
    front, calls = web("cart", "stock")
    assert blamed(front, apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n3", "n4"), calls=calls) == []


def test_one_service_alone_blames_no_node_unless_its_cluster_does() -> None:
    front, calls = web("cart")
    cart = apart(slow("cart"), "n1", "n2")
    assert blamed(front, cart, calls=calls) == []
    told = Change(
        environment="shop",
        service="cart",
        kind="node",
        time_ns=ONSET - S,
        subject="node/n1",
        text="node n1 is short of memory; 1 pod of cart there",
    )
    assert blamed(front, cart, calls=calls, changes=(told,)) == ["n1"]
    assert blamed(front, cart, calls=calls, changes=(replace_change(told, subject="node/n7"),)) == []
    assert blamed(front, cart, calls=calls, changes=(replace_change(told, after="well"),)) == []


def replace_change(found: Change, **told: str) -> Change:
    return Change(
        **{**{k: getattr(found, k) for k in ("environment", "service", "kind", "time_ns", "text", "subject")}, **told}
    )


def test_an_instance_that_is_well_on_the_same_node_clears_it() -> None:
    front, calls = web("cart", "stock")
    both = apart(slow("cart"), "n1", "n1")
    assert blamed(front, both, apart(slow("stock"), "n1", "n3"), calls=calls) == []


def test_single_instances_blame_a_node_that_only_they_share_while_others_are_well() -> None:
    front, calls = web("cart", "stock")
    elsewhere = on(node("pay", level(LATENCY_P95, 0.1, 0.1)), "n2")
    cart, stock = on(slow("cart"), "n1"), on(slow("stock"), "n1")
    nodes = (front, cart, stock, elsewhere)
    assert blamed(*nodes, calls=calls) == ["n1"]
    assert blamed(front, cart, stock, calls=calls) == [], "nobody is known to be well elsewhere"
    assert blamed(front, cart, on(slow("stock"), "n2"), elsewhere, calls=calls) == [], "they share nothing"
    late = replace(stock, onset_ns=ONSET + 30 * S)
    assert blamed(front, cart, late, elsewhere, calls=calls) == [], "they did not fall ill together"
    chain = (*calls, call("cart", "stock"))
    assert blamed(*nodes, calls=chain) == [], "one may suffer from the other"


def test_a_service_whose_trouble_its_callee_accounts_for_says_nothing_of_its_node() -> None:
    front, calls = web("cart", "stock")
    pay = on(slow("pay", 0.48), "n2")
    calls = (*calls, call("cart", "pay", level(CALL_LATENCY_P95, 0.05, 0.45)))
    elsewhere = on(node("mail", level(LATENCY_P95, 0.1, 0.1)), "n3")
    found = blamed(front, apart(slow("cart"), "n1", "n2"), on(slow("stock"), "n1"), pay, elsewhere, calls=calls)
    assert found == []


def test_more_demand_is_no_trouble_of_a_node() -> None:
    front, calls = web("cart", "stock")
    elsewhere = on(node("pay", level(LATENCY_P95, 0.1, 0.1)), "n2")
    asked = level(REQUEST_RATE, 20.0, 60.0)
    cart, stock = (
        replace(on(slow(n), "n1"), shifts={**slow(n).shifts, REQUEST_RATE: asked}) for n in ("cart", "stock")
    )
    assert blamed(front, cart, stock, elsewhere, calls=calls) == []


def test_who_runs_there_alone_and_is_well_speaks_for_the_node() -> None:
    front, calls = web("cart", "stock")
    sick = (apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n1", "n3"))
    _, plain = leading(front, *sick, calls=calls)
    well = [on(node(f"well-{i}", level(LATENCY_P95, 0.1, 0.1)), "n1") for i in range(3)]
    _, beside = leading(front, *sick, *well, calls=calls)
    assert beside[0].score < plain[0].score


@pytest.mark.parametrize("many", [1, 12])
def test_healthy_strangers_elsewhere_change_nothing(many: int) -> None:
    front, calls = web("cart", "stock")
    sick = (apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n1", "n3"))
    _, plain = leading(front, *sick, calls=calls)
    strangers = [on(node(f"other-{i}", level(LATENCY_P95, 0.1, 0.1)), f"m{i % 3}") for i in range(many)]
    _, beside = leading(front, *sick, *strangers, calls=calls)
    chances = {s.name: pytest.approx(s.probability, abs=1e-9) for s in plain}
    assert {s.name: s.probability for s in beside if s.name in chances} == chances


def test_a_zone_is_the_cause_where_several_of_its_nodes_are() -> None:
    zones = {"n1": "a", "n2": "a", "n3": "b", "n4": "b"}
    front, calls = web("cart", "stock")
    sick = (apart(slow("cart"), "n1", "n3", zones=zones), apart(slow("stock"), "n2", "n4", zones=zones))
    _, found = leading(front, *sick, calls=calls)
    assert found[0].name == "zone a"
    assert found[0].ground is not None
    assert (found[0].ground.node, found[0].ground.zone) == ("", "a")


def test_who_was_moved_off_the_node_is_looked_after_no_more() -> None:
    front, calls = web("cart", "stock")
    cart, stock = apart(slow("cart", 0.7), "n1", "n2"), apart(slow("stock"), "n1", "n3")
    _, before = leading(front, cart, stock, calls=calls)
    _, after = leading(front, replace(cart, moved=True), stock, calls=calls)
    assert (before[0].name, before[0].service) == ("n1", "cart")
    assert (after[0].name, after[0].service) == ("n1", "stock")


def test_failing_instances_blame_it_as_well() -> None:
    calls = tuple(call("web", n, ratio(CALL_ERROR_RATE, 0.3), each=0.5) for n in ("cart", "stock"))
    front = on(replace(node("web", ratio(ERROR_RATE, 0.3)), onset_ns=ONSET), "n9")
    sick = []
    for name in ("cart", "stock"):
        ill = apart(replace(node(name, ratio(ERROR_RATE, 0.3)), onset_ns=ONSET), "n1", "n2")
        assert ill.instances is not None
        parts = tuple((p, Ailment.FAILING) for p, _ in ill.instances.sick)
        sick.append(replace(ill, instances=replace(ill.instances, sick=parts)))
    _, found = leading(front, *sick, calls=calls)
    assert found[0].name == "n1"


def test_the_incident_names_the_node_and_who_is_sick_there() -> None:
    front, calls = web("cart", "stock")
    at, found = leading(front, apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n1", "n3"), calls=calls)
    seen = Assessment(at, tuple(found), ("web",), True, Severity.CRITICAL, at.now_ns)
    incident = incident_of(Case(Group("inc-1", ONSET, "web")), seen, (), DiagnoseSettings(), {})
    leader = incident.candidates[0]
    assert (leader.kind, leader.node, set(leader.there)) == (CauseKind.NODE, "n1", {"cart", "stock"})
    assert incident.text.startswith("n1 troubles what runs on it")
    (_, causes) = incident_writes(incident)
    row = causes.rows[0]
    assert (row["kind"], row["path"][-1]) == ("node", "node:n1")
    assert "troubles cart, stock" in row["path_text"]


def test_who_is_silent_since_the_onset_need_have_told_of_no_anomaly() -> None:
    """Of what answers nobody its callers tell, and it has no onset of its own."""
    edges = tuple(
        replace(call("web", n, ratio(CALL_ERROR_RATE, 0.9), each=0.5), observed=2.0) for n in ("cart", "stock")
    )
    front = on(replace(node("web", ratio(ERROR_RATE, 0.9)), onset_ns=ONSET), "n9")
    gone = [on(node(n, rate=0.2), "n1") for n in ("cart", "stock")]
    elsewhere = on(node("pay", level(LATENCY_P95, 0.1, 0.1)), "n2")
    at = situation(front, *gone, elsewhere, calls=edges)
    found = rank(at, harmed=True)
    silent = {s.service for s in found if any(x.channel == "silence" for x in s.findings)}
    assert silent == {"cart", "stock"}
    assert [s.name for s in found if s.ground is not None] == ["n1"]


def asked_more(found: Node, times: float) -> Node:
    rate = level(REQUEST_RATE, 20.0, 20.0 * times)
    return replace(found, shifts={**found.shifts, REQUEST_RATE: rate})


@pytest.mark.parametrize(
    ("users", "fails", "expected"),
    [(1.0, 0.5, ["n1"]), (3.0, 0.5, []), (1.0, 0.0, [])],
    ids=["callers ask again", "users ask for more", "nothing fails"],
)
def test_what_is_asked_again_of_a_slow_service_is_no_demand(users: float, fails: float, expected: list[str]) -> None:
    failing = () if not fails else (ratio(CALL_ERROR_RATE, fails),)
    calls = tuple(call("web", n, level(CALL_LATENCY_P95, 0.1, 0.5), *failing, each=0.5) for n in ("cart", "stock"))
    front = asked_more(on(slow("web", 1.0), "n9"), users)
    elsewhere = on(node("pay", level(LATENCY_P95, 0.1, 0.1)), "n2")
    cart, stock = (asked_more(on(slow(n), "n1"), 3.0) for n in ("cart", "stock"))
    assert blamed(front, cart, stock, elsewhere, calls=calls) == expected


def database(name: str) -> Node:
    return Node(name, "database", own=False)


def test_databases_that_are_sick_at_once_do_not_clear_the_node() -> None:
    """Nobody tells where they run. Of one that calls neither only the instance on the node is slow."""
    slow_calls = level(CALL_LATENCY_P95, 0.01, 0.5)
    front, calls = web("cart", "stock")
    calls = (*calls, call("stock", "db:a", slow_calls), call("web", "db:b", slow_calls))
    stores = (database("db:a"), database("db:b"))
    sick = apart(slow("cart"), "n1", "n2")
    _, found = leading(front, sick, slow("stock"), *stores, calls=calls)
    assert (found[0].name, found[0].services) == ("n1", ("cart",))
    assert "db:a, db:b" in found[0].findings[0].text
    _, alone = leading(front, node("cart"), slow("stock"), *stores, calls=calls)
    assert alone[0].service.startswith("db:"), "nothing speaks against a node"
    _, one = leading(front, node("cart"), on(slow("stock"), "n1"), stores[0], calls=calls[:-1])
    assert one[0].service == "db:a", "who only calls a sick database says nothing of its node"


def test_what_others_run_is_on_no_node_of_ours() -> None:
    slow_calls = level(CALL_LATENCY_P95, 0.01, 0.5)
    front, calls = web("cart")
    outside = Node("external:pay", "external", own=False)
    calls = (*calls, call("web", "external:pay", slow_calls))
    assert blamed(front, apart(slow("cart"), "n1", "n2"), outside, calls=calls) == []


def served(found: Node, asked: float) -> Node:
    """Its instances that are well have served so many requests lately."""
    told = found.instances
    assert told is not None
    well = tuple(replace(p, lately=Fared(asked, 0.0, asked, 0.0)) for p in told.well)
    return replace(found, instances=replace(told, well=well))


@pytest.mark.parametrize(("asked", "expected"), [(50.0, ["n1"]), (1.0, [])])
def test_instances_that_are_sick_on_one_node_alone_agree_though_a_callee_accounts_for_it(
    asked: float, expected: list[str]
) -> None:
    """A sick callee makes all of them slow. Those whose requests have not ended yet may be the sick ones."""
    names = ("cart", "stock", "mail")
    front, calls = web(*names)
    below = tuple(call(n, "pay", level(CALL_LATENCY_P95, 0.05, 0.45)) for n in names)
    sick = (served(apart(slow(n), "n1", f"m{i}"), asked) for i, n in enumerate(names))
    found = blamed(front, *sick, slow("pay", 0.48), calls=(*calls, *below))
    assert found == expected


def test_others_that_suffer_there_are_to_be_looked_after_as_well() -> None:
    front, calls = web("cart", "stock")
    pay = on(slow("pay", 0.48), "n1", "n5")
    below = call("pay", "db:a", level(CALL_LATENCY_P95, 0.01, 0.45))
    sick = (apart(slow("cart"), "n1", "n2"), apart(slow("stock"), "n1", "n3"))
    _, found = leading(front, *sick, pay, database("db:a"), calls=(*calls, below))
    leader = next(s for s in found if s.ground is not None)
    assert set(leader.services) == {"cart", "stock"}
    assert leader.there[2:] == ("pay",)


def refused(caller: str, callee: str, made: float, answers: float) -> Edge:
    """Calls that their caller counts, of which so many are answered; the others are refused at once."""
    share = (made - answers) / made
    shifts = {CALL_ERROR_RATE: ratio(CALL_ERROR_RATE, share, made)} if share else {}
    return replace(
        call(caller, callee),
        shifts=shifts,
        observed=answers,
        attempted=made,
        expected=made,
        usual=made,
        per_request_before=0.5,
    )


def gone_zone(pay: float = 20.0, mail: float = 40.0) -> tuple[tuple[Node, ...], tuple[Edge, ...]]:
    """Of zone a: all of auth, one of two nodes of pay and of stock; mail is elsewhere. How many of 40 calls pay and mail answer."""
    fails = ratio(ERROR_RATE, 0.7)
    a1, a2, b1, b2 = (Ground(n, n[0]) for n in ("a1", "a2", "b1", "b2"))
    quiet = level(REQUEST_RATE, 20.0, 0.0)
    half = level(REQUEST_RATE, 20.0, 20.0)
    nodes = (
        replace(node("web", fails), onset_ns=ONSET + S, grounds=(b1,)),
        replace(node("auth", quiet), onset_ns=ONSET + S, grounds=(a1,), lately={REQUEST_RATE: 0.0}),
        replace(node("pay", half), grounds=(a2, b1)),
        replace(node("stock", half), grounds=(a1, b2)),
        replace(node("mail", half, level(LATENCY_P95, 0.1, 0.1)), grounds=(b2,), lately={REQUEST_RATE: 20.0}),
    )
    made = {"auth": (40.0, 0.0), "pay": (40.0, pay), "stock": (40.0, 20.0), "mail": (40.0, mail)}
    return nodes, tuple(refused("web", name, *of) for name, of in made.items())


def test_a_zone_is_gone_where_each_service_loses_the_share_of_its_calls_that_runs_there() -> None:
    nodes, calls = gone_zone()
    _, found = leading(*nodes, calls=calls)
    assert found[0].name == "zone a", [(s.name, round(s.probability, 2)) for s in found[:4]]
    assert (found[0].service, set(found[0].services)) == ("auth", {"auth", "pay", "stock"})
    assert found[0].probability > 0.75, "beside it nobody has crashed"


def test_who_answers_all_that_a_zone_would_lose_speaks_for_it() -> None:
    nodes, calls = gone_zone()
    _, gone = leading(*nodes, calls=calls)
    nodes, calls = gone_zone(pay=40.0)
    _, doubted = leading(*nodes, calls=calls)
    assert "zone a" not in [s.name for s in doubted[:1]]
    assert gone[0].score > max((s.score for s in doubted if s.ground is not None), default=0.0)


def test_who_loses_calls_elsewhere_speaks_for_it_as_well() -> None:
    nodes, calls = gone_zone()
    _, gone = leading(*nodes, calls=calls)
    nodes, calls = gone_zone(mail=20.0)
    _, spread = leading(*nodes, calls=calls)
    share = {s.name: s.ground.share for s in spread if s.ground is not None}
    assert gone[0].ground is not None
    assert share.get("zone a", 0.0) < gone[0].ground.share


def test_one_who_refuses_waits_for_no_callee_that_is_gone_with_it() -> None:
    nodes, calls = gone_zone()
    none = replace(
        call("auth", "pay"), expected=0.0, usual=0.0, observed=0.0, attempted=0.0
    )  # who is gone calls nobody
    _, found = leading(*nodes, calls=(*calls, none))
    assert (found[0].name, found[0].service) == ("zone a", "auth")


def test_a_zone_that_was_proven_gone_stays_so_while_one_there_is_silent_still() -> None:
    (web, auth, *_), (asked, *_) = gone_zone()
    late = situation(web, auth, calls=(asked,))
    assert rank(late, harmed=True)[0].name == "auth", "by itself one that is silent speaks against no zone"
    proven = replace(late, proven={"zone a": 0.9})
    assert rank(proven, harmed=True)[0].name == "zone a"
    back = situation(web, node("auth"), calls=(call("web", "auth"),))
    assert "zone a" not in [s.name for s in rank(replace(back, proven={"zone a": 0.9}), harmed=True)]
