"""What rows are about: services, or edges between them, numbered; when they were seen and how late their data come."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from contracts.capacity import leaving, surplus
from contracts.claims import Claims, parsed, spelled
from contracts.frames.decoded import B1, F64, I64
from contracts.units import MILLISECOND, MINUTE, SECOND

_STEP = 1.25
_FINEST_NS = 50 * MILLISECOND
_BUCKETS = 40
_UPPER_NS = np.concatenate([[0.0], _FINEST_NS * _STEP ** np.arange(_BUCKETS - 1)])
_MARGIN = 1.1
_QUANTILE = 0.99
_HALF_LIFE_NS = MINUTE
_ARRIVALS = 10
NEVER = np.iinfo(np.int64).max


class Delays:
    """How late each entity's events arrive behind the merged watermark: the 99th percentile of its recent events, but no more
    than the worst of the last ten seconds in which something of it arrived.

    A histogram per entity with logarithmic buckets, halved every minute of event time: so one straggler does not slow
    everything else of its service down. The worst of late: so a disturbance that is over (a broker that was away, a worker
    that was replaced) is forgotten at once and not in minutes.
    """

    def __init__(self, cap_ns: int) -> None:
        self.cap_ns = cap_ns
        self.weight: F64 = np.zeros((0, _BUCKETS))
        self.delay_ns: I64 = np.empty(0, np.int64)
        self.worst_ns: I64 = np.empty((0, _ARRIVALS), np.int64)
        """A ring per entity: the longest delay of each of its last seconds with arrivals."""
        self.arrived_s: I64 = np.empty(0, np.int64)
        self.slot: I64 = np.empty(0, np.int64)
        self.halved_ns = 0

    def grow(self, size: int) -> None:
        """Make room for entities up to number `size` - 1."""
        more = size - len(self.weight)
        self.weight = np.concatenate([self.weight, np.zeros((more, _BUCKETS))])
        self.worst_ns = np.concatenate([self.worst_ns, np.zeros((more, _ARRIVALS), np.int64)])
        self.delay_ns, self.arrived_s, self.slot = (
            np.concatenate([column, np.zeros(more, np.int64)]) for column in (self.delay_ns, self.arrived_s, self.slot)
        )

    def observe(self, entity: I64, late_ns: I64, events: I64, watermark_ns: int) -> None:
        """Events of some entities arrived so long after the watermark had passed their window (≤ 0: in time)."""
        if watermark_ns - self.halved_ns > _HALF_LIFE_NS:
            self.weight *= 0.5
            self.halved_ns = watermark_ns
        np.add.at(self.weight, (entity, np.searchsorted(_UPPER_NS, late_ns).clip(0, _BUCKETS - 1)), events)
        changed = np.unique(entity)
        self._arrived(changed, entity, late_ns, watermark_ns // SECOND)
        total = np.cumsum(self.weight[changed], axis=1)
        usual = _UPPER_NS[np.argmax(total >= _QUANTILE * total[:, -1:], axis=1)]
        lately = _UPPER_NS[np.searchsorted(_UPPER_NS, self.worst_ns[changed].max(axis=1)).clip(0, _BUCKETS - 1)]
        self.delay_ns[changed] = np.minimum(np.minimum(usual, lately) * _MARGIN, self.cap_ns).astype(np.int64)

    def _arrived(self, changed: I64, entity: I64, late_ns: I64, now_s: int) -> None:
        later = changed[self.arrived_s[changed] < now_s]
        self.slot[later] = (self.slot[later] + 1) % _ARRIVALS
        self.worst_ns[later, self.slot[later]] = 0
        self.arrived_s[later] = now_s
        np.maximum.at(self.worst_ns, (entity, self.slot[entity]), late_ns)

    def forget(self) -> None:
        """Forget what was learnt of all: it was measured by a time that was wrong."""
        self.clear(np.arange(len(self.weight)))
        self.halved_ns = 0

    def clear(self, entity: I64) -> None:
        """Forget what was learnt of some entities."""
        self.weight[entity] = 0
        for column in (self.delay_ns, self.worst_ns, self.arrived_s, self.slot):
            column[entity] = 0

    def state(self, size: int) -> dict[str, Any]:
        """Of the first `size` entities, for a snapshot."""
        return {
            "weight": self.weight[:size].astype(np.float64),
            "delay": self.delay_ns,
            "worst": self.worst_ns[:size],
            "arrived": self.arrived_s,
            "slot": self.slot,
            "halved": self.halved_ns,
        }

    def load(self, state: dict[str, Any], size: int, capacity: int) -> None:
        """Take the state of a snapshot; one of before there were rings knows no worst of late."""
        self.weight = np.zeros((capacity, _BUCKETS))
        self.weight[:size] = state["weight"]
        self.delay_ns, self.halved_ns = state["delay"], state["halved"]
        self.worst_ns = np.zeros((capacity, _ARRIVALS), np.int64)
        self.worst_ns[:size] = state.get("worst", self.cap_ns)
        self.arrived_s = state.get("arrived", np.zeros(capacity, np.int64))
        self.slot = state.get("slot", np.zeros(capacity, np.int64))


HELD_GAPS = 3
_FADES = 0.9999
"""Of a gap's length, with each window that has data: in some hours what was usual is forgotten."""
_USUAL = 0.05
_USUAL_HERE: Final = 1.0 / 600.0
_MOSTLY: Final = 0.5
"""Share of windows in which somebody is heard from which a silence of everybody is unusual."""


