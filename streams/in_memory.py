"""The pipeline without a broker: the same stages, one process, one order, no clock. For replay, backtests and benchmarks.

Messages are taken strictly first in, first out, so the same input gives the same events, byte for byte. What stages emit is
kept where `keep` names the topic, and handed to `on_output` as it happens.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from contracts.ports import GraphWrite, Record
from contracts.topics import partition_of
from contracts.units import MILLISECOND
from streams.host import StageHost
from streams.stage import Emit, StageSpec


class MemoryPipeline:
    """Stages connected by queues in memory. Not thread-safe."""

    def __init__(
        self,
        specs: Iterable[StageSpec],
        partitions: int,
        on_message: Callable[[Record], None] = lambda _: None,
        on_graph: Callable[[GraphWrite], None] = lambda _: None,
    ) -> None:
        self.host = StageHost(specs)
        self.partitions = partitions
        self._on_message, self._on_graph = on_message, on_graph
        self._queue: deque[Record] = deque()
        self._offsets: Counter[tuple[str, int]] = Counter()

    def feed(
        self, topic: str, value: bytes, now_ns: int, *, key: bytes | None = None, partition: int | None = None
    ) -> None:
        """Put one message on a topic and run until all that follows from it is done."""
        if partition is None:
            partition = partition_of(key.decode(), self.partitions) if key else 0
        self._append(topic, partition, key, value, (), now_ns)
        self._drain(now_ns)

    def tick(self, now_ns: int) -> None:
        """Let time pass, and run until all that follows is done."""
        self._take(self.host.tick(now_ns), now_ns)
        self._drain(now_ns)

    def _drain(self, now_ns: int) -> None:
        while self._queue:
            record = self._queue.popleft()
            self._take(self.host.overhear(record, now_ns), now_ns)
            self._take(self.host.handle(record, now_ns), now_ns)

    def _take(self, outputs: Iterable[Emit | GraphWrite], now_ns: int) -> None:
        for output in outputs:
            if isinstance(output, GraphWrite):
                self._on_graph(output)
            else:
                partition = output.partition_in(self.partitions)
                self._append(output.topic, partition, output.key.encode(), output.value, output.headers, now_ns)

    def _append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: tuple[tuple[str, bytes], ...],
        now_ns: int,
    ) -> None:
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        record = Record(topic, partition, offset, key, value, headers, now_ns // MILLISECOND)
        self._on_message(record)
        if topic in self.host.by_topic or topic in self.host.overheard:
            self._queue.append(record)
