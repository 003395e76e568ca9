"""What a playbook's steps would come to on a target as it is: numbers of replicas, before anything is done."""

from __future__ import annotations

from dataclasses import replace

from contracts.actions import ReplicaBounds, action_of
from contracts.errors import ActionFailed
from contracts.ports import TargetState
from playbooks.language.actions import touching
from playbooks.language.expressions import resolve
from playbooks.language.model import Guards, Playbook
from playbooks.language.variables import Scope


def bounds_of(guards: Guards) -> ReplicaBounds:
    """What the guards let an action come to."""
    return ReplicaBounds(guards.min_replicas, guards.max_replicas)


def outage_of(playbook: Playbook, state: TargetState | None) -> str:
    """In words that a step takes away all instances that serve at once; "" if none does."""
    if state is None:
        return ""
    return next((text for a, s in touching(playbook.steps) if (text := a.outage(s.arguments, state))), "")


def planned_replicas(playbook: Playbook, state: TargetState | None, scope: Scope) -> tuple[int, ...]:
    """Replicas after each step that changes their number, in the order written; empty if there are none or the state isn't known.

    Raises:
        ActionFailed: an argument can't be computed.
    """
    if state is None:
        return ()
    planned, bounds = [], bounds_of(playbook.guards)
    for step in playbook.steps:
        arguments, errors = resolve(step.arguments, scope)
        if errors:
            raise ActionFailed(f"step {step.name}: {errors[0]}")
        action = action_of(step.action)
        replicas = action.replicas(action.absolute(arguments, state, bounds))
        if replicas is not None:
            state = replace(state, replicas=replicas)
            planned.append(replicas)
    return tuple(planned)
