"""One connection to Kafka by itself, before any client: what is wrong with address, certificates or credentials, by name.

aiokafka's clients try all bootstrap servers, log what each of them said, and then only know that none would do.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from connectors.kafka.errors import translate
from contracts.errors import HomeostatError, InvalidSettings, Retryable

TIMEOUT_S: Final = 10.0
"""Patience with one server: some only drop what they don't understand."""
CLOSING_S: Final = 2.0
"""Patience with one that is to say that it has closed too."""


async def preflight(bootstrap: str, options: dict[str, Any]) -> None:
    """Return once one of the servers lets us in, with aiokafka's `options` (without the address).

    Raises:
        Forbidden: credentials or mechanism are refused.
        InvalidSettings: the certificate is not trusted.
        BrokerUnavailable: none of them can be reached, or one side speaks TLS and the other does not.
    """
    refusals: list[HomeostatError] = []
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        if not (host and port.isdecimal()):
            raise InvalidSettings(f"broker.url: {address!r} is not host:port", fix="kafka://host:9092")
        try:
            await _greet(host.strip("[]"), int(port), options)
        except (KafkaError, OSError) as e:
            refusals.append(translate(e, address))
        else:
            return
    # A server that answers and refuses tells more than one that is away: that one may come back, this one will not change.
    raise next((r for r in refusals if not isinstance(r, Retryable)), refusals[0])


async def _greet(host: str, port: int, options: dict[str, Any]) -> None:
    closing: list[object] = []
    connection = AIOKafkaConnection(
        host,
        port,
        request_timeout_ms=int(TIMEOUT_S * 1000),
        on_close=lambda *reason: closing.append(reason),
        **options,
    )
    try:
        await connection.connect()
        await connection.send(MetadataRequest([]))  # the first request that a listener with SASL refuses without it
    finally:
        over = connection.close()
        # With TLS what was open is closed when the other side says so too, and nobody else waits for that.
        if closing:
            await asyncio.wait([over], timeout=CLOSING_S)
