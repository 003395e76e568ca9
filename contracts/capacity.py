"""Who may stay where there is room for so many: the one answer to names that strangers make up without end.

Whatever is kept by name (environments, services, edges, series, templates) has a limit. What is least of use leaves: what was
there once, long ago. What has been there for an hour outlasts by an hour what came and went, so a flood of names displaces
itself and not those that were there before. What is heard of now never leaves; what finds no room is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any, Final, Generic, TypeVar

import numpy as np

from contracts.frames.decoded import I64
from contracts.units import HOUR, SECOND

K = TypeVar("K", bound=Hashable)
MERIT_NS: Final = HOUR
"""For so long at most the time that something was there counts in its favour."""
AGAIN_NS: Final = SECOND
CROWDED: Final = 0.9
"""From this share of the limit on there is no waiting until a newcomer finds no room."""
ROOMY: Final = 0.8
"""Down to this share of it those leave that may."""


def leaving(first: I64, last: I64, quiet_since: int | I64, merit: int, wanted: int) -> I64:
    """Which of those that were there from `first` to `last` leave: at most `wanted`, the least useful, none heard of since
    `quiet_since` (one time for all, or one for each). All times in one unit; `merit` is the most that having been there counts."""
    free = np.flatnonzero(last < quiet_since)
    if wanted <= 0 or not len(free):
        return free[:0]
    worth = last[free] + np.minimum(last[free] - first[free], merit)
    return np.sort(free[np.argsort(worth, kind="stable")[:wanted]])


def surplus(present: int, most: int) -> int:
    """How many should leave of `present`; 0 where there is room enough."""
    return present - int(ROOMY * most) if present >= CROWDED * most else 0


class Room(Generic[K]):
    """Names, of which there may be `most`. None leaves that was heard of in the last `quiet_ns`."""

    def __init__(self, most: int, quiet_ns: int) -> None:
        self.most, self.quiet_ns = most, quiet_ns
        self._seen: dict[K, tuple[int, int]] = {}
        self._full_until_ns = 0
        self._unheard = False
        """Whether some are there from a snapshot that does not say when they were heard of."""

    def __len__(self) -> int:
        return len(self._seen)

    def admit(self, name: K, now_ns: int, kept: Collection[K] = ()) -> tuple[bool, list[K]]:
        """A name was heard of: whether there is room for it, and who left to make some (of others than `kept`)."""
        if self._unheard:
            self._seen = {n: (first, last if last >= 0 else now_ns) for n, (first, last) in self._seen.items()}
            self._unheard = False
        known = self._seen.get(name)
        if known is not None:
            self._seen[name] = known[0], max(now_ns, known[1])
            return True, []
        gone = self._make_room(now_ns, kept) if len(self._seen) >= self.most else []
        if len(self._seen) >= self.most:
            return False, gone
        self._seen[name] = now_ns, now_ns
        return True, gone

    def _make_room(self, now_ns: int, kept: Collection[K]) -> list[K]:
        if now_ns < self._full_until_ns <= now_ns + AGAIN_NS:
            return []
        self._full_until_ns = now_ns + AGAIN_NS
        names = [n for n in self._seen if n not in kept]
        times = np.array([self._seen[n] for n in names], np.int64).reshape(-1, 2)
        wanted = max(1, surplus(len(self._seen), self.most))
        gone = [names[i] for i in leaving(times[:, 0], times[:, 1], now_ns - self.quiet_ns, MERIT_NS, wanted).tolist()]
        for name in gone:
            del self._seen[name]
        return gone

    def state(self) -> list[list[Any]]:
        """For a snapshot."""
        return [[name, *times] for name, times in self._seen.items()]

    def load(self, state: Iterable[list[Any]], known: Iterable[K] = ()) -> None:
        """Take the state of a snapshot, and names that are `known` from elsewhere in it: they have long been there."""
        self._seen = {name: (first, last) for name, first, last in state}
        for name in known:
            self._seen.setdefault(name, (0, -1))
        self._unheard = any(last < 0 for _, last in self._seen.values())
