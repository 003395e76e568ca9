"""Writes down what the state machine says: each transition in one transaction of the journal, with its audit records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.actions import action_of
from contracts.events import Decision
from contracts.ports import RunEntry, StepEntry
from contracts.topics import CHANGES, FEEDBACK
from contracts.verdicts import Outcome, RunState, StepPhase
from playbooks.runs import commands as c
from playbooks.runs import journal_records, reporting
from playbooks.runs.audit_trail import Trail
from playbooks.runs.machine import Reaction
from playbooks.runs.plan import RunPlan
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.progress import NOT_BEGUN, StepStatus, effects_of, is_wait, progress_of
from playbooks.runs.run import Run

_EFFECTLESS = frozenset({RunState.REFUSED, RunState.CANCELLED})


class RunRecorder:
    """Audit trail, journal, published events and graph rows of runs. Raises Fenced once another owner has taken a run over."""

    def __init__(self, wiring: ExecutorWiring, trail: Trail) -> None:
        self._journal, self._graph, self._clock, self._trail = wiring.journal, wiring.graph, wiring.clock, trail

    def begin(self, plan: RunPlan, decision: Decision) -> None:
        """The first record of a run, that a decision has led to it: to be written together with the run."""
        data: reporting.Data = {"verdict": str(decision.verdict), "score": decision.chosen.score}
        text = f"{plan.playbook.name} on {plan.target}: {decision.text}"
        now_ns = self._clock.now_ns()
        self._trail.append(reporting.run_record(plan, RunState.PENDING, text, now_ns, data))
        self._graph(reporting.graph_row(plan, RunState.PENDING, text, now_ns, None))

    def asked(self, decision: Decision) -> None:
        """The record that a person was asked to take over, as no playbook is to be run."""
        self._trail.append(reporting.asked_record(decision, self._clock.now_ns()))

    def write(self, run: Run, entry: RunEntry, reaction: Reaction) -> None:
        """All records of a transition of the run whose journal entry is `entry`: all of them, or none."""
        if not reaction.records:
            return
        state, row = reaction.transition.to.run_state, None
        with self._trail.together(run.plan.environment):
            for record in reaction.records:
                match record:
                    case c.RecordStep():
                        self._step(run, entry.state, record)
                    case c.AnnounceIntent():
                        self._announce(run, entry.state, record)
                    case c.JournalIntent():
                        request = record.effect.request
                        self._line(run, request.step, StepPhase.INTENT, request.key, record.effect.intent)
                    case c.RecordState():
                        row = self._state(run, entry, state, record)
                    case c.RecordEnd():
                        row = self._end(run, entry, state, record)
        if row is not None:
            text, outcome = row
            self._graph(reporting.graph_row(run.plan, state, text, self._clock.now_ns(), outcome))

    def _state(self, run: Run, entry: RunEntry, state: RunState, record: c.RecordState) -> tuple[str, Outcome | None]:
        plan, now_ns = run.plan, self._clock.now_ns()
        if record.begun:
            journal_records.save_begun(self._journal, plan, now_ns)
        if state is RunState.ROLLING_BACK:
            self._close_steps(run, entry.state, record.text)
        self._trail.append(reporting.run_record(plan, state, record.text, now_ns, record.data))
        self._journal.set_state(plan.run, run.fence, state, now_ns)
        return record.text, None

    def _end(self, run: Run, entry: RunEntry, state: RunState, record: c.RecordEnd) -> tuple[str, Outcome | None]:
        """The run is over: what came of it is told to learning, unless nothing was tried."""
        plan, now_ns = run.plan, self._clock.now_ns()
        verdict = journal_records.verdict_of(self._journal, plan.run)
        tried = bool(effects_of(entry)) or state not in _EFFECTLESS
        found = record.outcome or (None if verdict is None else verdict.outcome)
        outcome = found or (Outcome.INCONCLUSIVE if state in _EFFECTLESS else Outcome.SAME)
        data = dict(record.data)
        if tried:
            data["outcome"] = str(outcome)
            feedback = reporting.feedback_of(plan, outcome, verdict, record.text, now_ns)
            self._trail.send(FEEDBACK, plan.run, feedback, plan.environment)
        if verdict is not None:
            data |= {"verdict": str(verdict.outcome), "credit": verdict.credit}
        self._close_steps(run, entry.state, record.text)
        self._trail.append(reporting.run_record(plan, state, record.text, now_ns, data))
        self._journal.set_state(plan.run, run.fence, state, now_ns)
        return record.text, outcome if tried else None

    def _close_steps(self, run: Run, state: RunState, why: str) -> None:
        """Nothing stays announced for ever: what was not begun, or not waited for to the end, is recorded as skipped."""
        entry = self._journal.load(run.plan.run)
        progress = {} if entry is None else progress_of(entry)
        left = {name: p.key for name, p in progress.items() if p.status is StepStatus.IN_DOUBT and is_wait(p)}
        announced = journal_records.announced_of(self._journal, run.plan.run)
        if announced is not None and progress.get(announced.step, NOT_BEGUN).key != announced.key:
            left[announced.step] = announced.key
        for name, key in left.items():
            skipped = c.RecordStep(name, key, StepPhase.SKIPPED, {"text": why}, f"it was not done: {why}")
            self._step(run, state, skipped)

    def _step(self, run: Run, state: RunState, record: c.RecordStep) -> None:
        """A step's new phase: audit record, journal line, and the change event of an effect that happened."""
        plan, now_ns = run.plan, self._clock.now_ns()
        if record.applied is not None:
            request = record.applied
            change = reporting.change_of(plan, plan.step(request.step), request.before, request.arguments, now_ns)
            if change is not None:
                self._trail.send(CHANGES, plan.target, change, plan.environment)
        data = {k: v for k, v in record.data.items() if k in {"reason", "retryable"}} | {"key": record.key}
        self._trail.append(
            reporting.step_record(plan, state, record.name, record.phase, record.text, now_ns, reporting.plain(data))
        )
        self._line(run, record.name, record.phase, record.key, record.data)
        announced = journal_records.announced_of(self._journal, plan.run)
        if announced is not None and announced.key == record.key:
            journal_records.save_announced(self._journal, plan, None)

    def _announce(self, run: Run, state: RunState, record: c.AnnounceIntent) -> None:
        """The audit record that comes before the effect: there is one, however often it is tried to apply it."""
        plan, effect, request = run.plan, record.effect, record.effect.request
        announced = journal_records.announced_of(self._journal, plan.run)
        if announced is not None and announced.key == request.key:
            return
        again = "again, it had not happened: " if record.again else ""
        text = again + action_of(request.action).words(plan.target, request.arguments)
        data = {
            "action": request.action,
            "key": request.key,
            "actuator": effect.aim.actuator.name,
            "identity": effect.aim.identity.key,
            "uid": effect.aim.identity.uid,
            **{f"argument.{k}": v for k, v in reporting.plain(request.arguments).items()},
        }
        intent = reporting.step_record(plan, state, request.step, "intent", text, self._clock.now_ns(), data)
        sequence = self._trail.append(intent).sequence
        announced = journal_records.Announced(request.step, request.key, sequence, effect.intent)
        journal_records.save_announced(self._journal, plan, announced)

    def _line(self, run: Run, step: str, phase: StepPhase, key: str, data: Mapping[str, Any]) -> None:
        line = StepEntry(run.plan.run, step, phase, key, self._clock.now_ns(), data)
        self._journal.step(line, run.fence)
