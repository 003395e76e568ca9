"""The API server in JSON: what a test or a kubelet asks of it."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml

Json = dict[str, Any]
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"{status}: {body.get('message', body)}")
        self.status, self.body = status, body


class Api:
    """`async with Api(kubeconfig) as api:`"""

    def __init__(self, kubeconfig: Path) -> None:
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        self._url, self._token = str(cluster["server"]), str(user["token"])
        self._ssl = _trust(cluster)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        connector = aiohttp.TCPConnector(ssl=self._ssl, limit=0)
        self._session = aiohttp.ClientSession(self._url, headers=headers, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **query: str) -> Json:
        """The object or list at a path."""
        return await self._call("GET", path, query)

    async def items(self, path: str, **query: str) -> list[Json]:
        """The objects of a list."""
        return list((await self.get(path, **query)).get("items") or ())

    async def create(self, path: str, body: Json) -> Json:
        """Post an object."""
        return await self._call("POST", path, {}, body, "application/json")

    async def patch(self, path: str, body: Any, kind: str = MERGE) -> Json:
        """Change an object."""
        return await self._call("PATCH", path, {}, body, kind)

    async def apply(self, path: str, body: Json, manager: str) -> Json:
        """Server-side apply, by force."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._call("PATCH", path, query, body, "application/apply-patch+yaml")

    async def put(self, path: str, body: Json) -> Json:
        """Replace an object."""
        return await self._call("PUT", path, {}, body, "application/json")

    async def delete(self, path: str, body: Json | None = None) -> Json:
        """Delete an object."""
        return await self._call("DELETE", path, {}, body or {}, "application/json")

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Json]:
        """Events since a resourceVersion, until the server ends it."""
        assert self._session is not None
        query |= {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        limit = aiohttp.ClientTimeout(total=None, sock_read=None)
        async with self._session.get(path, params=query, timeout=limit, read_bufsize=2**22) as reply:
            if reply.status != 200:
                raise ApiError(reply.status, await reply.json())
            async for line in reply.content:
                yield json.loads(line)

    async def _call(self, method: str, path: str, query: dict[str, str], body: Any = None, kind: str = "") -> Json:
        assert self._session is not None
        headers = {"Content-Type": kind} if kind else {}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, path, params=query, data=data, headers=headers) as reply:
            answer: Json = await reply.json(content_type=None)
            if reply.status >= 300:
                raise ApiError(reply.status, answer)
            return answer


def _trust(cluster: Json) -> ssl.SSLContext | bool:
    if cluster.get("insecure-skip-tls-verify") or str(cluster["server"]).startswith("http://"):
        return False
    if "certificate-authority-data" in cluster:
        return ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    return ssl.create_default_context(cafile=cluster["certificate-authority"])
