"""Watching one cluster: an informer per resource, one model, and what it says sent on a few times a second.

Nothing is sent twice by design, but a worker that takes over repeats what it is not sure of: the same change has the same
bytes, and who reads it drops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.kubernetes import checkpoint
from connectors.kubernetes.access import Access, open_access
from connectors.kubernetes.addresses import AddressBook
from connectors.kubernetes.cluster_api import ClusterApi
from connectors.kubernetes.informer import FIRST_WAIT_S, LONGEST_WAIT_S, Informer, Pace, WatchSource
from connectors.kubernetes.instances import Instances, changed
from connectors.kubernetes.model import ClusterModel
from connectors.kubernetes.objects import ObjectKind, Thing
from connectors.kubernetes.read import reader
from connectors.kubernetes.rows import UNDRAWN
from contracts.errors import HomeostatError, Retryable, UnreadableEvent
from contracts.events import Change
from contracts.frames import AddressFrame, InstanceState
from contracts.ports import Clock, GraphWrite, StateStore
from contracts.retry import Pauses, retrying
from contracts.settings import KubernetesSettings
from contracts.supervision import Supervised
from contracts.units import SECOND

log = logging.getLogger(__name__)

RECENT_NS: Final = 600 * SECOND
"""What happened longer ago is not told at first sight."""
_OVERLAP_NS: Final = 5 * SECOND
_FLUSH_S: Final = 0.2
_SAVE_S: Final = 5.0
_KEEP_S: Final = 60.0
"""What has not changed is saved again this often, so that its time is not too old."""
_STOP_S: Final = 5.0
_PATIENCE_S: Final = 15.0
_REPEAT_S: Final = 5.0
"""How often the states of instances are told that have not changed: whoever judges by them believes no report that is old."""
_LOOK_S: Final = 0.5
_ADDRESSES_S: Final = 1.0
"""How often addresses are gone through, if anything happened: a pod that serves since a moment ago has been called once or twice."""
_LIMIT: Final = 10_000
"""Changes that wait while the broker is away; the oldest go first, counted."""

_PATHS: Final[Mapping[ObjectKind, tuple[str, str]]] = {
    ObjectKind.DEPLOYMENT: ("/apis/apps/v1", "deployments"),
    ObjectKind.STATEFUL_SET: ("/apis/apps/v1", "statefulsets"),
    ObjectKind.DAEMON_SET: ("/apis/apps/v1", "daemonsets"),
    ObjectKind.REPLICA_SET: ("/apis/apps/v1", "replicasets"),
    ObjectKind.POD: ("/api/v1", "pods"),
    ObjectKind.AUTOSCALER: ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    ObjectKind.NODE: ("/api/v1", "nodes"),
    ObjectKind.NOTICE: ("/api/v1", "events"),
    ObjectKind.SERVICE: ("/api/v1", "services"),
    ObjectKind.ENDPOINTS: ("/apis/discovery.k8s.io/v1", "endpointslices"),
}
_LATER: Final = frozenset({ObjectKind.NODE, ObjectKind.NOTICE, ObjectKind.AUTOSCALER})
"""What they say is about the others, which are listed before."""
_OF_ADDRESSES: Final = frozenset({ObjectKind.SERVICE, ObjectKind.ENDPOINTS})
"""What they say is of addresses alone: without the right to read them, all else is as it was."""


@dataclass(frozen=True)
class WatchWiring:
    """What a watcher is made of. `publish` returns once the change is on its topic; `report` once the states of services' instances
    at that time are on theirs, `address` once a part of the cluster's addresses is."""

    settings: KubernetesSettings
    environment: str
    clock: Clock
    publish: Callable[[Change], Awaitable[None]]
    report: Callable[[Mapping[str, InstanceState], int], Awaitable[None]]
    address: Callable[[AddressFrame], Awaitable[None]]
    graph: Callable[[GraphWrite], None]
    state: StateStore


def sources(namespaces: tuple[str, ...]) -> Iterator[WatchSource]:
    """What to watch, in all namespaces or in those given."""
    for kind, (group, resource) in _PATHS.items():
        selector = "type=Warning" if kind is ObjectKind.NOTICE else ""
        if kind is ObjectKind.NODE or not namespaces:
            yield WatchSource(kind, f"{group}/{resource}", selector)
        else:
            for namespace in namespaces:
                yield WatchSource(kind, f"{group}/namespaces/{namespace}/{resource}", selector, namespace)


