"""The actions there are, by name: the built-in ones, and those that plug-ins bring. The one list that everybody else asks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from contracts.actions.action import Action, Touches, UninstalledAction
from contracts.actions.command import CommandAction
from contracts.actions.restart import RestartAction
from contracts.actions.rollback import RollbackAction
from contracts.actions.scale import ScaleAction
from contracts.actions.wait import WaitAction
from contracts.actions.webhook import WebhookAction

BUILT_IN: Final[Mapping[str, Action]] = MappingProxyType(
    {
        a.name: a
        for a in (ScaleAction(), RestartAction(), RollbackAction(), WaitAction(), WebhookAction(), CommandAction())
    }
)
"""The built-in actions, by name, in the order of the reference."""


def installed() -> Mapping[str, Action]:
    """Every action by its name, the built-in ones first."""
    return BUILT_IN


def action_of(name: str) -> Action:
    """The action of this name; an `UninstalledAction` where there is none, as in the journal of a run whose plug-in is gone."""
    return installed().get(name) or UninstalledAction(name, ", ".join(sorted(installed())))


def waits(name: str) -> bool:
    """Whether an action only lets time pass, so that it has no effect. One that is not installed may have had any."""
    return action_of(name).touches is Touches.NOTHING


def touches_target(name: str) -> bool:
    """Whether an action changes the target itself."""
    return action_of(name).touches is Touches.TARGET
