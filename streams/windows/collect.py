"""What collects the records of one signal until they are flushed: identity, event-time watermarks, senders of the future."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from contracts.frames import Decoded, PartialFrame
from contracts.frames.decoded import B1, I32, I64
from contracts.settings import IngestSettings
from contracts.units import MILLISECOND, SECOND
from streams.windows.grouping import Column
from streams.windows.names import Names
from streams.windows.rows import Origin, frame

Partial = tuple[str, int, PartialFrame]
"""Environment, target partition, frame."""
NAMES_QUIET_NS: Final = 15 * SECOND
"""A name that was used since then does not leave."""
TRAILING_NS: Final = 10 * SECOND
"""A watermark is never further than this behind the time of receipt: who sends old times only must not hold up the others."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """When a message came: the only time in it that no sender can choose.

    `now_ns` is our own clock. `time_ns` is when the log took the message: behind `now_ns` while a backlog is read, and never
    ahead of it, because a producer may write whatever it likes there.
    """

    now_ns: int
    time_ns: int

    @classmethod
    def of(cls, timestamp_ms: int, now_ns: int) -> Receipt:
        """That of a record with this timestamp (0 or less: it has none), read at `now_ns`."""
        return cls(now_ns, min(timestamp_ms * MILLISECOND + 999_999, now_ns) if timestamp_ms > 0 else now_ns)


@dataclass(slots=True)
class TimeMark:
    """How far event time has come in one environment, and how far its receivers were told."""

    reached_ns: int = 0
    flushed_ns: int = 0

    def move(self, newest_ns: int, receipt: Receipt) -> None:
        """Records as new as `newest_ns` came. What was believed before and is ahead of our clock is not believed any more."""
        self.flushed_ns = min(self.flushed_ns, receipt.now_ns)
        known = min(self.reached_ns, receipt.now_ns)
        self.reached_ns = max(known, min(newest_ns, receipt.time_ns), receipt.time_ns - TRAILING_NS)


@dataclass(frozen=True, slots=True)
class EnvironmentPart:
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
    """Base of the collectors. A watermark is of the source partition, signal and environment: none moves another's.

    It is the newest event time, as far as the time of receipt confirms it: whatever clocks senders have, and however they
    creep ahead, event time never overtakes the receiver's.
    """

    signal = ""

    def __init__(self, settings: IngestSettings, partitions: int, counters: Counter[str]) -> None:
        self.settings, self.partitions, self.counters = settings, partitions, counters
        self.width_ns = settings.window_ms * MILLISECOND
        self.max_delay_ns = int(settings.max_delay_s * SECOND)
        self.names: dict[str, Names] = {}
        self.marks: dict[str, TimeMark] = {}
        self.waiting: tuple[Pending, ...] = ()
        """Records that wait for a flush."""
        self.refused: frozenset[str] = frozenset()
        """Environments for which there is no room at the moment."""
        self._outside = np.zeros(0, np.bool_)
        self.now_ns = 0

    def watermark(self, environment: str) -> int:
        """How far event time has come in an environment."""
        mark = self.marks.get(environment)
        return mark.reached_ns if mark is not None else 0

    def scopes(self, decoded: Decoded) -> list[EnvironmentPart]:
        """The environments of a message."""
        environments = sorted({r.environment for r in decoded.resources} - self.refused)
        self._outside = np.array([r.environment in self.refused for r in decoded.resources], np.bool_)
        found = []
        for environment in environments:
            names = self.names_of(environment)
            numbers = np.array(
                [names.resource(r) if r.environment == environment else -2 for r in decoded.resources], np.int64
            )
            found.append(EnvironmentPart(names, numbers, bool((numbers >= 0).all())))
        return found

    def names_of(self, environment: str) -> Names:
        """The names of an environment (services, and as many again and more uninstrumented peers)."""
        found = self.names.get(environment)
        if found is None:
            found = self.names[environment] = Names(environment, self.partitions, 4 * self.settings.max_services)
        found.now_ns = max(found.now_ns, self.now_ns)
        return found

    def make_room(self) -> None:
        """Forget names that are least of use, where there are many. Nothing of theirs is pending after a flush."""
        self.counters["names_left"] += sum(names.make_room(NAMES_QUIET_NS) for names in self.names.values())

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self.names.pop(environment, None)
        self.marks.pop(environment, None)

    def believable(self, time_ns: I64, receipt: Receipt) -> B1:
        """Which event times may be true: no sender knows what has yet to happen. A little ahead is an inexact clock."""
        keep = time_ns <= receipt.now_ns + self.max_delay_ns
        if not keep.all():
            self.counters["future"] += int(np.count_nonzero(~keep))
        return keep

    def note(self, environment: str, time_ns: I64, receipt: Receipt) -> None:
        """Event time goes on with the records of an environment."""
        if len(time_ns):
            self.marks.setdefault(environment, TimeMark()).move(int(time_ns.max()), receipt)

    def over_limit(self, scopes: list[EnvironmentPart], resource: I32, keep: B1) -> None:
        """Count records, of those in `keep`, of services and environments for which there was no room."""
        if self._outside.any():
            self.counters["environment_limit"] += int(np.count_nonzero(self._outside[resource] & keep))
        for scope in scopes:
            if not scope.whole and (scope.numbers == -1).any():
                self.counters["service_limit"] += int(np.count_nonzero((scope.numbers[resource] == -1) & keep))

    def heartbeats(self, origin: Origin, sent: set[tuple[str, int]]) -> Iterator[Partial]:
        """Frames without rows, to tell the time to targets that got none; not of environments where it stands still."""
        for here in self.news(origin):
            empty = frame(here, self.signal, {})
            targets = [(here.environment, t) for t in range(self.partitions)]
            yield from ((e, t, empty) for e, t in targets if (e, t) not in sent)
            self.marks[here.environment].flushed_ns = here.watermark_ns

    def news(self, origin: Origin) -> list[Origin]:
        """The environments, as origins of frames, whose time has gone on since the last heartbeats."""
        if not origin.tells_time:
            return []
        moved = sorted((e, m.reached_ns) for e, m in self.marks.items() if m.reached_ns > m.flushed_ns)
        return [Origin(environment, origin.source, origin.sequence, reached) for environment, reached in moved]

    def base_state(self) -> dict[str, Any]:
        """For a snapshot: what every collector remembers."""
        return {
            "names": {k: v.state() for k, v in self.names.items()},
            "marks": {k: [m.reached_ns, m.flushed_ns] for k, m in self.marks.items()},
        }

    def load_base(self, state: dict[str, Any]) -> None:
        """Take what every collector remembers from a snapshot. Before each environment had a watermark of its own, one of all
        was kept, which any of them may have moved: none is taken from there."""
        self.names = {}
        for environment, names in state["names"].items():
            self.names_of(environment).load(names)
        self.marks = {k: TimeMark(*m) for k, m in state.get("marks", {}).items()}


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
