"""List and watch: one page of a list, or the lines of a watch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, Protocol

import msgspec

from connectors.kubernetes import wire
from connectors.kubernetes.access import Access
from connectors.kubernetes.failures import WATCHING
from connectors.kubernetes.request import Request
from connectors.kubernetes.transport import Limits, Transport
from contracts.errors import ClusterUnavailable

LIST: Final = Limits(connect_s=5.0, silent_s=60.0, whole_s=60.0)
WATCH: Final = Limits(connect_s=5.0, silent_s=130.0)
"""A watch from which nothing came for this long, not even a bookmark (sent each minute), is begun anew."""
_LIST = msgspec.json.Decoder(wire.WireList)
Query = Mapping[str, str]


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
        self._transport = Transport(access, WATCHING)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def list(self, path: str, query: Query) -> wire.WireList:
        """One page of a list."""
        data = await self._transport.request(Request("list", path, query), LIST)
        try:
            return _LIST.decode(data)
        except msgspec.DecodeError as e:
            url = self._transport.access.url
            raise ClusterUnavailable(f"what {url} answers to list {path} is no list: {e}") from e

    def watch(self, path: str, query: Query) -> AsyncIterator[bytes]:
        """Lines of a watch, until the server ends it; what is left of a line at the end is dropped."""
        return self._transport.lines(Request("watch", path, query), WATCH)
