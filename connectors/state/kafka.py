"""Snapshots in the compacted topic `homeostat.snapshots`: whoever takes a partition over finds what its owner saved last.

A key's partition of the topic is read to its present end at every `load`, but only what is new since the one before:
the first load reads the partition, later ones usually nothing. So a snapshot saved by another worker a moment ago is
seen, which a cache filled once would miss.

Snapshots are compressed here: what a message may be at most is asked before a client compresses it.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, Final

import aiokafka
from aiokafka.errors import KafkaError

from connectors.kafka.client import started
from connectors.kafka.errors import translate
from contracts.errors import BrokerUnavailable, HomeostatError
from contracts.topics import SNAPSHOTS, partition_of

_MAX_BYTES: Final = 8_000_000
_FETCH_WAIT_MS: Final = 50
_DEFLATED: Final = ("encoding", b"deflate")
"""Header of what is compressed; what has none is as it was saved."""


class KafkaStateStore:
    """`StateStore` in Kafka. The topic must exist (`Broker.ensure_topics`). Connects at the first use.

    Errors: BrokerUnavailable, Forbidden, and ActionFailed (reason too_large) for what the broker won't take.
    """

    def __init__(self, bootstrap: str, *, topic: str = SNAPSHOTS, timeout_s: float = 30.0, **options: Any) -> None:
        """`options` are aiokafka's (security_protocol, ssl_context, …) and go to producer and consumer alike."""
        self._bootstrap, self._topic, self._timeout_s = bootstrap, topic, timeout_s
        self._options = {"bootstrap_servers": bootstrap, **options}
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self._consumer: aiokafka.AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()
        self._latest: dict[str, tuple[bytes, bool]] = {}
        """As in the topic, and whether it is compressed."""
        self._read_to: dict[int, int] = {}
        self._closed = False

    async def load(self, key: str) -> bytes | None:
        """The last saved state, whoever saved it, or None."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._catch_up(partition_of(key, await self._partitions()))
            except (KafkaError, OSError) as e:
                raise self._refused(e) from e
            value, deflated = self._latest.get(key, (None, False))
            return await asyncio.to_thread(zlib.decompress, value) if deflated and value is not None else value

    async def save(self, key: str, value: bytes) -> None:
        """Replace the state; all in-sync replicas have it on return."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    partition = partition_of(key, await self._partitions())
                    producer = await self._producing()
                    small = await asyncio.to_thread(zlib.compress, value, 1)
                    await producer.send_and_wait(
                        self._topic, small, key=key.encode(), partition=partition, headers=[_DEFLATED]
                    )
            except (KafkaError, OSError) as e:
                raise self._refused(e) from e

    async def close(self) -> None:
        """Close both clients. Idempotent."""
        async with self._turn:
            self._closed = True
            producer, self._producer = self._producer, None
            consumer, self._consumer = self._consumer, None
            for client in (producer, consumer):
                if client is not None:
                    await client.stop()

    async def _partitions(self) -> int:
        found = await (await self._producing()).partitions_for(self._topic)
        if not found:
            raise BrokerUnavailable(f"topic {self._topic} is not on {self._bootstrap}", fix="run `homeostat doctor`")
        return len(found)

    async def _catch_up(self, partition: int) -> None:
        """Read the partition from where it was last read to its present end."""
        consumer = await self._consuming()
        at = aiokafka.TopicPartition(self._topic, partition)
        begin, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
        offset = self._read_to.get(partition, begin)
        if offset > end:  # the topic was deleted and made again
            offset = begin
        if offset >= end:
            return
        consumer.assign([at])
        consumer.seek(at, max(offset, begin))
        while await consumer.position(at) < end:
            for message in (await consumer.getmany(at, timeout_ms=200)).get(at, []):
                self._note(message)
            self._read_to[partition] = await consumer.position(at)  # where to go on if the time runs out

    def _note(self, message: Any) -> None:
        if message.key is None:
            return
        key = message.key.decode(errors="replace")
        if message.value is None:
            self._latest.pop(key, None)
        else:
            self._latest[key] = message.value, _DEFLATED in message.headers

    async def _producing(self) -> aiokafka.AIOKafkaProducer:
        self._check_open()
        if self._producer is None:
            self._producer = await started(
                aiokafka.AIOKafkaProducer(**self._options, acks="all", linger_ms=0, max_request_size=_MAX_BYTES)
            )
        return self._producer

    async def _consuming(self) -> aiokafka.AIOKafkaConsumer:
        self._check_open()
        if self._consumer is None:
            self._consumer = await started(
                aiokafka.AIOKafkaConsumer(
                    **self._options,
                    enable_auto_commit=False,
                    auto_offset_reset="earliest",
                    fetch_max_wait_ms=_FETCH_WAIT_MS,
                    max_partition_fetch_bytes=_MAX_BYTES,
                )
            )
        return self._consumer

    def _refused(self, error: KafkaError | OSError) -> HomeostatError:
        if isinstance(error, TimeoutError):
            # Clients also wait in silence for a topic that isn't there.
            return BrokerUnavailable(
                f"Kafka at {self._bootstrap} gave no answer about topic {self._topic} within {self._timeout_s:g} s",
                fix="is the broker well, and does the topic exist? workers create it when they start",
            )
        return translate(error, self._bootstrap)

    def _check_open(self) -> None:
        if self._closed:
            raise BrokerUnavailable("the state store is closed", reason="store_closed")
