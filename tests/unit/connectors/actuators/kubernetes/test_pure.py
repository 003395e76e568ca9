"""Reading workloads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.actuators.kubernetes.workload import (
    image_version,
    places,
    pod_to_restart,
    progress,
    selector_of,
    serving,
    settled,
    wanted,
)
from contracts.ports import Target
from tests.unit.connectors.actuators.kubernetes.api_server import load


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("cart", "latest"),
        ("cart:1.5", "1.5"),
        ("localhost:5000/shop/cart", "latest"),
        ("localhost:5000/shop/cart:1.5-rc.1", "1.5-rc.1"),
        ("shop/cart@sha256:abc", "sha256:abc"),
        ("shop/cart:1.5@sha256:abc", "1.5"),
        ("", ""),
    ],
)
def test_version_of_an_image(image: str, version: str) -> None:
    assert image_version({"spec": {"containers": [{"image": image}, {"image": "sidecar:9"}]}}) == version


PART = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(st.lists(PART, min_size=1, max_size=3), TAG, st.booleans(), st.booleans())
def test_the_tag_of_any_image(path: list[str], tag: str, port: bool, digest: bool) -> None:
    image = ("localhost:5000/" if port else "") + "/".join(path) + f":{tag}" + ("@sha256:abc" if digest else "")
    assert image_version({"spec": {"containers": [{"image": image}]}}) == tag


def test_places() -> None:
    def found(service: str, **attributes: str) -> list[str]:
        given = {"k8s." + k.replace("_", ".") + ".name": v for k, v in attributes.items()}
        return [p.path for p in places(Target("e", service, given))]

    assert found("shop/cart") == [
        "/apis/apps/v1/namespaces/default/deployments/cart",
        "/apis/apps/v1/namespaces/default/statefulsets/cart",
        "/apis/apps/v1/namespaces/default/daemonsets/cart",
    ]
    assert found("x", namespace="n", deployment="d") == ["/apis/apps/v1/namespaces/n/deployments/d"]
    assert found("x", statefulset="s") == ["/apis/apps/v1/namespaces/default/statefulsets/s"]


def test_selector() -> None:
    rules = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "track", "operator": "Exists"},
        {"key": "zone", "operator": "NotIn", "values": ["z"]},
    ]
    spec = {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": rules}
    assert selector_of({"spec": {"selector": spec}}) == "a=1,b=2,tier in (a,b),!old,track,zone notin (z)"


def test_settled() -> None:
    def with_status(**changes: Any) -> bool:
        deployment = load("deployment.json")
        deployment["status"] |= changes
        return settled(deployment)

    assert with_status()
    assert not with_status(observedGeneration=1), "the controller has not seen it yet"
    assert not with_status(updatedReplicas=1)
    assert not with_status(availableReplicas=1)
    assert not with_status(replicas=3), "an old one is still there"
    assert settled(load("statefulset.json"))


def test_pod_to_restart() -> None:
    pods = load("pods.json")["items"]
    assert pod_to_restart(pods, "") == pods[0], "the oldest"
    pods[1]["status"]["conditions"][1]["status"] = "False"
    assert pod_to_restart(pods, "") == pods[1], "one that does not serve"
    pods[1]["metadata"]["deletionTimestamp"] = "2026-03-02T11:00:30Z"
    assert pod_to_restart(pods, "") == pods[0], "not one that is leaving"
    assert pod_to_restart([], "") is None


def test_a_daemon_set() -> None:
    status = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 2, "numberAvailable": 2}
    daemon = {"metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": 1, **status}}
    assert (wanted(daemon), serving(daemon), settled(daemon)) == (3, 2, False)
    assert progress(daemon) == "of 3 replicas 3 updated, 2 ready, 2 available"
    daemon["status"] = {"observedGeneration": 1, **status, "numberAvailable": 3}
    assert settled(daemon)
