"""The definition of a run: all that was known when it was decided, so that a crash or a changed playbook file can't alter it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Decision, FlagChange
from contracts.ports import RunEntry, Target
from contracts.verdicts import Autonomy, CauseKind, DecisionVerdict
from playbooks.language.model import Playbook, Step

ROLLBACK_PREFIX = "rollback/"
"""Names of rollback steps in the journal start with this, so that they never collide with forward steps."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to do, to what, and why. `ask` means a person was to be asked whatever the tier says."""

    run: str
    decision: str
    incident: str
    environment: str
    target: str
    playbook: Playbook
    cause: CauseKind
    cause_service: str
    onset_ns: int
    decided_ns: int
    created_ns: int
    autonomy: Autonomy
    ask: bool
    confidence: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    callers: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    """Services of the incident's blast radius when it was decided."""
    text: str = ""
    entries: tuple[str, ...] = ()
    """Services at which users come in whose requests reach the target."""
    demand: float = 1.0
    """Times its usual requests that the target had been asked for since the onset when it was decided."""
    instance: str = ""
    """The one instance that was sick while all others were well when it was decided."""
    flag: FlagChange | None = None
    caller: str = ""
    callee: str = ""
    """The flag that had been changed when it was decided, and whose calls of whom were amiss."""
    node: str = ""
    """The node that was the cause, where one was."""
    sickest: str = ""
    """The sickest of the instances, where all were sick alike when it was decided."""
    zone: str = ""
    """The zone that was the cause, where one was and no single node."""

    @property
    def aim(self) -> Target:
        """The target as actuators want it."""
        return Target(self.environment, self.target, dict(self.attributes))

    @property
    def needs_approval(self) -> bool:
        """Whether a person must agree before anything is done."""
        return self.ask or self.playbook.tier >= 3 or self.autonomy is Autonomy.SUGGEST

    def step(self, name: str) -> Step:
        """The step journalled under `name`."""
        steps = self.playbook.rollback if name.startswith(ROLLBACK_PREFIX) else self.playbook.steps
        return next(s for s in steps if s.name == name.removeprefix(ROLLBACK_PREFIX))


def run_of(decision: str) -> str:
    """The id of a decision's run: the same on every worker and after every redelivery."""
    return "run-" + hashlib.sha256(decision.encode()).hexdigest()[:16]


def key_of(run: str, step: str, attempt: int) -> str:
    """The idempotency key of one attempt (from 1) at one step."""
    return hashlib.sha256(f"{run}\n{step}\n{attempt}".encode()).hexdigest()


def plan_of(decision: Decision, playbook: Playbook, *, now_ns: int, surroundings: Surroundings) -> RunPlan:
    """The plan that carries out `decision` with `playbook`."""
    return RunPlan(
        run=run_of(decision.id),
        decision=decision.id,
        incident=decision.incident,
        environment=decision.environment,
        target=decision.chosen.target,
        playbook=playbook,
        cause=decision.cause,
        cause_service=decision.cause_service,
        onset_ns=decision.onset_ns,
        decided_ns=decision.time_ns,
        created_ns=now_ns,
        autonomy=decision.autonomy,
        ask=decision.verdict is DecisionVerdict.ASK,
        confidence=decision.cause_probability,
        attributes=surroundings.attributes,
        callers=surroundings.callers,
        affected=surroundings.affected,
        text=decision.text,
        entries=surroundings.entries,
        demand=surroundings.demand,
        instance=decision.cause_instance,
        flag=decision.cause_flag,
        caller=decision.cause_caller,
        callee=decision.cause_callee,
        node=decision.cause_node,
        sickest=decision.cause_sickest,
        zone=decision.cause_zone,
    )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What telemetry says around a target: its identity attributes, who calls it, who suffers, where users come in, and how much more than
    usual it is asked for."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    callers: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    demand: float = 1.0


def definition_of(plan: RunPlan) -> dict[str, Any]:
    """The plan as the journal keeps it (JSON types only)."""
    definition: dict[str, Any] = msgspec.to_builtins(plan)
    return definition


def plan_from(entry: RunEntry) -> RunPlan:
    """The plan in a journal entry.

    Raises:
        UnreadableEvent: written by a version whose plans this one can't read.
    """
    try:
        return msgspec.convert(entry.definition, RunPlan, strict=False)
    except msgspec.ValidationError as e:
        raise UnreadableEvent(f"run {entry.run}: {e}") from e
