"""What requests under way may hold: their number and their bytes, in total and for each peer.

A peer that sends much, or begins requests and never ends them, uses up its own share; the others still have theirs.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self

from contracts.errors import Retryable

OVERLOADED: Final = "overloaded"


def overloaded(what: str) -> Retryable:
    """The error for a request that is too much now: the sender should come again."""
    return Retryable(f"too much at once: {what}", reason=OVERLOADED)


@dataclass(frozen=True, slots=True)
class ReceiverLimits:
    """The most there may be at once."""

    requests: int
    peer_requests: int
    bytes: int
    peer_bytes: int


class Budget:
    """Counts what is in flight. Every request enters once and leaves once (`Hold.release`)."""

    def __init__(self, limits: ReceiverLimits) -> None:
        self.limits = limits
        self.requests = self.bytes = 0
        self.peer_requests: Counter[str] = Counter()
        self.peer_bytes: Counter[str] = Counter()
        self._waiting: deque[tuple[Hold, int, asyncio.Future[None]]] = deque()

    def enter(self, peer: str) -> Hold:
        """Begin a request.

        Raises:
            Retryable: there are too many (reason `overloaded`).
        """
        if self.requests >= self.limits.requests or self.peer_requests[peer] >= self.limits.peer_requests:
            raise overloaded(f"{self.requests} requests under way, {self.peer_requests[peer]} of this peer")
        self.requests += 1
        self.peer_requests[peer] += 1
        return Hold(self, peer)

    def fits(self, peer: str, size: int) -> bool:
        """Whether `size` more bytes of a peer may be in flight."""
        return self.bytes + size <= self.limits.bytes and self.peer_bytes[peer] + size <= self.limits.peer_bytes

    def add(self, peer: str, size: int) -> None:
        """Count `size` more bytes (fewer where negative), and let those go on who wait for that."""
        self.bytes += size
        self.peer_bytes[peer] += size
        if not self.peer_bytes[peer]:
            del self.peer_bytes[peer]
        if size < 0:
            self._let_on()

    def leave(self, peer: str) -> None:
        """End a request."""
        self.requests -= 1
        self.peer_requests[peer] -= 1
        if not self.peer_requests[peer]:
            del self.peer_requests[peer]

    async def room(self, hold: Hold, size: int, patience_s: float) -> None:
        """Wait in line for room for `size` bytes of a request, and take it.

        Raises:
            Retryable: there was none for `patience_s` (reason `overloaded`).
        """
        if not self._waiting and self.fits(hold.peer, size):
            hold.grow(size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((hold, size, turn))
        self._let_on()
        try:
            async with asyncio.timeout(patience_s):
                await turn
        except TimeoutError:
            raise overloaded(f"{self.bytes} bytes in flight, {self.peer_bytes[hold.peer]} of this peer") from None

    def _let_on(self) -> None:
        """In order of arrival; who waits for a share of its own peer holds up nobody else."""
        still: deque[tuple[Hold, int, asyncio.Future[None]]] = deque()
        for hold, size, turn in self._waiting:
            if turn.done():  # gave up
                continue
            if self.fits(hold.peer, size):
                hold.grow(size)
                turn.set_result(None)
            else:
                still.append((hold, size, turn))
        self._waiting = still


class Hold:
    """What one request holds: until it is released, and everything that was pinned is let go."""

    def __init__(self, budget: Budget, peer: str) -> None:
        self._budget, self.peer = budget, peer
        self.size = 0
        self._pins, self._ended, self._left = 0, False, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def room(self, size: int, patience_s: float) -> None:
        """Wait for room for `size` more bytes. Retryable (`overloaded`) where there is none in time."""
        await self._budget.room(self, size, patience_s)

    def grow(self, size: int) -> None:
        """Hold `size` more bytes.

        Raises:
            Retryable: there is no room (reason `overloaded`).
        """
        if not self._budget.fits(self.peer, size):
            raise overloaded(f"no room for {size} bytes more")
        self.size += size
        self._budget.add(self.peer, size)

    def shrink_to(self, size: int) -> None:
        """Hold no more than `size` bytes from now on."""
        if size < self.size:
            less, self.size = self.size - size, size
            self._budget.add(self.peer, -less)

    def pin(self) -> Callable[[], None]:
        """Somebody else has the bytes, too: what to call when that is over."""
        self._pins += 1
        return self._unpin

    def release(self) -> None:
        """The request has ended. Idempotent."""
        self._ended = True
        if not self._pins and not self._left:
            self._left = True
            self.shrink_to(0)
            self._budget.leave(self.peer)

    def _unpin(self) -> None:
        self._pins -= 1
        if self._ended:
            self.release()
