"""The watcher as a whole, against a server that speaks list and watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from connectors.kubernetes import watcher as watchers
from connectors.kubernetes.model import ClusterModel
from connectors.kubernetes.objects import Thing
from connectors.kubernetes.watcher import ClusterWatcher, WatchWiring, sources
from contracts.errors import BrokerUnavailable
from contracts.events import Change
from contracts.frames import ADDRESS_PARTS, AddressFrame, InstanceState
from contracts.ports import GraphWrite, ManualClock
from contracts.settings import KubernetesSettings
from tests.unit.connectors.kubernetes import objects as o
from tests.unit.connectors.kubernetes.conftest import until
from tests.unit.connectors.kubernetes.list_watch import ListWatchServer

DEPLOYMENTS, REPLICA_SETS = "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets"
SERVICES, SLICES = "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"
PODS, NODES, EVENTS = "/api/v1/pods", "/api/v1/nodes", "/api/v1/events"


class World:
    """What is around a watcher: topic, graph, snapshots, clock."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.writes: list[GraphWrite] = []
        self.reports: list[tuple[dict[str, InstanceState], int]] = []
        self.addresses: dict[int, AddressFrame] = {}
        self.addressed = 0
        self.saved: dict[str, bytes] = {}
        self.away = False
        self.clock = ManualClock(o.ns(100))

    async def publish(self, change: Change) -> None:
        if self.away:
            raise BrokerUnavailable("Kafka is away")
        self.changes.append(change)

    async def report(self, states: Mapping[str, InstanceState], time_ns: int) -> None:
        if self.away:
            raise BrokerUnavailable("Kafka is away")
        self.reports.append((dict(states), time_ns))

    async def address(self, frame: AddressFrame) -> None:
        if self.away:
            raise BrokerUnavailable("Kafka is away")
        self.addresses[frame.part] = frame
        self.addressed += 1

    def stands_for(self) -> dict[tuple[str, str], str]:
        """By name and namespace, as told last."""
        return {
            (name, namespace): meant
            for f in self.addresses.values()
            for name, namespace, meant in zip(f.names, f.namespaces, f.stands_for, strict=True)
        }

    async def load(self, key: str) -> bytes | None:
        return self.saved.get(key)

    async def save(self, key: str, value: bytes) -> None:
        self.saved[key] = value

    async def close(self) -> None:
        """Nothing to close."""

    def watcher(self, **settings: Any) -> ClusterWatcher:
        told = KubernetesSettings(watch=True, context="here", **settings)
        tell = (self.publish, self.report, self.address)
        return ClusterWatcher(WatchWiring(told, "prod", self.clock, *tell, self.writes.append, self))

    def rows(self, statement: str) -> list[Any]:
        return [row for write in self.writes if write.statement == statement for row in write.rows]


@asynccontextmanager
async def watching(watcher: ClusterWatcher) -> AsyncIterator[ClusterWatcher]:
    watcher.start()
    try:
        yield watcher
    finally:
        await watcher.stop()


def fill(server: ListWatchServer) -> None:
    server.put(DEPLOYMENTS, o.deployment())
    server.put(REPLICA_SETS, o.replica_set())
    server.put(PODS, o.pod())
    server.put(NODES, o.node())


def said(world: World) -> list[tuple[str, str, str]]:
    return [(c.kind, c.service, c.after) for c in world.changes]


