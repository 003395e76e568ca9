"""What is wrong with a way to Kafka is said by name, before any client is made."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import errors as driver

from connectors.kafka.client import KafkaBroker, client_options
from connectors.kafka.embedded import EmbeddedBroker
from connectors.kafka.errors import translate
from connectors.kafka.preflight import preflight
from contracts.errors import BrokerUnavailable, Forbidden, HomeostatError, InvalidSettings
from contracts.settings import BrokerSettings
from tests.patience import PATIENCE_S
from tests.services.servers.authority import certificate

PLAIN = {"security_protocol": "PLAINTEXT"}


@pytest.fixture
async def embedded() -> AsyncIterator[EmbeddedBroker]:
    broker = EmbeddedBroker(BrokerSettings())
    yield broker
    await broker.stop()


async def test_one_server_that_answers_is_enough(embedded: EmbeddedBroker) -> None:
    await preflight(f"127.0.0.1:1, {embedded.bootstrap}", PLAIN)


async def test_none_answers() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 cannot be reached.*broker\.url"):
        await preflight("127.0.0.1:1,127.0.0.1:2", PLAIN)


@pytest.mark.parametrize("address", ["kafka", "kafka:", "kafka:http", ""])
async def test_an_address_without_a_port(address: str) -> None:
    with pytest.raises(InvalidSettings, match=r"is not host:port.*kafka://host:9092"):
        await preflight(address, PLAIN)


async def test_tls_where_none_is_spoken(embedded: EmbeddedBroker) -> None:
    settings = BrokerSettings(url=f"kafka://{embedded.bootstrap}", security_protocol="SSL")
    with pytest.raises(BrokerUnavailable, match=r"broker\.(security_protocol|url)"):
        async with asyncio.timeout(PATIENCE_S):
            await KafkaBroker(settings).start()


def test_a_refused_connection_is_closed_when_the_refusal_is_told(tmp_path: Path) -> None:
    """Whoever ends right after it would leave the socket behind: TLS is over when both sides have said so."""
    server = certificate(tmp_path)
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    listening.load_cert_chain(server.cert_file, server.key_file)
    at_listener: list[asyncio.StreamWriter] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at_listener.append(writer)
        size = int.from_bytes(await reader.readexactly(4), "big")
        request = await reader.readexactly(size)
        no_versions = request[4:8] + (35).to_bytes(2, "big") + (0).to_bytes(4, "big")
        writer.write(len(no_versions).to_bytes(4, "big") + no_versions)
        await reader.readexactly(4)
        writer.write((2).to_bytes(4, "big") + b"no")  # nothing that Kafka says

    async def refused() -> None:
        listener = await asyncio.start_server(refuse, "127.0.0.1", 0, ssl=listening)
        settings = BrokerSettings(security_protocol="SSL", ca_file=server.ca_file)
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        with pytest.raises(BrokerUnavailable):
            await preflight(address, client_options(settings))
        assert [writer.transport.is_closing() for writer in at_listener] == [True]
        listener.close()

    asyncio.run(refused())


def _untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "Hostname mismatch"
    return error


@pytest.mark.parametrize(
    ("error", "expected", "reason", "setting"),
    [
        (driver.SaslAuthenticationFailed("no"), Forbidden, "forbidden", "broker.password"),
        (driver.TopicAuthorizationFailedError("no"), Forbidden, "forbidden", "broker.username"),
        (driver.UnsupportedSaslMechanismError("no"), InvalidSettings, "sign_in", "broker.sasl_mechanism"),
        (_untrusted(), InvalidSettings, "untrusted_certificate", "broker.ca_file"),
        (ssl.SSLEOFError(8, "EOF"), BrokerUnavailable, "tls", "broker.security_protocol"),
        (ConnectionRefusedError(111, "refused"), BrokerUnavailable, "broker_unavailable", "broker.url"),
    ],
)
def test_errors(error: driver.KafkaError | OSError, expected: type[HomeostatError], reason: str, setting: str) -> None:
    found = translate(error, "kafka:9092")
    assert (type(found), found.reason) == (expected, reason)
    assert "kafka:9092" in found.message
    assert setting in found.fix


def test_an_authority_that_cannot_be_read(tmp_path: Path) -> None:
    settings = BrokerSettings(security_protocol="SSL", ca_file=tmp_path / "ca.crt")
    with pytest.raises(InvalidSettings, match=r"broker\.ca_file .*ca\.crt: No such file"):
        client_options(settings)
    (tmp_path / "ca.crt").write_text("not a certificate")
    with pytest.raises(InvalidSettings, match=r"no certificate in PEM form"):
        client_options(settings)
