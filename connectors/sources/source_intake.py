"""What takes in the telemetry of a source: onto the topics by the way of the receivers, with their limits and their counts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from contextlib import aclosing
from typing import Final

from connectors.otlp.receiving.coalesce import Send
from connectors.otlp.receiving.intake import PATIENCE_S, Intake
from contracts.errors import ActionFailed, HomeostatError, InvalidSettings, UndecodableTelemetry
from contracts.ports import Source, Telemetry
from contracts.retry import Pauses, retrying
from contracts.settings import ReceiverSettings
from contracts.supervision import Supervised
from contracts.topics import INGRESS, RAW

log = logging.getLogger(__name__)
PAUSES: Final = Pauses(first_s=0.5, longest_s=10.0)
STOP_S: Final = 5.0
"""How long the end waits for the log to have a message that is on its way: who keeps his place must know of it."""


class SourceIntake:
    """Takes in one source until it ends or is stopped. `send(topic, value)` returns when the log has a message."""

    def __init__(self, source: Source, settings: ReceiverSettings, send: Send) -> None:
        self._source, self._send, self._most = source, send, settings.max_message_bytes
        self._intake = Intake(settings, send)
        self._task = Supervised("source", self._run, detail=source.name)
        self._retried: Counter[str] = Counter()
        self._ending, self._idle = False, asyncio.Event()
        self._idle.set()
        self.trouble = ""
        """Why nothing is taken in now, in words; empty where all is well."""

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    def start(self) -> None:
        """Begin."""
        self._task.start()

    async def stop(self) -> None:
        """Ask for no more, and send what is there."""
        self._ending = True
        self._intake.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        await self._task.stop()
        await self._intake.close()
        await self._source.close()

    def counters(self) -> Counter[str]:
        """Messages `received` and `sent` to the log, as of the receivers; `refused_<reason>`; and attempts that were `retried`."""
        found = Counter(self._intake.coalescer.counters) + self._retried
        found.update({f"refused_{reason}": n for reason, n in self._intake.refused.items()})
        return found

    async def _run(self) -> None:
        async with aclosing(self._source.messages()) as messages:
            async for message in messages:  # asked for the next one, a source knows that the log has the one before
                if self._ending:
                    return
                self._idle.clear()
                try:
                    await self._take(message)
                finally:
                    self._idle.set()

    async def _take(self, message: Telemetry) -> None:
        """Return once the log has it, however long the log is away. What is no telemetry goes in all the same, to be dead-lettered
        with its bytes; what is larger than a message may be, and can't be split, is counted and left out."""
        if message.topic not in INGRESS:
            raise InvalidSettings(
                f"source {self.name} brings messages for {message.topic!r}", fix=f"one of {', '.join(INGRESS)}"
            )

        def told(error: Exception, _pause_s: float) -> None:
            self._retried["retried"] += 1
            self.trouble = str(error)

        try:
            await retrying(
                lambda: self._put(message),
                lambda error, _: isinstance(error, ActionFailed),
                pauses=PAUSES,
                on=HomeostatError,
                told=told,
            )
        except ActionFailed as e:  # the log refuses this one, and will again
            self._intake.refused[e.reason] += 1
            log.error("source %s: a message for %s is left out: %s", self.name, message.topic, e)
            return
        self.trouble = ""

    async def _put(self, message: Telemetry) -> None:
        topic, payload = message.topic, message.payload
        try:
            if topic == RAW:
                await self._as_it_is(topic, payload)
                return
            with self._intake.budget.enter(self.name) as hold:
                await hold.room(len(payload), PATIENCE_S)
                rejected = await self._intake.take(topic, payload, "", payload.lstrip()[:1] == b"{", hold)
            if rejected:
                self._intake.refused["too_large"] += rejected
        except UndecodableTelemetry as e:
            self._intake.refused[e.reason] += 1
            await self._as_it_is(topic, payload)

    async def _as_it_is(self, topic: str, payload: bytes) -> None:
        if len(payload) > self._most:
            self._intake.refused["too_large"] += 1
            log.warning("source %s: a message of %d bytes is too large for the log", self.name, len(payload))
            return
        self._intake.coalescer.counters.update(received=1, sent=1)
        await self._send(topic, payload)
