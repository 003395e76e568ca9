"""The state machine of a run, as one table: state and event in, next state and commands out. Pure.

The executor gives it what happened (`events`), the recorder writes down what it says in one transaction, and the conductor does
the work; the result is the next event. What the table doesn't list is refused (`UnlistedTransition`). The diagram in
docs/architecture.md is made from it (`diagram`).

What holds whatever happens (tests/unit/playbooks/runs/test_machine_properties.py): a step whose effect happened, or may
have happened, is never applied again; nothing is applied while acting is stopped, after expiry or in a terminal state.

Source of the form: the `fsm!` tables of Temporal's sdk-core.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.errors import Permanent
from contracts.ports import RunEntry
from contracts.verdicts import TERMINAL_RUN_STATES, RunState
from playbooks.runs import events as e
from playbooks.runs import reactions as r
from playbooks.runs.commands import Command, Record, Work
from playbooks.runs.progress import StepStatus, open_intent, progress_of
from playbooks.runs.situation import RunSituation


class MachineState(enum.StrEnum):
    """Where a run is. Those without a `run_state` of their own are finer: where its present step is."""

    PENDING = "pending"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    PAUSED = "paused"  # a wait step has begun
    IN_DOUBT = "in_doubt"  # an intent is journalled, its outcome isn't: the effect may have happened
    NOT_APPLIED = "not_applied"  # an intent is journalled, and this process knows that it had no effect
    VERIFYING = "verifying"
    ROLLING_BACK = "rolling_back"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_IN_DOUBT = "rollback_in_doubt"
    ROLLBACK_NOT_APPLIED = "rollback_not_applied"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    INCONCLUSIVE = "inconclusive"
    UNKNOWN = "unknown"

    @property
    def run_state(self) -> RunState:
        """The state as the journal and the audit trail have it."""
        if self in FORWARD_STEP:
            return RunState.RUNNING
        return RunState.ROLLING_BACK if self in ROLLBACK_STEP else RunState(self.value)

    @property
    def terminal(self) -> bool:
        """Whether the run is over."""
        return self.run_state in TERMINAL_RUN_STATES

    @property
    def in_doubt(self) -> bool:
        """Whether an effect may have happened that the journal doesn't know of."""
        return self in {MachineState.IN_DOUBT, MachineState.ROLLBACK_IN_DOUBT}


