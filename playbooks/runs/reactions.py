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
    return (c.Preflight(approved=False),)


def preflight_approved(run: RunSituation, event: e.Approved) -> Commands:
    return (c.Preflight(approved=True),)


def begin(run: RunSituation, event: e.PreflightPassed) -> Commands:
    return (c.RecordState(f"{run.plan.playbook.name} begins on {run.plan.target}", begun=True),)


def ask_person(run: RunSituation, event: e.ApprovalWanted) -> Commands:
    return (c.RecordState(event.text, {"expires_ns": event.expires_ns}),)


def refuse(run: RunSituation, event: e.PreflightHeld) -> Commands:
    return _refuse(event.reason, event.text)


def refuse_old(run: RunSituation, event: e.DecisionExpired) -> Commands:
    return _refuse(HeldReason.STALE_TELEMETRY, "the decision is too old to act on")


def refuse_denied(run: RunSituation, event: e.Denied) -> Commands:
    return _refuse(HeldReason.APPROVAL, f"denied by {event.by}" + (f": {event.comment}" if event.comment else ""))


def refuse_unanswered(run: RunSituation, event: e.ApprovalExpired) -> Commands:
    return _refuse(HeldReason.APPROVAL_EXPIRED, f"no approval within {event.after_s:g} s")


def cancel_untouched(run: RunSituation, event: e.ActingStopped) -> Commands:
    return (c.RecordEnd(_NOTHING_DONE),)


def cancel_over(run: RunSituation, event: e.IncidentOver) -> Commands:
    return (c.RecordEnd("the incident was over before anything was done"),)


def _refuse(reason: HeldReason, text: str) -> Commands:
    return (c.RecordEnd(text, data={"reason": str(reason)}),)


# --- steps


def wait(run: RunSituation, event: e.NotYet | e.IntentNotDurable) -> Commands:
    return (c.WaitUntil(event.until_ns),)


def nothing(run: RunSituation, event: e.EffectAbsent) -> Commands:
    return ()


def check_step(run: RunSituation, event: e.StepDue) -> Commands:
    return (c.CheckStep(event.name, event.step, event.key),)


def check_step_again(run: RunSituation, event: e.StepDue) -> Commands:
    return (c.CheckStep(event.name, event.step, event.key, again=True),)


def announce(run: RunSituation, event: e.StepCleared) -> Commands:
    return (c.AnnounceIntent(event.effect), c.AwaitAcknowledgement(event.effect))


def announce_again(run: RunSituation, event: e.StepCleared) -> Commands:
    return (c.AnnounceIntent(event.effect, again=True), c.AwaitAcknowledgement(event.effect))


def journal_and_apply(run: RunSituation, event: e.IntentAcknowledged) -> Commands:
    return (c.JournalIntent(event.effect), c.ApplyEffect(event.effect))


def apply_again(run: RunSituation, event: e.IntentAcknowledged) -> Commands:
    return (c.ApplyEffect(event.effect),)


def ask_actuator(run: RunSituation, event: e.OutcomeMissing) -> Commands:
    return (c.AskActuator(event.name, event.step, event.key),)


def record_applied(run: RunSituation, event: e.EffectApplied) -> Commands:
    request = event.request
    return (c.RecordStep(request.step, request.key, StepPhase.APPLIED, event.line, event.text, applied=request),)


def record_failed(run: RunSituation, event: e.EffectFailed) -> Commands:
    return (c.RecordStep(event.name, event.key, StepPhase.FAILED, event.line, event.text),)


def skip_stopped(run: RunSituation, event: e.ActingStopped) -> Commands:
    return (_absent(event.step, event.key, "the effect had not happened, and acting is stopped"),)


def skip_late(run: RunSituation, event: e.TooLate) -> Commands:
    return (_absent(event.name, event.key, "the effect had not happened, and it is too late for it"),)


def _absent(name: str, key: str, text: str) -> c.RecordStep:
    return c.RecordStep(name, key, StepPhase.SKIPPED, {"text": text, "recovered": True}, text)


def begin_pause(run: RunSituation, event: e.PauseDue) -> Commands:
    intent = {"action": event.action, "seconds": event.seconds}
    return (c.RecordStep(event.name, event.key, StepPhase.INTENT, intent, f"waiting {event.seconds:g} s"),)


def skip_pause(run: RunSituation, event: e.PauseInvalid) -> Commands:
    line = {"reason": "action_failed", "text": event.why}
    return (c.RecordStep(event.name, event.key, StepPhase.SKIPPED, line, event.why),)


def end_pause(run: RunSituation, event: e.PauseOver) -> Commands:
    return (c.RecordStep(event.name, event.key, StepPhase.APPLIED, {}, "waited"),)


# --- steps that did not happen


def _held(event: e.StepHeld) -> c.RecordStep:
    line = {"reason": str(event.reason), "text": event.text}
    return c.RecordStep(event.name, event.key, StepPhase.SKIPPED, line, f"{event.reason}: {event.text}")


def refuse_step(run: RunSituation, event: e.StepHeld) -> Commands:
    return (_held(event), *_refuse(event.reason, event.text))


def undo_after_hold(run: RunSituation, event: e.StepHeld) -> Commands:
    return (_held(event), _undo(run, event.name, f"{event.reason}: {event.text}"))


