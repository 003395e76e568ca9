"""Work waits for its partition, in order, and holds nobody up."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import BrokerUnavailable, Fenced, Permanent
from homeostat.lanes import Lanes, Work


class Diary:
    """Work that writes itself down; as often as told it finds itself fenced instead."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fenced = 0

    def note(self, text: str) -> Work:
        async def work() -> None:
            if self.fenced:
                self.fenced -= 1
                raise Fenced("another owner")
            self.done.append(text)

        return work


def taken() -> Lanes:
    """Partition 1 may be acted in."""
    turns = Lanes()
    turns.assign([1])
    turns.take(1)
    return turns


class Keeping:
    """Says of all that is to be kept the same, once it knows what."""

    def __init__(self) -> None:
        self.asked = 0
        self._says: Exception | None = None
        self._knows = asyncio.Event()

    def answer(self, says: Exception | None) -> None:
        self._says = says
        self._knows.set()

    async def kept(self) -> None:
        self.asked += 1
        await self._knows.wait()
        await asyncio.sleep(0)
        if self._says is not None:
            raise self._says


async def test_work_of_a_partition_that_is_taken_is_done_at_once() -> None:
    turns, diary = taken(), Diary()
    assert await turns.do(1, diary.note("a")) is None
    assert diary.done == ["a"]


async def test_others_go_on_and_what_waited_is_done_in_order() -> None:
    turns, diary = Lanes(), Diary()
    turns.assign([1, 2])
    turns.take(2)
    first, second = await turns.do(1, diary.note("a")), await turns.do(1, diary.note("b"))
    await turns.do(2, diary.note("other"))
    await asyncio.sleep(0)
    assert diary.done == ["other"]
    turns.take(1)
    third = await turns.do(1, diary.note("c"))  # taken by now, and yet not before those that wait
    assert first is not None
    assert second is not None
    assert third is not None
    await asyncio.gather(first, second, third)
    assert diary.done == ["other", "a", "b", "c"]
    assert await turns.do(1, diary.note("d")) is None


async def test_who_was_fenced_goes_on_once_the_partition_is_taken_back() -> None:
    turns, diary = taken(), Diary()
    diary.fenced = 1
    waiting = await turns.do(1, diary.note("a"))
    await asyncio.sleep(0)
    assert (diary.done, turns.taken) == ([], frozenset())
    turns.take(1)
    assert waiting is not None
    await waiting
    assert diary.done == ["a"]


async def test_what_another_owner_would_not_know_of_is_done_again() -> None:
    """It is over once it is kept. Who finds another owner then does it again, in order, when the partition is taken back."""
    turns, diary, keeping = taken(), Diary(), Keeping()
    first = await turns.do(1, diary.note("a"), keeping.kept)
    second = await turns.do(1, diary.note("b"), keeping.kept)
    await asyncio.sleep(0)
    assert diary.done == ["a", "b"], "the second did not wait until the first was kept"
    keeping.answer(Fenced("another owner"))
    while turns.taken:
        await asyncio.sleep(0)
    assert not any(waiting is None or waiting.done() for waiting in (first, second))
    keeping.answer(None)
    turns.take(1)
    assert first is not None
    assert second is not None
    await asyncio.gather(first, second)
    assert diary.done == ["a", "b", "a", "b"]


async def test_what_comes_while_it_is_to_be_done_again_waits_behind_it() -> None:
    turns, diary, keeping, not_kept = taken(), Diary(), Keeping(), Keeping()
    first = await turns.do(1, diary.note("a"), not_kept.kept)
    not_kept.answer(Fenced("another owner"))
    while turns.taken:
        await asyncio.sleep(0)
    not_kept.answer(None)
    keeping.answer(None)
    turns.take(1)
    second = await turns.do(1, diary.note("b"), keeping.kept)  # before the first had its turn again
    assert first is not None
    assert second is not None
    await asyncio.gather(first, second)
    assert diary.done == ["a", "a", "b"]


async def test_work_for_a_journal_that_was_read_again_meanwhile_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited to ask again doesn't see that it was lost; the new one knows nothing of what was not kept."""
    monkeypatch.setattr("homeostat.lanes._RETRY_S", 0.05)
    turns, diary, keeping = taken(), Diary(), Keeping()
    keeping.answer(BrokerUnavailable("Kafka is away"))
    waiting = [await turns.do(1, diary.note(text), keeping.kept) for text in ("a", "b")]
    while keeping.asked < 2:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)  # both were told, and wait to ask again
    turns.lose([1])
    turns.take(1)
    keeping.answer(None)
    await asyncio.gather(*(w for w in waiting if w is not None))
    assert diary.done == ["a", "b", "a", "b"]


async def test_what_cannot_be_kept_yet_is_not_over_and_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeostat.lanes._RETRY_S", 0.0)
    turns, diary, keeping = taken(), Diary(), Keeping()
    keeping.answer(BrokerUnavailable("Kafka is away"))
    waiting = await turns.do(1, diary.note("a"), keeping.kept)
    while keeping.asked < 3:
        await asyncio.sleep(0)
    assert waiting is not None
    assert not waiting.done()
    keeping.answer(None)
    await waiting
    assert diary.done == ["a"]


async def test_what_belongs_elsewhere_is_refused() -> None:
    turns, diary = Lanes(), Diary()
    turns.assign([1])
    with pytest.raises(Permanent, match="partition 2") as raised:
        await turns.do(2, diary.note("a"))
    assert (raised.value.reason, diary.done) == ("misrouted", [])


async def test_what_waits_for_a_partition_that_goes_is_not_done_and_does_not_look_done() -> None:
    turns, diary = Lanes(), Diary()
    turns.assign([1, 2])
    gone, stopped = await turns.do(1, diary.note("a")), await turns.do(2, diary.note("b"))
    turns.revoke([1])
    assert gone is not None
    assert stopped is not None
    await asyncio.wait([gone])
    await turns.stop()
    await turns.stop()
    assert gone.cancelled()
    assert stopped.cancelled()
    assert diary.done == []
