"""Which playbooks are remedies for which of the suspected causes, and what holds them back."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.errors import ActionFailed
from contracts.events import Candidate, Incident, fewer
from contracts.external import EXTERNAL
from contracts.ports import Target, TargetState
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, CauseKind, HeldReason, Severity
from playbooks.decision.aims import meant_by, target_of
from playbooks.decision.echo import echoed
from playbooks.decision.probing import ALL_OF_THEM, ONE_OF_THEM, shared
from playbooks.decision.scope import SPEAKS, scope_of, view_of
from playbooks.decision.world import DecisionWorld, Earlier
from playbooks.guards import GuardContext, Held, check, planned_replicas
from playbooks.language.actions import touching, variants
from playbooks.language.model import Playbook
from playbooks.language.unmet import unmet

NOTICED_S: Final = 10.0
"""Seconds that a platform may take to notice that an instance is gone: more than a liveness probe of every second or a watch of processes."""
GONE: Final = frozenset({"restart", "oom", "eviction", "start"})
"""Kinds of change that tell of instances that ended or don't start: between two of them all may seem ready."""
PASSES_S: Final = 30.0
"""Seconds for which what users hardly feel may pass by itself: bursts, warming up, a pause of a neighbour."""
PASSING: Final = frozenset({CauseKind.SATURATION, CauseKind.LATENCY})
"""Causes with which a service answers, only later than usual, and that often end by themselves."""
WELL_S: Final = 10.0
"""Seconds for which users must have been well for it to have passed, whatever it is."""
WARMS_S: Final = 60.0
"""Seconds in which a new release is warm."""
WARMING: Final = frozenset({"latency", "cpu"})
"""What a release shows for a moment although nothing is wrong with it."""
COMPARED: Final = frozenset({CauseKind.LATENCY, CauseKind.ERRORS})
COMPARED_S: Final = 10.0
"""Causes with which a service still answers, for which its instances are compared before all of them are restarted; seconds since the onset that
this may take: half as long as what counts as lately (`contracts.parts`)."""
TOP_CAUSES: Final = 3
"""Suspected causes that remedies are sought for; below, the diagnosis itself does not believe in them."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A playbook on a service, for the suspected causes there that it is a remedy for (most probable first)."""

    playbook: Playbook
    target: Target
    state: TargetState | None
    causes: tuple[Candidate, ...]
    held: Held | None
    rivals: tuple[Candidate, ...] = ()
    """Other suspected causes, which it is no remedy for."""
    tried: str = ""
    """The playbook by which the same was done to the target in this incident, and changed nothing."""

    @property
    def cause_probability(self) -> float:
        """That one of its causes is the one."""
        return min(sum(c.probability for c in self.causes), 1.0)


def top_causes(incident: Incident) -> tuple[Candidate, ...]:
    """The most probable causes, most probable first."""
    ranked = sorted(incident.candidates, key=lambda c: (-c.probability, c.service, c.kind))
    return tuple(ranked[:TOP_CAUSES])


def involved_in(incident: Incident) -> list[str]:
    """The services that may be acted on for the most probable causes."""
    return list(dict.fromkeys(name for c in top_causes(incident) for name in (c.service, c.caller) if name))


def proposals(incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook]) -> list[Proposal]:
    """Every playbook × service that matches, in the order of playbook names; held back or not."""
    causes = top_causes(incident)
    found = []
    for playbook in sorted(playbooks, key=lambda p: p.name):
        for meant in dict.fromkeys(meant_by(playbook, c) for c in causes):
            matching = [c for c in causes if meant_by(playbook, c) == meant and _matches(playbook, incident, c, world)]
            if matching:
                tried = _tried(playbook, meant[0], world, playbooks)
                found.append(replace(_proposal(playbook, matching, incident, world), tried=tried))
    return found


def _tried(playbook: Playbook, service: str, world: DecisionWorld, playbooks: Sequence[Playbook]) -> str:
    """The playbook that did the same to a service in this incident, by whatever name, and changed nothing; "" where none did. All instances
    are more than one of them."""
    wanted = variants(playbook)
    for attempt in world.attempts:
        done = {v for p in playbooks if p.name == attempt.playbook for v in variants(p)}
        done |= {ONE_OF_THEM} if ALL_OF_THEM in done else set()
        if wanted and wanted <= done and (attempt.target, attempt.outcome) == (service, "same"):
            return attempt.playbook
    return ""


