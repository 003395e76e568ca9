"""The source `file`: lines of OTLP JSON as the Collector's file exporter writes them, followed as the files grow."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import IO, Final

from connectors.otlp.recording import topic_of
from connectors.sources.kept_place import FilePlace, KeptPlace, find
from contracts.errors import InvalidSettings
from contracts.ports import Telemetry
from contracts.settings import SourceSettings

LOOK_S: Final = 0.2
_AT_ONCE: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""A line longer than this is no telemetry: it is passed on in pieces, so that it is dead-lettered and memory stays bounded."""


class FileSource:
    """Follows `sources.files`: what is appended from now on, or all of it (`sources.from_beginning`). A file that is replaced or
    emptied is read from its beginning. With `sources.places` a restart goes on behind the last line that the log has; what was appended,
    or rotated away within its folder, meanwhile is read first."""

    name = "file"

    def __init__(self, settings: SourceSettings) -> None:
        if not settings.files:
            raise InvalidSettings("the source `file` needs files", fix="set sources.files")
        self._tails = [
            _Tail(path, settings.from_beginning, KeptPlace(settings.places, path)) for path in settings.files
        ]

    async def messages(self) -> AsyncGenerator[Telemetry]:
        """Lines as messages, in the order of each file; files in turn."""
        while True:
            idle = True
            for tail in self._tails:
                if not tail.waiting:
                    await asyncio.to_thread(tail.read)
                while tail.waiting:
                    idle, line = False, tail.waiting[0][0]
                    yield Telemetry(topic_of(line), line)
                    tail.passed()  # asked for the next one: the log has this one
            if idle:
                await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Close the files."""
        for tail in self._tails:
            await asyncio.to_thread(tail.end)


class _Tail:
    """One file and how far it was read."""

    def __init__(self, path: Path, from_beginning: bool, kept: KeptPlace) -> None:
        self._path, self._skip, self._kept = path, not from_beginning, kept
        self._before = kept.load()
        self._offset = 0
        self._file: IO[bytes] | None = None
        self._rest = b""
        self.waiting: deque[tuple[bytes, FilePlace]] = deque()
        """Lines that were read, each with the place behind it, and that the log may not have yet."""
        self._lock, self._ended = threading.Lock(), False
        """Whoever is cancelled while a thread reads leaves that thread behind."""

    def passed(self) -> None:
        """The log has the first of the waiting lines."""
        _, place = self.waiting.popleft()
        self._kept.keep(place)

    def read(self) -> None:
        """Have whole lines that came since wait, at most about a megabyte of them; blank ones are passed over."""
        with self._lock:
            if not self._ended:
                self.waiting.extend(self._lines())

    def end(self) -> None:
        """Close it for good."""
        with self._lock:
            self._ended = True
            self._close()
            self._kept.close()

    def _lines(self) -> list[tuple[bytes, FilePlace]]:
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        read = self._file.read(_AT_ONCE)
        if not read:
            self._look()
            return []
        *whole, self._rest = (self._rest + read).split(b"\n")
        ends = [len(raw) + 1 for raw in whole]
        if len(self._rest) > _LONGEST:
            whole, ends, self._rest = [*whole, self._rest], [*ends, len(self._rest)], b""
        found = []
        for raw, size in zip(whole, ends, strict=True):
            self._offset += size
            if line := raw.strip():
                found.append((line, FilePlace.of(self._file, self._offset)))
        return found

    def _close(self) -> None:
        """Close it; it is opened anew, from its beginning, when lines are asked for."""
        file, self._file, self._rest = self._file, None, b""
        if file is not None:
            file.close()

    def _open(self) -> bool:
        """Open it once it is there: behind what a former life read, in the file that it read, or else, unless all is wanted, behind what
        it held before the first look."""
        before, self._before = self._before, None
        if before is not None:
            self._skip = False
            self._file = find(self._path, before)
        if self._file is not None and before is not None:
            self._offset = self._file.seek(before.offset)
            return True
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            if self._skip:
                self._kept.keep(FilePlace())
            self._skip = False  # whatever it will hold is new
            return False
        self._offset = self._file.seek(0, os.SEEK_END if self._skip else os.SEEK_SET)
        self._kept.keep(FilePlace.of(self._file, self._offset))  # nothing waits: the log has all of the file before
        self._skip = False
        return True

    def _look(self) -> None:
        """Whether it is still that file, and not shorter than it was."""
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return
        if (here.st_ino, here.st_dev) != (there.st_ino, there.st_dev) or there.st_size < self._file.tell():
            self._close()
