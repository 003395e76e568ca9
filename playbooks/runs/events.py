"""What can happen to a run: the inputs of its state machine (`machine`), as values.

Some are observed (`observation`): in the journal, on the clock, in the switches, in a person's answer. The others are results: what
came of the work that the machine asked for (`conductor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.ports import StepRequest
from contracts.verdicts import HeldReason, Outcome
from playbooks.language.model import Step
from playbooks.runs.effects import Prepared


class RunEvent:
    """Base of all events of a run."""

    __slots__ = ()


# --- before the run begins


@dataclass(frozen=True, slots=True)
class DecisionReady(RunEvent):
    """The decision is fresh, and acting is allowed: it may be checked."""


@dataclass(frozen=True, slots=True)
class DecisionExpired(RunEvent):
    """The decision is too old to begin with."""


@dataclass(frozen=True, slots=True)
class Approved(RunEvent):
    """A person said yes."""


@dataclass(frozen=True, slots=True)
class Denied(RunEvent):
    """A person said no."""

    by: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalExpired(RunEvent):
    """Nobody answered in time."""

    after_s: float


@dataclass(frozen=True, slots=True)
class PreflightPassed(RunEvent):
    """Result of the pre-flight: nothing is against it, and who must agree has agreed."""


@dataclass(frozen=True, slots=True)
class ApprovalWanted(RunEvent):
    """Result of the pre-flight: a person must agree, until `expires_ns`."""

    expires_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class PreflightHeld(RunEvent):
    """Result of the pre-flight: it must not be done."""

    reason: HeldReason
    text: str


# --- at any time


@dataclass(frozen=True, slots=True)
class NotYet(RunEvent):
    """Nothing can be done before `until_ns`, or before something else happens."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class ActingStopped(RunEvent):
    """The kill switch was turned. `step`: the next one; `key`: of its intent, if that is journalled and had no effect."""

    step: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class IncidentOver(RunEvent):
    """The incident was resolved before anything was done."""


@dataclass(frozen=True, slots=True)
class MachineFault(RunEvent):
    """The machine met an event that its table doesn't list. `step` and `key`: the open intent, if there is one."""

    text: str
    step: str = ""
    key: str = ""


# --- steps


@dataclass(frozen=True, slots=True)
class StepDue(RunEvent):
    """The next step's turn has come. `key` is the idempotency key of the attempt."""

    name: str
    step: Step
    key: str


@dataclass(frozen=True, slots=True)
class StepCleared(RunEvent):
    """Result of the check before an effect: guards, validation and policy allow it on the target as it is."""

    effect: Prepared


@dataclass(frozen=True, slots=True)
class IntentAcknowledged(RunEvent):
    """The broker has the audit record that says that the effect is about to happen."""

    effect: Prepared


@dataclass(frozen=True, slots=True)
class StepHeld(RunEvent):
    """An effect was held back at a check, and did not happen."""

    name: str
    key: str
    reason: HeldReason
    text: str


@dataclass(frozen=True, slots=True)
class StepFailed(RunEvent):
    """A step did not happen, and is not tried again."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class TooLate(RunEvent):
    """Nothing has happened for so long that the step can't be based on the decision any more. `key`: as in `ActingStopped`."""

    name: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class PauseDue(RunEvent):
    """A wait step's turn has come. `action`: the name of its action."""

    name: str
    action: str
    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class PauseInvalid(RunEvent):
    """How long a wait step is to wait can't be computed."""

    name: str
    key: str
    why: str


@dataclass(frozen=True, slots=True)
class PauseOver(RunEvent):
    """A wait step has waited."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class StepsDone(RunEvent):
    """All steps (of the rollback, while rolling back) are done."""


# --- an effect whose intent is journalled


@dataclass(frozen=True, slots=True)
class EffectApplied(RunEvent):
    """The effect happened. `line` is what the journal keeps of it."""

    request: StepRequest
    line: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class EffectFailed(RunEvent):
    """The effect was tried, and proven not to have happened."""

    name: str
    key: str
    line: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class EffectUnknown(RunEvent):
    """Whether the effect happened can't be known. `line`: what to journal of that; None where it is journalled."""

    name: str
    key: str
    line: Mapping[str, Any] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class EffectAbsent(RunEvent):
    """The actuator says that the effect had not happened."""


@dataclass(frozen=True, slots=True)
class IntentNotDurable(RunEvent):
    """The intent can't be made durable, or the switches can't be read, now: the effect was not tried."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class OutcomeMissing(RunEvent):
    """The journal has an intent without outcome, as after a crash: whether the effect happened must be asked."""

    name: str
    step: Step
    key: str


# --- verification


@dataclass(frozen=True, slots=True)
class VerifiedBetter(RunEvent):
    """The target recovered."""

    text: str


@dataclass(frozen=True, slots=True)
class VerifiedNotBetter(RunEvent):
    """The target did not recover, or became worse."""

    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class VerifiedWhileStopped(RunEvent):
    """The target did not recover, and acting is stopped."""

    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class VerifiedInconclusive(RunEvent):
    """Whether it helped can't be told. `well`: all is well again, whoever mended it, or a probe told what it was for:
    nobody need look."""

    text: str
    well: bool = False
