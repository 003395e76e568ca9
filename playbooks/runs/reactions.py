"""What the rows of the machine's table have done: each function makes the commands of a transition, and their words. Pure."""

from __future__ import annotations

from typing import Final

from contracts.verdicts import HeldReason, Outcome, StepPhase
from playbooks.runs import commands as c
from playbooks.runs import events as e
from playbooks.runs.situation import RunSituation

Commands = tuple[c.Command, ...]
_NOTHING_DONE: Final = "acting is stopped (kill switch); nothing was done"
_LOOK: Final = "a person must look"

# --- before the run begins


def preflight(run: RunSituation, event: e.DecisionReady) -> Commands:
    """Check all steps before anybody is asked."""
    return (c.Preflight(approved=False),)


def preflight_approved(run: RunSituation, event: e.Approved) -> Commands:
    """Check all steps again, now that a person has agreed."""
    return (c.Preflight(approved=True),)


def begin(run: RunSituation, event: e.PreflightPassed) -> Commands:
    """Tell that the run begins, and when."""
    return (c.RecordState(f"{run.plan.playbook.name} begins on {run.plan.target}", begun=True),)


def ask_person(run: RunSituation, event: e.ApprovalWanted) -> Commands:
    """Tell that a person must agree, and until when."""
    return (c.RecordState(event.text, {"expires_ns": event.expires_ns}),)


def refuse(run: RunSituation, event: e.PreflightHeld) -> Commands:
    """End with the objection of the pre-flight."""
    return _refuse(event.reason, event.text)


def refuse_old(run: RunSituation, event: e.DecisionExpired) -> Commands:
    """End because the decision is too old."""
    return _refuse(HeldReason.STALE_TELEMETRY, "the decision is too old to act on")


def refuse_denied(run: RunSituation, event: e.Denied) -> Commands:
    """End because a person said no."""
    return _refuse(HeldReason.APPROVAL, f"denied by {event.by}" + (f": {event.comment}" if event.comment else ""))


def refuse_unanswered(run: RunSituation, event: e.ApprovalExpired) -> Commands:
    """End because nobody answered."""
    return _refuse(HeldReason.APPROVAL_EXPIRED, f"no approval within {event.after_s:g} s")


def cancel_untouched(run: RunSituation, event: e.ActingStopped) -> Commands:
    """End because acting was stopped before anything was done."""
    return (c.RecordEnd(_NOTHING_DONE),)


def cancel_over(run: RunSituation, event: e.IncidentOver) -> Commands:
    """End because the incident was over before anything was done."""
    return (c.RecordEnd("the incident was over before anything was done"),)


def _refuse(reason: HeldReason, text: str) -> Commands:
    return (c.RecordEnd(text, data={"reason": str(reason)}),)


# --- steps


def wait(run: RunSituation, event: e.NotYet | e.IntentNotDurable) -> Commands:
    """Wait for a time, or for something to happen."""
    return (c.WaitUntil(event.until_ns),)


def nothing(run: RunSituation, event: e.EffectAbsent) -> Commands:
    """Only be in the next state."""
    return ()


def check_step(run: RunSituation, event: e.StepDue) -> Commands:
    """Ask guards and policy again, right before the step."""
    return (c.CheckStep(event.name, event.step, event.key),)


def check_step_again(run: RunSituation, event: e.StepDue) -> Commands:
    """Ask them again for an intent that is journalled and had no effect."""
    return (c.CheckStep(event.name, event.step, event.key, again=True),)


def announce(run: RunSituation, event: e.StepCleared) -> Commands:
    """Tell the audit trail of the effect, and wait until the broker has that."""
    return (c.AnnounceIntent(event.effect), c.AwaitAcknowledgement(event.effect))


def announce_again(run: RunSituation, event: e.StepCleared) -> Commands:
    """As `announce`, for an intent that is journalled and had no effect."""
    return (c.AnnounceIntent(event.effect, again=True), c.AwaitAcknowledgement(event.effect))


def journal_and_apply(run: RunSituation, event: e.IntentAcknowledged) -> Commands:
    """Journal the intent, then apply the effect."""
    return (c.JournalIntent(event.effect), c.ApplyEffect(event.effect))


def apply_again(run: RunSituation, event: e.IntentAcknowledged) -> Commands:
    """Apply the effect whose intent is journalled."""
    return (c.ApplyEffect(event.effect),)


def ask_actuator(run: RunSituation, event: e.OutcomeMissing) -> Commands:
    """Ask whether the effect had happened."""
    return (c.AskActuator(event.name, event.step, event.key),)


