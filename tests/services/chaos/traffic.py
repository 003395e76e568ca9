"""Steady traffic as a Collector would send it, and the book of what was sent: so many spans and calls per window."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import confluent_kafka

from contracts.topics import OTLP_SPANS
from contracts.units import SECOND
from tests.unit.streams.windows.support import CLIENT, MS, SERVER, Span, otlp

TICK_S = 0.1
ROUTES = (("gateway", "cart"), ("gateway", "orders"), ("cart", "stock"), ("orders", "stock"))
SERVICES = ("gateway", "cart", "orders", "stock")
Book = Counter[tuple[str, int, str, str]]
"""(signal, window, service, peer) -> requests."""


class Traffic:
    """`traces_per_s` traces, each a call between two services, torn over the partitions; sent exactly once (idempotent
    producer), however often the broker is killed meanwhile."""

    def __init__(self, bootstrap: str, partitions: int, *, traces_per_s: int = 80, seed: int = 1) -> None:
        self.book: Book = Counter()
        self._partitions, self._per_tick = partitions, max(1, int(traces_per_s * TICK_S))
        self._rng = random.Random(seed)
        self._failed: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 300_000,
                "linger.ms": 5,
                "log_level": 0,
                "reconnect.backoff.max.ms": 200,
            }
        )

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="traffic")

    async def stop(self) -> None:
        """End; everything in the book is on the topic on return."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        left = await asyncio.to_thread(self._producer.flush, 60)
        assert not left, f"{left} messages of the traffic were not taken"
        assert not self._failed, f"messages of the traffic were refused: {self._failed[:3]}"

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            due += TICK_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            spans = [span for _ in range(self._per_tick) for span in self._trace(time.time_ns())]
            for partition in range(self._partitions):
                some = [s for s in spans if s.span % self._partitions == partition]
                if some:
                    self._producer.produce(OTLP_SPANS, otlp(some), partition=partition, on_delivery=self._note)
            self._producer.poll(0)

    def _note(self, error: object, _message: object) -> None:
        if error is not None:
            self._failed.append(str(error))

    def _trace(self, now_ns: int) -> list[Span]:
        caller, callee = self._rng.choice(ROUTES)
        trace, a, b, c = (self._rng.getrandbits(62) | 1 for _ in range(4))
        begun = now_ns - 50 * MS
        spans = [
            Span(caller, trace, a, 0, SERVER, begun, now_ns),
            Span(caller, trace, b, a, CLIENT, begun + MS, now_ns - MS),
            Span(callee, trace, c, b, SERVER, begun + 2 * MS, now_ns - 2 * MS),
        ]
        for span in (spans[0], spans[2]):
            self.book["spans", span.end // SECOND * SECOND, span.service, ""] += 1
        # A call belongs to the window in which its callee's span ended.
        self.book["edges", spans[2].end // SECOND * SECOND, caller, callee] += 1
        return spans
