"""Limits that hold whatever the score says: pure, counted from the journal, asked twice (deciding, and before an effect)."""

from playbooks.guards.context import HISTORY_S, CircuitLimits, GuardContext, Held, affected_by
from playbooks.guards.effect import bounds_of, outage_of, planned_replicas
from playbooks.guards.guarding import GUARDS, check, check_all
from playbooks.guards.innocence import Standing, standing

__all__ = [
    "GUARDS",
    "HISTORY_S",
    "CircuitLimits",
    "GuardContext",
    "Held",
    "Standing",
    "affected_by",
    "bounds_of",
    "check",
    "check_all",
    "outage_of",
    "planned_replicas",
    "standing",
]