def record_applied(run: RunSituation, event: e.EffectApplied) -> Commands:
    """Record that the effect happened, and tell of the change."""
    request = event.request
    return (c.RecordStep(request.step, request.key, StepPhase.APPLIED, event.line, event.text, applied=request),)


def record_failed(run: RunSituation, event: e.EffectFailed) -> Commands:
    """Record that the effect provably didn't happen."""
    return (c.RecordStep(event.name, event.key, StepPhase.FAILED, event.line, event.text),)


def skip_stopped(run: RunSituation, event: e.ActingStopped) -> Commands:
    """Record that the effect didn't happen, as acting is stopped."""
    return (_absent(event.step, event.key, "the effect had not happened, and acting is stopped"),)


def skip_late(run: RunSituation, event: e.TooLate) -> Commands:
    """Record that the effect didn't happen, as it is too late."""
    return (_absent(event.name, event.key, "the effect had not happened, and it is too late for it"),)


def _absent(name: str, key: str, text: str) -> c.RecordStep:
    return c.RecordStep(name, key, StepPhase.SKIPPED, {"text": text, "recovered": True}, text)


def begin_pause(run: RunSituation, event: e.PauseDue) -> Commands:
    """Journal that the wait step has begun."""
    intent = {"action": event.action, "seconds": event.seconds}
    return (c.RecordStep(event.name, event.key, StepPhase.INTENT, intent, f"waiting {event.seconds:g} s"),)


def skip_pause(run: RunSituation, event: e.PauseInvalid) -> Commands:
    """Record that the wait step can't be done."""
    line = {"reason": "action_failed", "text": event.why}
    return (c.RecordStep(event.name, event.key, StepPhase.SKIPPED, line, event.why),)


def end_pause(run: RunSituation, event: e.PauseOver) -> Commands:
    """Journal that the wait step is over."""
    return (c.RecordStep(event.name, event.key, StepPhase.APPLIED, {}, "waited"),)


# --- steps that did not happen


def _held(event: e.StepHeld) -> c.RecordStep:
    line = {"reason": str(event.reason), "text": event.text}
    return c.RecordStep(event.name, event.key, StepPhase.SKIPPED, line, f"{event.reason}: {event.text}")


def refuse_step(run: RunSituation, event: e.StepHeld) -> Commands:
    """End with the objection to the first effect."""
    return (_held(event), *_refuse(event.reason, event.text))


def undo_after_hold(run: RunSituation, event: e.StepHeld) -> Commands:
    """Undo what was done, as the next effect was held back."""
    return (_held(event), _undo(run, event.name, f"{event.reason}: {event.text}"))


def fail_after_hold(run: RunSituation, event: e.StepHeld) -> Commands:
    """End with what was done, as the next effect was held back."""
    return (_held(event), _fail(run, event.name, f"{event.reason}: {event.text}"))


def undo_after_failure(run: RunSituation, event: e.StepFailed) -> Commands:
    """Undo what was done, as the next step failed."""
    return (_undo(run, event.name, event.why),)


def fail_after_failure(run: RunSituation, event: e.StepFailed) -> Commands:
    """End as a step failed."""
    return (_fail(run, event.name, event.why),)


def _undo(run: RunSituation, name: str, why: str) -> c.RecordState:
    return c.RecordState(f"{name} did not happen: {why}; undoing {', '.join(run.done)}")


def _fail(run: RunSituation, name: str, why: str) -> c.RecordEnd:
    left = f"; {', '.join(run.done)} stay done" if run.done else ""
    return c.RecordEnd(f"{name} did not happen: {why}{left}", Outcome.INCONCLUSIVE)


def refuse_late(run: RunSituation, event: e.TooLate) -> Commands:
    """End because the first effect was held up for too long."""
    return _refuse(HeldReason.STALE_TELEMETRY, "it was held up for too long before its first effect")


def fail_late(run: RunSituation, event: e.TooLate) -> Commands:
    """End with what was done, as the next step was held up for too long."""
    text = f"held up for too long before {event.name}; {', '.join(run.done)} stay done; {_LOOK}"
    return (c.RecordEnd(text, Outcome.INCONCLUSIVE),)


def cancel(run: RunSituation, event: e.ActingStopped) -> Commands:
    """End with what was done, as acting was stopped."""
    so_far = f"done and not undone: {', '.join(run.done)}" if run.done else "nothing was done"
    return (c.RecordEnd(f"acting is stopped (kill switch) before {event.step}; {so_far}"),)


