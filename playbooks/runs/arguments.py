"""What a step's arguments come to on the target as it is: expressions evaluated, relative amounts made absolute, and what
restores a state.

A number that is journalled and applied must be absolute: "one more replica" applied twice would be two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from contracts.actions import BEFORE, action_of
from contracts.claims import TARGET_KEYS
from contracts.errors import ActionFailed
from contracts.ports import TargetState
from playbooks.guards import bounds_of
from playbooks.language import expressions
from playbooks.language.model import Step
from playbooks.language.variables import Scope, detail_scope
from playbooks.runs.plan import RunPlan


def resolve(plan: RunPlan, step: Step, state: TargetState | None) -> dict[str, Any]:
    """Absolute arguments of a forward step.

    Raises:
        ActionFailed: they can't be computed on this target.
    """
    with _failing(step):
        arguments = _evaluated(plan, step, state)
        return action_of(step.action).absolute(arguments, state, bounds_of(plan.playbook.guards))


def restore(plan: RunPlan, step: Step, state: TargetState | None, before: TargetState | None) -> dict[str, Any]:
    """Arguments of a rollback step: what is written as `before`, or not at all, comes from the state journalled then.

    Raises:
        ActionFailed: the step needs the state from before and none was journalled.
    """
    with _failing(step):
        given = {k: v for k, v in _evaluated(plan, step, state).items() if v != BEFORE}
        return action_of(step.action).restored(given, state, before, bounds_of(plan.playbook.guards))


def _evaluated(plan: RunPlan, step: Step, state: TargetState | None) -> dict[str, Any]:
    arguments, errors = expressions.resolve(step.arguments, scope_of(plan, state))
    if errors:
        raise ActionFailed(errors[0])
    action_of(step.action).ensure_as_written(step.arguments, arguments)
    return arguments


@contextmanager
def _failing(step: Step) -> Iterator[None]:
    """Say of which step it is that can't be computed."""
    try:
        yield
    except ActionFailed as e:
        raise ActionFailed(f"{step.name}: {e.message}", reason=e.reason, fix=e.fix) from e


def _attributes(plan: RunPlan, state: TargetState | None) -> dict[str, str]:
    """What telemetry claims; of what is acted on, what the target really is."""
    identity = None if state is None else state.identity
    if identity is None or not identity.attributes:
        return dict(plan.attributes)
    return {k: v for k, v in plan.attributes.items() if k not in TARGET_KEYS} | dict(identity.attributes)


def scope_of(plan: RunPlan, state: TargetState | None) -> Scope:
    """What expressions in arguments may speak of (`playbooks.language.variables`)."""
    scope: dict[str, Any] = {
        "environment": plan.environment,
        "incident.id": plan.incident,
        "cause.kind": str(plan.cause),
        "cause.service": plan.cause_service,
        "cause.probability": float(plan.confidence),
        **detail_scope(plan.instance, plan.caller, plan.callee, plan.flag),
        "cause.node": plan.node,
        "cause.zone": plan.zone,
        "cause.sickest": plan.sickest if state is not None and plan.sickest in state.instances else "",
        "service.name": plan.target,
        "service.version": "" if state is None else state.version,
        "service.previous_version": "" if state is None else state.previous_version,
        "service.attributes": _attributes(plan, state),
        "demand": plan.demand,
    }
    return scope if state is None else scope | {"replicas": state.replicas, "ready": state.ready}
