"""Plugins are found by name, opened late, told their own settings, and what is wrong with one is said of that one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest

from contracts import plugins
from contracts.errors import InvalidPlugin, InvalidSettings, TargetNotFound, UnknownName
from contracts.plugins import KINDS, PluginRegistry, installed
from contracts.secrets import MASK
from contracts.settings import Settings, load, shown
from contracts.settings_sources import of_file, of_override
from tests.plugin_dist import install

SOURCE = """
from pydantic import SecretStr
from contracts.errors import TargetNotFound
from contracts.plugins import Plugin, PluginSettings

class Pager(PluginSettings):
    url: str
    retries: int = 3
    token: SecretStr = SecretStr("")
    groups: tuple[str, ...] = ()

class Plain:
    def __init__(self, section): self.given = (section,)

class Full:
    def __init__(self, own, section): self.given = (own, section)

def broken(section): raise ZeroDivisionError("boom")
def refusing(section): raise TargetNotFound("nobody there")

PAGER = Plugin(Full, Pager)
WORD = "a word"
"""
Lay = Callable[..., None]


@pytest.fixture
def lay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lay:
    return partial(install, monkeypatch, tmp_path)


def registry(kind: str = "actuator") -> PluginRegistry[str, Any]:
    return PluginRegistry(kind, {"own": lambda section: ("own", section)})


def test_without_plugins_the_built_in_ones_are_all() -> None:
    assert registry().names() == ["own"]
    assert registry().open("own", "section") == ("own", "section")
    with pytest.raises(UnknownName, match=r"unknown graph store 'pwn' \(did you mean 'own'\? valid: own\)"):
        registry("graph_store").open("pwn", "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plugin_of_any_kind_is_opened_by_name_and_imported_no_sooner(kind: str, lay: Lay) -> None:
    lay("acme-things", SOURCE, {f"{kind}.pager": ":Plain"})
    assert registry(kind).names() == ["own", "pager"]
    assert "acme_things" not in sys.modules
    with pytest.raises(UnknownName, match="valid: own, pager"):
        registry(kind).open("pagr", "section")
    assert "acme_things" not in sys.modules
    assert registry(kind).open("pager", "section").given == ("section",)
    assert [(p.kind, p.name, p.distribution) for p in installed()] == [(kind, "pager", "acme-things 1.0")]
    other = next(k for k in KINDS if k != kind)
    assert registry(other).names() == ["own"]


def test_an_action_may_be_the_object_itself_and_nothing_else_may(lay: Lay) -> None:
    lay("acme-things", SOURCE, {"action.wave": ":WORD", "sink.wave": ":WORD"})
    assert registry("action").open("wave", "") == "a word"
    with pytest.raises(
        InvalidPlugin, match=r"sink 'wave' of acme-things 1.0 \(acme_things:WORD\) leads to str, which can't be called"
    ):
        registry("sink").open("wave", "")


def test_a_built_ins_name_is_refused_whatever_is_asked_for(lay: Lay) -> None:
    lay("acme-things", SOURCE, {"actuator.own": ":Plain"})
    for name in ("own", "else"):
        with pytest.raises(
            InvalidPlugin, match=r"acme-things 1\.0 .* takes the name of a built-in actuator .*uninstall acme-things"
        ):
            registry().open(name, "")


def test_two_of_one_name_are_refused_with_both(lay: Lay) -> None:
    lay("acme-things", SOURCE, {"actuator.pager": ":Plain"})
    lay("rival-things", SOURCE, {"actuator.pager": ":Plain"})
    with pytest.raises(InvalidPlugin, match=r"acme-things 1\.0.*rival-things 1\.0"):
        registry().names()


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        ("import no_such_module", ":X", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("X = 1 / 0", ":X", "ZeroDivisionError"),
        ("raise SystemExit('bye')", ":X", "SystemExit: bye"),
        ("Y = 1", ":X", "has no attribute 'X'"),
        ("def X(", ":X", "SyntaxError"),
    ],
)
def test_one_that_does_not_load_is_named(source: str, target: str, why: str, lay: Lay) -> None:
    lay("acme-things", source, {"actuator.pager": target})
    with pytest.raises(InvalidPlugin) as refused:
        registry().open("pager", "")
    assert f"actuator 'pager' of acme-things 1.0 (acme_things{target}) can't be loaded" in str(refused.value)
    assert why in str(refused.value)
    assert registry().open("own", "") == ("own", "")


def test_what_its_code_raises_is_said_to_be_the_plugins(lay: Lay) -> None:
    lay("acme-things", SOURCE, {"actuator.pager": ":broken", "actuator.other": ":refusing"})
    with pytest.raises(InvalidPlugin, match=r"'pager' of acme-things 1\.0 .*can't be opened: ZeroDivisionError: boom"):
        registry().open("pager", "")
    with pytest.raises(TargetNotFound, match="nobody there"):
        registry().open("other", "")


class Port(Protocol):
    """What a plugin of this kind must have."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def ring(self) -> None:
        """Ring."""
        ...


def test_one_that_lacks_what_its_port_asks_for_is_refused_when_it_is_opened(lay: Lay) -> None:
    source = (
        "class Mute:\n    name = 'mute'\n    def __init__(self, _): pass\nclass Bell(Mute):\n    def ring(self): pass\n"
    )
    lay("acme-things", source, {"actuator.mute": ":Mute", "actuator.bell": ":Bell"})
    bells: PluginRegistry[str, Any] = PluginRegistry("actuator", {}, Port)
    with pytest.raises(InvalidPlugin, match=r"'mute' of acme-things 1\.0 .* has no ring, which the port"):
        bells.open("mute", "")
    with pytest.raises(InvalidPlugin, match=r"'bell' of acme-things 1\.0 .* calls itself 'mute'"):
        bells.open("bell", "")


