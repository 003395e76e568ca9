"""What every HTTP server of Homeostat checks at its door: how many come in, and by which name they were sent here.

A web page may let its own name point at 127.0.0.1 and then ask what listens there as if it were its own server (DNS rebinding).
The Host header still carries that name: on loopback only loopback's own names are answered, and those that the settings allow.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from aiohttp import web

RETRY_AFTER_S: Final = 1
KEEPALIVE_S: Final = 75.0
"""A connection on which nothing whole was asked for this long is closed: also one whose first request never ends."""
HANDSHAKE_S: Final = 10.0
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    % RETRY_AFTER_S
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(host: str) -> bool:
    """Whether a host, as an address or a name, is this machine as only it can mean itself."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def host_in(header: str) -> str:
    """The host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0][1:]
    return header.rpartition(":")[0] if header.count(":") == 1 else header


def answers_to(header: str, listening: str, allowed: Iterable[str]) -> bool:
    """Whether a server that listens on `listening` answers to this Host header. A browser always sends one."""
    host, names = host_in(header).lower().rstrip("."), {n.lower() for n in allowed}
    if not host or is_loopback(host) or host in names or "*" in names:
        return True
    return not names and not is_loopback(listening)


def host_check(listening: str, allowed: Sequence[str], setting: str) -> Any:
    """aiohttp middleware that answers 421 to requests under a name that isn't ours. `setting` is the one to change."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        header = request.headers.get("Host", "")
        if not answers_to(header, listening, allowed):
            return web.Response(status=421, text=f"{host_in(header)} is no name of this server; allow it: {setting}\n")
        return await handler(request)

    return check


class Connections(Protocol):
    """What is known of an aiohttp server."""

    @property
    def connections(self) -> Iterable[Any]:
        """Those that are open."""
        ...

    def __call__(self) -> asyncio.Protocol:
        """The handler of a new one."""
        ...


class Door:
    """Lets so many connections in, and so many of each peer. `refused` counts the others."""

    def __init__(self, most: int, most_of_peer: int, peer_of: Callable[[str], str] = str) -> None:
        self.most, self.most_of_peer, self._peer_of = most, most_of_peer, peer_of
        self.refused = 0

    async def open(
        self, runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> asyncio.Server:
        """Listen. OSError where the address is taken or not allowed."""
        server = runner.server
        assert server is not None
        return await asyncio.get_running_loop().create_server(
            lambda: _Guest(self, server),
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S if context else None,
        )

    def admits(self, server: Connections, address: str) -> bool:
        """Whether one more of this address may come in."""
        peers = Counter(self._peer_of(_address_of(c)) for c in server.connections)
        found = peers.total() < self.most and peers[self._peer_of(address)] < self.most_of_peer
        self.refused += not found
        return found


class _Guest(asyncio.Protocol):
    """A new connection, until it is known whether it may stay."""

    def __init__(self, door: Door, server: Connections) -> None:
        self._door, self._server = door, server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand over, or say that there are too many."""
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        if self._door.admits(self._server, peer[0] if peer else ""):
            handler = self._server()
            transport.set_protocol(handler)
            handler.connection_made(transport)
            return
        transport.write(_FULL)
        transport.close()


def _address_of(connection: Any) -> str:
    peer = connection.peername
    return peer[0] if peer else ""
