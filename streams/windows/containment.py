"""Clocks by containment: a span can't begin before the span that called it, nor end after the call it answered returned.

Where it seems to, one of the two clocks is off. Pairs of callers and callees tell by how much (as NTP does from the four times
of a request and its answer: Mills, RFC 5905, section 8): a callee's beginning less its caller's is the offset of its clock plus
the way there, so the least of many is the offset. Which of the two is off is told by when they are received: nobody's clock is
further behind than the telemetry that it timed was old when it came. That is asked of each pair by itself, so a clock that was set
back a moment ago is known as soon as a few pairs have come.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.events import ClockOffset
from contracts.frames import SpanFrame
from contracts.frames.decoded import B1, I32, I64, KIND_CLIENT, KIND_CONSUMER, KIND_SERVER
from contracts.units import MINUTE, SECOND
from streams.windows.clocks import TOLERANCE_NS
from streams.windows.tables import Rows

FEWEST: Final = 8
"""Pairs it takes to say something."""
MOST: Final = 64
"""Pairs that count: the latest."""
_LEAST: Final = 0.1
"""The share of pairs that may lie below the offset: some spans carry times of their own."""
_SHOWN: Final = 0.25
"""The share of pairs that must show it: those with somebody who is behind, too, don't."""
STEP_NS: Final = TOLERANCE_NS
"""Of a change by less nobody is told."""
AGAIN_NS: Final = 30 * SECOND
"""While a clock is off, that is told again after so long."""
OUTDATED_NS: Final = MINUTE
"""Without pairs for so long an estimate means nothing any more."""
_MOST_SOURCES: Final = 4096
_MOST_TIMINGS: Final = 65_536
NONE: Final = -1


_ROUGHLY: Final = 1 / 16
"""Delays are told in steps: to this share of an offset they may fall short of it."""


class Timing(NamedTuple):
    """How spans were timed: whose clock, the shift that was applied to it, and the delay with which they came."""

    source: str
    shift_ns: int
    floor_ns: int


@dataclass(slots=True)
class Estimate:
    """What pairs say of a source: the latest offsets, and what was told of it when."""

    pairs: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=MOST))
    """Offsets, and the delays of their telemetry."""
    paired_ns: int = 0
    told_ns: int = 0
    told_at_ns: int = 0

    def offset_ns(self) -> int:
        """How far its clock is behind (negative), or 0."""
        offsets, floors = np.array(self.pairs, np.int64).reshape(-1, 2).T
        proven = _is_proven(offsets, floors)
        if np.count_nonzero(proven) < _SHOWN * len(offsets):
            return 0
        return int(np.quantile(offsets[proven], _LEAST, method="lower"))


def _is_proven(offset_ns: I64, floor_ns: I64) -> B1:
    """Which pairs show that a clock is behind: by no more than its telemetry was old."""
    behind = -offset_ns
    return (behind > TOLERANCE_NS) & (floor_ns >= behind - TOLERANCE_NS - _ROUGHLY * behind)


