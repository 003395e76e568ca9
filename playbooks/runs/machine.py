"""The state machine of a run: journal entry and situation in, next command out. Pure; the executor does what it says.

    pending ─► (awaiting_approval) ─► running ─► verifying ─► succeeded
       │               │                 │           ├─► rolling_back ─► rolled_back
       └─► refused ◄───┘                 │           └─► failed | inconclusive
                                         └─► failed | rolling_back | unknown
    cancelled: from any state before the next effect, by the kill switch or because the incident is over.

What holds whatever happens (tests/unit/playbooks/runs/test_machine_properties.py): a step whose effect happened, or may
have happened, is never applied again; nothing is applied while acting is stopped, after expiry or in a terminal state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.events import Approval
from contracts.ports import Applied, RunEntry
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, HeldReason, Outcome, RunState
from playbooks.language.model import Step
from playbooks.runs.commands import (
    ApplyStep,
    Begin,
    BeginWait,
    Compensate,
    EndWait,
    Finish,
    Next,
    PreFlight,
    Refuse,
    RequestApproval,
    Resolve,
    RollBack,
    Settle,
    VerifyCommand,
    Wait,
)
from playbooks.runs.plan import ROLLBACK_PREFIX, RunPlan, key_of
from playbooks.runs.progress import NOT_BEGUN, StepProgress, StepStatus, effects_of, progress_of

ASKS = frozenset({HeldReason.APPROVAL, HeldReason.TARGET_CONTESTED})
"""Objections that a person's approval overcomes."""
RETRY_WAIT_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pause before the 2nd, 3rd, ... attempt; the last one repeats."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Times after which a run is too old, from settings."""

    approval_expiry_s: float
    decision_expiry_s: float


@dataclass(frozen=True, slots=True)
class RunInput:
    """What the machine is told besides the journal. `resolved` is what actuators said of intents without an outcome."""

    now_ns: int
    acting: bool = True
    approval: Approval | None = None
    outcome: Outcome | None = None
    outcome_text: str = ""
    incident_over: bool = False
    begun_ns: int = 0
    """When the run was let begin (0: not yet)."""
    decided_ns: int = 0
    """When verification had its verdict (0: not yet)."""
    resolved: Mapping[str, Applied] = field(default_factory=dict)


def next_command(entry: RunEntry, plan: RunPlan, now: RunInput, limits: RunLimits) -> Next | None:
    """What to do next with the run; None once it is over."""
    if entry.state in TERMINAL_RUN_STATES:
        return None
    doubt = _in_doubt(entry, plan, now, limits)
    if doubt is not None:
        return doubt
    match entry.state:
        case RunState.PENDING:
            return _pending(plan, now, limits)
        case RunState.AWAITING_APPROVAL:
            return _awaiting(plan, now, limits)
        case RunState.RUNNING:
            return _running(entry, plan, now, limits)
        case RunState.VERIFYING:
            return _verifying(entry, plan, now)
        case _:
            return _rolling_back(entry, plan, now, limits)


def expires_ns(plan: RunPlan, limits: RunLimits) -> int:
    """When an approval not given is a no. Counted from the run's creation, so that a restart doesn't extend it."""
    return plan.created_ns + int(limits.approval_expiry_s * SECOND)


def begin_by_ns(plan: RunPlan, limits: RunLimits) -> int:
    """When a decision that nobody approved is too old to begin with."""
    return min(plan.created_ns, plan.decided_ns) + int(limits.decision_expiry_s * SECOND)


def after_preflight(plan: RunPlan, held: Refuse | None, command: PreFlight, limits: RunLimits) -> Next:
    """What follows from a pre-flight's result."""
    if held is not None and held.reason not in ASKS:
        return held
    if command.approved or (held is None and not plan.needs_approval):
        return Begin()
    why = held.text if held is not None else _why_ask(plan)
    return RequestApproval(expires_ns(plan, limits), f"{plan.playbook.name} on {plan.target} needs an approval: {why}")


def _why_ask(plan: RunPlan) -> str:
    if plan.playbook.tier >= 3:
        return f"it is tier {plan.playbook.tier}"
    return "a person was to be asked" if plan.ask else f"autonomy is {plan.autonomy}"


def after_held(entry: RunEntry, plan: RunPlan, name: str, held: Refuse) -> Next:
    """What follows when an effect was held back at the last check before it."""
    done = [n for n, _ in effects_of(entry)]
    if name.startswith(ROLLBACK_PREFIX):
        return Finish(RunState.FAILED, f"could not roll back: {held.reason}: {held.text}; a person must look")
    return _broken(plan, name, f"{held.reason}: {held.text}", done) if done else held


