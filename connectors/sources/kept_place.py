"""Where a source has come to in a file, kept in a file of its own: a restart goes on there, also where the file was rotated meanwhile."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import IO, Final

import msgspec

log = logging.getLogger(__name__)
CHECKED: Final = 1024
"""Bytes before a place by which it is known again: an inode may be another file's later, or the same be emptied and grow again."""
_SIZE: Final = 256


class FilePlace(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file was read: all before `offset`. `check` is a digest of the last bytes before. A file that was not there has no
    inode, and is read from its beginning when it comes."""

    device: int = 0
    inode: int = 0
    offset: int = 0
    check: str = ""

    @classmethod
    def of(cls, file: IO[bytes], offset: int) -> FilePlace:
        """The place at `offset` in an open file."""
        stat = os.fstat(file.fileno())
        return cls(device=stat.st_dev, inode=stat.st_ino, offset=offset, check=_check(file, offset))

    def is_in(self, file: IO[bytes]) -> bool:
        """Whether an open file, or what it is a copy of, was read so far."""
        return os.fstat(file.fileno()).st_size >= self.offset and _check(file, self.offset) == self.check


class KeptPlace:
    """The place of one followed file, in a file of `folder` (None: it is not kept)."""

    def __init__(self, folder: Path | None, followed: Path) -> None:
        name = hashlib.blake2b(os.fsencode(followed.absolute()), digest_size=8).hexdigest()
        self._path = None if folder is None else folder / f"{followed.name}.{name}.json"
        self._file: IO[bytes] | None = None
        self._failing = False

    def load(self) -> FilePlace | None:
        """What was kept; None if nothing was, or nothing that can be read (which is logged)."""
        if self._path is None or not self._path.exists():
            return None
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=FilePlace)
        except (msgspec.DecodeError, OSError) as e:
            log.warning("%s does not say how far its file was read (%s): it is followed as if anew", self._path, e)
            return None

    def keep(self, place: FilePlace) -> None:
        """Keep it, whatever becomes of this process: one write of one block, over the one before. Where that can't be done it is
        logged, once, and telemetry goes on: a restart may bring some of it again."""
        if self._path is None:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
            os.pwrite(self._file.fileno(), msgspec.json.encode(place).ljust(_SIZE), 0)
        except OSError as e:
            if not self._failing:
                log.error("how far its file was read can't be kept in %s: %s; said once until it can", self._path, e)
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Close its file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def find(followed: Path, place: FilePlace) -> IO[bytes] | None:
    """The file of a place, opened, under whatever name it has by now in the folder of the one that is followed: itself, or else a copy
    that was made of it before it was emptied. None if it is gone."""
    for path in _candidates(followed, place):
        try:
            file = path.open("rb")
        except OSError:
            continue
        if place.is_in(file):
            return file
        file.close()
    return None


def _candidates(followed: Path, place: FilePlace) -> Iterator[Path]:
    if not place.inode:
        return
    try:
        found = [(Path(e.path), e.stat()) for e in os.scandir(followed.parent) if S_ISREG(e.stat().st_mode)]
    except OSError:
        return
    yield from (path for path, stat in found if (stat.st_dev, stat.st_ino) == (place.device, place.inode))
    if place.offset >= CHECKED:  # less may well stand in another file, too
        yield from sorted(path for path, stat in found if stat.st_ino != place.inode and stat.st_size >= place.offset)


def _check(file: IO[bytes], offset: int) -> str:
    size = min(offset, CHECKED)
    return hashlib.blake2b(os.pread(file.fileno(), size, offset - size), digest_size=16).hexdigest()
