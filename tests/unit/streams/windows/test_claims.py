"""Who a service is, through ingest and merging: no sender's word replaces another's, whichever partitions they come by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.claims import CONTESTED, HORIZON_NS, PODS, REPEAT_NS
from contracts.frames import Resource
from contracts.units import SECOND
from streams.windows.entities import Entities
from streams.windows.names import Names

NOW = 1_700_000_000_000_000_000
DEPLOYMENT = "k8s.deployment.name"


def resource(deployment: str, **more: str) -> Resource:
    attributes = {DEPLOYMENT: deployment, "k8s.namespace.name": "shop", **more}
    return Resource("prod", "cart", "1", attributes=tuple(sorted(attributes.items())))


def hear(names: Names, resource: Resource, now_ns: int) -> None:
    names.now_ns = now_ns
    names.resource(resource)


def told(names: Names) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(names.attributes[names.number("cart")])
    return found


@pytest.mark.parametrize("restored", [False, True])
def test_a_stranger_does_not_redirect_a_service(restored: bool) -> None:
    names = Names("prod", 4, 10)
    for i in range(9):
        hear(names, resource("cart"), NOW + i)
    assert names.news(0)
    assert CONTESTED not in told(names)
    hear(names, resource("payments"), NOW + 9)
    if restored:
        state = json.loads(json.dumps(names.state()))
        names = Names("prod", 4, 10)
        names.load(state)
    assert told(names)[DEPLOYMENT] == "cart"
    assert told(names)[CONTESTED] == "k8s.deployment.name is cart (90%) or payments (10%)"
    assert names.news(0), "it is sent on"
    for after_s in range(0, 700, 30):
        hear(names, resource("cart"), NOW + after_s * SECOND)
    assert CONTESTED not in told(names), "who has not been heard of for ten minutes has gone"


def test_replicas_are_one_claim() -> None:
    names = Names("prod", 4, 10)
    for i in range(40):
        hear(names, resource("cart", **{"k8s.pod.name": f"cart-{i}"}), NOW)
    assert told(names) == {DEPLOYMENT: "cart", "k8s.namespace.name": "shop"}


def test_what_is_claimed_is_said_again_now_and_then() -> None:
    names, said = Names("prod", 4, 10), 0
    for after_s in range(0, 600, 5):
        hear(names, resource("cart"), NOW + after_s * SECOND)
        said += bool(names.news(0))
    assert said == 600 * SECOND // REPEAT_NS


def test_a_snapshot_of_before_there_were_claims() -> None:
    state = {"text": ["cart"], "version": ["1"], "attributes": [json.dumps({DEPLOYMENT: "cart"})], "fresh": []}
    names = Names("prod", 4, 10)
    names.load(state)
    assert told(names) == {DEPLOYMENT: "cart"}
    hear(names, resource("cart"), NOW)
    assert told(names)[DEPLOYMENT] == "cart"


@pytest.mark.parametrize("restored", [False, True])
def test_source_partitions_that_differ(restored: bool) -> None:
    """Each partition sees one sender only; both lead to the partition of the service."""
    entities = Entities(10, SECOND)
    cart = entities.number(("cart", ""))
    for source, deployment in (("otlp_spans/0", "cart"), ("otlp_spans/1", "payments")):
        entities.identify(cart, "1", json.dumps({DEPLOYMENT: deployment}), source, NOW)
    if restored:
        state = entities.state()
        entities = Entities(10, SECOND)
        entities.load(state)
    assert CONTESTED in json.loads(entities.attributes[cart])
    entities.identify(cart, "1", json.dumps({DEPLOYMENT: "cart"}), "otlp_spans/0", NOW + HORIZON_NS)
    assert json.loads(entities.attributes[cart]) == {DEPLOYMENT: "cart"}


def of_pod(name: str) -> Resource:
    attributes = {"k8s.namespace.name": "shop", "k8s.pod.name": name, "k8s.pod.uid": f"uid of {name}"}
    return Resource("prod", "cart", "1", attributes=tuple(sorted(attributes.items())))


@pytest.mark.parametrize(
    "pods",
    [
        ("cart-7d9f8b6c5d-x2x4z", "cart-7d9f8b6c5d-bbbbb", "cart-bcdfghjkl-x2x4z", "cart-7d9f8b6c56-x2x4z"),
        ("cart-0", "cart-1", "cart-12"),
        ("cart-x2x4z", "cart-bbbbb"),
        ("cart-29387520-x2x4z", "cart-29387521-bbbbb"),
        ("cart", "cart"),
    ],
)
def test_pods_of_one_workload_do_not_contest_it(pods: tuple[str, ...]) -> None:
    names = Names("prod", 4, 10)
    for i, name in enumerate(pods):
        hear(names, of_pod(name), NOW + i)
    assert CONTESTED not in told(names)
    assert told(names)[PODS] == "cart"
    hear(names, resource("cart"), NOW + 9)
    assert CONTESTED not in told(names), "its workload is called as its pods say"
    assert told(names)[DEPLOYMENT] == "cart"


def test_pods_of_two_workloads_contest_a_service() -> None:
    names = Names("prod", 4, 10)
    for name in ("cart-7d9f8b6c5d-x2x4z", "cart-canary-7d9f8b6c5d-x2x4z"):
        hear(names, of_pod(name), NOW)
    assert told(names)[CONTESTED] == "the workload of its pods is cart (50%) or cart-canary (50%)"
    assert names.are_shared
    for after_s in range(0, 700, 30):
        hear(names, of_pod("cart-7d9f8b6c5d-x2x4z"), NOW + after_s * SECOND)
    assert not names.are_shared


def test_jobs_of_one_timetable_are_one_claim() -> None:
    names = Names("prod", 4, 10)
    for i in range(20):
        attributes = {"k8s.namespace.name": "shop", "k8s.job.name": f"cart-{29387520 + i}"}
        hear(names, Resource("prod", "cart", "1", attributes=tuple(sorted(attributes.items()))), NOW + i)
    assert told(names) == {"k8s.namespace.name": "shop", "k8s.job.name": "cart"}