def _matches(playbook: Playbook, incident: Incident, cause: Candidate, world: DecisionWorld) -> bool:
    match = playbook.trigger.match
    attributes = view_of(cause.service, world).attributes
    return (
        (not match.causes or cause.kind in match.causes)
        and (not match.severities or incident.severity in match.severities)
        and (not match.services or any(fnmatch.fnmatchcase(cause.service, g) for g in match.services))
        and all(fnmatch.fnmatchcase(attributes.get(k, ""), g) for k, g in match.labels.items())
    )


def _proposal(playbook: Playbook, causes: list[Candidate], incident: Incident, world: DecisionWorld) -> Proposal:
    service = target_of(playbook, causes[0])
    target = Target(incident.environment, service, dict(view_of(service, world).attributes))
    state = world.targets.get(service)
    others = tuple(c for c in top_causes(incident) if c not in causes)
    failed = {c.kind: next(_unmet(playbook, scope_of(incident, c, world)), "") for c in causes}
    meant = [c for c in causes if not failed[c.kind]]
    if state is None and touching(
        playbook.steps
    ):  # of what no actuator knows no condition can be told, and a guard says so
        meant = meant or causes
    if not meant:
        held = shared(playbook, service, world) or Held(HeldReason.CONDITION, failed[causes[0].kind])
        return Proposal(playbook, target, state, tuple(causes), held, others)
    held_back = (
        shared(playbook, service, world)
        or _outside(playbook, service, meant, incident)
        or _unfelt(playbook, meant, incident, world)
        or _may_pass(playbook, meant, incident, world)
    )
    if held_back is None:
        known = meant[0].kind is not CauseKind.LATENCY or bool(meant[0].operation)
        told = _told(world, target, known)
        held_back = _guarded(playbook, target, state, scope_of(incident, meant[0], world), told, incident)
    held_back = held_back or _handed_on(playbook, meant, world)
    held_back = held_back or echoed(playbook, target.service, state, world)
    held_back = held_back or _amid(playbook, meant, world) or _still_ready(playbook, meant, incident, world)
    held_back = held_back or _uncompared(playbook, meant, incident, world)
    return Proposal(playbook, target, state, tuple(meant), held_back, others)


def merely_late(incident: Incident) -> bool:
    """Whether there is a leading suspect that still answers, only later than usual."""
    return any(c.kind in PASSING for c in top_causes(incident)[:1])


def one_operation(cause: Candidate) -> str:
    """The operation that a suspected cause is confined to; "" where it shows in other ways than that requests are slow or fail."""
    return cause.operation if cause.kind in (CauseKind.LATENCY, CauseKind.ERRORS) else ""


def _told(world: DecisionWorld, target: Target, known: bool) -> DecisionWorld:
    """The same world; where it is known which operation of the target stands out, or that would explain nothing, it is not waited for."""
    standing = world.standings.get(target.service)
    if not known or standing is None or not standing.partly:
        return world
    return replace(world, standings={**world.standings, target.service: replace(standing, partly=False)})


def _outside(playbook: Playbook, service: str, causes: list[Candidate], incident: Incident) -> Held | None:
    """What others run is not acted on, nor is who only suffers from it: a person is told."""
    if not touching(playbook.steps):
        return None
    if service.startswith(EXTERNAL):
        return Held(HeldReason.OUTSIDE, f"{service} is run by others: nothing here can act on it")
    leading = top_causes(incident)[0]
    if leading.service.startswith(EXTERNAL) and leading.probability > sum(c.probability for c in causes):
        return Held(
            HeldReason.OUTSIDE, f"{leading.service}, which others run, is the likelier cause: {service} suffers from it"
        )
    return None


