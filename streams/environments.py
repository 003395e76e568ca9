"""The environments of a stage: they are let in as far as there is room, and what is known of those that left is forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Final

from contracts.capacity import Room
from contracts.units import SECOND

QUIET_NS: Final = 120 * SECOND
"""An environment that was heard of since then does not leave: all its windows are closed by then."""


class Environments:
    """At most `most` environments; `forget` is called with each that leaves."""

    def __init__(self, most: int, forget: Callable[[str], None]) -> None:
        self._most, self._forget = most, forget
        self._room = Room[str](most, QUIET_NS)
        self.counters: Counter[str] = Counter()

    def lets_in(self, environment: str, now_ns: int, kept: Collection[str] = ()) -> bool:
        """Whether there is room for an environment that was heard of. Those that are `kept` don't leave for it."""
        admitted, gone = self._room.admit(environment, now_ns, kept)
        for name in gone:
            self._forget(name)
        self.counters["environment_left"] += len(gone)
        self.counters["environment_limit"] += not admitted
        return admitted

    def restored(self, environments: Iterable[str]) -> None:
        """The stage has the state of these environments from a snapshot: they have long been there."""
        self._room = Room[str](self._most, QUIET_NS)
        self._room.load([], environments)
