"""What follows from messages, on its way: known until the broker has it, so that nothing is acknowledged before."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from contracts.errors import BrokerUnavailable, HomeostatError, Permanent
from contracts.ports import GraphWrite
from streams.stage import Emit, Output
from streams.worker.parts import WorkerWiring

log = logging.getLogger(__name__)

RESEND_S = 0.5
TOO_LARGE = "too_large"

Retrying = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Calls until it succeeds."""


class Outbox:
    """Sends in order, without waiting for answers. Counts what can never be sent as `unsendable`."""

    def __init__(self, wiring: WorkerWiring, counters: Counter[tuple[str, str]], retrying: Retrying) -> None:
        self._w, self._counters, self._retrying = wiring, counters, retrying
        self._sending: set[asyncio.Future[Any]] = set()
        self._unsent: list[Emit] = []

    @property
    def sending(self) -> int:
        """Messages the broker has not answered about yet."""
        return len(self._sending)

    async def send(self, outputs: Iterable[Output]) -> None:
        """Hand messages to the producer, and graph writes to the graph's queue."""
        for output in outputs:
            if isinstance(output, GraphWrite):
                self._w.graph(output)
            else:
                if self._w.before_send is not None:
                    await self._w.before_send(output)
                await self._retrying(partial(self._enqueue, output))

    async def _enqueue(self, emit: Emit) -> None:
        try:
            sent = await self._w.broker.enqueue(
                emit.topic,
                emit.value,
                key=emit.key.encode(),
                partition=emit.partition_in(self._w.partitions[emit.topic]),
                headers=emit.headers,
            )
        except Permanent as e:
            if e.reason == TOO_LARGE:
                self._give_up(emit, e)
                return
            raise BrokerUnavailable(
                e.message, reason=e.reason, fix=e.fix
            ) from e  # somebody may mend it: rights, settings
        self._sending.add(sent)
        sent.add_done_callback(partial(self._sent, emit))

    def _sent(self, emit: Emit, sent: asyncio.Future[Any]) -> None:
        self._sending.discard(sent)
        error = None if sent.cancelled() else sent.exception()
        refusal = self._w.broker.refusal(error) if isinstance(error, Exception) else None
        if refusal is not None and refusal.reason == TOO_LARGE:
            self._give_up(emit, refusal)
        elif refusal is not None or sent.cancelled():
            self._unsent.append(emit)

    def _give_up(self, emit: Emit, why: HomeostatError) -> None:
        """Sending it again cannot help, and the loop must go on."""
        self._counters["worker", "unsendable"] += 1
        log.error("%d bytes for %s cannot be sent: %s", len(emit.value), emit.topic, why)

    async def delivered(self) -> None:
        """Wait until the broker has all that was sent; what it did not take is sent again. Cut off, it forgets nothing."""
        while self._sending or self._unsent:
            if self._sending:
                await asyncio.wait(set(self._sending))
            if self._unsent:
                log.warning("%d messages were not taken by the broker; sending them again", len(self._unsent))
                await asyncio.sleep(RESEND_S)
            for emit in list(self._unsent):
                await self.send([emit])
                self._unsent.remove(emit)
