"""Objects from the field (../shared/field, README there): what the watch makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.test_model import Cluster

INPUTS = Path(__file__).parents[5] / "shared" / "field" / "inputs"


def inputs(name: str) -> list[Any]:
    if not INPUTS.is_dir():
        pytest.skip("no inputs from the field beside the checkout (../shared/field)")
    found: list[Any] = json.loads((INPUTS / name).read_text())
    return found


def test_the_old_pod_of_a_roll_out_is_no_restart() -> None:
    (case,) = inputs("F13-rollout-pod-ends.json")
    for owner in ([], [o.deployment(), o.replica_set()]):
        cluster = Cluster(since=50)
        cluster.put(*owner, case["old"])
        if owner:
            cluster.put(o.replica_set(version=4, replicas=0))
        cluster.put(case["new"])
        cluster.gone(case["new"])
        assert cluster.passes(40) == []


def test_a_release_of_an_argo_rollout_is_a_deploy() -> None:
    (case,) = inputs("F14-releases-by-controllers.json")
    cluster = Cluster()
    cluster.put(case["beside"])
    cluster.passes(1)
    cluster.put(case["new"])
    (change,) = cluster.passes(1)
    assert (change.kind, change.service, change.before, change.after) == ("deploy", "cart", "1.4", "1.5")


def test_components_under_one_label_are_two_services() -> None:
    cluster = Cluster()
    raws = inputs("F16-one-label-for-all-components.json")
    cluster.put(*raws)
    cluster.passes(1)
    names = {r["service_key"] for r in cluster.rows()["link_services"]}
    assert names == {"prod|airflow-worker", "prod|airflow-scheduler"}
    for raw in raws:
        told = {"k8s.namespace.name": "shop", "k8s.deployment.name": raw["metadata"]["name"]}
        cluster.model.learn(raw["metadata"]["name"].upper(), told, o.ns(100))
    cluster.passes(1)
    names = {r["service_key"] for r in cluster.rows()["link_services"] if not r["valid_to"]}
    assert names == {"prod|AIRFLOW-WORKER", "prod|AIRFLOW-SCHEDULER"}


# --- others of the same kinds


def leaving(raw: o.Json, seconds: float = 125) -> o.Json:
    return {
        **raw,
        "metadata": {**raw["metadata"], "deletionTimestamp": o.stamp(seconds), "deletionGracePeriodSeconds": 30},
    }


def native_sidecar(raw: o.Json, restarts: int) -> o.Json:
    """With a sidecar that Kubernetes itself knows as one, and ends last."""
    proxy = o.container("proxy", restarts=restarts, state=o.ended("Error", 95, 137))
    spec = {
        **raw["spec"],
        "initContainers": [{"name": "proxy", "image": "registry/proxy:1", "restartPolicy": "Always"}],
    }
    return {**raw, "spec": spec, "status": {**raw["status"], "initContainerStatuses": [proxy]}}


def pod_of(**more: Any) -> o.Json:
    return o.pod(version=5, **more)


ENDS = {
    "killed, as it took too long": leaving(pod_of(containers=[o.container(state=o.ended("Error", 98, 137))])),
    "its own exit code": leaving(pod_of(containers=[o.container(state=o.ended("Error", 98, 1))])),
    "started once more while it goes": leaving(
        pod_of(containers=[o.container(restarts=1, last=o.ended("Error", 97, 143))])
    ),
    "a sidecar that ends last": native_sidecar(leaving(pod_of()), 0),
    "a sidecar that is started again while it goes": native_sidecar(leaving(pod_of()), 1),
    "one of several containers": leaving(
        pod_of(
            containers=[
                o.container(state=o.ended("Completed", 98, 0)),
                o.container("log", state=o.ended("Error", 99, 143)),
            ]
        )
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_was_asked_to_go_does_not_restart(end: str) -> None:
    cluster = Cluster(since=50)
    cluster.put(o.deployment(), o.replica_set(), o.pod(), o.node())
    assert cluster.passes(1) == []
    cluster.put(o.replica_set(version=4, replicas=0), ENDS[end])
    cluster.gone(ENDS[end])
    assert cluster.passes(40) == []


@pytest.mark.parametrize("reason", ["Error", "OOMKilled"])
def test_what_ends_and_was_not_asked_to_is_told(reason: str) -> None:
    cluster = Cluster(since=50)
    cluster.put(o.deployment(), o.replica_set(), o.pod(), o.node())
    cluster.passes(1)
    cluster.put(o.pod(version=5, containers=[o.container(restarts=1, last=o.ended(reason, 99, 137))]))
    (change,) = cluster.passes(1)
    assert (change.kind, change.service) == ("oom" if reason == "OOMKilled" else "restart", "cart")


def owned(raw: o.Json, kind: str, name: str) -> o.Json:
    return {**raw, "metadata": {**raw["metadata"], "ownerReferences": o.owner(kind, name)}}


def stateful(version: int, image: str, **more: Any) -> o.Json:
    return {
        "kind": "StatefulSet",
        "metadata": o.meta("StatefulSet", "events", version, managedFields=[o.managed("operator", 100)]),
        "spec": {"replicas": 3, "template": o.template(image, {"app": "events"})},
        "status": {"readyReplicas": 3},
        **more,
    }


def test_a_release_by_an_operator_is_a_deploy() -> None:
    cluster = Cluster(since=50)
    cluster.put(owned(stateful(1, "registry/events:3.7"), "Kafka", "events"))
    cluster.passes(1)
    cluster.put(owned(stateful(2, "registry/events:3.8"), "Kafka", "events"))
    (change,) = cluster.passes(1)
    assert (change.kind, change.service, change.before, change.after) == ("deploy", "events", "3.7", "3.8")


def test_a_release_of_a_rollout_that_goes_back_is_told_too() -> None:
    cluster = Cluster()
    old, new = (
        owned(o.replica_set(name, of="cart", template=o.template(f"registry/cart:{tag}")), "Rollout", "cart")
        for name, tag in (("cart-7d9f", "2.0"), ("cart-5c44", "2.1"))
    )
    cluster.put(old)
    cluster.passes(1)
    cluster.put(new)
    assert [(c.before, c.after) for c in cluster.passes(1)] == [("2.0", "2.1")]


def component(kind: str, name: str) -> list[o.Json]:
    """A workload whose labels are those of the whole application, and a pod of it."""
    labels = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "prod", "app": "shop"}
    workload = {
        "kind": kind,
        "metadata": o.meta(kind, name, managedFields=[o.managed("helm", 0)]),
        "spec": {"replicas": 1, "template": o.template(labels=labels)},
        "status": {"readyReplicas": 1},
    }
    pod = o.pod(f"{name}-0")
    pod["metadata"] |= {"labels": labels, "ownerReferences": o.owner(kind, name)}
    return [workload, pod]


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
@pytest.mark.parametrize("told", ["k8s.pod.uid", "k8s.pod.name"])
def test_telemetry_that_names_its_pod_says_which_component_is_which(kind: str, told: str) -> None:
    cluster = Cluster()
    for name in ("web", "worker", "beat"):
        cluster.put(*component(kind, name))
    cluster.passes(1)
    for name in ("web", "worker", "beat"):
        pod = component(kind, name)[1]["metadata"]
        said = {"k8s.namespace.name": "shop", told: pod["uid" if told == "k8s.pod.uid" else "name"]}
        cluster.model.learn(f"shop-{name}", said, o.ns(101))
    cluster.passes(1)
    links = {r["object_id"]: r["service_key"] for r in cluster.rows()["link_services"] if not r["valid_to"]}
    for name in ("web", "worker", "beat"):
        assert {key for thing, key in links.items() if name in thing} == {f"prod|shop-{name}"}


def revision(number: int, tag: str, seconds: float) -> o.Json:
    """A Deployment that Knative made for a revision."""
    name = f"cart-{number:05}"
    labels = {"app": name, "serving.knative.dev/service": "cart", "serving.knative.dev/revision": name}
    raw = o.deployment(f"{name}-deployment", template=o.template(f"registry/cart:{tag}", labels))
    reference = {
        "kind": "Revision",
        "apiVersion": "serving.knative.dev/v1",
        "name": name,
        "uid": name,
        "controller": True,
    }
    raw["metadata"] |= {"ownerReferences": [reference], "creationTimestamp": o.stamp(seconds)}
    return raw


def test_a_revision_of_knative_is_a_deploy_of_its_service() -> None:
    cluster = Cluster(since=50)
    cluster.put(revision(1, "1.4", 0))
    cluster.passes(1)
    cluster.put(revision(2, "1.5", 101))
    found = [(c.kind, c.service, c.before, c.after) for c in cluster.passes(1)]
    assert found == [("deploy", "cart", "1.4", "1.5")]


LATEST = "registry/cart:latest@sha256:"


@pytest.mark.parametrize(
    ("before", "after", "levels"),
    [
        (LATEST + "a" * 64, LATEST + "b" * 64, ("cart:latest@sha256:aaaaaaaaaaaa", "cart:latest@sha256:bbbbbbbbbbbb")),
        ("registry/cart:1", "other/cart:1", ("registry/cart:1", "other/cart:1")),
        ("registry/cart:1", "registry/cart:2", ("1", "2")),
    ],
)
@pytest.mark.parametrize("by", ["Deployment", "Rollout"])
def test_a_release_under_the_same_tag_is_told_by_what_differs(
    by: str, before: str, after: str, levels: tuple[str, str]
) -> None:
    cluster = Cluster(since=50)
    for i, image in enumerate((before, after)):
        template = o.template(image, {"app": "cart"})
        if by == "Deployment":
            cluster.put(o.deployment(version=1 + i, template=template, managed=[o.managed("helm", 100 * i)]))
        else:
            made = owned(o.replica_set(f"cart-7d9{i}", of="cart", template=template), "Rollout", "cart")
            made["metadata"]["creationTimestamp"] = o.stamp(100 * i)
            cluster.put(made)
        found = cluster.passes(1)
    assert [(c.kind, (c.before, c.after)) for c in found] == [("deploy", levels)]
