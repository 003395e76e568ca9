"""Clocks by containment: a span can't begin before the span that called it, nor end after the call it answered returned.

Where it seems to, one of the two clocks is off. Pairs of callers and callees tell by how much (as NTP does from the four times
of a request and its answer: Mills, RFC 5905, section 8): a callee's beginning less its caller's is the offset of its clock plus
the way there, so the least of many is the offset. Which of the two is off is told by when they are received: nobody's clock is
further behind than his telemetry is old.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from contracts.events import ClockOffset
from contracts.frames import SpanFrame
from contracts.frames.decoded import I32, I64, KIND_CLIENT, KIND_CONSUMER, KIND_SERVER
from contracts.units import MILLISECOND, MINUTE, SECOND
from streams.windows.clocks import TOLERANCE_NS
from streams.windows.tables import Rows

FEWEST: Final = 8
"""Pairs it takes to say something."""
MOST: Final = 64
"""Pairs that count: the latest."""
_LEAST: Final = 0.1
"""The share of pairs that may lie below the offset: some spans carry times of their own."""
STEP_NS: Final = 500 * MILLISECOND
"""Of a change by less nobody is told."""
AGAIN_NS: Final = 30 * SECOND
"""While a clock is off, that is told again after so long."""
OUTDATED_NS: Final = MINUTE
"""Without pairs for so long an estimate means nothing any more."""
_MOST_SOURCES: Final = 4096
_MOST_TIMINGS: Final = 65_536
NONE: Final = -1


class Timing(NamedTuple):
    """How spans were timed: whose clock, the shift that was applied to it, and the least delay of its telemetry."""

    source: str
    shift_ns: int
    floor_ns: int


@dataclass(slots=True)
class Estimate:
    """What pairs say of a source: the latest offsets, and what was told of it when."""

    offsets: deque[int] = field(default_factory=lambda: deque(maxlen=MOST))
    floor_ns: int = 0
    paired_ns: int = 0
    told_ns: int = 0
    told_at_ns: int = 0

    def offset_ns(self) -> int:
        """How far its clock is behind (negative), or 0."""
        offsets = np.fromiter(self.offsets, np.int64, len(self.offsets))
        behind = int(np.quantile(offsets, _LEAST, method="lower"))
        proven = np.median(offsets) < -TOLERANCE_NS and self.floor_ns >= -behind - TOLERANCE_NS
        return behind if proven else 0


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
        rounded = timing._replace(floor_ns=timing.floor_ns // STEP_NS * STEP_NS)
        found = self._number.get(rounded)
        if found is None:
            found = self._given % _MOST_TIMINGS
            self._given += 1
            if found < len(self._timings):  # whoever was timed so has long been joined
                self._number.pop(self._timings[found], None)
                self._timings[found] = rounded
            else:
                self._timings.append(rounded)
            self._number[rounded] = found
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
        for number in np.unique(clock[clock >= 0]).tolist():
            timing = self._timings[number]
            mine = (clock == number) & (other != number)
            found = (offset[mine] - timing.shift_ns)[-MOST:].tolist()
            if not found:
                continue
            estimate = self._estimates.setdefault(timing.source, Estimate())
            if now_ns - estimate.paired_ns > OUTDATED_NS:
                estimate.offsets.clear()
            estimate.offsets.extend(found)
            estimate.floor_ns, estimate.paired_ns = timing.floor_ns, now_ns
            self._estimates.move_to_end(timing.source)
            if len(self._estimates) > _MOST_SOURCES:
                self._estimates.popitem(last=False)

    def news(self, environment: str, now_ns: int) -> list[ClockOffset]:
        """What is to be told of clocks: what changed, and what is still true."""
        told = []
        for source, estimate in self._estimates.items():
            if len(estimate.offsets) < FEWEST or now_ns - estimate.paired_ns > OUTDATED_NS:
                continue
            offset = estimate.offset_ns()
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
                    pairs=len(estimate.offsets),
                )
            )
        return told

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        estimates = [
            [s, list(e.offsets), e.floor_ns, e.paired_ns, e.told_ns, e.told_at_ns] for s, e in self._estimates.items()
        ]
        return {"timings": [list(t) for t in self._timings], "given": self._given, "estimates": estimates}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._timings = [Timing(*t) for t in state["timings"]]
        self._number = {t: i for i, t in enumerate(self._timings)}
        self._given = state["given"]
        self._estimates = OrderedDict()
        for source, offsets, *rest in state["estimates"]:
            self._estimates[source] = Estimate(deque(offsets, maxlen=MOST), *rest)
