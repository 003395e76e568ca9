"""When a run may go on: every time that is told of is to the nanosecond, and on both sides of it the right thing is observed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.ports import RunEntry, StepEntry
from contracts.units import MILLISECOND
from contracts.verdicts import Outcome, RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs import events as e
from playbooks.runs.expiry import Expiry
from playbooks.runs.journal_records import Verdict
from playbooks.runs.machine import state_of
from playbooks.runs.observation import RunInput, intervention, observe
from playbooks.runs.plan import RunPlan, Surroundings, definition_of, plan_of
from playbooks.runs.progress import StepProgress, StepStatus
from playbooks.verify import Intervention
from tests.unit.playbooks.runs.support import SCALE, T0, approval, decision

EXPIRY = Expiry(approval_s=60.5, decision_s=30.25)
PLAYBOOK = replace(
    SCALE,
    tier=1,
    steps=(Step("grow", "scale", {"by": 1}, retries=9), Step("pause", "wait", {"seconds": 4.5}, needs=("grow",))),
    verify=replace(SCALE.verify, within_s=30.5),
)
Line = tuple[float, str, StepPhase, dict[str, object]]
"""Seconds since T0, step, phase, data."""
GROWN: tuple[Line, ...] = (
    (1.0, "grow", StepPhase.INTENT, {"action": "scale"}),
    (2.0, "grow", StepPhase.APPLIED, {}),
)
PAUSED: tuple[Line, ...] = (*GROWN, (3.0, "pause", StepPhase.INTENT, {"action": "wait", "seconds": 4.5}))


def seen(
    state: RunState, lines: tuple[Line, ...] = (), at_s: float = 0.0, *, late_ns: int = 0, tier: int = 1, **now: object
) -> e.RunEvent:
    """What is observed `at_s` after T0, and `late_ns` more, of a run with these lines in its journal."""
    plan: RunPlan = plan_of(decision("scale-out"), replace(PLAYBOOK, tier=tier), now_ns=T0, surroundings=Surroundings())
    entry = RunEntry(plan.run, "d1", "test", "cart", "scale-out", state, T0, T0, 1, definition_of(plan))
    attempt, steps = 0, []
    for at, step, phase, data in lines:
        attempt += phase is StepPhase.INTENT
        steps.append(StepEntry(plan.run, step, phase, f"k{attempt}", after(at), data))
    entry = replace(entry, steps=tuple(steps))
    given = RunInput(now_ns=after(at_s) + late_ns, **now)  # type: ignore[arg-type]
    return observe(state_of(entry, None), entry, plan, given, EXPIRY)


def after(seconds: float) -> int:
    """So long after T0."""
    return T0 + round(seconds * 1000) * MILLISECOND


@pytest.mark.parametrize(
    ("lines", "until_s"),
    [
        ((), 30.5),
        (GROWN, 32.5),
        ((*PAUSED, (7.5, "pause", StepPhase.APPLIED, {})), 38.0),
    ],
)
def test_a_verdict_is_waited_for_since_the_last_step(lines: tuple[Line, ...], until_s: float) -> None:
    assert seen(RunState.VERIFYING, lines, 5.0) == e.NotYet(after(until_s))
    reached = Verdict(Outcome.BETTER, "well", T0, 1.0)
    assert seen(RunState.VERIFYING, lines, 5.0, verdict=reached) == e.VerifiedBetter("well")


def test_an_answer_is_waited_for_until_it_is_too_late() -> None:
    def asked(at_s: float, late_ns: int = 0, *, answered: bool = False) -> e.RunEvent:
        given = approval() if answered else None
        return seen(RunState.AWAITING_APPROVAL, (), at_s, late_ns=late_ns, tier=3, approval=given)

    assert asked(10.0) == e.NotYet(after(60.5))
    assert asked(60.5, -1) == e.NotYet(after(60.5))
    assert asked(60.5, -1, answered=True) == e.Approved()
    assert asked(60.5) == asked(60.5, answered=True) == e.ApprovalExpired(60.5)


def test_a_decision_can_be_begun_until_it_is_too_old() -> None:
    assert seen(RunState.PENDING, (), 30.25) == e.DecisionReady()
    assert seen(RunState.PENDING, (), 30.25, late_ns=1) == e.DecisionExpired()


@pytest.mark.parametrize(
    ("attempts", "pause_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 8.0), (9, 8.0)]
)
def test_an_attempt_is_made_again_after_its_pause(attempts: int, pause_s: float) -> None:
    lines: list[Line] = []
    for i in range(attempts):
        lines += [
            (10.0 + i, "grow", StepPhase.INTENT, {"action": "scale"}),
            (10.5 + i, "grow", StepPhase.FAILED, {"retryable": True, "text": "busy"}),
        ]
    until_s = 9.5 + attempts + pause_s
    begun = {"begun_ns": T0}
    assert seen(RunState.RUNNING, tuple(lines), until_s, late_ns=-1, **begun) == e.NotYet(after(until_s))
    due = seen(RunState.RUNNING, tuple(lines), until_s, **begun)
    assert isinstance(due, e.StepDue)
    assert due.name == "grow"


def test_attempts_run_out() -> None:
    lines: list[Line] = []
    for i in range(10):
        lines += [(float(i), "grow", StepPhase.INTENT, {}), (i + 0.5, "grow", StepPhase.FAILED, {"retryable": True})]
    assert isinstance(seen(RunState.RUNNING, tuple(lines[:18]), 30.0), e.StepDue)
    assert seen(RunState.RUNNING, tuple(lines), 30.0) == e.StepFailed("grow", "")


def test_a_pause_is_as_long_as_it_says() -> None:
    begins = seen(RunState.RUNNING, GROWN, 3.0)
    assert isinstance(begins, e.PauseDue)
    assert seen(RunState.RUNNING, PAUSED, 7.5, late_ns=-1) == e.NotYet(after(7.5))
    assert seen(RunState.RUNNING, PAUSED, 7.5) == e.PauseOver("pause", "k2")


@pytest.mark.parametrize(
    ("lines", "begun_s", "last_s"),
    [
        ((), None, 0.0),  # since the run was made
        ((), 20.0, 20.0),  # since it was let begin
        (GROWN[:1], 0.5, 1.0),
        (GROWN, 0.5, 2.0),
        (PAUSED, 0.5, 7.5),  # a pause is no idleness
        (GROWN, 20.0, 20.0),
    ],
)
def test_the_next_step_is_too_late_when_nothing_has_happened_for_long(
    lines: tuple[Line, ...], begun_s: float | None, last_s: float
) -> None:
    begun_ns = 0 if begun_s is None else after(begun_s)
    in_time = seen(RunState.RUNNING, lines, last_s + 30.25, begun_ns=begun_ns)
    assert not isinstance(in_time, e.TooLate), in_time
    if lines == GROWN[:1]:  # an intent without an outcome: the target is asked first
        assert isinstance(in_time, e.OutcomeMissing)
        return
    late = seen(RunState.RUNNING, lines, last_s + 30.25, late_ns=1, begun_ns=begun_ns)
    assert isinstance(late, e.TooLate), late


@pytest.mark.parametrize(
    ("lines", "first_s", "last_s"),
    [
        ((), 0.0, 0.0),
        (GROWN, 1.0, 2.0),
        (PAUSED, 1.0, 3.0),
        (((0.5, "pause", StepPhase.INTENT, {"action": "wait", "seconds": 0.2}), *GROWN), 1.0, 2.0),
        (((0.5, "ask", StepPhase.SKIPPED, {}), *GROWN), 1.0, 2.0),
        (((0.5, "ask", StepPhase.UNKNOWN, {}), *GROWN), 1.0, 2.0),
        ((*GROWN, (9.0, "rollback/shrink", StepPhase.INTENT, {"action": "scale"})), 1.0, 2.0),
        # Tried again: the first may have had its effect.
        (
            (*GROWN[:1], (2.0, "grow", StepPhase.FAILED, {}), (4.0, "grow", StepPhase.INTENT, {"action": "scale"})),
            1.0,
            4.0,
        ),
    ],
)
def test_it_began_with_the_first_effect_that_was_intended(
    lines: tuple[Line, ...], first_s: float, last_s: float
) -> None:
    plan = plan_of(decision("scale-out"), PLAYBOOK, now_ns=T0, surroundings=Surroundings())
    steps = tuple(StepEntry(plan.run, step, phase, "k", after(at), data) for at, step, phase, data in lines)
    entry = RunEntry(plan.run, "d1", "test", "cart", "scale-out", RunState.VERIFYING, T0, T0, 1, {}, steps)
    assert intervention(entry, plan) == Intervention(plan.onset_ns, after(first_s), after(last_s))


def test_going_back_counts_from_the_verdict() -> None:
    harm = Verdict(Outcome.WORSE, "worse", after(20.0), 0.0)
    in_time = seen(RunState.ROLLING_BACK, GROWN, 50.25, verdict=harm)
    assert isinstance(in_time, e.StepDue)
    assert in_time.name == "rollback/shrink"
    assert isinstance(seen(RunState.ROLLING_BACK, GROWN, 50.25, late_ns=1, verdict=harm), e.TooLate)


@pytest.mark.parametrize(
    ("status", "data", "retryable"),
    [
        (StepStatus.FAILED, {"retryable": True}, True),
        (StepStatus.FAILED, {"retryable": False}, False),
        (StepStatus.FAILED, {}, False),
        (StepStatus.APPLIED, {"retryable": True}, False),
    ],
)
def test_only_a_failure_that_says_so_may_be_tried_again(
    status: StepStatus, data: dict[str, object], retryable: bool
) -> None:
    assert StepProgress(status, data=data).retryable is retryable
    failed = (*GROWN[:1], (2.0, "grow", StepPhase.FAILED, data))
    if status is StepStatus.FAILED:
        assert isinstance(seen(RunState.RUNNING, failed, 9.0), e.StepDue if retryable else e.StepFailed)
