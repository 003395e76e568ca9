"""Messages that were taken and are not acknowledged yet. A commit says that all before it in the partition was done, so order counts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from faust.types import TP, EventT


@dataclass(frozen=True, slots=True, eq=False)
class TakenMessage:
    """A message, and what is still being done with it."""

    event: EventT[bytes]
    later: list[asyncio.Future[None]]

    @property
    def ended(self) -> bool:
        """Whether all was done. What was cancelled was not: the next owner of the partition does it."""
        return all(f.done() and not f.cancelled() for f in self.later)


class Unacknowledged:
    """In the order in which they were taken."""

    def __init__(self) -> None:
        self._taken: list[TakenMessage] = []

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[TakenMessage]:
        return iter(self._taken)

    def add(self, event: EventT[bytes], later: list[asyncio.Future[None]]) -> None:
        """A message was taken; `later` is what is still being done with it."""
        self._taken.append(TakenMessage(event, later))

    def ended(self, most: int) -> list[TakenMessage]:
        """Those of the first `most` that may be acknowledged: who waits holds up all behind it in its partition."""
        found, waiting = [], set[TP]()
        for t in self._taken[:most]:
            place = t.event.message.tp
            if t.ended and place not in waiting:
                found.append(t)
            else:
                waiting.add(place)
        return found

    def acknowledge(self, taken: Collection[TakenMessage]) -> None:
        """All that followed from these is saved."""
        for t in taken:
            t.event.ack()
        done = set(taken)
        self._taken = [t for t in self._taken if t not in done]

    def drop(self, places: Collection[TP]) -> None:
        """These partitions have another owner, who repeats what was not acknowledged."""
        self._taken = [t for t in self._taken if t.event.message.tp not in places]
