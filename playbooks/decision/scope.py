"""What conditions of triggers may speak of, for one suspected cause (`playbooks.language.variables`). Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from contracts.events import Candidate, Change, Incident
from contracts.ports import Target
from contracts.units import SECOND
from playbooks.decision.probing import probed
from playbooks.decision.world import DecisionWorld, ServiceView, as_called
from playbooks.language.variables import argument_scope, detail_scope, numbers

SPEAKS: Final = 0.2
"""Weight from which evidence speaks for a cause: what playbooks are told of."""


def view_of(service: str, world: DecisionWorld) -> ServiceView:
    """What telemetry said of a service; empty if nothing."""
    return world.services.get(service) or ServiceView()


def scope_of(incident: Incident, cause: Candidate, world: DecisionWorld) -> dict[str, Any]:
    """Values of every variable that a condition may use, for one suspected cause."""
    standing, state = world.standings.get(cause.service), world.targets.get(cause.service)
    view = as_called(view_of(cause.service, world), standing)
    target = Target(incident.environment, cause.service, view.attributes)
    demand = 1.0 if standing is None else standing.times
    scope = argument_scope(incident.environment, incident.id, cause.kind, cause.probability, target, state, demand)
    scope["service.version"] = scope["service.version"] or view.version
    instance, sickest = (
        n if state is not None and n in state.instances else "" for n in (cause.instance, cause.sickest)
    )
    now = datetime.fromtimestamp(world.now_ns // SECOND, tz=UTC)
    return scope | {
        "incident.severity": str(incident.severity),
        "incident.age_s": max(world.now_ns - incident.onset_ns, 0) / SECOND,
        "incident.services": list(incident.services),
        "incident.blast_radius": list(incident.blast_radius),
        "cause.peer": cause.peer,
        "cause.evidence": [e.channel for e in cause.evidence if e.weight >= SPEAKS],
        "cause.instances": cause.instances,
        **detail_scope(instance, cause.caller, cause.callee, cause.flag),
        "cause.alike": cause.alike,
        "cause.sickest": sickest,
        "cause.probed": probed(cause.service, world),
        "cause.node": cause.node,
        "cause.zone": cause.zone,
        "features": numbers(view.values),
        "expected.low": numbers(view.low),
        "expected.high": numbers(view.high),
        "changes": [_change(c, world.now_ns) for c in incident.changes],
        "hour": now.hour,
        "weekday": now.isoweekday(),
    }


def _change(change: Change, now_ns: int) -> dict[str, Any]:
    age_s = max(now_ns - change.time_ns, 0) / SECOND
    texts = {k: getattr(change, k) for k in ("service", "kind", "actor", "before", "after")}
    return {**texts, "age_s": age_s}
