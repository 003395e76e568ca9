"""A damaged graph file is set aside and a new graph begun, whatever is wrong with it; a whole one never is."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.checks import graph_rows as rows
from contracts.errors import GraphUnavailable, Permanent
from contracts.settings import GraphSettings
from graph.stores import graph_file, open_reader, open_store
from graph.stores.ladybug import LadybugStore
from graph.stores.recovery import open_whole, set_aside

Damage = Callable[[bytes, random.Random], bytes]
DAMAGES: dict[str, Damage] = {
    "cut to a page": lambda data, _: data[:4096],
    "cut to a hundred bytes": lambda data, _: data[:100],
    "cut in half": lambda data, _: data[: len(data) // 2],
    "zeros": lambda data, _: bytes(len(data)),
    "noise": lambda data, rng: rng.randbytes(len(data)),
    "noise after the header": lambda data, rng: data[:4096] + rng.randbytes(len(data) - 4096),
    "noise in the header": lambda data, rng: data[:20] + rng.randbytes(40) + data[60:],
    "something else": lambda data, _: b"hello\n" * 100,
    "of another version": lambda data, _: data[:4] + b"\xff" + data[5:],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a graph."""
    folder = tmp_path_factory.mktemp("whole")
    store = open_store(GraphSettings(), folder)
    store.write("upsert_services", [rows.service(f"s{i}") for i in range(300)])
    store.close()
    return graph_file(folder).read_bytes()


def services(folder: Path) -> int:
    """Services in a graph that is opened, and can be written to."""
    store = open_store(GraphSettings(), folder)
    found = store.query("MATCH (s:Service) RETURN count(*) AS n")[0]["n"]
    store.write("upsert_services", [rows.service("new")])
    store.close()
    return int(found)


def aside(folder: Path) -> list[bytes]:
    """What was set aside, oldest first."""
    return [f.read_bytes() for f in sorted(folder.glob("graph.lbug.damaged-*"))]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(name: str, whole: bytes, tmp_path: Path) -> None:
    damaged = DAMAGES[name](whole, random.Random(1))
    graph_file(tmp_path).write_bytes(damaged)
    with pytest.raises(GraphUnavailable, match="damaged") as caught:
        open_reader(GraphSettings(), tmp_path, "http://127.0.0.1:1")
    assert caught.value.reason == "graph_damaged"
    assert services(tmp_path) == 0
    assert aside(tmp_path) == [damaged]
    assert services(tmp_path) == 1
    assert len(aside(tmp_path)) == 1


def test_a_damaged_log_of_writes_goes_with_its_file(whole: bytes, tmp_path: Path) -> None:
    graph_file(tmp_path).write_bytes(whole)
    (tmp_path / "graph.lbug.wal").write_bytes(b"\x01" * 5000)
    assert services(tmp_path) == 0
    assert aside(tmp_path) == [whole, b"\x01" * 5000]


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    for n in range(5):
        graph_file(tmp_path).write_bytes(bytes([n]))
        set_aside(graph_file(tmp_path), "test")
    assert aside(tmp_path) == [b"\x03", b"\x04"]


def test_a_whole_file_is_kept_after_a_crash(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from graph.stores.recovery import open_whole;"
        "from contracts.checks import graph_rows as rows; store = open_whole(Path(sys.argv[1]));"
        "store.write('upsert_services', [rows.service('a')]); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(graph_file(tmp_path))], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert services(tmp_path) == 1
    assert not aside(tmp_path)
    assert not (tmp_path / "graph.lbug.open").exists()


def test_a_file_that_holds_up_who_opens_it_is_tried_elsewhere_first(whole: bytes, tmp_path: Path) -> None:
    graph_file(tmp_path).write_bytes(whole)
    (tmp_path / "graph.lbug.open").touch()
    store = open_whole(graph_file(tmp_path), probe_s=0.001)
    assert store.query("MATCH (s:Service) RETURN count(*) AS n") == [{"n": 0}]
    store.close()
    assert aside(tmp_path) == [whole]


def test_a_file_that_ends_who_opens_it_is_set_aside(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_file(tmp_path).write_bytes(whole)
    (tmp_path / "graph.lbug.open").touch()
    dies = tmp_path / "dies"
    dies.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dies.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(dies))
    open_whole(graph_file(tmp_path)).close()
    assert aside(tmp_path) == [whole]


def test_a_file_that_is_open_elsewhere_is_left_alone(whole: bytes, tmp_path: Path) -> None:
    graph_file(tmp_path).write_bytes(whole)
    code = (
        "import sys; from pathlib import Path; from graph.stores.recovery import open_whole;"
        "store = open_whole(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read(); store.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(graph_file(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(GraphUnavailable) as caught:
            open_store(GraphSettings(), tmp_path)
        assert caught.value.reason == "graph_locked"
        assert (tmp_path / "graph.lbug.open").exists(), "who has it open may still crash"
        holder.communicate("")
    assert not aside(tmp_path)
    assert services(tmp_path) == 300


def test_a_file_of_a_later_release_is_no_damage(tmp_path: Path) -> None:
    store = LadybugStore(graph_file(tmp_path))
    store.migrate()
    store.query("CREATE (:SchemaVersion {version: 999})", read_only=False)
    store.close()
    (tmp_path / "graph.lbug.open").touch()
    with pytest.raises(Permanent, match="schema version 999"):
        open_store(GraphSettings(), tmp_path)
    assert not aside(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_folder_that_may_not_be_written_is_no_damage(whole: bytes, tmp_path: Path) -> None:
    graph_file(tmp_path).write_bytes(whole)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(GraphUnavailable):
            open_store(GraphSettings(), tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert not aside(tmp_path)
