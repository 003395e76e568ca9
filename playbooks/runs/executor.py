"""The executor's public face: takes decisions, approvals, switches and evidence in, and drives every run it owns.

executor = Executor(wiring)
await executor.resume()               # after a start: what an earlier life left open
await executor.on_decision(decision)  # ... and so on, as events come
await executor.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Sequence

import msgspec

from contracts.errors import Fenced
from contracts.events import Approval, Control, Decision, Incident
from contracts.frames.feature_frame import EvidenceFrame
from contracts.ports import RunEntry
from contracts.supervision import Supervised
from contracts.verdicts import TERMINAL_RUN_STATES, DecisionVerdict, RunState
from playbooks.runs import authenticity, journal_records, machine, switches
from playbooks.runs.audit_trail import Trail
from playbooks.runs.commands import Work
from playbooks.runs.conductor import Conductor
from playbooks.runs.events import MachineFault, RunEvent
from playbooks.runs.expiry import Expiry
from playbooks.runs.observation import RunInput, intervention, observe
from playbooks.runs.plan import definition_of, plan_from, plan_of
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.progress import NOT_BEGUN, open_intent
from playbooks.runs.recorder import RunRecorder
from playbooks.runs.run import Run
from playbooks.runs.situation import RunSituation
from playbooks.runs.telemetry_view import TelemetryView

_LOG = logging.getLogger(__name__)
RETRY_S = 1.0
STOP_S = 10.0
"""How long `stop` waits for an effect under way before it is left to be resolved after the next start."""


class Executor:
    """Drives runs. One per process; any number of environments."""

    def __init__(self, wiring: ExecutorWiring) -> None:
        self._w = wiring
        self._trail = Trail(wiring.journal, wiring.publish, wiring.settings.audit_ack_s)
        self._expiry = Expiry(wiring.settings.approval_expiry_s, wiring.settings.decision_expiry_s)
        self._conductor = Conductor(wiring, self._trail, self._expiry)
        self._recorder = RunRecorder(wiring, self._trail)
        self._views: dict[str, TelemetryView] = {}
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, Supervised] = {}
        self._stopping = False
        self._started = False

    # --- events

    def issued(self, decision: Decision) -> None:
        """The environment's own decide stage emits a decision: tell this before it is sent. Fenced."""
        if decision.chosen.playbook in self._w.playbooks:
            authenticity.note(self._w.journal, decision)
        elif decision.verdict is DecisionVerdict.ASK:
            self._start()
            with self._trail.together(decision.environment):
                if journal_records.save_asked(self._w.journal, decision):
                    authenticity.note(self._w.journal, decision)
                    self._recorder.asked(decision)

    async def on_decision(self, decision: Decision) -> None:
        """Begin the run of a decision, unless it has one already or asks for none.

        Raises:
            Permanent: it is not one of the environment's own decide stage.
        """
        self._start()
        if decision.verdict is DecisionVerdict.NOTHING:
            return
        playbook = self._w.playbooks.get(decision.chosen.playbook)
        if playbook is None:
            if decision.verdict is DecisionVerdict.ACT:
                _LOG.error("decision %s wants unknown playbook %r", decision.id, decision.chosen.playbook)
            return
        if not self._w.settings.foreign_decisions:
            authenticity.require_own(self._w.journal, decision)
        view = self._view(decision.environment)
        around = view.surroundings(decision.chosen.target, decision.incident, decision.onset_ns)
        plan = plan_of(decision, playbook, now_ns=self._w.clock.now_ns(), surroundings=around)
        with self._trail.together(plan.environment):
            entry = self._w.journal.create(
                run=plan.run,
                decision=plan.decision,
                environment=plan.environment,
                target=plan.target,
                playbook=playbook.name,
                definition=definition_of(plan),
                now_ns=plan.created_ns,
            )
            if entry is not None:
                self._recorder.begin(plan, decision)
                self._w.changed(plan.environment)
        entry = entry or self._undriven(plan.run)
        if entry is not None:
            self._drive(entry)

    def _undriven(self, run: str) -> RunEntry | None:
        """The run of a decision that comes again, if nobody drives it."""
        entry = self._w.journal.load(run)
        return entry if entry is not None and entry.state is RunState.PENDING and run not in self._tasks else None

    async def on_approval(self, approval: Approval) -> None:
        """A person answered. The first answer counts.

        Raises:
            Permanent: it answers no decision that is known here, or not this one.
        """
        self._start()
        waits = authenticity.require_answer(self._w.journal, approval)
        if waits and journal_records.save_approval(self._w.journal, approval):
            self.wake(approval.environment)

    async def on_control(self, control: Control, place: switches.LogPosition) -> None:
        """Kill switch or autonomy: takes effect before the next effect of every run in scope."""
        self._start()
        if switches.record(self._w.journal, control, place):
            self.wake(None if control.scope == switches.EVERYWHERE else control.scope)

    async def on_evidence(self, frame: EvidenceFrame) -> None:
        """What is seen: baseline before an action, proof after it."""
        self._view(frame.environment).observe(frame)
        for run in self._of(frame.environment):
            if run.verifier is not None:
                run.verifier.observe(frame)
                run.wake.set()

    async def on_incident(self, incident: Incident) -> None:
        """Who suffers, and whether it is over."""
        self._view(incident.environment).note(incident)
        self.wake(incident.environment)

    # --- life

    async def resume(self, environments: Collection[str] | None = None) -> list[str]:
        """Take over the open runs (of `environments`) that an earlier life or another owner left; their ids."""
        self._start()
        self._trail.recover()
        left = [
            entry
            for entry in self._w.journal.open_runs()
            if entry.run not in self._tasks and (environments is None or entry.environment in environments)
        ]
        for entry in left:
            self._drive(self._w.journal.claim(entry.run, self._w.clock.now_ns()))
            self._w.changed(entry.environment)
        return [entry.run for entry in left]

    async def release(self, keep: Callable[[str], bool], patience_s: float = STOP_S) -> None:
        """Stop driving the runs of environments that are not to `keep`: another owner goes on with them. Effects under
        way are waited for, up to `patience_s`; what became of the others the next owner finds out."""
        await self._stop_driving([run for run in self._runs.values() if not keep(run.plan.environment)], patience_s)
        for environment in [e for e in self._views if not keep(e)]:
            self._trail.forget(environment)

    async def _stop_driving(self, left: Sequence[Run], patience_s: float) -> None:
        for run in left:
            run.released = True
            run.wake.set()
        under_way = [run.effect for run in left if run.effect is not None]
        if under_way:
            await asyncio.wait(under_way, timeout=patience_s)
        tasks = [self._tasks[run.plan.run] for run in left if run.plan.run in self._tasks]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.gather(*(task.wait() for task in tasks))
        await asyncio.gather(*(task.stop() for task in tasks))

    async def stop(self) -> None:
        """Begin nothing more; wait for the effects under way; publish what can be."""
        self._stopping = True
        await self._stop_driving(list(self._runs.values()), STOP_S)
        if self._started:
            await self._trail.stop()

    def wake(self, environment: str | None = None) -> None:
        """Look again at every run (of one environment), as when a clock was turned by hand."""
        for run in self._of(environment):
            run.wake.set()

    async def idle(self) -> None:
        """Return once no run can go on before time passes or something happens."""
        while any(not run.waiting or run.wake.is_set() for run in self._runs.values()):
            self._conductor.idle.clear()
            await self._conductor.idle.wait()

    @property
    def effects(self) -> tuple[str, ...]:
        """Ids of the runs that have an effect under way."""
        return tuple(run.plan.run for run in self._runs.values() if run.effect is not None)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs this process drives now."""
        return tuple(self._runs)

    # --- driving

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._trail.start()

    def _view(self, environment: str) -> TelemetryView:
        return self._views.setdefault(environment, TelemetryView())

    def _of(self, environment: str | None) -> list[Run]:
        return [r for r in self._runs.values() if environment in {None, r.plan.environment}]

    def _drive(self, entry: RunEntry) -> None:
        run = Run(plan_from(entry), entry.fence)
        self._runs[entry.run] = run
        # The journal says where it stands: looking again after a crash is always safe.
        task = Supervised("run", lambda: self._loop(run), detail=entry.run, first_s=RETRY_S, longest_s=RETRY_S)
        self._tasks[entry.run] = task.start()
        task.add_done_callback(lambda: self._forget(entry.run))

    def _forget(self, run: str) -> None:
        self._runs.pop(run, None)
        self._tasks.pop(run, None)
        self._conductor.idle.set()

    async def _loop(self, run: Run) -> None:
        while not (run.released or self._stopping):
            try:
                if not await self._turn(run):
                    return
            except Fenced:
                _LOG.warning("run %s has another owner now", run.plan.run)
                return

    async def _turn(self, run: Run) -> bool:
        """What has happened to the run, what follows from that, and so on until nothing follows; False once it is over."""
        entry, view = self._owned(run), self._view(run.plan.environment)
        if entry is None:
            return False
        state = machine.state_of(entry, run.state)
        event = run.unrecorded if state.in_doubt else None
        work = self._react(run, entry, event or self._observed(run, state, entry, view))
        while work is not None:
            async with self._conductor.exclusive(run, work):
                result = await self._conductor.carry_out(run, work, view)
                entry = None if result is None else self._owned(run)
                work = None if result is None or entry is None else self._react(run, entry, result)
        return True

    def _owned(self, run: Run) -> RunEntry | None:
        """The run's journal entry; None once the run is over.

        Raises:
            Fenced: another owner has taken it over.
        """
        entry = self._w.journal.load(run.plan.run)
        if entry is None or entry.state in TERMINAL_RUN_STATES:
            return None
        if entry.fence != run.fence:
            raise Fenced(f"run {entry.run} was taken over")
        return entry

    def _observed(self, run: Run, state: machine.MachineState, entry: RunEntry, view: TelemetryView) -> RunEvent:
        journal, plan = self._w.journal, run.plan
        if entry.state is RunState.VERIFYING:
            self._verify(run, entry, view)
        now = RunInput(
            now_ns=self._w.clock.now_ns(),
            acting=switches.mode_of(journal, plan.environment).acting,
            approval=authenticity.approval_of(journal, plan),
            verdict=journal_records.verdict_of(journal, plan.run),
            incident_over=view.is_over(plan.incident),
            begun_ns=journal_records.begun_of(journal, plan.run),
        )
        return observe(state, entry, plan, now, self._expiry)

    def _react(self, run: Run, entry: RunEntry, event: RunEvent) -> Work | None:
        """Write down what the machine says of the event; what is to be done then. Nothing is awaited."""
        state = machine.state_of(entry, run.state)
        situation = RunSituation.of(entry, run.plan)
        try:
            reaction = machine.react(state, event, situation)
        except machine.UnlistedTransition as error:
            _LOG.error("run %s ends: %s", entry.run, error)
            name, intent = open_intent(entry) or ("", NOT_BEGUN)
            fault = MachineFault(str(error), name, intent.key)
            reaction = machine.react(state, fault, situation)
        # What came of an effect is known to nobody else: it is not lost if it can't be written now.
        run.unrecorded = event if state.in_doubt else None
        self._recorder.write(run, entry, reaction)
        if reaction.records:
            self._w.changed(run.plan.environment)
        run.state, run.unrecorded = reaction.transition.to, None
        return reaction.work

    def _verify(self, run: Run, entry: RunEntry, view: TelemetryView) -> None:
        """Has verification a verdict? It is saved before anything follows from it."""
        if journal_records.verdict_of(self._w.journal, entry.run) is not None:
            return
        if run.verifier is None:
            run.verifier = self._conductor.verifier(run.plan, intervention(entry, run.plan), view)
        now_ns = self._w.clock.now_ns()
        found = run.verifier.verdict(now_ns)
        if found is not None:
            measures = tuple(msgspec.to_builtins(measure) for measure in found.measures)
            told = (found.credit, measures, found.well, found.probed)
            verdict = journal_records.Verdict(found.outcome, found.text, now_ns, *told)
            journal_records.save_verdict(self._w.journal, run.plan, verdict)
