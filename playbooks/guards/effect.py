"""What a playbook's steps would come to on a target as it is: numbers of replicas, before anything is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contracts.errors import ActionFailed
from contracts.ports import TargetState
from playbooks.language.expressions import resolve
from playbooks.language.model import Guards, Playbook
from playbooks.language.variables import Scope


def replicas_after(arguments: Mapping[str, Any], replicas: int, guards: Guards, most: int | None = None) -> int:
    """Replicas after a `scale` with these (resolved) arguments. `most`: what the target itself allows (`TargetState.most`).

    Raises:
        ActionFailed: the arguments don't come to a number.
    """
    try:
        if "replicas" in arguments:
            return int(arguments["replicas"])
        if "by" in arguments:
            return replicas + int(arguments["by"])
        grown = math.ceil(replicas * float(arguments["factor"]) - 1e-9)
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise ActionFailed(f"scale can't be computed from {dict(arguments)}: {e}") from e
    highest = guards.max_replicas if most is None else min(guards.max_replicas, max(most, replicas))
    return max(min(grown, highest), guards.min_replicas)


def outage_of(playbook: Playbook, state: TargetState | None) -> str:
    """In words that a step takes away all instances that serve at once; "" if none does."""
    if state is None:
        return ""
    return next((text for s in playbook.steps if (text := state.outage(s.action, s.arguments))), "")


def planned_replicas(playbook: Playbook, state: TargetState | None, scope: Scope) -> tuple[int, ...]:
    """Replicas after each `scale` step, in the order written; empty if there are none or the state isn't known.

    Raises:
        ActionFailed: an argument can't be computed.
    """
    if state is None:
        return ()
    planned, replicas = [], state.replicas
    for step in playbook.steps:
        arguments, errors = resolve(step.arguments, scope)
        if errors:
            raise ActionFailed(f"step {step.name}: {errors[0]}")
        if step.action == "scale":
            replicas = replicas_after(arguments, replicas, playbook.guards, state.most)
            planned.append(replicas)
    return tuple(planned)
