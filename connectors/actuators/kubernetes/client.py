"""The API server as the actuator asks it: JSON in and out, of the cluster that a context leads to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors import paths
from connectors.kubernetes.access import open_access
from connectors.kubernetes.diff.context import MANAGER
from connectors.kubernetes.failures import ACTING, unanswered
from connectors.kubernetes.request import Request
from connectors.kubernetes.transport import Limits, Transport
from contracts.errors import ActuatorUnavailable, ClusterUnavailable
from contracts.settings import ActSettings

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
CONNECT_S: Final = 3.0
READ_S: Final = 10.0
_KEPT: Final = 300
"""Replies that are kept for whoever asks again soon."""


class Cluster:
    """A connection, made at the first call."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._opening = asyncio.Lock()
        self._transport: Transport | None = None
        self._uid = ""
        self._replies: dict[str, tuple[float, dict[str, Any]]] = {}

    @property
    def known(self) -> bool:
        """Whether its uid is known, so that `uid` asks nobody."""
        return bool(self._uid)

    async def uid(self) -> str:
        """The uid of its namespace kube-system, which is there as long as the cluster is: what the cluster is known by."""
        if not self._uid:
            namespace = await self.get("/api/v1/namespaces/kube-system")
            self._uid = str(namespace["metadata"]["uid"])
        return self._uid

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        """The JSON at a path. Raises Forbidden, TargetNotFound, ActuatorUnavailable, ActionFailed."""
        return await self._call(Request("get", path, query))

    async def lately(self, path: str, age_s: float) -> dict[str, Any]:
        """The JSON that was at a path no longer ago than that. Raises as `get`."""
        known, now = self._replies.get(path), time.monotonic()
        if known is not None and now - known[0] < age_s:
            return known[1]
        reply = await self.get(path)
        if len(self._replies) >= _KEPT:
            self._replies.clear()
        self._replies[path] = now, reply
        return reply

    async def apply(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Server-side apply under our field manager, by force: `ownership` has been asked before. Raises as `patch`."""
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._call(Request("patch", path, query, json.dumps(body).encode(), APPLY))

    async def patch(self, path: str, body: Mapping[str, Any] | Sequence[Any], kind: str) -> dict[str, Any]:
        """Change an object, by a JSON_PATCH or STRATEGIC merge. Raises as `get`, and Conflict, OutcomeUnknown."""
        return await self._call(Request("patch", path, {"fieldManager": MANAGER}, json.dumps(body).encode(), kind))

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post an object, such as an eviction. Raises as `patch`."""
        return await self._call(Request("create", path, {}, json.dumps(body).encode(), "application/json"))

    @property
    def host(self) -> str:
        """Where the API server is; empty before the first call."""
        return "" if self._transport is None else self._transport.access.url

    async def close(self) -> None:
        """Close connections. Idempotent; a later call connects again."""
        opened, self._transport, self._uid = self._transport, None, ""
        if opened is not None:
            await opened.close()

    async def _call(self, request: Request) -> dict[str, Any]:
        paths.plain(request.path)  # whoever made it should have; the HTTP library resolves `..` by itself
        transport = await self._connected()
        data = await transport.request(request, Limits(CONNECT_S, READ_S))
        try:
            found: dict[str, Any] = json.loads(data)
        except ValueError as e:
            raise unanswered(ACTING, request, e, transport.access.url) from e
        return found

    async def _connected(self) -> Transport:
        async with self._opening:
            if self._transport is None:
                try:
                    access = await asyncio.to_thread(open_access, self._context)
                except ClusterUnavailable as e:
                    raise ActuatorUnavailable(f"the API server can't be asked: {e.message}", fix=ACTING.fix) from e
                self._transport = Transport(access, ACTING)
            return self._transport


async def cluster_version(settings: ActSettings) -> str:
    """Version and address of the cluster. Raises ActuatorUnavailable, Forbidden."""
    cluster = Cluster(settings.kube_context)
    try:
        version = await cluster.get("/version")
        return f"Kubernetes {version.get('gitVersion', '?')} at {cluster.host}"
    finally:
        await cluster.close()