def _unfelt(playbook: Playbook, causes: list[Candidate], incident: Incident, world: DecisionWorld) -> Held | None:
    """While users are served as before nothing is disturbed: whether they will feel it is waited for. Who is slow or saturated, and was felt
    for a moment only, is left alone as well, and everybody once users have been well for a while: it has passed, or comes again."""
    if not touching(playbook.steps):
        return None
    if incident.severity is Severity.INFO:
        return Held(HeldReason.UNFELT, "users are served as before: nothing is disturbed while they are")
    passed = bool(world.well_ns) and world.now_ns - world.well_ns >= WELL_S * SECOND
    if incident.felt is Severity.INFO and (passed or all(c.kind in PASSING for c in causes)):
        return Held(HeldReason.UNFELT, "users are served as before by now: nothing is disturbed while they are")
    return None


def _may_pass(playbook: Playbook, causes: list[Candidate], incident: Incident, world: DecisionWorld) -> Held | None:
    """Where users hardly feel it by now, what still serves is given a moment: a burst passes, a cold cache warms up."""
    if not touching(playbook.steps) or (incident.felt or incident.severity) is Severity.CRITICAL:
        return None
    if not all(c.kind in PASSING or _warms_up(c) for c in causes):
        return None
    passes_s = WARMS_S if any(c.kind not in PASSING for c in causes) else PASSES_S
    if (world.now_ns - incident.onset_ns) / SECOND >= passes_s:
        return None
    return Held(HeldReason.UNFELT, f"users hardly feel it: for {passes_s:.0f} s it may pass by itself")


def _warms_up(cause: Candidate) -> bool:
    """Whether a release only shows in that requests take longer: its caches are cold, its code is not compiled yet."""
    said = {e.channel for e in cause.evidence if e.weight >= SPEAKS and e.channel not in ("release", "restarts")}
    return cause.kind is CauseKind.BAD_RELEASE and bool(said) and said <= WARMING


def _uncompared(playbook: Playbook, causes: list[Candidate], incident: Incident, world: DecisionWorld) -> Held | None:
    """Before all instances of a service that is slow or fails are disturbed, they are compared: one alone may be sick. That takes a moment."""
    state, cause = world.targets.get(causes[0].service), causes[0]
    if (
        cause.kind not in COMPARED
        or cause.instances > 1
        or state is None
        or state.replicas < 2
        or not touching(playbook.steps)
    ):
        return None
    if ALL_OF_THEM not in variants(playbook):
        return None
    reached_ns = world.reached_ns or world.now_ns  # telemetry that comes late tells of its instances late
    if reached_ns - incident.onset_ns >= COMPARED_S * SECOND:
        return None
    return Held(HeldReason.UNPROVEN, f"how the {state.replicas} instances of {cause.service} compare is not known yet")


def came_before(cause: Candidate, world: DecisionWorld) -> list[Earlier]:
    """The earlier incidents that a cause may be an after-effect of. One surge saturates one service after another, and each of them needs
    more: those are none of one another."""
    surged = cause.kind is CauseKind.SATURATION
    return [e for e in world.earlier if not (surged and e.kind is CauseKind.SATURATION)]


def being_mended(cause: Candidate, world: DecisionWorld) -> Earlier | None:
    """The earlier incident that a cause may be an after-effect of, and a remedy for which is under way, or was verified a moment ago."""
    return next((e for e in came_before(cause, world) if e.mending), None)


def _amid(playbook: Playbook, causes: list[Candidate], world: DecisionWorld) -> Held | None:
    """While a remedy for an earlier incident is under way, what comes of it is waited for: it may end this one as well."""
    earlier = being_mended(causes[0], world)
    if earlier is None or not touching(playbook.steps):
        return None
    return Held(
        HeldReason.CONCURRENCY,
        f"{earlier.service}, ill since earlier, is being repaired, or was a moment ago: what comes of that is waited for",
    )


def _handed_on(playbook: Playbook, causes: list[Candidate], world: DecisionWorld) -> Held | None:
    """Who fails because those whom it calls do is no cause of failures."""
    standing = world.standings.get(causes[0].service)
    if (
        standing is None
        or not standing.handed_on
        or causes[0].kind is not CauseKind.ERRORS
        or not touching(playbook.steps)
    ):
        return None
    return Held(HeldReason.INNOCENT, f"{causes[0].service} is not to blame: {standing.handed_on}")


