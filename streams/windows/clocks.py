"""Clocks of senders: which of them are ahead or behind, and by how much their times are shifted before they are used.

Who is ahead is seen at once: nothing that has yet to happen can have been received. Who is behind can't be told from who
sends late by the time of receipt alone; a span that begins before the span that called it can (`streams.windows.containment`,
whose word comes back here). So a source that batches, or whose spans wait for a sampler, is late and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.events import ClockOffset
from contracts.frames import Decoded
from contracts.frames.decoded import I32, I64
from contracts.units import MILLISECOND, SECOND
from streams.windows.collect import Receipt
from streams.windows.grouping import Column, run_starts

TOLERANCE_NS: Final = 2 * SECOND
"""Clocks that differ by less are no matter: windows and delays absorb it."""
AHEAD_NS: Final = 500 * MILLISECOND
"""How far ahead of the receiver a source must be for its times to be shifted."""
SLOT_NS: Final = 5 * SECOND
SLOTS: Final = 6
"""The least delay of a source is that of its last half minute: so a clock that was set right is noticed in that time."""
LIVE_NS: Final = 10 * SECOND
"""While a backlog older than this is read, nothing is learnt of clocks: what holds back a message says nothing of its sender."""
TOLD_FOR_NS: Final = 180 * SECOND
"""What was told of a source holds for so long; it is told again while it is true."""
STEP_NS: Final = 250 * MILLISECOND
"""A correction is changed by no less than this, so that the rates of counters don't suffer from each new estimate."""
_STRAY: Final = 8
"""One record in so many may be ahead of its source's others without counting: a library's mistake is not a clock."""


@dataclass(slots=True)
class ClockSource:
    """What sends by one clock. `floors` are, per slot of the receiver's time, the least and the greatest delay of its batches."""

    floors: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=SLOTS))
    told_ns: int = 0
    """By how much its times are to be shifted, as containment told."""
    told_at_ns: int = 0

    def heard(self, floor_ns: int, now_ns: int) -> None:
        """A batch came whose newest record was `floor_ns` old."""
        slot = now_ns // SLOT_NS
        while self.floors and not slot - SLOTS < self.floors[0][0] <= slot:
            self.floors.popleft()
        if self.floors and self.floors[-1][0] == slot:
            _, least, greatest = self.floors.pop()
            self.floors.append((slot, min(floor_ns, least), max(floor_ns, greatest)))
        else:
            self.floors.append((slot, floor_ns, floor_ns))

    @property
    def floor_ns(self) -> int:
        """Its least delay of late; it is no further behind than that, and ahead if it is negative."""
        return min((least for _, least, _ in self.floors), default=0)

    def shift_ns(self, floor_ns: int, now_ns: int) -> int:
        """What to add to the times of a batch whose newest record is `floor_ns` old: never so much that it lies ahead.

        If all batches of late are ahead, that is its clock; if only some are, it has several (browsers), and each batch counts
        for itself.
        """
        if floor_ns < -AHEAD_NS:
            ahead = all(greatest < -AHEAD_NS for _, _, greatest in self.floors)
            return min(self.floor_ns, floor_ns) if ahead else floor_ns
        told = self.told_ns if now_ns - self.told_at_ns < TOLD_FOR_NS else 0
        return max(0, min(told, floor_ns))


class Tag(NamedTuple):
    """A source whose clock is in question: by how much its times were shifted, and its least delay of late."""

    source: str
    shift_ns: int
    floor_ns: int


class Tags(NamedTuple):
    """The sources of a message whose clocks are in question; `of` has, per resource, which of them it is, or -1."""

    of: I32
    clocks: tuple[Tag, ...]


def source_name(service: str, instance: str) -> str:
    """The name of a source within its environment."""
    return f"{service}\x1f{instance}"


