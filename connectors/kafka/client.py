"""One aiokafka client behind the Broker port, for the embedded broker and for real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
)

from connectors.kafka.driver_internals import wait_for_ever, wait_no_longer
from connectors.kafka.errors import translate
from connectors.kafka.preflight import preflight
from contracts.errors import BrokerUnavailable, HomeostatError, InvalidSettings
from contracts.ports import Record
from contracts.retry import every, quiet, retrying, within
from contracts.settings import BrokerSettings
from contracts.supervision import end, once
from contracts.tls import trusting
from contracts.topics import TOPICS, Partitioning, Topic, own_topic

PREFIX = "kafka://"
KNOWN_S = 10.0
"""How long a topic just created may be unknown."""
_READ_WAIT_MS = 50
"""Longest wait of one fetch while what is there is read: the embedded broker always waits that long."""
COMPACTED = {"cleanup.policy": "compact", "segment.bytes": str(16 << 20), "min.cleanable.dirty.ratio": "0.25"}
"""Only closed segments are compacted, and those of Kafka's usual size are closed after a gigabyte: whoever takes a partition over
reads all of it."""
CONNECTING_S = 1.0
"""Whose start is no longer wanted may connect for so long before it is stopped."""
COPIES = 3
"""Replicas of the topics made here, where there are that many brokers."""

Client = TypeVar("Client", aiokafka.AIOKafkaProducer, aiokafka.AIOKafkaConsumer)


def bootstrap_of(url: str) -> str:
    """`host:port[,host:port]` of a `kafka://` address."""
    return url.removeprefix(PREFIX)


def client_options(settings: BrokerSettings) -> dict[str, Any]:
    """Keyword arguments every aiokafka client of this broker needs."""
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if "SSL" in settings.security_protocol:
        options["ssl_context"] = trusting(settings.ca_file, "broker.ca_file")
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": settings.password.get_secret_value(),
        }
    return options


async def started(client: Client) -> Client:
    """The aiokafka client, connected. Where that fails, or is cancelled, it is stopped again: one that nobody holds would stay a
    member of its group, whose partitions nobody reads. Where it is cancelled it may connect first, for `CONNECTING_S`: aiokafka
    leaves open what it was about to connect."""
    starting = once("connect", client.start(), awaited=True)
    try:
        await asyncio.shield(starting)
    except BaseException:
        await asyncio.wait({starting}, timeout=CONNECTING_S)
        await end(starting)
        await client.stop()
        raise
    return client


class KafkaBroker:
    """Apache Kafka, or anything that speaks its protocol."""

    def __init__(self, settings: BrokerSettings, bootstrap: str | None = None, *, follow_wait_ms: int = 50) -> None:
        """`follow_wait_ms`: longest wait of one fetch while a topic is followed. It delays nothing, but on the embedded broker."""
        self._settings, self._follow_wait_ms = settings, follow_wait_ms
        self._bootstrap = bootstrap or bootstrap_of(settings.url)
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self._patient: aiokafka.AIOKafkaProducer | None = None
        """The one of `enqueue`."""

    @property
    def bootstrap(self) -> str:
        """`host:port[,host:port]`."""
        return self._bootstrap

    @property
    def options(self) -> dict[str, Any]:
        """Address and credentials as aiokafka keyword arguments."""
        return {"bootstrap_servers": self._bootstrap, **client_options(self._settings)}

    async def start(self) -> None:
        """Connect the producers.

        Raises:
            BrokerUnavailable: no broker answers.
            Forbidden: the credentials are refused.
            InvalidSettings: certificates or the kind of sign-in do not fit.
        """
        await preflight(self._bootstrap, client_options(self._settings))
        try:
            self._producer = await self._producing()
            self._patient = wait_for_ever(await self._producing())
        except BaseException:
            await self.stop()
            raise

    async def _producing(self) -> aiokafka.AIOKafkaProducer:
        try:
            return await started(
                aiokafka.AIOKafkaProducer(**self.options, acks="all", linger_ms=0, max_request_size=8_000_000)
            )
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e

    async def stop(self) -> None:
        """Flush and close."""
        producer, self._producer = self._producer, None
        patient, self._patient = self._patient, None
        if patient is not None:
            wait_no_longer(patient)
            await patient.stop()
        if producer is not None:
            await producer.stop()

    async def cluster(self) -> str:
        """The id of the cluster, which it made up when it was formed; "" where it has none."""
        admin = AIOKafkaAdminClient(**self.options)
        try:
            await admin.start()
            return str((await admin.describe_cluster()).get("cluster_id") or "")
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e
        finally:
            await admin.close()

    async def ensure_topics(self, partitions: int, also: Collection[str] = ()) -> Mapping[str, int]:
        """Create what is missing of the table, and of topics of telemetry in `also`; partitions by topic name."""
        wanted = [*TOPICS.values(), *map(own_topic, also)]
        admin = AIOKafkaAdminClient(**self.options)
        try:
            await admin.start()
            known = set(await admin.list_topics())
            missing = [t for t in wanted if t.name not in known]
            if missing:
                await self._create(admin, missing, partitions)
            return await self._partitions(admin, {t.name for t in wanted})
        except TopicAlreadyExistsError:  # another worker was faster
            return await self._partitions(admin, {t.name for t in wanted})
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e
        finally:
            await admin.close()

    async def _create(self, admin: AIOKafkaAdminClient, missing: Sequence[Topic], partitions: int) -> None:
        copies = min(COPIES, len((await admin.describe_cluster())["brokers"]))
        try:
            await admin.create_topics([_new_topic(t, partitions, copies) for t in missing])
        except AttributeError as e:  # aiokafka's, where there is no controller: the embedded log has none
            raise InvalidSettings(
                f"{self._bootstrap} can't be asked to create {', '.join(t.name for t in missing)}",
                fix="an embedded log is given its topics by the process that it is in: start that with these in ingest.topics",
            ) from e

    async def _partitions(self, admin: AIOKafkaAdminClient, wanted: set[str]) -> dict[str, int]:
        """Of each of these topics, once all brokers know what was created a moment ago."""

        async def known() -> dict[str, int]:
            described = await admin.describe_topics(sorted(wanted))
            found = {t["topic"]: len(t["partitions"]) for t in described if t["error_code"] == 0 and t["partitions"]}
            missing = wanted - found.keys()
            if missing:
                raise BrokerUnavailable(
                    f"Kafka at {self._bootstrap} does not know {', '.join(sorted(missing))}",
                    fix="were they created? look at the rights on topics and at the controller's log",
                )
            return found

        return await retrying(known, within(KNOWN_S), pauses=every(0.1), told=quiet)

    async def send(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append one message and wait for its acknowledgement, for as long as Kafka's clients usually do (40 s)."""
        if self._producer is None:
            raise BrokerUnavailable("the producer is not started")
        try:
            await self._producer.send_and_wait(topic, value, key=key, partition=partition, headers=list(headers))
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e

    async def enqueue(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> asyncio.Future[Any]:
        """Append without waiting: a future that resolves once acknowledged, or raises (see `refusal`).

        However long the broker is away, messages of a partition arrive in the order in which they were enqueued: none is given up
        so that younger ones overtake it.
        """
        if self._patient is None:
            raise BrokerUnavailable("the producer is not started")
        try:
            sent: asyncio.Future[Any] = await self._patient.send(
                topic, value, key=key, partition=partition, headers=list(headers)
            )
            return sent
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e

    def refusal(self, error: Exception) -> HomeostatError:
        """What a future of `enqueue` raised, as an error of ours."""
        return error if isinstance(error, HomeostatError) else translate(error, self._bootstrap)

    async def ends(self, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
        """By topic and partition, the offset that the next message gets; 0 while there was none."""
        async with self._consuming(*topics) as consumer:
            found = await consumer.end_offsets(list(consumer.assignment()))
        return {(tp.topic, tp.partition): end for tp, end in found.items()}

    async def read(
        self, topics: Sequence[str], *, from_beginning: bool = True, follow: bool = False, last: int | None = None
    ) -> AsyncIterator[Record]:
        """Messages of `topics`; ends at the end found at the start, unless `follow`. `last`: that many per partition. A topic that
        there isn't (yet) has no messages; to follow it is to wait for it."""
        if not follow:
            async with self._consuming() as consumer:
                there = await consumer.topics()
            topics = [topic for topic in topics if topic in there]
            if not topics:
                return
        async with self._consuming(*topics, wait_ms=self._follow_wait_ms if follow else _READ_WAIT_MS) as consumer:
            async for record in _scan(consumer, None if from_beginning and last is None else last or 0, follow=follow):
                yield record

    async def since(self, topic: str, first_ms: int, most: int) -> AsyncGenerator[Record]:
        """Messages of a topic written at `first_ms` (epoch milliseconds) or later, at most `most` of each partition: the first of them, or
        the last of all where the log doesn't know times (the embedded one)."""
        async with self._consuming() as consumer:
            if topic not in await consumer.topics():
                return
        async with self._consuming(topic) as consumer:
            parts = sorted(consumer.assignment())
            begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
            at = await consumer.offsets_for_times(dict.fromkeys(parts, first_ms))
        for part in parts:
            known = at[part]
            first = known.offset if known is not None else max(begin[part], end[part] - most)
            if first < end[part]:
                async for record in self.between(topic, part.partition, first, min(end[part], first + most)):
                    if record.timestamp_ms >= first_ms:
                        yield record

    async def stamped_by_broker(self, topics: Sequence[str]) -> dict[str, bool]:
        """Of each topic that has a message, whether the broker stamped its newest (LogAppendTime) and not its sender (CreateTime)."""
        async with self._consuming() as consumer:
            there = [topic for topic in topics if topic in await consumer.topics()]
        found: dict[str, tuple[int, bool]] = {}
        if there:
            async with self._consuming(*there) as consumer:
                async for m in _messages(consumer, 1, follow=False):
                    found[m.topic] = max(found.get(m.topic, (-1, True)), (m.timestamp, m.timestamp_type == 1))
        return {topic: stamped for topic, (_, stamped) in sorted(found.items())}

    async def between(self, topic: str, partition: int, first: int, end: int) -> AsyncGenerator[Record]:
        """Messages of one partition from offset `first` on and before offset `end`, which must be in the log; what the broker has
        deleted of them meanwhile is left out."""
        at = aiokafka.TopicPartition(topic, partition)
        async with self._consuming() as consumer:
            consumer.assign([at])
            consumer.seek(at, max(first, (await consumer.beginning_offsets([at]))[at]))
            while await consumer.position(at) < end:
                for m in (await consumer.getmany(at, timeout_ms=200)).get(at, []):
                    if m.offset < end:
                        yield _record(m)

    @asynccontextmanager
    async def _consuming(self, *topics: str, wait_ms: int = _READ_WAIT_MS) -> AsyncIterator[aiokafka.AIOKafkaConsumer]:
        """A consumer outside of any group; what goes wrong with it is an error of ours."""
        consumer = aiokafka.AIOKafkaConsumer(
            *topics, **self.options, enable_auto_commit=False, fetch_max_wait_ms=wait_ms
        )
        try:
            yield await started(consumer)
        except (KafkaError, OSError) as e:
            raise translate(e, self._bootstrap) from e
        finally:
            await consumer.stop()


def _record(m: Any) -> Record:
    return Record(m.topic, m.partition, m.offset, m.key, m.value or b"", tuple(m.headers), m.timestamp)


async def _scan(consumer: aiokafka.AIOKafkaConsumer, last: int | None, *, follow: bool) -> AsyncIterator[Record]:
    """Everything, or the `last` messages of each partition."""
    async for m in _messages(consumer, last, follow=follow):
        yield _record(m)


async def _messages(consumer: aiokafka.AIOKafkaConsumer, last: int | None, *, follow: bool) -> AsyncIterator[Any]:
    parts = sorted(consumer.assignment())
    begin, end = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    start = {tp: begin[tp] if last is None else max(begin[tp], end[tp] - last) for tp in parts}
    for tp in parts:
        consumer.seek(tp, start[tp])
    pending = {tp for tp in parts if start[tp] < end[tp]}
    while follow or pending:
        batches = await consumer.getmany(timeout_ms=200)
        for tp, messages in batches.items():
            for m in messages:
                yield m
            if messages and messages[-1].offset + 1 >= end[tp]:
                pending.discard(tp)


def _new_topic(topic: Topic, partitions: int, copies: int) -> NewTopic:
    """A topic as the table has it. What others write is stamped by the broker: a producer could write any time into the log,
    and event time is believed as far as the log confirms it."""
    configs = {"retention.ms": str(topic.retention_ms)}
    if topic.compacted:
        configs = COMPACTED
    if topic.partitioning is Partitioning.FOREIGN:
        configs = configs | {"message.timestamp.type": "LogAppendTime"}
    return NewTopic(
        topic.name,
        num_partitions=partitions,
        replication_factor=copies,
        topic_configs=configs | {"max.message.bytes": "8000000"},
    )
