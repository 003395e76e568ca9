"""Records of topics for who takes them elsewhere: shared among the members of a consumer group, whose position the broker keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import aiokafka
from aiokafka.errors import IllegalStateError, KafkaError

from connectors.kafka.client import KafkaBroker, started
from connectors.kafka.embedded import FETCH_WAIT_MS, EmbeddedBroker
from connectors.kafka.errors import translate
from contracts.ports import Record

log = logging.getLogger(__name__)
_AT_ONCE_MS: Final = 200
_UNPOLLED_MS: Final = 24 * 3_600_000
"""How long a member may be busy with what it took: it says by heartbeats that it lives."""
_REJOIN_MS: Final = 30_000


class GroupReader:
    """Gives the records of `topics` in partition order, from where the group stopped.

    The embedded log ends with its process, so there is no group then: all of it is read from its beginning. Where a group is
    new, it begins with what comes from now on, or with all there is (`from_beginning`).
    """

    def __init__(self, broker: KafkaBroker, topics: Sequence[str], group: str, *, from_beginning: bool = False) -> None:
        self._broker, self._topics = broker, topics
        self._group = None if isinstance(broker, EmbeddedBroker) else group
        self._reset = "earliest" if from_beginning or self._group is None else "latest"
        self._consumer: aiokafka.AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Join the group. BrokerUnavailable or Forbidden where that fails."""
        options: dict[str, Any] = (
            {}
            if self._group is None
            else {
                "group_id": self._group,
                "max_poll_interval_ms": _UNPOLLED_MS,
                "rebalance_timeout_ms": _REJOIN_MS,
            }
        )
        consumer = aiokafka.AIOKafkaConsumer(
            *self._topics,
            **self._broker.options,
            **options,
            enable_auto_commit=False,
            auto_offset_reset=self._reset,
            fetch_max_wait_ms=FETCH_WAIT_MS if self._group is None else 500,
        )
        try:
            self._consumer = await started(consumer)
            await self._pin()
        except BaseException as e:
            await self.stop()
            if isinstance(e, KafkaError | OSError):
                raise translate(e, self._broker.bootstrap) from e
            raise

    async def stop(self) -> None:
        """Leave the group. Idempotent."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def take(self, most: int) -> list[Record]:
        """The next records, at most so many; none where none come within moments. Retryable while the log is away."""
        assert self._consumer is not None, "not started"
        try:
            found = await self._consumer.getmany(timeout_ms=_AT_ONCE_MS, max_records=most)
        except (KafkaError, OSError) as e:
            raise translate(e, self._broker.bootstrap) from e
        return [
            Record(m.topic, m.partition, m.offset, m.key, m.value or b"", tuple(m.headers), m.timestamp)
            for messages in found.values()
            for m in messages
        ]

    async def done(self, records: Sequence[Record]) -> None:
        """These, and all before them, needn't come again. What can't be noted now is taken again later."""
        if self._consumer is None or self._group is None:
            return
        ends = {aiokafka.TopicPartition(r.topic, r.partition): r.offset + 1 for r in records}
        try:
            await self._consumer.commit(ends)
        except (KafkaError, OSError, IllegalStateError) as e:
            log.warning("a position of %s is not kept, so some events come again: %r", self._group, e)

    async def behind(self) -> int:
        """How many records wait."""
        assert self._consumer is not None, "not started"
        parts = list(self._consumer.assignment())
        ends = await self._consumer.end_offsets(parts) if parts else {}
        return sum([max(0, end - await self._consumer.position(part)) for part, end in ends.items()])

    async def _pin(self) -> None:
        """Keep where a new group begins: what comes before its first event is taken would be passed over after a restart."""
        if self._consumer is None or self._group is None:
            return
        async with asyncio.timeout(_REJOIN_MS / 1000):
            new = {
                p: await self._consumer.position(p)
                for p in self._consumer.assignment()
                if await self._consumer.committed(p) is None
            }
        if new:
            await self._consumer.commit(new)
