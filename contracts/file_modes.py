"""Folders and files that only their owner may read: they hold what telemetry says, who approved what, and addresses.

What somebody shares on purpose stays shared: a folder that its group may write to is that group's, as are the files in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_GROUP: Final = stat.S_IRWXG
_OTHERS: Final = stat.S_IRWXO


def private_folder(folder: Path) -> None:
    """Make a folder for its owner alone; take from an existing one of ours what others may, unless its group may write.

    Raises:
        OSError: it can't be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tighten(folder)


def private_file(path: Path) -> None:
    """Make an empty file for who may write to its folder, if there is none; else as `private_folder`.

    Raises:
        OSError: it can't be made.
    """
    shared = bool(path.parent.stat().st_mode & stat.S_IWGRP)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o660 if shared else 0o600))
    except FileExistsError:  # not opened: closing a file drops all locks that this process has on it (POSIX, fcntl)
        _tighten(path)


def private_files(paths: Iterable[Path]) -> None:
    """The same of files that somebody else made, where they are still there."""
    for path in paths:
        _tighten(path)


def _tighten(path: Path) -> None:
    try:
        found = path.stat()
        if found.st_uid != os.geteuid():
            return
        mode = stat.S_IMODE(found.st_mode)
        wanted = mode & ~_OTHERS if mode & stat.S_IWGRP else mode & ~(_GROUP | _OTHERS)
        if wanted != mode:
            path.chmod(wanted)
    except FileNotFoundError:
        return
