"""The small file by which other commands find the running process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import BrokerUnavailable
from homeostat.endpoints import NAME, Endpoints, broker_address, publish, running, withdraw

MINE = Endpoints(pid=os.getpid(), broker="127.0.0.1:9", api="http://127.0.0.1:8", otlp_http="http://127.0.0.1:4318")


def dead() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_is_published_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    assert running(tmp_path) is None
    publish(tmp_path, MINE)
    assert running(tmp_path) == MINE
    assert [p.name for p in tmp_path.iterdir()] == [NAME], "nothing half written is left"
    withdraw(tmp_path)
    assert running(tmp_path) is None
    withdraw(tmp_path)


def test_of_a_process_that_died_nothing_is_believed_and_the_next_one_takes_its_place(tmp_path: Path) -> None:
    publish(tmp_path, Endpoints(pid=dead(), broker="b", api="a"))
    assert running(tmp_path) is None
    publish(tmp_path, MINE)
    assert running(tmp_path) == MINE


def test_only_the_process_that_wrote_it_withdraws_it(tmp_path: Path) -> None:
    publish(tmp_path, Endpoints(pid=os.getppid(), broker="b", api="a"))
    withdraw(tmp_path)
    assert running(tmp_path) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_a_file_that_is_none_is_as_good_as_no_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert running(tmp_path) is None


def test_the_broker_given_comes_before_the_one_that_runs(tmp_path: Path) -> None:
    publish(tmp_path, MINE)
    assert broker_address(tmp_path, None) == "kafka://127.0.0.1:9"
    assert broker_address(tmp_path, "kafka://there:9092") == "kafka://there:9092"
    with pytest.raises(BrokerUnavailable, match=r"no running `homeostat up` uses .*--broker kafka://host:9092"):
        broker_address(tmp_path / "other", None)
