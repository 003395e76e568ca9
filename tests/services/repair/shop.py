"""The shop in a cluster: Deployments of the demo's services, their customers, and the ways to break them."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from homeostat.demo.load import Second
from homeostat.demo.shop.blueprint import GOOD, LOAD
from tests.services import workloads as w
from tests.services.kubelet import Api, ProcessKubelet

NAMESPACE: Final = "shop"
REPLICAS: Final = {"frontend": 1, "catalog": 1, "cart": 2, "pricing": 1}
RATES: Final = {route: LOAD[route] for route in ("/browse", "/cart")}
EVEN_UNHEALTHY: Final = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}
"""Without it the API server refuses to evict the only pod of a Deployment once it is not ready, as a hung one is."""
DEPLOYMENTS: Final = f"{w.APPS}/namespaces/{NAMESPACE}/deployments"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"


class Shop:
    """`async with Shop(api, kubelet, otlp) as shop:` all Deployments are rolled out and customers shop inside the block."""

    def __init__(self, api: Api, kubelet: ProcessKubelet, otlp: str) -> None:
        self.api, self._kubelet, self._otlp = api, kubelet, otlp
        self.seconds: deque[Second] = deque(maxlen=600)
        self._load: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for name, replicas in REPLICAS.items():
            await self.api.create(DEPLOYMENTS, self._deployment(name, replicas))
            budgets = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"
            await self.api.create(budgets, w.disruption_budget(name, maxUnavailable=1, **EVEN_UNHEALTHY))
        for name in REPLICAS:
            await w.rolled_out(self.api, f"{DEPLOYMENTS}/{name}")
        command = (sys.executable, "-m", "tests.services.repair.customers", self._kubelet.directory)
        pipe = asyncio.subprocess.PIPE
        self._load = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        self._listening = asyncio.create_task(self._listen(), name="customers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._load is not None
        assert self._load.stdin is not None
        assert self._listening is not None
        self._load.stdin.close()
        await self._load.wait()
        await self._listening

    @asynccontextmanager
    async def surge(self, route: str, factor: float) -> AsyncIterator[None]:
        """Customers ask for a route `factor` times as often as usual, inside the block."""
        await self._demand(route, factor)
        try:
            yield
        finally:
            await self._demand(route, 1.0)

    async def _demand(self, route: str, factor: float) -> None:
        assert self._load is not None
        assert self._load.stdin is not None
        self._load.stdin.write(f"rate {route} {RATES[route] * factor}\n".encode())
        await self._load.stdin.drain()

    async def release(self, name: str, version: str) -> None:
        """Roll a version out, as a delivery pipeline would, and wait until it is what runs."""
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": f"shop/{name}:{version}"}
        await self.api.patch(f"{DEPLOYMENTS}/{name}", [image], "application/json-patch+json")
        await w.rolled_out(self.api, f"{DEPLOYMENTS}/{name}")

    async def hang(self, pod: str) -> None:
        """Freeze one pod: it keeps its connections and answers nothing."""
        url = f"http://127.0.0.1:{self._kubelet.containers[pod].port}/admin/fault"
        async with aiohttp.ClientSession() as session, session.post(url, json={"kind": "hang"}) as reply:
            reply.raise_for_status()

    def ended(self) -> str:
        """Containers that ended by themselves and were started again, and what they wrote last; empty if none did."""
        running = self._kubelet.containers
        return "\n".join(f"{name}:\n{c.last_words()}" for name, c in running.items() if c.ended)

    async def pods(self, name: str) -> dict[str, str]:
        """The pods of a Deployment that are not being deleted: name and uid."""
        found = await self.api.items(PODS, labelSelector=f"app={name}")
        here = (p["metadata"] for p in found if "deletionTimestamp" not in p["metadata"])
        return {m["name"]: m["uid"] for m in here}

    async def deployment(self, name: str) -> dict[str, Any]:
        """A Deployment as it is now."""
        return await self.api.get(f"{DEPLOYMENTS}/{name}")

    def _deployment(self, name: str, replicas: int) -> dict[str, Any]:
        command = [sys.executable, "-m", "homeostat.demo.shop.service", name, "--port", "$(PORT)"]
        command += ["--version", "$(IMAGE_TAG)", "--instance", "$(POD_NAME)", "--manager", self._kubelet.directory]
        of_pod = {"POD_NAME": "metadata.name", "POD_UID": "metadata.uid", "POD_NAMESPACE": "metadata.namespace"}
        identity = f"k8s.deployment.name={name},k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.uid=$(POD_UID)"
        env: list[dict[str, Any]] = [
            {"name": k, "valueFrom": {"fieldRef": {"fieldPath": v}}} for k, v in of_pod.items()
        ]
        env += [
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": identity},
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": self._otlp},
            {"name": "OTEL_PYTHON_LOG_LEVEL", "value": "error"},
        ]
        probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2}
        return w.workload(
            "Deployment", name, f"shop/{name}:{GOOD}", replicas=replicas, command=command, env=env, readinessProbe=probe
        )

    async def _listen(self) -> None:
        assert self._load is not None
        assert self._load.stdout is not None
        async for line in self._load.stdout:
            self.seconds.append(msgspec.json.decode(line, type=Second))
