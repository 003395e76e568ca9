"""What a playbook would be done to for a suspected cause."""

from __future__ import annotations

from contracts.events import Candidate
from playbooks.language.actions import touching
from playbooks.language.model import Playbook


def target_of(playbook: Playbook, cause: Candidate) -> str:
    """The service that a playbook is for: the one that a cause is in; where it changes how calls are led, the one that makes them."""
    acts = [action for action, _ in touching(playbook.steps)]
    return cause.caller if acts and cause.caller and all(a.at_caller for a in acts) else cause.service


def meant_by(playbook: Playbook, cause: Candidate) -> tuple[str, str]:
    """The target for a cause, and whose calls are meant: both ends of one path are one cause to who leads calls around it."""
    target = target_of(playbook, cause)
    return target, cause.callee if target == cause.caller else ""
