"""What the journal's lines say of a run's steps."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import msgspec
import pytest

from contracts.ports import RunEntry, StepEntry, TargetState
from contracts.verdicts import RunState, StepPhase
from playbooks import guards, runs
from playbooks.runs.plan import ROLLBACK_PREFIX
from playbooks.runs.progress import NOT_BEGUN, StepStatus, effects_of, open_intent, progress_of

P = StepPhase


def entry(*lines: tuple[str, StepPhase, str, dict[str, object]]) -> RunEntry:
    steps = tuple(StepEntry("r", name, phase, key, n, data) for n, (name, phase, key, data) in enumerate(lines))
    return RunEntry("r", "d", "test", "cart", "p", RunState.RUNNING, 0, 0, 1, {}, steps)


@pytest.mark.parametrize("keys", [("k1", "k2", "k3"), ("k3", "k2", "k1")])
def test_attempts_are_intents_by_their_keys(keys: tuple[str, ...]) -> None:
    lines = [
        line for key in keys for line in (("do", P.INTENT, key, {"n": key}), ("do", P.FAILED, key, {"retryable": True}))
    ]
    assert NOT_BEGUN.attempts == 0
    for attempts in (1, 2, 3):
        (tried,) = progress_of(entry(*lines[: 2 * attempts])).values()
        assert (tried.attempts, tried.key, tried.status) == (attempts, keys[attempts - 1], StepStatus.FAILED)
        assert (tried.retryable, tried.intent, tried.since_ns) == (True, {"n": keys[attempts - 1]}, 2 * attempts - 1)
    again = progress_of(entry(*lines[:2], ("do", P.INTENT, keys[0], {})))["do"]
    assert (again.attempts, again.status, again.retryable, again.data) == (1, StepStatus.IN_DOUBT, False, {})


@pytest.mark.parametrize("outcome", [P.APPLIED, P.UNKNOWN])
def test_nothing_that_follows_takes_back_what_happened_or_may_have(outcome: StepPhase) -> None:
    lines = [
        ("do", P.INTENT, "k", {}),
        ("do", outcome, "k", {"text": "first"}),
        ("do", P.FAILED, "k", {"text": "then"}),
    ]
    (found,) = progress_of(entry(*lines)).values()
    assert (found.status.value, found.data) == (outcome.value, {"text": "first"})


def test_effects_are_what_was_applied_forward_and_is_no_wait() -> None:
    back = ROLLBACK_PREFIX + "back"
    found = entry(
        ("applied", P.INTENT, "1", {"action": "restart", "before": {"replicas": 2, "ready": 1}}),
        ("applied", P.APPLIED, "1", {}),
        *(("unknown", phase, "2", {"action": "restart"}) for phase in (P.INTENT, P.UNKNOWN)),
        *(("failed", phase, "3", {"action": "restart"}) for phase in (P.INTENT, P.FAILED)),
        ("skipped", P.SKIPPED, "4", {}),
        *(("pause", phase, "5", {"action": "wait"}) for phase in (P.INTENT, P.APPLIED)),
        *((back, phase, "6", {"action": "restart"}) for phase in (P.INTENT, P.APPLIED)),
    )
    ((name, step),) = effects_of(found)
    assert (name, step.before) == ("applied", TargetState(2, 1))
    assert [s.value for s in StepStatus if s.value in {p.status for p in progress_of(found).values()}] == [
        "applied", "failed", "unknown", "skipped",
    ]  # fmt: skip


def test_an_open_intent_is_one_without_an_outcome_or_with_an_unknown_one() -> None:
    assert open_intent(entry()) is None
    assert open_intent(entry(("pause", P.INTENT, "1", {"action": "wait"}))) is None
    done = [("do", P.INTENT, "1", {"action": "restart"}), ("do", P.APPLIED, "1", {})]
    assert open_intent(entry(*done)) is None
    for last in ((), (("then", P.UNKNOWN, "2", {}),)):
        name, step = open_intent(entry(*done, ("then", P.INTENT, "2", {"action": "scale"}), *last)) or ("", NOT_BEGUN)
        assert (name, step.key) == ("then", "2")


CHANGING = {"Run", "SwitchReading"}
"""What is put together bit by bit; all else is a value."""


def test_what_guards_and_runs_hand_on_are_values() -> None:
    """Frozen, and with no room for more than is declared: an event or a command that changed on its way would be another."""
    found = set()
    for package in (guards, runs):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            found |= {c for c in vars(importlib.import_module(module.name)).values() if isinstance(c, type)}
    ours = {c for c in found if c.__module__.startswith(("playbooks.guards.", "playbooks.runs."))}
    records = {c for c in ours if dataclasses.is_dataclass(c)}
    assert len(records) > 50
    loose = {c.__name__ for c in records if not (vars(c)["__dataclass_params__"].frozen and "__slots__" in vars(c))}
    structs = {c for c in ours if issubclass(c, msgspec.Struct)}
    loose |= {c.__name__ for c in structs if not c.__struct_config__.frozen}
    assert loose <= CHANGING