async def test_what_changes_is_told_and_drawn(server: ListWatchServer) -> None:
    fill(server)
    world = World()
    world.clock.advance_to(o.ns(1000))  # the Deployment is older than ten minutes
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        server.put(DEPLOYMENTS, o.deployment(replicas=4, managed=[o.managed("kubectl", 900)]))
        server.put(PODS, o.pod(containers=[o.container(restarts=1, last=o.ended("OOMKilled", 901))]))
        late = o.notice(reason="FailedMount")
        late["firstTimestamp"] = o.stamp(902)
        server.put(EVENTS, late)
        await until(lambda: len(world.changes) == 3)
        assert sorted(said(world)) == [("oom", "cart", ""), ("scale", "cart", "4"), ("start", "cart", "")]
        status = watcher.status()
    assert status["synced"]
    assert status["objects"] == {"Deployment": 1, "Event": 1, "Node": 1, "Pod": 1, "ReplicaSet": 1}
    assert status["trouble"] == []
    assert {r["kind"] for r in world.rows("upsert_objects")} == {"Deployment", "ReplicaSet", "Pod", "Node"}
    assert len(world.rows("retire_objects")) == 7
    assert {q["fieldSelector"] for q in server.queries if q["path"] == EVENTS} == {"type=Warning"}


async def test_the_next_watcher_goes_on_where_the_last_ended(server: ListWatchServer) -> None:
    fill(server)
    world = World()
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
    first = list(world.changes)
    assert [c.kind for c in first] == ["deploy"], "created within the last ten minutes"
    server.put(DEPLOYMENTS, o.deployment(template=o.template("registry/cart:1.5"), managed=[o.managed("helm", 120)]))
    world.clock.advance_to(o.ns(300))
    async with watching(world.watcher()):
        await until(lambda: len(world.changes) > len(first))
    (change,) = world.changes[1:]
    assert (change.kind, change.after, change.time_ns) == ("deploy", "1.5", o.ns(120))


async def test_two_that_watch_at_once_tell_the_same(server: ListWatchServer) -> None:
    fill(server)
    worlds = World(), World()
    async with watching(worlds[0].watcher()) as a, watching(worlds[1].watcher()) as b:
        await a.synced()
        await b.synced()
        server.put(DEPLOYMENTS, o.deployment(replicas=4, managed=[o.managed("kubectl", 60)]))
        await until(lambda: all(len(w.changes) == 2 for w in worlds))
    assert worlds[0].changes == worlds[1].changes


async def test_what_the_broker_does_not_take_waits(server: ListWatchServer) -> None:
    fill(server)
    world = World()
    world.away = True
    async with watching(world.watcher()) as watcher:
        await until(lambda: "Kafka is away" in watcher.status()["trouble"])
        assert world.changes == []
        world.away = False
        await until(lambda: said(world) == [("deploy", "cart", "1.4")])
        assert watcher.status()["trouble"] == []


async def test_what_is_forbidden_holds_nothing_else_up(server: ListWatchServer) -> None:
    fill(server)
    server.refuse_paths[NODES] = 403
    world = World()
    async with watching(world.watcher()) as watcher:
        await until(lambda: watcher.status()["objects"].get("Pod"))
        await until(lambda: any("list nodes" in text for text in watcher.status()["trouble"]))
        assert not watcher.is_synced
        assert watcher.counters()["Node", "forbidden"] >= 1
        server.refuse_paths.clear()
        await watcher.synced()


async def test_without_the_right_to_read_services_all_else_is_as_it_was(server: ListWatchServer) -> None:
    fill(server)
    server.put(PODS, pod_at("10.0.0.1"))
    server.refuse_paths |= {SERVICES: 403, SLICES: 403}
    world = World()
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        watcher.learn("cart", {"k8s.namespace.name": "shop", "k8s.deployment.name": "cart"}, o.ns(100))
        await until(lambda: any("cart" in states for states, _ in world.reports))
        await until(lambda: world.stands_for().get(("10.0.0.1", "")) == "cart")
        troubles = watcher.status()["trouble"]
        for what in ("services", "endpointslices.discovery.k8s.io"):
            assert any(f"the role needs get, list, watch on {what}" in text for text in troubles), troubles


