"""What every source must do.

    await source.run_all(make_subject)                # or
    @pytest.mark.parametrize("check", source.CHECKS)
    async def test_my_source(check): await check(make_subject())

A `SourceSubject` is a place that telemetry comes from, with messages of its own. Each check wants a fresh one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from contracts.checks.running import awaited_on_fresh
from contracts.ports.exchange import Source, Telemetry
from contracts.supervision import once
from contracts.topics import INGRESS

PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class SourceSubject:
    """A place that telemetry comes from, in which `messages` wait, at least two, in this order. `open`: a source that brings them."""

    open: Callable[[], Source]
    messages: Sequence[Telemetry]


Check = Callable[[SourceSubject], Awaitable[None]]


async def _bring(source: Source, count: int) -> list[Telemetry]:
    """The next `count` messages, with no more asked for."""
    found: list[Telemetry] = []
    try:
        async with asyncio.timeout(PATIENCE_S), aclosing(source.messages()) as messages:
            async for message in messages:
                found.append(message)
                if len(found) == count:
                    break
    except TimeoutError:
        raise AssertionError(f"{len(found)} of {count} messages came within {PATIENCE_S:.0f} s") from None
    return found


async def check_has_a_name(subject: SourceSubject) -> None:
    """It has a name."""
    source = subject.open()
    assert source.name, "a source needs a name"
    await source.close()


async def check_brings_all_in_order(subject: SourceSubject) -> None:
    """All messages come, in order, for topics that telemetry comes in by, with something in them."""
    source = subject.open()
    found = await _bring(source, len(subject.messages))
    await source.close()
    wrong = {m.topic for m in found} - set(INGRESS)
    assert not wrong, f"topics {sorted(wrong)}; telemetry comes in by {', '.join(INGRESS)}"
    assert all(m.payload for m in found), "a message without a byte in it"
    assert found == list(subject.messages), f"expected {list(subject.messages)!r}, got {found!r}"


async def check_waits_to_be_asked(subject: SourceSubject) -> None:
    """Whoever takes no more is given no more: the place of a source is after what was asked for, and others may work meanwhile."""
    source = subject.open()
    _first = await _bring(source, 1)
    assert _first == list(subject.messages[:1]), f"the first message: expected {subject.messages[0]!r}, got {_first!r}"
    await source.close()


async def check_ends_when_told(subject: SourceSubject) -> None:
    """One that waits for more can be stopped: within moments, however long it would wait by itself."""
    source = subject.open()

    async def drain() -> None:
        async with aclosing(source.messages()) as messages:
            async for _ in messages:
                pass

    draining = once("draining", drain(), awaited=True)
    await asyncio.sleep(0)
    draining.cancel()
    done, _ = await asyncio.wait([draining], timeout=PATIENCE_S)
    assert done, f"it did not stop within {PATIENCE_S:.0f} s"
    await source.close()


async def check_close(subject: SourceSubject) -> None:
    """Closing twice is closing once, also before anything was asked for."""
    source = subject.open()
    await source.close()
    await source.close()


CHECKS: Final[tuple[Check, ...]] = (
    check_has_a_name,
    check_brings_all_in_order,
    check_waits_to_be_asked,
    check_ends_when_told,
    check_close,
)

run_all: Final = awaited_on_fresh(CHECKS)
"""Runs all checks, each on a fresh subject; AssertionError with the first thing that is wrong."""
