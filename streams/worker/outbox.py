"""What follows from messages, on its way: known until the broker has it, so that nothing is acknowledged before."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from contracts.errors import Permanent
from contracts.ports import GraphWrite
from streams.stage import Emit, Output
from streams.worker.wiring import WorkerWiring

log = logging.getLogger(__name__)

RESEND_S = 0.5

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
        except Permanent as e:  # sending it again cannot help, and the loop must go on
            self._counters["worker", "unsendable"] += 1
            log.error("%d bytes for %s cannot be sent: %s", len(emit.value), emit.topic, e)
            return
        self._sending.add(sent)
        sent.add_done_callback(partial(self._sent, emit))

    def _sent(self, emit: Emit, sent: asyncio.Future[Any]) -> None:
        self._sending.discard(sent)
        if sent.cancelled() or sent.exception() is not None:
            self._unsent.append(emit)

    async def delivered(self) -> None:
        """Wait until the broker has all that was sent; what it did not take is sent again."""
        while self._sending or self._unsent:
            await asyncio.gather(*list(self._sending), return_exceptions=True)
            again, self._unsent = self._unsent, []
            if again:
                log.warning("%d messages were not taken by the broker; sending them again", len(again))
                await asyncio.sleep(RESEND_S)
                await self.send(again)
