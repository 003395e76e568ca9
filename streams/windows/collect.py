"""What collects the records of one signal until they are flushed: identity, event-time watermark, senders of the future."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.frames import Decoded, PartialFrame
from contracts.frames.telemetry import B1, I32, I64
from contracts.settings import IngestSettings
from streams.windows.grouping import Column
from streams.windows.names import Names
from streams.windows.rows import Origin, frame

Partial = tuple[str, int, PartialFrame]
"""Environment, target partition, frame."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One environment of a message: per resource of the message the number of its service there, or -1."""

    names: Names
    numbers: I64
    whole: bool
    """Every resource is of this environment and has a number: nothing needs to be picked out."""

    def pick(self, resource: I32, keep: B1) -> I64 | slice:
        """Which records belong here, of those in `keep`."""
        if self.whole and keep.all():
            return slice(None)
        return np.flatnonzero((self.numbers[resource] >= 0) & keep)


class Collector:
    """Base of the collectors. A watermark is of the source partition and signal, so that signals never wait for each other."""

    signal = ""

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        self.settings, self.partitions, self.counters = settings, partitions, counters
        self.width_ns = settings.window_ms * 1_000_000
        self.max_delay_ns = int(settings.max_delay_s * 1e9)
        self.names: dict[str, Names] = {}
        self.newest: dict[str, int] = {}
        self.watermark = 0
        self.flushed_watermark = 0

    @property
    def moved(self) -> bool:
        """Whether event time has gone on since the last flush."""
        return self.watermark > self.flushed_watermark

    def scopes(self, decoded: Decoded, now_ns: int) -> list[Scope]:
        """The environments of a message."""
        environments = sorted({r.environment for r in decoded.resources})
        found = []
        for environment in environments:
            names = self.names_of(environment)
            numbers = np.array(
                [names.resource(r, now_ns) if r.environment == environment else -2 for r in decoded.resources], np.int64
            )
            found.append(Scope(names, numbers, bool((numbers >= 0).all())))
        return found

    def names_of(self, environment: str) -> Names:
        """The names of an environment (services, and as many again and more uninstrumented peers)."""
        found = self.names.get(environment)
        if found is None:
            found = self.names[environment] = Names(environment, self.partitions, 4 * self.settings.max_services)
        return found

    def believable(self, time_ns: I64, now_ns: int) -> B1:
        """Which event times may be true. One sender's clock far ahead of everybody must not drag time along."""
        limit = max(self.watermark, now_ns) + self.max_delay_ns
        keep = time_ns <= limit
        if not keep.all():
            self.counters["future"] += int(np.count_nonzero(~keep))
        if keep.any():
            self.watermark = max(self.watermark, int(time_ns[keep].max()))
        return keep

    def note(self, environment: str, time_ns: I64) -> None:
        """Remember when an environment was last heard of."""
        if len(time_ns):
            self.newest[environment] = max(self.newest.get(environment, 0), int(time_ns.max()))

    def over_limit(self, scopes: list[Scope], resource: I32, keep: B1) -> None:
        """Count records, of those in `keep`, of services for which there was no room."""
        for scope in scopes:
            if not scope.whole and (scope.numbers == -1).any():
                self.counters["service_limit"] += int(np.count_nonzero((scope.numbers[resource] == -1) & keep))

    def heartbeats(self, origin: Origin, sent: set[tuple[str, int]]) -> Iterator[Partial]:
        """Frames without rows, to tell the time to targets that got none; not for environments that are silent."""
        if not (origin.tells_time and self.moved):
            return
        for environment, newest in sorted(self.newest.items()):
            if newest < self.watermark - self.max_delay_ns:
                continue
            here = Origin(environment, origin.source, origin.sequence, self.watermark)
            empty = frame(here, self.signal, None, np.empty(0, np.int64), {})
            yield from ((environment, t, empty) for t in range(self.partitions) if (environment, t) not in sent)
        self.flushed_watermark = self.watermark

    def base_state(self) -> dict[str, Any]:
        """For a snapshot: what every collector remembers."""
        return {
            "names": {k: v.state() for k, v in self.names.items()},
            "newest": self.newest,
            "watermark": self.watermark,
            "flushed": self.flushed_watermark,
        }

    def load_base(self, state: dict[str, Any]) -> None:
        """Take what every collector remembers from a snapshot."""
        self.names = {}
        for environment, names in state["names"].items():
            self.names_of(environment).load(names)
        self.newest = dict(state["newest"])
        self.watermark, self.flushed_watermark = state["watermark"], state["flushed"]


class Pending:
    """Batches of equal columns per environment, concatenated when they are needed."""

    def __init__(self) -> None:
        self.batches: dict[str, list[tuple[Column, ...]]] = {}
        self.rows = 0

    def add(self, environment: str, columns: tuple[Column, ...]) -> None:
        """Keep a batch."""
        if len(columns[0]):
            self.batches.setdefault(environment, []).append(columns)
            self.rows += len(columns[0])

    def drain(self) -> Iterator[tuple[str, tuple[Column, ...]]]:
        """All columns by environment, sorted by its name; nothing is left."""
        batches, self.batches, self.rows = self.batches, {}, 0
        for environment, parts in sorted(batches.items()):
            yield environment, tuple(np.concatenate(c) for c in zip(*parts, strict=True))

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {e: [np.concatenate(c) for c in zip(*parts, strict=True)] for e, parts in self.batches.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.batches, self.rows = {}, 0
        for environment, columns in state.items():
            self.add(environment, tuple(columns))
