"""What remains to be believed of the causes once remedies have failed: their failure is evidence, which the diagnosis does not have. Pure.

Bayes' rule over the suspected causes and "none of them": a remedy of the true cause fails rarely, one of another cause nearly always. A probe
is no remedy: what it told of the one instance speaks for causes that end with a process, or for those that outlast it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from contracts.events import Candidate, Incident
from contracts.verdicts import CauseKind, ProbeFinding
from playbooks.decision.aims import target_of
from playbooks.decision.world import Attempt, DecisionWorld
from playbooks.language.actions import probes
from playbooks.language.model import Playbook

WORKS: Final = 0.8
"""Least probability that a remedy shows where its cause is the right one. What was learnt of a playbook includes wrong causes, so it is
a lower bound only where it is higher."""
BY_CHANCE: Final = 0.05
"""Probability that a remedy of something else is followed by a recovery that is taken for its doing."""
ENDS_WITH_PROCESS: Final = frozenset(
    {CauseKind.LATENCY, CauseKind.ERRORS, CauseKind.HANG, CauseKind.CRASH, CauseKind.LEAK}
)
"""Causes that may sit in the processes of their service; all others are there still once one is replaced."""
EITHER_WAY: Final = 0.5
"""Probability that such a cause does sit in the processes: half of what shows as slowness or failures of all instances alike, with no reason of
its own, does in simulated systems; the other half is data, keys, flags and settings that nobody told of."""
FAILED: Final = frozenset({"same", "worse", "rolled_back", "failed"})


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """A remedy that did not help, and the playbook behind it."""

    attempt: Attempt
    playbook: Playbook


def failures(world: DecisionWorld, playbooks: Sequence[Playbook]) -> list[FailedAttempt]:
    """The attempts at this incident that did not help."""
    known = {p.name: p for p in playbooks}
    return [
        FailedAttempt(a, known[a.playbook])
        for a in world.attempts
        if a.outcome in FAILED and a.playbook in known and not probes(known[a.playbook])
    ]


def believed(incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook]) -> Incident:
    """The incident with its causes as probable as they are after what was tried in vain; most probable first."""
    tried, told = failures(world, playbooks), [a for a in world.attempts if a.probed is not None]
    if not (tried or told) or not incident.candidates:
        return incident
    incident = msgspec.structs.replace(incident, candidates=tuple(_as_probed(c, told) for c in incident.candidates))
    weights = [
        c.probability * _likelihood(c, tried, incident.environment, world) * _told_by(c, told)
        for c in incident.candidates
    ]
    rest = max(1.0 - sum(c.probability for c in incident.candidates), 0.0) * (1 - BY_CHANCE) ** len(tried)
    for probe in told:
        rest *= BY_CHANCE if probe.probed is ProbeFinding.WELL else 1 - BY_CHANCE
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


def _as_probed(cause: Candidate, told: Sequence[Attempt]) -> Candidate:
    """The cause; but what shows as saturation of a service whose new instance is well under the same demand is what was probed: processes that
    are slow fill up."""
    well = [a for a in told if a.target == cause.service and a.probed is ProbeFinding.WELL]
    if not well or cause.kind is not CauseKind.SATURATION or well[-1].cause is CauseKind.UNKNOWN:
        return cause
    return msgspec.structs.replace(cause, kind=well[-1].cause)


def _told_by(cause: Candidate, told: Sequence[Attempt]) -> float:
    """Probability of what probes told if this is the cause. Causes elsewhere are there still for an instance that is replaced."""
    found = 1.0
    for probe in told:
        own = cause.service == probe.target and cause.kind in ENDS_WITH_PROCESS
        well = EITHER_WAY if own else BY_CHANCE
        found *= well if probe.probed is ProbeFinding.WELL else 1 - well
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
