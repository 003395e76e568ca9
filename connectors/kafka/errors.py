"""aiokafka's and the socket's errors as ours: the only place that knows both."""

from __future__ import annotations

from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from contracts.errors import ActionFailed, BrokerUnavailable, Forbidden, HomeostatError

_FORBIDDEN = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


def translate(error: KafkaError | OSError, bootstrap: str) -> HomeostatError:
    """The Homeostat error for a driver's error."""
    if isinstance(error, _FORBIDDEN):
        return Forbidden(
            f"Kafka at {bootstrap} refuses the credentials: {error}", fix="check broker.username and broker.password"
        )
    if isinstance(error, _TOO_LARGE):
        return ActionFailed(f"message too large for Kafka at {bootstrap}: {error}", reason="too_large")
    return BrokerUnavailable(
        f"Kafka at {bootstrap} cannot be reached: {error}", fix="check broker.url, and that the broker listens there"
    )