class Together(msgspec.Struct):
    """Silences of everybody at once, by the windows for which rows with data were sent.

    Where somebody is nearly always heard, such a silence says something of how telemetry comes and nothing of how often a service is
    asked: it teaches no habit. Where everybody is silent most of the time it is how life is there.
    """

    newest: int = -1
    begin: int = 0
    end: int = 0
    """Windows [begin, end) of the last silence of everybody."""
    heard: float = 0.0
    passed: float = 0.0
    """Windows with data, and all, of about the last `1 / _USUAL_HERE`."""

    def take(self, window: int) -> None:
        """Rows with data were sent for a window."""
        if window <= self.newest:
            return
        if self.newest >= 0:
            silent = window - self.newest - 1
            if silent:
                self.begin, self.end = self.newest + 1, window
            keep = (1.0 - _USUAL_HERE) ** (silent + 1)
            self.heard, self.passed = self.heard * keep + 1.0, self.passed * keep + silent + 1.0
        self.newest = window

    def explains(self, heard: I64, window: int) -> B1:
        """Whether silences from after `heard` up to a window are mostly one of everybody, where that is unusual."""
        common = np.minimum(window, self.end) - np.maximum(heard + 1, self.begin)
        unusual = self.heard >= _MOSTLY * self.passed
        found: B1 = (common > 0.5 * (window - heard - 1)) & unusual
        return found


