"""aiokafka's and the socket's errors as ours: the only place that knows both."""

from __future__ import annotations

import ssl

from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from contracts.errors import ActionFailed, BrokerUnavailable, Forbidden, HomeostatError, InvalidSettings

_FORBIDDEN = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)
_UNSUITED = (IllegalSaslStateError, UnsupportedSaslMechanismError)
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


def translate(error: Exception, bootstrap: str) -> HomeostatError:
    """The Homeostat error for a driver's error."""
    if isinstance(error, _FORBIDDEN):
        return Forbidden(
            f"Kafka at {bootstrap} refuses the credentials: {error}", fix="check broker.username and broker.password"
        )
    if isinstance(error, _UNSUITED):
        return InvalidSettings(
            f"Kafka at {bootstrap} wants another kind of sign-in: {error}",
            reason="sign_in",
            fix="check broker.security_protocol and broker.sasl_mechanism",
        )
    if isinstance(error, ssl.SSLError):
        return _tls(error, bootstrap)
    if isinstance(error, _TOO_LARGE):
        return ActionFailed(f"message too large for Kafka at {bootstrap}: {error}", reason="too_large")
    return BrokerUnavailable(
        f"Kafka at {bootstrap} cannot be reached: {error}", fix="check broker.url, and that the broker listens there"
    )


def _tls(error: ssl.SSLError, bootstrap: str) -> HomeostatError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return InvalidSettings(
            f"Kafka at {bootstrap} shows a certificate that is not trusted: {error.verify_message}",
            reason="untrusted_certificate",
            fix="set broker.ca_file to the authority that signed it, and use the host name it was made for",
        )
    return BrokerUnavailable(  # it may also be going down or coming up
        f"Kafka at {bootstrap} does not speak TLS: {getattr(error, 'reason', None) or error}",
        reason="tls",
        fix="check broker.security_protocol, and that broker.url names the TLS listener",
    )
