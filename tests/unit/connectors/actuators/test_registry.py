"""Actuators by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.actuators import registry
from connectors.actuators.dry_run import DryRunActuator
from contracts.errors import InvalidSettings, UnknownName
from contracts.ports import BUILT_IN
from contracts.settings import ActSettings
from tests.plugin_dist import install


class Plugin(DryRunActuator):
    """What somebody else wrote."""

    name = "mine"

    def __init__(self, settings: ActSettings) -> None:
        super().__init__()
        self.settings = settings


def names(**settings: Any) -> list[str]:
    return [a.name for a in registry.open_actuators(ActSettings(**settings))]


def test_in_the_order_of_the_settings() -> None:
    assert names() == ["dry-run"]
    url = "http://127.0.0.1:1"
    assert names(actuators=("process", "kubernetes", "dry-run"), process_manager=url) == [
        "process",
        "kubernetes",
        "dry-run",
    ]


def test_every_built_in_goes_by_its_name() -> None:
    assert names(actuators=tuple(registry.ACTUATORS.built_in), process_manager="http://127.0.0.1:1") == list(
        registry.ACTUATORS.built_in
    )


def test_webhooks_and_commands_come_with_their_settings() -> None:
    both: dict[str, Any] = {"webhooks": {"pager": "http://127.0.0.1:1"}, "commands": {"flush": ["true"]}}
    assert names(**both) == ["dry-run", "webhook", "command"]
    assert names(actuators=("command", "dry-run"), **both) == ["command", "dry-run", "webhook"]


def test_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'kubernetes'.*command, dry-run, kubernetes, process, webhook"):
        names(actuators=("kubernets",))


def test_only_what_another_system_may_do_is_a_webhooks_or_a_commands() -> None:
    turn: dict[str, Any] = {"commands": {"turn": ["true"]}}
    found = registry.open_actuators(ActSettings(actions={"flag": "command:turn"}, **turn))
    assert [sorted(a.actions) for a in found if a.name == "command"] == [["command", "flag"]]
    with pytest.raises(UnknownName, match=r"act.actions.*valid: flag, shift"):
        names(actions={"restart": "command:turn"}, **turn)
    for by in ("command:other", "turn", "process:turn"):
        with pytest.raises(ValueError, match=r"actions\.flag: .* is no `command:<name>`"):
            ActSettings(actions={"flag": by}, **turn)


def test_process_needs_a_url() -> None:
    with pytest.raises(InvalidSettings, match=r"act\.process_manager"):
        names(actuators=("process",))


def test_plugins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path, "acme-mine", f"from {__name__} import Plugin", {"actuator.mine": ":Plugin"})
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Plugin.__module__])
    (mine,) = registry.open_actuators(ActSettings(actuators=("mine",), kube_context="c"))
    assert isinstance(mine, Plugin)
    assert mine.settings.kube_context == "c"
    with pytest.raises(UnknownName, match="mine"):
        names(actuators=("yours",))


def test_the_settings_know_which_actuators_come_with_homeostat() -> None:
    assert frozenset(registry.ACTUATORS.built_in) == BUILT_IN
