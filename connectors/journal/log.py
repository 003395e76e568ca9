"""One partition of the journal's topic as its single owner sees it: read whole when taken, then written in transactions."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.journal.changes import Change
from connectors.kafka.librdkafka import FENCED, translate
from contracts.errors import BrokerUnavailable, Fenced

OWNER: Final = "owner"
"""Key of the record that says who owns the partition; its value is the owner's name."""
_SAID: Final = logging.getLogger(f"{__name__}.librdkafka")
"""Takes what librdkafka would otherwise write to stderr: that it was fenced, which is ours to explain."""
_SUSPECT_S: Final = 5.0
_PASSING: Final = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"})
_RECONNECT_MS: Final = 1000
"""Longest pause between attempts at a broker that is away: acting waits for the first that succeeds."""
_MAX_BYTES: Final = 8_000_000


class PartitionLog:
    """Blocking; one thread at a time. Errors: BrokerUnavailable, Forbidden, ActionFailed (too_large), Fenced.

    A producer that failed is thrown away, not repaired: the next use opens another one under the same transactional id,
    which ends whatever the old one left open, and reads what was written meanwhile. The changes that were under way are
    then written again by the caller; each replaces the value under its key, so twice is as good as once.
    """

    def __init__(
        self, options: Mapping[str, Any], *, topic: str, partition: int, group: str, owner: str, timeout_s: float
    ) -> None:
        """`timeout_s` bounds each wait for the broker."""
        self._options = dict(options) | {"reconnect.backoff.max.ms": _RECONNECT_MS}
        self._topic, self._partition = topic, partition
        self._id, self._owner, self._timeout_s = f"{group}-journal-{partition}", owner, timeout_s
        self._producer: Producer | None = None
        self._next = 0
        self._suspect_until = 0.0

    def take(self) -> dict[str, bytes]:
        """Become the owner: from now on nobody else's writes succeed. What is in the partition, by key."""
        self._drop()
        self._producer = self._opened()
        image: dict[str, bytes] = {}
        for key, value in self._read():
            if value is None:
                image.pop(key, None)
            else:
                image[key] = value
        image.pop(OWNER, None)
        self.write(())
        return image

    def write(self, changes: Sequence[Change]) -> None:
        """Append all of the changes or none; every in-sync replica has them on return. Fenced if another one owns it."""
        try:
            producer = self._producer = self._producer or self._reopened()
            producer.begin_transaction()
            for key, value in ((OWNER, self._owner.encode()), *changes):
                producer.produce(self._topic, value, key=key.encode(), partition=self._partition)
            producer.commit_transaction(self._timeout_s)
        except KafkaException as e:
            self._drop()
            raise self._explained(e.args[0]) from e
        except BufferError as e:
            self._drop()
            raise BrokerUnavailable(f"Kafka takes no changes of the journal: {e}") from e

    def close(self) -> None:
        """Let go of the broker. Idempotent. The partition stays ours until somebody takes it."""
        self._drop()

    def _opened(self) -> Producer:
        producer = Producer(
            self._options
            | {
                "transactional.id": self._id,
                "transaction.timeout.ms": int(self._timeout_s * 1000),
                "message.max.bytes": _MAX_BYTES,
                "compression.type": "gzip",
                "linger.ms": 0,
            },
            logger=_SAID,
        )
        try:
            producer.init_transactions(self._timeout_s)
        except KafkaException as e:
            raise self._explained(e.args[0]) from e
        return producer

    def _reopened(self) -> Producer:
        """A new producer in place of one that failed, unless another worker owns the partition by now.

        Opening one shuts out whoever else uses the id. Who may have lost the partition must not do that to its successor
        in the middle of taking it, so for a while it only looks.
        """
        self._require_ownership()
        if time.monotonic() < self._suspect_until:
            raise BrokerUnavailable(f"journal partition {self._partition} is being taken by another worker")
        producer = self._opened()
        self._require_ownership()
        return producer

    def _require_ownership(self) -> None:
        owners = [value for key, value in self._read() if key == OWNER]
        if owners and owners[-1] != self._owner.encode():
            raise self._fenced()

    def _explained(self, error: KafkaError) -> Exception:
        if error.name() not in FENCED:
            return translate(error, str(self._options["bootstrap.servers"]))
        self._suspect_until = time.monotonic() + _SUSPECT_S
        try:
            self._require_ownership()
        except Fenced as e:
            return e
        return BrokerUnavailable(f"journal partition {self._partition} is being taken by another worker")

    def _fenced(self) -> Fenced:
        return Fenced(
            f"journal partition {self._partition} belongs to another worker now", fix="nothing to do: it goes on there"
        )

    def _read(self) -> Iterator[Change]:
        """What was committed since the last reading, to the end."""
        consumer = Consumer(
            self._options
            | {
                "group.id": self._id,  # asked for, never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, self._partition, self._next)])
            for message in _until_end(consumer, self._timeout_s):
                self._next = (message.offset() or 0) + 1
                yield (message.key() or b"").decode(), message.value()
        except KafkaException as e:
            raise translate(e.args[0], str(self._options["bootstrap.servers"])) from e
        finally:
            consumer.close()

    def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()


def _until_end(consumer: Consumer, silence_s: float) -> Iterator[Message]:
    """Messages up to the partition's end. BrokerUnavailable once none came for `silence_s`."""
    heard = time.monotonic()
    while True:
        message = consumer.poll(0.5)
        if message is None:
            if time.monotonic() - heard > silence_s:
                raise BrokerUnavailable(f"Kafka gave nothing of the journal for {silence_s:g} s")
            continue
        heard = time.monotonic()
        error = message.error()
        if error is None:
            yield message
        elif error.name() == "_PARTITION_EOF":
            return
        elif not error.retriable() and error.name() not in _PASSING:
            raise KafkaException(error)
