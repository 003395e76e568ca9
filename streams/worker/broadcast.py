"""What every worker is told, whatever its partitions: the kill switch, changes."""

from __future__ import annotations

import asyncio
import logging

from contracts.errors import HomeostatError
from contracts.ports import Record
from contracts.retry import every, retrying
from contracts.topics import ADDRESSES, CONTROL, GAPS
from streams.deadletter import dead_letter
from streams.host import StageHost
from streams.worker.outbox import RESEND_S, Outbox
from streams.worker.parts import WorkerWiring

log = logging.getLogger(__name__)
_FROM_THE_BEGINNING = frozenset({ADDRESSES, CONTROL, GAPS})
"""What was said before counts as much as what is said from now on."""


class Broadcast:
    """Passes on each record once, to all instances that overhear its topic. `whole` is held meanwhile."""

    def __init__(self, wiring: WorkerWiring, host: StageHost, outbox: Outbox, whole: asyncio.Lock) -> None:
        self._w, self._host, self._outbox, self._whole = wiring, host, outbox, whole
        self._told: dict[tuple[str, int], int] = {}

    async def know_what_stands(self) -> None:
        """Before the first message is taken: who starts while acting is stopped must know that it is, and whom addresses mean."""
        async for record in self._w.broker.read(sorted(self.topics() & _FROM_THE_BEGINNING)):
            await self._tell(record)

    def topics(self) -> set[str]:
        """What is to be followed."""
        return {CONTROL, *self._host.overheard}

    async def follow(self, topic: str) -> None:
        """Pass on what comes, for ever; of what stands also what was there."""

        async def followed() -> None:
            last: dict[tuple[str, int], int] = {}
            async for record in self._w.broker.read([topic], from_beginning=topic in _FROM_THE_BEGINNING, follow=True):
                place = record.topic, record.partition
                if record.offset <= last.get(place, -1):  # the topic was made anew: what it says is all news
                    self._told.pop(place, None)
                last[place] = record.offset
                await self._tell(record)

        def told(error: Exception, _pause_s: float) -> None:
            log.warning("%s; %s is read again", error, topic)

        while True:
            await retrying(followed, pauses=every(RESEND_S), on=HomeostatError, told=told)

    async def _tell(self, record: Record) -> None:
        now_ns, place = self._w.clock.now_ns(), (record.topic, record.partition)
        if record.offset <= self._told.get(place, -1):
            return
        async with self._whole:
            self._told[place] = record.offset
            await self._outbox.send(self._host.overhear(record, now_ns))
        if record.topic == CONTROL:
            await self._tell_those_who_act(record, now_ns)

    async def _tell_those_who_act(self, record: Record, now_ns: int) -> None:
        for handler in self._w.handlers.get(CONTROL, ()):
            try:
                await handler(record)
            except Exception as e:
                log.exception("a switch on %s cannot be followed", CONTROL)
                await self._outbox.send([dead_letter(record, e, now_ns)])
