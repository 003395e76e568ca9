"""What the state machine of a run may want next. Values only: `machine` chooses, the executor carries out."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ports import Applied
from contracts.verdicts import HeldReason, Outcome, RunState
from playbooks.language.model import Step


@dataclass(frozen=True, slots=True)
class PreFlight:
    """Guards, policy, validation; `approved` once a person has agreed."""

    approved: bool


@dataclass(frozen=True, slots=True)
class RequestApproval:
    """Wait for a person until `expires_ns`."""

    expires_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Begin:
    """All allow it: start with the steps."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It will not be done."""

    reason: HeldReason
    text: str


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """Have the effect of a step under `key`. `again`: its intent is journalled and it is known not to have happened."""

    name: str
    step: Step
    attempt: int
    key: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Compensate(ApplyStep):
    """Have the effect of a rollback step."""


@dataclass(frozen=True, slots=True)
class BeginWait:
    """Journal that a wait step has begun."""

    name: str
    step: Step
    key: str


@dataclass(frozen=True, slots=True)
class EndWait:
    """Journal that a wait step is over."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """Ask the actuator whether the effect under `key` happened."""

    name: str
    step: Step
    key: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Journal what an actuator said of an intent without outcome."""

    name: str
    key: str
    applied: Applied
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until `until_ns`, or until something happens."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class VerifyCommand:
    """All effects happened (the last at `acted_ns`): find out what came of it."""

    acted_ns: int


@dataclass(frozen=True, slots=True)
class RollBack:
    """Start to undo."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    state: RunState
    text: str
    outcome: Outcome | None = None


Next = (
    PreFlight
    | RequestApproval
    | Begin
    | Refuse
    | ApplyStep
    | Compensate
    | BeginWait
    | EndWait
    | Resolve
    | Settle
    | Wait
    | VerifyCommand
    | RollBack
    | Finish
)
