"""The data folder is private, and of one process at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sqlite_file import Database, Schema
from contracts.errors import InvalidSettings
from contracts.file_modes import private_file, private_folder
from homeostat.data_folder import FolderLock, prepare
from homeostat.endpoints import Endpoints, publish

_TAKE = "import sys; from pathlib import Path; from homeostat.data_folder import FolderLock; FolderLock(Path(sys.argv[1])).take(); print('taken', flush=True); sys.stdin.read()"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_claimed_once_until_its_process_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with pytest.raises(InvalidSettings, match=f"process {holder.pid}") as caught:
            FolderLock(tmp_path).take()
        assert caught.value.reason == "folder_in_use"
        holder.kill()
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    with pytest.raises(InvalidSettings, match=f"process {os.getpid()}"):
        second.take()
    first.release()
    first.release()
    second.take()
    second.release()


def test_folders_and_files_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    prepare(folder)
    assert mode(folder) == 0o700
    Database(folder / "a.sqlite", Schema("connectors.state.migrations")).close()
    endpoints = Endpoints(pid=1, broker="", api="")
    publish(folder, endpoints)
    assert {f.name: mode(f) for f in folder.iterdir()} == {"a.sqlite": 0o600, "endpoints.json": 0o600}
    prepare(folder / "in" / "between")
    assert mode(folder / "in" / "between") == 0o700


def test_what_earlier_releases_left_open_is_tightened(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "a.sqlite"
    file.touch()
    file.chmod(0o644)
    prepare(tmp_path)
    Database(file, Schema("connectors.state.migrations")).close()
    assert (mode(tmp_path), mode(file)) == (0o700, 0o600)


def test_what_a_group_shares_on_purpose_stays_shared(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    private_folder(tmp_path)
    private_file(tmp_path / "a")
    (tmp_path / "b").touch()
    (tmp_path / "b").chmod(0o666)
    private_file(tmp_path / "b")
    assert (mode(tmp_path), mode(tmp_path / "b")) == (0o2770, 0o660)
    assert mode(tmp_path / "a") & 0o007 == 0


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_folder(tmp_path / "data")
        private_file(tmp_path / "data" / "a")
    finally:
        os.umask(before)
    assert (mode(tmp_path / "data"), mode(tmp_path / "data" / "a")) == (0o700, 0o600)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSettings, match=r"data_dir|data folder"):
        prepare(tmp_path / "file" / "data")
    with pytest.raises(InvalidSettings, match=r"data_dir|data folder"):
        FolderLock(tmp_path / "file").take()
