"""The data folder: private to its owner, of one `homeostat up` at a time; whether it can be written, and how much room is left."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import Final

from contracts.errors import InvalidSettings
from contracts.file_modes import private_folder

log = logging.getLogger(__name__)
LOCK: Final = "up.lock"
_TAKEN: Final = (errno.EAGAIN, errno.EACCES)
LEAST_BYTES: Final = 50_000_000
"""Below this much room the next snapshot, journal entry or graph page may not fit."""


def prepare(folder: Path) -> None:
    """Make the folder if it isn't there, for its owner alone, and see that files can be written in it.

    Raises:
        InvalidSettings: it can't be made, or nothing can be written.
    """
    try:
        private_folder(folder)
    except OSError as e:
        raise InvalidSettings(f"the data folder {folder} cannot be made: {_words(e)}", fix=_FIX) from e
    found = unwritable(folder)
    if found:
        raise InvalidSettings(f"the data folder {folder} cannot be written: {found}", fix=_FIX)


def unwritable(folder: Path) -> str:
    """Why no file can be written there now; empty if one can."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        with probe.open("wb") as f:
            f.write(b"x" * 4096)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        return _words(e)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return ""


def free_bytes(folder: Path) -> int | None:
    """Room left where the folder is; None if that can't be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class FolderLock:
    """Holds a folder for this process, from `take` to `release` or its death."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None

    def take(self) -> None:
        """Claim the folder; returns or raises at once.

        Raises:
            InvalidSettings: another process has it (reason folder_in_use).
        """
        path = self._folder / LOCK
        try:
            file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise InvalidSettings(f"the data folder {self._folder} cannot be written: {_words(e)}", fix=_FIX) from e
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            holder = os.pread(file, 20, 0).decode(errors="replace").strip()
            if e.errno not in _TAKEN:  # a file system without locks
                log.warning("%s can't be locked (%s): see to it that only one process uses it", path, e.strerror)
                self._file = file
                return
            os.close(file)
            raise InvalidSettings(
                f"{self._folder} is in use by another `homeostat up`" + (f" (process {holder})" if holder else ""),
                reason="folder_in_use",
                fix="stop that one, or give this one a folder of its own: --data-dir",
            ) from e
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Let go. The file stays: who removes it could remove another's. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


_FIX: Final = "give this user the right to write there, or set another data_dir"
