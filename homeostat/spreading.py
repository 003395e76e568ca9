"""Where the embedded process puts what its receivers took: in as few partitions of a topic as messages fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts.ports import Broker, Clock
from contracts.units import MINUTE, SECOND

BYTES_S: Final = 250_000
"""Bytes per second that a partition should have at most: the embedded log keeps about five million of each."""
_LOOKS_NS: Final = 2 * SECOND
_NARROWS_NS: Final = MINUTE
"""For so long fewer partitions must have been enough: what is not used any more holds windows up once more."""


@dataclass(slots=True)
class _Flow:
    """What came of one topic since `since_ns` in bytes, and how many partitions are in use; since when fewer would do, and how many."""

    since_ns: int
    size: int = 0
    turn: int = 0
    width: int = 1
    fewer_ns: int = 0
    fewer: int = 1

    def take(self, size: int, now_ns: int, most: int) -> int:
        """The partition of a message, in turn among as many as are filled."""
        if now_ns - self.since_ns >= _LOOKS_NS:
            self._look(now_ns, most)
        self.size += size
        self.turn = (self.turn + 1) % self.width
        return self.turn

    def _look(self, now_ns: int, most: int) -> None:
        held = BYTES_S * (now_ns - self.since_ns) // SECOND
        filled = min(most, max(1, -(-self.size // held)))
        self.since_ns, self.size = now_ns, 0
        if filled >= self.width:
            self.width, self.fewer_ns, self.fewer = filled, now_ns, 1
            return
        self.fewer = max(self.fewer, filled)
        if now_ns - self.fewer_ns >= _NARROWS_NS:
            self.width, self.fewer_ns, self.fewer = self.fewer, now_ns, 1


class Spreading:
    """Sends to partitions of a topic in turn: to one while that holds what comes, because a window waits until each partition in use has
    been heard of, and small messages go together; to more where more comes."""

    def __init__(self, broker: Broker, partitions: Mapping[str, int], clock: Clock) -> None:
        self._broker, self._partitions, self._clock = broker, partitions, clock
        self._flows: dict[str, _Flow] = {}

    async def send(self, topic: str, value: bytes) -> None:
        """Append one message, and wait for its acknowledgement."""
        now_ns = self._clock.now_ns()
        flow = self._flows.setdefault(topic, _Flow(now_ns))
        partition = flow.take(len(value), now_ns, self._partitions[topic])
        await self._broker.send(topic, value, partition=partition)
