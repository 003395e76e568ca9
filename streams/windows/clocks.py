"""Clocks of senders: which of them are ahead or behind, and by how much their times are shifted before they are used.

Who is ahead is seen at once: nothing that has yet to happen can have been received. Who is behind can't be told from who
sends late by the time of receipt alone; a span that begins before the span that called it can (`streams.windows.containment`,
whose word comes back here). So a source that batches, or whose spans wait for a sampler, is late and nothing else.

A clock that gains or loses measures durations wrongly, too. Its pace is seen in how the delay of its batches goes on, but only where
it is known that the delay is the clock's: a backlog that grows or shrinks looks alike.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.events import ClockOffset
from contracts.frames import Decoded, SpanBatch
from contracts.frames.decoded import B1, F64, I32, I64
from contracts.units import MILLISECOND, SECOND
from streams.windows.collect import Receipt
from streams.windows.grouping import Column, run_starts

TOLERANCE_NS: Final = 250 * MILLISECOND
"""Clocks that differ by less are no matter: that is a part of a window. By more, what a service did and what was asked of it would
lie in different windows."""
AHEAD_NS: Final = TOLERANCE_NS
"""How far ahead of the receiver a source must be for its times to be shifted."""
SLOT_NS: Final = 5 * SECOND
SLOTS: Final = 6
"""The least delay of a source is that of its last half minute: so a clock that was set right is noticed in that time."""
COURSE_NS: Final = 500 * MILLISECOND
LONG_COURSE, SHORT_COURSE = 8, 5
"""So many half seconds with batches show a clock's pace; the shorter course, that it has changed."""
CHANGES_NS: Final = 500 * MILLISECOND
"""By so much its delay must change on the way."""
_SETTLED: Final = 3
"""So many of the oldest delays of a course, if they are alike, are those of a clock that went steadily."""
_ALIKE_NS: Final = SECOND
_FALL_NS: Final = 50 * MILLISECOND
"""A clock that gains comes further ahead by this each half second; one that was set does not."""
_STRAYS: Final = (100 * MILLISECOND, 0.15)
"""So far from a straight course its delays may be, and by this share of their change more."""
_OWN: Final = (1500 * MILLISECOND, 0.25)
"""What a delay may be more than the clock is told to be behind, and by this share more, if the clock is to be its cause."""
LIVE_NS: Final = 10 * SECOND
"""While a backlog older than this is read, nothing is learnt of clocks: what holds back a message says nothing of its sender."""
TOLD_FOR_NS: Final = 180 * SECOND
"""What was told of a source holds for so long; it is told again while it is true."""
STEP_NS: Final = 250 * MILLISECOND
"""A correction is changed by no less than this, so that the rates of counters don't suffer from each new estimate."""
_BITS: Final = 5
"""So many bits of a delay tell batches apart."""
_STRAY: Final = 8
"""One record in so many may be ahead of its source's others without counting: a library's mistake is not a clock."""


@dataclass(slots=True)
class ClockSource:
    """What sends by one clock. `floors` are, per slot of the receiver's time, the least and the greatest delay of its batches; `course`
    has, per half second, when its least delay was seen, and that."""

    floors: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=SLOTS))
    course: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=LONG_COURSE))
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
        half = now_ns // COURSE_NS
        if not self.course or self.course[-1][0] != half:
            self.course.append((half, now_ns, floor_ns))
        elif floor_ns < self.course[-1][2]:
            self.course[-1] = (half, now_ns, floor_ns)

    @property
    def floor_ns(self) -> int:
        """Its least delay of late; it is no further behind than that, and ahead if it is negative."""
        return min((least for _, least, _ in self.floors), default=0)

    def shift_ns(self, floor_ns: int, now_ns: int) -> int:
        """What to add to the times of a batch whose newest record is `floor_ns` old: never so much that it lies ahead.

        If all batches of late are ahead, or those of the last moments are by about as much, that is its clock; if only some are, it
        has several (browsers), and each batch counts for itself.
        """
        if floor_ns < -AHEAD_NS:
            if all(greatest < -AHEAD_NS for _, _, greatest in self.floors):
                return min(self.floor_ns, floor_ns)
            return min(floor_ns, *self._lately(floor_ns))
        return max(0, min(self._told(now_ns), floor_ns))

    def _lately(self, floor_ns: int) -> list[int]:
        """The least delays of the last moments, if there are enough and all are about as much ahead as a batch."""
        found = [floor for _, _, floor in self.course][-_SETTLED:]
        alike = max([floor_ns, *found]) - min([floor_ns, *found]) <= _ALIKE_NS
        return found if len(found) == _SETTLED and alike else [floor_ns]

    def _told(self, now_ns: int) -> int:
        return self.told_ns if now_ns - self.told_at_ns < TOLD_FOR_NS else 0

    def pace(self, floor_ns: int, now_ns: int) -> float:
        """How fast its clock goes, of which a batch is `floor_ns` old; 1 where that is not known.

        Nobody's telemetry can lie ahead by waiting: ahead and gaining is the clock. Behind, most of its delay must be the clock's.
        """
        told = self._told(now_ns)
        owned = told > TOLERANCE_NS and floor_ns - told <= _OWN[0] + _OWN[1] * floor_ns
        if not owned and floor_ns >= -AHEAD_NS:
            return 1.0
        course = [(at, floor) for _, at, floor in self.course]
        rise = self._new(course) or self._new(course[-SHORT_COURSE:])
        return 1.0 - rise if rise < 0 or owned else 1.0

    def _new(self, course: Sequence[tuple[int, int]]) -> float:
        """By how much delays go up along a course, if that has led further than they ever were in the half minute before it: of a source with
        little to send the newest record is now older and now younger, and some of those delays lie on a straight line by chance."""
        rise = _rise(course)
        before = [(least, greatest) for slot, least, greatest in self.floors if (slot + 1) * SLOT_NS <= course[0][0]]
        if not rise or not before:
            return rise
        last = course[-1][1]
        beyond = last - max(g for _, g in before) if rise > 0 else min(least for least, _ in before) - last
        return rise if beyond >= CHANGES_NS // 2 else 0.0

    def is_moving(self, floor_ns: int) -> bool:
        """Whether the clock by which a batch is `floor_ns` old went steadily and moments ago began to gain, or was set forward just now:
        what it measured meanwhile can't be believed."""
        settled = [floor for _, _, floor in self.course][:_SETTLED]
        if floor_ns >= -AHEAD_NS or len(self.course) <= _SETTLED or max(settled) - min(settled) > CHANGES_NS:
            return False
        steady = min(settled) - AHEAD_NS
        *_, before_that, before, last = (floor for _, _, floor in self.course)
        falls = before_that - before >= _FALL_NS and before - last >= _FALL_NS
        return floor_ns < steady and (before >= steady or falls)


