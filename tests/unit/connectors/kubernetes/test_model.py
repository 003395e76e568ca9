"""The model of a cluster: what it tells, what it holds back, and what the graph is told."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from connectors.kubernetes import checkpoint, read
from connectors.kubernetes.model import REPEAT_NS, ClusterModel
from connectors.kubernetes.objects import ObjectKind, Thing
from contracts.events import Change
from tests.unit.connectors.kubernetes import objects as o


def thing(raw: o.Json) -> Thing:
    return read.reader(ObjectKind(raw["kind"]))(json.dumps(raw).encode())


class Cluster:
    """Drives a model with objects as the API server writes them, second by second."""

    def __init__(self, known: tuple[Thing, ...] = (), since: float = -1) -> None:
        self.model = ClusterModel("prod", o.ns(since) if since >= 0 else 0, known)
        self.now = 100.0
        self.told: list[Change] = []

    def put(self, *raws: o.Json) -> None:
        for raw in raws:
            now = thing(raw)
            self.model.take(self.model.things.get(now.head.uid), now, o.ns(self.now))

    def gone(self, *raws: o.Json) -> None:
        for raw in raws:
            self.model.take(thing(raw), None, o.ns(self.now))

    def passes(self, seconds: float) -> list[Change]:
        """What is told until then."""
        self.now += seconds
        self.model.tick(o.ns(self.now))
        found = self.model.changes()
        self.told += found
        return found

    def rows(self) -> dict[str, list[Any]]:
        return {w.statement: list(w.rows) for w in self.model.writes()}


def running(**more: Any) -> Cluster:
    """A Deployment of two pods on a node, all long known."""
    cluster = Cluster(since=50, **more)
    cluster.put(o.deployment(), o.replica_set(), o.pod(), o.pod("cart-7d9f-y2y"), o.node(), o.autoscaler())
    assert cluster.passes(1) == []
    cluster.rows()
    return cluster


def kinds(changes: list[Change]) -> list[str]:
    return [c.kind for c in changes]


# --- deletions of pods


def test_a_pod_that_somebody_deletes_is_told() -> None:
    cluster = running()
    cluster.put(o.pod(version=5, deletionTimestamp=o.stamp(130), deletionGracePeriodSeconds=30))
    assert cluster.passes(0) == [], "its ReplicaSet may have wanted it so"
    (change,) = cluster.passes(1)
    assert (change.kind, change.service, change.subject) == ("restart", "cart", "pod/shop/cart-7d9f-x2x")
    assert change.time_ns == o.ns(100)
    cluster.gone(o.pod(version=6, deletionTimestamp=o.stamp(130), deletionGracePeriodSeconds=30))
    assert cluster.passes(40) == [], "it is told once"


def test_a_pod_that_vanishes_at_once_is_told() -> None:
    cluster = running()
    cluster.gone(o.pod(version=5))
    assert kinds(cluster.passes(1)) == ["restart"]


def test_pods_that_go_because_their_replica_set_shrinks_are_not_told_even_if_that_is_known_later() -> None:
    cluster = running()
    cluster.gone(o.pod(version=5))
    cluster.put(o.replica_set(version=6, replicas=1))
    assert cluster.passes(1) == []


def test_pods_of_a_deleted_deployment_are_not_told() -> None:
    cluster = running()
    cluster.gone(o.deployment(), o.replica_set(), o.pod(), o.pod("cart-7d9f-y2y"))
    assert kinds(cluster.passes(1)) == ["delete"]


def test_a_pod_that_we_delete_is_left_to_our_executor() -> None:
    cluster = running()
    marked = o.deployment(version=4)
    marked["metadata"]["annotations"] = {"homeostat.io/last-pod": o.pod()["metadata"]["uid"]}
    cluster.put(marked)
    cluster.gone(o.pod(version=5))
    assert cluster.passes(1) == []


def test_a_pod_that_is_evicted_is_told_as_that_alone() -> None:
    cluster = running()
    mark = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    evicted = o.pod(version=4, conditions=[mark | {"lastTransitionTime": o.stamp(101)}])
    cluster.put(evicted)
    cluster.gone(evicted)
    assert kinds(cluster.passes(1)) == ["eviction"]


# --- looking things up


def test_going_back_to_an_earlier_replica_sets_template_is_a_rollback() -> None:
    cluster = running()
    newer = o.template("registry/cart:1.5")
    cluster.put(o.deployment(version=4, template=newer, managed=[o.managed("helm", 100)]))
    cluster.put(o.replica_set("cart-8aaa", 5, template=newer, creationTimestamp=o.stamp(100)))
    cluster.now += 5
    cluster.put(o.deployment(version=7, managed=[o.managed("kubectl-rollout", 105)]))
    assert [(c.kind, c.after) for c in cluster.passes(1)] == [("deploy", "1.5"), ("rollback", "1.4")]


def test_a_roll_out_whose_replica_set_is_known_first_is_no_rollback() -> None:
    cluster = running()
    newer = o.template("registry/cart:1.5")
    cluster.put(o.replica_set("cart-8aaa", 5, template=newer, creationTimestamp=o.stamp(100)))
    cluster.put(o.deployment(version=4, template=newer, managed=[o.managed("helm", 100)]))
    assert kinds(cluster.passes(1)) == ["deploy"]


def test_a_node_in_trouble_is_told_for_what_runs_there() -> None:
    cluster = running()
    cluster.put(o.pod("done", phase="Succeeded"), o.pod("elsewhere", of="web-1", node="n2"))
    cluster.put(o.node(version=3, Ready=("False", 101)))
    (change,) = cluster.passes(2)
    assert (change.kind, change.service, change.time_ns) == ("node", "cart", o.ns(101))
    assert "2 pods of cart" in change.text


def test_a_warning_is_told_for_the_service_of_what_it_is_about() -> None:
    cluster = running()
    cluster.put(o.notice(version=9, last=101))
    assert kinds(cluster.passes(1)) == [], "it began before anybody looked"
    late = o.notice(version=9, reason="FailedMount")
    late["firstTimestamp"] = late["lastTimestamp"] = o.stamp(100)
    cluster.put(late)
    cluster.put(o.notice(version=9, reason="FailedCreate", about=o.pod("unknown")))
    assert [(c.kind, c.service) for c in cluster.passes(1)] == [("start", "cart")]


def test_an_autoscaler_is_told_for_what_it_scales() -> None:
    cluster = running()
    cluster.put(o.autoscaler(version=4, high=9))
    assert [(c.kind, c.service, c.after) for c in cluster.passes(1)] == [("scale", "cart", "1-9")]


def test_an_autoscaler_of_a_rollout_is_told_for_the_service_of_its_replica_sets() -> None:
    cluster = running()
    replicas = o.replica_set("basket-1", template=o.template(labels={"app": "cart"}))
    replicas["metadata"]["ownerReferences"] = o.owner("Rollout", "basket")
    first, second = (o.autoscaler(version=v, high=h) for v, h in ((30, 5), (31, 9)))
    for raw in (first, second):
        raw["metadata"]["uid"] = "basket-scaler"
        raw["spec"]["scaleTargetRef"] = {"kind": "Rollout", "name": "basket"}
    cluster.put(replicas, first, second)
    assert [(c.kind, c.service, c.after) for c in cluster.passes(1)] == [("scale", "cart", "1-9")]


# --- holding back


def test_of_many_alike_one_is_told_and_the_others_counted() -> None:
    cluster = running()
    for i in range(20):
        crash = o.container(restarts=1, last=o.ended("OOMKilled", 100))
        cluster.put(o.pod(f"p{i}"), o.pod(f"p{i}", 5, containers=[crash]))
    assert kinds(cluster.passes(1)) == ["oom"]
    assert cluster.model.counters["repeated"] == 19
    cluster.now += REPEAT_NS / o.SECOND
    cluster.put(o.pod("p0", 6, containers=[o.container(restarts=2, last=o.ended("OOMKilled", 131))]))
    assert kinds(cluster.passes(1)) == ["oom"]


def test_deployments_are_never_held_back() -> None:
    cluster = running()
    for n in (3, 4, 5):
        cluster.put(o.deployment(version=n, replicas=n))
    assert kinds(cluster.passes(1)) == ["scale"] * 3


def test_what_happened_before_is_old_at_first_sight() -> None:
    cluster = Cluster(since=50)
    old, new = (o.container(restarts=1, last=o.ended("OOMKilled", t)) for t in (49, 60))
    cluster.put(o.pod(containers=[old]), o.pod("web-1-a", of="web-1", containers=[new]), o.deployment())
    assert [(c.kind, c.service) for c in cluster.passes(1)] == [("oom", "web")]


def test_the_next_owner_tells_what_changed_while_nobody_looked() -> None:
    before = running()
    before.put(o.pod("other"))
    saved = checkpoint.load(checkpoint.save(before.model.things.values(), o.ns(100)))
    assert {str(t.head.kind) for t in saved.things} == {"Deployment", "Node", "HorizontalPodAutoscaler"}
    after = Cluster(tuple(saved.things), since=95)
    after.put(o.deployment(version=8, replicas=7, managed=[o.managed("kubectl", 60)]), o.replica_set(), o.node())
    (change,) = after.passes(1)
    assert (change.kind, change.after, change.time_ns) == ("scale", "7", o.ns(60))


# --- the graph


def test_the_graph_is_told_what_runs_where_and_who_owns_it() -> None:
    cluster = Cluster()
    cluster.put(o.deployment(), o.replica_set(), o.pod(), o.node(), o.autoscaler())
    rows = cluster.rows()
    assert {(r["kind"], r["name"]) for r in rows["upsert_objects"]} == {
        ("Deployment", "cart"),
        ("ReplicaSet", "cart-7d9f"),
        ("Pod", "cart-7d9f-x2x"),
        ("Node", "n1"),
        ("HorizontalPodAutoscaler", "cart"),
    }
    assert {(r["from_id"], r["link"], r["to_id"], r["valid_from"]) for r in rows["link_objects"]} == {
        ("prod|deployment/shop/cart", "owns", "prod|replicaset/shop/cart-7d9f", o.ns(0)),
        ("prod|replicaset/shop/cart-7d9f", "owns", "prod|pod/shop/cart-7d9f-x2x", o.ns(0)),
        ("prod|pod/shop/cart-7d9f-x2x", "runs_on", "prod|node/n1", o.ns(1)),
        ("prod|horizontalpodautoscaler/shop/cart", "scales", "prod|deployment/shop/cart", o.ns(0)),
    }
    (service,) = rows["link_services"]
    assert (service["service_key"], service["object_id"]) == ("prod|cart", "prod|deployment/shop/cart")
    assert all(r["valid_to"] == 0 for part in rows.values() for r in part)


def test_what_the_graph_knows_it_is_not_told_again() -> None:
    cluster = running()
    cluster.put(o.pod(version=9), o.node(version=9), o.deployment(version=9))
    assert cluster.rows() == {}
    cluster.put(o.pod(version=10, phase="Failed"))
    assert [r["state"] for r in cluster.rows()["upsert_objects"]] == ["Failed"]


def test_what_is_gone_ends_with_its_links() -> None:
    cluster = running()
    cluster.gone(o.pod())
    rows = cluster.rows()
    assert {r["valid_to"] for part in rows.values() for r in part} == {o.ns(cluster.now)}
    assert {r["link"] for r in rows["link_objects"]} == {"owns", "runs_on"}


def test_a_link_that_becomes_another_ends() -> None:
    cluster = running()
    elsewhere = o.autoscaler(version=9)
    elsewhere["spec"]["scaleTargetRef"]["name"] = "web"
    cluster.put(elsewhere)
    links = {r["to_id"]: r["valid_to"] for r in cluster.rows()["link_objects"]}
    assert links == {"prod|deployment/shop/cart": o.ns(cluster.now), "prod|deployment/shop/web": 0}


def test_after_a_list_the_graph_ends_what_it_holds_of_others() -> None:
    cluster = running()
    cluster.model.listed(ObjectKind.POD, "shop", [thing(o.pod())], o.ns(200))
    rows = cluster.rows()
    assert [r["name"] for r in rows["upsert_objects"]] == ["cart-7d9f-x2x"], (
        "another worker may have told another graph"
    )
    (row,) = rows["retire_objects"]
    assert row["kept"] == ["prod|pod/shop/cart-7d9f-x2x"]
    assert (row["kind"], row["namespace"], row["time"]) == ("Pod", "shop", o.ns(200))


def test_rows_come_in_batches() -> None:
    cluster = Cluster()
    cluster.put(*(o.pod(f"p{i}") for i in range(2500)))
    writes = cluster.model.writes()
    assert [len(w.rows) for w in writes if w.statement == "upsert_objects"] == [1000, 1000, 500]


# --- whatever happens


class Lives(RuleBasedStateMachine):
    """Objects appear, change and go in any order: the model holds what there is, and every change makes sense."""

    @initialize()
    def begin(self) -> None:
        self.cluster = Cluster(since=50)
        self.there: dict[str, o.Json] = {}
        self.version = 10

    @rule(
        name=st.sampled_from(["cart", "web"]),
        replicas=st.integers(0, 3),
        tag=st.sampled_from("ab"),
        by=st.sampled_from(["helm", "homeostat"]),
    )
    def deploy(self, name: str, replicas: int, tag: str, by: str) -> None:
        self.put(
            o.deployment(name, self.next(), replicas=replicas, template=o.template(tag), managed=[o.managed(by, 100)])
        )

    @rule(name=st.sampled_from(["cart-1-a", "cart-1-b", "web-1-a"]), restarts=st.integers(0, 3), at=st.integers(0, 200))
    def pod(self, name: str, restarts: int, at: int) -> None:
        crashed = o.container(restarts=restarts, last=o.ended("OOMKilled", at) if restarts else None)
        self.put(o.pod(name, self.next(), of=name[:-2], containers=[crashed]))

    @rule(ready=st.booleans(), at=st.integers(0, 200))
    def node(self, ready: bool, at: int) -> None:
        self.put(o.node(version=self.next(), Ready=("True" if ready else "False", at)))

    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        if self.there:
            self.cluster.gone(self.there.pop(data.draw(st.sampled_from(sorted(self.there)))))

    @rule(seconds=st.integers(0, 60))
    def wait(self, seconds: int) -> None:
        for change in self.cluster.passes(seconds):
            assert change.environment == "prod"
            assert change.service in {"cart", "web"}
            assert 0 < change.time_ns <= o.ns(self.cluster.now)
            assert change.text
            assert change.actor != "homeostat" or change.kind == "deploy"

    def next(self) -> int:
        self.version += 1
        return self.version

    def put(self, raw: o.Json) -> None:
        self.there[raw["metadata"]["uid"]] = raw
        self.cluster.put(raw)

    @invariant()
    def holds_what_there_is(self) -> None:
        assert set(self.cluster.model.things) == set(self.there)

    def teardown(self) -> None:
        told = {row["id"] for row in self.cluster.rows().get("upsert_objects", ()) if not row["valid_to"]}
        assert told == {f"prod|{thing(raw).head.place}" for raw in self.there.values()}


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
