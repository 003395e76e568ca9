"""Rego on an OPA server, by its REST API (Data API, POST with an input document)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from connectors.policy.verdict import verdict_of
from contracts.errors import PolicyUnavailable
from contracts.ports import PolicyVerdict

TIMEOUT_S: Final = 3.0
_FIX: Final = "is OPA running at act.policy?"


class OpaPolicy:
    """Asks one document of a server, as http://opa:8181/v1/data/homeostat."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._limit = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        """The verdict on one intended action. A document the server does not have decides nothing, so it denies.

        Raises:
            PolicyUnavailable: no answer in time, no connection, or an answer that is no decision.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with self._session.post(self._url, json={"input": document}, timeout=self._limit) as reply:
                body = await reply.read()
                if reply.status != 200:
                    said = body[:300].decode("utf-8", "replace").strip()
                    raise PolicyUnavailable(f"{self._url} answered {reply.status}: {said}", fix=_FIX)
                answer = await reply.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as e:
            raise PolicyUnavailable(f"{self._url}: {str(e) or type(e).__name__}", fix=_FIX) from e
        if not isinstance(answer, Mapping):
            raise PolicyUnavailable(f"{self._url} is no OPA document", fix=_FIX)
        return verdict_of(answer.get("result"))

    async def close(self) -> None:
        """Close connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