class Tag(NamedTuple):
    """A source whose clock may be behind, or whose times were shifted: by how much, and the delay of its batch, about."""

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
        pace, moving = np.ones(len(newest), np.float64), np.zeros(len(newest), np.bool_)
        clocks: list[Tag] = []
        live = receipt.now_ns - receipt.time_ns <= LIVE_NS
        for i in np.flatnonzero(newest > 0).tolist():
            resource, floor = decoded.resources[i], receipt.time_ns - int(newest[i])
            name = source_name(resource.service, resource.instance)
            source = self._source(resource.environment, name)
            if live:
                source.heard(floor, receipt.now_ns)
            shift[i] = source.shift_ns(floor, receipt.now_ns)
            if shift[i]:
                pace[i], moving[i] = source.pace(floor, receipt.now_ns), source.is_moving(floor)
            if shift[i] or floor > TOLERANCE_NS:
                of[i] = len(clocks)
                clocks.append(Tag(name, int(shift[i]), _about(floor)))
        timing = Retiming(newest, shift, pace, moving)
        return (_timed(decoded, timing) if shift.any() else decoded), Tags(of, tuple(clocks))

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
            [e, n, [list(f) for f in s.floors], s.told_ns, s.told_at_ns, [list(c) for c in s.course]]
            for e, of in self.sources.items()
            for n, s in of.items()
        ]

    def load(self, state: list[list[Any]]) -> None:
        """Take the state of a snapshot."""
        self.sources = {}
        for environment, name, floors, told, told_at, *course in state:
            source = self._source(environment, name)
            source.floors.extend((slot, least, greatest) for slot, least, greatest in floors)
            source.told_ns, source.told_at_ns = told, told_at
            source.course.extend((half, at, floor) for half, at, floor in (course[0] if course else ()))


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


class Retiming(NamedTuple):
    """Per resource of a message: its newest record, what is added to its times, the pace of its clock, and whether that can't be known yet."""

    newest_ns: I64
    shift_ns: I64
    pace: F64
    moving: B1


def _timed(decoded: Decoded, timing: Retiming) -> Decoded:
    """The same records at other times."""
    names = ("spans", "linked", "points", "histograms", "logs", "calls")
    batches = {name: getattr(decoded, name) for name in names}
    return dataclasses.replace(
        decoded, **{n: _moved(batch, timing) for n, batch in batches.items() if batch is not None}
    )


def _moved(batch: Any, timing: Retiming) -> Any:
    """Times of a batch, shifted, and what lies between them stretched to the pace of other clocks."""
    by, pace = timing.shift_ns[batch.resource], timing.pace[batch.resource]
    names = [f.name for f in dataclasses.fields(batch) if f.name in ("start_ns", "end_ns", "time_ns")]
    times: dict[str, Column] = {name: getattr(batch, name) for name in names}
    moved = {n: np.where(at > 0, at + by, at) for n, at in times.items()}
    if (pace != 1.0).any():
        newest, strange = timing.newest_ns[batch.resource], pace != 1.0
        for n, at in times.items():
            ago = np.rint((at - newest) / pace).astype(np.int64)
            moved[n] = np.where(strange & (at > 0), newest + ago + by, moved[n])
    if isinstance(batch, SpanBatch) and timing.moving.any():
        untimed = timing.moving[batch.resource] & (pace == 1.0)
        return dataclasses.replace(batch, **moved, untimed=untimed | batch.untimed if len(batch.untimed) else untimed)
    return dataclasses.replace(batch, **moved)


def _about(floor_ns: int) -> int:
    """A delay in rough steps, never more than it is: so that batches of a source are seldom told apart by it."""
    step = max(TOLERANCE_NS, 1 << max(0, floor_ns.bit_length() - _BITS)) if floor_ns > 0 else TOLERANCE_NS
    return floor_ns // step * step


def _rise(course: Sequence[tuple[int, int]]) -> float:
    """By how much delays go up with time along a course (least squares); 0 where they don't go straight, or hardly."""
    n = len(course)
    if n < SHORT_COURSE:
        return 0.0
    first_ns = course[0][0]
    at, floor = [t - first_ns for t, _ in course], [f for _, f in course]
    mid, level = sum(at) / n, sum(floor) / n
    rise = sum((t - mid) * (f - level) for t, f in zip(at, floor, strict=True)) / max(
        sum((t - mid) ** 2 for t in at), 1.0
    )
    change = abs(rise) * at[-1]
    strays = max(abs(f - level - rise * (t - mid)) for t, f in zip(at, floor, strict=True))
    return rise if change >= CHANGES_NS and strays <= _STRAYS[0] + _STRAYS[1] * change and rise < 1.0 else 0.0
