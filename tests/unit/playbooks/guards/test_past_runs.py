"""What guards read from runs of the past: which of them acted, when, and how long ago, as the journal gives them back."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from contracts.ports import Mark, RunEntry, StepEntry, Target, TargetState
from contracts.units import HOUR
from contracts.units import SECOND as S
from contracts.verdicts import HeldReason, RunState, StepPhase
from playbooks.guards import CircuitLimits, GuardContext, Ourselves, check
from playbooks.guards.context import acted_ns, has_effects
from playbooks.language import Guards, Match, Playbook, Step, Trigger, Verify

NOW = 1_800_000_000 * S
CART = Target("prod", "cart")
STATE = TargetState(replicas=2, ready=2)
BOOK = Playbook(
    "restart", "1", "", Trigger(Match()), 1, Guards(cooldown_s=60, max_per_hour=1), (Step("do", "restart"),), Verify(())
)
FREE = GuardContext(now_ns=NOW, known_services=("cart", "web", "db"))
WAITED = {"action": "wait", "seconds": 1.0}


def run(created_s: float, *lines: tuple[float, StepPhase, dict[str, object]], state=RunState.SUCCEEDED) -> RunEntry:
    """A run that began so many seconds ago, with the lines of its steps: how long ago, phase, data."""
    steps = tuple(StepEntry("r", "do", phase, "k", ago(at), data) for at, phase, data in lines)
    return RunEntry("r", "d", "prod", "cart", "restart", state, ago(created_s), ago(created_s), 1, {}, steps)


def ago(seconds: float) -> int:
    return NOW - int(seconds * S)


def held(context: GuardContext, state: TargetState = STATE) -> tuple[HeldReason, str] | None:
    found = check(BOOK, CART, state, context)
    return None if found is None else (found.reason, found.text)


@pytest.mark.parametrize("phase", StepPhase)
def test_every_line_of_a_step_but_a_skip_may_be_of_an_effect(phase: StepPhase) -> None:
    cancelled = run(90, (80, phase, {}), state=RunState.CANCELLED)
    assert has_effects(cancelled) is (phase is not StepPhase.SKIPPED)
    waited = run(90, (80, phase, WAITED), state=RunState.CANCELLED)
    assert not has_effects(waited), "a pause changes nothing"


@pytest.mark.parametrize(
    ("lines", "acted_s"),
    [
        ((), 9000),
        (((8000, StepPhase.SKIPPED, {}),), 9000),
        (((8000, StepPhase.SKIPPED, {}), (70, StepPhase.INTENT, {}), (60, StepPhase.APPLIED, {})), 70),
        (((8000, StepPhase.INTENT, WAITED), (70, StepPhase.UNKNOWN, {})), 70),
        (((80, StepPhase.INTENT, {}), (60, StepPhase.SKIPPED, {})), 80),
    ],
)
def test_a_run_acted_when_its_first_effect_was_intended(lines, acted_s: float) -> None:
    assert acted_ns(run(9000, *lines)) == ago(acted_s)


@pytest.mark.parametrize(("intent_s", "allowed"), [(3600, True), (3599, False)])
def test_runs_in_an_hour_are_counted_from_their_effects_and_not_from_their_beginning(
    intent_s: float, allowed: bool
) -> None:
    """Who waited for a person for long has acted lately all the same."""
    waited = run(7000, (6000, StepPhase.SKIPPED, {}), (intent_s, StepPhase.INTENT, {}))
    text = "1 runs on cart in the last hour, at most 1 are allowed"
    assert held(replace(FREE, history=[waited])) == (None if allowed else (HeldReason.RATE_LIMIT, text))


def test_runs_count_as_the_journal_gives_them_back() -> None:
    """Their names are equal to those that are asked for, and no more: another process may have written them."""
    entry = run(50, (50, StepPhase.INTENT, {}))
    read = msgspec.json.decode(msgspec.json.encode(entry), type=RunEntry)
    assert read.playbook is not entry.playbook
    for told in (entry, read):
        assert held(replace(FREE, history=[told])) == (HeldReason.COOLDOWN, "last run 50s ago, cooldown is 1m")


def test_what_is_later_than_now_was_no_negative_time_ago() -> None:
    """Another process's clock may be ahead."""
    ahead = run(-HOUR // S, state=RunState.FAILED)
    assert held(replace(FREE, history=[ahead])) == (HeldReason.COOLDOWN, "last run 0s ago, cooldown is 1m")
    found = held(replace(FREE, history=[ahead], circuit=CircuitLimits(failures=1)))
    assert found == (HeldReason.CIRCUIT_OPEN, "1 failed or harmful runs in a row on cart, the last 0s ago")
    marked = replace(STATE, acted=Mark("north", "restart", ago(-HOUR // S)))
    found = held(replace(FREE, ourselves=Ourselves("south")), marked)
    assert found is not None
    assert "0s ago: it is left alone for" in found[1]


@pytest.mark.parametrize(
    ("since_s", "held_back"), [(0, True), (0.25, True), (299.75, True), (300, False), (86_400, False)]
)
def test_what_another_acted_on_is_left_alone_for_seconds_from_its_mark(since_s: float, held_back: bool) -> None:
    marked = replace(STATE, acted=Mark("north", "restart", ago(since_s)))
    found = held(replace(FREE, ourselves=Ourselves("south", pause_s=300.0)), marked)
    assert (found is not None) is held_back
    assert found is None or (found[0], f"{since_s:.0f}s ago" in found[1]) == (HeldReason.ANOTHER, True)
