"""When a decision, or a person's silence, is too old to act on."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.units import SECOND
from playbooks.runs.plan import RunPlan


@dataclass(frozen=True, slots=True)
class Expiry:
    """Times after which a run is too old, from settings."""

    approval_s: float
    decision_s: float

    def approval_ns(self, plan: RunPlan) -> int:
        """When an approval not given is a no. Counted from the run's creation, so that a restart doesn't extend it."""
        return plan.created_ns + int(self.approval_s * SECOND)

    def begin_ns(self, plan: RunPlan) -> int:
        """When a decision that nobody approved is too old to begin with."""
        return min(plan.created_ns, plan.decided_ns) + self.decision_ns

    @property
    def decision_ns(self) -> int:
        """How long a decision, or the last thing that happened, may be acted on, nanoseconds."""
        return int(self.decision_s * SECOND)
