"""The node's loop: watch what is bound to it, run it, report it, remove it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from tests.services.kubelet import status
from tests.services.kubelet.api import MERGE, Api, ApiError, Json
from tests.services.kubelet.container import Container

PORT: Final = "homeostat.test/port"
"""Annotation of a pod: the loopback port that it listens on."""
_BEAT_S: Final = 5.0
_LOOK_S: Final = 0.25
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class ProcessKubelet:
    """`async with ProcessKubelet(api, folder) as kubelet:` a ready node inside the block; its processes are gone afterwards.

    It also answers `GET /endpoints/{app}` at `directory` with the addresses of that app's pods that are Ready by the API server's
    own account: what a Service's endpoints are to clients in a cluster.
    """

    def __init__(self, api: Api, folder: Path, name: str = "processes") -> None:
        self._api, self._folder, self._name = api, folder, name
        self._pods: dict[str, asyncio.Task[None]] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self._grace: dict[str, float] = {}
        self._serving: dict[str, tuple[str, int]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._runner: web.AppRunner | None = None
        self.containers: dict[str, Container] = {}
        """By the name of their pod."""
        self.directory = ""

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        await self._serve_directory()
        await self._api.create("/api/v1/nodes", status.node(self._name))
        await self._beat()
        self._tasks = [asyncio.create_task(self._beating()), asyncio.create_task(self._following())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [*self._tasks, *self._pods.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for container in self.containers.values():
            container.kill()
        await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- the node

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_S)
            with contextlib.suppress(ApiError, aiohttp.ClientError):
                await self._beat()

    async def _beat(self) -> None:
        now = time.time()
        await self._api.patch(f"/api/v1/nodes/{self._name}/status", status.node_status(now), MERGE)
        lease = status.lease(self._name, now)
        try:
            await self._api.patch(f"{_LEASES}/{self._name}", {"spec": lease["spec"]})
        except ApiError as e:
            if e.status != 404:
                raise
            await self._api.create(_LEASES, lease)

    async def _serve_directory(self) -> None:
        app = web.Application()
        app.add_routes([web.get("/endpoints/{app}", self._endpoints)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.directory = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _endpoints(self, request: web.Request) -> web.Response:
        wanted = request.match_info["app"]
        return web.json_response(
            {"addresses": [f"127.0.0.1:{p}" for app, p in self._serving.values() if app == wanted]}
        )

    # --- pods

    async def _following(self) -> None:
        mine = f"spec.nodeName={self._name}"
        while True:
            try:
                found = await self._api.get("/api/v1/pods", fieldSelector=mine)
                for pod in found["items"]:
                    self._take(pod)
                version = found["metadata"]["resourceVersion"]
                async for event in self._api.watch("/api/v1/pods", version, fieldSelector=mine):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        self._take(event["object"])
                    elif event["type"] == "DELETED":
                        self._leave(event["object"], 0.0)
            except (ApiError, aiohttp.ClientError):
                await asyncio.sleep(0.5)

    def _take(self, pod: Json) -> None:
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        if metadata.get("deletionTimestamp"):
            self._leave(pod, float(metadata.get("deletionGracePeriodSeconds") or 0))
        elif uid not in self._pods:
            self._leaving[uid] = asyncio.Event()
            self._pods[uid] = asyncio.create_task(self._live(pod), name=f"pod-{metadata['name']}")

    def _leave(self, pod: Json, grace_s: float) -> None:
        uid = pod["metadata"]["uid"]
        self._serving.pop(uid, None)
        if uid in self._leaving:
            self._grace[uid] = grace_s
            self._leaving[uid].set()

    async def _live(self, pod: Json) -> None:
        """One pod from its start to its removal."""
        uid, container = pod["metadata"]["uid"], Container(pod, self._folder)
        self.containers[pod["metadata"]["name"]] = container
        container.start()
        port = {"metadata": {"annotations": {PORT: str(container.port)}}}
        await self._said(self._api.patch(_path(pod), port))
        probing = asyncio.create_task(self._probing(container))
        try:
            await self._running(pod, container, self._leaving[uid])
            await container.stop(self._grace[uid])
        finally:
            probing.cancel()
            await asyncio.gather(probing, return_exceptions=True)
            container.kill()
        await self._said(self._api.delete(_path(pod), {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}))
        del self.containers[pod["metadata"]["name"]]

    async def _running(self, pod: Json, container: Container, leaving: asyncio.Event) -> None:
        """Report whatever changes, and start again what has ended, ever later."""
        told: tuple[bool, int, bool] | None = None
        while not leaving.is_set():
            ended = container.exit_code
            if ended is not None and time.time() - container.started_at > min(10.0, 0.5 * 2**container.restarts):
                container.restarts += 1
                container.start()
                ended = None
            now = (container.ready and ended is None, container.restarts, ended is None)
            if now != told and await self._report(pod, container, now[0], ended):
                told = now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(leaving.wait(), _LOOK_S)

    async def _report(self, pod: Json, container: Container, ready: bool, ended: int | None) -> bool:
        body = status.pod_status(
            pod,
            ready=ready,
            restarts=container.restarts,
            started=container.started_at,
            exit_code=ended,
            now=time.time(),
        )
        done = await self._said(self._api.patch(f"{_path(pod)}/status", {"status": body}))
        uid = pod["metadata"]["uid"]
        if done and ready and not self._leaving[uid].is_set():
            self._serving[uid] = (pod["metadata"]["labels"].get("app", ""), container.port)
        elif done:
            self._serving.pop(uid, None)
        return done

    async def _probing(self, container: Container) -> None:
        period = float((container.spec.get("readinessProbe") or {}).get("periodSeconds", 1))
        while True:
            await container.probe(self._session)
            # Until it is ready for the first time there is no reason to wait long: start-up is not what is tested.
            await asyncio.sleep(period if container.ready else min(period, _LOOK_S))

    @staticmethod
    async def _said(call: Coroutine[Any, Any, Json]) -> bool:
        """Whether the API server took it. What is gone or away is looked at again at the next turn."""
        try:
            await call
        except (ApiError, aiohttp.ClientError):
            return False
        return True


def _path(pod: Json) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
