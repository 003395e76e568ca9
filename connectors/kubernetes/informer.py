"""One resource of a cluster, kept current: list, watch from there, go on after a disconnect, list again when told to.

The protocol is that of https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes: pages by
`limit` and `continue`, bookmarks, 410 Gone. What client-go calls a reflector.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from connectors.kubernetes import wire
from connectors.kubernetes.cluster_api import ListWatch, Query
from connectors.kubernetes.failures import WATCHING, Expired, refused, status_of
from connectors.kubernetes.objects import ObjectKind, Thing
from connectors.kubernetes.read import Reader
from connectors.kubernetes.request import Request, resource_of
from contracts.errors import ClusterUnavailable, HomeostatError
from contracts.retry import Backoff, Pauses

log = logging.getLogger(__name__)
PAGE: Final = 250
"""Objects per page: what is held as JSON at once is this many."""
WATCH_S: Final = 290
FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 30.0
"""Pauses after failures."""
_SHORT_S: Final = 1.0
"""A watch that ends sooner, without a word, counts as a failure."""
_EVENT = msgspec.json.Decoder(wire.WireEvent)
_STATUS = msgspec.json.Decoder(wire.StatusWire)
_BARE = msgspec.json.Decoder(wire.Bare)

Sink = Callable[[Thing | None, Thing | None], None]
"""Told of each change: the object before (None: new), and now (None: gone)."""


@dataclass(frozen=True, slots=True)
class WatchSource:
    """What to list and watch: a kind, the path of its collection, and which of it."""

    kind: ObjectKind
    path: str
    selector: str = ""
    namespace: str = ""

    @property
    def query(self) -> Query:
        """The part of the query that is in every call."""
        return {"fieldSelector": self.selector} if self.selector else {}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: a whole list again after `resync_s`; `seed` spreads the retries of several processes."""

    resync_s: float = 1800.0
    seed: int = 0
    longest_wait_s: float = LONGEST_WAIT_S


