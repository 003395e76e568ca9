"""What every state store must do.

    await state_store.run_all(lambda: MyStore(...))     # or
    @pytest.mark.parametrize("check", state_store.CHECKS)
    async def test_my_store(check): await check(lambda: MyStore(...))

The factory opens *the same* store each time it is called within one check, as another worker would; different checks may
share it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from contracts.checks.expecting import expect
from contracts.checks.running import awaited_on_same
from contracts.errors import HomeostatError
from contracts.ports import StateStore

Factory = Callable[[], StateStore]
Check = Callable[[Factory], Awaitable[None]]


_expect = partial(expect, shown=200)


@asynccontextmanager
async def opened(factory: Factory) -> AsyncIterator[StateStore]:
    """A store, closed at the end."""
    store = factory()
    try:
        yield store
    finally:
        await store.close()


async def check_nothing_saved(factory: Factory) -> None:
    """A key nobody saved is None, not an error."""
    async with opened(factory) as store:
        _expect(await store.load("never/0"), None, "a key nobody saved")


async def check_last_save_counts(factory: Factory) -> None:
    """Saving replaces, key by key, whatever the bytes and the key's characters."""
    values = (b"one", bytes(range(256)), b"", os.urandom(300_000))
    async with opened(factory) as store:
        for value in values:
            await store.save("last/0", value)
            await store.save("last/ü|0", b"other")
            _expect(await store.load("last/0"), value, "the last saved state")
        _expect(await store.load("last/ü|0"), b"other", "another key")


async def check_survives_reopening(factory: Factory) -> None:
    """What was saved is there for whoever opens the store next."""
    async with opened(factory) as store:
        for i in range(20):
            await store.save(f"reopen/{i}", b"%d" % i)
    async with opened(factory) as store:
        found = [await store.load(f"reopen/{i}") for i in range(20)]
        _expect(found, [b"%d" % i for i in range(20)], "states after reopening")


async def check_takeover(factory: Factory) -> None:
    """A worker that has read a key sees what another saved since, with both stores open: partitions move."""
    async with opened(factory) as one, opened(factory) as two:
        await one.save("move/0", b"first")
        _expect(await two.load("move/0"), b"first", "what the other saved")
        await one.save("move/0", b"second")
        _expect(await two.load("move/0"), b"second", "what the other saved later")
        await two.save("move/0", b"third")
        _expect(await one.load("move/0"), b"third", "what came back")


async def check_concurrent_use(factory: Factory) -> None:
    """Stages save and load at once; each finds its own."""

    async def stage(store: StateStore, name: str) -> bytes | None:
        for i in range(5):
            await store.save(name, b"%s %d" % (name.encode(), i))
        return await store.load(name)

    async with opened(factory) as store:
        found = await asyncio.gather(*(stage(store, f"many/{i}") for i in range(8)))
        _expect(found, [b"many/%d 4" % i for i in range(8)], "states of concurrent stages")


async def check_close(factory: Factory) -> None:
    """Closing twice is fine; a closed store says so."""
    store = factory()
    await store.save("close/0", b"x")
    await store.close()
    await store.close()
    try:
        await store.load("close/0")
    except HomeostatError:
        return
    raise AssertionError("a closed store answered")


CHECKS: Final[tuple[Check, ...]] = (
    check_nothing_saved,
    check_last_save_counts,
    check_survives_reopening,
    check_takeover,
    check_concurrent_use,
    check_close,
)

run_all: Final = awaited_on_same(CHECKS)
"""Runs all checks, one after the other; AssertionError with the first thing that is wrong."""
