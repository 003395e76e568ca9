"""Does what the state machine says, one command at a time: the only place where a run's effects and records happen."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from contracts.errors import ActionFailed, ActuatorUnavailable, Retryable
from contracts.events import Decision
from contracts.ports import Applied, RunEntry, StepEntry, StepRequest, TargetState
from contracts.supervision import once
from contracts.topics import CHANGES, FEEDBACK
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, HeldReason, Outcome, RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs import actuator_calls, authenticity, effects, identities, journal_records, permission, reporting
from playbooks.runs import commands as c
from playbooks.runs import machine as m
from playbooks.runs.arguments import resolve
from playbooks.runs.audit_trail import Trail
from playbooks.runs.guarding import guarded
from playbooks.runs.plan import RunPlan
from playbooks.runs.progress import NOT_BEGUN, StepProgress, StepStatus, effects_of, progress_of
from playbooks.runs.telemetry_view import TelemetryView
from playbooks.runs.wiring import ExecutorWiring
from playbooks.verify import Verifier

_LOG = logging.getLogger(__name__)
ASK_AGAIN_S = 1.0
_TRANSIENT = frozenset(
    {HeldReason.POLICY_UNAVAILABLE, HeldReason.AUDIT_UNAVAILABLE, HeldReason.NO_TARGET, HeldReason.ACTUATOR_FAULT}
)
_KEPT_WAITING = frozenset({HeldReason.JOURNAL_UNAVAILABLE, HeldReason.CONTROL_UNAVAILABLE})
_ASKED_AGAIN = frozenset({HeldReason.POLICY_UNAVAILABLE, HeldReason.UNPROVEN})
_EFFECTLESS = frozenset({RunState.REFUSED, RunState.CANCELLED})


@dataclass(slots=True)
class Run:
    """A run that this process owns. `resolved` is what actuators said of intents without outcome."""

    plan: RunPlan
    fence: int
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    resolved: dict[str, Applied] = field(default_factory=dict)
    verifier: Verifier | None = None
    acting: asyncio.Task[effects.EffectOutcome | c.Refuse] | None = None
    parked: bool = False
    released: bool = False
    """Whether this process is to stop driving it, at the next occasion."""
    doubtful_since_ns: int = 0


class Conductor:
    """Carries out commands. Raises Fenced as soon as another owner has taken the run over."""

    def __init__(self, wiring: ExecutorWiring, trail: Trail) -> None:
        self._w, self._trail = wiring, trail
        self._gates: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.parked = asyncio.Event()
        """Set whenever a run begins to wait."""
        self.limits = m.RunLimits(wiring.settings.approval_expiry_s, wiring.settings.decision_expiry_s)

    async def carry_out(self, run: Run, entry: RunEntry, command: c.Next, watch: TelemetryView) -> None:
        """One command, whole."""
        match command:
            case c.PreFlight():
                await self._preflight(run, entry, command, watch)
            case c.ApplyStep():
                await self._effect(run, entry, command, watch)
            case c.Resolve():
                await self._resolve(run, entry, command)
            case c.Wait():
                await self.park(run, command.until_ns)
            case _:
                self._record(run, entry, command)

    def _record(self, run: Run, entry: RunEntry, command: c.Next) -> None:
        """Commands that only write down."""
        match command:
            case c.RequestApproval():
                self.enter(run, RunState.AWAITING_APPROVAL, command.text, {"expires_ns": command.expires_ns})
            case c.Begin():
                with self._trail.together(run.plan.environment):
                    journal_records.keep_begun(self._w.journal, run.plan, self._now())
                    self.enter(run, RunState.RUNNING, f"{run.plan.playbook.name} begins on {run.plan.target}")
            case c.Refuse():
                self.enter(run, RunState.REFUSED, command.text, {"reason": str(command.reason)})
            case c.Settle():
                self._settle(run, entry, command)
            case c.BeginWait():
                self._begin_wait(run, command)
            case c.EndWait():
                self._line(run, command.name, command.key, StepPhase.APPLIED, {}, "waited")
            case c.VerifyCommand():
                self.enter(run, RunState.VERIFYING, f"all steps done; watching {run.plan.target} and its callers")
            case c.RollBack():
                self.enter(run, RunState.ROLLING_BACK, command.text)
            case c.Finish():
                self._finish(run, entry, command)
            case _:
                raise AssertionError(f"{type(command).__name__} is not only written down")

    async def park(self, run: Run, until_ns: int) -> None:
        """Wait until a time, or until something happens to the run."""
        left_s = max(0.0, (until_ns - self._now()) / SECOND)
        run.parked = True
        self.parked.set()
        try:
            async with asyncio.timeout(min(left_s, 1.0) + 0.001):
                await run.wake.wait()
        except TimeoutError:
            pass
        finally:
            run.parked = False
            run.wake.clear()

    def enter(self, run: Run, state: RunState, text: str, data: reporting.Data | None = None) -> None:
        """A run's new state: audit record and journal in one, then the graph."""
        now = self._now()
        with self._trail.together(run.plan.environment):
            if state in TERMINAL_RUN_STATES or state is RunState.ROLLING_BACK:
                self._close(run, text)
            self._trail.append(reporting.run_record(run.plan, state, text, now, data or {}))
            self._w.journal.set_state(run.plan.run, run.fence, state, now)
        self._w.graph(reporting.graph_row(run.plan, state, text, now, None))

    def _close(self, run: Run, why: str) -> None:
        """Nothing stays announced for ever: what was not begun, or not waited for to the end, is told as skipped."""
        entry = self._w.journal.load(run.plan.run)
        progress = {} if entry is None else progress_of(entry)
        left = {name: p.key for name, p in progress.items() if p.status is StepStatus.IN_DOUBT and _is_wait(p)}
        said = journal_records.announced_of(self._w.journal, run.plan.run)
        if said is not None and progress.get(said.step, NOT_BEGUN).key != said.key:
            left[said.step] = said.key
        for name, key in left.items():
            self._line(run, name, key, StepPhase.SKIPPED, {"text": why}, f"it was not done: {why}")

    def announce(self, run: Run, decision: Decision) -> None:
        """The first record of a run, that a decision has led to it: to be kept together with the run."""
        plan = run.plan
        data: reporting.Data = {"verdict": str(decision.verdict), "score": decision.chosen.score}
        text = f"{plan.playbook.name} on {plan.target}: {decision.text}"
        self._trail.append(reporting.run_record(plan, RunState.PENDING, text, self._now(), data))
        self._w.graph(reporting.graph_row(plan, RunState.PENDING, text, self._now(), None))

    def verifier(self, run: Run, acted_ns: int, watch: TelemetryView) -> Verifier:
        """A verifier of the run's action that has seen all there is to see."""
        plan = run.plan
        kept = journal_records.reference_of(self._w.journal, plan.run)
        verifier = Verifier(plan.playbook.verify, plan.target, plan.callers, plan.onset_ns, acted_ns, kept)
        for frame in watch.frames():
            verifier.observe(frame)
        return verifier

    # --- before anything is done

    async def _preflight(self, run: Run, entry: RunEntry, command: c.PreFlight, watch: TelemetryView) -> None:
        # One at a time per environment, and per thing: between the count of concurrent runs and this one's start lies an await.
        async with self._gates[run.plan.environment], self._gates[await self._thing(run.plan)]:
            held = await self._validate(run.plan, watch, command.approved)
            follow = m.after_preflight(run.plan, held, command, self.limits)
            if isinstance(follow, c.Begin):
                held = self._switched(run.plan, approved=command.approved)
                if held is None and not command.approved:  # others may have been asked about for long before this one
                    held = m.too_old(run.plan, self._now(), self.limits)
                follow = follow if held is None else held
            if isinstance(follow, c.Refuse) and follow.reason is HeldReason.KILL_SWITCH:
                return  # the machine turns that into `cancelled`
            if isinstance(follow, c.RequestApproval):
                follow = self._with_target(run.plan, follow)
            waits = isinstance(follow, c.Refuse) and self._may_pass(run.plan, follow, command.approved)
            if not waits:
                self._record(run, entry, follow)
        if waits:
            await self.park(run, self._now() + int(ASK_AGAIN_S * SECOND))

    async def _thing(self, plan: RunPlan) -> str:
        """The key of what the run is about; its own name where that can't be told (then nothing will be done)."""
        step = next((s for s in plan.playbook.steps if s.action != "wait"), None)
        aim = (
            None if step is None else await effects.find_target(plan, step.action, self._w.actuators, self._w.settings)
        )
        return aim.identity.key if isinstance(aim, effects.Aim) else plan.run

    def _with_target(self, plan: RunPlan, request: c.RequestApproval) -> c.RequestApproval:
        """Who is asked reads what would really be touched."""
        touched = {one.words: None for one in identities.identities_of(self._w.journal, plan.run).values()}
        return replace(request, text=f"{request.text}; it acts on {', '.join(touched)}") if touched else request

    def _may_pass(self, plan: RunPlan, held: c.Refuse, approved: bool) -> bool:
        """Whether policy can't be asked, or the target has not been heard of, and there is time to ask again: nothing is done
        meanwhile."""
        if held.reason not in _ASKED_AGAIN:
            return False
        until_ns = m.begin_by_ns(plan, self.limits)
        approval = authenticity.approval_of(self._w.journal, plan) if approved else None
        if approval is not None:
            fresh_ns = approval.time_ns + int(self.limits.decision_expiry_s * SECOND)
            until_ns = min(fresh_ns, m.expires_ns(plan, self.limits))
        left_s = (until_ns - self._now()) / SECOND
        if left_s > 2 * ASK_AGAIN_S:
            _LOG.warning("%s waits, for %.0f s at most: %s", plan.run, left_s, held.text)
            return True
        return False

    async def _validate(self, plan: RunPlan, watch: TelemetryView, approved: bool) -> c.Refuse | None:
        """Switches, then every step's guards, sanity and policy on the target as it is; the first objection counts."""
        refused = self._switched(plan, approved=approved) or self._other_version(plan)
        asked: c.Refuse | None = None if approved else permission.contested(plan, watch.attributes(plan.target))
        for step in plan.playbook.steps:
            if refused is None and step.action != "wait":
                refused = await self._objection(plan, step, watch, approved)
            if refused is not None and refused.reason is HeldReason.APPROVAL:
                asked, refused = asked or refused, None
        return refused or asked

    async def _objection(self, plan: RunPlan, step: Step, watch: TelemetryView, approved: bool) -> c.Refuse | None:
        aim = await self._aim(plan, step.name, step)
        if isinstance(aim, c.Refuse):
            return aim
        prepared = effects.prepare(plan, c.ApplyStep(step.name, step, 1, ""), "", aim, None)
        planned = () if isinstance(prepared, c.Refuse) else prepared.planned
        held = guarded(plan, aim, planned, watch, self._w)
        if held is not None:
            return held
        if isinstance(prepared, c.Refuse):
            return prepared
        return await self._policy(plan, prepared, approved) or permission.outage(
            prepared.request, aim.state, approved=approved
        )

    async def _aim(self, plan: RunPlan, name: str, step: Step) -> effects.Aim | c.Refuse:
        """What a step would touch, which must be what it was when the run began."""
        aim = await effects.find_target(plan, step.action, self._w.actuators, self._w.settings)
        if isinstance(aim, c.Refuse):
            return aim
        changed = identities.settle(self._w.journal, plan, name, aim.identity)
        return aim if step.action == "webhook" else changed or aim  # who is told of it need not be what it is

    def _other_version(self, plan: RunPlan) -> c.Refuse | None:
        playbook = self._w.playbooks.get(plan.playbook.name)
        if playbook is None or playbook.version == plan.playbook.version:
            return None
        text = f"decided with version {plan.playbook.version}, but {playbook.version} is loaded now"
        return c.Refuse(HeldReason.NOT_CAPABLE, text)

    def _switched(self, plan: RunPlan, *, approved: bool) -> c.Refuse | None:
        """Switches that forbid; that an approval is wanted is no objection where there is one or it is asked for anyway."""
        held = permission.switches(self._w.journal, plan, self._w.autonomy)
        if held is not None and held.reason is HeldReason.APPROVAL and (approved or plan.needs_approval):
            return None
        return held

    async def _policy(self, plan: RunPlan, effect: effects.Prepared, approved: bool) -> c.Refuse | None:
        approval = authenticity.approval_of(self._w.journal, plan) if approved else None
        by = "" if approval is None or not approval.approve else approval.by
        request = effect.request
        document = permission.policy_document(plan, request.action, request.arguments, effect.aim, by)
        return await permission.ask_policy(self._w.policy, document)

    # --- one effect

    async def _effect(self, run: Run, entry: RunEntry, command: c.ApplyStep, watch: TelemetryView) -> None:
        ready = await self._ready(run, entry, command, watch)
        if isinstance(ready, c.Refuse):
            if not isinstance(command, c.Compensate) and self._may_pass(run.plan, ready, self._approved(run.plan)):
                await self.park(run, self._now() + int(ASK_AGAIN_S * SECOND))
            else:
                await self._hold(run, entry, command, ready)
            return
        held = await self._announced(run, self._say(run, ready, command))
        if held is not None:
            await self._hold(run, entry, command, held)
            return
        if not effects_of(entry):
            journal_records.keep_reference(
                self._w.journal, run.plan, self.verifier(run, self._now(), watch).reference()
            )
        if not command.again:
            line = StepEntry(run.plan.run, command.name, StepPhase.INTENT, ready.request.key, self._now(), ready.intent)
            self._w.journal.step(line, run.fence)
        held = await self._kept(run)
        if held is not None:
            run.resolved[ready.request.key] = Applied.NO  # nobody need be asked: it was not even tried
            if held.reason in _KEPT_WAITING:
                _LOG.warning("%s waits with %s: %s", run.plan.run, command.name, held.text)
                await self.park(
                    run, self._now() + int(ASK_AGAIN_S * SECOND)
                )  # the machine tries again until it is too late
            else:
                await self._hold(run, entry, command, held)
            return
        run.resolved.pop(ready.request.key, None)
        outcome = await self._apply(run, ready)
        if isinstance(outcome, c.Refuse):
            run.resolved[ready.request.key] = Applied.NO
            await self._hold(run, entry, command, outcome)
        else:
            self._conclude(run, ready, outcome)

    async def _apply(self, run: Run, ready: effects.Prepared) -> effects.EffectOutcome | c.Refuse:
        """The effect itself, in a task of its own: who ends this run's task waits for it."""

        def objection() -> c.Refuse | None:
            return self._switched(run.plan, approved=self._approved(run.plan))

        run.acting = once(
            "effect", effects.apply(ready.aim.actuator, ready.request, objection), detail=ready.request.key
        )
        try:
            return await run.acting
        finally:
            run.acting = None

    async def _ready(
        self, run: Run, entry: RunEntry, command: c.ApplyStep, watch: TelemetryView
    ) -> effects.Prepared | c.Refuse:
        """The effect, looked at and checked again: guards, validation, policy."""
        plan, back = run.plan, isinstance(command, c.Compensate)
        approved = self._approved(plan)
        aim = await self._aim(plan, command.name, command.step)
        if isinstance(aim, c.Refuse):
            return aim
        if not back and not approved and (doubtful := permission.contested(plan, watch.attributes(plan.target))):
            return doubtful
        if command.again:
            progress = progress_of(entry)[command.name]
            prepared: effects.Prepared | c.Refuse = effects.Prepared(
                aim, command.step, effects.journalled(plan, command.name, command.step, progress)
            )
        else:
            key, said = m.keyed(plan.run, command), journal_records.announced_of(self._w.journal, plan.run)
            if said is not None and said.key == key:
                prepared = effects.Prepared(aim, command.step, effects.announced(plan, command.step, said))
            else:
                prepared = effects.prepare(plan, command, key, aim, _undone(entry, command))
        if isinstance(prepared, c.Refuse):
            return prepared
        held = self._switched(plan, approved=approved)
        if held is None and not back:  # going back is bounded by where it came from
            held = guarded(plan, aim, prepared.planned, watch, self._w, untouched=not effects_of(entry))
            held = held or permission.outage(prepared.request, aim.state, approved=approved)
        return held or await self._policy(plan, prepared, approved) or prepared

    def _approved(self, plan: RunPlan) -> bool:
        approval = authenticity.approval_of(self._w.journal, plan)
        return approval is not None and approval.approve

    def _say(self, run: Run, ready: effects.Prepared, command: c.ApplyStep) -> int:
        """The sequence of the audit record that comes before the effect: there is one, however often it is tried to have it."""
        request, state = ready.request, _state_of(command)
        said = journal_records.announced_of(self._w.journal, run.plan.run)
        if said is not None and said.key == request.key:
            return said.sequence
        again = "again, it had not happened: " if command.again else ""
        details = ", ".join(f"{k}={v}" for k, v in request.arguments.items())
        text = f"{again}{request.action} {run.plan.target}" + (f" ({details})" if details else "")
        data: dict[str, str | int | float | bool | None] = {
            "action": request.action,
            "key": request.key,
            "actuator": ready.aim.actuator.name,
            "identity": ready.aim.identity.key,
            "uid": ready.aim.identity.uid,
        }
        data |= {f"argument.{k}": v for k, v in reporting.plain(request.arguments).items()}
        record = reporting.step_record(run.plan, state, command.name, "intent", text, self._now(), data)
        with self._trail.together(run.plan.environment):
            sequence = self._trail.append(record).sequence
            announced = journal_records.Announced(command.name, request.key, sequence, ready.intent)
            journal_records.keep_announced(self._w.journal, run.plan, announced)
        return sequence

    async def _announced(self, run: Run, sequence: int) -> c.Refuse | None:
        """Held unless the world can read of the effect before it happens, and nobody pulled the switch meanwhile."""
        if not await self._trail.acknowledged(run.plan.environment, sequence):
            text = f"the broker did not take the audit event within {self._w.settings.audit_ack_s:g} s"
            return c.Refuse(HeldReason.AUDIT_UNAVAILABLE, text)
        return self._switched(run.plan, approved=self._approved(run.plan))

    async def _kept(self, run: Run) -> c.Refuse | None:
        """Held unless the intent outlives this process, the run is known to be still ours, and every switch is known that
        was turned up to now."""
        try:
            await self._w.journal.settled(run.plan.environment, self._w.settings.audit_ack_s)
        except Retryable as e:
            return c.Refuse(HeldReason.JOURNAL_UNAVAILABLE, str(e))
        try:
            await self._w.heard()
        except Retryable as e:
            return c.Refuse(HeldReason.CONTROL_UNAVAILABLE, str(e))
        return self._switched(run.plan, approved=self._approved(run.plan))

    async def _hold(self, run: Run, entry: RunEntry, command: c.ApplyStep, held: c.Refuse) -> None:
        """The effect did not happen: say why, and what follows."""
        if held.reason is HeldReason.KILL_SWITCH:
            return  # the machine turns that into `cancelled`, and closes an open intent
        if isinstance(command, c.Compensate) and held.reason in _TRANSIENT:
            _LOG.warning("rollback of %s is held: %s", run.plan.run, held.text)
            await self.park(run, self._now() + 2 * SECOND)  # until it is too late for it
            return
        key = m.keyed(run.plan.run, command)
        reason = {"reason": str(held.reason), "text": held.text}
        with self._trail.together(run.plan.environment):
            self._line(run, command.name, key, StepPhase.SKIPPED, reason, f"{held.reason}: {held.text}")
            self._record(run, entry, m.after_held(entry, run.plan, command.name, held))

    def _conclude(self, run: Run, ready: effects.Prepared, outcome: effects.EffectOutcome) -> None:
        request = ready.request
        with self._trail.together(run.plan.environment):
            if outcome.phase is StepPhase.APPLIED:
                self._tell_change(run.plan, ready.step, request)
            self._line(run, request.step, request.key, outcome.phase, outcome.line, outcome.text)

    def _tell_change(self, plan: RunPlan, step: Step, request: StepRequest) -> None:
        change = reporting.change_of(plan, step, request.before, request.arguments, self._now())
        if change is not None:
            self._trail.send(CHANGES, plan.target, change, plan.environment)

    def _line(self, run: Run, step: str, key: str, phase: StepPhase, data: Mapping[str, object], text: str) -> None:
        """A step's new phase: audit record and journal in one."""
        now = self._now()
        entry = self._w.journal.load(run.plan.run)
        state = RunState.RUNNING if entry is None else entry.state
        told = {k: v for k, v in data.items() if k in {"reason", "retryable"}} | {"key": key}
        record = reporting.step_record(run.plan, state, step, phase, text, now, reporting.plain(told))
        with self._trail.together(run.plan.environment):
            self._trail.append(record)
            self._w.journal.step(StepEntry(run.plan.run, step, phase, key, now, data), run.fence)
            said = journal_records.announced_of(self._w.journal, run.plan.run)
            if said is not None and said.key == key:
                journal_records.keep_announced(self._w.journal, run.plan, None)

    def _begin_wait(self, run: Run, command: c.BeginWait) -> None:
        try:
            seconds = float(resolve(run.plan, command.step, None).get("seconds", 0.0))
        except (ActionFailed, ValueError) as e:
            reason = {"reason": ActionFailed.reason, "text": str(e)}
            self._line(run, command.name, command.key, StepPhase.FAILED, reason, str(e))
            return
        intent = {"action": "wait", "seconds": seconds}
        self._line(run, command.name, command.key, StepPhase.INTENT, intent, f"waiting {seconds:g} s")

    # --- after a crash

    async def _resolve(self, run: Run, entry: RunEntry, command: c.Resolve) -> None:
        """Ask whether an effect happened. Never causes one; an unreachable actuator is asked again for a while."""
        progress = progress_of(entry).get(command.name, NOT_BEGUN)
        request = effects.journalled(run.plan, command.name, command.step, progress)
        name = str(progress.intent.get("actuator", ""))
        actuator = next((a for a in self._w.actuators if a.name == name), None)
        run.doubtful_since_ns = run.doubtful_since_ns or self._now()
        try:
            answer = Applied.UNKNOWN if actuator is None else await actuator_calls.applied(actuator, request)
        except ActuatorUnavailable as e:
            if self._now() - run.doubtful_since_ns < self.limits.decision_expiry_s * SECOND:
                _LOG.warning("cannot ask %s about %s yet: %s", name, run.plan.run, e)
                await self.park(run, self._now() + int(ASK_AGAIN_S * SECOND))
                return
            answer = Applied.UNKNOWN
        run.resolved[command.key] = answer

    def _settle(self, run: Run, entry: RunEntry, command: c.Settle) -> None:
        phase = {
            Applied.YES: StepPhase.APPLIED,
            Applied.NO: StepPhase.SKIPPED,
            Applied.UNKNOWN: StepPhase.UNKNOWN,
        }[command.applied]
        with self._trail.together(run.plan.environment):
            if phase is StepPhase.APPLIED:
                step, progress = run.plan.step(command.name), progress_of(entry)[command.name]
                self._tell_change(run.plan, step, effects.journalled(run.plan, command.name, step, progress))
            self._line(run, command.name, command.key, phase, {"text": command.text, "recovered": True}, command.text)

    # --- the end

    def _finish(self, run: Run, entry: RunEntry, command: c.Finish) -> None:
        plan, now = run.plan, self._now()
        verdict = journal_records.verdict_of(self._w.journal, plan.run)
        touched = bool(effects_of(entry)) or command.state not in _EFFECTLESS
        outcome = command.outcome or (Outcome.SAME if command.state not in _EFFECTLESS else Outcome.INCONCLUSIVE)
        data: dict[str, str | int | float | bool | None] = {"outcome": str(outcome)} if touched else {}
        if verdict is not None:
            data |= {"verdict": str(verdict.outcome), "credit": verdict.credit}
        with self._trail.together(plan.environment):
            if touched:
                feedback = reporting.feedback_of(plan, outcome, verdict, command.text, now)
                self._trail.send(FEEDBACK, plan.run, feedback, plan.environment)
            self._close(run, command.text)
            self._trail.append(reporting.run_record(plan, command.state, command.text, now, data))
            self._w.journal.set_state(plan.run, run.fence, command.state, now)
        self._w.graph(reporting.graph_row(plan, command.state, command.text, now, outcome if touched else None))

    def _now(self) -> int:
        return self._w.clock.now_ns()


def _state_of(command: c.ApplyStep) -> RunState:
    return RunState.ROLLING_BACK if isinstance(command, c.Compensate) else RunState.RUNNING


def _is_wait(progress: StepProgress) -> bool:
    return progress.intent.get("action") == "wait"


def _undone(entry: RunEntry, command: c.ApplyStep) -> TargetState | None:
    """The state from before the run's first effect of the kind that is undone."""
    done = effects_of(entry)
    same = [step for _, step in done if step.intent.get("action") == command.step.action]
    first = next(iter(same or [step for _, step in done]), None)
    return None if first is None else first.before