def all_ready(cause: Candidate, incident: Incident, world: DecisionWorld) -> str:
    """That a service which is said to have crashed, because its calls are refused at once, has all its instances ready, as the platform has it;
    "" where that isn't so, or not known. Its calls may be lost on the way: by a certificate, a name, a policy, a proxy."""
    state, standing = world.targets.get(cause.service), world.standings.get(cause.service)
    if cause.kind is not CauseKind.CRASH or state is None or not 0 < state.replicas <= state.ready:
        return ""
    alone = standing is not None and standing.answers and state.replicas == 1
    if standing is None or not (standing.refused or alone):
        return ""  # who is waited for in vain may hang, and be ready all the same
    if any(c.service == cause.service and c.kind in GONE for c in incident.changes):
        return ""
    said = "are refused at once" if standing.refused else "are lost, while it answers others"
    return f"calls to {cause.service} {said}, and its platform has {state.ready} of {state.replicas} instances ready"


def _still_ready(playbook: Playbook, causes: list[Candidate], incident: Incident, world: DecisionWorld) -> Held | None:
    """A platform takes a moment to notice that an instance is gone."""
    text = all_ready(causes[0], incident, world)
    noticed = world.now_ns - incident.onset_ns >= NOTICED_S * SECOND
    return Held(HeldReason.UNPROVEN, text) if text and not noticed and touching(playbook.steps) else None


def _undemanded(service: str, state: TargetState, world: DecisionWorld, incident: Incident) -> Held | None:
    """More of a service is for more demand, or for lost capacity. Waits and queues alone are none: a lock, a leak of connections or a
    slow callee makes them as well, and more instances only ask more of it."""
    standing = world.standings.get(service)
    if standing is None or standing.demand or standing.untold or standing.lost or state.ready < state.replicas:
        return None
    if any(fewer(c) and c.service == service for c in incident.changes):
        return None
    asked = standing.again or f"{service} is asked for no more than it had room for, and has lost no capacity"
    text = f"{asked}: more of it would mend nothing"
    return Held(HeldReason.NO_DEMAND, text)


def _unread(service: str, world: DecisionWorld, incident: Incident) -> Held | None:
    """Before there is more of a service it is seen how busy it is, where that is told often. Requests that fail are asked again, and what
    explains that better, a release, is told of a moment later."""
    standing = world.standings.get(service)
    if standing is None or not standing.unread or world.now_ns - incident.onset_ns >= COMPARED_S * SECOND:
        return None
    return Held(HeldReason.UNPROVEN, f"how busy {service} is has not been told since the onset")


def _unmet(playbook: Playbook, scope: Mapping[str, Any]) -> Iterator[str]:
    for condition in playbook.trigger.when:
        text = unmet(condition, scope)
        if text:
            yield text


def _guarded(
    playbook: Playbook,
    target: Target,
    state: TargetState | None,
    scope: Mapping[str, Any],
    world: DecisionWorld,
    incident: Incident,
) -> Held | None:
    if world.untold_s:
        text = f"what is under way, and how targets are, has not been told for {world.untold_s:.0f} s"
        return Held(HeldReason.JOURNAL_UNAVAILABLE, text)
    try:
        planned = planned_replicas(playbook, state, scope)
    except ActionFailed as e:
        return Held(HeldReason.CONDITION, str(e))
    context = GuardContext(
        now_ns=world.now_ns,
        history=world.history,
        open_runs=[r for r in world.history if r.state not in TERMINAL_RUN_STATES],
        known_services=world.at_work,
        planned=planned,
        controls=world.controls,
        actions=world.actions,
        max_concurrent=world.limits.max_concurrent,
        circuit=world.limits.circuit,
        identity="" if state is None or state.identity is None else state.identity.key,
        standing=world.standings.get(target.service),
        named=world.limits.named,
        ourselves=world.limits.ourselves,
    )
    held = check(playbook, target, state, context)
    if held is not None or state is None or max(planned, default=0) <= state.replicas:
        return held
    return _undemanded(target.service, state, world, incident) or _unread(target.service, world, incident)
