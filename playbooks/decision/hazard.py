"""What a remedy does where another cause is the right one: a remedy that is harmless under the rivals beats one that isn't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from contracts.verdicts import CauseKind
from playbooks.decision.candidates import Proposal
from playbooks.language.actions import touching

K = CauseKind
HARM: Final[Mapping[str, Mapping[CauseKind, float]]] = {
    # Takes capacity from what has too little, and makes callers try again; mends neither the way to others nor others.
    "restart": {K.SATURATION: 3.0, K.NETWORK: 1.5, K.DEPENDENCY: 1.5},
    # More instances ask more of what is slow already; of what is wrong with the service itself there is merely more.
    "scale": {K.DEPENDENCY: 2.0, K.NETWORK: 1.0, K.BAD_RELEASE: 1.0, K.LATENCY: 0.5, K.HANG: 0.5, K.LEAK: 0.5},
    # The version before was all right; but under load every change of instances costs capacity.
    "rollback": {K.SATURATION: 2.0, K.HANG: 0.5, K.CRASH: 0.5, K.ERRORS: 0.5, K.LATENCY: 0.5},
}
"""By action, how many times its cost of failing it costs where the cause is of that kind and it is no remedy for it. What is not here
counts once: Google SRE Book, chapters 21 and 22, on restarts and retries under overload."""


def hazard_of(proposal: Proposal, p: float) -> float:
    """Expected harm of failing, in units of the playbook's cost of failing; `p` is P(success). With nothing known, P(failure)."""
    extra = sum(rival.probability * (harm_under(proposal, rival.kind) - 1) for rival in proposal.rivals)
    return max((1 - p) + extra, 0.0)


def harm_under(proposal: Proposal, kind: CauseKind) -> float:
    """How many times its cost of failing a proposal costs where the cause is of a kind that it is no remedy for."""
    acts = [action.name for action, _ in touching(proposal.playbook.steps)]
    return max((HARM.get(name, {}).get(kind, 1.0) for name in acts), default=1.0)
