"""What is recorded of a transition, and in which words: each function of the table on a run that has done nothing, and on one that has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.verdicts import HeldReason, Outcome, StepPhase
from playbooks.runs import commands as c
from playbooks.runs import events as e
from playbooks.runs import reactions as r
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.situation import RunSituation
from tests.unit.playbooks.runs.support import SCALE, T0, decision

PLAN = plan_of(decision("scale-out"), SCALE, now_ns=T0, surroundings=Surroundings())
NEW, DONE = RunSituation(PLAN, ()), RunSituation(PLAN, ("grow", "shift"))
STAYS = RunSituation(replace(PLAN, playbook=replace(SCALE, rollback=())), ("grow",))
GROW = SCALE.steps[0]
HELD = e.StepHeld("grow", "k1", HeldReason.COOLDOWN, "too soon")
SKIPPED = c.RecordStep(
    "grow", "k1", StepPhase.SKIPPED, {"reason": "cooldown", "text": "too soon"}, "cooldown: too soon"
)
FAILED, LATE, STOPPED = e.StepFailed("grow", "no room"), e.TooLate("grow", "k1"), e.ActingStopped("grow", "k1")
WORSE, WELL = Outcome.WORSE, e.VerifiedInconclusive("too few requests", well=True)
FAULT = e.MachineFault("oops", "grow", "k1")
LOST = "whether step grow had its effect can't be known: a person must look; nothing more is done"
UNSURE = e.VerifiedInconclusive("too few requests")


def refused(reason: HeldReason, text: str) -> c.RecordEnd:
    return c.RecordEnd(text, data={"reason": str(reason)})


def absent(text: str) -> c.RecordStep:
    return c.RecordStep("grow", "k1", StepPhase.SKIPPED, {"text": text, "recovered": True}, text)


def fault(outcome: Outcome | None) -> c.RecordEnd:
    return c.RecordEnd("oops; a person must look", outcome, {"reason": "unlisted_transition"})


def ends(text: str, outcome: Outcome | None = None) -> tuple[c.Command, ...]:
    return (c.RecordEnd(text, outcome),)


@pytest.mark.parametrize(
    ("react", "run", "event", "commands"),
    [
        (r.preflight, NEW, e.DecisionReady(), (c.Preflight(approved=False),)),
        (r.preflight_approved, NEW, e.Approved(), (c.Preflight(approved=True),)),
        (r.begin, NEW, e.PreflightPassed(), (c.RecordState("scale-out begins on cart", begun=True),)),
        (r.ask_person, NEW, e.ApprovalWanted(7, "agree?"), (c.RecordState("agree?", {"expires_ns": 7}),)),
        (r.refuse, NEW, e.PreflightHeld(HeldReason.RATE_LIMIT, "often"), (refused(HeldReason.RATE_LIMIT, "often"),)),
        (r.refuse_old, NEW, e.DecisionExpired(),
         (refused(HeldReason.STALE_TELEMETRY, "the decision is too old to act on"),)),
        (r.refuse_denied, NEW, e.Denied("ann"), (refused(HeldReason.APPROVAL, "denied by ann"),)),
        (r.refuse_denied, NEW, e.Denied("ann", "not now"), (refused(HeldReason.APPROVAL, "denied by ann: not now"),)),
        (r.refuse_unanswered, NEW, e.ApprovalExpired(90.0),
         (refused(HeldReason.APPROVAL_EXPIRED, "no approval within 90 s"),)),
        (r.cancel_untouched, NEW, STOPPED, ends("acting is stopped (kill switch); nothing was done")),
        (r.cancel_over, NEW, e.IncidentOver(), ends("the incident was over before anything was done")),
        (r.wait, NEW, e.NotYet(7), (c.WaitUntil(7),)),
        (r.nothing, NEW, e.EffectAbsent(), ()),
        (r.check_step, NEW, e.StepDue("grow", GROW, "k1"), (c.CheckStep("grow", GROW, "k1"),)),
        (r.check_step_again, NEW, e.StepDue("grow", GROW, "k1"), (c.CheckStep("grow", GROW, "k1", again=True),)),
        (r.ask_actuator, NEW, e.OutcomeMissing("grow", GROW, "k1"), (c.AskActuator("grow", GROW, "k1"),)),
        (r.skip_stopped, NEW, STOPPED, (absent("the effect had not happened, and acting is stopped"),)),
        (r.skip_late, NEW, LATE, (absent("the effect had not happened, and it is too late for it"),)),
        (r.begin_pause, NEW, e.PauseDue("rest", "wait", "k1", 2.5),
         (c.RecordStep("rest", "k1", StepPhase.INTENT, {"action": "wait", "seconds": 2.5}, "waiting 2.5 s"),)),
        (r.skip_pause, NEW, e.PauseInvalid("rest", "k1", "no number"),
         (c.RecordStep("rest", "k1", StepPhase.SKIPPED, {"reason": "action_failed", "text": "no number"}, "no number"),)),
        (r.end_pause, NEW, e.PauseOver("rest", "k1"), (c.RecordStep("rest", "k1", StepPhase.APPLIED, {}, "waited"),)),
        (r.record_failed, NEW, e.EffectFailed("grow", "k1", {"retryable": True}, "conflict"),
         (c.RecordStep("grow", "k1", StepPhase.FAILED, {"retryable": True}, "conflict"),)),
        (r.refuse_step, NEW, HELD, (SKIPPED, refused(HeldReason.COOLDOWN, "too soon"))),
        (r.undo_after_hold, DONE, HELD,
         (SKIPPED, c.RecordState("grow did not happen: cooldown: too soon; undoing grow, shift"))),
        (r.fail_after_hold, DONE, HELD,
         (SKIPPED, *ends("grow did not happen: cooldown: too soon; grow, shift stay done", Outcome.INCONCLUSIVE))),
        (r.undo_after_failure, DONE, FAILED, (c.RecordState("grow did not happen: no room; undoing grow, shift"),)),
        (r.fail_after_failure, DONE, FAILED,
         ends("grow did not happen: no room; grow, shift stay done", Outcome.INCONCLUSIVE)),
        (r.fail_after_failure, NEW, FAILED, ends("grow did not happen: no room", Outcome.INCONCLUSIVE)),
        (r.refuse_late, NEW, LATE,
         (refused(HeldReason.STALE_TELEMETRY, "it was held up for too long before its first effect"),)),
        (r.fail_late, DONE, LATE,
         ends("held up for too long before grow; grow, shift stay done; a person must look", Outcome.INCONCLUSIVE)),
        (r.cancel, NEW, STOPPED, ends("acting is stopped (kill switch) before grow; nothing was done")),
        (r.cancel, DONE, STOPPED,
         ends("acting is stopped (kill switch) before grow; done and not undone: grow, shift")),
        (r.verify, DONE, e.StepsDone(), (c.RecordState("all steps done; watching cart and its callers"),)),
        (r.succeed_unverified, DONE, e.StepsDone(),
         ends("all steps done; this playbook has nothing to verify", Outcome.INCONCLUSIVE)),
        (r.succeed, DONE, e.VerifiedBetter("it recovered"), ends("it recovered", Outcome.BETTER)),
        (r.undo_after_verdict, DONE, e.VerifiedNotBetter(WORSE, "more fail"),
         (c.RecordState("worse: more fail; rolling back"),)),
        (r.fail_after_verdict, STAYS, e.VerifiedNotBetter(WORSE, "more fail"), ends("worse: more fail", WORSE)),
        (r.fail_while_stopped, DONE, e.VerifiedWhileStopped(WORSE, "more fail"),
         ends("worse: more fail; not rolled back, acting is stopped", WORSE)),
        (r.fail_while_stopped, STAYS, e.VerifiedWhileStopped(WORSE, "more fail"), ends("worse: more fail", WORSE)),
        (r.end_inconclusive, DONE, WELL, ends("too few requests", Outcome.INCONCLUSIVE)),
        (r.end_inconclusive, DONE, UNSURE, ends("too few requests; a person must look", Outcome.INCONCLUSIVE)),
        (r.end_rolled_back, DONE, e.StepsDone(), ends("the state from before was restored")),
        (r.fail_rollback, DONE, FAILED, ends("could not roll back, grow: no room; a person must look")),
        (r.fail_rollback_held, DONE, HELD,
         (SKIPPED, *ends("could not roll back: cooldown: too soon; a person must look"))),
        (r.fail_rollback_late, DONE, LATE, ends("too late to roll back grow; a person must look")),
        (r.cancel_rollback, DONE, STOPPED, ends("acting is stopped (kill switch) before grow; half rolled back")),
        (r.end_unknown, NEW, e.EffectUnknown("grow", "k1"), ends(LOST, Outcome.INCONCLUSIVE)),
        (r.end_unknown, NEW, e.EffectUnknown("grow", "k1", {"why": "timeout"}, "no answer"),
         (c.RecordStep("grow", "k1", StepPhase.UNKNOWN, {"why": "timeout"}, "no answer"),
          *ends(LOST, Outcome.INCONCLUSIVE))),
        (r.end_by_fault, NEW, FAULT, (fault(None),)),
        (r.end_by_fault, DONE, FAULT, (fault(Outcome.INCONCLUSIVE),)),
        (r.end_by_fault_not_applied, NEW, FAULT, (absent("the effect had not happened, and oops"), fault(None))),
        (r.end_by_fault_in_doubt, DONE, FAULT,
         (c.RecordStep("grow", "k1", StepPhase.UNKNOWN, {"reason": "unlisted_transition", "text": "oops"}, "oops"),
          fault(Outcome.INCONCLUSIVE))),
    ],
)  # fmt: skip
def test_what_is_recorded_says_what_was_done_and_what_is_left(
    react: Callable[[RunSituation, Any], r.Commands], run: RunSituation, event: e.RunEvent, commands: r.Commands
) -> None:
    assert react(run, event) == commands
