"""Limits that hold whatever the score says: pure, counted from the journal, asked twice (deciding, and before an effect)."""

from playbooks.guards.context import (
    HISTORY_S,
    OTHERS_ALONE,
    CircuitLimits,
    GuardContext,
    Held,
    NamedTargets,
    Ourselves,
    affected_by,
    named_targets,
    ourselves,
)
from playbooks.guards.effect import bounds_of, outage_of, planned_replicas
from playbooks.guards.guarding import GUARDS, alone, check, check_all
from playbooks.guards.innocence import Standing, standing
from playbooks.guards.passed import passed
from playbooks.guards.serving import Serving, share_of
from playbooks.guards.singling import singled_out

__all__ = [
    "GUARDS",
    "HISTORY_S",
    "OTHERS_ALONE",
    "CircuitLimits",
    "GuardContext",
    "Held",
    "NamedTargets",
    "Ourselves",
    "Serving",
    "Standing",
    "affected_by",
    "alone",
    "bounds_of",
    "check",
    "check_all",
    "named_targets",
    "ourselves",
    "outage_of",
    "passed",
    "planned_replicas",
    "share_of",
    "singled_out",
    "standing",
]
