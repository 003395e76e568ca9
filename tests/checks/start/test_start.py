"""What a person sees when Homeostat cannot start: one clear line that says what to do, exit status 1 or 2, no stack trace."""

from __future__ import annotations

import itertools
import logging
import socket
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from homeostat.cli import main

PORTS = ("--grpc-port", "0", "--http-port", "0", "--api-port", "0")


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str

    def line(self) -> str:
        """The one line it ended with; fails if it ended otherwise."""
        assert self.status == 1, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("homeostat: ")]
        assert len(lines) == 1, self.err
        return lines[0]


Run = Callable[..., Said]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """The command line as `main` runs it, in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run_here(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["homeostat", "--data-dir", str(tmp_path / "data"), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(int(ended.value.code or 0), out, err)

    yield run_here
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nobody listens, and nobody can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock while something is tried again finds it a second later, however long an attempt takes."""
    ticks = itertools.count(0.0)
    monkeypatch.setattr("contracts.retry.time", types.SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("counted")
def test_no_broker(here: Run, closed: int) -> None:
    found = here("--set", "broker.retry_s=2", "worker", "--broker", f"kafka://127.0.0.1:{closed}")
    line = found.line()
    assert f"Kafka at 127.0.0.1:{closed} cannot be reached" in line
    assert "check broker.url" in line
    assert "trying again in 0.5 s" in found.err


@pytest.mark.usefixtures("counted")
def test_no_neo4j(here: Run, closed: int) -> None:
    neo4j = ("--set", "graph.store=neo4j", "--set", f"graph.url=bolt://127.0.0.1:{closed}")
    found = here(*neo4j, "--set", "graph.retry_s=2", "up", *PORTS)
    line = found.line()
    assert f"127.0.0.1:{closed}" in line
    assert "trying again in 0.5 s" in found.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--set", "detect.warmup=3", "up"),
            ("detect.warmup: unknown setting", "did you mean 'detect.warmup_windows'?"),
        ),
        (("--set", "broker.partitions=none", "up"), ("broker.partitions", "valid integer")),
        (("--set", "graph.store=neo5j", "up", *PORTS), ("unknown graph store 'neo5j'", "did you mean 'neo4j'?")),
        (("--set", "act.actuators=[dry-rum]", "up", *PORTS), ("unknown actuator", "did you mean 'dry-run'?")),
        (("--set", "nonsense", "up"), ("SECTION.FIELD=VALUE is expected",)),
        (("worker",), ("a worker needs Kafka", "--broker kafka://host:9092")),
        (("watch",), ("no running `homeostat up` uses", "start it")),
        (("graph", "query", "RETURN 1"), ("there is no knowledge graph in",)),
        (("why",), ("there is no knowledge graph in",)),
    ],
)
def test_what_cannot_be(here: Run, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    line = here(*arguments).line()
    assert all(word in line for word in words), line


def test_a_bad_variable_names_itself(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEOSTAT_DETECT__OPEN_P", "7")
    assert "detect.open_p" in here("settings").line()


def test_an_unknown_command(here: Run) -> None:
    found = here("wacth")
    assert found.status == 2
    assert "No such command 'wacth'. Did you mean 'watch'?" in found.err


def test_a_settings_file_that_is_none(here: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("detect: [1, 2\n")
    assert "settings.yaml" in here("--config", str(file), "settings").line()
