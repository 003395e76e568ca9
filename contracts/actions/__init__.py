"""Actions: what a step of a playbook may do, one object each, built in or from a plugin (entry point `homeostat.action`).

Here live the questions that everybody asks of an action: its arguments, what it touches, what a guard, policy and the audit are
told, how it is undone. Never here: how a system is made to do it, which is an actuator's.
"""

from contracts.actions.action import Action, Mistake, ReplicaBounds, Touches, UninstalledAction, not_offered
from contracts.actions.arguments import (
    BEFORE,
    Argument,
    ArgumentValue,
    ChoiceValue,
    DocumentValue,
    DurationValue,
    ListValue,
    NumberValue,
    TextValue,
    name_from,
)
from contracts.actions.registry import BUILT_IN, action_of, installed_actions, touches_target, waits

__all__ = [
    "BEFORE",
    "BUILT_IN",
    "Action",
    "Argument",
    "ArgumentValue",
    "ChoiceValue",
    "DocumentValue",
    "DurationValue",
    "ListValue",
    "Mistake",
    "NumberValue",
    "ReplicaBounds",
    "TextValue",
    "Touches",
    "UninstalledAction",
    "action_of",
    "installed_actions",
    "name_from",
    "not_offered",
    "touches_target",
    "waits",
]
