"""Releases by controllers that aren't watched: Argo Rollouts, Flagger, operators of all sorts."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from connectors.kubernetes import checkpoint
from connectors.kubernetes.objects import ObjectKind
from contracts.events import Change
from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.test_model import Cluster, thing

ROLLOUT = [{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "cart", "uid": "r1", "controller": True}]


def owned(raw: o.Json, kind: str, name: str, group: str = "example.com/v1") -> o.Json:
    found = copy.deepcopy(raw)
    reference = {"apiVersion": group, "kind": kind, "name": name, "uid": f"{kind}-{name}", "controller": True}
    found["metadata"]["ownerReferences"] = [reference]
    return found


def rollout_set(number: int, tag: str, *, version: int = 1, at: float = 0, replicas: int = 2, **more: Any) -> o.Json:
    """A ReplicaSet of the Rollout `cart`, as Argo numbers them."""
    name = f"cart-{tag.replace('.', '')}{number}"
    raw = o.replica_set(name, version, template=o.template(f"registry/cart:{tag}"), replicas=replicas, **more)
    raw["metadata"]["ownerReferences"] = ROLLOUT
    raw["metadata"]["uid"] = name
    raw["metadata"]["creationTimestamp"] = o.stamp(at)
    raw["metadata"]["annotations"] = {"rollout.argoproj.io/revision": str(number)}
    raw["spec"]["template"]["metadata"]["labels"]["rollouts-pod-template-hash"] = name
    return raw


def said(changes: list[Change]) -> list[tuple[str, str, str, str]]:
    return [(c.kind, c.service, c.before, c.after) for c in changes]


def operated(name: str, tag: str, at: float, kind: str = "CloneSet", **more: Any) -> o.Json:
    """A pod that an operator's own workload made."""
    raw = owned(o.pod(name, **more), kind, "cart")
    raw["spec"]["containers"][0]["image"] = f"registry/cart:{tag}"
    raw["metadata"]["creationTimestamp"] = o.stamp(at)
    return raw


# --- ReplicaSets


def test_a_new_replica_set_of_a_rollout_is_a_deploy() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4"))
    assert cluster.passes(1) == []
    cluster.put(rollout_set(2, "1.5", at=101, replicas=0))
    (change,) = cluster.passes(1)
    assert said([change]) == [("deploy", "cart", "1.4", "1.5")]
    assert (change.time_ns, change.subject) == (o.ns(101), "rollout/shop/cart")
    cluster.put(rollout_set(2, "1.5", version=2, at=101, replicas=1), rollout_set(1, "1.4", version=2, replicas=1))
    cluster.put(rollout_set(2, "1.5", version=3, at=101, replicas=2), rollout_set(1, "1.4", version=3, replicas=0))
    assert cluster.passes(1) == [], "its steps are no releases"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_recent_release_is_known_whatever_the_order_of_the_list(order: tuple[int, ...]) -> None:
    cluster = Cluster(since=50)
    sets = [rollout_set(1, "1.3", replicas=0), rollout_set(2, "1.4", at=10, replicas=0), rollout_set(3, "1.5", at=60)]
    cluster.put(*(sets[i] for i in order))
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]


def test_what_was_released_long_ago_is_not_told_at_first_sight() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.3", replicas=0), rollout_set(2, "1.4", at=10))
    assert cluster.passes(1) == []


def test_the_first_release_of_a_new_rollout_is_its_creation() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4", at=60))
    (change,) = cluster.passes(1)
    assert said([change]) == [("deploy", "cart", "", "1.4")]
    assert "was created" in change.text


def test_going_back_to_an_earlier_replica_set_is_a_rollback() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4", replicas=0), rollout_set(2, "1.5", at=10))
    cluster.passes(1)
    cluster.put({**rollout_set(1, "1.4", version=5, replicas=1), **_numbered(rollout_set(1, "1.4", version=5), 3)})
    cluster.put(rollout_set(2, "1.5", version=6, at=10, replicas=0))
    assert said(cluster.passes(1)) == [("rollback", "cart", "1.5", "1.4")]


def test_a_release_that_is_given_up_is_a_rollback_and_tried_again_a_deploy() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4"))
    cluster.passes(1)
    cluster.put(rollout_set(2, "1.5", at=101, replicas=1))
    cluster.passes(1)
    cluster.put(rollout_set(2, "1.5", version=2, at=101, replicas=0))
    assert said(cluster.passes(1)) == [("rollback", "cart", "1.5", "1.4")]
    cluster.put(rollout_set(2, "1.5", version=3, at=101, replicas=1))
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]


