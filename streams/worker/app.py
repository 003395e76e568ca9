"""Faust as a member of a consumer group, and nothing more of it: no tables, no web server, no election of a leader."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import faust
from faust import streams
from faust.transport.drivers import aiokafka as driver
from faust.types import EventT

from connectors.kafka.client import KafkaBroker
from connectors.kafka.driver_internals import is_compiled, rejoin_after_errors, tune_consumer
from contracts.errors import InvalidSettings
from contracts.ports import Record
from contracts.settings import Settings

_QUIET = logging.getLogger("faust.worker")
"""In whose name they speak; else it would be this module's."""


def make_app(settings: Settings, broker: KafkaBroker, fetch_wait_ms: int) -> faust.App:
    """An app that consumes from `broker` in the group of the settings, from the earliest message where nothing was committed.

    Raises:
        InvalidSettings: Faust runs without its compiled part.
    """
    _check_compiled()
    app = faust.App(
        settings.broker.group,
        broker=f"kafka://{broker.bootstrap.replace(',', ';kafka://')}",
        store="memory://",
        datadir=str(settings.data_dir / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_publish_on_commit=False,
        broker_commit_interval=1.0,
        broker_max_poll_records=500,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=8_000_000,
        broker_session_timeout=settings.broker.session_timeout_s,
        broker_heartbeat_interval=settings.broker.session_timeout_s / 5,
        **_credentials(broker.options),
    )
    app.transport = _transport(app, fetch_wait_ms)
    return app


def _check_compiled() -> None:
    """Its stand-in in Python acknowledges the messages that it skips while partitions change hands: they would be lost."""
    if not is_compiled(streams):
        raise InvalidSettings(
            "faust-streaming runs without its compiled part, which would lose messages",
            reason="faust_not_compiled",
            fix="unset NO_CYTHON, and install faust-streaming where it can be compiled or from a wheel",
        )


def record_of(event: EventT[bytes]) -> Record:
    """The message as the stages know it."""
    m = event.message
    headers = m.headers.items() if isinstance(m.headers, Mapping) else m.headers or ()
    return Record(m.topic, m.partition, m.offset, m.key, m.value or b"", tuple(headers), int((m.timestamp or 0) * 1000))


def _credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    """Faust's credentials from aiokafka's keyword arguments."""
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return {
            "broker_credentials": faust.SASLCredentials(
                username=options["sasl_plain_username"],
                password=options["sasl_plain_password"],
                mechanism=options["sasl_mechanism"],
                ssl_context=context,
            )
        }
    return {"broker_credentials": faust.SSLCredentials(context)} if context else {}


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread that fetches: it joins the group again after errors, and nothing of it ends where a partition has no position yet."""

    logger = _QUIET

    async def on_start(self) -> None:
        """Start, and join again whenever the group refuses."""
        await super().on_start()
        rejoin_after_errors(self._consumer)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Nothing: Faust's look-out for partitions that stand still only writes to the log, and ends the consumer where one has no
        position: between an assignment and the first fetch, which takes long where the processor is short."""


def _transport(app: faust.App, fetch_wait_ms: int) -> driver.Transport:
    class Thread(ConsumerThread):
        def _create_worker_consumer(self, transport: Any) -> Any:
            return tune_consumer(super()._create_worker_consumer(transport), fetch_wait_ms)

    class Consumer(driver.Consumer):
        logger = _QUIET

        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return Thread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    return Transport(app.conf.broker_consumer, app, app.loop)