class Entities:
    """At most `most` entities. `first` and `last` are indices of the windows in which they had data, `came` of
    those in which some came, whatever window it was for.

    `heard` is the newest window with data whose row was sent; `gaps` are the lengths of the longest silences before such rows,
    longest first; `usual` the events per window with data; `lost`: what is missing now was seen to be lost, so the silence
    teaches nothing.
    """

    def __init__(self, most: int, cap_ns: int) -> None:
        self.most = most
        self.keys: list[tuple[str, str]] = []
        self.version: list[str] = []
        self.attributes: list[str] = []
        self.first: I64 = np.empty(0, np.int64)
        self.last: I64 = np.empty(0, np.int64)
        self.came: I64 = np.empty(0, np.int64)
        self.served: B1 = np.empty(0, np.bool_)
        self.heard: I64 = np.empty(0, np.int64)
        self.gaps: F64 = np.zeros((0, HELD_GAPS))
        self.usual: F64 = np.zeros(0)
        self.lost: B1 = np.empty(0, np.bool_)
        self.delays = Delays(cap_ns)
        self._claims: dict[int, Claims] = {}
        self._number: dict[tuple[str, str], int] = {}
        self._free: list[int] = []
        self._looked = -1
        self._together = Together()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def capacity(self) -> int:
        """Length of the arrays; at least the number of entities."""
        return len(self.first)

    def number(self, key: tuple[str, str]) -> int:
        """The number of a service (with peer "") or an edge; -1 if there is no room."""
        found = self._number.get(key)
        if found is None:
            if len(self._number) >= self.most:
                return -1
            found = self._number[key] = self._place(key)
        return found

    def _place(self, key: tuple[str, str]) -> int:
        if self._free:
            found = self._free.pop()
            self.keys[found], self.version[found], self.attributes[found] = key, "", ""
            self._claims.pop(found, None)
            return found
        self.keys.append(key)
        self.version.append("")
        self.attributes.append("")
        if len(self.keys) > self.capacity:
            self._grow(max(64, 2 * self.capacity))
        return len(self.keys) - 1

    def _grow(self, size: int) -> None:
        more = size - self.capacity
        self.first = np.concatenate([self.first, np.full(more, NEVER)])
        self.last = np.concatenate([self.last, np.full(more, -1, np.int64)])
        self.came = np.concatenate([self.came, np.full(more, -1, np.int64)])
        self.served = np.concatenate([self.served, np.zeros(more, np.bool_)])
        self.heard = np.concatenate([self.heard, np.full(more, -1, np.int64)])
        self.gaps = np.concatenate([self.gaps, np.zeros((more, HELD_GAPS))])
        self.usual = np.concatenate([self.usual, np.zeros(more)])
        self.lost = np.concatenate([self.lost, np.zeros(more, np.bool_)])
        self.delays.grow(size)

    def identify(self, number: int, version: str, attributes: str, source: str, now_ns: int) -> None:
        """Keep the latest version, and what each source partition says of identity; "" brings no news."""
        if version:
            self.version[number] = version
        if attributes:
            claims = self._claims.setdefault(number, Claims())
            claims.hear(source, parsed(attributes), now_ns)
            self.attributes[number] = spelled(claims.merged(now_ns))

    def resumed(self, entity: I64, index: I64, now: int, jump: int) -> None:
        """Data of these entities came for these windows at window `now`. Whose data are later by far (`jump`) than the last ones
        although they followed soon had its clock set, or corrected: it was not silent in between, so it begins anew."""
        if not len(entity):
            return
        newest = np.full(self.capacity, -1, np.int64)
        np.maximum.at(newest, entity, index)
        some = np.flatnonzero(newest >= 0)
        leapt = some[
            (newest[some] - self.last[some] > jump + np.maximum(now - self.came[some], 0)) & (self.last[some] >= 0)
        ]
        self.first[leapt] = NEVER
        self.came[some] = now

    def seen(self, entity: I64, window: int) -> None:
        """Some entities (each once) had data in a window."""
        self.first[entity] = np.minimum(self.first[entity], window)
        self.last[entity] = np.maximum(self.last[entity], window)

    def find(self, key: tuple[str, str]) -> int:
        """The number of a known service or edge; -1 where it is none."""
        return self._number.get(key, -1)

    def end(self, key: tuple[str, str]) -> None:
        """Nothing is due of an entity until it has data again."""
        if (found := self.find(key)) >= 0:
            self.first[found] = NEVER

    def sent(self, entity: I64, window: int, events: I64) -> None:
        """The first rows with data of some entities (each once) were sent for a window: learn how long silences are."""
        self._together.take(window)
        gap = (window - self.heard[entity] - 1).astype(np.float64)
        gap[(self.heard[entity] < 0) | self.lost[entity] | self._together.explains(self.heard[entity], window)] = 0.0
        self.gaps[entity] *= _FADES
        longer = entity[gap > 0]
        held = np.concatenate([self.gaps[longer], gap[gap > 0, None]], axis=1)
        self.gaps[longer] = -np.sort(-held, axis=1)[:, :HELD_GAPS]
        known = self.heard[entity] >= 0
        self.usual[entity] += np.where(known, _USUAL, 1.0) * (events - self.usual[entity])
        self.heard[entity] = np.maximum(self.heard[entity], window)
        self.lost[entity] = False

    def known(self, window: int, memory: int) -> B1:
        """Entities that had data before a window, and not longer before it than `memory` windows."""
        found: B1 = (self.first < window) & (self.last >= window - memory)
        return found

    def mend(self, latest: int) -> None:
        """Nothing was seen after window `latest`, whatever was believed."""
        self.last, self.heard = np.minimum(self.last, latest), np.minimum(self.heard, latest)
        self.came = np.minimum(self.came, latest)
        self._together.newest = min(self._together.newest, latest)
        known = self.first != NEVER
        self.first[known] = np.minimum(self.first[known], latest)
        self.delays.forget()

    def make_room(self, before: int, merit: int) -> I64:
        """Where there are many, forget the least useful of those without data since window `before`; the numbers that are free
        again. Having been there for `merit` windows counts most."""
        wanted = surplus(len(self._number), self.most)
        if not wanted or before == self._looked:
            return np.empty(0, np.int64)
        self._looked = before
        last = np.full(self.capacity, NEVER)
        active = np.fromiter(self._number.values(), np.int64, len(self._number))
        last[active] = np.maximum(self.last[active], self.came[active])
        gone = leaving(np.minimum(self.first, last), last, before, merit, wanted)
        for number in gone.tolist():
            del self._number[self.keys[number]]
            self._free.append(number)
        self.first[gone], self.last[gone], self.served[gone] = NEVER, -1, False
        self.heard[gone], self.gaps[gone], self.usual[gone], self.lost[gone] = -1, 0.0, 0.0, False
        self.came[gone] = -1
        self.delays.clear(gone)
        return gone

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {
            "keys": [list(k) for k in self.keys],
            "version": self.version,
            "attributes": self.attributes,
            "first": self.first,
            "last": self.last,
            "came": self.came,
            "served": self.served,
            "heard": self.heard,
            "gaps": self.gaps,
            "usual": self.usual,
            "lost": self.lost,
            "free": self._free,
            "together": msgspec.to_builtins(self._together),
            "claims": [[n, c.state()] for n, c in sorted(self._claims.items())],
            **self.delays.state(len(self.keys)),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self.keys = [(a, b) for a, b in state["keys"]]
        self.version, self.attributes = list(state["version"]), list(state["attributes"])
        self.first, self.last, self.served = state["first"], state["last"], state["served"]
        size = len(self.first)
        self.heard, self.gaps = state.get("heard", self.last.copy()), state.get("gaps", np.zeros((size, HELD_GAPS)))
        self.usual, self.lost = state.get("usual", np.zeros(size)), state.get("lost", np.zeros(size, np.bool_))
        self.came = state.get("came", self.last.copy())
        self._together = msgspec.convert(state.get("together", {}), Together)
        self._free = list(state["free"])
        self._claims = {n: Claims.of(claims) for n, claims in state.get("claims", ())}
        free = set(self._free)
        self._number = {k: i for i, k in enumerate(self.keys) if i not in free}
        self.delays.load(state, len(self.keys), self.capacity)
