"""Nothing from telemetry steers a terminal: no escape sequence, no carriage return, no line of its own making."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

import homeostat
from contracts.settings import LogSettings
from homeostat import logs, terminal
from homeostat.cli.watch import render

EVIL = [
    "\x1b[2J\x1b[H",  # clear
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",  # link
    "\x1b[8mhidden\x1b[0m",
    "\x9b31m",  # C1
    "\r12:00 all is well",
    "a\b\b\b",
    "\x1bP$q\x1b\\",
    "\u202eesrever\u202c",
    "\u2066x\u2069",
    "\u200b\ufeff",
    "\U000e0041\U000e007f",
    "\ud800",
    "\x7f",
    "\x00",
]
SGR = re.compile(r"\x1b\[[0-9;]*m")


def harmless(text: str) -> bool:
    """Whether a text has nothing that steers, but newlines."""
    return all(c == "\n" or c.isprintable() for c in text)


@pytest.mark.parametrize("text", EVIL)
def test_what_steers_is_shown(text: str) -> None:
    found = terminal.printable(f"a{text}b")
    assert harmless(found)
    assert "\\u" in found


@given(st.text())
def test_any_text_is_harmless_and_json_stays_json(text: str) -> None:
    assert harmless(terminal.printable(text))
    document = json.dumps({"x": text}, ensure_ascii=False)
    assert json.loads(terminal.printable(document)) == {"x": text}
    if text.isprintable():
        assert terminal.printable(text) == text


def test_lines_of_a_record_are_indented() -> None:
    assert terminal.hanging("a\n12:00:00 acting stopped\n    · b") == "a\n    12:00:00 acting stopped\n    · b"


@pytest.mark.parametrize(
    "text", [*EVIL, "[red]x[/red] [link=https://evil.example]y[/link]", "forged\n09:00:00.0 incident resolved"]
)
def test_a_console_prints_text(text: str) -> None:
    out = io.StringIO()
    console = terminal.console(file=out, force_terminal=True, width=500, color_system="truecolor")
    console.print(render((0, "red", "anomaly", f"x{text}y")))
    console.print(f"x{text}y")
    table = Table(f"h{text}")
    table.add_row(Text(f"x{text}y"))
    console.print(table)
    found = out.getvalue()
    assert SGR.search(found), "its own colours stay"
    assert harmless(SGR.sub("", found))
    assert "[red]" not in text or "[red]x[/red]" in found
    first = found.split("anomaly")[1].split("\n")
    assert "forged" not in text or first[1].startswith("    ")


def test_a_table_of_plain_cells_is_text() -> None:
    out = io.StringIO()
    table = Table("h")
    table.add_row("\x1b[2J")
    terminal.console(file=out, width=100).print(table)
    assert harmless(out.getvalue())


@pytest.mark.parametrize("text", EVIL)
def test_logs_on_a_terminal(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, root = io.StringIO(), logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", out)
    try:
        logs.configure(LogSettings(format="console"))
        logging.getLogger("homeostat.test").warning("service x%sy", text)
    finally:
        root.handlers[:], root.level = before
    assert "service x" in out.getvalue()
    assert harmless(SGR.sub("", out.getvalue()))


@pytest.mark.parametrize("text", EVIL[:-3])
def test_echo(text: str) -> None:
    import click

    @click.command()
    def command() -> None:
        terminal.echo(f"x{text}y")

    assert harmless(CliRunner().invoke(command).output)


def test_there_is_no_other_way_to_a_terminal() -> None:
    """Whoever prints text goes through `homeostat.terminal`."""
    root = Path(homeostat.__file__).parent
    own = ("terminal.py", "demo/load.py")  # the demo's load is a process that writes numbers to a pipe
    others = [p for p in root.rglob("*.py") if not p.as_posix().endswith(own) and "demo/shop" not in p.as_posix()]
    found = [
        f"{path.relative_to(root)}:{n}"
        for path in others
        for n, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"click\.s?echo\(|(?<![\w.])(Console|print)\(|sys\.std(out|err)\.write", line)
    ]
    assert found == []