class Clocks:
    """The sources of one partition, at most `most` per environment: who was not heard of for longest is forgotten first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sources: dict[str, OrderedDict[str, ClockSource]] = {}

    def correct(self, decoded: Decoded, receipt: Receipt, latest_ns: int) -> tuple[Decoded, Tags]:
        """A message with its times corrected, and its sources whose clocks are in question. Records after `latest_ns` will not
        be believed, and say nothing of their source."""
        newest = _newest(decoded, latest_ns)
        shift, of = np.zeros(len(newest), np.int64), np.full(len(newest), -1, np.int32)
        clocks: list[Tag] = []
        live = receipt.now_ns - receipt.time_ns <= LIVE_NS
        for i in np.flatnonzero(newest > 0).tolist():
            resource, floor = decoded.resources[i], receipt.time_ns - int(newest[i])
            name = source_name(resource.service, resource.instance)
            source = self._source(resource.environment, name)
            if live:
                source.heard(floor, receipt.now_ns)
            shift[i] = source.shift_ns(floor, receipt.now_ns)
            if shift[i] or source.floor_ns > TOLERANCE_NS:
                of[i] = len(clocks)
                clocks.append(Tag(name, int(shift[i]), source.floor_ns))
        return (_shifted(decoded, shift) if shift.any() else decoded), Tags(of, tuple(clocks))

    def told(self, offset: ClockOffset, now_ns: int) -> None:
        """Containment says how far a source is behind."""
        known = self._source(offset.environment, source_name(offset.service, offset.instance))
        if abs(known.told_ns + offset.offset_ns) >= STEP_NS:
            known.told_ns = -offset.offset_ns
        known.told_at_ns = now_ns

    def _source(self, environment: str, name: str) -> ClockSource:
        known = self.sources.setdefault(environment, OrderedDict())
        source = known.get(name)
        if source is None:
            source = known[name] = ClockSource()
            if len(known) > self.most:
                known.popitem(last=False)
        known.move_to_end(name)
        return source

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self.sources.pop(environment, None)

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        return [
            [e, n, [list(f) for f in s.floors], s.told_ns, s.told_at_ns]
            for e, of in self.sources.items()
            for n, s in of.items()
        ]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self.sources = {}
        for environment, name, floors, told, told_at in state:
            source = self._source(environment, name)
            source.floors.extend((slot, least, greatest) for slot, least, greatest in floors)
            source.told_ns, source.told_at_ns = told, told_at


def _newest(decoded: Decoded, latest_ns: int) -> I64:
    """Per resource the time of its newest record, but for one stray in eight; 0 where it has none."""
    newest = np.zeros(len(decoded.resources), np.int64)
    for every, at_ns in timed(decoded):
        believed = np.flatnonzero(at_ns <= latest_ns)
        resource, times = every[believed], at_ns[believed]
        order = np.lexsort((times, resource))
        sorted_by = resource[order]
        first = run_starts(sorted_by)
        size = np.diff(np.append(first, len(order)))
        near_the_top = times[order[first + size - 1 - size // _STRAY]]
        of = sorted_by[first]
        newest[of] = np.maximum(newest[of], near_the_top)
    return newest


def timed(decoded: Decoded) -> Iterator[tuple[I32, I64]]:
    """Resource and time of the records of a message, kind by kind."""
    if decoded.spans is not None:
        yield decoded.spans.resource, decoded.spans.end_ns
    for batch in (decoded.points, decoded.histograms, decoded.logs, decoded.calls):
        if batch is not None:
            yield batch.resource, batch.time_ns


def _shifted(decoded: Decoded, shift: I64) -> Decoded:
    """The same records at other times."""
    names = ("spans", "linked", "points", "histograms", "logs", "calls")
    batches = {name: getattr(decoded, name) for name in names}
    moved = {name: _moved(batch, shift[batch.resource]) for name, batch in batches.items() if batch is not None}
    return dataclasses.replace(decoded, **moved)


def _moved(batch: Any, by: Column) -> Any:
    fields = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    times = {
        n: np.where(fields[n] > 0, fields[n] + by, fields[n]) for n in ("start_ns", "end_ns", "time_ns") if n in fields
    }
    return dataclasses.replace(batch, **times)