class Containment:
    """Estimates of the sources of one environment whose clocks are in question."""

    def __init__(self) -> None:
        self._timings: list[Timing] = []
        self._given = 0
        self._number: dict[Timing, int] = {}
        self._estimates: OrderedDict[str, Estimate] = OrderedDict()

    def number(self, frame: SpanFrame) -> I32:
        """Per span of a frame the number of its timing, NONE where its clock is not in question."""
        if not len(frame.clock):
            return np.full(len(frame.span), NONE, np.int32)
        columns = zip(frame.clocks, frame.clock_shift_ns.tolist(), frame.clock_floor_ns.tolist(), strict=True)
        numbers = np.array([self._numbered(Timing(*c)) for c in columns], np.int32)
        return np.where(frame.clock < 0, NONE, numbers[frame.clock]).astype(np.int32)

    def _numbered(self, timing: Timing) -> int:
        found = self._number.get(timing)
        if found is None:
            found = self._given % _MOST_TIMINGS
            self._given += 1
            if found < len(self._timings):  # whoever was timed so has long been joined
                self._number.pop(self._timings[found], None)
                self._timings[found] = timing
            else:
                self._timings.append(timing)
            self._number[timing] = found
        return found

    def learn(self, children: Rows, parents: Rows, now_ns: int) -> None:
        """Take pairs of callees and their callers in."""
        doubtful = (children["clock"] >= 0) | (parents["clock"] >= 0)
        if not doubtful.any():
            return
        synchronous = (parents["kind"] != KIND_CONSUMER) & (children["kind"] != KIND_CONSUMER)
        some = (
            doubtful & synchronous & (children["trace"] == parents["trace"]) & (children["parent"] == parents["span"])
        )
        children, parents = children[some], parents[some]
        began = children["start_ns"] - parents["start_ns"]
        self._learn(children["clock"], began, parents["clock"], now_ns)
        answered = (parents["kind"] == KIND_CLIENT) & (children["kind"] == KIND_SERVER) & ~parents["error"]
        ended = parents["end_ns"] - children["end_ns"]
        self._learn(parents["clock"][answered], ended[answered], children["clock"][answered], now_ns)

    def _learn(self, clock: I32, offset: I64, other: I32, now_ns: int) -> None:
        """Take offsets in. Who contradicts nobody, and was not in doubt before, is passed over."""
        mine = (clock >= 0) & (other != clock)
        if not mine.any() or (not self._estimates and int(offset[mine].min()) >= -TOLERANCE_NS):
            return
        numbers, place = np.unique(clock[mine], return_inverse=True)
        timings = [self._timings[n] for n in numbers.tolist()]
        offset = offset[mine] - np.array([t.shift_ns for t in timings], np.int64)[place]
        floor = np.array([t.floor_ns for t in timings], np.int64)[place]
        contradicted = np.bincount(place[_is_proven(offset, floor)], minlength=len(numbers))
        for i, timing in enumerate(timings):
            if contradicted[i] or timing.source in self._estimates:
                here = np.flatnonzero(place == i)[-MOST:]
                self._estimate(timing.source, zip(offset[here].tolist(), floor[here].tolist(), strict=True), now_ns)

    def _estimate(self, source: str, pairs: Iterable[tuple[int, int]], now_ns: int) -> None:
        estimate = self._estimates.setdefault(source, Estimate())
        if now_ns - estimate.paired_ns > OUTDATED_NS:
            estimate.pairs.clear()
        estimate.pairs.extend(pairs)
        estimate.paired_ns = now_ns
        self._estimates.move_to_end(source)
        if len(self._estimates) > _MOST_SOURCES:
            self._estimates.popitem(last=False)

    def news(self, environment: str, now_ns: int) -> list[ClockOffset]:
        """What is to be told of clocks: what changed, and what is still true."""
        told = []
        for source, estimate in list(self._estimates.items()):
            if len(estimate.pairs) < FEWEST or now_ns - estimate.paired_ns > OUTDATED_NS:
                continue
            offset = estimate.offset_ns()
            if not (offset or estimate.told_ns) and len(estimate.pairs) == MOST:
                del self._estimates[source]
                continue
            changed = abs(offset - estimate.told_ns) >= STEP_NS
            if not changed and not (offset and now_ns - estimate.told_at_ns >= AGAIN_NS):
                continue
            estimate.told_ns, estimate.told_at_ns = offset, now_ns
            service, _, instance = source.partition("\x1f")
            told.append(
                ClockOffset(
                    environment=environment,
                    service=service,
                    instance=instance,
                    offset_ns=offset,
                    time_ns=now_ns,
                    pairs=len(estimate.pairs),
                )
            )
        return told

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        estimates = [
            [s, [list(p) for p in e.pairs], e.paired_ns, e.told_ns, e.told_at_ns] for s, e in self._estimates.items()
        ]
        return {"timings": [list(t) for t in self._timings], "given": self._given, "estimates": estimates}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot; one of before each pair had a delay has one for all."""
        self._timings = [Timing(*t) for t in state["timings"]]
        self._number = {t: i for i, t in enumerate(self._timings)}
        self._given = state["given"]
        self._estimates = OrderedDict()
        for source, pairs, *rest in state["estimates"]:
            *floor, paired_ns, told_ns, told_at_ns = rest
            known = [(o, floor[0]) for o in pairs] if floor else [(o, f) for o, f in pairs]
            self._estimates[source] = Estimate(deque(known, maxlen=MOST), paired_ns, told_ns, told_at_ns)
