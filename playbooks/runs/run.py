"""A run as the process that owns it has it in memory. What must outlive the process is in the journal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from playbooks.guards import Held
from playbooks.runs.effects import EffectOutcome
from playbooks.runs.events import RunEvent
from playbooks.runs.machine import MachineState
from playbooks.runs.plan import RunPlan
from playbooks.verify import Verifier


@dataclass(slots=True)
class Run:
    """A run that this process owns, by the fence of its claim."""

    plan: RunPlan
    fence: int
    state: MachineState | None = None
    """Where the machine is; None until the journal was read."""
    unrecorded: RunEvent | None = None
    """What came of an effect, as long as it could not be recorded."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something happened that may concern the run."""
    waiting: bool = False
    released: bool = False
    """Whether this process is to stop driving it, at the next occasion."""
    verifier: Verifier | None = None
    effect: asyncio.Task[EffectOutcome | Held] | None = None
    """The effect that is under way."""
    unanswered_since_ns: int = 0
    """Since when an actuator could not be asked about an open intent."""
