"""On which nodes services run is noted of each resource, told when it changes, and forgotten when it is over."""

from __future__ import annotations

import numpy as np

from contracts.claims import INSTANCES, NODES, Claims, parsed
from contracts.frames import Resource
from contracts.instance_parts import ground_under
from contracts.nodes import MOST_NODES, Ground, HeardNode, ground_of, nodes_from, nodes_together, spelled_nodes
from contracts.parts import parts_from
from contracts.units import SECOND as S
from streams.windows.names import Names
from streams.windows.whereabouts import Whereabouts
from tests.unit.streams.windows.support import T0


def resource(instance: str, **said: str) -> Resource:
    keys = {"node": "k8s.node.name", "host": "host.name", "pod": "k8s.pod.name", "zone": "topology.kubernetes.io/zone"}
    pairs = {"service.instance.id": instance, **{keys[k]: v for k, v in said.items()}}
    return Resource("prod", "cart", "1", instance, tuple(sorted(pairs.items())))


def places(names: Names, number: int = 0) -> list[tuple[str, str]]:
    return [(h.node, h.zone) for h in nodes_from(parsed(names.attributes[number]).get(NODES, ""))]


def test_the_node_is_what_the_cluster_calls_it_and_never_a_pod() -> None:
    assert ground_of({"k8s.node.name": "n1", "host.name": "h1", "cloud.availability_zone": "a"}) == Ground("n1", "a")
    assert ground_of({"host.name": "h1"}) == Ground("h1")
    assert ground_of({"host.name": "cart-1", "k8s.pod.name": "cart-1"}) == Ground("")
    assert ground_of({"cloud.availability_zone": "a"}) == Ground(""), "a zone without a node is none of one"


def test_where_a_service_runs_is_told_with_it_and_again_once_it_changes() -> None:
    names = Names("prod", 1, 10)
    names.now_ns = T0
    names.resource(resource("a", node="n1", zone="eu-a"))
    assert places(names) == [("n1", "eu-a")]
    names.fresh.clear()
    names.now_ns = T0 + 10 * S
    names.resource(resource("a", node="n1", zone="eu-a"))
    assert not names.fresh, "it is no news"
    names.resource(resource("b", node="n2", zone="eu-b"))
    assert (places(names), names.fresh) == ([("n1", "eu-a"), ("n2", "eu-b")], {0})


def test_a_node_it_left_is_told_of_no_more_and_a_snapshot_keeps_them() -> None:
    names = Names("prod", 1, 10)
    names.now_ns = T0
    for instance, node in (("a", "n1"), ("b", "n2")):
        names.resource(resource(instance, node=node))
    kept = Names("prod", 1, 10)
    kept.load(names.state())
    for second in range(0, 180, 5):
        kept.now_ns = T0 + second * S
        kept.resource(resource("b", node="n2"))
        if second == 60:
            assert places(kept) == [("n1", ""), ("n2", "")]
    assert places(kept) == [("n2", "")]


def test_nodes_of_one_service_are_bounded() -> None:
    whereabouts = Whereabouts()
    for i in range(40):
        whereabouts.note(0, resource(str(i), node=f"n{i:02}"), T0 + i * S)
    told = nodes_from(whereabouts.spelled(0, T0 + 40 * S))
    assert [h.node for h in told] == [f"n{i:02}" for i in range(40 - MOST_NODES, 40)]
    whereabouts.forget(0)
    assert whereabouts.spelled(0, T0 + 40 * S) == ""


def test_what_several_sources_hear_is_put_together_and_what_none_hears_any_more_is_over() -> None:
    claims = Claims()
    claims.hear("one", {NODES: spelled_nodes([HeardNode("n1", "a", 1000), HeardNode("old", "", 800)])}, T0)
    claims.hear("two", {NODES: spelled_nodes([HeardNode("n1", "", 1010), HeardNode("n2", "b", 990)])}, T0)
    found = nodes_from(claims.merged(T0)[NODES])
    assert found == [HeardNode("n1", "a", 1010), HeardNode("n2", "b", 990)]
    assert nodes_together([]) == []
    assert nodes_from("no JSON") == []


def test_each_instance_that_is_told_of_says_where_it_runs() -> None:
    names = Names("prod", 1, 10)
    both = (resource("a", node="n1", zone="eu-a"), resource("b", node="n2"))
    for second in range(112):
        names.now_ns = T0 + second * S
        numbers = np.array([names.resource(r) for r in both])
        failed = 4.0 if second >= 100 else 0.0
        names.count_by_part(both, numbers, np.array([[10.0, 0.0, 10.0, 0.0], [10.0, failed, 10.0, 0.0]]))
    parts = parts_from(parsed(names.attributes[0])[INSTANCES])
    assert {ground_under(p) for p in parts} == {Ground("n1", "eu-a"), Ground("n2")}