def _in_doubt(entry: RunEntry, plan: RunPlan, now: RunInput, limits: RunLimits) -> Next | None:
    """Before anything else: what became of an intent without an outcome?"""
    for name, step in progress_of(entry).items():
        if step.status is StepStatus.UNKNOWN:
            return _unknown(name)
        if step.status is not StepStatus.IN_DOUBT or step.intent.get("action") == "wait":
            continue
        answer = now.resolved.get(step.key)
        if answer is None:
            return Resolve(name, plan.step(name), step.key)
        if answer is not Applied.NO:
            text = "the effect had happened" if answer is Applied.YES else "whether the effect happened can't be known"
            return Settle(name, step.key, answer, text)
        if not now.acting or _overdue(entry, plan, now, limits):
            why = "it is too late for it" if now.acting else "acting is stopped"
            return Settle(name, step.key, answer, f"the effect had not happened, and {why}")
        return _effect(name, plan.step(name), step, again=True)
    return None


def _unknown(name: str) -> Finish:
    return Finish(
        RunState.UNKNOWN,
        f"whether step {name} had its effect can't be known: a person must look; nothing more is done",
        Outcome.INCONCLUSIVE,
    )


def _pending(plan: RunPlan, now: RunInput, limits: RunLimits) -> Next:
    stopped = _stopped(now)
    if stopped is not None:
        return stopped
    return too_old(plan, now.now_ns, limits) or PreFlight(approved=False)


def too_old(plan: RunPlan, now_ns: int, limits: RunLimits) -> Refuse | None:
    """Whether a decision that nobody approved was made too long ago to begin with it."""
    if now_ns > begin_by_ns(plan, limits):
        return Refuse(HeldReason.STALE_TELEMETRY, "the decision is too old to act on")
    return None


def _awaiting(plan: RunPlan, now: RunInput, limits: RunLimits) -> Next:
    stopped = _stopped(now)
    if stopped is not None:
        return stopped
    expires = expires_ns(plan, limits)
    if now.now_ns >= expires:
        return Refuse(HeldReason.APPROVAL_EXPIRED, f"no approval within {limits.approval_expiry_s:g} s")
    if now.approval is None:
        return Wait(expires)
    if not now.approval.approve:
        return Refuse(HeldReason.APPROVAL, f"denied by {now.approval.by}{_comment(now.approval)}")
    return PreFlight(approved=True)


def _comment(approval: Approval) -> str:
    return f": {approval.comment}" if approval.comment else ""


def _stopped(now: RunInput) -> Finish | None:
    if not now.acting:
        return Finish(RunState.CANCELLED, "acting is stopped (kill switch); nothing was done")
    if now.incident_over:
        return Finish(RunState.CANCELLED, "the incident was over before anything was done")
    return None


def _running(entry: RunEntry, plan: RunPlan, now: RunInput, limits: RunLimits) -> Next:
    steps = progress_of(entry)
    done = [name for name, _ in effects_of(entry)]
    chosen = _ready(plan.playbook.steps, steps, "")
    if chosen is None:
        return VerifyCommand(acted_ns(entry, plan)) if plan.playbook.verify.checks else _unverified()
    name, step, progress = chosen
    if not now.acting:
        return _cancelled(done, name)
    if not done and now.incident_over:
        return Finish(RunState.CANCELLED, "the incident was over before anything was done")
    if _exhausted(step, progress):
        return _broken(plan, name, str(progress.data.get("text", "")), done)
    if _overdue(entry, plan, now, limits):
        return _too_late(name, done)
    return _advance(name, step, progress, now)


def _unverified() -> Finish:
    """A playbook without checks (a page to a person) has done what it can do; that it helped is not claimed."""
    return Finish(RunState.SUCCEEDED, "all steps done; this playbook has nothing to verify", Outcome.INCONCLUSIVE)


def _overdue(entry: RunEntry, plan: RunPlan, now: RunInput, limits: RunLimits) -> bool:
    """Whether nothing has happened for so long that the picture the decision was made on can't be trusted any more."""
    last = now.begun_ns or plan.created_ns
    for step in progress_of(entry).values():
        last = max(last, step.since_ns + int(waiting_s(step) * SECOND))
    if entry.state is RunState.ROLLING_BACK:
        last = max(last, now.decided_ns)
    return now.now_ns > last + int(limits.decision_expiry_s * SECOND)


def _too_late(name: str, done: Sequence[str]) -> Next:
    if not done:
        return Refuse(HeldReason.STALE_TELEMETRY, "it was held up for too long before its first effect")
    text = f"held up for too long before {name}; {', '.join(done)} stay done; a person must look"
    return Finish(RunState.FAILED, text, Outcome.INCONCLUSIVE)


def _cancelled(done: Sequence[str], name: str) -> Finish:
    so_far = f"done and not undone: {', '.join(done)}" if done else "nothing was done"
    return Finish(RunState.CANCELLED, f"acting is stopped (kill switch) before {name}; {so_far}")


