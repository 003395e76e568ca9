"""The actions there are, by name: the built-in ones, and those that plugins bring. The one list that everybody else asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from contracts.actions.action import Action, Touches, UninstalledAction
from contracts.actions.command import CommandAction
from contracts.actions.drain import DrainAction
from contracts.actions.flag import FlagAction
from contracts.actions.plugged import PluggedAction
from contracts.actions.restart import RestartAction
from contracts.actions.rollback import RollbackAction
from contracts.actions.scale import ScaleAction
from contracts.actions.shift import ShiftAction
from contracts.actions.wait import WaitAction
from contracts.actions.webhook import WebhookAction
from contracts.errors import InvalidPlugin
from contracts.plugins import PluginRegistry, refusing

BUILT_IN: Final[Mapping[str, Action]] = MappingProxyType(
    {
        a.name: a
        for a in (
            ScaleAction(),
            RestartAction(),
            RollbackAction(),
            FlagAction(),
            ShiftAction(),
            DrainAction(),
            WaitAction(),
            WebhookAction(),
            CommandAction(),
        )
    }
)
"""The built-in actions, by name, in the order of the reference."""


def _ready(action: Action, _: None) -> Action:
    return action


ACTIONS: Final[PluginRegistry[None, Action]] = PluginRegistry(
    "action", {name: partial(_ready, action) for name, action in BUILT_IN.items()}
)
_loaded: Mapping[str, Action] | None = None
"""What is installed, once somebody has asked: a process has one list, from its start on."""


def installed_actions() -> Mapping[str, Action]:
    """Every action by its name, the built-in ones first.

    Raises:
        InvalidPlugin: a plugin's action can't be loaded, is none, or has another name than its entry point.
    """
    global _loaded
    if _loaded is None:
        _loaded = MappingProxyType({**BUILT_IN, **{name: _plugged(name) for name in sorted(ACTIONS.installed())}})
    return _loaded


def _plugged(name: str) -> Action:
    found: object = ACTIONS.open(name, None)
    if isinstance(found, Action):
        return _careful(found, name)
    plugin = ACTIONS.installed()[name]
    why = f"leads to {type(found).__name__}, which is no homeostat.api.Action"
    raise InvalidPlugin(f"{plugin.words} {why}", fix=f"mend or uninstall {plugin.distribution}")


def _careful(found: Action, name: str) -> Action:
    with refusing(ACTIONS.installed()[name], "read"):
        return PluggedAction(found)


def action_of(name: str) -> Action:
    """The action of this name; an `UninstalledAction` where there is none, as in the journal of a run whose plugin is gone."""
    return installed_actions().get(name) or UninstalledAction(name, ", ".join(sorted(installed_actions())))


def waits(name: str) -> bool:
    """Whether an action only lets time pass, so that it has no effect. One that is not installed may have had any."""
    return action_of(name).touches is Touches.NOTHING


def touches_target(name: str) -> bool:
    """Whether an action changes the target itself."""
    return action_of(name).touches is Touches.TARGET
