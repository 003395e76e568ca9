"""Small messages of many senders go into the log together: the pipeline pays for each message, whatever is in it.

The first message after a pause goes at once; what comes within `wait_s` of it goes together when that time is over, or earlier
when it is `most_bytes`. Each sender is answered when the log has taken its own data, and only then.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from connectors.otlp.receiving.join import entries, join
from contracts.supervision import once

Send = Callable[[str, bytes], Awaitable[None]]
_Key = tuple[str, bool]  # topic, whether JSON: the two encodings don't mix


@dataclass(slots=True)
class _Waiting:
    """One message, who is told of its end, and what to do then."""

    payload: bytes
    taken: asyncio.Future[None]


@dataclass(slots=True)
class _Group:
    messages: list[_Waiting] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


class Coalescer:
    """Puts messages on topics, small ones together. `send` returns when the log has a message, or raises."""

    def __init__(self, send: Send, *, wait_s: float, most_bytes: int) -> None:
        self._send, self._wait_s, self._most = send, wait_s, most_bytes
        self._groups: dict[_Key, _Group] = {}
        self._last: dict[_Key, float] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._hurried = False
        self.counters: Counter[str] = Counter()
        """`received` messages, and those that were `sent` to the log."""

    async def put(self, topic: str, payload: bytes, is_json: bool, done: Callable[[], None] = lambda: None) -> None:
        """Return when the log has the message. `done` is called when it is over in any case: also later than this returns, where
        the caller was cancelled while it waited.

        Raises:
            whatever `send` raised for the message it went in.
        """
        self.counters["received"] += 1
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        taken.add_done_callback(lambda future: _over(future, done))
        self._add((topic, is_json), _Waiting(payload, taken))
        await asyncio.shield(taken)

    def hurry(self) -> None:
        """Nothing waits for company from now on."""
        self._hurried = True
        for key in list(self._groups):
            self._flush(key)

    async def close(self) -> None:
        """Send what is there, and return when all of it is over."""
        self.hurry()
        while self._sending:
            await asyncio.wait(self._sending)

    def _add(self, key: _Key, message: _Waiting) -> None:
        size, now = len(message.payload), asyncio.get_running_loop().time()
        group = self._groups.get(key)
        if group is not None and group.size + size > self._most:
            self._flush(key)
            group = None
        if group is None:
            due = self._last.get(key, -self._wait_s) + self._wait_s
            if self._hurried or due <= now or size >= self._most:
                self._dispatch(key, [message])
                return
            group = self._groups[key] = _Group()
            group.timer = asyncio.get_running_loop().call_at(due, self._flush, key)
        group.messages.append(message)
        group.size += size

    def _flush(self, key: _Key) -> None:
        group = self._groups.pop(key, None)
        if group is not None:
            if group.timer is not None:
                group.timer.cancel()
            self._dispatch(key, group.messages)

    def _dispatch(self, key: _Key, messages: list[_Waiting]) -> None:
        topic, is_json = key
        self._last[key] = asyncio.get_running_loop().time()
        if len(messages) == 1:
            self._start(topic, messages[0].payload, messages)
            return
        together: list[_Waiting] = []
        parts: list[bytes] = []
        for message in messages:
            part = entries(topic, message.payload, is_json)
            if part is None:
                self._start(topic, message.payload, [message])
            else:
                parts.append(part)
                together.append(message)
        if together:
            self._start(topic, join(topic, parts, is_json), together)

    def _start(self, topic: str, value: bytes, messages: list[_Waiting]) -> None:
        self.counters["sent"] += 1
        task = once("otlp-to-log", self._deliver(topic, value, messages))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, topic: str, value: bytes, messages: list[_Waiting]) -> None:
        outcome: BaseException | None = asyncio.CancelledError()
        try:
            (outcome,) = await asyncio.gather(self._send(topic, value), return_exceptions=True)
        finally:
            for message in messages:
                _tell(message.taken, outcome)


def _tell(taken: asyncio.Future[None], outcome: BaseException | None) -> None:
    if isinstance(outcome, asyncio.CancelledError):
        taken.cancel()
    elif outcome is not None:
        taken.set_exception(outcome)
    else:
        taken.set_result(None)


def _over(taken: asyncio.Future[None], done: Callable[[], None]) -> None:
    if not taken.cancelled():
        taken.exception()  # a sender that went away never asks
    done()