def _broken(plan: RunPlan, name: str, why: str, done: Sequence[str]) -> Next:
    text = f"{name} did not happen: {why}"
    if done and plan.playbook.rollback:
        return RollBack(f"{text}; undoing {', '.join(done)}")
    return Finish(RunState.FAILED, text + (f"; {', '.join(done)} stay done" if done else ""), Outcome.INCONCLUSIVE)


def _ready(
    steps: Sequence[Step], progress: Mapping[str, StepProgress], prefix: str
) -> tuple[str, Step, StepProgress] | None:
    """The first step, in the order written, that isn't done and whose needs are; None if all are done."""
    done = {s.name for s in steps if progress.get(prefix + s.name, NOT_BEGUN).status is StepStatus.APPLIED}
    for step in steps:
        if step.name not in done and done.issuperset(step.needs):
            return prefix + step.name, step, progress.get(prefix + step.name, NOT_BEGUN)
    return None


def _exhausted(step: Step, progress: StepProgress) -> bool:
    if progress.status is StepStatus.SKIPPED:
        return True
    if progress.status is not StepStatus.FAILED:
        return False
    return not progress.retryable or progress.attempts > step.retries


def _advance(name: str, step: Step, progress: StepProgress, now: RunInput) -> Next:
    if step.action == "wait":
        return _pause(name, step, progress, now)
    if progress.status is StepStatus.FAILED:
        pause = RETRY_WAIT_S[min(progress.attempts, len(RETRY_WAIT_S)) - 1]
        until = progress.since_ns + int(pause * SECOND)
        if now.now_ns < until:
            return Wait(until)
    return _effect(name, step, progress, again=False)


def _pause(name: str, step: Step, progress: StepProgress, now: RunInput) -> Next:
    if progress.status is StepStatus.NEW:
        return BeginWait(name, step, f"{name}/wait")
    until = progress.since_ns + int(waiting_s(progress) * SECOND)
    return EndWait(name, progress.key) if now.now_ns >= until else Wait(until)


def waiting_s(progress: StepProgress) -> float:
    """How long a wait step that has begun waits, seconds; 0 for other steps."""
    return float(progress.intent.get("seconds", 0.0)) if progress.intent.get("action") == "wait" else 0.0


def _effect(name: str, step: Step, progress: StepProgress, *, again: bool) -> ApplyStep:
    attempt = progress.attempts if again else progress.attempts + 1
    kind = Compensate if name.startswith(ROLLBACK_PREFIX) else ApplyStep
    return kind(name, step, attempt, progress.key if again else "", again)


def keyed(run: str, command: ApplyStep) -> str:
    """The idempotency key of an effect: the journalled one, or that of the new attempt."""
    return command.key or key_of(run, command.name, command.attempt)


def acted_ns(entry: RunEntry, plan: RunPlan) -> int:
    """When the last thing of the forward steps happened, epoch nanoseconds."""
    times = [line.time_ns for line in entry.steps if not line.step.startswith(ROLLBACK_PREFIX)]
    return max(times, default=plan.created_ns)


def _verifying(entry: RunEntry, plan: RunPlan, now: RunInput) -> Next:
    undo = bool(plan.playbook.rollback) and bool(effects_of(entry))
    match now.outcome:
        case None:
            return Wait(acted_ns(entry, plan) + int(plan.playbook.verify.within_s * SECOND))
        case Outcome.BETTER:
            return Finish(RunState.SUCCEEDED, now.outcome_text, Outcome.BETTER)
        case Outcome.INCONCLUSIVE:
            return Finish(RunState.INCONCLUSIVE, f"{now.outcome_text}; a person must look", Outcome.INCONCLUSIVE)
        case outcome if undo and now.acting:
            return RollBack(f"{outcome}: {now.outcome_text}; rolling back")
        case outcome:
            blocked = "; not rolled back, acting is stopped" if undo else ""
            return Finish(RunState.FAILED, f"{outcome}: {now.outcome_text}{blocked}", outcome)


def _rolling_back(entry: RunEntry, plan: RunPlan, now: RunInput, limits: RunLimits) -> Next:
    chosen = _ready(plan.playbook.rollback, progress_of(entry), ROLLBACK_PREFIX)
    outcome = now.outcome
    if chosen is None:
        return Finish(RunState.ROLLED_BACK, "the state from before was restored", outcome)
    name, step, progress = chosen
    if not now.acting:
        return Finish(RunState.CANCELLED, f"acting is stopped (kill switch) before {name}; half rolled back", outcome)
    if _exhausted(step, progress):
        why = progress.data.get("text", "")
        return Finish(RunState.FAILED, f"could not roll back, {name}: {why}; a person must look", outcome)
    if _overdue(entry, plan, now, limits):
        return Finish(RunState.FAILED, f"too late to roll back {name}; a person must look", outcome)
    return _advance(name, step, progress, now)
