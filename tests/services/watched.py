"""A service account that may watch, with exactly the deployed role; and a watcher as a process of its own.

    KUBECONFIG=… python -m tests.services.watched ENVIRONMENT

prints a line of JSON for all that happens, and its memory when it is sent a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from connectors.kubernetes.watcher import ClusterWatcher, WatchWiring
from contracts.events import Change
from contracts.frames import AddressFrame, InstanceState
from contracts.ports import GraphWrite, SystemClock
from contracts.settings import KubernetesSettings
from tests.services.kubelet.api import Api
from tests.services.servers.cluster import Cluster
from tests.services.workloads import RBAC

ROLE = "homeostat-watcher"
_RBAC_API = "/apis/rbac.authorization.k8s.io/v1"


class Kept:
    """`StateStore` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def load(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def save(self, key: str, value: bytes) -> None:
        self.values[key] = value

    async def close(self) -> None:
        """Nothing to close."""


async def account(api: Api, cluster: Cluster, namespace: str, folder: Path) -> Path:
    """A service account without any right; its kubeconfig, as a pod would have it."""
    at = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await api.create(at, {"metadata": {"name": "watcher"}})
    token = await api.create(f"{at}/watcher/token", {"spec": {"expirationSeconds": 3600}})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url, "certificate-authority": str(cluster.ca_file)}}],
        "users": [{"name": "u", "user": {"token": token["status"]["token"]}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "here",
    }
    file = folder / f"watcher-{namespace}.json"
    file.write_text(json.dumps(document))
    return file


async def allow(api: Api, namespace: str) -> list[str]:
    """Give it exactly the rules that deploy/kubernetes/base/rbac.yaml has for the watcher; paths to delete at the end."""
    (role,) = (d for d in yaml.safe_load_all(RBAC.read_text()) if d and d["metadata"]["name"] == ROLE)
    name = f"{ROLE}-{namespace}"
    await api.create(f"{_RBAC_API}/clusterroles", {"metadata": {"name": name}, "rules": role["rules"]})
    bound = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": namespace}],
    }
    await api.create(f"{_RBAC_API}/clusterrolebindings", bound)
    return [f"{_RBAC_API}/clusterroles/{name}", f"{_RBAC_API}/clusterrolebindings/{name}"]


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps({"at": time.time(), **what}) + "\n")
    sys.stdout.flush()


async def _main(environment: str) -> None:
    async def publish(change: Change) -> None:
        _say(change=change.kind, service=change.service, before=change.before, after=change.after)

    async def report(states: Mapping[str, InstanceState], time_ns: int) -> None:
        _say(states={service: state.name for service, state in states.items()}, time_ns=time_ns)

    async def address(frame: AddressFrame) -> None:
        _say(addresses=len(frame.names))

    def draw(write: GraphWrite) -> None:
        _say(rows=len(write.rows))

    settings = KubernetesSettings(watch=True)
    watcher = ClusterWatcher(WatchWiring(settings, environment, SystemClock(), publish, report, address, draw, Kept()))
    watcher.start()
    await watcher.synced()
    _say(synced=True)
    process = psutil.Process()
    while await asyncio.to_thread(sys.stdin.readline):
        _say(rss=process.memory_info().rss, objects=watcher.counts(), counters=len(watcher.counters()))
    await watcher.stop()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
