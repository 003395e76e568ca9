"""What a step's arguments come to on the target as it is: expressions evaluated, relative amounts made absolute, and what
restores a state.

A number that is journalled and applied must be absolute: "one more replica" applied twice would be two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.claims import TARGET_KEYS
from contracts.errors import ActionFailed
from contracts.ports import TargetState
from playbooks.guards import replicas_after
from playbooks.language import expressions
from playbooks.language.actions import BEFORE
from playbooks.language.model import Step
from playbooks.language.variables import Scope
from playbooks.runs.plan import RunPlan

_RESTORES = {"scale": "replicas", "rollback": "version"}
"""The argument of an action that a journalled state can fill in."""


def resolve(plan: RunPlan, step: Step, state: TargetState | None) -> dict[str, Any]:
    """Absolute arguments of a forward step.

    Raises:
        ActionFailed: they can't be computed on this target.
    """
    arguments = _evaluated(plan, step, state)
    if step.action == "scale":
        if state is None:
            raise ActionFailed(f"{step.name}: the number of replicas is not known")
        return {"replicas": replicas_after(arguments, state.replicas, plan.playbook.guards, state.most)}
    if step.action == "rollback" and "version" not in arguments and state is not None and state.previous_version:
        arguments["version"] = state.previous_version
    return arguments


def restore(plan: RunPlan, step: Step, state: TargetState | None, before: TargetState | None) -> dict[str, Any]:
    """Arguments of a rollback step: what is written as `before`, or not at all, comes from the state journalled then.

    Raises:
        ActionFailed: the step needs the state from before and none was journalled.
    """
    given = {k: v for k, v in _evaluated(plan, step, state).items() if v != BEFORE}
    wanted = _RESTORES.get(step.action)
    if wanted is None or wanted in given:
        return given
    if step.action == "scale" and given and state is not None:
        return {"replicas": replicas_after(given, state.replicas, plan.playbook.guards, state.most)}
    if before is None:
        raise ActionFailed(f"{step.name}: the state from before is not known")
    return {wanted: before.replicas if step.action == "scale" else before.version}


def _evaluated(plan: RunPlan, step: Step, state: TargetState | None) -> dict[str, Any]:
    arguments, errors = expressions.resolve(step.arguments, scope_of(plan, state))
    if errors:
        raise ActionFailed(f"{step.name}: {errors[0]}")
    if step.action == "command":
        _ensure_no_options(step, arguments)
    return arguments


def _ensure_no_options(step: Step, arguments: Mapping[str, Any]) -> None:
    """A program takes what begins with `-` for an option: only the playbook's author may write one, never telemetry.

    Raises:
        ActionFailed: an argument, or what is written in its place, is not as its author can have meant it.
    """
    written = step.arguments.get("args", ())
    for i, argument in enumerate(arguments.get("args", ())):
        template = str(written[i]) if isinstance(written, Sequence) and not isinstance(written, str) else ""
        text = str(argument)
        if text.startswith("-") and not template.startswith("-"):
            raise ActionFailed(f"{step.name}: argument {i + 1} would be an option: {text[:80]!a}", reason="argument")
        if not text.isprintable() and text != template:
            raise ActionFailed(f"{step.name}: argument {i + 1} is not printable: {text[:80]!a}", reason="argument")


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
        "service.name": plan.target,
        "service.version": "" if state is None else state.version,
        "service.previous_version": "" if state is None else state.previous_version,
        "service.attributes": _attributes(plan, state),
    }
    return scope if state is None else scope | {"replicas": state.replicas, "ready": state.ready}
