"""What two sights of an object are worth telling."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kubernetes import read
from connectors.kubernetes.diff import (
    DiffContext,
    autoscaler_changes,
    deletion,
    node_changes,
    notice_changes,
    pod_changes,
    workload_changes,
)
from connectors.kubernetes.objects import Autoscaler, MachineNode, Notice, ObjectKind, Pod, Workload
from contracts.events import Change
from tests.unit.connectors.kubernetes import objects as o

NOW = DiffContext("prod", o.ns(1000))


def workload(raw: o.Json, kind: ObjectKind = ObjectKind.DEPLOYMENT) -> Workload:
    return read.workload(json.dumps(raw).encode(), kind)


def pod(**said: Any) -> Pod:
    return read.pod(json.dumps(o.pod(**said)).encode())


def node(**said: Any) -> MachineNode:
    return read.node(json.dumps(o.node(**said)).encode())


def autoscaler(**said: Any) -> Autoscaler:
    return read.autoscaler(json.dumps(o.autoscaler(**said)).encode())


def notice(**said: Any) -> Notice:
    return read.notice(json.dumps(o.notice(**said)).encode())


def said(changes: list[Change]) -> list[tuple[str, str, str, str]]:
    return [(c.kind, c.before, c.after, c.actor) for c in changes]


# --- workloads

BASE = o.deployment()
BY = [o.managed("helm", 0), o.managed("kubectl", 50)]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (o.deployment(version=2), []),
        (o.deployment(version=2, replicas=5, managed=BY), [("scale", "2", "5", "kubectl")]),
        (o.deployment(template=o.template("registry/cart:1.5"), managed=BY), [("deploy", "1.4", "1.5", "kubectl")]),
        (o.deployment(template=o.template(env=[{"name": "A", "value": "1"}])), [("config", "", "", "helm")]),
        (o.deployment(template=o.template(livenessProbe={})), [("config", "", "", "helm")]),
        (
            o.deployment(template=o.template("registry/cart:1.5"), replicas=3),
            [("deploy", "1.4", "1.5", "helm"), ("scale", "2", "3", "helm")],
        ),
        (o.deployment(replicas=9, managed=[o.managed("homeostat", 60)]), []),
        (
            o.deployment(replicas=9, managed=[o.managed("kube-controller-manager", 60, "scale")]),
            [("scale", "2", "9", "horizontal-pod-autoscaler")],
        ),
    ],
)
def test_changes_of_a_workload(new: o.Json, expected: list[tuple[str, str, str, str]]) -> None:
    found = workload_changes(workload(BASE), workload(new), NOW)
    assert said(found) == expected
    assert {(c.environment, c.service, c.subject) for c in found} <= {("prod", "cart", "deployment/shop/cart")}


def test_a_change_has_the_time_at_which_it_was_written_not_seen() -> None:
    (change,) = workload_changes(workload(BASE), workload(o.deployment(replicas=5, managed=BY)), NOW)
    assert change.time_ns == o.ns(50)
    later = o.deployment(replicas=5, managed=[o.managed("kubectl", 3599)])
    (change,) = workload_changes(workload(BASE), workload(later), NOW)
    assert change.time_ns == NOW.now_ns, "a server's clock that is ahead is not believed"


def test_a_rolling_restart_is_no_new_configuration() -> None:
    template = o.template()
    template["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    (change,) = workload_changes(workload(BASE), workload(o.deployment(template=template)), NOW)
    assert change.kind == "restart"


def test_going_back_to_an_earlier_template_is_a_rollback() -> None:
    newer = workload(o.deployment(template=o.template("registry/cart:1.5")))
    earlier = {workload(o.replica_set(template=o.template()), ObjectKind.REPLICA_SET).template}
    (change,) = workload_changes(newer, workload(BASE), NOW, frozenset(earlier))
    assert (change.kind, change.before, change.after) == ("rollback", "1.5", "1.4")


def test_created_and_deleted() -> None:
    (created,) = workload_changes(None, workload(BASE), NOW)
    assert (created.kind, created.after, created.time_ns) == ("deploy", "1.4", o.ns(0))
    (deleted,) = workload_changes(workload(BASE), None, NOW)
    assert (deleted.kind, deleted.time_ns) == ("delete", NOW.now_ns)


def test_what_a_controller_makes_is_not_told() -> None:
    one, two = (workload(o.replica_set(replicas=n), ObjectKind.REPLICA_SET) for n in (1, 2))
    assert workload_changes(None, one, NOW) == workload_changes(one, two, NOW) == workload_changes(two, None, NOW) == []


def test_several_images_are_told_by_name() -> None:
    two = o.template()
    two["spec"]["containers"].append({"name": "proxy", "image": "registry/envoy:3"})
    (change,) = workload_changes(workload(BASE), workload(o.deployment(template=two)), NOW)
    assert change.after == "cart:1.4, envoy:3"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {}, []),
        ({}, {"high": 9}, [("scale", "1-5", "1-9", "kubectl")]),
        ({}, {"high": 9, "by": "homeostat"}, []),
        ({}, {"limited": True}, [("scale", "", "", "")]),
        ({"limited": True}, {"limited": True}, []),
        ({"limited": True}, {}, []),
    ],
)
def test_changes_of_an_autoscaler(old: Any, new: Any, expected: Any) -> None:
    before = None if old is None else autoscaler(**old)
    assert said(autoscaler_changes(before, autoscaler(**new), "cart", NOW)) == expected
    assert autoscaler_changes(autoscaler(), None, "cart", NOW) == []


# --- pods

OOM, CRASH, DONE = o.ended("OOMKilled", 40, 137), o.ended("Error", 40, 2), o.ended("Completed", 40, 0)
PULL = {"waiting": {"reason": "ErrImagePull", "message": "not found"}}
BACK_OFF = {"waiting": {"reason": "ImagePullBackOff"}}
LOOP = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ({}, {}, []),
        ({}, {"restarts": 1, "last": OOM}, ["oom"]),
        ({}, {"state": OOM}, ["oom"]),
        ({"state": OOM}, {"restarts": 1, "last": OOM}, []),
        ({}, {"restarts": 1, "last": CRASH}, ["restart"]),
        ({}, {"restarts": 1, "last": DONE}, ["restart"]),
        ({}, {"state": DONE}, []),
        ({}, {"restarts": 1}, ["restart"]),
        ({"restarts": 1, "last": CRASH}, {"restarts": 2, "last": o.ended("Error", 80)}, ["restart"]),
        ({"restarts": 1, "last": CRASH}, {"restarts": 1, "last": CRASH, "state": LOOP}, []),
        ({}, {"state": PULL}, ["start"]),
        ({"state": PULL}, {"state": BACK_OFF}, []),
        ({}, {"state": {"waiting": {"reason": "ContainerCreating"}}}, []),
        ({}, {"state": {"waiting": {"reason": "CreateContainerConfigError"}}}, ["start"]),
    ],
)
def test_what_befalls_a_container(old: Any, new: Any, kinds: list[str]) -> None:
    found = pod_changes(pod(containers=[o.container(**old)]), pod(containers=[o.container(**new)]), NOW)
    assert [c.kind for c in found] == kinds
    assert all(c.subject == "pod/shop/cart-7d9f-x2x/main" and c.service == "cart" for c in found)


def test_an_oom_kill_says_so_with_its_time() -> None:
    (change,) = pod_changes(pod(), pod(containers=[o.container(restarts=3, last=OOM)]), NOW)
    assert change.time_ns == o.ns(40)
    assert change.text == "container main of pod cart-7d9f-x2x ran out of memory and was killed, 3 restarts"


def test_at_first_sight_only_what_has_a_time_is_told() -> None:
    assert pod_changes(None, pod(containers=[o.container(restarts=7)]), NOW) == []
    (change,) = pod_changes(None, pod(containers=[o.container(restarts=7, last=CRASH)]), NOW)
    assert change.time_ns == o.ns(40)


def test_evicted_once() -> None:
    mark = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "low on memory"}
    gone = pod(conditions=[mark | {"lastTransitionTime": o.stamp(70)}])
    (change,) = pod_changes(pod(), gone, NOW)
    assert (change.kind, change.time_ns, change.before) == ("eviction", o.ns(70), "n1")
    assert pod_changes(gone, gone, NOW) == []


@pytest.mark.parametrize(("reason", "kinds"), [("Unschedulable", ["scheduling"]), ("SchedulingGated", [])])
def test_a_pod_that_fits_nowhere(reason: str, kinds: list[str]) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/3 nodes are available"}
    pending = pod(node="", conditions=[condition | {"lastTransitionTime": o.stamp(5)}])
    found = pod_changes(None, pending, NOW)
    assert [c.kind for c in found] == kinds
    assert all("0/3 nodes are available" in c.text and c.time_ns == o.ns(5) for c in found)


def test_a_deletion_has_the_time_at_which_it_was_asked_for() -> None:
    going = pod(deletionTimestamp=o.stamp(60), deletionGracePeriodSeconds=30)
    assert deletion(going, NOW).time_ns == o.ns(30)


# --- nodes


@pytest.mark.parametrize(
    ("old", "new", "texts"),
    [
        (None, {}, []),
        ({}, {}, []),
        (None, {"Ready": ("Unknown", 9)}, ["is not ready"]),
        ({}, {"Ready": ("False", 9)}, ["is not ready"]),
        ({"Ready": ("False", 9)}, {"Ready": ("True", 20)}, ["is ready again"]),
        ({"Ready": ("False", 9)}, {"Ready": ("Unknown", 20)}, []),
        ({}, {"MemoryPressure": ("True", 9), "DiskPressure": ("True", 9)}, ["short of memory", "short of disk"]),
        ({}, {"cordoned": True}, ["cordoned"]),
        (None, {"cordoned": True}, []),
        ({"cordoned": True}, {}, ["gets pods again"]),
        ({}, None, ["was removed"]),
    ],
)
def test_a_node_is_told_of_for_every_service_on_it(old: Any, new: Any, texts: list[str]) -> None:
    before, after = None if old is None else node(**old), None if new is None else node(**new)
    found = node_changes(before, after, {"cart": 3, "web": 1}, NOW)
    assert [(c.kind, c.service, c.subject) for c in found] == [
        ("node", service, "node/n1") for _ in texts for service in ("cart", "web")
    ]
    assert all(text in change.text for text, change in zip(texts, found[::2], strict=True))
    assert all("3 pods of cart" in c.text for c in found if c.service == "cart")
    assert node_changes(before, after, {}, NOW) == []


# --- events


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        (None, {}, ["probe"]),
        ({"last": 10}, {"last": 20}, []),
        ({"last": 10}, {"last": 400}, ["probe"]),
        (None, {"reason": "FailedMount"}, ["start"]),
        (None, {"reason": "FailedScheduling"}, []),
        (None, {"reason": "BackOff"}, []),
    ],
)
def test_warnings_are_told_when_they_begin(old: Any, new: Any, kinds: list[str]) -> None:
    found = notice_changes(None if old is None else notice(**old), notice(**new), "cart", NOW)
    assert [c.kind for c in found] == kinds
    assert notice_changes(None, notice(**new), "", NOW) == []


# --- of all

DEPLOYMENTS = st.builds(
    lambda replicas, image, env, manager: workload(
        o.deployment(
            replicas=replicas,
            template=o.template(f"registry/cart:{image}", env=[{"name": "A", "value": env}]),
            managed=[o.managed(manager, 10)],
        )
    ),
    st.integers(0, 3),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["helm", "homeostat"]),
)
CONTAINERS = st.builds(
    lambda restarts, ended, waiting: o.container(restarts=restarts, last=ended, state=waiting),
    st.integers(0, 2),
    st.sampled_from([None, OOM, CRASH, DONE]),
    st.sampled_from([None, PULL, BACK_OFF, LOOP]),
)
PODS = st.builds(lambda containers: pod(containers=[containers]), CONTAINERS)


@given(DEPLOYMENTS, DEPLOYMENTS, st.integers(0, 2000))
def test_the_same_two_sights_say_the_same_whenever_they_are_compared(old: Workload, new: Workload, later: int) -> None:
    told = [workload_changes(old, new, DiffContext("prod", o.ns(t))) for t in (10, 10 + later)]
    assert told[0] == told[1]
    assert workload_changes(new, new, NOW) == []


@given(DEPLOYMENTS, DEPLOYMENTS)
def test_a_workload_that_differs_is_told_unless_we_did_it(old: Workload, new: Workload) -> None:
    differs = (old.replicas, old.template) != (new.replicas, new.template)
    assert bool(workload_changes(old, new, NOW)) == (differs and new.writer.manager == "helm")


@given(st.lists(PODS, min_size=2, max_size=5))
def test_a_pod_that_looks_the_same_says_nothing(pods: list[Pod]) -> None:
    for old, new in itertools.pairwise(pods):
        pod_changes(old, new, NOW)
        assert pod_changes(new, new, NOW) == []
