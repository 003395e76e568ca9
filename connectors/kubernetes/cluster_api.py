"""The API server over HTTP: one page of a list, or the lines of a watch; its errors mapped in this one place."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

import aiohttp
import msgspec

from connectors.kubernetes import wire
from connectors.kubernetes.access import Access
from contracts.errors import ClusterUnavailable, Forbidden, HomeostatError, Permanent, Retryable

CONNECT_S: Final = 5.0
LIST_S: Final = 60.0
SILENT_S: Final = 130.0
"""A watch from which nothing came for this long, not even a bookmark (sent each minute), is begun anew."""
_BUFFER: Final = 1 << 17
_LIST = msgspec.json.Decoder(wire.WireList)
_STATUS = msgspec.json.Decoder(wire.StatusWire)
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
Query = Mapping[str, str]


class Expired(Retryable):
    """The resourceVersion is too old: list again (410 Gone)."""

    reason = "expired"


class ListWatch(Protocol):
    """What an informer needs of an API server. Errors: Expired, ClusterUnavailable, Forbidden, Permanent."""

    async def list(self, path: str, query: Query) -> wire.WireList:
        """One page."""
        ...

    def watch(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """Lines, until the server ends the watch."""
        ...


class ClusterApi:
    """`ListWatch` over HTTP."""

    def __init__(self, access: Access) -> None:
        self._access = access
        connector = aiohttp.TCPConnector(limit=0, ssl=access.tls)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_BUFFER)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def list(self, path: str, query: Query) -> wire.WireList:
        """One page of a list."""
        timeout = aiohttp.ClientTimeout(total=LIST_S, sock_connect=CONNECT_S)
        try:
            async with self._get(path, query, await self._access.headers(), timeout) as reply:
                data = await reply.read()
        except FAILURES as e:
            raise unreachable(e, "list", path, self._access.url) from e
        if reply.status != 200:
            raise refused(reply.status, data, "list", path)
        try:
            return _LIST.decode(data)
        except msgspec.DecodeError as e:
            raise ClusterUnavailable(f"what {self._access.url} answers to list {path} is no list: {e}") from e

    async def watch(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """Lines of a watch, until the server ends it; what is left of a line at the end is dropped."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        try:
            async with self._get(path, query, await self._access.headers(), timeout) as reply:
                if reply.status != 200:
                    raise refused(reply.status, await reply.read(), "watch", path)
                parts: list[bytes] = []
                async for chunk in reply.content.iter_any():
                    *lines, rest = chunk.split(b"\n")
                    for line in lines:
                        yield b"".join((*parts, line))
                        parts.clear()
                    if rest:
                        parts.append(rest)
        except FAILURES as e:
            raise unreachable(e, "watch", path, self._access.url) from e

    def _get(
        self, path: str, query: Query, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.client._RequestContextManager:
        return self._session.get(
            self._access.url + path,
            params=query,
            headers={"Accept": "application/json", **headers},
            timeout=timeout,
            proxy=self._access.proxy,
            server_hostname=self._access.server_name,
        )


def refused(status: int, data: bytes, verb: str, path: str) -> HomeostatError:
    """The error that an answer other than 200 stands for, naming verb and resource."""
    text, what = _message(data), f"{verb} {resource_of(path)}"
    if status in (401, 403):
        who = "does not know us" if status == 401 else "does not let us"
        fix = (
            "its token is wrong or expired"
            if status == 401
            else f"the role needs get, list, watch on {resource_of(path)}: docs/telemetry.md#a-kubernetes-cluster"
        )
        return Forbidden(f"the API server {who} {what}: {text}", fix=fix)
    if status == 410:
        return Expired(f"{what}: {text}")
    if status == 404:
        return Permanent(f"the API server knows no {resource_of(path)}: {text}", reason="not_found")
    if status in (408, 425, 429) or status >= 500:
        return ClusterUnavailable(f"the API server can't {what} now, {status}: {text}")
    return Permanent(f"the API server refuses to {what}, {status}: {text}", reason="refused")


def unreachable(error: BaseException, verb: str, path: str, url: str) -> ClusterUnavailable:
    """The error that a failure on the way stands for."""
    text = f"can't {verb} {resource_of(path)} at {url}: {str(error) or type(error).__name__}"
    return ClusterUnavailable(
        text, fix="is the API server reachable, and kubernetes.context right? try: kubectl version"
    )


def resource_of(path: str) -> str:
    """The resource that a path is about: `deployments.apps`, `pods in shop`."""
    parts = path.strip("/").split("/")
    group = f".{parts[1]}" if parts[0] == "apis" else ""
    where = f" in {parts[parts.index('namespaces') + 1]}" if "namespaces" in parts else ""
    return f"{parts[-1]}{group}{where}"


def _message(data: bytes) -> str:
    """The text of a `Status` object, or the beginning of whatever else it is."""
    try:
        return _STATUS.decode(data).message or "no reason given"
    except msgspec.DecodeError:
        return data[:200].decode("utf-8", "replace").strip() or "no reason given"