S = MachineState
FORWARD_STEP: Final = frozenset({S.PAUSED, S.IN_DOUBT, S.NOT_APPLIED})
ROLLBACK_STEP: Final = frozenset({S.ROLLBACK_PAUSED, S.ROLLBACK_IN_DOUBT, S.ROLLBACK_NOT_APPLIED})


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition under which a transition is taken, on what the run has done and what its playbook has."""

    text: str
    holds: Callable[[RunSituation], bool]


ALWAYS: Final = Guard("", lambda run: True)
NOTHING_DONE: Final = Guard("nothing done", lambda run: not run.done)
SOMETHING_DONE: Final = Guard("something done", lambda run: bool(run.done))
UNDOABLE: Final = Guard("done, can be undone", lambda run: run.undoable)
NOT_UNDOABLE: Final = Guard("nothing to undo", lambda run: not run.undoable)
STAYS_DONE: Final = Guard("done, can't be undone", lambda run: bool(run.done) and not run.undoable)
CHECKED: Final = Guard("has checks", lambda run: bool(run.plan.playbook.verify.checks))
UNCHECKED: Final = Guard("has no checks", lambda run: not run.plan.playbook.verify.checks)


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    state: MachineState
    event: type[e.RunEvent]
    to: MachineState
    commands: Callable[[RunSituation, Any], tuple[Command, ...]]
    guard: Guard = ALWAYS


T = Transition
TABLE: Final[tuple[Transition, ...]] = (
    # the decision is checked
    T(S.PENDING, e.DecisionReady, S.PENDING, r.preflight),
    T(S.PENDING, e.NotYet, S.PENDING, r.wait),
    T(S.PENDING, e.PreflightPassed, S.RUNNING, r.begin),
    T(S.PENDING, e.ApprovalWanted, S.AWAITING_APPROVAL, r.ask_person),
    T(S.PENDING, e.PreflightHeld, S.REFUSED, r.refuse),
    T(S.PENDING, e.DecisionExpired, S.REFUSED, r.refuse_old),
    T(S.PENDING, e.ActingStopped, S.CANCELLED, r.cancel_untouched),
    T(S.PENDING, e.IncidentOver, S.CANCELLED, r.cancel_over),
    T(S.PENDING, e.MachineFault, S.CANCELLED, r.end_by_fault),
    # a person is asked
    T(S.AWAITING_APPROVAL, e.NotYet, S.AWAITING_APPROVAL, r.wait),
    T(S.AWAITING_APPROVAL, e.Approved, S.AWAITING_APPROVAL, r.preflight_approved),
    T(S.AWAITING_APPROVAL, e.PreflightPassed, S.RUNNING, r.begin),
    T(S.AWAITING_APPROVAL, e.PreflightHeld, S.REFUSED, r.refuse),
    T(S.AWAITING_APPROVAL, e.Denied, S.REFUSED, r.refuse_denied),
    T(S.AWAITING_APPROVAL, e.ApprovalExpired, S.REFUSED, r.refuse_unanswered),
    T(S.AWAITING_APPROVAL, e.ActingStopped, S.CANCELLED, r.cancel_untouched),
    T(S.AWAITING_APPROVAL, e.IncidentOver, S.CANCELLED, r.cancel_over),
    T(S.AWAITING_APPROVAL, e.MachineFault, S.CANCELLED, r.end_by_fault),
    # between steps
    T(S.RUNNING, e.StepDue, S.RUNNING, r.check_step),
    T(S.RUNNING, e.NotYet, S.RUNNING, r.wait),
    T(S.RUNNING, e.StepCleared, S.RUNNING, r.announce),
    T(S.RUNNING, e.IntentAcknowledged, S.IN_DOUBT, r.journal_and_apply),
    T(S.RUNNING, e.StepHeld, S.REFUSED, r.refuse_step, NOTHING_DONE),
    T(S.RUNNING, e.StepHeld, S.ROLLING_BACK, r.undo_after_hold, UNDOABLE),
    T(S.RUNNING, e.StepHeld, S.FAILED, r.fail_after_hold, STAYS_DONE),
    T(S.RUNNING, e.StepFailed, S.ROLLING_BACK, r.undo_after_failure, UNDOABLE),
    T(S.RUNNING, e.StepFailed, S.FAILED, r.fail_after_failure, NOT_UNDOABLE),
    T(S.RUNNING, e.PauseDue, S.PAUSED, r.begin_pause),
    T(S.RUNNING, e.PauseInvalid, S.RUNNING, r.skip_pause),
    T(S.RUNNING, e.StepsDone, S.VERIFYING, r.verify, CHECKED),
    T(S.RUNNING, e.StepsDone, S.SUCCEEDED, r.succeed_unverified, UNCHECKED),
    T(S.RUNNING, e.TooLate, S.REFUSED, r.refuse_late, NOTHING_DONE),
    T(S.RUNNING, e.TooLate, S.FAILED, r.fail_late, SOMETHING_DONE),
    T(S.RUNNING, e.ActingStopped, S.CANCELLED, r.cancel),
    T(S.RUNNING, e.IncidentOver, S.CANCELLED, r.cancel_over),
    T(S.RUNNING, e.MachineFault, S.FAILED, r.end_by_fault),
    # a wait step
    T(S.PAUSED, e.NotYet, S.PAUSED, r.wait),
    T(S.PAUSED, e.PauseOver, S.RUNNING, r.end_pause),
    T(S.PAUSED, e.TooLate, S.REFUSED, r.refuse_late, NOTHING_DONE),
    T(S.PAUSED, e.TooLate, S.FAILED, r.fail_late, SOMETHING_DONE),
    T(S.PAUSED, e.ActingStopped, S.CANCELLED, r.cancel),
    T(S.PAUSED, e.IncidentOver, S.CANCELLED, r.cancel_over),
    T(S.PAUSED, e.MachineFault, S.FAILED, r.end_by_fault),
    # an effect may have happened: nothing else counts before that is known
    T(S.IN_DOUBT, e.OutcomeMissing, S.IN_DOUBT, r.ask_actuator),
    T(S.IN_DOUBT, e.NotYet, S.IN_DOUBT, r.wait),
    T(S.IN_DOUBT, e.EffectApplied, S.RUNNING, r.record_applied),
    T(S.IN_DOUBT, e.EffectFailed, S.RUNNING, r.record_failed),
    T(S.IN_DOUBT, e.EffectAbsent, S.NOT_APPLIED, r.nothing),
    T(S.IN_DOUBT, e.IntentNotDurable, S.NOT_APPLIED, r.wait),
    T(S.IN_DOUBT, e.ActingStopped, S.RUNNING, r.skip_stopped),
    T(S.IN_DOUBT, e.StepHeld, S.REFUSED, r.refuse_step, NOTHING_DONE),
    T(S.IN_DOUBT, e.StepHeld, S.ROLLING_BACK, r.undo_after_hold, UNDOABLE),
    T(S.IN_DOUBT, e.StepHeld, S.FAILED, r.fail_after_hold, STAYS_DONE),
    T(S.IN_DOUBT, e.EffectUnknown, S.UNKNOWN, r.end_unknown),
    T(S.IN_DOUBT, e.MachineFault, S.UNKNOWN, r.end_by_fault_in_doubt),
    # it has not happened: the same intent may be tried again
    T(S.NOT_APPLIED, e.StepDue, S.NOT_APPLIED, r.check_step_again),
    T(S.NOT_APPLIED, e.NotYet, S.NOT_APPLIED, r.wait),
    T(S.NOT_APPLIED, e.StepCleared, S.NOT_APPLIED, r.announce_again),
    T(S.NOT_APPLIED, e.IntentAcknowledged, S.IN_DOUBT, r.apply_again),
    T(S.NOT_APPLIED, e.StepHeld, S.REFUSED, r.refuse_step, NOTHING_DONE),
    T(S.NOT_APPLIED, e.StepHeld, S.ROLLING_BACK, r.undo_after_hold, UNDOABLE),
    T(S.NOT_APPLIED, e.StepHeld, S.FAILED, r.fail_after_hold, STAYS_DONE),
    T(S.NOT_APPLIED, e.TooLate, S.RUNNING, r.skip_late),
    T(S.NOT_APPLIED, e.ActingStopped, S.RUNNING, r.skip_stopped),
    T(S.NOT_APPLIED, e.MachineFault, S.FAILED, r.end_by_fault_not_applied),
    # did it help?
    T(S.VERIFYING, e.NotYet, S.VERIFYING, r.wait),
    T(S.VERIFYING, e.VerifiedBetter, S.SUCCEEDED, r.succeed),
    T(S.VERIFYING, e.VerifiedNotBetter, S.ROLLING_BACK, r.undo_after_verdict, UNDOABLE),
    T(S.VERIFYING, e.VerifiedNotBetter, S.FAILED, r.fail_after_verdict, NOT_UNDOABLE),
    T(S.VERIFYING, e.VerifiedWhileStopped, S.FAILED, r.fail_while_stopped),
    T(S.VERIFYING, e.VerifiedInconclusive, S.INCONCLUSIVE, r.end_inconclusive),
    T(S.VERIFYING, e.MachineFault, S.FAILED, r.end_by_fault),
    # undoing
    T(S.ROLLING_BACK, e.StepDue, S.ROLLING_BACK, r.check_step),
    T(S.ROLLING_BACK, e.NotYet, S.ROLLING_BACK, r.wait),
    T(S.ROLLING_BACK, e.StepCleared, S.ROLLING_BACK, r.announce),
    T(S.ROLLING_BACK, e.IntentAcknowledged, S.ROLLBACK_IN_DOUBT, r.journal_and_apply),
    T(S.ROLLING_BACK, e.StepHeld, S.FAILED, r.fail_rollback_held),
    T(S.ROLLING_BACK, e.StepFailed, S.FAILED, r.fail_rollback),
    T(S.ROLLING_BACK, e.PauseDue, S.ROLLBACK_PAUSED, r.begin_pause),
    T(S.ROLLING_BACK, e.PauseInvalid, S.ROLLING_BACK, r.skip_pause),
    T(S.ROLLING_BACK, e.StepsDone, S.ROLLED_BACK, r.end_rolled_back),
    T(S.ROLLING_BACK, e.TooLate, S.FAILED, r.fail_rollback_late),
    T(S.ROLLING_BACK, e.ActingStopped, S.CANCELLED, r.cancel_rollback),
    T(S.ROLLING_BACK, e.MachineFault, S.FAILED, r.end_by_fault),
    T(S.ROLLBACK_PAUSED, e.NotYet, S.ROLLBACK_PAUSED, r.wait),
    T(S.ROLLBACK_PAUSED, e.PauseOver, S.ROLLING_BACK, r.end_pause),
    T(S.ROLLBACK_PAUSED, e.TooLate, S.FAILED, r.fail_rollback_late),
    T(S.ROLLBACK_PAUSED, e.ActingStopped, S.CANCELLED, r.cancel_rollback),
    T(S.ROLLBACK_PAUSED, e.MachineFault, S.FAILED, r.end_by_fault),
    T(S.ROLLBACK_IN_DOUBT, e.OutcomeMissing, S.ROLLBACK_IN_DOUBT, r.ask_actuator),
    T(S.ROLLBACK_IN_DOUBT, e.NotYet, S.ROLLBACK_IN_DOUBT, r.wait),
    T(S.ROLLBACK_IN_DOUBT, e.EffectApplied, S.ROLLING_BACK, r.record_applied),
    T(S.ROLLBACK_IN_DOUBT, e.EffectFailed, S.ROLLING_BACK, r.record_failed),
    T(S.ROLLBACK_IN_DOUBT, e.EffectAbsent, S.ROLLBACK_NOT_APPLIED, r.nothing),
    T(S.ROLLBACK_IN_DOUBT, e.IntentNotDurable, S.ROLLBACK_NOT_APPLIED, r.wait),
    T(S.ROLLBACK_IN_DOUBT, e.ActingStopped, S.ROLLING_BACK, r.skip_stopped),
    T(S.ROLLBACK_IN_DOUBT, e.StepHeld, S.FAILED, r.fail_rollback_held),
    T(S.ROLLBACK_IN_DOUBT, e.EffectUnknown, S.UNKNOWN, r.end_unknown),
    T(S.ROLLBACK_IN_DOUBT, e.MachineFault, S.UNKNOWN, r.end_by_fault_in_doubt),
    T(S.ROLLBACK_NOT_APPLIED, e.StepDue, S.ROLLBACK_NOT_APPLIED, r.check_step_again),
    T(S.ROLLBACK_NOT_APPLIED, e.NotYet, S.ROLLBACK_NOT_APPLIED, r.wait),
    T(S.ROLLBACK_NOT_APPLIED, e.StepCleared, S.ROLLBACK_NOT_APPLIED, r.announce_again),
    T(S.ROLLBACK_NOT_APPLIED, e.IntentAcknowledged, S.ROLLBACK_IN_DOUBT, r.apply_again),
    T(S.ROLLBACK_NOT_APPLIED, e.StepHeld, S.FAILED, r.fail_rollback_held),
    T(S.ROLLBACK_NOT_APPLIED, e.TooLate, S.ROLLING_BACK, r.skip_late),
    T(S.ROLLBACK_NOT_APPLIED, e.ActingStopped, S.ROLLING_BACK, r.skip_stopped),
    T(S.ROLLBACK_NOT_APPLIED, e.MachineFault, S.FAILED, r.end_by_fault_not_applied),
)
_ROWS: Final[Mapping[tuple[MachineState, type[e.RunEvent]], tuple[Transition, ...]]] = {
    key: tuple(t for t in TABLE if (t.state, t.event) == key) for key in {(t.state, t.event) for t in TABLE}
}


class UnlistedTransition(Permanent):
    """An event that the table doesn't list for the state."""

    reason = "unlisted_transition"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows from an event: the row of the table, what to write down, and what to do then (None: nothing)."""

    transition: Transition
    records: tuple[Record, ...]
    work: Work | None


def react(state: MachineState, event: e.RunEvent, run: RunSituation) -> Reaction:
    """What follows from an event.

    Raises:
        UnlistedTransition: the table has no row for it.
    """
    for row in _ROWS.get((state, type(event)), ()):
        if row.guard.holds(run):
            commands = row.commands(run, event)
            work = [c for c in commands if isinstance(c, Work)]
            return Reaction(row, tuple(c for c in commands if isinstance(c, Record)), work[0] if work else None)
    raise UnlistedTransition(f"a run that is {state} can't take {type(event).__name__}")


def state_of(entry: RunEntry, known: MachineState | None = None) -> MachineState:
    """Where a run is, by its journal. `known`: where this process had it, which may know more of an open intent."""
    if entry.state in TERMINAL_RUN_STATES:
        return S(entry.state.value)
    back = entry.state is RunState.ROLLING_BACK
    intent = open_intent(entry)
    if intent is not None:
        may_be_known = intent[1].status is StepStatus.IN_DOUBT
        if may_be_known and known is not None and known in {S.NOT_APPLIED, S.ROLLBACK_NOT_APPLIED}:
            return known
        return S.ROLLBACK_IN_DOUBT if back else S.IN_DOUBT
    if any(s.status is StepStatus.IN_DOUBT for s in progress_of(entry).values()):
        return S.ROLLBACK_PAUSED if back else S.PAUSED
    return S(entry.state.value)
