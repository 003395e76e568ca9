"""Ends of pods: which are restarts, and which belong to a roll-out, a job's end or a namespace that goes."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import pytest

from connectors.kubernetes import checkpoint
from connectors.kubernetes.objects import ObjectKind
from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.test_model import Cluster, kinds, running, thing
from tests.unit.connectors.kubernetes.test_releases import operated

GOING = {"deletionTimestamp": o.stamp(130), "deletionGracePeriodSeconds": 30}


def in_namespace(namespace: str, *names: str) -> list[o.Json]:
    """A Deployment `cart` and pods of it."""
    owner = {"ownerReferences": o.owner("ReplicaSet", "cart-7d9f", namespace)}
    raws = [o.deployment(), o.replica_set(), *(o.pod(name) for name in names)]
    for raw in raws:
        raw["metadata"] |= {"namespace": namespace, "uid": f"{raw['kind']}-{namespace}-{raw['metadata']['name']}"}
        if raw["kind"] == "Pod":
            raw["metadata"] |= owner
        elif raw["kind"] == "ReplicaSet":
            raw["metadata"]["ownerReferences"] = o.owner("Deployment", "cart", namespace)
    return raws


def going(raw: o.Json) -> o.Json:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": "50", **GOING}}


# --- what a container says as its pod goes


@pytest.mark.parametrize("code", [0, 1, 2, 137, 143])
@pytest.mark.parametrize("known", [True, False])
def test_a_container_that_ends_after_its_pod_was_asked_to_go_is_no_restart(code: int, known: bool) -> None:
    cluster = running()
    if known:
        cluster.put(o.pod(version=4, **GOING))
    cluster.put(o.replica_set(version=5, replicas=1))
    cluster.put(o.pod(version=6, containers=[o.container(state=o.ended("Error", 101, code))], **GOING))
    cluster.gone(o.pod(version=7, containers=[o.container(state=o.ended("Error", 101, code))], **GOING))
    assert cluster.passes(5) == []


def test_a_deletion_that_is_hurried_on_does_not_make_a_crash_of_the_end() -> None:
    cluster = running()
    cluster.put(o.replica_set(version=5, replicas=1), o.pod(version=4, **GOING))
    hurried = {"deletionTimestamp": o.stamp(110), "deletionGracePeriodSeconds": 0}
    cluster.put(o.pod(version=6, **hurried))
    cluster.put(o.pod(version=7, containers=[o.container(state=o.ended("Error", 105, 1))], **hurried))
    assert cluster.passes(12) == []


@pytest.mark.parametrize(
    ("reason", "at", "code", "told"), [("Error", 80, 1, ["restart"]), ("OOMKilled", 101, 137, ["oom"])]
)
def test_what_happened_before_or_for_another_reason_is_told(reason: str, at: int, code: int, told: list[str]) -> None:
    cluster = running()
    cluster.put(o.replica_set(version=5, replicas=1))
    cluster.put(o.pod(version=6, containers=[o.container(restarts=1, last=o.ended(reason, at, code))], **GOING))
    assert kinds(cluster.passes(1)) == told


def sidecar(state: o.Json | None = None, restarts: int = 0, last: o.Json | None = None) -> dict[str, Any]:
    return o.container("proxy", state=state, restarts=restarts, last=last)


def with_sidecar(version: int, main: o.Json, side: o.Json, phase: str = "Running", **more: Any) -> o.Json:
    raw = o.pod(version=version, containers=[main], phase=phase, **more)
    raw["spec"]["initContainers"] = [
        {"name": "setup", "image": "x:1"},
        {"name": "proxy", "image": "p:1", "restartPolicy": "Always"},
    ]
    raw["status"]["initContainerStatuses"] = [o.container("setup", state=o.ended("Completed", 1, 0)), side]
    return raw


def test_a_native_sidecar_that_ends_at_a_roll_out_is_no_restart() -> None:
    cluster = running()
    cluster.put(with_sidecar(4, o.container(), sidecar()), o.replica_set(version=5, replicas=1))
    ended = o.container(state=o.ended("Completed", 101, 0)), sidecar(o.ended("Error", 102, 143))
    cluster.put(with_sidecar(6, *ended, **GOING))
    assert cluster.passes(1) == []


def test_a_native_sidecar_that_is_stopped_once_a_job_is_done_is_no_restart() -> None:
    cluster = running()
    cluster.put(with_sidecar(4, o.container(), sidecar()))
    main = o.container(state=o.ended("Completed", 101, 0))
    cluster.put(with_sidecar(5, main, sidecar()))
    cluster.put(with_sidecar(6, main, sidecar(o.ended("Error", 102, 137)), phase="Succeeded"))
    assert cluster.passes(1) == []


def test_a_native_sidecar_that_crashes_is_a_restart() -> None:
    cluster = running()
    cluster.put(with_sidecar(4, o.container(), sidecar()))
    cluster.put(with_sidecar(5, o.container(), sidecar(restarts=1, last=o.ended("Error", 101, 1))))
    assert kinds(cluster.passes(1)) == ["restart"]


# --- pods that somebody deletes


def test_what_befalls_a_service_of_the_same_name_elsewhere_silences_nothing() -> None:
    """Two namespaces, one of which is cleared away while in the other a pod is killed."""
    cluster = Cluster(since=50)
    cluster.put(*in_namespace("old", "a", "b"), *in_namespace("new", "a", "b"))
    cluster.passes(1)
    cluster.put(going(in_namespace("old", "a")[-1]))
    assert [c.subject for c in cluster.passes(1)] == ["pod/old/a"]
    cluster.put(going(in_namespace("new", "a")[-1]))
    assert [c.subject for c in cluster.passes(1)] == ["pod/new/a"]


def test_pods_that_go_with_their_namespace_are_not_told() -> None:
    """Pods go first, and what owns them is there until they are gone."""
    cluster = Cluster(since=50)
    cluster.put(*in_namespace("old", "a", "b"))
    cluster.passes(1)
    cluster.put(*(going(raw) for raw in in_namespace("old", "a", "b")[-2:]))
    assert cluster.passes(5) == []
    cluster.gone(*in_namespace("old", "a", "b")[::-1])
    assert kinds(cluster.passes(200)) == ["delete"]


def test_the_only_pod_of_a_namespace_is_told_once_it_is_replaced() -> None:
    cluster = Cluster(since=50)
    cluster.put(*in_namespace("old", "a"))
    cluster.passes(1)
    cluster.put(going(in_namespace("old", "a")[-1]))
    new = in_namespace("old", "b")[-1]
    new["metadata"]["creationTimestamp"] = o.stamp(101)
    cluster.put(new)
    (change,) = cluster.passes(1)
    assert (change.subject, change.time_ns) == ("pod/old/a", o.ns(100))
    assert "is replaced" in change.text


def test_a_pod_that_is_killed_and_seen_only_once_it_failed_is_told() -> None:
    """Between two lists: it is seen as it goes, its containers already dead."""
    cluster = running()
    dead = o.pod(version=5, phase="Failed", containers=[o.container(state=o.ended("Error", 101, 137))], **GOING)
    cluster.put(dead)
    assert kinds(cluster.passes(1)) == ["restart"]


def test_a_job_that_is_cleaned_up_is_not_told() -> None:
    cluster = running()
    cluster.put(o.pod("done", 3, phase="Succeeded"))
    cluster.gone(o.pod("done", 4, phase="Succeeded"))
    assert cluster.passes(1) == []


def test_a_pod_that_an_operator_wants_back_is_told_and_its_release_is_not() -> None:
    cluster = Cluster(since=50)
    cluster.put(operated("cart-0", "1.4", 0), operated("cart-1", "1.4", 0), o.pod("other"))
    cluster.gone(operated("cart-0", "1.4", 0))
    assert cluster.passes(2) == [], "its controller may not want it back"
    cluster.put(operated("cart-2", "1.4", 102))
    assert [(c.kind, c.subject) for c in cluster.passes(1)] == [("restart", "pod/shop/cart-0")]
    cluster.gone(operated("cart-1", "1.4", 0))
    cluster.put(operated("cart-3", "1.5", 104))
    assert kinds(cluster.passes(40)) == ["deploy"]


# --- while nobody looked


def taken_over(*raws: o.Json, known: Cluster | None = None) -> Cluster:
    """The next owner lists what there is."""
    before = known or running()
    saved = checkpoint.load(checkpoint.save(before.model.things.values(), o.ns(100)))
    after = Cluster((*saved.things, *saved.instances), since=95)
    there = {r["metadata"]["uid"] for r in raws}
    for kind in (ObjectKind.POD, ObjectKind.REPLICA_SET, ObjectKind.DEPLOYMENT):
        for uid, was in list(after.model.things.items()):
            if was.head.kind is kind and uid not in there:
                after.model.take(was, None, o.ns(after.now))
        after.put(*(r for r in raws if r["kind"] == str(kind)))
        assert after.passes(1) == [] or kind is not ObjectKind.POD, "its ReplicaSet has not been heard yet"
        after.model.listed(kind, "", [thing(r) for r in raws if r["kind"] == str(kind)], o.ns(after.now))
    return after


def replacement(name: str = "cart-7d9f-new", at: float = 97, of: str = "cart-7d9f") -> o.Json:
    raw = o.pod(name, of=of)
    raw["metadata"]["creationTimestamp"] = o.stamp(at)
    return raw


def test_a_pod_that_was_killed_while_nobody_looked_is_told_by_the_next() -> None:
    after = taken_over(o.deployment(), o.replica_set(), o.pod(), replacement())
    (change,) = [*after.told, *after.passes(1)]
    assert (change.kind, change.subject, change.time_ns) == ("restart", "pod/shop/cart-7d9f-y2y", o.ns(97))


def test_a_pod_that_went_because_fewer_were_wanted_is_not() -> None:
    after = taken_over(o.deployment(version=9, replicas=1), o.replica_set(version=8, replicas=1), o.pod())
    assert kinds([*after.told, *after.passes(1)]) == ["scale"]


def test_nor_are_those_of_an_earlier_release() -> None:
    newer = o.template("registry/cart:1.5")
    new = o.replica_set("cart-8aaa", 8, template=newer)
    new["metadata"]["creationTimestamp"] = o.stamp(96)
    raws = o.deployment(version=9, template=newer), o.replica_set(version=8, replicas=0), new
    after = taken_over(*raws, replacement("cart-8aaa-a", of="cart-8aaa"), replacement("cart-8aaa-b", of="cart-8aaa"))
    assert kinds([*after.told, *after.passes(1)]) == ["deploy"]


def test_a_checkpoint_of_an_earlier_release_can_be_read() -> None:
    found = checkpoint.load(checkpoint.save([thing(o.deployment()), thing(o.node())], 5))

    old = zlib.compress(msgspec.msgpack.encode([1, 5, found.workloads, found.autoscalers, found.nodes]))
    assert checkpoint.load(old) == found
    assert checkpoint.load(old).instances == []


def test_a_checkpoint_too_large_for_a_message_leaves_pods_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_LARGEST", 100)
    found = checkpoint.load(checkpoint.save(running().model.things.values(), 5))
    assert found.instances == []
    assert found.workloads
