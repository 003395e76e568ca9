"""Tier 2 pre-flight validation: would the effect, on the target as it is, be sane? Pure.

Bounds and capability are guards and hold for every tier; these are the objections that only careful tiers raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.actions import Touches, action_of
from contracts.ports import Actuator, TargetState
from contracts.verdicts import HeldReason
from playbooks.guards import Held
from playbooks.language.model import Step
from playbooks.runs.plan import RunPlan


def capable(actuators: Sequence[Actuator], action: str) -> list[Actuator]:
    """The actuators that can do `action`, in order of preference."""
    return [a for a in actuators if action in a.actions]


def senseless(plan: RunPlan, step: Step, arguments: Mapping[str, Any], state: TargetState | None) -> Held | None:
    """Refused if the effect makes no sense on `state`."""
    action = action_of(step.action)
    if plan.playbook.tier < 2 or action.touches is not Touches.TARGET:
        return None
    if state is None:
        return Held(HeldReason.NO_TARGET, f"the state of {plan.target} is not known")
    if state.replicas < 1:
        return Held(HeldReason.NO_TARGET, f"{plan.target} is scaled to {state.replicas}: nothing to {step.action}")
    missing = action.pointless(arguments, state)
    return Held(HeldReason.NO_TARGET, f"{plan.target} has {missing}") if missing else None
