"""From a document without mistakes to a `Playbook`. Defaults are those of the values themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.actions import action_of
from contracts.verdicts import CauseKind, Severity
from playbooks.language.model import Check, Guards, Match, Playbook, Step, Trigger, Verify

_GUARDS = {
    "cooldown": "cooldown_s",
    "maxPerHour": "max_per_hour",
    "maxReplicas": "max_replicas",
    "minReplicas": "min_replicas",
    "blastRadius": "blast_radius",
    "maxConcurrent": "max_concurrent",
    "windows": "windows",
}


def build(document: Mapping[str, Any], source: str) -> Playbook:
    """The playbook that `document` says."""
    meta = document["metadata"]
    extra = {k: document[k] for k in ("value", "cost") if k in document}
    return Playbook(
        name=meta["name"],
        version=meta["version"],
        description=meta["description"],
        labels=meta.get("labels", {}),
        trigger=_trigger(document["trigger"]),
        tier=document["tier"],
        guards=Guards(**{_GUARDS[k]: v for k, v in document.get("guards", {}).items()}),
        steps=tuple(_step(s) for s in document["steps"]),
        verify=_verify(document.get("verify")),
        rollback=tuple(_step(s) for s in document.get("rollback", ())),
        source=source,
        **extra,
    )


def _trigger(trigger: Mapping[str, Any]) -> Trigger:
    match = trigger["match"]
    return Trigger(
        Match(
            causes=tuple(CauseKind(c) for c in match.get("cause", ())),
            severities=tuple(Severity(s) for s in match.get("severity", ())),
            services=match.get("services", ()),
            labels=match.get("labels", {}),
        ),
        trigger.get("when", ()),
    )


def _step(step: Mapping[str, Any]) -> Step:
    names = {"timeout": "timeout_s", "retries": "retries", "needs": "needs"}
    extra = {names[k]: v for k, v in step.items() if k in names}
    return Step(step["name"], step["action"], _arguments(step["action"], step.get("with", {})), **extra)


def _arguments(action: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the one form that executor and actuators know."""
    return action_of(action).normalised({k: list(v) if isinstance(v, tuple) else v for k, v in given.items()})


def _verify(verify: Mapping[str, Any] | None) -> Verify:
    if verify is None:
        return Verify(())
    names = {"for": "for_s", "within": "within_s"}
    return Verify(tuple(Check(**c) for c in verify["checks"]), **{names[k]: v for k, v in verify.items() if k in names})
