"""`homeostat plugin`, and what `doctor` says of plugins: each by name, with what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from contracts.errors import InvalidPlugin, InvalidSettings, UnknownName
from contracts.settings import Settings, load
from homeostat.cli.app import cli
from homeostat.plugins import PLUGIN_KINDS, check, find, reports
from tests.plugin_dist import install

SINK = """
from homeostat.api import *
from contextlib import contextmanager
from pydantic import Field

class Own(PluginSettings):
    place: str = Field(description="where to")

class Sink:
    name = "mine"
    topics = frozenset({"telemetry.incidents"})
    def __init__(self, got): self.got = got
    async def deliver(self, events): self.got += [e.id for e in events]
    async def close(self): pass

@contextmanager
def subject(own, _):
    got = []
    yield checks.sink.SinkSubject(lambda: Sink(got), lambda: got)

class Deaf(Sink):
    async def deliver(self, events): raise ValueError("deaf") if events else None

@contextmanager
def deaf(own, _):
    got = []
    yield checks.sink.SinkSubject(lambda: Deaf(got), lambda: got)

PLUGIN = Plugin(lambda own, _: Sink([]), settings=Own, subject=subject)
DEAF = Plugin(lambda own, _: Deaf([]), subject=deaf)
BARE = Sink
"""
Lay = Callable[..., None]
OWN = {"plugins": {"mine": {"place": "here"}}}


@pytest.fixture
def lay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lay:
    return partial(install, monkeypatch, tmp_path)


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(cli, arguments)
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found.exit_code, found.output


def test_a_sink_is_one_file(lay: Lay) -> None:
    """What a sink needs is in SINK above: no other file knows of it."""
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN"})
    assert "mine" in PLUGIN_KINDS["sink"].registry.names()


async def test_a_suite_is_run_with_the_settings_in_force(lay: Lay) -> None:
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN", "sink.deaf": ":DEAF", "sink.bare": ":BARE"})
    found = [o async for o in check(find("mine"), load(OWN))]
    assert [o.check for o in found] == [c.__name__.removeprefix("check_") for c in PLUGIN_KINDS["sink"].suite.CHECKS]
    assert {o.problem for o in found} == {""}
    failed = {o.check: o.problem for o in [o async for o in check(find("deaf"), Settings())]}
    assert failed["takes_all_in_order"] == "ValueError: deaf"
    assert failed["says_what_it_wants"] == ""
    with pytest.raises(InvalidSettings, match=r"plugins\.mine\.place: Field required"):
        _ = [o async for o in check(find("mine"), Settings())]
    with pytest.raises(InvalidPlugin, match="brings nothing that it could be checked on"):
        _ = [o async for o in check(find("bare"), Settings())]


def test_names_that_are_none_or_several(lay: Lay) -> None:
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN", "source.mine": ":PLUGIN"})
    with pytest.raises(UnknownName, match=r"'mine' .*mine --kind sink, mine --kind source"):
        find("mine")
    assert find("mine", "source").kind == "source"
    with pytest.raises(UnknownName, match=r"unknown plugin 'mien' \(did you mean 'mine'"):
        find("mien")


def test_the_command_lists_and_checks(lay: Lay) -> None:
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN", "sink.deaf": ":DEAF"})
    status, text = run("--set", "plugins.mine.place=here", "--set", "sinks.use=[mine]", "plugin", "list")
    assert status == 0
    assert "* sink         mine                 acme-sink 1.0\n" in text
    assert "plugins.mine.place: where to\n" in text
    assert "* detector     bank                 built in\n" in text
    status, text = run("--set", "plugins.mine.place=here", "plugin", "check", "mine", "deaf")
    assert status == 1
    assert (
        f"sink 'mine' of acme-sink 1.0 (acme_sink:PLUGIN): {len(PLUGIN_KINDS['sink'].suite.CHECKS)} checks passed\n"
        in text
    )
    assert "FIX takes_all_in_order" in text
    assert "checks failed\n" in text
    status, text = run("--set", "plugins.mine.place=here", "plugin", "check", "mine", "--json")
    assert status == 0
    assert {o["problem"] for o in json.loads(text)["mine"]} == {""}


def test_what_is_wrong_with_one_is_said_and_the_others_are_listed(lay: Lay) -> None:
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN"})
    lay("broken-thing", "import nothing_of_that_name", {"detector.broken": ":X"})
    found = {r.name: r.problem for r in reports(Settings(), built_in=False)}
    assert found["mine"] == ""
    assert (
        "detector 'broken' of broken-thing 1.0 (broken_thing:X) can't be loaded: ModuleNotFoundError" in found["broken"]
    )
    status, text = run("plugin", "list")
    assert status == 1
    assert "FIX detector 'broken' of broken-thing 1.0" in text
    status, text = run("plugin", "check", "broken")
    assert status == 1
    assert "FIX opens" in text


def test_doctor_names_each_plugin(lay: Lay, tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path / "data"))
    assert "ok  plugins    none is installed\n" in run(*data, "doctor")[1]
    lay("acme-sink", SINK, {"sink.mine": ":PLUGIN"})
    lay("thief", SINK, {"sink.file": ":PLUGIN"})
    text = run(*data, "--set", "sinks.use=[mine]", "doctor")[1]
    assert "FIX plugin     sink 'file' of thief 1.0 (thief:PLUGIN) takes the name of a built-in sink" in text
    assert "FIX plugin     plugins.mine.place: Field required" in text
    text = run(*data, "--set", "plugins.mine.place=here", "doctor")[1]
    assert "ok  plugin     sink 'mine' of acme-sink 1.0, not in use\n" in text
