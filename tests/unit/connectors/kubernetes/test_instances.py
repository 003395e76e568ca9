"""What the cluster says of the instances of services: ready, gone, or neither."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from connectors.kubernetes.instances import REPLACING_NS, Instances
from connectors.kubernetes.objects import ObjectKind, Thing
from connectors.kubernetes.read import reader
from contracts.frames import InstanceState
from contracts.units import SECOND
from tests.unit.connectors.kubernetes import objects as o

READY, GONE, UNSURE = InstanceState.READY, InstanceState.GONE, InstanceState.UNSURE
NOW = o.ns(1000)


def thing(kind: ObjectKind, raw: dict[str, Any]) -> Thing:
    return reader(kind)(msgspec.json.encode(raw))


def pod(name: str = "cart-7d9f-a", *, ready: bool, probed: bool = True, **more: Any) -> Thing:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": o.stamp(3)}
    raw = o.pod(name, conditions=[condition], **more)
    if probed:
        raw["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 80}}
    return thing(ObjectKind.POD, raw)


def deployment(replicas: int = 2) -> Thing:
    return thing(ObjectKind.DEPLOYMENT, o.deployment(replicas=replicas))


def node(ready: str) -> Thing:
    return thing(ObjectKind.NODE, o.node(Ready=(ready, 0.0)))


def said(*things: Thing, now_ns: int = NOW, instances: Instances | None = None) -> InstanceState:
    return (instances or Instances()).states(things, now_ns)["cart"]


def test_one_ready_pod_is_enough() -> None:
    assert said(deployment(), pod(ready=True), pod("cart-7d9f-b", ready=False)) is READY


def test_without_a_readiness_probe_ready_says_nothing() -> None:
    assert said(deployment(), pod(ready=True, probed=False)) is UNSURE


@pytest.mark.parametrize("probed", [True, False])
def test_pods_of_which_none_is_ready_are_gone_and_so_are_those_that_are_not_there(probed: bool) -> None:
    assert said(deployment(), pod(ready=False, probed=probed)) is GONE
    assert said(deployment()) is GONE
    assert said(deployment(), pod(ready=False, phase="Failed")) is GONE


def test_where_none_is_wanted_none_is_missed() -> None:
    assert said(deployment(0)) is UNSURE


def test_pods_on_a_machine_that_does_not_answer_may_well_work() -> None:
    assert said(deployment(), pod(ready=False), node("Unknown")) is UNSURE
    assert said(deployment(), pod(ready=True), node("Unknown")) is UNSURE
    assert said(deployment(), pod(ready=False), node("True")) is GONE


def test_a_release_that_replaces_all_at_once_is_waited_for_and_not_for_ever() -> None:
    seen = Instances()
    assert said(deployment(), pod(ready=True), instances=seen) is READY
    new = pod("cart-8e0a-a", of="cart-8e0a", ready=False, creationTimestamp=o.stamp(1000))
    assert said(deployment(), new, instances=seen) is UNSURE
    assert said(deployment(), new, now_ns=NOW + REPLACING_NS + SECOND, instances=seen) is GONE
    crashed = [o.container(restarts=1, last=o.ended("Error", 1001))]
    again = pod("cart-8e0a-a", of="cart-8e0a", ready=False, creationTimestamp=o.stamp(1000), containers=crashed)
    assert said(deployment(), again, instances=seen) is GONE


def test_a_pod_that_was_killed_is_gone_though_another_one_of_its_release_is_on_its_way() -> None:
    seen = Instances()
    assert said(deployment(), pod(ready=True), instances=seen) is READY
    assert said(deployment(), pod("cart-7d9f-b", ready=False, creationTimestamp=o.stamp(1000)), instances=seen) is GONE


def test_after_a_restart_of_ours_it_is_not_known_what_is_new() -> None:
    assert said(deployment(), pod("cart-8e0a-a", ready=False, creationTimestamp=o.stamp(1000))) is GONE
