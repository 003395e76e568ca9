"""What the state machine of a run wants done, as values. *Records* are written at once, all of a transition in one transaction
(`recorder`); *work* takes time, touches the world, and its result comes back as an event (`conductor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.ports import StepRequest
from contracts.verdicts import Outcome, StepPhase
from playbooks.language.model import Step
from playbooks.runs.effects import Prepared

# --- records


@dataclass(frozen=True, slots=True)
class RecordState:
    """Tell that the run is in the transition's new state. `begun`: remember the time as that of its beginning."""

    text: str
    data: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """Tell that the run is over, and what came of it (None: what verification found, if it did)."""

    text: str
    outcome: Outcome | None = None
    data: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordStep:
    """Tell and journal a step's new phase. `applied`: the request of an effect that happened, told as a change too."""

    name: str
    key: str
    phase: StepPhase
    data: Mapping[str, Any]
    text: str
    applied: StepRequest | None = None


@dataclass(frozen=True, slots=True)
class AnnounceIntent:
    """Tell that an effect is about to happen. `again`: it is known not to have happened the first time."""

    effect: Prepared
    again: bool = False


@dataclass(frozen=True, slots=True)
class JournalIntent:
    """Journal that an effect is about to happen: from here on it may have happened."""

    effect: Prepared


Record = RecordState | RecordEnd | RecordStep | AnnounceIntent | JournalIntent

# --- work


@dataclass(frozen=True, slots=True)
class Preflight:
    """Check all steps on the target as it is; `approved` once a person has agreed."""

    approved: bool


@dataclass(frozen=True, slots=True)
class CheckStep:
    """Look at the target again, and ask guards and policy again, right before a step. `again`: under the intent that is journalled."""

    name: str
    step: Step
    key: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class AwaitAcknowledgement:
    """Wait until the broker has the audit record of the intent."""

    effect: Prepared


@dataclass(frozen=True, slots=True)
class ApplyEffect:
    """Make sure that the intent is durable and that nobody has stopped acting, and have the effect."""

    effect: Prepared


@dataclass(frozen=True, slots=True)
class AskActuator:
    """Ask whether the effect under `key` happened."""

    name: str
    step: Step
    key: str


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing to do until `until_ns`, or until something happens."""

    until_ns: int


Work = Preflight | CheckStep | AwaitAcknowledgement | ApplyEffect | AskActuator | WaitUntil
Command = Record | Work