class ClusterWatcher:
    """Watches until stopped. Whatever goes wrong is told in one line, and tried again; nobody else waits for it."""

    def __init__(self, wiring: WatchWiring) -> None:
        self._w = wiring
        self._key = f"kubernetes/{wiring.environment}"
        self._seed = zlib.crc32(f"{self._key}/{os.uname().nodename}".encode())
        self._informers: list[Informer] = []
        self._model: ClusterModel | None = None
        self._waiting: deque[Change] = deque()
        self._main = Supervised("kubernetes-watch", self._run, clock=wiring.clock)
        self._saved_at = self._kept_at = 0.0
        self._kept = b""
        self._instances, self._states = Instances(), dict[str, InstanceState]()
        self._reported_at = self._looked_at = 0.0
        self._addresses = AddressBook(wiring.environment)
        self._addressed_at = self._repeated_at = 0.0
        self._moves = -1
        self._synced = asyncio.Event()
        self.trouble = ""
        self.dropped = self.published = 0

    def start(self) -> None:
        """Begin; returns at once."""
        self._main.start()

    async def stop(self) -> None:
        """End, and keep what the next owner must know. Idempotent."""
        if not self._main.running:
            return
        await self._main.stop()
        with contextlib.suppress(HomeostatError, TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._flush()
                await self._save()

    def learn(self, service: str, attributes: Mapping[str, str], time_ns: int) -> None:
        """Telemetry of a service came from a resource with these attributes: it may name the pod or workload."""
        if self._model is not None:
            self._model.learn(service, attributes, time_ns)

    async def synced(self) -> None:
        """Wait until everything was listed once."""
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        """Whether everything was listed once."""
        return self._synced.is_set()

    def counts(self) -> Counter[str]:
        """Objects known, by kind."""
        return Counter() if self._model is None else self._model.counts()

    def counters(self) -> Counter[tuple[str, str]]:
        """What was read, by kind and what became of it, and what was told, by `change` and its kind."""
        found: Counter[tuple[str, str]] = Counter()
        for informer in self._informers:
            for what, n in informer.counters.items():
                found[str(informer.source.kind), what] += n
        if self._model is not None:
            for what, n in self._model.counters.items():
                found["change", what] += n
        found["change", "dropped"] += self.dropped
        return +found

    def status(self) -> dict[str, Any]:
        """What /status shows."""
        troubles = [self.trouble, *(i.trouble for i in self._informers)]
        return {
            "environment": self._w.environment,
            "synced": self.is_synced,
            "objects": dict(sorted(self.counts().items())),
            "changes": self.published,
            "trouble": sorted({text for text in troubles if text}),
        }

    # --- running

    async def _run(self) -> None:
        try:
            await self._watch()
        except Exception:  # a mistake of ours; what is known is read anew
            self.trouble = "it failed and begins again: see the log"
            raise

    async def _watch(self) -> None:
        access, known = await self._opened()
        server = ClusterApi(access)
        sending = Supervised("kubernetes-send", self._send, clock=self._w.clock, longest_s=_SAVE_S)
        try:
            self._make(server, known)
            sending.start()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._begin(tasks), name="kubernetes-begin")
        finally:
            await sending.stop()
            await server.close()

    async def _opened(self) -> tuple[Access, checkpoint.Checkpoint | None]:
        async def opened() -> tuple[Access, checkpoint.Checkpoint | None]:
            return await asyncio.to_thread(open_access, self._w.settings.context), await self._load()

        pauses = Pauses(FIRST_WAIT_S, LONGEST_WAIT_S, self._seed)
        found = await retrying(opened, pauses=pauses, on=HomeostatError, told=self._troubled)
        self.trouble = ""
        return found

    async def _load(self) -> checkpoint.Checkpoint | None:
        payload = await self._w.state.load(self._key)
        try:
            return None if payload is None else checkpoint.load(payload)
        except UnreadableEvent as e:
            log.warning("%s; the cluster is seen as if for the first time", e)
            return None

    def _make(self, server: ClusterApi, saved: checkpoint.Checkpoint | None) -> None:
        w, now_ns = self._w, self._w.clock.now_ns()
        if self._model is None:
            since_ns = max(now_ns - RECENT_NS, saved.time_ns - _OVERLAP_NS if saved else 0)
            known = [*saved.things, *saved.instances] if saved else []
            self._model = ClusterModel(w.environment, since_ns, known)
        model, things = self._model, list(self._model.things.values())  # what it knew before a mistake it goes on from
        pace = Pace(resync_s=w.settings.resync_s, seed=self._seed)

        def sink(before: Thing | None, now: Thing | None) -> None:
            model.take(before, now, w.clock.now_ns())

        self._informers = [
            Informer(
                source,
                server,
                reader(source.kind, w.settings.service_labels),
                sink,
                known={t.head.uid: t for t in things if _is_of(source, t)},
                pace=Pace(pace.resync_s, pace.seed + i),
            )
            for i, source in enumerate(sources(w.settings.namespaces))
        ]

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        first = [i for i in self._informers if i.source.kind not in _LATER]
        for informers in (first, [i for i in self._informers if i not in first]):
            for informer in informers:
                tasks.create_task(informer.run(), name=f"kubernetes-{informer.source.path}")
                tasks.create_task(self._listed(informer), name="kubernetes-listed")
            with contextlib.suppress(TimeoutError):  # what is forbidden holds nothing else up
                async with asyncio.timeout(_PATIENCE_S):
                    for informer in informers:
                        await informer.attempted.wait()
        for informer in self._informers:
            if informer.source.kind not in _OF_ADDRESSES:
                await informer.synced.wait()
        self._synced.set()

    async def _listed(self, informer: Informer) -> None:
        await informer.synced.wait()
        assert self._model is not None
        source, kept = informer.source, list(informer.objects.values())
        if source.kind not in UNDRAWN:
            self._model.listed(source.kind, source.namespace, kept, self._w.clock.now_ns())

    # --- sending

    async def _send(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            try:
                await self._flush()
                if self.is_synced and time.monotonic() - self._saved_at > _SAVE_S:
                    await self._save(changed_only=True)
            except Retryable as e:
                self._troubled(e)

    async def _flush(self) -> None:
        model = self._model
        if model is None:
            return
        model.tick(self._w.clock.now_ns())
        for write in model.writes():
            self._w.graph(write)
        self._waiting.extend(model.changes())
        while len(self._waiting) > _LIMIT:
            self._waiting.popleft()
            self.dropped += 1
        while self._waiting:
            await self._w.publish(self._waiting[0])
            self._waiting.popleft()
            self.published += 1
            self.trouble = ""
        await self._report(model)
        await self._tell_addresses(model)

    async def _tell_addresses(self, model: ClusterModel) -> None:
        """Tell which service answers at which address: what of it has changed at once, the rest again and again."""
        now = time.monotonic()
        if not self.is_synced or now - self._addressed_at < _ADDRESSES_S:
            return
        self._addressed_at, now_ns = now, self._w.clock.now_ns()
        if self._moves != model.moves:
            self._moves = model.moves
            self._addresses.look(model.things.values(), now_ns)
        if now - self._repeated_at >= _REPEAT_S:
            self._repeated_at = now
            self._addresses.repeat()
        for frame in list(self._addresses.untold(now_ns)):
            await self._w.address(frame)
            self._addresses.told(frame.part)

    async def _report(self, model: ClusterModel) -> None:
        """Tell how the instances of the services are that telemetry knows, as long as the cluster is seen as it is."""
        due = time.monotonic() - self._reported_at >= _REPEAT_S
        blind = any(i.trouble for i in self._informers if i.source.kind not in _OF_ADDRESSES)
        if not self.is_synced or blind or not (due or model.stirred):
            return
        if (
            time.monotonic() - self._looked_at < _LOOK_S
        ):  # all objects are looked at, and something always happens to one
            return
        self._looked_at, now_ns = time.monotonic(), self._w.clock.now_ns()
        model.stirred = False
        states = {s: x for s, x in self._instances.states(model.things.values(), now_ns).items() if model.heard(s)}
        if not due and not changed(self._states, states):
            return
        await self._w.report(states, now_ns)
        self._states, self._reported_at = states, time.monotonic()

    async def _save(self, *, changed_only: bool = False) -> None:
        if self._model is None or not self.is_synced:
            return
        self._saved_at, things = time.monotonic(), list(self._model.things.values())
        content = checkpoint.save(things, 0)
        if changed_only and content == self._kept and self._saved_at - self._kept_at < _KEEP_S:
            return
        await self._w.state.save(self._key, checkpoint.save(things, self._w.clock.now_ns()))
        self._kept, self._kept_at = content, self._saved_at

    def _troubled(self, error: Exception, _pause_s: float = 0.0) -> None:
        if str(error) != self.trouble:
            log.warning("%s; trying again", error)
        self.trouble = str(error)


def _is_of(source: WatchSource, thing: Thing) -> bool:
    return thing.head.kind is source.kind and source.namespace in ("", thing.head.namespace)