# --- verification


def verify(run: RunSituation, event: e.StepsDone) -> Commands:
    """Watch whether it helps."""
    return (c.RecordState(f"all steps done; watching {run.plan.target} and its callers"),)


def succeed_unverified(run: RunSituation, event: e.StepsDone) -> Commands:
    """A playbook without checks (a page to a person) has done what it can do; that it helped is not claimed."""
    return (c.RecordEnd("all steps done; this playbook has nothing to verify", Outcome.INCONCLUSIVE),)


def succeed(run: RunSituation, event: e.VerifiedBetter) -> Commands:
    """End: it helped."""
    return (c.RecordEnd(event.text, Outcome.BETTER),)


def undo_after_verdict(run: RunSituation, event: e.VerifiedNotBetter) -> Commands:
    """Undo what was done, as it didn't help."""
    return (c.RecordState(f"{event.outcome}: {event.text}; rolling back"),)


def fail_after_verdict(run: RunSituation, event: e.VerifiedNotBetter) -> Commands:
    """End: it didn't help, and there is nothing to undo."""
    return (c.RecordEnd(f"{event.outcome}: {event.text}", event.outcome),)


def fail_while_stopped(run: RunSituation, event: e.VerifiedWhileStopped) -> Commands:
    """End: it didn't help, and acting is stopped."""
    blocked = "; not rolled back, acting is stopped" if run.undoable else ""
    return (c.RecordEnd(f"{event.outcome}: {event.text}{blocked}", event.outcome),)


def end_inconclusive(run: RunSituation, event: e.VerifiedInconclusive) -> Commands:
    """End: whether it helped can't be told. Where all is well by itself, or a probe told what it was for, nobody need look."""
    return (c.RecordEnd(event.text if event.well else f"{event.text}; {_LOOK}", Outcome.INCONCLUSIVE),)


# --- undoing


def end_rolled_back(run: RunSituation, event: e.StepsDone) -> Commands:
    """End: all is undone."""
    return (c.RecordEnd("the state from before was restored"),)


def fail_rollback(run: RunSituation, event: e.StepFailed) -> Commands:
    """End half undone, as a step of the rollback failed."""
    return (c.RecordEnd(f"could not roll back, {event.name}: {event.why}; {_LOOK}"),)


def fail_rollback_held(run: RunSituation, event: e.StepHeld) -> Commands:
    """End half undone, as a step of the rollback was held back."""
    return (_held(event), c.RecordEnd(f"could not roll back: {event.reason}: {event.text}; {_LOOK}"))


def fail_rollback_late(run: RunSituation, event: e.TooLate) -> Commands:
    """End half undone, as a step of the rollback was held up for too long."""
    return (c.RecordEnd(f"too late to roll back {event.name}; {_LOOK}"),)


def cancel_rollback(run: RunSituation, event: e.ActingStopped) -> Commands:
    """End half undone, as acting was stopped."""
    return (c.RecordEnd(f"acting is stopped (kill switch) before {event.step}; half rolled back"),)


# --- what can't be known, and what must not be


def end_unknown(run: RunSituation, event: e.EffectUnknown) -> Commands:
    """End: whether an effect happened can't be known."""
    text = f"whether step {event.name} had its effect can't be known: {_LOOK}; nothing more is done"
    end = c.RecordEnd(text, Outcome.INCONCLUSIVE)
    if event.line is None:  # journalled before, and then the process died
        return (end,)
    return (c.RecordStep(event.name, event.key, StepPhase.UNKNOWN, event.line, event.text), end)


def end_by_fault(run: RunSituation, event: e.MachineFault) -> Commands:
    """End: the table doesn't list what happened."""
    outcome = Outcome.INCONCLUSIVE if run.done else None
    return (c.RecordEnd(f"{event.text}; {_LOOK}", outcome, {"reason": "unlisted_transition"}),)


def end_by_fault_not_applied(run: RunSituation, event: e.MachineFault) -> Commands:
    """As `end_by_fault`, with an intent that had no effect."""
    return (_absent(event.step, event.key, f"the effect had not happened, and {event.text}"), *end_by_fault(run, event))


def end_by_fault_in_doubt(run: RunSituation, event: e.MachineFault) -> Commands:
    """As `end_by_fault`, with an intent that may have had its effect."""
    line = {"reason": "unlisted_transition", "text": event.text}
    return (c.RecordStep(event.step, event.key, StepPhase.UNKNOWN, line, event.text), *end_by_fault(run, event))
