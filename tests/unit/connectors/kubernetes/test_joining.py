"""Pods and workloads join services by what telemetry names, not by labels that several share."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.claims import CONTESTED, PARTS
from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.test_model import Cluster

NAMESPACE = "k8s.namespace.name"


def component(name: str, of: str = "airflow", **labels: str) -> list[o.Json]:
    """A Deployment with its ReplicaSet and a pod, all labelled alike."""
    template = o.template(labels={"app.kubernetes.io/name": of, **labels})
    deployment, replicas = o.deployment(name, template=template), o.replica_set(f"{name}-7d9f", of=name)
    replicas["spec"]["template"]["metadata"]["labels"] = {"app.kubernetes.io/name": of, **labels}
    pod = o.pod(f"{name}-7d9f-a", of=f"{name}-7d9f")
    pod["metadata"]["labels"] = {"app.kubernetes.io/name": of, "pod-template-hash": "7d9f", **labels}
    return [deployment, replicas, pod]


def cluster_of(*parts: list[o.Json]) -> Cluster:
    cluster = Cluster(since=50)
    cluster.put(*(raw for part in parts for raw in part))
    cluster.passes(1)
    cluster.rows()
    return cluster


def services(cluster: Cluster) -> dict[str, str]:
    return {t.head.place: t.service for t in cluster.model.things.values()}  # type: ignore[union-attr]


def learn(cluster: Cluster, service: str, seconds: float = 100, **attributes: str) -> None:
    told = {key.replace("_", "."): value for key, value in attributes.items()}
    cluster.model.learn(service, told, o.ns(seconds))


def test_components_that_share_a_label_are_told_apart_by_their_workloads() -> None:
    parts = component("airflow-worker", component="worker"), component("airflow-scheduler", component="scheduler")
    assert set(services(cluster_of(*parts)).values()) == {"airflow-worker", "airflow-scheduler"}


def test_the_name_label_alone_still_names_a_service() -> None:
    release = component("release-cart", "cart", **{"app.kubernetes.io/component": "backend"})
    assert set(services(cluster_of(release)).values()) == {"cart"}


def test_telemetry_that_names_the_deployment_names_all_of_it() -> None:
    cluster = cluster_of(component("airflow-worker"), component("airflow-scheduler"))
    assert set(services(cluster).values()) == {"airflow"}
    learn(cluster, "worker", k8s_namespace_name="shop", k8s_deployment_name="airflow-worker")
    learn(cluster, "scheduler", k8s_namespace_name="shop", k8s_deployment_name="airflow-scheduler")
    cluster.passes(1)
    for place, service in services(cluster).items():
        assert service in place
    crashed = copy.deepcopy(component("airflow-worker")[2])
    crashed["metadata"]["resourceVersion"] = "7"
    crashed["status"]["containerStatuses"] = [o.container(restarts=1, last=o.ended("OOMKilled", 101))]
    cluster.put(crashed)
    assert [(c.kind, c.service) for c in cluster.passes(1)] == [("oom", "worker")]


def test_telemetry_that_has_the_namespace_in_front_names_what_is_in_that_namespace() -> None:
    cluster = cluster_of(component("cart", "cart"))
    learn(cluster, "elsewhere/cart", k8s_namespace_name="elsewhere")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"cart"}
    learn(cluster, "shop/cart", k8s_namespace_name="shop")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"shop/cart"}


def test_one_pod_by_its_uid_names_its_workload_and_the_pods_that_come_after_it() -> None:
    cluster = cluster_of(component("airflow-worker"), component("airflow-scheduler"))
    learn(cluster, "worker", k8s_pod_uid="Pod-shop-airflow-worker-7d9f-a")
    cluster.passes(1)
    later = component("airflow-worker")[2]
    later["metadata"] |= {"name": "airflow-worker-7d9f-b", "uid": "later"}
    cluster.put(later)
    found = services(cluster)
    assert found["pod/shop/airflow-worker-7d9f-b"] == found["deployment/shop/airflow-worker"] == "worker"
    assert found["deployment/shop/airflow-scheduler"] == "airflow"


def test_a_pod_may_be_named_before_it_is_seen_and_its_owners_after_it() -> None:
    cluster = Cluster(since=50)
    learn(cluster, "worker", k8s_pod_name="airflow-worker-7d9f-a", k8s_namespace_name="shop")
    deployment, replicas, pod = component("airflow-worker")
    cluster.put(pod)
    cluster.put(replicas)
    cluster.put(deployment)
    learn(cluster, "worker", k8s_pod_name="airflow-worker-7d9f-a", k8s_namespace_name="shop")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"worker"}


def at_address(pod: o.Json, ip: str, scheduled: float = 0) -> None:
    """Give a pod an address, from some time on."""
    pod["status"]["podIP"], pod["status"]["hostIP"] = ip, "192.0.2.1"
    if scheduled:
        pod["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": o.stamp(scheduled)}
        ]


def test_who_is_heard_of_at_a_pods_address_is_its_workload() -> None:
    parts = component("cart", of="shop"), component("web", of="shop")
    at_address(parts[0][2], "10.1.2.3")
    cluster = cluster_of(*parts)
    learn(cluster, "basket", k8s_pod_ip="10.1.2.3")
    cluster.passes(1)
    named = services(cluster)
    assert named["deployment/shop/cart"] == named["pod/shop/cart-7d9f-a"] == "basket"
    assert "basket" not in {named["deployment/shop/web"], named["pod/shop/web-7d9f-a"]}


@pytest.mark.parametrize(("scheduled", "given"), [(500, 0), (300, 500)])
def test_an_address_is_a_pods_from_when_it_was_given_it(scheduled: int, given: int) -> None:
    """When it was scheduled, unless its node says better: it may have waited for its image while another one had the address."""
    parts = component("cart", of="shop")
    at_address(parts[2], "10.1.2.3", scheduled=scheduled)
    if given:
        told = {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": o.stamp(given)}
        parts[2]["status"]["conditions"].append(told)
    cluster = cluster_of(parts)
    learn(cluster, "somebody", seconds=400, k8s_pod_ip="10.1.2.3")
    cluster.passes(1)
    assert "somebody" not in services(cluster).values()
    learn(cluster, "basket", seconds=501, k8s_pod_ip="10.1.2.3")
    cluster.passes(1)
    assert services(cluster)["deployment/shop/cart"] == "basket"


@pytest.mark.parametrize("ended", [True, False])
def test_an_address_is_the_pods_that_was_given_it_last_whatever_is_heard_of_the_other(ended: bool) -> None:
    """A job's pod that has ended, or one on a lost node, is still there, and changes."""
    job, cart = component("job", of="shop"), component("cart", of="shop")
    at_address(job[2], "10.1.2.3", scheduled=100)
    at_address(cart[2], "10.1.2.3", scheduled=500)
    cluster = cluster_of(job, cart)
    job[2]["metadata"]["resourceVersion"] = "9"
    if ended:
        job[2]["status"]["phase"] = "Succeeded"
    cluster.put(job[2])
    learn(cluster, "basket", seconds=501, k8s_pod_ip="10.1.2.3")
    cluster.passes(1)
    named = services(cluster)
    assert named["deployment/shop/cart"] == "basket"
    assert named["deployment/shop/job"] != "basket"


