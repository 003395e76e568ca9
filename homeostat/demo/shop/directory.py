"""Who is where: client-side balancing over the instances the process manager says are ready."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import aiohttp

FRESH_S = 0.25


class Directory:
    """Round robin over each service's ready instances; addresses are asked for again after a quarter of a second."""

    def __init__(self, manager: str, fresh_s: float = FRESH_S) -> None:
        self._manager, self._fresh_s = manager, fresh_s
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._turns: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None

    async def get(self, service: str, path: str, headers: Mapping[str, str], timeout_s: float) -> int:
        """Status of GET `path` on the next instance. aiohttp.ClientError or TimeoutError if it does not answer."""
        return (await self.fetch(service, path, headers, timeout_s))[0]

    async def fetch(self, service: str, path: str, headers: Mapping[str, str], timeout_s: float) -> tuple[int, bytes]:
        """Status and body, as `get`."""
        addresses = await self._addresses(service)
        if not addresses:
            raise aiohttp.ClientConnectionError(f"no instance of {service} is ready")
        self._turns[service] += 1
        url = f"http://{addresses[self._turns[service] % len(addresses)]}{path}"
        async with self._client().get(url, headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s)) as reply:
            return reply.status, await reply.read()

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _addresses(self, service: str) -> list[str]:
        at, known = self._known.get(service, (0.0, []))
        if time.monotonic() - at > self._fresh_s:
            self._known[service] = (time.monotonic(), known)  # others go on with what is known meanwhile
            url = f"{self._manager}/endpoints/{service}"
            try:
                async with self._client().get(url, timeout=aiohttp.ClientTimeout(total=1.0)) as reply:
                    known = list((await reply.json())["addresses"])
            except (aiohttp.ClientError, TimeoutError):
                pass
            self._known[service] = (time.monotonic(), known)
        return known

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session