@pytest.mark.parametrize("name", ["Pager", "9lives", "model_dump", "a.b", "a b"])
def test_a_name_that_is_none_is_refused(name: str, lay: Lay) -> None:
    lay("acme-things", SOURCE, {f"actuator.{name}": ":Plain"})
    with pytest.raises(InvalidPlugin, match="a plugin's name is"):
        registry().open(name, "")


@pytest.fixture
def pager(lay: Lay) -> None:
    lay("acme-things", SOURCE, {"actuator.acme-pager": ":PAGER", "sink.json": ":Plain"})


@pytest.mark.usefixtures("pager")
def test_its_settings_are_handed_over_whatever_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "homeostat.yaml").write_text("plugins:\n  acme-pager:\n    url: http://a\n    groups: [a, b]\n")
    environ = {"HOMEOSTAT_PLUGINS__ACME_PAGER__RETRIES": "5", "HOMEOSTAT_PLUGINS__ACME_PAGER__TOKEN": "hunter" + "2"}
    line = [
        of_override(Settings, "plugins.acme-pager.url=http://b"),
        of_override(Settings, "plugins.acme-pager.groups=[c]"),
    ]
    settings = load(of_file(tmp_path / "homeostat.yaml"), over=line, environ=environ)
    own, section = registry().open("acme-pager", "section", settings.plugins).given
    assert (own.url, own.retries, own.token.get_secret_value(), own.groups) == ("http://b", 5, "hunter" + "2", ("c",))
    assert section == "section"
    assert shown(settings)["plugins"]["acme-pager"]["token"] == MASK
    assert isinstance(settings, Settings)


@pytest.mark.usefixtures("pager")
def test_a_plugin_without_settings_takes_none_and_one_that_needs_some_says_so() -> None:
    assert registry("sink").open("json", "section", load({"plugins": {"json": {}}}).plugins).given == ("section",)
    with pytest.raises(InvalidSettings, match=r"plugins\.acme-pager\.url: Field required"):
        registry().open("acme-pager", "section", load().plugins)
    with pytest.raises(InvalidSettings, match=r"plugins\.json\.url: unknown setting"):
        load({"plugins": {"json": {"url": "x"}}})


@pytest.mark.usefixtures("pager")
@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("plugins:\n  acme-pager:\n    url: x\n    retrys: 4\n", r"h.yaml:4: plugins.acme-pager.retrys: unknown setting, did you mean 'plugins.acme-pager.retries'?"),
        ("plugins:\n  acme-pagr:\n    url: x\n", "h.yaml:2: plugins.acme-pagr: unknown setting, did you mean 'plugins.acme-pager'?"),
        ("plugins:\n  nobody:\n    url: x\n", "h.yaml:2: plugins.nobody: unknown setting"),
        ("plugins:\n  acme-pager:\n    url: x\n    retries: many\n", "h.yaml:4: plugins.acme-pager.retries: Input should be a valid integer"),
        ("plugins:\n  acme-pager:\n    retries: 1\n", "h.yaml:2: plugins.acme-pager.url: Field required"),
        ("plugins:\n  acme-pager: word\n", "h.yaml:2: plugins.acme-pager: a mapping of settings is expected"),
        ("plugins: word\n", "h.yaml:1: plugins: a mapping of settings is expected"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_file_line_and_suggestion(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        load(of_file(tmp_path / "h.yaml"), environ={})
    assert wrong in str(refused.value)


@pytest.mark.usefixtures("pager")
def test_a_mistake_of_a_variable_or_the_command_line_is_said_too() -> None:
    with pytest.raises(InvalidSettings, match="did you mean HOMEOSTAT_PLUGINS__ACME-PAGER__RETRIES"):
        load(environ={"HOMEOSTAT_PLUGINS__ACME_PAGER__RETRYS": "1"})
    with pytest.raises(InvalidSettings, match="variable HOMEOSTAT_PLUGINS__NOBODY__X: unknown setting"):
        load(environ={"HOMEOSTAT_PLUGINS__NOBODY__X": "1"})
    with pytest.raises(
        InvalidSettings,
        match=r"--set plugins\.acme-pager\.urll: unknown setting, did you mean 'plugins\.acme-pager\.url'",
    ):
        of_override(Settings, "plugins.acme-pager.urll=1")


def test_kinds_that_share_a_name_share_their_settings_or_are_refused(lay: Lay) -> None:
    other = SOURCE.replace("retries: int = 3", "attempts: int = 3")
    lay("acme-things", SOURCE, {"actuator.pager": ":PAGER", "sink.pager": ":PAGER"})
    assert load({"plugins": {"pager": {"url": "x"}}}).plugins.of("pager") is not None
    lay("rival-things", other, {"source.pager": ":PAGER"})
    with pytest.raises(InvalidPlugin, match=r"plugins\.pager would be the settings of .*acme-things.*rival-things"):
        load({"plugins": {"pager": {"url": "x"}}})


def test_nothing_is_imported_for_settings_that_say_nothing_of_plugins(lay: Lay) -> None:
    lay("acme-things", "raise RuntimeError", {"actuator.pager": ":X"})
    assert load(environ={}) == Settings()
    assert "acme_things" not in sys.modules
    with pytest.raises(InvalidPlugin, match="acme-things"):
        load({"plugins": {"pager": {}}})


def test_the_groups_are_named_after_their_kinds() -> None:
    assert set(plugins.GROUPS) == {
        f"homeostat.{k}" for k in ("action", "actuator", "detector", "graph_store", "policy", "sink", "source")
    }