def test_another_template_with_the_same_image_is_a_configuration() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4"))
    cluster.passes(1)
    other = rollout_set(2, "1.4", at=101)
    other["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "FLAG", "value": "on"}]
    cluster.put(other)
    (change,) = cluster.passes(1)
    assert (change.kind, change.text) == ("config", "Rollout shop/cart: other configuration")


def test_a_scaling_to_none_and_back_is_no_release() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4", replicas=0), rollout_set(2, "1.5", at=10))
    cluster.passes(1)
    for version, replicas in ((2, 0), (3, 2)):
        cluster.put(rollout_set(2, "1.5", version=version, at=10, replicas=replicas))
    assert cluster.passes(1) == []


def test_replica_sets_of_a_deployment_are_left_to_its_own_word() -> None:
    cluster = Cluster(since=50)
    cluster.put(o.deployment(), o.replica_set())
    cluster.put(o.replica_set("cart-8aaa", 5, template=o.template("registry/cart:1.5"), creationTimestamp=o.stamp(90)))
    assert cluster.passes(1) == []


# --- workloads that somebody made


@pytest.mark.parametrize("kind", [ObjectKind.DEPLOYMENT, ObjectKind.STATEFUL_SET, ObjectKind.DAEMON_SET])
@pytest.mark.parametrize("owner", ["Kafka", "Canary", "Elasticsearch", "Revision"])
def test_a_workload_that_an_operator_writes_tells_of_its_releases(kind: ObjectKind, owner: str) -> None:
    cluster = Cluster(since=50)
    for version, tag in ((1, "1.4"), (2, "1.5")):
        raw = owned(o.deployment(template=o.template(f"registry/cart:{tag}")), owner, "cart")
        raw["kind"], raw["metadata"]["resourceVersion"] = str(kind), str(version)
        cluster.put(raw)
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]


def test_a_promotion_by_flagger_is_a_deploy_of_the_service_not_of_its_primary() -> None:
    cluster = Cluster(since=50)
    for version, tag in ((1, "1.4"), (2, "1.5")):
        template = o.template(f"registry/cart:{tag}", {"app": "cart-primary"})
        raw = owned(o.deployment("cart-primary", version, template=template), "Canary", "cart", "flagger.app/v1beta1")
        cluster.put(raw)
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]
    replicas = o.replica_set("cart-primary-7d9f", of="cart-primary")
    cluster.put(replicas, o.pod("cart-primary-7d9f-a", of="cart-primary-7d9f"))
    assert {cluster.model.things[u].service for u in cluster.model.things} == {"cart"}  # type: ignore[union-attr]


# --- pods


def test_another_tag_of_an_operators_pods_is_a_deploy_told_once() -> None:
    cluster = Cluster(since=50)
    cluster.put(*(operated(f"cart-{i}", "1.4", 0) for i in range(3)))
    assert cluster.passes(1) == []
    for i in range(3):
        cluster.put(operated(f"cart-new-{i}", "1.5", 101 + i))
    (change,) = cluster.passes(5)
    assert said([change]) == [("deploy", "cart", "1.4", "1.5")]
    assert change.subject == "cloneset/shop/cart"


def test_an_image_that_is_changed_in_place_is_a_deploy() -> None:
    cluster = Cluster(since=50)
    cluster.put(operated("cart-0", "1.4", 0), operated("cart-1", "1.4", 0))
    cluster.put(operated("cart-0", "1.5", 0, version=2), operated("cart-1", "1.5", 0, version=3))
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]


def test_an_operators_release_while_nobody_looked_is_told_by_the_next() -> None:
    before = Cluster(since=50)
    before.put(operated("cart-0", "1.4", 0))
    saved = checkpoint.load(checkpoint.save(before.model.things.values(), o.ns(100)))
    after = Cluster((*saved.things, *saved.instances), since=95)
    after.put(operated("cart-1", "1.5", 101))
    assert said(after.passes(1)) == [("deploy", "cart", "1.4", "1.5")]


def test_pods_of_other_parts_of_an_operators_resource_are_no_release() -> None:
    cluster = Cluster(since=50)
    cluster.put(operated("cart-0", "1.4", 0))
    other = operated("exporter-0", "9", 101)
    other["spec"]["containers"][0]["image"] = "registry/exporter:9"
    cluster.put(other)
    assert cluster.passes(1) == []


def test_steps_of_a_job_are_no_releases() -> None:
    cluster = Cluster(since=50)
    for i, tag in enumerate(("1", "2", "3")):
        step = operated(f"step-{i}", tag, 60 + i, "Workflow")
        step["spec"]["restartPolicy"] = "Never"
        cluster.put(step)
    assert cluster.passes(1) == []


def test_pods_of_a_rollout_are_not_told_beside_it() -> None:
    cluster = Cluster(since=50)
    cluster.put(rollout_set(1, "1.4"), o.pod("cart-141-a", of="cart-141"))
    cluster.put(rollout_set(2, "1.5", at=101))
    young = o.pod("cart-152-a", of="cart-152")
    young["spec"]["containers"][0]["image"] = "registry/cart:1.5"
    cluster.put(young)
    assert said(cluster.passes(1)) == [("deploy", "cart", "1.4", "1.5")]
    assert thing(young).service == "cart"  # type: ignore[union-attr]


def _numbered(raw: o.Json, number: int) -> o.Json:
    raw["metadata"]["annotations"] = {"rollout.argoproj.io/revision": str(number)}
    return {"metadata": raw["metadata"]}
