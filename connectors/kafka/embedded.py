"""A Kafka-protocol broker inside the process: librdkafka's mock cluster, listening on loopback.

Its log is in memory and bounded (librdkafka keeps about 5 MB per partition), compaction and topic creation requests are
not supported: topics appear, with four partitions, when metadata is asked for them. All that must outlive the process is
elsewhere on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

import confluent_kafka

from connectors.kafka.client import KafkaBroker
from contracts.errors import BrokerUnavailable
from contracts.settings import BrokerSettings
from contracts.topics import TOPICS

PARTITIONS: Final = 4
"""The mock cluster's fixed number of partitions per topic."""
FETCH_WAIT_MS: Final = 20
"""The mock cluster holds a fetch for its whole wait even when data arrives, so waits must be short."""


class EmbeddedBroker(KafkaBroker):
    """Lives as long as the object; real Kafka clients talk to `bootstrap`."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._cluster = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        metadata = self._cluster.list_topics(timeout=10)
        if not metadata.brokers:
            raise BrokerUnavailable("the embedded broker did not start", fix="check that loopback sockets are allowed")
        address = ",".join(f"{b.host}:{b.port}" for b in metadata.brokers.values())
        super().__init__(settings.model_copy(update={"security_protocol": "PLAINTEXT"}), bootstrap=address)

    async def ensure_topics(self, partitions: int, also: Collection[str] = ()) -> Mapping[str, int]:
        """Make every topic of the table, and those in `also`, appear. `partitions` cannot be chosen here; four is what there is."""
        return {name: await asyncio.to_thread(self._appear, name) for name in (*TOPICS, *also)}

    def _appear(self, topic: str) -> int:
        found = self._cluster.list_topics(topic, timeout=10).topics[topic]
        return len(found.partitions) or PARTITIONS

    async def stop(self) -> None:
        """Close the client; the cluster itself goes with the object."""
        await super().stop()
        self._cluster.flush(0)


def is_embedded(settings: BrokerSettings) -> bool:
    """Whether the log is in this process."""
    return settings.url.startswith("embedded")


def open_broker(settings: BrokerSettings) -> KafkaBroker:
    """The broker `settings.url` names: the embedded one, or a real one."""
    if is_embedded(settings):
        return EmbeddedBroker(settings)
    return KafkaBroker(settings, follow_wait_ms=settings.fetch_wait_ms)
