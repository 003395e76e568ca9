"""What the state machine knows of a run besides its state: the plan, and what has been done of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from contracts.ports import RunEntry
from playbooks.runs.plan import RunPlan
from playbooks.runs.progress import effects_of


@dataclass(frozen=True, slots=True)
class RunSituation:
    """A run's plan, and the names of the steps that had an effect."""

    plan: RunPlan
    done: tuple[str, ...]

    @property
    def undoable(self) -> bool:
        """Whether there is something to undo, and the playbook says how."""
        return bool(self.done) and bool(self.plan.playbook.rollback)

    @classmethod
    def of(cls, entry: RunEntry, plan: RunPlan) -> Self:
        """The situation by the journal."""
        return cls(plan, tuple(name for name, _ in effects_of(entry)))
