"""librdkafka (confluent-kafka) for what aiokafka cannot do as safely: its options and errors as ours."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import KafkaError

from contracts.errors import ActionFailed, BrokerUnavailable, Forbidden, HomeostatError
from contracts.settings import BrokerSettings

_FORBIDDEN: Final = frozenset(
    {
        "_AUTHENTICATION",
        "SASL_AUTHENTICATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    }
)
_TOO_LARGE: Final = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"})
FENCED: Final = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"})
"""What a transactional producer hears once another one was initialised with its id."""


def options_of(settings: BrokerSettings, bootstrap: str) -> dict[str, Any]:
    """Address and credentials as librdkafka configuration."""
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "security.protocol": settings.security_protocol,
        "log_level": 0,  # what matters comes back as an error
    }
    if "SSL" in settings.security_protocol and settings.ca_file:
        options["ssl.ca.location"] = str(settings.ca_file)
    if settings.security_protocol.startswith("SASL"):
        options |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.username,
            "sasl.password": settings.password.get_secret_value(),
        }
    return options


def translate(error: KafkaError, bootstrap: str) -> HomeostatError:
    """The Homeostat error for a librdkafka error."""
    if error.name() in _FORBIDDEN:
        return Forbidden(
            f"Kafka at {bootstrap} refuses: {error.str()}",
            fix="check broker.username and broker.password, and the rights on topics and transactional ids",
        )
    if error.name() in _TOO_LARGE:
        return ActionFailed(f"message too large for Kafka at {bootstrap}: {error.str()}", reason="too_large")
    return BrokerUnavailable(
        f"Kafka at {bootstrap} cannot be reached: {error.str()}",
        fix="check broker.url, and that the broker listens there",
    )
