"""The way to one API server over HTTP, for whoever watches and whoever acts: connections, credentials, time limits and errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import aiohttp

from connectors.kubernetes.access import Access
from connectors.kubernetes.failures import FAILURES, Side, refused, status_of, unanswered
from connectors.kubernetes.request import Request
from contracts.errors import ClusterUnavailable

_BUFFER: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that connecting (with TLS) may take, that nothing may come, and that the whole answer may take (None: any)."""

    connect_s: float
    silent_s: float
    whole_s: float | None = None


class Transport:
    """Connections to an API server, made when they are needed. Nothing is sent twice: whether to try again is for the caller."""

    def __init__(self, access: Access, side: Side) -> None:
        self.access, self.side = access, side
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections. Idempotent; a later request connects again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(self, request: Request, limits: Limits) -> bytes:
        """The body of the answer.

        Raises:
            HomeostatError: as `failures.refused` and `failures.unanswered` have it for this side.
        """
        try:
            status, data = await self._exchange(request, limits)
        except FAILURES as e:
            raise unanswered(self.side, request, e, self.access.url) from e
        if not 200 <= status < 300:
            raise refused(self.side, request, status, status_of(data))
        return data

    async def lines(self, request: Request, limits: Limits) -> AsyncIterator[bytes]:
        """Lines of an answer as they come, until the server ends it; what is left of a line at the end is dropped.

        Raises:
            HomeostatError: as `request`.
        """
        try:
            async with self._begin(request, limits, await self._headers(request)) as reply:
                if reply.status != 200:
                    raise refused(self.side, request, reply.status, status_of(await reply.read()))
                parts: list[bytes] = []
                async for chunk in reply.content.iter_any():
                    *lines, rest = chunk.split(b"\n")
                    for line in lines:
                        yield b"".join((*parts, line))
                        parts.clear()
                    if rest:
                        parts.append(rest)
        except FAILURES as e:
            raise unanswered(self.side, request, e, self.access.url) from e

    async def _exchange(self, request: Request, limits: Limits) -> tuple[int, bytes]:
        async with self._begin(request, limits, await self._headers(request)) as reply:
            return reply.status, await reply.read()

    async def _headers(self, request: Request) -> dict[str, str]:
        try:
            known = await self.access.headers()
        except ClusterUnavailable as e:
            raise self.side.unavailable(e.message, fix=e.fix) from e
        kind = {"Content-Type": request.content_type} if request.content_type else {}
        return {"Accept": "application/json", **kind, **known}

    def _begin(
        self, request: Request, limits: Limits, headers: dict[str, str]
    ) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self.access.tls)
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_BUFFER)
        return self._session.request(
            request.method,
            self.access.url + request.path,
            params=request.query,
            data=request.body,
            headers=headers,
            allow_redirects=not request.effect,
            timeout=aiohttp.ClientTimeout(
                total=limits.whole_s, sock_connect=limits.connect_s, sock_read=limits.silent_s
            ),
            proxy=self.access.proxy,
            server_hostname=self.access.server_name,
        )
