"""What an option is worth: named terms, whose sum is its score.

    p       = Σ over its causes of  P(cause) · P(success | cause)
    harm    = (1 − p) + Σ over rival causes of  P(cause) · (how much more, or less, it harms there − 1)
    score   = p · value · weight(severity) − harm · cost of failing − cost − what was tried in vain before

Doing nothing is worth 0; asking a person is worth a little where it matters and less than nothing where it doesn't.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.events import Candidate, Incident, Term
from contracts.verdicts import Severity
from playbooks.decision.candidates import Proposal
from playbooks.decision.hazard import harm_under, hazard_of
from playbooks.decision.world import DecisionWorld
from playbooks.guards import share_of

WEIGHT: Final = {Severity.INFO: 0.5, Severity.WARNING: 1.0, Severity.CRITICAL: 1.25}
"""How much more a repair is worth the more it hurts."""

TIER_FACTOR: Final = {1: 1.0, 2: 1.5, 3: 2.0}
"""How much more a failure costs the more risky the remedy."""

PERSON_HELPS: Final = 0.3
"""Worth of a person looking, before weighting: they can do what playbooks can't, minutes later."""

ATTENTION: Final = 0.2
"""Cost of a person's attention, whatever the severity."""

DELAY: Final = 0.05
"""Cost of the minutes until a person looks, before weighting."""

IN_VAIN: Final = {"inconclusive": 0.5, "refused": 0.5, "cancelled": 0.5, "better": 0.0, "succeeded": 0.0}
"""How much less a remedy is worth per earlier attempt in this incident, as a share of its value; 1 where it failed."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Terms of an option, their sum, and P(success) including whether the cause is the right one."""

    score: float
    probability: float
    terms: tuple[Term, ...]


def score(proposal: Proposal, incident: Incident, world: DecisionWorld) -> Scored:
    """What a playbook on its target is worth."""
    playbook, p = proposal.playbook, success_probability(proposal, world)
    worth = playbook.value * WEIGHT[incident.severity]
    reach = blast_share(proposal, incident, world)
    harm = hazard_of(proposal, p)
    failing = playbook.cost * TIER_FACTOR[playbook.tier] * (1 + reach)
    terms = [
        Term(
            name="success",
            value=_r(p * worth),
            text=f"P(success) {p:.2f} × value {playbook.value:g} × {WEIGHT[incident.severity]:g} ({incident.severity})",
        ),
        Term(
            name="failure",
            value=_r(-harm * failing),
            text=f"P(failure) {1 - p:.2f}{_under_rivals(harm, p)} × {failing:.2f}: cost {playbook.cost:g}, "
            f"tier {playbook.tier}, {reach:.0%} of services suffer",
        ),
        Term(name="disturbance", value=_r(-playbook.cost), text=f"costs {playbook.cost:g} even if it works"),
    ]
    tried = _in_vain(proposal, world)
    if tried:
        terms.append(Term(name="tried", value=_r(-tried[0] * worth), text=tried[1]))
    return Scored(_r(sum(t.value for t in terms)), _r(p), tuple(terms))


def value_under(proposal: Proposal, cause: Candidate, incident: Incident, world: DecisionWorld) -> float:
    """What a playbook on its target would be worth if a cause were known to be the one."""
    playbook, target = proposal.playbook, proposal.target
    worth = playbook.value * WEIGHT[incident.severity]
    failing = playbook.cost * TIER_FACTOR[playbook.tier] * (1 + blast_share(proposal, incident, world))
    tried = _in_vain(proposal, world)
    fixed = playbook.cost + (tried[0] * worth if tried else 0.0)
    if cause not in proposal.causes:
        return -failing * harm_under(proposal, cause.kind) - fixed
    p = world.posteriors.probability(playbook.name, cause.kind, target.environment, target.service, world.now_ns)
    return p * worth - (1 - p) * failing - fixed


def _under_rivals(harm: float, p: float) -> str:
    return "" if abs(harm - (1 - p)) < 1e-9 else f", {harm:.2f} by what it does under rival causes,"


def success_probability(proposal: Proposal, world: DecisionWorld) -> float:
    """That one of its causes is the right one and the playbook is its remedy."""
    target, total = proposal.target, 0.0
    for cause in proposal.causes:
        given = world.posteriors.probability(
            proposal.playbook.name, cause.kind, target.environment, target.service, world.now_ns
        )
        total += cause.probability * given
    return min(total, 1.0)


def blast_share(proposal: Proposal, incident: Incident, world: DecisionWorld) -> float:
    """Share of the services at work that suffer from the incident or are acted on."""
    return share_of({*incident.blast_radius, *incident.services, proposal.target.service}, world.at_work)


def _in_vain(proposal: Proposal, world: DecisionWorld) -> tuple[float, str] | None:
    name, service = proposal.playbook.name, proposal.target.service
    before = [a for a in world.attempts if a.playbook == name and a.target == service and not a.over]
    if not before:
        return None
    share = sum(IN_VAIN.get(a.outcome, 1.0) for a in before)
    return share, f"tried in this incident already: {', '.join(a.outcome for a in before)}"


def do_nothing(incident: Incident) -> Scored:
    """Waiting costs nothing here and now, and repairs nothing: the measure for all others."""
    del incident
    return Scored(0.0, 0.0, (Term(name="baseline", value=0.0, text="nothing is risked and nothing repaired"),))


def ask_a_person(incident: Incident) -> Scored:
    """A person can do what playbooks can't, at the price of attention and minutes."""
    weight = WEIGHT[incident.severity]
    terms = (
        Term(
            name="person",
            value=_r(PERSON_HELPS * weight),
            text=f"a person can help, × {weight:g} ({incident.severity})",
        ),
        Term(name="attention", value=-ATTENTION, text="takes somebody's attention"),
        Term(name="delay", value=_r(-DELAY * weight), text="callers wait meanwhile"),
    )
    return Scored(_r(sum(t.value for t in terms)), 0.0, terms)


def _r(value: float) -> float:
    """Rounded, so that platforms' last bits don't decide between options."""
    return round(value, 9) + 0.0
