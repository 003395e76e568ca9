"""Choosing what to do: every option with its score and why it won or lost. Pure and deterministic."""

from playbooks.decision.deciding import NOTHING, PERSON, decide
from playbooks.decision.world import (
    Attempt,
    DecisionLimits,
    DecisionWorld,
    ServiceView,
    limits_of,
    world_hash,
)

__all__ = [
    "NOTHING",
    "PERSON",
    "Attempt",
    "DecisionLimits",
    "DecisionWorld",
    "ServiceView",
    "decide",
    "limits_of",
    "world_hash",
]
