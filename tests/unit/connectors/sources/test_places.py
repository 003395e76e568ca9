"""The source `file` goes on after a restart where the log has it: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.sources import file_source
from connectors.sources.file_source import FileSource
from connectors.sources.kept_place import FilePlace, KeptPlace, find
from connectors.sources.source_intake import SourceIntake
from contracts.ports import Telemetry
from contracts.settings import ReceiverSettings, SourceSettings
from tests.patience import PATIENCE_S
from tests.unit.connectors.sources.test_sources import Log


def line(number: int) -> bytes:
    return b'{"service":"cart","timestamp":%d}' % number


class Followed:
    """A file that grows, is rotated, and is read by one life of a source after another."""

    def __init__(self, folder: Path, *, from_beginning: bool = False) -> None:
        self.file, self.written, self.brought, self.kills, self._files = folder / "t.jsonl", 0, list[bytes](), 0, 0
        self._options = SourceSettings(
            use=("file",), files=(self.file,), places=folder / "places", from_beginning=from_beginning
        )
        self.source, self.messages = self._begin()

    def _begin(self) -> tuple[FileSource, AsyncGenerator[Telemetry]]:
        source = FileSource(self._options)
        return source, source.messages()

    def append(self, count: int = 1) -> None:
        with self.file.open("ab") as f:
            for _ in range(count):
                f.write(line(self.written) + b"\n")
                self.written += 1

    def half(self) -> None:
        """A line is being written."""
        with self.file.open("ab") as f:
            f.write(line(self.written)[:9])
            f.flush()

    def rename(self) -> None:
        self._files += 1
        self.file.rename(self.file.with_suffix(f".{self._files}"))

    def copy_and_empty(self) -> None:
        self._files += 1
        shutil.copyfile(self.file, self.file.with_suffix(f".{self._files}"))
        self.file.write_bytes(b"")

    async def take(self, count: int = 1) -> None:
        """The log takes so many messages, if there are as many, and the source hears of it."""
        for _ in range(min(count, self.written - len(set(self.brought)))):
            async with asyncio.timeout(PATIENCE_S):
                self.brought.append((await anext(self.messages)).payload)
        await self._look()

    async def _look(self) -> None:
        """It asks for another one, which acknowledges the last; what comes is not taken. Without one it has looked at the file."""
        waiting = asyncio.ensure_future(anext(self.messages))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.sleep(0)
            while not (waiting.done() or self._settled()):
                await asyncio.sleep(0.001)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await self.messages.aclose()
        self.messages = self.source.messages()

    def _settled(self) -> bool:
        (tail,) = self.source._tails
        if tail._skip or not self.file.exists():
            return not tail._skip
        return tail._file is not None and os.fstat(tail._file.fileno()).st_ino == self.file.stat().st_ino

    async def restart(self, *, killed: bool = False) -> None:
        if not killed:
            await self._look()
        await self.messages.aclose()
        await self.source.close()
        self.source, self.messages = self._begin()

    async def rest(self) -> None:
        """Everything that is left."""
        while self.written > len(set(self.brought)):
            async with asyncio.timeout(PATIENCE_S):
                self.brought.append((await anext(self.messages)).payload)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_source, "LOOK_S", 0.001)


@pytest.mark.parametrize("rotate", [None, Followed.rename, Followed.copy_and_empty])
async def test_what_comes_while_nobody_reads_is_read(rotate: Callable[[Followed], None] | None, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"what was there before\n")
    it = Followed(tmp_path)
    await it._look()
    it.append(60)
    await it.take(50)
    await it.messages.aclose()
    it.append(5)
    if rotate is not None:
        rotate(it)
        it.append(3)
    await it.restart(killed=True)
    await it.rest()
    assert it.brought == [line(n) for n in range(it.written)]
    await it.restart()
    it.append()
    await it.rest()
    assert it.brought == [line(n) for n in range(it.written)]
    await it.restart()
    await it.source.close()


async def test_a_file_that_comes_while_nobody_reads_is_read_from_its_beginning(tmp_path: Path) -> None:
    it = Followed(tmp_path)
    await it._look()
    await it.restart()
    it.append(3)
    await it.restart()
    await it.rest()
    assert it.brought == [line(n) for n in range(3)]
    await it.source.close()


STEPS = st.lists(
    st.sampled_from(["append", "append", "take", "take", "restart", "rename", "ended", "blank"]), max_size=25
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans())
def test_every_line_comes_once_in_order(steps: list[str], from_beginning: bool) -> None:
    async def story(folder: Path) -> None:
        it = Followed(folder, from_beginning=from_beginning)
        await it._look()
        rotated = False
        for step in steps:
            if step == "append":
                it.append(7)
            elif step == "take":
                await it.take(5)
            elif step == "restart":
                await it.restart()
            elif step == "blank":
                with it.file.open("ab") as f:
                    f.write(b"\n")
            elif step == "rename" and not rotated and it.file.exists():
                await it._look()  # one that nobody ever saw is nobody's
                it.rename()
                rotated = True
            elif step == "ended":  # it was read to its end: another rotation may come
                await it.rest()
                await it._look()
                await it._look()
                rotated = False
        await it.rest()
        await it.messages.aclose()
        await it.source.close()
        assert it.brought == [line(n) for n in range(it.written)]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))


async def test_a_process_that_dies_brings_at_most_the_last_line_again(tmp_path: Path) -> None:
    it = Followed(tmp_path, from_beginning=True)
    it.append(10)
    for _ in range(4):  # the log has it, and the process is gone before it is asked for the next one
        it.brought.append((await anext(it.messages)).payload)
    await it.restart(killed=True)
    await it.rest()
    assert it.brought == [line(n) for n in (0, 1, 2, 3, 3, *range(4, 10))]
    await it.restart()
    await it.source.close()


async def test_the_end_of_an_intake_waits_for_what_is_on_its_way(tmp_path: Path) -> None:
    log, options = Log(), SourceSettings(use=("file",), files=(tmp_path / "t.jsonl",), places=tmp_path / "places")
    (tmp_path / "t.jsonl").write_bytes(b"")
    for life in range(3):
        intake = SourceIntake(FileSource(options), ReceiverSettings(coalesce_ms=20), log.send)
        intake.start()
        await asyncio.sleep(0.05)
        with (tmp_path / "t.jsonl").open("ab") as f:
            for n in range(20):
                f.write(line(20 * life + n) + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            while len(log.taken) < 20 * life + 3:
                await asyncio.sleep(0.001)
        await intake.stop()
    intake = SourceIntake(FileSource(options), ReceiverSettings(coalesce_ms=20), log.send)
    intake.start()
    async with asyncio.timeout(PATIENCE_S):
        while len(log.taken) < 60:
            await asyncio.sleep(0.001)
    await intake.stop()
    assert [value for _, value in log.taken] == [line(n) for n in range(60)]


def test_a_place_is_known_again_and_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"x" * 2000)
    other.write_bytes(b"y" * 2000)
    with file.open("rb") as f:
        place = FilePlace.of(f, 1500)
        assert place.is_in(f)
    with other.open("rb") as f:
        assert not place.is_in(f)
    file.unlink()
    assert find(file, place) is None
    assert find(tmp_path / "nowhere" / "a", place) is None
    other.write_bytes(b"x" * 1800)
    found = find(file, place)
    assert found is not None, "a copy"
    found.close()
    assert find(file, FilePlace()) is None


def test_what_cannot_be_kept_or_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_bytes(b"no folder")
    kept = KeptPlace(tmp_path / "taken", tmp_path / "a")
    with caplog.at_level(logging.ERROR):
        kept.keep(FilePlace())
        kept.keep(FilePlace())
    assert caplog.text.count("can't be kept") == 1, "once"
    kept = KeptPlace(tmp_path / "places", tmp_path / "a")
    assert kept.load() is None
    kept.keep(FilePlace(offset=123456, inode=3))
    kept.keep(FilePlace(offset=7))
    kept.close()
    assert kept.load() == FilePlace(offset=7), "a shorter text leaves nothing of a longer one"
    (place,) = (tmp_path / "places").iterdir()
    assert place.stat().st_mode & 0o077 == 0
    place.write_bytes(b"{")
    assert kept.load() is None
    assert "as if anew" in caplog.text
