"""2,000 pods on a real API server: the memory of a process that watches them, and how far behind it is.

Prints the figures; run with `-s` to see them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.services import workloads as w
from tests.services.kubelet.api import STRATEGIC, Api
from tests.services.servers.cluster import Cluster, cluster
from tests.services.watched import account, allow

DEPLOYMENTS, PODS_EACH, NODES = 40, 50, 20
PODS: Final = DEPLOYMENTS * PODS_EACH
SAMPLES: Final = 15
MOST_BYTES: Final = 200 * 1000**2
MOST_S: Final = 2.0
PATIENCE_S: Final = 300.0
NAMESPACE: Final = "crowd"

pytestmark = [pytest.mark.timeout(900), pytest.mark.timed]


class Watched:
    """A process that watches, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self.heard = asyncio.Event()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(json.loads(line))
            self.heard.set()
            self.heard = asyncio.Event()

    async def wait(self, since: int, **wanted: Any) -> dict[str, Any]:
        """The first thing said after the first `since` ones that is so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heard = self.heard
                for said in self.said[since:]:
                    if all(said.get(key) == value for key, value in wanted.items()):
                        return said
                await heard.wait()

    async def measured(self) -> dict[str, Any]:
        """Its memory and what it holds, now."""
        assert self.process.stdin is not None
        since = len(self.said)
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()
        while not any("rss" in said for said in self.said[since:]):
            await asyncio.wait_for(self.heard.wait(), PATIENCE_S)
        return next(said for said in self.said[since:] if "rss" in said)

    def peak(self) -> int:
        """The most memory it ever had resident, bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (x for x in status.splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def watching(kubeconfig: Path) -> AsyncIterator[Watched]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.services.watched", "prod"),
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**22,
    )
    found = Watched(process)
    listener = asyncio.create_task(found.listen())
    try:
        yield found
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()
            await process.wait()
        await listener


async def crowd(api: Api, control_plane: Cluster) -> None:
    """40 Deployments of 50 pods with labels, variables and probes as real ones have, on 20 nodes."""
    await control_plane.add_nodes(NODES, "crowd")
    await w.namespace(api, NAMESPACE)
    env = [{"name": f"VARIABLE_{i}", "value": "some value of some length"} for i in range(20)]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    path = f"{w.APPS}/namespaces/{NAMESPACE}/deployments"
    for i in range(DEPLOYMENTS):
        more = {"env": env, "livenessProbe": probe, "readinessProbe": probe}
        await api.create(path, w.workload("Deployment", f"s{i}", f"shop/s{i}:1", replicas=PODS_EACH, **more))
    end = time.monotonic() + PATIENCE_S
    while True:
        ready = [d.get("status", {}).get("readyReplicas", 0) for d in await api.items(path)]
        if sum(ready) == PODS:
            return
        assert time.monotonic() < end, f"{sum(ready)} of {PODS} pods are ready"
        await asyncio.sleep(1)


async def lags(api: Api, watched: Watched) -> dict[str, list[float]]:
    """Seconds from the API server's answer to the change being told: scalings, and OOM kills of pods."""
    found: dict[str, list[float]] = {"scalings": [], "OOM kills": []}
    pods = await api.items(f"/api/v1/namespaces/{NAMESPACE}/pods")
    first = {p["metadata"]["labels"]["app"]: p["metadata"]["name"] for p in pods}
    for i, (service, pod) in enumerate(sorted(first.items())[:SAMPLES]):
        replicas, since = PODS_EACH + 1 + i % 2, len(watched.said)
        await api.patch(
            f"{w.APPS}/namespaces/{NAMESPACE}/deployments/{service}/scale", {"spec": {"replicas": replicas}}
        )
        began = time.time()
        told = await watched.wait(since, change="scale", service=service)
        found["scalings"].append(told["at"] - began)
        ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": _stamp()}}
        status = {"name": service, "image": "x", "imageID": "x", "ready": True, "restartCount": 1, "lastState": ended}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/status"
        await api.patch(path, {"status": {"containerStatuses": [status]}}, STRATEGIC)
        began = time.time()
        told = await watched.wait(since, change="oom", service=service)
        found["OOM kills"].append(told["at"] - began)
    return found


async def test_two_thousand_pods_in_little_memory_and_up_to_date(tmp_path: Path) -> None:
    async with cluster(tmp_path / "cluster", kwok=True) as control_plane, Api(control_plane.kubeconfig("admin")) as api:
        await crowd(api, control_plane)
        kubeconfig = await account(api, control_plane, NAMESPACE, tmp_path)
        await allow(api, NAMESPACE)
        began = time.monotonic()
        async with watching(kubeconfig) as watched:
            await watched.wait(0, synced=True)
            synced_s = time.monotonic() - began
            first = await watched.measured()
            behind = await lags(api, watched)
            rolling = f"{w.APPS}/namespaces/{NAMESPACE}/deployments"
            for i in range(4):  # 200 pods are replaced
                image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop/x:2"}]
                await api.patch(f"{rolling}/s{30 + i}", image, "application/json-patch+json")
            for i in range(4):
                await w.rolled_out(api, f"{rolling}/s{30 + i}")
            last, peak = await watched.measured(), watched.peak()
    print(f"\nlisted whole, from the start of the process: {synced_s:.1f} s")
    print(f"objects: {first['objects']}")
    print(
        f"resident: {first['rss'] / 1e6:.0f} MB, after 200 pods were replaced {last['rss'] / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB"
    )
    for what, seconds in behind.items():
        print(
            f"behind ({what}): median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}"
        )
    assert first["objects"]["Pod"] >= PODS
    assert max(first["rss"], last["rss"], peak) < MOST_BYTES
    assert max(max(seconds) for seconds in behind.values()) < MOST_S


def _stamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
