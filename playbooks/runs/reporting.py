"""What is told of a run to the rest of the loop: change events, feedback, rows of the knowledge graph. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from contracts.actions import action_of
from contracts.events import OURSELVES, ActionRecord, Change, Decision, Feedback, Measure
from contracts.ports import GraphWrite, TargetState
from contracts.sanitizing import sanitized
from contracts.verdicts import Outcome, RunState
from playbooks.language.model import Step
from playbooks.runs.journal_records import Verdict
from playbooks.runs.plan import RunPlan, run_of

_STEP_TEXT, _RUN_TEXT = 500, 2000
"""Characters of a record's text: steps tell what others said, runs what we say."""
Data = Mapping[str, str | int | float | bool | None]
"""What an audit record may carry besides its fields."""


def run_record(plan: RunPlan, state: RunState, text: str, now_ns: int, data: Data) -> ActionRecord:
    """The audit record of a run's state change, not yet linked."""
    return _record(plan, f"io.homeostat.run.{state}", state, text, now_ns, data, "")


def asked_record(decision: Decision, now_ns: int) -> ActionRecord:
    """The audit record that a person was asked to take over, not yet linked. It has the name of the run that there is not."""
    return ActionRecord(
        id="",
        type="io.homeostat.person.asked",
        environment=decision.environment,
        sequence=0,
        time_ns=now_ns,
        run=run_of(decision.id),
        decision=decision.id,
        incident=decision.incident,
        playbook=decision.chosen.playbook,
        playbook_version="",
        target=decision.cause_service,
        state=RunState.INCONCLUSIVE,
        actor=OURSELVES,
        text=sanitized(decision.text, _RUN_TEXT),
        data={"cause": str(decision.cause), "probability": decision.cause_probability},
    )


def step_record(
    plan: RunPlan, state: RunState, step: str, phase: str, text: str, now_ns: int, data: Data
) -> ActionRecord:
    """The audit record of a step's phase, not yet linked."""
    return _record(plan, f"io.homeostat.step.{phase}", state, text, now_ns, data, step)


def _record(plan: RunPlan, kind: str, state: RunState, text: str, now_ns: int, data: Data, step: str) -> ActionRecord:
    return ActionRecord(
        id="",
        type=kind,
        environment=plan.environment,
        sequence=0,
        time_ns=now_ns,
        run=plan.run,
        decision=plan.decision,
        incident=plan.incident,
        playbook=plan.playbook.name,
        playbook_version=plan.playbook.version,
        target=plan.target,
        state=state,
        actor=OURSELVES,
        text=sanitized(text, _STEP_TEXT if step else _RUN_TEXT),
        step=step,
        data={k: sanitized(v) if isinstance(v, str) else v for k, v in data.items()},
    )


def plain(arguments: Mapping[str, Any]) -> dict[str, str | int | float | bool | None]:
    """Arguments as audit data: what is not a JSON scalar is written as text."""
    return {k: v if v is None or isinstance(v, str | int | float | bool) else str(v) for k, v in arguments.items()}


def change_of(
    plan: RunPlan, step: Step, before: TargetState | None, after: Mapping[str, Any], now_ns: int
) -> Change | None:
    """The change event of an effect on the target; None for steps that don't change it. `after` is the arguments."""
    action = action_of(step.action)
    if not action.change:
        return None
    was, becomes = action.levels(after, before)
    return Change(
        environment=plan.environment,
        service=plan.target,
        kind=action.change,
        time_ns=now_ns,
        actor=OURSELVES,
        before=was,
        after=becomes,
        text=f"{plan.playbook.name}: {step.action} {plan.target}" + (f" {was} → {becomes}" if becomes else ""),
        run=plan.run,
        subject=action.subject(after),
    )


def feedback_of(plan: RunPlan, outcome: Outcome, verdict: Verdict | None, text: str, now_ns: int) -> Feedback:
    """The verified outcome of a run."""
    return Feedback(
        run=plan.run,
        decision=plan.decision,
        incident=plan.incident,
        environment=plan.environment,
        playbook=plan.playbook.name,
        cause=plan.cause,
        target=plan.target,
        outcome=outcome,
        time_ns=now_ns,
        measures=() if verdict is None else tuple(msgspec.convert(m, Measure) for m in verdict.measures),
        text=text,
        credit=1.0 if verdict is None else verdict.credit,
        well=verdict is not None and verdict.well,
        probed=None if verdict is None else verdict.probed,
    )


def graph_row(plan: RunPlan, state: RunState, text: str, now_ns: int, outcome: Outcome | None) -> GraphWrite:
    """The run as a node of the knowledge graph."""
    row = {
        "run": plan.run,
        "incident": plan.incident,
        "environment": plan.environment,
        "service_key": f"{plan.environment}|{plan.target}",
        "playbook": plan.playbook.name,
        "state": str(state),
        "time": now_ns,
        "text": text,
        "outcome": "" if outcome is None else str(outcome),
    }
    return GraphWrite("upsert_actions", (row,))
