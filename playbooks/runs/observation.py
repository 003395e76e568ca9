"""What has happened to a run, as one event: read from its journal, the switches, the clock and what people and telemetry said. Pure.

The journal decides what a run may do next, so what is observed after a crash is what would have been observed without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.actions import action_of, waits
from contracts.errors import ActionFailed
from contracts.events import Approval
from contracts.ports import RunEntry
from contracts.units import SECOND
from contracts.verdicts import Outcome, RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs import events as e
from playbooks.runs.arguments import resolve
from playbooks.runs.expiry import Expiry
from playbooks.runs.journal_records import Verdict
from playbooks.runs.machine import MachineState as S
from playbooks.runs.plan import ROLLBACK_PREFIX, RunPlan, key_of
from playbooks.runs.progress import (
    NOT_BEGUN,
    StepProgress,
    StepStatus,
    effects_of,
    is_wait,
    open_intent,
    progress_of,
)
from playbooks.verify import Intervention

RETRY_WAIT_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pause before the 2nd, 3rd, ... attempt; the last one repeats."""


@dataclass(frozen=True, slots=True)
class RunInput:
    """What there is to know of a run besides its journal. `begun_ns`: when it was let begin, 0 if it wasn't."""

    now_ns: int
    acting: bool = True
    approval: Approval | None = None
    verdict: Verdict | None = None
    incident_over: bool = False
    begun_ns: int = 0


def observe(state: S, entry: RunEntry, plan: RunPlan, now: RunInput, expiry: Expiry) -> e.RunEvent:
    """The event that the run's state asks about, most urgent first. `state` is not terminal."""
    match state:
        case S.PENDING:
            return _stopped(now) or _of_decision(plan, now, expiry)
        case S.AWAITING_APPROVAL:
            return _stopped(now) or _of_approval(plan, now, expiry)
        case S.IN_DOUBT | S.ROLLBACK_IN_DOUBT:
            return _of_open_intent(entry, plan)
        case S.NOT_APPLIED | S.ROLLBACK_NOT_APPLIED:
            return _of_absent_effect(entry, plan, now, expiry)
        case S.VERIFYING:
            return _of_verification(entry, plan, now)
        case S.ROLLING_BACK | S.ROLLBACK_PAUSED:
            return _of_steps(plan.playbook.rollback, ROLLBACK_PREFIX, entry, plan, now, expiry)
        case _:
            return _of_steps(plan.playbook.steps, "", entry, plan, now, expiry)


def _stopped(now: RunInput) -> e.RunEvent | None:
    if not now.acting:
        return e.ActingStopped()
    return e.IncidentOver() if now.incident_over else None


def _of_decision(plan: RunPlan, now: RunInput, expiry: Expiry) -> e.RunEvent:
    return e.DecisionExpired() if now.now_ns > expiry.begin_ns(plan) else e.DecisionReady()


def _of_approval(plan: RunPlan, now: RunInput, expiry: Expiry) -> e.RunEvent:
    expires = expiry.approval_ns(plan)
    if now.now_ns >= expires:
        return e.ApprovalExpired(expiry.approval_s)
    if now.approval is None:
        return e.NotYet(expires)
    return e.Approved() if now.approval.approve else e.Denied(now.approval.by, now.approval.comment)


def _of_open_intent(entry: RunEntry, plan: RunPlan) -> e.RunEvent:
    name, progress = open_intent(entry) or ("", NOT_BEGUN)
    if progress.status is StepStatus.UNKNOWN:
        return e.EffectUnknown(name, progress.key)
    return e.OutcomeMissing(name, plan.step(name), progress.key)


def _of_absent_effect(entry: RunEntry, plan: RunPlan, now: RunInput, expiry: Expiry) -> e.RunEvent:
    name, progress = open_intent(entry) or ("", NOT_BEGUN)
    if not now.acting:
        return e.ActingStopped(name, progress.key)
    if _overdue(entry, plan, now, expiry):
        return e.TooLate(name, progress.key)
    return e.StepDue(name, plan.step(name), progress.key)


