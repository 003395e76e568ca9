"""The sink `file`: one JSON object per line, appended to a file, for whatever ships log files."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from contracts.errors import InvalidSettings, Retryable
from contracts.file_modes import private_file
from contracts.ports import PUBLISHED, Published
from contracts.settings import SinkSettings


def as_object(event: Published) -> dict[str, Any]:
    """An event as the built-in sinks write it: its name, where it was published, and itself."""
    return {"id": event.id, "topic": event.topic, "key": event.key, "event": msgspec.Raw(event.value)}


class FileSink:
    """Appends to `sinks.file`, which is opened anew for each delivery, so that it may be rotated, and which workers may share."""

    name = "file"
    topics = frozenset(PUBLISHED)

    def __init__(self, settings: SinkSettings) -> None:
        if settings.file is None:
            raise InvalidSettings("the sink `file` needs a file", fix="set sinks.file")
        self._file = settings.file

    async def deliver(self, events: Sequence[Published]) -> None:
        """Append a line for each event. They are on the disk when this returns; Retryable where they can't be written."""
        lines = b"".join(msgspec.json.encode(as_object(event)) + b"\n" for event in events)
        if not lines:
            return
        try:
            await asyncio.to_thread(_append, self._file, lines)
        except OSError as e:
            raise Retryable(f"{self._file}: {e.strerror or e}") from e

    async def close(self) -> None:
        """Nothing is kept open."""


def _append(path: Path, lines: bytes) -> None:
    if not path.exists():  # afterwards who may read it, a shipper of logs say, is for its owner to say
        private_file(path)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)  # workers may share the file: a line of one is never within a line of another
        end = os.fstat(file).st_size
        if end and os.pread(file, 1, end - 1) != b"\n":  # a process died within a line
            lines = b"\n" + lines
        while lines:
            lines = lines[os.write(file, lines) :]
        os.fsync(file)
    finally:
        os.close(file)
