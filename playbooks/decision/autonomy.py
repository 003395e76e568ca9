"""How much may be done without a person, now: the least of what people allow and what confidence in the world permits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.claims import CONTESTED
from contracts.events import Candidate, Control, Incident
from contracts.settings import DecideSettings
from contracts.units import SECOND
from contracts.verdicts import Autonomy, CauseKind, Conduct, HeldReason
from playbooks.decision.candidates import Proposal, all_ready, came_before, one_operation
from playbooks.decision.world import Attempt, DecisionWorld
from playbooks.guards import outage_of
from playbooks.language.actions import tells, touching
from playbooks.learning import surprise

SURPRISE_LIMIT: Final = 2.0
"""Standard deviations by which outcomes may be worse than predicted (one-sided 2.3 % if predictions are right)."""

PROVEN: Final = 0.9
"""Probability of the cause from which a target may be acted on that shows nothing itself, because it serves too little or is not
heard of."""

SERVING: Final = frozenset({CauseKind.LATENCY, CauseKind.ERRORS})
"""Causes that show in the requests which their service serves: of a few, or of none that it tells of, nothing of the kind can be told. Its
callers wait for those whom it calls, too."""

ODDS: Final = 3.0
"""Times as likely as its best rival a target must be to be acted on: substantial evidence (Jeffreys, Theory of Probability, appendix B)."""

OUTLASTS: Final = frozenset({CauseKind.BAD_RELEASE, CauseKind.FLAG})
"""Causes that what is done to the processes of their service leaves as they are: that it was in vain, or hurt, is no surprise once they are
told of."""

LATE_STALES: Final = 4.0
"""Times the age from which telemetry is stale that a diagnosis may be old because its telemetry came late: of what was so long ago nobody
knows how it is now."""

_ORDER: Final = (Autonomy.OBSERVE, Autonomy.SUGGEST, Autonomy.ACT)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A reason why less is done without a person."""

    reason: HeldReason
    text: str


@dataclass(frozen=True, slots=True)
class Permitted:
    """The level, what people allow, and the doubts that lower it."""

    level: Autonomy
    allowed: Autonomy
    doubts: tuple[Doubt, ...]


def lowest(*levels: Autonomy) -> Autonomy:
    """The one that permits least."""
    return min(levels, key=_ORDER.index)


def controls_for(environment: str, controls: tuple[Control, ...]) -> list[Control]:
    """Switches of this environment and of all."""
    return [c for c in controls if c.scope in ("*", environment)]


def permitted(
    proposal: Proposal | None, incident: Incident, world: DecisionWorld, settings: DecideSettings
) -> Permitted:
    """The effective autonomy for doing `proposal` (None: for this incident in general)."""
    controls = controls_for(incident.environment, world.controls)
    allowed = lowest(settings.autonomy, *(c.autonomy for c in controls))
    told = proposal is not None and tells(proposal.playbook)
    doubts = () if told else tuple(d for d in _doubts(proposal, incident, world, settings) if d is not None)
    return Permitted(lowest(allowed, Autonomy.SUGGEST) if doubts else allowed, allowed, doubts)


def _doubts(
    proposal: Proposal | None, incident: Incident, world: DecisionWorld, settings: DecideSettings
) -> list[Doubt | None]:
    return [
        _low_confidence(proposal, settings),
        _rivalled(proposal),
        _unproven(proposal, world),
        _one_operation(proposal),
        _after_effect(proposal, world),
        _misjudged(proposal, world),
        _ready(proposal, incident, world),
        _learning(proposal, world, settings),
        _stale(incident, world),
        _unknown_topology(proposal, world),
        _contested(proposal),
        _surprised(world),
        _outage(proposal),
    ]


def _low_confidence(proposal: Proposal | None, settings: DecideSettings) -> Doubt | None:
    if proposal is None or proposal.cause_probability >= settings.min_confidence:
        return None
    text = (
        f"the cause is only {proposal.cause_probability:.0%} sure, {settings.min_confidence:.0%} is needed to act alone"
    )
    return Doubt(HeldReason.LOW_CONFIDENCE, text)