def fail_after_hold(run: RunSituation, event: e.StepHeld) -> Commands:
    return (_held(event), _fail(run, event.name, f"{event.reason}: {event.text}"))


def undo_after_failure(run: RunSituation, event: e.StepFailed) -> Commands:
    return (_undo(run, event.name, event.why),)


def fail_after_failure(run: RunSituation, event: e.StepFailed) -> Commands:
    return (_fail(run, event.name, event.why),)


def _undo(run: RunSituation, name: str, why: str) -> c.RecordState:
    return c.RecordState(f"{name} did not happen: {why}; undoing {', '.join(run.done)}")


def _fail(run: RunSituation, name: str, why: str) -> c.RecordEnd:
    left = f"; {', '.join(run.done)} stay done" if run.done else ""
    return c.RecordEnd(f"{name} did not happen: {why}{left}", Outcome.INCONCLUSIVE)


def refuse_late(run: RunSituation, event: e.TooLate) -> Commands:
    return _refuse(HeldReason.STALE_TELEMETRY, "it was held up for too long before its first effect")


def fail_late(run: RunSituation, event: e.TooLate) -> Commands:
    text = f"held up for too long before {event.name}; {', '.join(run.done)} stay done; {_LOOK}"
    return (c.RecordEnd(text, Outcome.INCONCLUSIVE),)


def cancel(run: RunSituation, event: e.ActingStopped) -> Commands:
    so_far = f"done and not undone: {', '.join(run.done)}" if run.done else "nothing was done"
    return (c.RecordEnd(f"acting is stopped (kill switch) before {event.step}; {so_far}"),)


# --- verification


def verify(run: RunSituation, event: e.StepsDone) -> Commands:
    return (c.RecordState(f"all steps done; watching {run.plan.target} and its callers"),)


def succeed_unverified(run: RunSituation, event: e.StepsDone) -> Commands:
    """A playbook without checks (a page to a person) has done what it can do; that it helped is not claimed."""
    return (c.RecordEnd("all steps done; this playbook has nothing to verify", Outcome.INCONCLUSIVE),)


def succeed(run: RunSituation, event: e.VerifiedBetter) -> Commands:
    return (c.RecordEnd(event.text, Outcome.BETTER),)


def undo_after_verdict(run: RunSituation, event: e.VerifiedNotBetter) -> Commands:
    return (c.RecordState(f"{event.outcome}: {event.text}; rolling back"),)


def fail_after_verdict(run: RunSituation, event: e.VerifiedNotBetter) -> Commands:
    return (c.RecordEnd(f"{event.outcome}: {event.text}", event.outcome),)


def fail_while_stopped(run: RunSituation, event: e.VerifiedWhileStopped) -> Commands:
    blocked = "; not rolled back, acting is stopped" if run.undoable else ""
    return (c.RecordEnd(f"{event.outcome}: {event.text}{blocked}", event.outcome),)


def end_inconclusive(run: RunSituation, event: e.VerifiedInconclusive) -> Commands:
    return (c.RecordEnd(f"{event.text}; {_LOOK}", Outcome.INCONCLUSIVE),)


# --- undoing


def end_rolled_back(run: RunSituation, event: e.StepsDone) -> Commands:
    return (c.RecordEnd("the state from before was restored"),)


def fail_rollback(run: RunSituation, event: e.StepFailed) -> Commands:
    return (c.RecordEnd(f"could not roll back, {event.name}: {event.why}; {_LOOK}"),)


def fail_rollback_held(run: RunSituation, event: e.StepHeld) -> Commands:
    return (_held(event), c.RecordEnd(f"could not roll back: {event.reason}: {event.text}; {_LOOK}"))


def fail_rollback_late(run: RunSituation, event: e.TooLate) -> Commands:
    return (c.RecordEnd(f"too late to roll back {event.name}; {_LOOK}"),)


def cancel_rollback(run: RunSituation, event: e.ActingStopped) -> Commands:
    return (c.RecordEnd(f"acting is stopped (kill switch) before {event.step}; half rolled back"),)


# --- what can't be known, and what must not be


def end_unknown(run: RunSituation, event: e.EffectUnknown) -> Commands:
    text = f"whether step {event.name} had its effect can't be known: {_LOOK}; nothing more is done"
    end = c.RecordEnd(text, Outcome.INCONCLUSIVE)
    if event.line is None:  # journalled before, and then the process died
        return (end,)
    return (c.RecordStep(event.name, event.key, StepPhase.UNKNOWN, event.line, event.text), end)


def end_by_fault(run: RunSituation, event: e.MachineFault) -> Commands:
    outcome = Outcome.INCONCLUSIVE if run.done else None
    return (c.RecordEnd(f"{event.text}; {_LOOK}", outcome, {"reason": "unlisted_transition"}),)


def end_by_fault_not_applied(run: RunSituation, event: e.MachineFault) -> Commands:
    return (_absent(event.step, event.key, f"the effect had not happened, and {event.text}"), *end_by_fault(run, event))


def end_by_fault_in_doubt(run: RunSituation, event: e.MachineFault) -> Commands:
    line = {"reason": "unlisted_transition", "text": event.text}
    return (c.RecordStep(event.step, event.key, StepPhase.UNKNOWN, line, event.text), *end_by_fault(run, event))
