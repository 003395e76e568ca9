"""The one place where failures of the HTTP client are mapped onto the exception tree, for all actuators that use it."""

from __future__ import annotations

import aiohttp

from contracts.errors import ActuatorUnavailable, HomeostatError, OutcomeUnknown

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""What a request can raise: the client's own errors, and an answer that is no JSON."""
CONNECT_S = 2.0
"""How long a connection may take to come about."""


def explain(error: BaseException, where: str, *, effect: bool, fix: str = "") -> HomeostatError:
    """The error that a failed call stands for. `effect`: it would have changed something.

    A call that never reached the other side changed nothing; one that was sent and not answered may have.
    """
    text = f"{where}: {str(error) or type(error).__name__}"
    unsent = isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL))
    if unsent or not effect:
        return ActuatorUnavailable(text, fix=fix)
    return OutcomeUnknown(f"{text}: sent, and no answer")
