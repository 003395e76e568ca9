"""An API server as far as list and watch go: pages, resourceVersions, bookmarks, 410 in both forms, dropped connections."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.unit.connectors.kubernetes.objects import Json


@dataclass
class Collection:
    """One resource: what there is, and its history since `compacted`."""

    things: dict[str, Json] = field(default_factory=dict)
    history: list[tuple[int, bytes]] = field(default_factory=list)
    compacted: int = 0


class ListWatchServer:
    """Speaks the protocol of https://kubernetes.io/docs/reference/using-api/api-concepts/ on loopback.

    Set `refuse` to answer every call with that status; `expire_pages` to let that many `continue` tokens expire.
    """

    def __init__(self) -> None:
        self.version = 100
        self.collections: dict[str, Collection] = {}
        self.refuse: int = 0
        self.refuse_paths: dict[str, int] = {}
        self.expire_pages = 0
        self.drop_lists = 0
        self.calls: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self._news = asyncio.Event()
        self._cut: set[asyncio.Task[Any]] = set()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._get)
        return app

    # --- what tests do

    def put(self, path: str, thing: Json) -> Json:
        """Create or change an object; its resourceVersion is the server's next."""
        collection = self._collection(path)
        known = thing["metadata"]["uid"] in collection.things
        return self._write(collection, "MODIFIED" if known else "ADDED", thing)

    def delete(self, path: str, thing: Json) -> None:
        collection = self._collection(path)
        self._write(collection, "DELETED", thing)
        del collection.things[thing["metadata"]["uid"]]

    def say(self, path: str, line: bytes) -> None:
        """Put a line into the watch as it is."""
        self.version += 1
        self._collection(path).history.append((self.version, line))
        self._wake()

    def bookmark(self, path: str) -> None:
        self.version += 1
        line = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.version)}}}
        self._collection(path).history.append((self.version, json.dumps(line).encode()))
        self._wake()

    def repeat(self, path: str, back: int) -> None:
        """Send the event before the last `back` ones again, out of order."""
        self.say(path, self._collection(path).history[-1 - back][1])

    def compact(self) -> None:
        """Forget history: watches that begin before now are told 410."""
        for collection in self.collections.values():
            collection.compacted = self.version
            collection.history.clear()

    def disconnect(self) -> None:
        """Cut all connections of watches, in the middle of whatever they say."""
        for task in list(self._cut):
            task.cancel()

    # --- HTTP

    def _collection(self, path: str) -> Collection:
        return self.collections.setdefault(path, Collection())

    def _write(self, collection: Collection, kind: str, thing: Json) -> Json:
        self.version += 1
        thing = {**thing, "metadata": {**thing["metadata"], "resourceVersion": str(self.version)}}
        collection.things[thing["metadata"]["uid"]] = thing
        collection.history.append((self.version, json.dumps({"type": kind, "object": thing}).encode()))
        self._wake()
        return thing

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        self.queries.append({**query, "path": path, "authorization": request.headers.get("Authorization", "")})
        verb = "watch" if query.get("watch") else "list"
        self.calls[verb] += 1
        status = self.refuse or self.refuse_paths.get(path, 0)
        if status:
            return _status(status, f"no {verb} for you")
        collection = self._collection(path)
        return await (self._watch if verb == "watch" else self._list)(request, collection, query)

    async def _list(self, request: web.Request, collection: Collection, query: dict[str, str]) -> web.StreamResponse:
        if self.drop_lists:
            self.drop_lists -= 1
            assert request.transport is not None
            request.transport.close()
        token = query.get("continue", "")
        if token and self.expire_pages:
            self.expire_pages -= 1
            return _status(410, "the continue parameter is too old")
        things = sorted(collection.things.values(), key=lambda t: t["metadata"]["uid"])
        start = int(token or 0)
        end = start + int(query.get("limit", len(things) or 1))
        more = {"continue": str(end)} if end < len(things) else {}
        metadata = {"resourceVersion": str(self.version), **more}
        return web.json_response({"kind": "List", "metadata": metadata, "items": things[start:end]})

    async def _watch(self, request: web.Request, collection: Collection, query: dict[str, str]) -> web.StreamResponse:
        version = int(query["resourceVersion"])
        response = web.StreamResponse()
        await response.prepare(request)
        if version < collection.compacted:
            gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        task = asyncio.current_task()
        assert task is not None
        self._cut.add(task)
        try:
            while True:
                news = self._news
                for at, line in [h for h in collection.history if h[0] > version]:
                    # In two parts, as networks do.
                    await response.write(line[:20])
                    await response.write(line[20:] + b"\n")
                    version = at
                await news.wait()
        except asyncio.CancelledError:
            if request.transport is not None:
                request.transport.close()
            raise
        finally:
            self._cut.discard(task)


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)