def _rivalled(proposal: Proposal | None) -> Doubt | None:
    """What touches a target needs evidence that singles it out: against its best rival on another service. One surge saturates several
    services, and each of them needs more: they are no rivals of one another."""
    if proposal is None or not touching(proposal.playbook.steps):
        return None
    cause = proposal.causes[0]
    others = [r for r in proposal.rivals if r.service != cause.service and not _same_surge(proposal, r)]
    rival = max(others, key=lambda r: r.probability, default=None)
    if rival is None or proposal.cause_probability >= ODDS * rival.probability:
        return None
    text = (
        f"{rival.kind} of {rival.service} is {rival.probability:.0%} likely: {proposal.target.service} must be {ODDS:g} times "
        "as likely as any other to act alone"
    )
    return Doubt(HeldReason.LOW_CONFIDENCE, text)


def _same_surge(proposal: Proposal, rival: Candidate) -> bool:
    return proposal.causes[0].kind is rival.kind is CauseKind.SATURATION


def _unproven(proposal: Proposal | None, world: DecisionWorld) -> Doubt | None:
    """Of a target that is not known to answer otherwise than before the cause must be surer. Not being ready is proof enough."""
    if proposal is None or not touching(proposal.playbook.steps):
        return None
    standing, state = world.standings.get(proposal.target.service), proposal.state
    if standing is None or standing.conduct is not Conduct.UNKNOWN:
        return None
    scales = all(action.meets_demand for action, _ in touching(proposal.playbook.steps))
    unseen = (standing.few or standing.untold) and proposal.causes[0].kind in SERVING and not scales
    if proposal.cause_probability >= PROVEN and not (standing.lost or standing.new_routes or unseen):
        return None
    if state is not None and state.ready < state.replicas:
        return None
    wanted = (
        ""
        if standing.lost or standing.new_routes or unseen
        else f"; the cause must be {PROVEN:.0%} sure to act on that alone"
    )
    return Doubt(HeldReason.UNPROVEN, f"{proposal.target.service}: {standing.text}{wanted}")


def _one_operation(proposal: Proposal | None) -> Doubt | None:
    """One operation that stands out is no reason to disturb all that its service does well."""
    named = "" if proposal is None else one_operation(proposal.causes[0])
    if proposal is None or not named or all(action.mends_part for action, _ in touching(proposal.playbook.steps)):
        return None
    text = f"only {named} stands out: the rest of {proposal.target.service} is as it was"
    return Doubt(HeldReason.UNPROVEN, text)


def _after_effect(proposal: Proposal | None, world: DecisionWorld) -> Doubt | None:
    """While an earlier incident is not over, whoever else is ill may suffer from it, and disturbing them adds to it."""
    if proposal is None or not touching(proposal.playbook.steps):
        return None
    before = next(iter(came_before(proposal.causes[0], world)), None)
    if before is None:
        return None
    whose = f" ({before.kind} of {before.service})" if before.service else ""
    text = f"an earlier incident{whose} is not over: what {proposal.target.service} suffers from may come of it"
    return Doubt(HeldReason.UNPROVEN, text)


def _misjudged(proposal: Proposal | None, world: DecisionWorld) -> Doubt | None:
    """Who was repaired in vain was not the culprit, or not in that way: then the next suspect of the same diagnosis is hardly surer, nor does the
    same help under another name. More room for more demand is no guess, nor is to undo a change of who was only started anew."""
    if proposal is None or not touching(proposal.playbook.steps):
        return None
    if all(action.meets_demand for action, _ in touching(proposal.playbook.steps)):
        return None
    target = proposal.target.service
    if proposal.tried:
        text = f"{proposal.tried} did the same to {target} and did not help"
        return Doubt(HeldReason.UNPROVEN, text)
    tried = [a for a in world.attempts if not _in_vain_anyway(a, proposal)]
    failed = [a for a in tried if a.outcome == "worse" or (a.outcome == "same" and a.target != target)]
    if not failed:
        return None
    last = failed[-1]
    made = "made it worse" if last.outcome == "worse" else "did not help"
    return Doubt(HeldReason.UNPROVEN, f"{last.playbook} on {last.target} {made}: the diagnosis is in doubt")


