"""From JSON to records: what is kept, who wrote it, what a template's hash tells apart, and names of services."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kubernetes import read
from connectors.kubernetes.naming import service_of, top_workload
from connectors.kubernetes.objects import ConditionMark, ObjectKind
from connectors.kubernetes.template import summary, tag_of
from tests.unit.connectors.kubernetes import objects as o


def raw(thing: Any) -> bytes:
    return json.dumps(thing).encode()


def test_a_pod_keeps_what_matters() -> None:
    last = o.ended("OOMKilled", 40, 137)
    found = read.pod(raw(o.pod(containers=[o.container(restarts=3, last=last)])))
    assert found.head.place == "pod/shop/cart-7d9f-x2x"
    assert found.head.owner is not None
    assert (found.head.owner.kind, found.head.owner.name) == ("ReplicaSet", "cart-7d9f")
    assert (found.service, found.node, found.phase, found.scheduled_ns) == ("cart", "n1", "Running", o.ns(1))
    (container,) = found.containers
    assert (container.restarts, container.ended, container.ended_ns, container.exit_code) == (
        3,
        "OOMKilled",
        o.ns(40),
        137,
    )


def test_the_time_of_a_deletion_is_when_it_was_asked_for() -> None:
    going = o.pod(deletionTimestamp=o.stamp(60), deletionGracePeriodSeconds=30)
    assert read.pod(raw(going)).leaving_ns == o.ns(30)


def test_an_eviction_has_its_reason() -> None:
    said = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}
    found = read.pod(raw(o.pod(conditions=[said | {"lastTransitionTime": o.stamp(9)}])))
    assert found.evicted == ConditionMark("EvictionByEvictionAPI", "drained", o.ns(9))


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        ([o.managed("helm", 1), o.managed("kubectl-edit", 5)], "kubectl-edit"),
        ([o.managed("helm", 1), o.managed("kube-controller-manager", 5)], "helm"),
        ([o.managed("helm", 1), o.managed("kubectl", 5, "status")], "helm"),
        ([o.managed("helm", 1), o.managed("kube-controller-manager", 5, "scale")], "horizontal-pod-autoscaler"),
        ([], ""),
    ],
)
def test_who_wrote_a_spec_last(entries: list[o.Json], writer: str) -> None:
    assert read.workload(raw(o.deployment(managed=entries)), ObjectKind.DEPLOYMENT).writer.manager == writer


def test_lists_may_be_null() -> None:
    bare = {
        "metadata": {"name": "x", "uid": "u", "labels": None, "ownerReferences": None},
        "spec": {"containers": None},
    }
    assert read.pod(raw(bare | {"status": {"conditions": None, "containerStatuses": None}})).containers == ()


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"{}", b'{"metadata":{"name":"x"}}', b'{"metadata":{"name":5}}'])
@pytest.mark.parametrize("kind", list(ObjectKind))
def test_what_is_no_object_is_refused(kind: ObjectKind, broken: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read.reader(kind)(broken)


@given(st.sampled_from(list(ObjectKind)), st.binary(max_size=40), st.integers(0, 400), st.integers(0, 400))
def test_damaged_objects_never_do_worse_than_be_refused(kind: ObjectKind, junk: bytes, start: int, end: int) -> None:
    whole = raw(o.pod(containers=[o.container(last=o.ended("Error", 1))]) | o.deployment())
    with contextlib.suppress(msgspec.DecodeError, ValueError, TypeError, AttributeError, RecursionError):
        assert read.reader(kind)(whole[:start] + junk + whole[end:]).head.kind is kind


# --- templates


BASE = o.template(env=[{"name": "A", "value": "1"}], resources={"limits": {"cpu": "1"}})


def changed(**container: Any) -> o.Json:
    return o.template(**({"env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}} | container))


def annotated(key: str) -> o.Json:
    found = changed()
    found["metadata"]["annotations"] = {key: "x"}
    return found


def with_volume(volume: o.Json) -> o.Json:
    found = changed()
    found["spec"]["volumes"] = [{"name": "v", **volume}]
    return found


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (changed(image="registry/cart:1.5"), "images"),
        (changed(env=[{"name": "A", "value": "2"}]), "config"),
        (changed(envFrom=[{"configMapRef": {"name": "flags"}}]), "config"),
        (with_volume({"secret": {"secretName": "tls"}}), "config"),
        (annotated("checksum/config"), "config"),
        (changed(resources={"limits": {"cpu": "2"}}), "resources"),
        (annotated("kubectl.kubernetes.io/restartedAt"), "restarted"),
        (annotated("prometheus.io/scrape"), "rest"),
        (with_volume({"emptyDir": {}}), "rest"),
        (changed(readinessProbe={"httpGet": {"path": "/"}}), "rest"),
    ],
)
def test_a_change_of_a_template_shows_in_one_part(other: o.Json, part: str) -> None:
    a, b = summary(raw(BASE)), summary(raw(other))
    assert [f for f in a.__struct_fields__ if getattr(a, f) != getattr(b, f)] == [part]


def test_a_template_is_the_same_in_a_replica_set_and_in_any_order() -> None:
    in_replica_set = o.replica_set(template=BASE)["spec"]["template"]
    turned = {"spec": dict(reversed(BASE["spec"].items())), "metadata": {**BASE["metadata"], "annotations": None}}
    assert summary(raw(BASE)) == summary(raw(in_replica_set)) == summary(raw(turned))


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("cart", "latest"),
        ("cart:1.4", "1.4"),
        ("host:5000/shop/cart", "latest"),
        ("host:5000/shop/cart:1.4@sha256:ab", "1.4"),
        ("cart@sha256:ab", "sha256:ab"),
        ("", ""),
    ],
)
def test_the_version_is_the_tag(image: str, tag: str) -> None:
    assert tag_of(image) == tag


# --- names


NAME, ATTRIBUTES = "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"


@pytest.mark.parametrize(
    ("labels", "annotations", "environment", "service"),
    [
        ({}, {}, [], "cart-v1"),
        ({"app": "cart"}, {}, [], "cart"),
        ({"app": "x", "app.kubernetes.io/name": "cart"}, {}, [], "cart"),
        ({"app": "10.0.0.1"}, {}, [], "cart-v1"),
        ({"app": "x"}, {"resource.opentelemetry.io/service.name": "cart"}, [], "cart"),
        ({"app": "x"}, {}, [(NAME, "cart", "")], "cart"),
        ({"app": "x"}, {}, [(NAME, "cart", ""), (NAME, "sidecar", "")], "cart"),
        ({"app": "x"}, {}, [(ATTRIBUTES, "a=b,service.name=cart,service.namespace=the%20shop", "")], "the shop/cart"),
        ({"app": "x"}, {}, [(ATTRIBUTES, "service.name=y", ""), (NAME, "cart", "")], "cart"),
        ({"app": "x", "component": "cart"}, {}, [(NAME, "", "metadata.labels['component']")], "cart"),
        ({"app": "cart"}, {}, [(NAME, "$(POD)", "")], "cart"),
    ],
)
def test_a_pod_is_named_as_its_telemetry_is(
    labels: dict[str, str], annotations: dict[str, str], environment: list[tuple[str, str, str]], service: str
) -> None:
    assert service_of("Deployment", "cart-v1", labels, annotations, environment) == service


@pytest.mark.parametrize(
    ("owner", "labels", "top"),
    [
        (("ReplicaSet", "cart-7d9f"), {"pod-template-hash": "7d9f"}, ("Deployment", "cart")),
        (("ReplicaSet", "cart-7d9f"), {}, ("ReplicaSet", "cart-7d9f")),
        (("Job", "nightly-29012345"), {}, ("CronJob", "nightly")),
        (("StatefulSet", "db"), {}, ("StatefulSet", "db")),
    ],
)
def test_the_workload_behind_a_pod(owner: tuple[str, str], labels: dict[str, str], top: tuple[str, str]) -> None:
    assert top_workload(*owner, labels) == top


def test_all_that_belongs_together_has_one_service_name() -> None:
    labelled = {"metadata": {"labels": {}}, "spec": o.template()["spec"]}
    found = [
        read.workload(raw(o.deployment(template=labelled)), ObjectKind.DEPLOYMENT).service,
        read.workload(raw(o.replica_set(template=labelled)), ObjectKind.REPLICA_SET).service,
        read.pod(raw(o.pod())).service,
    ]
    assert found == ["cart"] * 3
