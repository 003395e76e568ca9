"""What a probe told of a service in this incident, and what follows from it: the others are restarted, or nothing is. Pure."""

from __future__ import annotations

from typing import Final

from contracts.events import Candidate, Feedback
from contracts.verdicts import CauseKind, HeldReason, ProbeFinding
from playbooks.decision.world import Attempt, DecisionWorld
from playbooks.guards import Held
from playbooks.language.actions import variants
from playbooks.language.model import Playbook

ALL_OF_THEM: Final = "restart/rolling"
ONE_OF_THEM: Final = "restart/instance"
"""What is done to all instances of a target, and to one."""
RESTARTS: Final = frozenset({ALL_OF_THEM, ONE_OF_THEM})


def attempt_of(feedback: Feedback, now_ns: int) -> Attempt:
    """A verified outcome as what was tried."""
    told = feedback.text if feedback.probed is not None else ""
    return Attempt(
        feedback.decision,
        feedback.playbook,
        feedback.target,
        str(feedback.outcome),
        now_ns,
        feedback.well,
        feedback.probed,
        told,
        CauseKind.UNKNOWN if feedback.probed is None else feedback.cause,
    )


def probe_of(service: str, world: DecisionWorld) -> Attempt | None:
    """The latest probe of a service that told something."""
    found = (a for a in reversed(world.attempts) if a.target == service and a.probed is not None)
    return next(found, None)


def probed(service: str, world: DecisionWorld) -> str:
    """What it told; "" where there was none, or it told nothing."""
    probe = probe_of(service, world)
    return "" if probe is None or probe.probed is None else str(probe.probed)


def shared(playbook: Playbook, service: str, world: DecisionWorld) -> Held | None:
    """What only starts processes anew is not done to a service of which a probe told that its trouble is what its instances share."""
    probe, done = probe_of(service, world), variants(playbook)
    if probe is None or probe.probed is not ProbeFinding.SICK or not done or not done <= RESTARTS:
        return None
    return Held(HeldReason.SHARED, probe.told)


def continues(playbook: Playbook, causes: tuple[Candidate, ...], world: DecisionWorld) -> str:
    """What a probe told, where a playbook goes on with what it began: it restarts the others as well; "" else."""
    probe = probe_of(causes[0].service, world)
    goes_on = probe is not None and probe.probed is ProbeFinding.WELL and ALL_OF_THEM in variants(playbook)
    return probe.told if probe is not None and goes_on else ""
