"""What commands tell: the same times everywhere, whole lines where a program reads, JSON wherever something is listed or shown."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from connectors.journal.sqlite import SqliteJournal
from contracts.events import ActionRecord, Anomaly, Strictness, encode
from contracts.ports import ManualClock, Record
from contracts.topics import ANOMALIES, STRICTNESS
from contracts.verdicts import AnomalyKind, AnomalyPhase, ModelStep
from graph import rendering
from homeostat import times
from homeostat.cli.app import cli
from homeostat.cli.status import lines
from homeostat.cli.watch import Teller, WatchView, render
from homeostat.status import Overview, Process
from homeostat.terminal import printable
from tests.unit.contracts.samples import EVENTS

ROOT = Path(__file__).resolve().parents[3]
AT = 1_769_860_800_250_000_000
TEXT = "2026-01-31 12:00:00.250Z"


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from leaves(found, f"{name} {inner}".strip())
    else:
        yield name, command


COMMANDS = dict(leaves(cli))
NOTHING_TO_LIST = {
    "up": "runs",
    "worker": "runs",
    "bench": "prints figures as they are measured",
    **dict.fromkeys(
        (
            "bench ingest",
            "bench detect",
            "bench receive",
            "bench quality",
            "bench graph",
            "bench mapping",
            "bench twin",
            "bench diagnose",
        ),
        "prints figures as they are measured",
    ),
    "send-raw": "sends",
    "approve": "answers",
    "adopt": "answers",
    "verdict false-alarm": "answers",
    "verdict right": "answers",
    "verdict missed": "answers",
    "deny": "answers",
    "stop-acting": "switches",
    "resume": "switches",
    "playbook schema": "is JSON",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_lists_or_shows_does_so_as_json_too(name: str) -> None:
    options = {option for p in COMMANDS[name].params for option in p.opts}
    assert ("--json" in options) or (name in NOTHING_TO_LIST), f"{name} needs --json"


@pytest.mark.parametrize("name", ["watch", "audit", "why", "status"])
def test_times_are_local_where_that_is_asked_for(name: str) -> None:
    assert "--local" in {option for p in COMMANDS[name].params for option in p.opts}


@given(st.integers(1, 4_000_000_000_000_000_000))
def test_all_write_times_alike(time_ns: int) -> None:
    assert rendering.utc(time_ns) == times.said(time_ns)
    assert times.utc(time_ns) == times.said(time_ns).replace(" ", "T")
    assert render((time_ns, "red", "x", "y")).plain.startswith(times.said(time_ns) + " ")


def test_no_module_has_a_way_of_its_own_to_write_times() -> None:
    own = re.compile(r"strftime|localtime|gmtime|%H:%M")
    allowed = {"homeostat/times.py", "graph/rendering.py", "graph/stores/recovery.py"}  # the last names a file
    shell = [p for folder in ("homeostat", "graph") for p in sorted((ROOT / folder).rglob("*.py"))]
    found = {str(p.relative_to(ROOT)) for p in shell if own.search(p.read_text("utf-8"))}
    assert found <= allowed


def test_a_time_is_utc_and_local_on_request() -> None:
    assert times.said(AT) == TEXT
    assert times.utc(AT) == "2026-01-31T12:00:00.250Z"
    assert re.fullmatch(r"2026-0[12]-\d\d \d\d:\d\d:00\.250[+-]\d{4}", times.said(AT, local=True))
    assert [times.lasting(s) for s in (5, 119, 121, 7300, 200_000)] == ["5 s", "119 s", "2 min", "2 h", "2 d"]


def piped(text: str) -> str:
    out = io.StringIO()
    WatchView(Console(file=out, width=80, highlight=False, emoji=False), False, ManualClock(AT)).show(
        (AT, "red", "kind", text)
    )
    return out.getvalue()


def test_lines_that_a_program_reads_are_whole() -> None:
    assert piped("word " * 200).count("\n") == 1


def test_watch_tells_an_anomaly_with_its_time(tmp_path: Path) -> None:
    anomaly = EVENTS["Anomaly"]
    assert isinstance(anomaly, Anomaly)
    line = Teller().line(Record(ANOMALIES, 0, 0, None, encode(anomaly), (), 0))
    assert line is not None
    assert render(line).plain.startswith(times.said(anomaly.time_ns))


def test_watch_tells_what_became_of_a_model() -> None:
    sample = EVENTS["Anomaly"]
    assert isinstance(sample, Anomaly)
    text = "pyod@4 judges spans in place of pyod@3"
    about = {"kind": AnomalyKind.MODEL, "step": ModelStep.ROLLED_BACK, "phase": AnomalyPhase.ADOPTED, "service": "*"}
    told = msgspec.structs.replace(sample, text=text, **about)
    line = Teller().line(Record(ANOMALIES, 0, 0, None, encode(told), (), 0))
    assert line is not None
    assert line[2:] == ("model rolled back", f"*: {text}")


def test_watch_tells_of_strictness_when_it_changes() -> None:
    word, teller = EVENTS["Strictness"], Teller()
    assert isinstance(word, Strictness)
    told = [
        teller.line(Record(STRICTNESS, 0, 0, None, encode(msgspec.structs.replace(word, strictness=value)), (), 0))
        for value in (0.0, 0.5, 0.5, 0.0)
    ]
    assert [line[3].split(" (")[0] if line else None for line in told] == [
        None,
        "prod: +0.50 decades",
        None,
        "prod: +0.00 decades",
    ]


def test_audit_has_the_same_times_and_json_lines(tmp_path: Path) -> None:
    record = EVENTS["ActionRecord"]
    assert isinstance(record, ActionRecord)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.append_audit(record.environment, encode(record), record.sequence)
    journal.put(f"audit/head/{record.environment}", {"sequence": 1, "digest": record.digest}, record.environment)
    journal.close()
    run = CliRunner()
    found = run.invoke(cli, ["--data-dir", str(tmp_path), "audit", "--no-verify"])
    assert found.stdout.startswith(f"{times.said(record.time_ns)} {record.environment} #{record.sequence} ")
    as_json = run.invoke(cli, ["--data-dir", str(tmp_path), "audit", "--json"])
    assert [json.loads(line)["run"] for line in as_json.stdout.splitlines()] == [record.run]
    assert "records" in as_json.stderr


@given(st.text())
def test_what_others_chose_never_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(c == "\n" or c.isprintable() for c in shown)
    assert "\x1b" not in render((AT, "red", "kind", text)).plain


def overview(process: Process | None, *services: dict[str, object]) -> Overview:
    return Overview("kafka://k:1", AT, (process,) if process else (), services)


def service(name: str, state: str, why: str) -> dict[str, object]:
    return {
        "environment": "prod",
        "service": name,
        "state": state,
        "since_ns": AT - 5 * 10**9,
        "why": why,
        "delay_s": 0.6,
    }


def test_status_tells_the_worst_first_and_what_is_lacking() -> None:
    process = Process("n1", "working", False, ("graph: away",), "4 partitions", 90.0, {"otlp_spans": 7}, 7300.0, ("*",))
    rows = (service("cart", "healthy", "as expected"), service("stock", "anomalous", "error rate 50 %"))
    assert list(lines(overview(process, *rows), local=False)) == [
        "n1: working, NOT WELL, up 2 h; 90.0 s behind, 7 messages wait",
        "  4 partitions",
        "  lacks graph: away",
        "  acting is stopped in all environments",
        "prod: 1 anomalous, 1 healthy",
        "  anomalous stock  since 2026-01-31 11:59:55.250Z (5 s)    delay 0.6 s  error rate 50 %",
        "  healthy   cart   since 2026-01-31 11:59:55.250Z (5 s)    delay 0.6 s  as expected",
    ]


def test_status_without_any_process_is_not_well() -> None:
    found = overview(None)
    assert not found.healthy
    assert "nothing is seen and nothing is done" in next(lines(found, local=False))
