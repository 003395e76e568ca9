"""From a request's bytes to messages on a topic: what both receivers do with a body, whatever carried it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from connectors.encodings import snappy
from connectors.encodings.sources import Translated, translated_write
from connectors.otlp.reasons import NOT_OTLP, TOO_LARGE, refuse
from connectors.otlp.receiving.budget import Budget, Hold, ReceiverLimits
from connectors.otlp.receiving.coalesce import Coalescer, Send
from connectors.otlp.receiving.inflate import Inflater, inflater
from connectors.otlp.split import split
from contracts.settings import ReceiverSettings

T = TypeVar("T")
PATIENCE_S: Final = 2.0
"""How long a request waits for room before its sender is told to come again."""
_JSON_SPACE: Final = b" \t\r\n"
_THREADS: Final = 2
_INLINE: Final = 16 * 1024
"""Compressed bodies up to this size begin to be decompressed on the loop: a thread would cost more."""
_STEP: Final = 256 * 1024


class Intake:
    """Takes request bodies and puts them on their topics, within the limits of the settings."""

    def __init__(self, settings: ReceiverSettings, send: Send) -> None:
        self._most, self._message = settings.max_request_bytes, settings.max_message_bytes
        share = settings.peer_share
        self.budget = Budget(
            ReceiverLimits(
                requests=settings.max_requests,
                peer_requests=max(1, int(settings.max_requests * share)),
                bytes=settings.max_in_flight_bytes,
                peer_bytes=int(settings.max_in_flight_bytes * share),
            )
        )
        most = min(settings.coalesce_bytes, settings.max_message_bytes)
        self.coalescer = Coalescer(send, wait_s=settings.coalesce_ms / 1000, most_bytes=most)
        self._pool = ThreadPoolExecutor(_THREADS, "otlp-bodies")
        self.refused: Counter[str] = Counter()
        """Requests that were not taken, by reason."""
        self.left_out: Counter[str] = Counter()
        """Samples of remote writes that could not be said in OTLP, by reason."""

    def hurry(self) -> None:
        """The end is near: nothing waits for company any more."""
        self.coalescer.hurry()

    async def close(self) -> None:
        """Send what is there and end."""
        await self.coalescer.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def take(self, topic: str, body: bytes, encoding: str, is_json: bool, hold: Hold) -> int:
        """Put a request on its topic; the number of items that were too large. An empty request is a sender that looks
        whether somebody is there (OTLP specification: answer with success).

        Raises:
            UndecodableTelemetry: not OTLP, or too large when decompressed.
            Retryable: no room (reason `overloaded`), or the log is away.
        """
        payload = await self._plain(encoding, body, hold) if encoding and body else body
        if not payload:
            return 0
        start = payload.lstrip(_JSON_SPACE)[:1] if is_json else payload[:1]
        if start != (b"{" if is_json else b"\n"):
            raise refuse(NOT_OTLP, f"it starts with {start!r}")
        pieces, rejected = [payload], 0
        if len(payload) > self._message:
            pieces, rejected = await self._in_thread(lambda: split(topic, payload, self._message))
        for piece in pieces:
            await self.coalescer.put(topic, piece, is_json, hold.pin())
        return rejected

    async def take_write(self, body: bytes, hold: Hold) -> Translated:
        """Put the metrics of a remote write on their topic, as OTLP; what there was in it.

        Raises:
            UndecodableTelemetry: not a write request, not compressed by Snappy, or too large when decompressed.
            Retryable: no room (reason `overloaded`), or the log is away.
        """
        hold.grow(min(snappy.length_of(body) or 0, self._most))

        def work() -> Translated:
            return translated_write(snappy.decompressed(body, self._most))

        found = work() if len(body) <= _INLINE else await self._in_thread(work)
        self.left_out += found.skips.counts
        pieces, rejected = [found.payload] if found.payload else [], 0
        if len(found.payload) > self._message:
            pieces, rejected = await self._in_thread(lambda: split(found.signal, found.payload, self._message))
        self.left_out[TOO_LARGE] += rejected
        for piece in pieces:
            await self.coalescer.put(found.signal, piece, False, hold.pin())
        return found

    async def _plain(self, encoding: str, body: bytes, hold: Hold) -> bytes:
        """The body decompressed, a step at a time, each within the budget; only the first of a small one is on the loop."""
        source: Inflater = inflater(encoding, body)
        found: list[bytes] = []
        size, inline = 0, len(body) <= _INLINE
        while True:
            hold.grow(_STEP)
            step = source.read(_STEP) if inline else await self._in_thread(lambda: source.read(_STEP))
            inline = inline and len(step) < _STEP
            size += len(step)
            if size > self._most:
                raise refuse(TOO_LARGE, f"a request may have {self._most} bytes after decompression")
            if not step:
                break
            hold.shrink_to(hold.size - _STEP + len(step))
            found.append(step)
        hold.shrink_to(size)
        return b"".join(found)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def peer_of(address: str) -> str:
    """Who counts as one sender: an address, or the /64 of an IPv6 one, which is what a household or a machine has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return address
    mapped = found.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(found), 64), strict=False))
