"""The watch of a cluster on a real API server, with exactly the role that deploy/kubernetes gives it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from connectors.kubernetes.watcher import ClusterWatcher, WatchWiring
from contracts.events import Change
from contracts.frames import AddressFrame, InstanceState
from contracts.ports import SystemClock
from contracts.settings import KubernetesSettings
from graph.stores.ladybug import LadybugStore
from homeostat.graph_writer import GraphWriter
from streams.windows.addresses import Addresses
from tests.services import workloads as w
from tests.services.kubelet.api import STRATEGIC, Api
from tests.services.servers.cluster import Cluster
from tests.services.watched import Kept, account, allow

_NUMBERS: Final = itertools.count(1)
PATIENCE_S: Final = 60.0
DEPLOYED: Final = (
    "MATCH (s:Service {service: $service})-[:DEPLOYED_AS]->(d:Object)-[:OWNS]->(r:Object)-[:OWNS]->(p:Object)-[c:RUNS_ON]->(n:Object)"
    " RETURN p.name AS pod, n.name AS node, p.state AS state, p.valid_to AS gone, c.valid_to AS ended"
)


class World:
    """A namespace with a Deployment of two pods, and everything that a watcher writes to."""

    def __init__(self, api: Api, cluster: Cluster, namespace: str) -> None:
        self.api, self.cluster, self.namespace = api, cluster, namespace
        self.changes: list[Change] = []
        self.states: dict[str, InstanceState] = {}
        self.addresses = Addresses()
        self.state, self.store = Kept(), LadybugStore()
        self.store.migrate()
        self.graph = GraphWriter(self.store, 10_000)

    async def publish(self, change: Change) -> None:
        self.changes.append(change)

    async def report(self, states: Mapping[str, InstanceState], time_ns: int) -> None:
        self.states = dict(states)

    async def address(self, frame: AddressFrame) -> None:
        self.addresses.take(frame)

    def watcher(self, **settings: Any) -> ClusterWatcher:
        told = KubernetesSettings(watch=True, **settings)
        tell = (self.publish, self.report, self.address)
        wiring = WatchWiring(told, "prod", SystemClock(), *tell, self.graph.put, self.state)
        self.latest = ClusterWatcher(wiring)
        return self.latest

    def path(self, plural: str, name: str = "", group: str = w.APPS) -> str:
        return f"{group}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def deploy(self, name: str, **settings: Any) -> str:
        await self.api.create(self.path("deployments"), w.workload("Deployment", name, f"shop/{name}:1.4", **settings))
        path = self.path("deployments", name)
        await w.rolled_out(self.api, path)
        return path

    async def pods(self, app: str) -> list[str]:
        found = await self.api.items(self.path("pods", group="/api/v1"), labelSelector=f"app={app}")
        return [p["metadata"]["name"] for p in found if "deletionTimestamp" not in p["metadata"]]

    def of(self, service: str) -> list[Change]:
        """Changes of a service of this namespace, or of the nodes it is on."""
        here = (f"/{self.namespace}/", "node/")
        return [c for c in self.changes if c.service == service and any(part in c.subject for part in here)]

    async def told(self, service: str, kind: str) -> Change:
        """Wait for a change of a kind, of a service."""
        await until(
            lambda: any(c.kind == kind for c in self.of(service)),
            lambda: f"a {kind} of {service}; told was {self.of(service)}",
        )
        return next(c for c in self.of(service) if c.kind == kind)

    def running(self, service: str) -> list[dict[str, Any]]:
        return [row for row in self.store.query(DEPLOYED, {"service": service}) if not row["gone"]]


async def until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not in {PATIENCE_S} s: {what()}"
        await asyncio.sleep(0.05)


@pytest.fixture
async def world(cluster_with_kwok: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    namespace = f"watched-{next(_NUMBERS)}"
    async with Api(cluster_with_kwok.kubeconfig("admin")) as api:
        if not await w.exists(api, "/api/v1/nodes/watched-0"):
            await cluster_with_kwok.add_nodes(2, "watched")
        await w.namespace(api, namespace)
        kubeconfig = await account(api, cluster_with_kwok, namespace, tmp_path)
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        found = World(api, cluster_with_kwok, namespace)
        found.graph.start()
        yield found
        await found.graph.stop()
        found.store.close()
        await api.delete(f"/api/v1/namespaces/{namespace}")


@pytest.fixture
async def watching(world: World) -> AsyncIterator[World]:
    """A watcher that may, and has seen everything that there is."""
    await world.deploy("cart")
    rights = await allow(world.api, world.namespace)
    watcher = world.watcher()
    watcher.start()
    await asyncio.wait_for(watcher.synced(), PATIENCE_S)
    await world.told("cart", "deploy")  # it is new
    yield world
    await watcher.stop()
    for path in rights:
        await world.api.delete(path)


async def test_without_rights_it_says_which_are_missing_and_goes_on_once_it_has_them(world: World) -> None:
    watcher = world.watcher()
    watcher.start()
    try:
        needed = "the role needs get, list, watch on deployments.apps"
        await until(lambda: len(watcher.status()["trouble"]) == 10, lambda: str(watcher.status()))
        assert any(needed in text for text in watcher.status()["trouble"])
        rights = await allow(world.api, world.namespace)
        await asyncio.wait_for(watcher.synced(), PATIENCE_S)
        assert watcher.status()["trouble"] == []
    finally:
        await watcher.stop()
    for path in rights:
        await world.api.delete(path)


async def test_a_roll_out_a_scaling_and_a_roll_back(watching: World) -> None:
    world, path = watching, watching.path("deployments", "cart")
    del world.changes[:]
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/cart:1.5"}]
    await world.api.patch(path, image, "application/json-patch+json")
    await w.rolled_out(world.api, path)
    await world.told("cart", "deploy")
    await asyncio.sleep(3.1)  # an earlier revision is older than the roll-out by 2 s, by a clock that counts whole ones
    await world.api.patch(f"{path}/scale", {"spec": {"replicas": 5}})
    await world.told("cart", "scale")
    back = [{**image[0], "value": "shop/cart:1.4"}]
    await world.api.patch(path, back, "application/json-patch+json")
    await w.rolled_out(world.api, path)
    await world.told("cart", "rollback")
    await asyncio.sleep(1.5)  # what the controllers did with the pods is not told
    told = world.of("cart")
    assert [(c.kind, c.before, c.after) for c in told] == [
        ("deploy", "1.4", "1.5"),
        ("scale", "2", "5"),
        ("rollback", "1.5", "1.4"),
    ]
    assert all(abs(c.time_ns / 1e9 - time.time()) < PATIENCE_S and c.actor for c in told)
    pods = await world.pods("cart")
    await until(lambda: {r["pod"] for r in world.running("cart")} == set(pods), lambda: str(world.running("cart")))
    assert {r["node"] for r in world.running("cart")} <= {"watched-0", "watched-1", "acted-on-0"}


async def test_a_killed_pod_is_told_and_its_time_in_the_graph_ends(watching: World) -> None:
    world = watching
    await until(lambda: len(world.running("cart")) == 2, lambda: "two pods in the graph")
    del world.changes[:]
    (victim, *_) = await world.pods("cart")
    await world.api.delete(world.path("pods", victim, "/api/v1"))
    change = await world.told("cart", "restart")
    assert change.subject == f"pod/{world.namespace}/{victim}"
    await until(
        lambda: len(world.running("cart")) == 2 and victim not in {r["pod"] for r in world.running("cart")},
        lambda: str(world.store.query(DEPLOYED, {"service": "cart"})),
    )
    (gone,) = (r for r in world.store.query(DEPLOYED, {"service": "cart"}) if r["pod"] == victim)
    assert gone["gone"] == gone["ended"] > 0


async def test_a_killed_pod_is_told_while_a_namespace_with_a_service_of_its_name_is_cleared_away(
    watching: World,
) -> None:
    world, elsewhere = watching, f"{watching.namespace}-b"
    await w.namespace(world.api, elsewhere)
    other = World(world.api, world.cluster, elsewhere)
    await other.deploy("cart")
    await world.api.delete(f"/api/v1/namespaces/{elsewhere}")
    pods = f"/api/v1/namespaces/{elsewhere}/pods"

    async def going() -> bool:
        return all("deletionTimestamp" in p["metadata"] for p in await world.api.items(pods))

    await w.until(going, "its pods to go")
    del world.changes[:]
    (victim, *_) = await world.pods("cart")
    await world.api.delete(world.path("pods", victim, "/api/v1"))
    assert (await world.told("cart", "restart")).subject == f"pod/{world.namespace}/{victim}"
    other.store.close()


async def test_an_eviction_is_told_as_that(watching: World) -> None:
    world = watching
    (victim, *_) = await world.pods("cart")
    del world.changes[:]
    await world.api.create(
        f"{world.path('pods', victim, '/api/v1')}/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": world.namespace}},
    )
    await world.told("cart", "eviction")
    await asyncio.sleep(1.5)
    assert [c.kind for c in world.of("cart")] == ["eviction"]


async def test_an_oom_kill_a_configuration_and_a_pod_that_fits_nowhere(watching: World) -> None:
    world = watching
    (pod, *_) = await world.pods("cart")
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": _stamp()}}
    status = {"name": "cart", "image": "x", "imageID": "x", "ready": True, "restartCount": 1, "lastState": killed}
    await world.api.patch(
        f"{world.path('pods', pod, '/api/v1')}/status", {"status": {"containerStatuses": [status]}}, STRATEGIC
    )
    await world.told("cart", "oom")
    env = {"name": "cart", "env": [{"name": "FLAG", "value": "on"}]}
    change = {"spec": {"template": {"spec": {"containers": [env]}}}}
    await world.api.patch(world.path("deployments", "cart"), change, STRATEGIC)
    await world.told("cart", "config")
    huge = w.workload("Deployment", "huge", "shop/huge:1", resources={"requests": {"cpu": "5000"}})
    await world.api.create(world.path("deployments"), huge)
    assert "Insufficient cpu" in (await world.told("huge", "scheduling")).text


async def test_a_node_that_fails_is_told_for_the_services_on_it(watching: World) -> None:
    world, name = watching, f"bare-{watching.namespace}"
    path = f"/api/v1/nodes/{name}"
    await world.api.create("/api/v1/nodes", {"metadata": {"name": name}})
    await world.api.patch(f"{path}/status", {"status": {"conditions": [_ready("True")]}})
    pinned = w.template("pinned", "shop/pinned:1")
    pinned["spec"]["nodeName"] = name
    spec = {"selector": {"matchLabels": {"app": "pinned"}}, "template": pinned, "replicas": 1}
    await world.api.create(world.path("deployments"), {"metadata": {"name": "pinned"}, "spec": spec})
    await until(lambda: bool(world.running("pinned")), lambda: "the pod in the graph")
    await world.api.patch(f"{path}/status", {"status": {"conditions": [_ready("False")]}})
    change = await world.told("pinned", "node")
    assert f"node {name} is not ready" in change.text
    await world.api.delete(path)


async def test_what_changed_while_nobody_watched_is_told_by_the_next(world: World) -> None:
    path = await world.deploy("cart")
    rights = await allow(world.api, world.namespace)
    for changed in (False, True):
        watcher = world.watcher()
        watcher.start()
        await asyncio.wait_for(watcher.synced(), PATIENCE_S)
        if changed:
            await world.told("cart", "scale")
        await watcher.stop()
        del world.changes[:]
        await world.api.patch(f"{path}/scale", {"spec": {"replicas": 3}})
    for right in rights:
        await world.api.delete(right)


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _ready(status: str) -> dict[str, str]:
    return {"type": "Ready", "status": status, "reason": "Kubelet", "lastTransitionTime": _stamp()}


async def test_what_is_said_of_instances_is_what_a_real_cluster_knows(watching: World) -> None:
    """Ready by a probe, wanted and not there, no longer wanted: of a service that telemetry names."""
    world = watching
    probe = {"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}}
    path = await world.deploy("probed", **probe)
    claimed = {"k8s.namespace.name": world.namespace, "k8s.deployment.name": "probed"}
    world.latest.learn("probed", claimed, time.time_ns())
    await until(lambda: world.states.get("probed") is InstanceState.READY, lambda: str(world.states))
    await world.api.patch(path, {"spec": {"replicas": 0}})
    await until(lambda: world.states.get("probed") is InstanceState.UNSURE, lambda: str(world.states))


async def test_names_and_addresses_are_those_that_a_real_cluster_gives(watching: World) -> None:
    """A ClusterIP, a headless Service and one by another name, as the API server and its controllers make them."""
    world, space = watching, watching.namespace
    await world.deploy("pay")
    ports = {"ports": [{"port": 80}]}
    services = {
        "cart": {"selector": {"app": "cart"}, **ports},
        "till": {"selector": {"app": "pay"}, "clusterIP": "None", **ports},
        "bank": {"type": "ExternalName", "externalName": "api.bank.example"},
    }
    for name, spec in services.items():
        await world.api.create(world.path("services", group="/api/v1"), {"metadata": {"name": name}, "spec": spec})

    def meant(host: str) -> str:
        return world.addresses.stands_for("pay", f"external:{host}", time.time_ns())

    async def comes_to_mean(host: str, wanted: str) -> None:
        await until(lambda: meant(host) == wanted, lambda: f"{host} is {meant(host)!r}")

    made = await world.api.get(world.path("services", "cart", "/api/v1"))
    hosts = ("cart", f"cart.{space}", f"cart.{space}.svc.cluster.local", made["spec"]["clusterIP"])
    for host in hosts:
        await comes_to_mean(host, "cart")
    for host in (f"till.{space}.svc", f"pay-0.till.{space}.svc"):
        await comes_to_mean(host, "pay")
    await comes_to_mean("bank", "external:api.bank.example")
    pods = await world.api.items(world.path("pods", group="/api/v1"), labelSelector="app=pay")
    own = [p["status"]["podIP"] for p in pods if p["status"].get("podIP") != p["status"].get("hostIP")]
    assert own
    for ip in own:
        await comes_to_mean(ip, "pay")
    switched = [{"op": "replace", "path": "/spec/selector", "value": {"app": "pay"}}]
    await world.api.patch(world.path("services", "cart", "/api/v1"), switched, "application/json-patch+json")
    for host in hosts:
        await comes_to_mean(host, "pay")
