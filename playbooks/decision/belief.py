"""What remains to be believed of the causes once remedies have failed: their failure is evidence, which the diagnosis does not have. Pure.

Bayes' rule over the suspected causes and "none of them": a remedy of the true cause fails rarely, one of another cause nearly always.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.events import Candidate, Incident
from playbooks.decision.aims import target_of
from playbooks.decision.world import Attempt, DecisionWorld
from playbooks.language.model import Playbook

WORKS: Final = 0.8
"""Least probability that a remedy shows where its cause is the right one. What was learnt of a playbook includes wrong causes, so it is
a lower bound only where it is higher."""
BY_CHANCE: Final = 0.05
"""Probability that a remedy of something else is followed by a recovery that is taken for its doing."""
FAILED: Final = frozenset({"same", "worse", "rolled_back", "failed"})


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A remedy that did not help, and the playbook behind it."""

    attempt: Attempt
    playbook: Playbook


def failures(world: DecisionWorld, playbooks: Sequence[Playbook]) -> list[FailedAttempt]:
    """The attempts at this incident that did not help."""
    known = {p.name: p for p in playbooks}
    return [FailedAttempt(a, known[a.playbook]) for a in world.attempts if a.outcome in FAILED and a.playbook in known]


def believed(incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook]) -> Incident:
    """The incident with its causes as probable as they are after what was tried in vain; most probable first."""
    tried = failures(world, playbooks)
    if not tried or not incident.candidates:
        return incident
    weights = [c.probability * _likelihood(c, tried, incident.environment, world) for c in incident.candidates]
    rest = max(1.0 - sum(c.probability for c in incident.candidates), 0.0) * (1 - BY_CHANCE) ** len(tried)
    whole = sum(weights) + rest
    if whole <= 0:
        return incident
    changed = [
        msgspec.structs.replace(c, probability=round(w / whole, 4))
        for c, w in zip(incident.candidates, weights, strict=True)
    ]
    return msgspec.structs.replace(incident, candidates=tuple(sorted(changed, key=lambda c: -c.probability)))


def _likelihood(cause: Candidate, tried: Sequence[FailedAttempt], environment: str, world: DecisionWorld) -> float:
    """Probability of all those failures if this is the cause."""
    found = 1.0
    for one in tried:
        found *= 1 - (_works(cause, one, environment, world) if treats(one, cause) else BY_CHANCE)
    return found


def treats(failure: FailedAttempt, cause: Candidate) -> bool:
    """Whether what was tried is a remedy of the cause, on its service (or its caller, whose calls were led elsewhere)."""
    causes = failure.playbook.trigger.match.causes
    return failure.attempt.target == target_of(failure.playbook, cause) and (not causes or cause.kind in causes)


def _works(cause: Candidate, failure: FailedAttempt, environment: str, world: DecisionWorld) -> float:
    learnt = world.posteriors.probability(
        failure.playbook.name, cause.kind, environment, failure.attempt.target, world.now_ns
    )
    return min(max(learnt, WORKS), 0.95)
