"""The sink `webhook`: every event as a POST of JSON to one address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec

from connectors.actuators.http import CONNECT_S, FAILURES
from connectors.sinks.json_lines import as_object
from contracts.errors import InvalidSettings, Permanent, Retryable
from contracts.ports import PUBLISHED, Published
from contracts.settings import SinkSettings

_AGAIN: Final = frozenset({408, 425, 429})


class WebhookSink:
    """POSTs events one after the other, each with its name as `Idempotency-Key`, by which a receiver can tell a repetition."""

    name = "webhook"
    topics = frozenset(PUBLISHED)

    def __init__(self, settings: SinkSettings) -> None:
        self._url = settings.webhook.get_secret_value()
        if not self._url:
            raise InvalidSettings("the sink `webhook` needs an address", fix="set sinks.webhook")
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, events: Sequence[Published]) -> None:
        """Return once each was answered with 2xx. Retryable: no answer, 5xx, 408, 425 or 429; Permanent: any other answer."""
        for event in events:
            await self._post(event)

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, event: Published) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        headers = {"Idempotency-Key": event.id, "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url,
                data=msgspec.json.encode(as_object(event)),
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # a POST that is redirected turns into a GET
            ) as reply:
                status = reply.status
        except FAILURES as e:
            # The URL stays out of it: a webhook's address often is its secret.
            raise Retryable(f"the webhook doesn't answer: {type(e).__name__}") from e
        if 200 <= status < 300:
            return
        text = f"the webhook answered {status}"
        raise Retryable(text) if status >= 500 or status in _AGAIN else Permanent(text, reason="refused")