async def test_addresses_are_told_as_they_come_and_until_they_have_arrived(server: ListWatchServer) -> None:
    fill(server)
    pod = server.put(PODS, pod_at("10.0.0.1"))
    server.put(SERVICES, o.service(ip="10.96.0.1"))
    server.put(SLICES, o.endpoints(pods=[pod]))
    world = World()
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        await until(lambda: len(world.addresses) == ADDRESS_PARTS)
        wanted = {("cart", "shop"): "cart", ("10.96.0.1", ""): "cart", ("10.0.0.1", ""): "cart"}
        await until(lambda: world.stands_for() == wanted, str(world.stands_for()))
        world.away = True
        server.put(PODS, pod_at("10.0.0.2", version=9))
        await until(lambda: watcher.status()["trouble"])
        world.away = False
        await until(lambda: ("10.0.0.2", "") in world.stands_for())
        await until(lambda: ("10.0.0.1", "") not in world.stands_for())


def pod_at(ip: str, version: int = 1) -> o.Json:
    found = o.pod(version=version)
    found["status"]["podIP"] = ip
    return found


async def test_a_namespace_at_a_time(server: ListWatchServer) -> None:
    server.put("/api/v1/namespaces/shop/pods", o.pod())
    server.put("/api/v1/namespaces/other/pods", o.pod("x", namespace="other"))
    server.put(PODS, o.pod("unseen"))
    world = World()
    async with watching(world.watcher(namespaces=("shop", "other"))) as watcher:
        await watcher.synced()
        await until(lambda: len(world.rows("upsert_objects")) == 2)
    assert {r["name"] for r in world.rows("upsert_objects")} == {"cart-7d9f-x2x", "x"}
    assert {r["namespace"] for r in world.rows("retire_objects")} == {"shop", "other", ""}
    assert "/api/v1/nodes" in {s.path for s in sources(("shop",))}


async def test_a_checkpoint_that_can_not_be_read_is_left_aside(
    server: ListWatchServer, caplog: pytest.LogCaptureFixture
) -> None:
    fill(server)
    world = World()
    world.saved["kubernetes/prod"] = b"junk"
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
    assert "seen as if for the first time" in caplog.text
    assert world.saved["kubernetes/prod"] != b"junk"


