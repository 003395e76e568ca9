"""May this be done, now? The run-time switches, and policy (guards are in `guarding`). Any of them away or unsure means no."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.actions import Touches, action_of, installed_actions
from contracts.claims import CONTESTED
from contracts.errors import HomeostatError, PolicyUnavailable
from contracts.ports import Journal, PolicyEngine, StepRequest, TargetState
from contracts.verdicts import Autonomy, HeldReason
from playbooks.guards import Held
from playbooks.runs.effects import Aim
from playbooks.runs.plan import RunPlan
from playbooks.runs.switches import Mode, mode_of, strictest


def switched_off(mode: Mode, plan: RunPlan, own: Autonomy) -> Held | None:
    """What the run-time switches say, and this process's own settings: a decision can ask for less, never for more."""
    if not mode.acting:
        return Held(HeldReason.KILL_SWITCH, f"acting was stopped by {mode.by}")
    autonomy = strictest(own, strictest(mode.autonomy, plan.autonomy))
    if autonomy is Autonomy.OBSERVE:
        return Held(HeldReason.LOW_CONFIDENCE, "autonomy is observe: decide and record, act on nothing")
    if autonomy is Autonomy.SUGGEST:
        return Held(HeldReason.APPROVAL, "autonomy is suggest: every action needs an approval")
    return None


def switches(journal: Journal, plan: RunPlan, own: Autonomy) -> Held | None:
    """What the run-time switches and this process's own settings say at this moment."""
    return switched_off(mode_of(journal, plan.environment), plan, own)


def contested(plan: RunPlan, around: Mapping[str, str]) -> Held | None:
    """Whether telemetry says different things of what the target is: when it was decided, or now (`around`)."""
    claims = plan.attributes.get(CONTESTED) or around.get(CONTESTED)
    touched = {action_of(s.action).touches for s in plan.playbook.steps}
    if not claims or not touched & {Touches.TARGET, Touches.ANYTHING}:
        return None
    return Held(HeldReason.TARGET_CONTESTED, f"telemetry says different things of what {plan.target} is: {claims}")


def policy_document(
    plan: RunPlan, action: str, arguments: Mapping[str, Any], aim: Aim, approved_by: str
) -> dict[str, Any]:
    """The policy input (docs/actions.md): one intended action and all that speaks for or against it.

    Of the target it has what the actuator vouches for, and nothing that telemetry says. What takes away all instances that serve
    is tier 3, and its callers are in the blast radius.
    """
    identity, state, does = aim.identity, aim.state, action_of(action)
    outage = state is not None and bool(does.outage(arguments, state))
    struck = [plan.target, *plan.callers] if outage else []
    struck += () if state is None else does.also_affects(arguments, state)
    return {
        "environment": plan.environment,
        "incident": plan.incident,
        "decision": plan.decision,
        "run": plan.run,
        "action": {"kind": does.policy_name, "arguments": dict(arguments), "touches": str(does.touches)},
        "actions": sorted(a.policy_name for a in installed_actions().values() if a.touches is not Touches.NOTHING),
        "target": {
            "cluster": identity.scope,
            "namespace": identity.namespace,
            "kind": identity.kind,
            "name": identity.name,
            "uid": identity.uid,
            "service": identity.name,
            "attributes": dict(identity.attributes),
            "replicas": None if state is None else state.replicas,
            "ready": None if state is None else state.ready,
            "version": "" if state is None else state.version,
            "taken_at_once": 0 if state is None else does.taken(arguments, state),
        },
        "playbook": {
            "name": plan.playbook.name,
            "version": plan.playbook.version,
            "tier": max(plan.playbook.tier, 3) if outage else plan.playbook.tier,
            "labels": dict(plan.playbook.labels),
            "guards": {"max_replicas": plan.playbook.guards.max_replicas},
        },
        "cause": {"kind": str(plan.cause), "service": plan.cause_service, "probability": plan.confidence},
        "autonomy": str(plan.autonomy),
        "blast_radius": [*plan.affected, *(s for s in dict.fromkeys(struck) if s not in plan.affected)],
        "approved_by": approved_by,
    }


def outage(request: StepRequest, state: TargetState | None, *, approved: bool) -> Held | None:
    """Held where all instances that serve would be taken away at once and no person has agreed, whatever the tier says."""
    text = "" if approved or state is None else action_of(request.action).outage(request.arguments, state)
    return Held(HeldReason.APPROVAL, text) if text else None


async def ask_policy(policy: PolicyEngine, document: Mapping[str, Any]) -> Held | None:
    """What policy says; that it can't be asked is a no. An approval it wants counts as given if `approved_by` is set."""
    try:
        verdict = await policy.evaluate(document)
    except PolicyUnavailable as e:
        return Held(HeldReason.POLICY_UNAVAILABLE, str(e))
    except HomeostatError as e:
        return Held(HeldReason.POLICY_UNAVAILABLE, f"policy could not be evaluated: {e}")
    if not verdict.allowed and not (verdict.needs_approval and not verdict.denials):
        return Held(HeldReason.POLICY, "; ".join(verdict.denials) or "not allowed")
    if verdict.needs_approval and not document["approved_by"]:
        return Held(HeldReason.APPROVAL, "policy wants an approval")
    return None
