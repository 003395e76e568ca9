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


class JsonPoster:
    """POSTs JSON to one address, each with a name as `Idempotency-Key`, by which a receiver can tell a repetition."""

    def __init__(self, settings: SinkSettings, name: str) -> None:
        """`name`: of the sink, and of the setting with its address. InvalidSettings where that is empty."""
        self._url = getattr(settings, name).get_secret_value()
        if not self._url:
            raise InvalidSettings(f"the sink `{name}` needs an address", fix=f"set sinks.{name}")
        self._name = name
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s, sock_connect=CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, key: str, body: object) -> None:
        """Return once it was answered with 2xx. Retryable: no answer, 5xx, 408, 425 or 429; Permanent: any other answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            async with self._session.post(
                self._url,
                data=msgspec.json.encode(body),
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,  # a POST that is redirected turns into a GET
            ) as reply:
                status = reply.status
        except FAILURES as e:
            # The URL stays out of it: a webhook's address often is its secret.
            raise Retryable(f"the {self._name} doesn't answer: {type(e).__name__}") from e
        if 200 <= status < 300:
            return
        text = f"the {self._name} answered {status}"
        raise Retryable(text) if status >= 500 or status in _AGAIN else Permanent(text, reason="refused")


class WebhookSink:
    """POSTs every event, one after the other, under its own name."""

    name = "webhook"
    topics = frozenset(PUBLISHED)

    def __init__(self, settings: SinkSettings) -> None:
        self._poster = JsonPoster(settings, self.name)

    async def deliver(self, events: Sequence[Published]) -> None:
        """Return once each was taken. Raises as `JsonPoster.post`."""
        for event in events:
            await self._poster.post(event.id, as_object(event))

    async def close(self) -> None:
        """Close connections."""
        await self._poster.close()