def test_the_same_pod_name_in_another_namespace_is_another_pod() -> None:
    cluster = cluster_of(component("airflow-worker"))
    learn(cluster, "worker", k8s_pod_name="airflow-worker-7d9f-a", k8s_namespace_name="other")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"airflow"}


def test_who_is_named_by_what_it_says_itself_is_not_taken_over_by_another() -> None:
    cluster = cluster_of(component("cart", "cart"))
    learn(cluster, "cart")
    learn(cluster, "evil", k8s_namespace_name="shop", k8s_deployment_name="cart")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"cart"}
    learn(cluster, "cart", k8s_namespace_name="shop", k8s_deployment_name="cart")
    learn(cluster, "a-sidecar", k8s_namespace_name="shop", k8s_deployment_name="cart")
    cluster.passes(1)
    assert set(services(cluster).values()) == {"cart"}


def test_what_is_contested_names_nothing() -> None:
    cluster = cluster_of(component("airflow-worker"))
    told = {NAMESPACE: "shop", "k8s.deployment.name": "airflow-worker"}
    cluster.model.learn("worker", told | {CONTESTED: "k8s.deployment.name is a or b"}, o.ns(100))
    cluster.passes(1)
    assert set(services(cluster).values()) == {"airflow"}


def test_a_workload_whose_service_is_renamed_follows() -> None:
    cluster = cluster_of(component("airflow-worker"))
    told = {"k8s_namespace_name": "shop", "k8s_deployment_name": "airflow-worker"}
    learn(cluster, "worker", **told)
    learn(cluster, "a-worker-2", 100 + 700, **told)
    cluster.passes(1)
    assert set(services(cluster).values()) == {"a-worker-2"}


def test_the_graph_ends_the_service_it_was_taken_for() -> None:
    cluster = cluster_of(component("airflow-worker"))
    learn(cluster, "worker", k8s_namespace_name="shop", k8s_deployment_name="airflow-worker")
    cluster.passes(1)
    rows = {r["service_key"]: r["valid_to"] for r in cluster.rows()["link_services"]}
    assert rows == {"prod|airflow": o.ns(cluster.now), "prod|worker": 0}