def _of_verification(entry: RunEntry, plan: RunPlan, now: RunInput) -> e.RunEvent:
    verdict = now.verdict
    if verdict is None:
        return e.NotYet(acted_ns(entry, plan) + int(plan.playbook.verify.within_s * SECOND))
    match verdict.outcome:
        case Outcome.BETTER:
            return e.VerifiedBetter(verdict.text)
        case Outcome.INCONCLUSIVE:
            return e.VerifiedInconclusive(verdict.text, verdict.well or verdict.probed is not None)
        case outcome:
            return (e.VerifiedNotBetter if now.acting else e.VerifiedWhileStopped)(outcome, verdict.text)


def _of_steps(
    steps: Sequence[Step], prefix: str, entry: RunEntry, plan: RunPlan, now: RunInput, expiry: Expiry
) -> e.RunEvent:
    """What the next step meets: the first one, in the order written, that isn't done and whose needs are."""
    progress = progress_of(entry)
    step = _next(steps, progress, prefix)
    if step is None:
        return e.StepsDone()
    name, so_far = prefix + step.name, progress.get(prefix + step.name, NOT_BEGUN)
    if not now.acting:
        return e.ActingStopped(name)
    if not prefix and now.incident_over and not effects_of(entry):
        return e.IncidentOver()
    if _exhausted(step, so_far):
        return e.StepFailed(name, str(so_far.data.get("text", "")))
    if _overdue(entry, plan, now, expiry):
        return e.TooLate(name)
    if waits(step.action):
        return _of_pause(plan, name, step, so_far, now)
    if so_far.status is StepStatus.FAILED:
        until = so_far.since_ns + int(RETRY_WAIT_S[min(so_far.attempts, len(RETRY_WAIT_S)) - 1] * SECOND)
        if now.now_ns < until:
            return e.NotYet(until)
    return e.StepDue(name, step, key_of(plan.run, name, so_far.attempts + 1))


def _of_pause(plan: RunPlan, name: str, step: Step, so_far: StepProgress, now: RunInput) -> e.RunEvent:
    if so_far.status is StepStatus.NEW:
        key = f"{name}/wait"
        try:
            return e.PauseDue(name, step.action, key, action_of(step.action).pause_s(resolve(plan, step, None)))
        except (ActionFailed, ValueError) as error:
            return e.PauseInvalid(name, key, str(error))
    until = so_far.since_ns + int(_pause_s(so_far) * SECOND)
    return e.PauseOver(name, so_far.key) if now.now_ns >= until else e.NotYet(until)


def _next(steps: Sequence[Step], progress: Mapping[str, StepProgress], prefix: str) -> Step | None:
    done = {s.name for s in steps if progress.get(prefix + s.name, NOT_BEGUN).status is StepStatus.APPLIED}
    return next((s for s in steps if s.name not in done and done.issuperset(s.needs)), None)


def _exhausted(step: Step, so_far: StepProgress) -> bool:
    if so_far.status is StepStatus.FAILED:
        return not so_far.retryable or so_far.attempts > step.retries
    return so_far.status is StepStatus.SKIPPED


def _overdue(entry: RunEntry, plan: RunPlan, now: RunInput, expiry: Expiry) -> bool:
    """Whether nothing has happened for so long that the picture the decision was made on can't be trusted any more."""
    last = now.begun_ns or plan.created_ns
    for step in progress_of(entry).values():
        last = max(last, step.since_ns + int(_pause_s(step) * SECOND))
    if entry.state is RunState.ROLLING_BACK and now.verdict is not None:
        last = max(last, now.verdict.time_ns)
    return now.now_ns > last + expiry.decision_ns


def _pause_s(so_far: StepProgress) -> float:
    """How long a wait step that has begun waits, seconds; 0 for other steps."""
    return float(so_far.intent.get("seconds", 0.0)) if is_wait(so_far) else 0.0


def intervention(entry: RunEntry, plan: RunPlan) -> Intervention:
    """When the run's effects happened, for verification."""
    forward = [line for line in entry.steps if not line.step.startswith(ROLLBACK_PREFIX)]
    intents = [x.time_ns for x in forward if x.phase is StepPhase.INTENT and not waits(str(x.data.get("action", "")))]
    acted = acted_ns(entry, plan)
    return Intervention(plan.onset_ns, min(intents, default=acted), acted)


def acted_ns(entry: RunEntry, plan: RunPlan) -> int:
    """When the last thing of the forward steps happened, epoch nanoseconds."""
    times = [line.time_ns for line in entry.steps if not line.step.startswith(ROLLBACK_PREFIX)]
    return max(times, default=plan.created_ns)
