"""Where a run's steps are, as read from its journal lines."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.actions import waits
from contracts.ports import RunEntry, StepEntry, TargetState
from contracts.verdicts import StepPhase
from playbooks.runs.plan import ROLLBACK_PREFIX


class StepStatus(enum.StrEnum):
    """What is known of a step."""

    NEW = "new"
    IN_DOUBT = "in_doubt"  # intended, no outcome: it may have happened
    APPLIED = "applied"
    FAILED = "failed"  # proven not to have happened
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


_STATUS = {
    StepPhase.INTENT: StepStatus.IN_DOUBT,
    StepPhase.APPLIED: StepStatus.APPLIED,
    StepPhase.FAILED: StepStatus.FAILED,
    StepPhase.UNKNOWN: StepStatus.UNKNOWN,
    StepPhase.SKIPPED: StepStatus.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step's state. `attempts` counts intents; `key` is of the latest one; `since_ns` is its latest line."""

    status: StepStatus = StepStatus.NEW
    attempts: int = 0
    key: str = ""
    since_ns: int = 0
    intent: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def retryable(self) -> bool:
        """Whether the failure is one that trying again may mend."""
        return self.status is StepStatus.FAILED and bool(self.data.get("retryable"))

    @property
    def before(self) -> TargetState | None:
        """The target's state journalled with the intent."""
        return state_from(self.intent.get("before"))


NOT_BEGUN = StepProgress()


def progress_of(entry: RunEntry) -> dict[str, StepProgress]:
    """Every step that has journal lines, by its name in the journal, in order of first line."""
    steps: dict[str, StepProgress] = {}
    for line in entry.steps:
        steps[line.step] = _after(steps.get(line.step, NOT_BEGUN), line)
    return steps


def _after(last: StepProgress, line: StepEntry) -> StepProgress:
    intended = line.phase is StepPhase.INTENT
    # Nothing that follows an outcome can take it back: an effect that happened has happened.
    if last.status in {StepStatus.APPLIED, StepStatus.UNKNOWN} and not intended:
        return last
    return StepProgress(
        status=_STATUS[line.phase],
        attempts=last.attempts + (1 if intended and line.key != last.key else 0),
        key=line.key,
        since_ns=line.time_ns,
        intent=line.data if intended else last.intent,
        data={} if intended else line.data,
    )


def effects_of(entry: RunEntry) -> list[tuple[str, StepProgress]]:
    """Forward steps whose effect happened, in the order it was intended."""
    return [
        (name, step)
        for name, step in progress_of(entry).items()
        if step.status is StepStatus.APPLIED and not name.startswith(ROLLBACK_PREFIX) and not is_wait(step)
    ]


def is_wait(step: StepProgress) -> bool:
    """Whether the step that was begun only lets time pass."""
    return waits(str(step.intent.get("action", "")))


def open_intent(entry: RunEntry) -> tuple[str, StepProgress] | None:
    """The step whose effect has no outcome in the journal, or an unknown one; None if there is none."""
    for name, step in progress_of(entry).items():
        if step.status is StepStatus.UNKNOWN or (step.status is StepStatus.IN_DOUBT and not is_wait(step)):
            return name, step
    return None


def state_data(state: TargetState | None) -> dict[str, Any] | None:
    """A target's state as journal data."""
    return None if state is None else msgspec.to_builtins(state)


def state_from(data: object) -> TargetState | None:
    """A target's state from journal data; None where there is none."""
    return None if data is None else msgspec.convert(data, TargetState)