class Informer:
    """Keeps `objects` (by uid) current until cancelled, and tells `sink` of every change, in order.

    `known` are objects as they were seen last, perhaps by another process: what changed since is told after the first list.
    """

    def __init__(
        self,
        source: WatchSource,
        server: ListWatch,
        read: Reader,
        sink: Sink,
        *,
        known: Mapping[str, Thing] | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.source, self.trouble, self.counters = source, "", Counter[str]()
        self.objects: dict[str, Thing] = dict(known or {})
        self.synced, self.attempted = asyncio.Event(), asyncio.Event()
        self._server, self._read, self._sink = server, read, sink
        self._pace = pace or Pace()
        self._backoff = Backoff(Pauses(FIRST_WAIT_S, self._pace.longest_wait_s, self._pace.seed))
        self._version, self._listed_at, self._whole = "", 0.0, False

    async def run(self) -> None:
        """Never returns; what goes wrong is told once in one line, and tried again."""
        while True:
            try:
                if not self._version or time.monotonic() - self._listed_at > self._pace.resync_s:
                    await self._list()
                if not await self._watch():
                    await asyncio.sleep(self._backoff.next_s())
            except Expired as e:
                self.counters["expired"] += 1
                self._version = ""
                log.debug("%s: listed again: %s", resource_of(self.source.path), e)
                await asyncio.sleep(self._backoff.next_s())
            except HomeostatError as e:
                self._troubled(e)
                await asyncio.sleep(self._backoff.next_s())

    # --- list

    async def _list(self) -> None:
        found: set[str] = set()
        changed: list[Thing] = []
        token = version = ""
        self.counters["lists"] += 1
        while True:
            page = await self._page(token)
            version = page.metadata.resource_version
            for raw in page.items or ():
                thing = self._decode(raw)
                if thing is None:
                    found.add(_uid(raw))  # it is there, whatever it is
                    continue
                found.add(thing.head.uid)
                if self.objects.get(thing.head.uid) != thing:  # known from another release it may read otherwise, too
                    changed.append(thing)
            token = page.metadata.continue_
            if not token:
                break
        self._take_list(found, changed)
        self._version, self._listed_at, self._whole = version, time.monotonic(), False
        self._well()
        self.synced.set()

    async def _page(self, token: str) -> wire.WireList:
        query = {**self.source.query, **({} if self._whole else {"limit": str(PAGE)})}
        try:
            return await self._server.list(self.source.path, {**query, **({"continue": token} if token else {})})
        except Expired:
            # A list so long that it expires while it is read page by page is then asked for whole.
            self._whole = bool(token)
            raise

    def _take_list(self, found: set[str], changed: list[Thing]) -> None:
        for uid in [u for u in self.objects if u not in found]:
            self._tell(self.objects.pop(uid), None)
        for thing in changed:
            before, self.objects[thing.head.uid] = self.objects.get(thing.head.uid), thing
            self._tell(before, thing)

    # --- watch

    async def _watch(self) -> bool:
        """Follow from the version known until the server ends it; whether it was of any use."""
        query = {
            **self.source.query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(max(1, min(WATCH_S, int(self._pace.resync_s)))),
        }
        began, before = time.monotonic(), self.counters["seen"]
        self.counters["watches"] += 1
        async with aclosing(cast("Any", self._server.watch(self.source.path, query))) as lines:
            async for line in lines:
                if line.strip():
                    self._line(line)
                    self._well()
                    self._backoff.reset()
        useful = self.counters["seen"] > before or time.monotonic() - began > _SHORT_S
        if useful:
            self._backoff.reset()
        return useful

    def _line(self, line: bytes) -> None:
        try:
            event = _EVENT.decode(line)
            if event.type == "ERROR":
                status = _STATUS.decode(event.object)
                said = status_of(bytes(event.object))
                raise refused(WATCHING, Request("watch", self.source.path), status.code or 500, said)
            version = _BARE.decode(event.object).metadata.resource_version
        except msgspec.DecodeError as e:
            self.counters["undecodable"] += 1
            self._version = ""  # what it said may matter: only a list tells
            raise ClusterUnavailable(f"a watch of {resource_of(self.source.path)} that can't be read: {e}") from e
        self.counters["seen"] += 1
        if not newer(version, self._version):
            self.counters["repeated"] += 1
            return
        self._take(event, version)
        self._version = version

    def _take(self, event: wire.WireEvent, version: str) -> None:
        if event.type == "BOOKMARK":
            return
        thing = self._decode(event.object)
        if event.type == "DELETED":
            gone = self.objects.pop(_uid(event.object), None)
            if gone is not None:
                self._tell(thing or gone, None)  # gone it is, whether or not its last state can be read
            return
        if thing is None:
            return
        before = self.objects.get(thing.head.uid)
        if before is None or before.head.version != version:
            self.objects[thing.head.uid] = thing
            self._tell(before, thing)

    # --- common

    def _decode(self, raw: msgspec.Raw) -> Thing | None:
        try:
            return self._read(raw)
        except (msgspec.DecodeError, ValueError, TypeError, AttributeError, RecursionError) as e:
            if not self.counters["undecodable"]:
                log.warning("an object of %s can't be read: %s", resource_of(self.source.path), e)
            self.counters["undecodable"] += 1
            return None

    def _tell(self, before: Thing | None, now: Thing | None) -> None:
        self.counters["changed"] += 1
        self._sink(before, now)

    def _troubled(self, error: HomeostatError) -> None:
        text = str(error)
        self.counters[error.reason] += 1
        if text != self.trouble:
            log.warning("%s; trying again", text)
        self.trouble = text
        self.attempted.set()

    def _well(self) -> None:
        if self.trouble:
            log.info("%s can be read again", resource_of(self.source.path))
        self.trouble = ""
        self.attempted.set()


def _uid(raw: msgspec.Raw) -> str:
    try:
        return _BARE.decode(raw).metadata.uid
    except msgspec.DecodeError:
        return ""


def newer(version: str, than: str) -> bool:
    """Whether one resourceVersion is later; where they are no numbers, whether it is another."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
