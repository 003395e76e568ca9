"""Small facts about runs that are durable in the journal: approvals, verdicts, announced effects, levels from before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from contracts.events import Approval, Decision
from contracts.ports import Journal
from contracts.verdicts import Outcome, ProbeFinding
from playbooks.runs.plan import RunPlan
from playbooks.verify.levels import Level


def save_approval(journal: Journal, approval: Approval) -> bool:
    """Save a person's answer; the first one counts, so a later one (False) changes nothing."""
    key = f"approval/{approval.decision}"
    if journal.get(key) is not None:
        return False
    journal.put(key, msgspec.to_builtins(approval), approval.environment)
    return True


def approval_of(journal: Journal, decision: str) -> Approval | None:
    """A person's answer to a decision, if there is one."""
    fact = journal.get(f"approval/{decision}")
    return None if fact is None else msgspec.convert(fact, Approval)


def save_asked(journal: Journal, decision: Decision) -> bool:
    """Save that a person was asked to take over; False if that is known."""
    key = f"asked/{decision.id}"
    if journal.get(key) is not None:
        return False
    journal.put(key, {"time_ns": decision.time_ns}, decision.environment)
    return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found of a run, as remembered through a crash."""

    outcome: Outcome
    text: str
    time_ns: int
    credit: float
    measures: tuple[Mapping[str, Any], ...] = ()
    well: bool = False
    probed: ProbeFinding | None = None


def save_verdict(journal: Journal, plan: RunPlan, verdict: Verdict) -> None:
    """Save a run's verdict: it is reached once."""
    journal.put(f"verdict/{plan.run}", msgspec.to_builtins(verdict), plan.environment)


def verdict_of(journal: Journal, run: str) -> Verdict | None:
    """The verdict of a run, if it is reached."""
    fact = journal.get(f"verdict/{run}")
    return None if fact is None else msgspec.convert(fact, Verdict)


def save_begun(journal: Journal, plan: RunPlan, now_ns: int) -> None:
    """Save when a run was let begin."""
    journal.put(f"begun/{plan.run}", {"time_ns": now_ns}, plan.environment)


def begun_of(journal: Journal, run: str) -> int:
    """When a run was let begin, epoch nanoseconds; 0 if it wasn't."""
    fact = journal.get(f"begun/{run}")
    return 0 if fact is None else int(fact["time_ns"])


@dataclass(frozen=True, slots=True)
class Announced:
    """An effect that the audit trail says is about to happen: the sequence of its record, and enough to apply it or to say that it
    was not applied."""

    step: str
    key: str
    sequence: int
    intent: Mapping[str, Any]


def save_announced(journal: Journal, plan: RunPlan, announced: Announced | None) -> None:
    """Save which effect was announced last; None once its outcome is recorded."""
    fact = {} if announced is None else msgspec.to_builtins(announced)
    journal.put(f"announced/{plan.run}", fact, plan.environment)


def announced_of(journal: Journal, run: str) -> Announced | None:
    """The effect of a run that was announced and whose outcome is not recorded yet."""
    fact = journal.get(f"announced/{run}")
    return msgspec.convert(fact, Announced) if fact else None


def save_reference(journal: Journal, plan: RunPlan, levels: Mapping[str, Level]) -> None:
    """Save the levels from before the action."""
    # JSON has no NaN: what was not observed is left out.
    finite = {k: _finite(msgspec.to_builtins(v)) for k, v in levels.items()}
    journal.put(f"reference/{plan.run}", finite, plan.environment)


def reference_of(journal: Journal, run: str) -> dict[str, Level]:
    """The levels from before a run's action; empty where none were saved."""
    fact = journal.get(f"reference/{run}") or {}
    return {key: msgspec.convert(value, Level) for key, value in fact.items()}


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in values.items() if math.isfinite(v)}
