"""Opening the embedded graph's file whatever state it is in: what can't be read is set aside, and a new one begun.

The graph is history for questions; diagnosis doesn't read it. So a damaged file must not keep Homeostat from its work, and nothing of
it is deleted: it stays beside the new one under another name, the last few of them.

A damaged file may also end the process that opens it, or hold it up for ever. So one that wasn't closed properly is tried in a process
of its own first, which may take its time and may die.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from contracts.errors import GraphUnavailable, HomeostatError
from contracts.file_modes import private_files
from contracts.ports import SystemClock
from graph.stores.ladybug import DAMAGED, LOCKED, LadybugStore, opening

log = logging.getLogger(__name__)
PROBE_S: Final = 60.0
_KEPT: Final = 2
_DIGITS: Final = 19  # of a time in nanoseconds
_OPEN: Final = ".open"
_ASIDE: Final = ".damaged-"
_READABLE, _LOCKED, _DAMAGED = 0, 3, 4


def open_whole(path: Path, *, probe_s: float = PROBE_S) -> LadybugStore:
    """The store in a file, with its schema up to date; a new one where the file was damaged.

    Raises:
        GraphUnavailable: another process has it open (reason graph_locked), or disk or rights forbid it.
        Permanent: it was written by a later release (reason newer_schema).
    """
    marker = path.with_name(path.name + _OPEN)
    if marker.exists() and path.exists():
        _probe(path, probe_s)
    try:
        store = _open(path, marker)
    except GraphUnavailable as e:
        if e.reason != DAMAGED:
            raise
        set_aside(path, str(e))
        store = _open(path, marker)
    private_files(_files(path))
    return store


def set_aside(path: Path, why: str) -> Path:
    """Rename the file, and what belongs to it; its new name. Those set aside long ago are deleted."""
    aside = path.with_name(f"{path.name}{_ASIDE}{SystemClock().now_ns()}")
    for file in list(_files(path)):
        file.rename(aside.with_name(aside.name + file.name.removeprefix(path.name)))
    log.warning("the graph's file was damaged, its history is set aside as %s and a new one begins: %s", aside, why)
    earlier = sorted(path.parent.glob(f"{path.name}{_ASIDE}*"))
    named = sorted({f.name.removeprefix(path.name + _ASIDE)[:_DIGITS] for f in earlier})
    for file in earlier:
        if file.name.removeprefix(path.name + _ASIDE)[:_DIGITS] in named[:-_KEPT]:
            file.unlink(missing_ok=True)
    return aside


def _open(path: Path, marker: Path) -> LadybugStore:
    """Open and migrate. While the file is open, and after a crash, the marker is there."""
    fresh = not marker.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        marker.touch(mode=0o600)
    except OSError as e:
        raise GraphUnavailable(f"{path}: {e.strerror}", fix="set data_dir to a writable folder") from e
    try:
        store = LadybugStore(path, on_close=lambda: marker.unlink(missing_ok=True))
        try:
            with opening(str(path)):
                store.migrate()
        except BaseException:
            store.close()
            raise
    except BaseException:
        if fresh:
            marker.unlink(missing_ok=True)
        raise
    return store


def _files(path: Path) -> Iterable[Path]:
    """The file and what Ladybug keeps beside it."""
    return (
        f for f in path.parent.glob(f"{path.name}*") if not f.name.startswith((path.name + _ASIDE, path.name + _OPEN))
    )


def _probe(path: Path, patience_s: float) -> None:
    """Open a file that wasn't closed properly in a process of its own, and set it aside if that dies or does not come back."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.recovery", str(path)],
            capture_output=True,
            timeout=patience_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        set_aside(path, f"it could not be opened in {patience_s:g} s")
        return
    if done.returncode not in (_READABLE, _LOCKED):
        said = done.stdout.decode(errors="replace").strip()
        set_aside(path, said or f"who opened it ended with {done.returncode}")


def _try(path: Path) -> int:
    """What the process of its own does: open, and count."""
    try:
        store = LadybugStore(path)
        with opening(str(path)):
            store.migrate()
            store.query("MATCH (n) RETURN count(*) AS n")
            store.query("MATCH ()-[r]->() RETURN count(*) AS n")
        store.close()
    except HomeostatError as e:
        if e.reason in (LOCKED, "newer_schema"):
            return _LOCKED
        sys.stdout.write(str(e))
        return _DAMAGED
    return _READABLE


if __name__ == "__main__":
    raise SystemExit(_try(Path(sys.argv[1])))