async def test_a_mistake_of_ours_does_not_end_the_watch(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(server)
    world, take = World(), ClusterModel.take
    mistakes = iter([True])

    def mistaken(self: ClusterModel, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        if next(mistakes, False):
            raise ZeroDivisionError
        take(self, before, now, now_ns)

    monkeypatch.setattr(ClusterModel, "take", mistaken)
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        assert watcher.counts()["Pod"] == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_pod_that_is_killed_while_the_watch_begins_again_is_told(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server)
    server.put(PODS, o.pod("cart-7d9f-y2y"))
    world, take = World(), ClusterModel.take
    world.clock.advance_to(o.ns(1000))

    def mistaken(self: ClusterModel, before: Thing | None, now: Thing | None, now_ns: int) -> None:
        if now is not None and now.head.name == "n2" and before is None:
            server.delete(PODS, o.pod())  # while nothing is watched
            monkeypatch.setattr(ClusterModel, "take", take)
            raise ZeroDivisionError
        take(self, before, now, now_ns)

    monkeypatch.setattr(ClusterModel, "take", mistaken)
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        server.put(NODES, o.node("n2"))
        await until(lambda: watcher.counts()["Pod"] == 1)
        world.clock.advance_to(o.ns(1002))
        await until(lambda: said(world) == [("restart", "cart", "")])


async def test_a_pod_that_is_killed_while_no_worker_watches_is_told_by_the_next(server: ListWatchServer) -> None:
    fill(server)
    server.put(PODS, o.pod("cart-7d9f-y2y"))
    world = World()
    world.clock.advance_to(o.ns(1000))
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        await until(lambda: world.saved, "a checkpoint")
    server.delete(PODS, o.pod())
    new = o.pod("cart-7d9f-new")
    new["metadata"]["creationTimestamp"] = o.stamp(1001)
    server.put(PODS, new)
    world.clock.advance_to(o.ns(1010))
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        world.clock.advance_to(o.ns(1012))
        await until(lambda: [c.subject for c in world.changes] == ["pod/shop/cart-7d9f-x2x"])


async def test_what_has_not_changed_is_not_saved_again(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "_SAVE_S", 0.0)
    fill(server)
    world, saves = World(), list[bytes]()

    async def save(key: str, value: bytes) -> None:
        saves.append(value)

    monkeypatch.setattr(world, "save", save)
    watcher = world.watcher()
    async with watching(watcher):
        await until(lambda: len(saves) == 1)
        looked = watcher._saved_at
        await until(lambda: watcher._saved_at > looked + 0.5, "several looks")
        assert len(saves) == 1
        server.put(PODS, o.pod("cart-7d9f-y2y"))
        await until(lambda: len(saves) == 2)
    assert len(saves) == 3, "and at the end in any case"


async def test_telemetry_names_what_it_comes_from(server: ListWatchServer) -> None:
    fill(server)
    world = World()
    world.clock.advance_to(o.ns(1000))
    watcher = world.watcher()
    watcher.learn("basket", {"k8s.pod.uid": "Pod-shop-cart-7d9f-x2x"}, o.ns(999))  # before it watches: nothing yet
    async with watching(watcher):
        await watcher.synced()
        watcher.learn("basket", {"k8s.pod.uid": "Pod-shop-cart-7d9f-x2x"}, o.ns(1000))
        server.put(DEPLOYMENTS, o.deployment(replicas=4, managed=[o.managed("kubectl", 900)]))
        await until(lambda: said(world) == [("scale", "basket", "4")])


async def test_without_a_cluster_it_says_so_and_tries_again(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    world = World()
    watcher = world.watcher()
    async with watching(watcher):
        await until(lambda: watcher.trouble)
        assert "no way to a cluster" in watcher.trouble
        assert watcher.status()["objects"] == {}
    await watcher.stop()
    await asyncio.sleep(0)


async def test_how_instances_are_is_told_when_it_changes_and_again_and_again(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only of services that telemetry knows, by the name that it has for them, and with the time at which it was so."""
    monkeypatch.setattr("connectors.kubernetes.watcher._REPEAT_S", 0.05)
    fill(server)
    ready, gone = (
        {"type": "Ready", "status": status, "lastTransitionTime": o.stamp(3)} for status in ("True", "False")
    )
    pod = o.pod(conditions=[ready])
    pod["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"path": "/ready", "port": 8080}}
    server.put(PODS, pod)
    world = World()
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        await until(lambda: world.reports[-1:] == [({}, o.ns(100))])
        watcher.learn("shopping-cart", {"k8s.pod.uid": pod["metadata"]["uid"]}, o.ns(100))
        await until(lambda: world.reports[-1:] and world.reports[-1][0] == {"shopping-cart": InstanceState.READY})
        told = len(world.reports)
        await until(lambda: len(world.reports) > told)
        world.clock.advance_to(o.ns(200))
        server.put(PODS, o.pod(version=5, conditions=[gone]))
        await until(lambda: world.reports[-1] == ({"shopping-cart": InstanceState.GONE}, o.ns(200)))


async def test_nothing_is_said_of_a_cluster_that_is_not_seen(
    server: ListWatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was so before the API server was lost may be otherwise by now: nothing is repeated, so nobody believes it."""
    monkeypatch.setattr("connectors.kubernetes.watcher._REPEAT_S", 0.05)
    fill(server)
    world = World()
    async with watching(world.watcher()) as watcher:
        await watcher.synced()
        await until(lambda: len(world.reports) > 1)
        watcher._informers[0].trouble = "the API server is away"
        before = len(world.reports)
        for _ in range(3):
            await watcher._flush()
        assert len(world.reports) <= before + 1, "at most the one under way"
