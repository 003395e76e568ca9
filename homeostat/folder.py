"""The data folder: whether what must outlive the process can be written there, and how much room is left."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from contracts.errors import InvalidSettings

LEAST_BYTES: Final = 50_000_000
"""Below this much room the next snapshot, journal entry or graph page may not fit."""


def prepare(folder: Path) -> None:
    """Make the folder if it isn't there, and see that files can be written in it.

    Raises:
        InvalidSettings: it can't be made, or nothing can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
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


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


_FIX: Final = "give this user the right to write there, or set another data_dir"
