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
from contracts.errors import InvalidSettings
from contracts.ports import Telemetry
from contracts.settings import SourceSettings

LOOK_S: Final = 0.2
_AT_ONCE: Final = 1 << 20
_LONGEST: Final = 64 << 20
"""A line longer than this is no telemetry: it is passed on in pieces, so that it is dead-lettered and memory stays bounded."""


class FileSource:
    """Follows `sources.files`: what is appended from now on, or all of it (`sources.from_beginning`). A file that is replaced or
    emptied is read from its beginning."""

    name = "file"

    def __init__(self, settings: SourceSettings) -> None:
        if not settings.files:
            raise InvalidSettings("the source `file` needs files", fix="set sources.files")
        self._tails = [_Tail(path, settings.from_beginning) for path in settings.files]

    async def messages(self) -> AsyncGenerator[Telemetry]:
        """Lines as messages, in the order of each file; files in turn."""
        while True:
            idle = True
            for tail in self._tails:
                if not tail.waiting:
                    tail.waiting.extend(await asyncio.to_thread(tail.lines))
                while tail.waiting:
                    idle = False
                    yield Telemetry(topic_of(tail.waiting[0]), tail.waiting[0])
                    tail.waiting.popleft()  # asked for the next one: the log has this one
            if idle:
                await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """Close the files."""
        for tail in self._tails:
            await asyncio.to_thread(tail.end)


class _Tail:
    """One file and how far it was read."""

    def __init__(self, path: Path, from_beginning: bool) -> None:
        self._path, self._skip = path, not from_beginning
        self._file: IO[bytes] | None = None
        self._rest = b""
        self.waiting: deque[bytes] = deque()
        """Lines that were read, and that the log may not have yet."""
        self._lock, self._ended = threading.Lock(), False
        """Whoever is cancelled while a thread reads leaves that thread behind."""

    def lines(self) -> list[bytes]:
        """Whole lines that came since, at most about a megabyte of them; blank ones are passed over."""
        with self._lock:
            return [] if self._ended else self._lines()

    def end(self) -> None:
        """Close it for good."""
        with self._lock:
            self._ended = True
            self._close()

    def _lines(self) -> list[bytes]:
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        read = self._file.read(_AT_ONCE)
        if not read:
            self._look()
            return []
        *whole, self._rest = (self._rest + read).split(b"\n")
        if len(self._rest) > _LONGEST:
            whole, self._rest = [*whole, self._rest], b""
        return [line for raw in whole if (line := raw.strip())]

    def _close(self) -> None:
        """Close it; it is opened anew, from its beginning, when lines are asked for."""
        file, self._file, self._rest = self._file, None, b""
        if file is not None:
            file.close()

    def _open(self) -> bool:
        """Open it once it is there: what it held before the first look isn't read unless that is wanted."""
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._skip = False  # whatever it will hold is new
            return False
        if self._skip:
            self._file.seek(0, os.SEEK_END)
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
