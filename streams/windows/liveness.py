"""Silence: whether a service from which nothing came was quiet, or its telemetry is missing. Nobody else decides it.

A row without data is QUIET (zero is an observation) or MISSING (nothing is known). In order:

1. Habit. Silences as long as this one have come at least three times before: quiet. So between the requests of thin traffic.
2. What others say of the same windows, of a service whose spans do not come:
   - its callees serve requests whose callers are not seen, more than usual: it works, so its telemetry is missing;
   - its callers asked it: it answered, so its telemetry is missing; or most calls failed, so it is gone and was quiet;
   - its cluster says that none of its instances is ready: it is gone and was quiet, whatever its callers had heard before that;
   - its callers are at work and did not ask it: quiet.
3. What it says itself by other signals. Its metrics count requests, or it logs as much as usual: it works, and its spans are missing.
   They come, but show no work: quiet; but where they never count requests and its cluster says that it is ready, its spans
   are missing.
4. Nobody knows: missing.

What others say comes with their delays, so a row may have to wait for it (its window is then sent later than others, as any
late row). Telemetry that is lost, of one service, of all of a node, or of everything, thus never looks like an outage; and an outage
is told as soon as one caller's failed calls have come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np

from contracts.capacity import Room
from contracts.features import ASIDE, Signal
from contracts.frames import InstanceState, PartialFrame, Presence
from contracts.frames.decoded import F64, I8, I64
from contracts.units import SECOND
from streams.windows.calls import ALONE, ASKED, BLAMED, DUE, SPOKE
from streams.windows.entities import Delays, Entities
from streams.windows.grouping import dense
from streams.windows.instances import InstanceReports
from streams.windows.rows import UNIT
from streams.windows.window import Sums

WAIT: Final = -1
"""Not decided yet."""
HABIT: Final = 1.5
"""A silence is usual up to so many times the longest that has come three times."""
LOOK_BACK: Final = 10
ENOUGH: Final = 3
"""Calls that are evidence enough; where fewer came in a window, those of up to `LOOK_BACK` windows of the silence are looked at."""
PATIENCE_NS: Final = SECOND
"""A row without data waits at least this long for what others say."""
BEYOND: Final = 2.0
"""Requests served for somebody unseen are evidence from so many times their usual number, and `ENOUGH` more."""
WORKING: Final = 0.5
"""A service that logs this share of what is usual is at work."""
_USUAL: Final = 0.05
_KEPT: Final = 2
"""What was said of a window is kept so many times the longest delay: the time of other signals may be behind that of spans."""
_PAIR: Final = 1 << 26


class SignalTime(Protocol):
    """What a merger of one signal knows: its entities, and how far its time has come."""

    @property
    def entities(self) -> Entities:
        """Services or edges, numbered."""
        ...

    def counted(self, entity: int, window: int) -> int:
        """Events of an entity in a window (of metrics: not known)."""
        ...

    def has(self, entity: int, window: int) -> bool:
        """Whether there are data of an entity for a window."""
        ...


class CallCounts:
    """What calls said of one window: per caller and callee, sums of the roles of `streams.windows.calls`."""

    def __init__(self) -> None:
        self.callees, self.callers, self.pairs = Sums(3), Sums(1), Sums(6)


class Liveness:
    """Who is silent, of one environment and partition of services. `mergers` are those of its signals, as they come to be."""

    def __init__(self, width_ns: int, max_delay_ns: int, most: int, mergers: Mapping[str, SignalTime]) -> None:
        self.width_ns, self.max_delay_ns, self.most = width_ns, max_delay_ns, most
        self._mergers = mergers
        self._instances = InstanceReports(most)
        self._names: dict[str, int] = {}
        self._room = Room[str](most, (_KEPT + 1) * max_delay_ns)
        self._free: list[int] = []
        self._size = 0
        """One more than the largest number ever given."""
        self.counters: Counter[str] = Counter()
        self._sequences: dict[str, int] = {}
        self._windows: dict[int, CallCounts] = {}
        self._delays = Delays(max_delay_ns)
        self._alone: F64 = np.zeros(0)
        """Usual requests per window that a service's callees serve for somebody unseen."""

    # --- in ---------------------------------------------------------------------------------------------------------

    def add(self, frame: PartialFrame, reached_ns: int) -> None:
        """Take what calls say; a frame that was delivered before is ignored. `reached_ns`: how far the time of spans has come."""
        if frame.sequence <= self._sequences.get(frame.source, -1):
            return
        self._sequences[frame.source] = frame.sequence
        numbers = np.array([self._number(s, reached_ns) for s in frame.services], np.int64)
        caller, callee = numbers[frame.service], numbers[frame.peer]
        index = frame.window_ns // self.width_ns
        usable = (caller >= 0) & (callee >= 0) & (frame.window_ns + self.max_delay_ns > reached_ns)
        windows, place = dense(np.where(usable, index, -1))
        for i, window in enumerate(windows.tolist()):
            if window >= 0:
                rows = np.flatnonzero(place == i)
                self._take(
                    window, (caller[rows], callee[rows]), frame.role[rows], (frame.count[rows], frame.errors[rows])
                )
        told = np.flatnonzero(usable & (frame.count > 0) & (frame.role != DUE) & (frame.role != BLAMED))
        if reached_ns and len(told):
            late_ns = reached_ns - (index[told] + 1) * self.width_ns
            self._delays.observe(callee[told], late_ns, frame.count[told], reached_ns)
        self._close((reached_ns - _KEPT * self.max_delay_ns) // self.width_ns)

    def report(self, frame: PartialFrame) -> None:
        """Take what a cluster says of instances."""
        self.counters["instances_limit"] += self._instances.take(frame)

    def _take(self, window: int, pair: tuple[I64, I64], role: I8, said: tuple[I64, I64]) -> None:
        found = self._windows.setdefault(window, CallCounts())
        count, failed = said
        columns = tuple(np.where(role == r, c, 0) for r, c in ((ASKED, count), (ASKED, failed), (SPOKE, count)))
        found.callees.add(pair[1], columns)
        due = tuple(np.where(role == DUE, c, 0) for c in said)
        blamed = (np.where(role == BLAMED, count, 0),)
        found.pairs.add(pair[0] * _PAIR + pair[1], columns + due + blamed)
        found.callers.add(pair[0], (np.where(role == ALONE, count, 0),))

    def _number(self, service: str, reached_ns: int) -> int:
        """The number of a service; -1 where there is no room. Who leaves was not heard of for longer than what is said is kept, so
        nothing that was said of it is taken for said of who gets its number."""
        admitted, gone = self._room.admit(service, reached_ns)
        if gone:
            numbers = np.array([self._names.pop(name) for name in gone], np.int64)
            self._delays.clear(numbers)
            self._alone[numbers] = 0.0
            self._free += numbers.tolist()
            self.counters["liveness_left"] += len(gone)
        if not admitted:
            self.counters["liveness_limit"] += 1
            return -1
        found = self._names.get(service)
        return self._place(service) if found is None else found

    def _place(self, service: str) -> int:
        if self._free:
            found = self._names[service] = self._free.pop()
            return found
        found = self._names[service] = self._size
        self._size += 1
        if found >= len(self._delays.delay_ns):
            size = max(64, 2 * found)
            self._delays.grow(size)
            self._alone = np.concatenate([self._alone, np.zeros(size - len(self._alone))])
        return found

    def _close(self, before: int) -> None:
        for window in [w for w in self._windows if w < before]:
            del self._windows[window]

    def spoke(self, entities: Entities, entity: I64, window: int) -> None:
        """Spans of some services came for a window: what is said of them while they are there is what is usual."""
        found = self._windows.get(window)
        numbers = np.array([self._names.get(entities.keys[e][0], -1) for e in entity.tolist()], np.int64)
        numbers = numbers[numbers >= 0]
        if len(numbers):
            (alone,) = found.callers.of(numbers) if found is not None else (np.zeros(len(numbers), np.int64),)
            self._alone[numbers] += _USUAL * (np.maximum(alone, 0) - self._alone[numbers])

    def asked(self, pairs: list[tuple[str, str]], window: int) -> F64:
        """What is known by now of the calls that each pair's caller made in a window, (pairs, `ASIDE[Signal.EDGES]`): those that its client
        spans may have been, those that are due by its routes, those due by requests that failed, and its requests that failed with one of
        them."""
        found = self._windows.get(window)
        numbers = [[self._names.get(name, -1) for name in pair] for pair in pairs]
        both = np.array(numbers, np.int64).reshape(-1, 2)
        if found is None:
            return np.zeros((len(pairs), len(ASIDE[Signal.EDGES])))
        asked, _, _, due, failed, blamed = found.pairs.of(both[:, 0] * _PAIR + both[:, 1])
        columns = np.column_stack([np.maximum(asked, 0), due / UNIT, failed / UNIT, blamed / UNIT])
        columns[(both < 0).any(axis=1)] = 0.0
        return columns

    # --- out --------------------------------------------------------------------------------------------------------

    def judge(self, signal: str, entities: Entities, entity: I64, at: tuple[int, int]) -> I8:
        """Presence of rows without data, or WAIT. `at`: the window, and how long ago it was due (both by the time of `signal`)."""
        window, since_ns = at
        silent = window - np.maximum(entities.heard[entity], entities.first[entity])
        usual = entities.gaps[entity, -1]
        for i in np.flatnonzero(silent < 1).tolist():
            silent[i] = self._before(signal, int(entity[i]), window, float(usual[i]))
        said = np.where(silent <= HABIT * usual, int(Presence.QUIET), WAIT).astype(np.int8)
        look = self._service if signal == Signal.SPANS else self._edge if signal == Signal.EDGES else self._records
        for i in np.flatnonzero(said == WAIT).tolist():
            key = entities.keys[entity[i]]
            found, sure = look(key, range(window - int(silent[i]) + 1, window + 1))
            delay_ns = PATIENCE_NS + self._delay_ns(key)
            if found != WAIT and (since_ns >= delay_ns or sure):
                said[i] = found
                entities.lost[entity[i]] |= found == Presence.MISSING
            elif since_ns >= delay_ns:
                said[i] = Presence.MISSING
        return said

    def _before(self, signal: str, entity: int, window: int, usual: float) -> int:
        """How long it has been silent up to a window, where a later row with data was sent: as far as it matters."""
        merger, most = self._mergers.get(signal), max(LOOK_BACK, int(HABIT * usual) + 1)
        if merger is None:
            return most
        return next((n for n in range(1, most) if merger.has(entity, window - n)), most)

    def _delay_ns(self, key: tuple[str, str]) -> int:
        numbers = [self._names[name] for name in key if name in self._names]
        return max((int(self._delays.delay_ns[n]) for n in numbers), default=0)

    def _service(self, key: tuple[str, str], windows: range) -> tuple[int, bool]:
        """Spans of a service: what is known of it, and whether that can't change any more by what has yet to come."""
        number = self._names.get(key[0])
        end_ns = (windows[-1] + 1) * self.width_ns
        gone_ns = self._instances.since_ns(key[0], InstanceState.GONE, end_ns)
        gone = gone_ns is not None and gone_ns <= end_ns - self.width_ns
        if gone_ns is not None and gone:  # what calls said before that is over
            windows = range(max(windows[0], -(-gone_ns // self.width_ns)), windows[-1] + 1)
        if number is not None:
            alone = self._sum("callers", number, windows[-1:])[0]
            if alone >= BEYOND * self._alone[number] + ENOUGH:
                return Presence.MISSING, True
            asked, failed, spoke = self._asked("callees", number, windows)
            if asked > 0:
                return (Presence.QUIET, asked >= ENOUGH) if 2 * failed >= asked else (Presence.MISSING, False)
            if spoke > 0:
                return Presence.QUIET, gone
        if gone:
            return Presence.QUIET, True
        ready = self._instances.since_ns(key[0], InstanceState.READY, end_ns) is not None
        return self._own_words(key[0], windows, ready=ready), False

    def _edge(self, key: tuple[str, str], windows: range) -> tuple[int, bool]:
        """Calls answered, between two services. Those to who sends no spans are known from the caller's alone."""
        caller, callee = (self._names.get(name) for name in key)
        if caller is not None and callee is not None:
            asked, failed, spoke = self._asked("pairs", caller * _PAIR + callee, windows)
            if asked > 0:
                return (Presence.QUIET if 2 * failed >= asked else Presence.MISSING), False
            return (Presence.QUIET if spoke > 0 else WAIT), False
        here = any(self._served(name, windows[-1]) for name in key)
        return (Presence.QUIET if here and callee is None else WAIT), False

    def _records(self, key: tuple[str, str], windows: range) -> tuple[int, bool]:
        """Log records of a service: none were written, if its other signals came; not where its spans are lost, too."""
        if self._served(key[0], windows[-1]):
            return Presence.QUIET, False
        if not self._goes_on(Signal.METRICS, key[0], windows):
            return WAIT, False
        spans = self._mergers.get(Signal.SPANS)
        had = spans is not None and spans.entities.find(key) >= 0
        lost = had and self._service(key, windows)[0] == Presence.MISSING
        return (WAIT if lost else Presence.QUIET), False

    def _own_words(self, service: str, windows: range, *, ready: bool) -> int:
        if self._goes_on(Signal.METRICS, service, windows):
            metrics = self._mergers[Signal.METRICS].entities
            counts = metrics.usual[metrics.find((service, ""))] > 0
            return Presence.MISSING if counts or ready else Presence.QUIET
        if self._goes_on(Signal.LOGS, service, windows):
            logs = self._mergers[Signal.LOGS]
            number, lately = logs.entities.find((service, "")), windows[-LOOK_BACK:]
            written = sum(logs.counted(number, w) for w in lately) / len(lately)
            return Presence.MISSING if written >= WORKING * logs.entities.usual[number] else Presence.QUIET
        return WAIT

    def _served(self, service: str, window: int) -> bool:
        """Whether a service's spans came for a window."""
        spans = self._mergers.get(Signal.SPANS)
        return spans is not None and spans.counted(spans.entities.find((service, "")), window) > 0

    def _goes_on(self, signal: Signal, service: str, windows: range) -> bool:
        """Whether a signal of a service has come during this silence, and not longer ago than it usually pauses."""
        merger = self._mergers.get(signal)
        if merger is None or (number := merger.entities.find((service, ""))) < 0:
            return False
        pause = int(HABIT * (float(merger.entities.gaps[number, -1]) + 1.0))
        return any(merger.has(number, w) for w in windows[-max(1, pause) :])

    def _asked(self, part: str, key: int, windows: range) -> tuple[int, int, int]:
        """Calls asked, failed, and spans of who may ask: of the last window, or of as many before it as hold enough calls."""
        asked = failed = spoke = 0
        for window in reversed(windows[-LOOK_BACK:]):
            a, b, c = self._sum(part, key, (window,))
            asked, failed, spoke = asked + max(a, 0), failed + max(b, 0), spoke + c
            if asked >= ENOUGH or (window == windows[-1] and not asked and spoke >= ENOUGH):
                break
        return asked, failed, spoke

    def _sum(self, part: str, key: int, windows: Any) -> list[int]:
        total: list[int] = []
        for window in windows:
            found = self._windows.get(window)
            values = [0] * (1 if part == "callers" else 3)
            if found is not None:
                values = [int(c[0]) for c in getattr(found, part).of(np.array([key], np.int64))[:3]]
            total = [a + b for a, b in zip(total, values, strict=True)] if total else values
        return total

    # --- state ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        windows = [[w, *(s.state() for s in (e.callees, e.callers, e.pairs))] for w, e in sorted(self._windows.items())]
        return {
            "names": list(self._names),
            "numbers": [list(self._names.values()), self._free, self._size],
            "room": self._room.state(),
            "sequences": self._sequences,
            "windows": windows,
            "delays": self._delays.state(self._size),
            "alone": self._alone,
            "instances": self._instances.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        names = state["names"]  # before any of them was forgotten they had the numbers of their places
        numbers, self._free, self._size = state.get("numbers", [list(range(len(names))), [], len(names)])
        self._names = dict(zip(names, numbers, strict=True))
        self._room.load(state.get("room", ()), names)
        self._sequences, self._alone = dict(state["sequences"]), state["alone"]
        self._delays.load(state["delays"], self._size, len(self._alone))
        self._instances.load(state.get("instances", [{}, []]))
        self._windows = {}
        for window, *sums in state["windows"]:
            found = self._windows[window] = CallCounts()
            for part, saved in zip((found.callees, found.callers, found.pairs), sums, strict=True):
                part.load(saved)