def _in_vain_anyway(attempt: Attempt, proposal: Proposal) -> bool:
    """Whether an attempt was to be in vain if the cause is the one by now: a change is there still after a restart; on a sick node who was started
    anew is sick again, and who was moved off it suffers from those that are there still."""
    cause, moved = proposal.causes[0], attempt.playbook == proposal.playbook.name
    if cause.kind is CauseKind.NODE:
        return attempt.outcome == "same" if moved else attempt.target in cause.there
    return cause.kind in OUTLASTS and attempt.target == proposal.target.service


def _ready(proposal: Proposal | None, incident: Incident, world: DecisionWorld) -> Doubt | None:
    """What the platform has ready is not gone, whatever callers say."""
    if proposal is None or not touching(proposal.playbook.steps):
        return None
    text = all_ready(proposal.causes[0], incident, world)
    return Doubt(HeldReason.UNPROVEN, text) if text else None


def _learning(proposal: Proposal | None, world: DecisionWorld, settings: DecideSettings) -> Doubt | None:
    """What is usual has to be known before anything is called unusual enough to be acted on."""
    if (
        not 0 < world.learning_ns < settings.learn_s * SECOND
        or proposal is None
        or not touching(proposal.playbook.steps)
    ):
        return None
    known_s = world.learning_ns / SECOND
    text = f"telemetry of {proposal.target.environment} has been heard of for {known_s:.0f} s: what is usual there is hardly known"
    return Doubt(HeldReason.UNPROVEN, text)


def _stale(incident: Incident, world: DecisionWorld) -> Doubt | None:
    """The target's own silence is no sign (a crashed service is silent); that of the whole environment is. A diagnosis is told
    again only when it changes, and is as young as the last sign that its services are not well; where telemetry comes late, it is as
    old when it comes."""
    silent_s = (world.now_ns - world.heard_ns) / SECOND
    if silent_s > world.limits.stale_s:
        since = f"for {silent_s:.0f} s" if world.heard_ns else "yet"
        return Doubt(HeldReason.STALE_TELEMETRY, f"no telemetry has come in {since}")
    last_ns = max(incident.time_ns, world.confirmed_ns)
    age_s = (world.now_ns - last_ns) / SECOND
    late_s = (world.now_ns - world.reached_ns) / SECOND if world.reached_ns else 0.0
    if age_s - max(late_s, 0.0) > world.limits.stale_s or age_s > LATE_STALES * world.limits.stale_s:
        return Doubt(HeldReason.STALE_TELEMETRY, f"the diagnosis is {age_s:.0f} s old, and nothing confirmed it since")
    return None


def _unknown_topology(proposal: Proposal | None, world: DecisionWorld) -> Doubt | None:
    if not world.known_services:
        return Doubt(HeldReason.UNKNOWN_TOPOLOGY, "no topology is known")
    if proposal is not None and proposal.target.service not in world.known_services:
        return Doubt(HeldReason.UNKNOWN_TOPOLOGY, f"{proposal.target.service} is not in the topology")
    return None


def _contested(proposal: Proposal | None) -> Doubt | None:
    said = "" if proposal is None else proposal.target.attributes.get(CONTESTED, "")
    if proposal is None or not said:
        return None
    text = f"telemetry says different things of what {proposal.target.service} is: {said}"
    meant = None if proposal.state is None else proposal.state.identity
    approved = f"; an approval would be for {meant.words}" if meant is not None else ""
    return Doubt(HeldReason.TARGET_CONTESTED, text + approved)


def _outage(proposal: Proposal | None) -> Doubt | None:
    """What takes away all that serves is a person's to allow, whatever the tier."""
    text = "" if proposal is None else outage_of(proposal.playbook, proposal.state)
    return Doubt(HeldReason.OUTAGE, text) if text else None


def _surprised(world: DecisionWorld) -> Doubt | None:
    z = surprise(world.predictions, world.now_ns)
    if z <= SURPRISE_LIMIT:
        return None
    return Doubt(HeldReason.LOW_CONFIDENCE, f"recent repairs went worse than predicted ({z:.1f} standard deviations)")