@given(st.permutations([0, 1, 2, 3, 4, 5, 6, 7]))
def test_the_names_do_not_depend_on_the_order_of_what_is_seen(order: list[int]) -> None:
    raws: list[Any] = [*component("airflow-worker"), *component("airflow-scheduler"), "worker", "scheduler"]
    cluster = Cluster(since=50)
    for i in order:
        if isinstance(raws[i], str):
            learn(cluster, raws[i], k8s_namespace_name="shop", k8s_deployment_name=f"airflow-{raws[i]}")
        else:
            cluster.put(raws[i])
    cluster.passes(1)
    for place, service in services(cluster).items():
        assert service in place
        assert service != "airflow"


# --- workloads that share a name


def shared(*workloads: str) -> Cluster:
    """Deployments of one chart, all labelled `cart`, long there; telemetry of `cart` comes from those with a star."""
    cluster = cluster_of(*(component(name.lstrip("*"), of="cart") for name in workloads))
    parts = [
        {"attributes": {"k8s.deployment.name": n}, "pod": {"k8s.pod.uid": f"Pod-shop-{n}-7d9f-a"}}
        for n in (w.lstrip("*") for w in workloads if w.startswith("*"))
    ]
    told = {NAMESPACE: "shop", "k8s.deployment.name": parts[0]["attributes"]["k8s.deployment.name"]}
    if len(parts) > 1:
        told |= {CONTESTED: "several", PARTS: json.dumps(parts)}
    else:
        told = {NAMESPACE: "shop", "k8s.pod.uid": str(parts[0]["pod"]["k8s.pod.uid"])}
    cluster.model.learn("shop/cart", told, o.ns(1000))
    cluster.passes(1)
    return cluster


@pytest.mark.parametrize(
    "workloads",
    [
        ("*cart-blue", "*cart-green"),
        ("*cart", "*cart-canary"),
        ("*cart-web", "cart-worker"),
        ("*one-cart", "two-cart"),
        ("*cart", "cart-worker", "cart-cron"),
        ("*a-cart", "*b-cart", "c-cart"),
    ],
)
def test_what_befalls_a_workload_is_told_of_the_service_whose_pods_it_has(workloads: tuple[str, ...]) -> None:
    cluster = shared(*workloads)
    for name in (w.lstrip("*") for w in workloads):
        crashed = copy.deepcopy(component(name, of="cart")[2])
        crashed["metadata"]["resourceVersion"] = "7"
        crashed["status"]["containerStatuses"] = [o.container(restarts=1, last=o.ended("Error", 101))]
        cluster.put(crashed)
    told = {c.subject: c.service for c in cluster.passes(1)}
    assert told == {
        f"pod/shop/{w.lstrip('*')}-7d9f-a/main": "shop/cart" if w.startswith("*") else f"shop/{w}" for w in workloads
    }, "of each, and of nobody else"


def test_a_new_workload_is_of_the_service_that_it_calls_itself_until_its_telemetry_may_have_come() -> None:
    cluster = shared("*cart")
    canary = component("cart-canary", of="cart")
    for raw in canary:
        raw["metadata"]["creationTimestamp"] = o.stamp(1000)
    cluster.put(*canary)
    cluster.passes(1)
    assert services(cluster)["deployment/shop/cart-canary"] == "shop/cart"
    cluster.model.learn("shop/cart", {NAMESPACE: "shop", "k8s.pod.uid": "Pod-shop-cart-7d9f-a"}, o.ns(1700))
    cluster.passes(1)
    assert services(cluster)["deployment/shop/cart-canary"] == "shop/cart-canary"
    cluster.model.learn("shop/cart", {NAMESPACE: "shop", "k8s.pod.uid": "Pod-shop-cart-canary-7d9f-a"}, o.ns(1701))
    cluster.passes(1)
    assert services(cluster)["deployment/shop/cart-canary"] == "shop/cart"


def test_a_job_of_the_same_chart_is_a_service_of_its_own() -> None:
    cluster = shared("*cart")
    job = component("cart-nightly", of="cart")[2]
    job["metadata"] |= {"name": "cart-nightly-29387520-x2x4z", "uid": "job-pod"}
    job["metadata"]["labels"].pop("pod-template-hash")
    job["metadata"]["ownerReferences"] = [
        {"kind": "Job", "apiVersion": "batch/v1", "name": "cart-nightly-29387520", "uid": "job", "controller": True}
    ]
    cluster.put(job)
    cluster.passes(1)
    assert services(cluster)["pod/shop/cart-nightly-29387520-x2x4z"] == "shop/cart-nightly"
