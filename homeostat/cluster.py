"""The cluster as a source: watched by the one worker that owns its environment's partition of `telemetry.changes`.

That is the worker that diagnoses the environment, too. Ownership comes with the consumer group, so no lease is needed, and no
right to write anything to the cluster. While a partition moves, two workers may watch for some seconds: what both tell is
the same, byte for byte, and taken once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from connectors.kafka.client import KafkaBroker
from connectors.kubernetes.watcher import ClusterWatcher, WatchWiring
from contracts.events import Change, encode
from contracts.frames import AddressFrame, EvidenceFrame, InstanceState, pack, unpack
from contracts.ports import Clock, GraphWrite, Record, StateStore
from contracts.settings import Settings
from contracts.topics import ADDRESSES, CHANGES, PARTIALS, partition_of
from homeostat.metrics import Sample
from streams.windows.instances import instance_frames


@lru_cache(maxsize=50_000)
def _attributes(text: str) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(text)
    return found


class ClusterWatch:
    """Starts and stops the watch as the partition comes and goes; does nothing where `kubernetes.watch` is off."""

    def __init__(
        self,
        settings: Settings,
        broker: KafkaBroker,
        partitions: Mapping[str, int],
        state: StateStore,
        graph: Callable[[GraphWrite], None],
        clock: Clock,
    ) -> None:
        self._on, self._broker = settings.kubernetes.watch, broker
        environment = settings.kubernetes.environment or settings.environment
        self._place = (CHANGES, partition_of(environment, partitions[CHANGES]))
        self._parts = partitions[PARTIALS]
        tell = (self._publish, self._report, self._address)
        self._wiring = WatchWiring(settings.kubernetes, environment, clock, *tell, graph, state)
        self._watcher: ClusterWatcher | None = None

    async def on_assigned(self, assigned: frozenset[tuple[str, int]]) -> None:
        """These partitions are this process's now, and no others."""
        if not self._on or self._place not in assigned:
            await self.stop()
        elif self._watcher is None:
            self._watcher = ClusterWatcher(self._wiring)
            self._watcher.start()

    async def stop(self) -> None:
        """Stop watching. Idempotent."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await watcher.stop()

    async def on_evidence(self, record: Record) -> None:
        """Learn which pods and workloads telemetry names; what can't be read its stage counts."""
        if self._watcher is None:
            return
        frame = unpack(EvidenceFrame, record.value)
        if frame.environment != self._wiring.environment:
            return
        for service, text in zip(frame.services, frame.attributes, strict=False):
            if text:
                self._watcher.learn(service, _attributes(text), frame.window_ns)

    def status(self) -> dict[str, Any]:
        """What /status shows; nothing where this process does not watch."""
        return {} if self._watcher is None else self._watcher.status()

    def samples(self) -> Iterator[Sample]:
        """Its metrics."""
        if self._watcher is None:
            return
        yield "watch_synced", (), float(self._watcher.is_synced)
        for kind, n in self._watcher.counts().items():
            yield "watch_objects", (kind,), n
        for (kind, what), n in self._watcher.counters().items():
            yield "watch_events", (kind, what), n

    async def _report(self, states: Mapping[str, InstanceState], time_ns: int) -> None:
        environment = self._wiring.environment
        for target, frame in instance_frames(environment, f"cluster/{environment}", states, time_ns, self._parts):
            await self._broker.send(PARTIALS, pack(frame), key=environment.encode(), partition=target)

    async def _address(self, frame: AddressFrame) -> None:
        await self._broker.send(ADDRESSES, pack(frame), key=f"{frame.environment}/{frame.part}".encode())

    async def _publish(self, change: Change) -> None:
        await self._broker.send(CHANGES, encode(change), key=change.service.encode(), partition=self._place[1])
