"""Incidents under decision: when to decide, when to wait for an outcome, when to decide again. Pure; time is an argument.

One incident has one live decision. It is decided when its diagnosis is settled; while a remedy is under way nothing else is
decided (but who is to be moved off the same node next); what came of it (feedback, or the run's end as reported) leads to the next decision, which knows what was tried.
Where nothing is under way, the question is asked again with every new revision, switch, report, and second; a decision goes out only
if it differs from the one before.

How targets are and what is under way is told by whoever acts (`TargetReport`). What was decided here and is in no report yet counts as
under way; what a report tells that this does not know (its state is from a snapshot that is older) it did decide. While nothing is
told, it waits; after `stale_s` a person is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.events import OURSELVES, Control, Decision, Feedback, Incident, TargetReport
from contracts.features import Signal
from contracts.frames import EvidenceFrame, pack, unpack
from contracts.ports import RunEntry
from contracts.settings import DecideSettings
from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES, DecisionVerdict, IncidentPhase, Outcome, RunState, ServiceState
from playbooks.decision.candidates import concerned_in, involved_in, top_causes
from playbooks.decision.deciding import decide, number_in
from playbooks.decision.earlier import earlier_than
from playbooks.decision.pending_state import (
    VERSION,
    PendingDecision,
    SavedPending,
    UnseenDecision,
    awaited,
    differs,
    mending,
    moved_off,
    next_there,
    offered,
    premature,
    question,
    revise,
    saved_of,
    signature,
)
from playbooks.decision.probing import attempt_of
from playbooks.decision.reported import ReportedEnvironment
from playbooks.decision.views import Came, Views
from playbooks.decision.world import Attempt, DecisionLimits, DecisionWorld
from playbooks.language.model import Playbook
from playbooks.learning import Posteriors, Prediction, from_json, learning_of

RECHECK_S: Final = 1.0
"""Pause between two looks at an incident for which nothing is under way."""
FEEDBACK_S: Final = 5.0
"""Time the verified outcome has to arrive after its run ended, before the run's state is taken for it."""
_REMEMBERED: Final = 500
_SETTLED_OUTCOMES: Final = (Outcome.BETTER, Outcome.SAME, Outcome.WORSE)


class PendingDecisions:
    """All environments of one owner."""

    def __init__(self, playbooks: Sequence[Playbook], settings: DecideSettings, limits: DecisionLimits) -> None:
        self._playbooks, self._settings = tuple(sorted(playbooks, key=lambda p: p.name)), settings
        self._limits = limits
        self.posteriors = Posteriors(learning_of(settings))
        self.counters: Counter[str] = Counter()
        self._cases: dict[str, PendingDecision] = {}
        self._closed: dict[str, tuple[int, int]] = {}
        self._controls: dict[str, Control] = {}
        self._predictions: dict[str, list[Prediction]] = {}
        self._expected: dict[str, float] = {}
        self._heard_ns: dict[str, int] = {}
        self._views: dict[str, Views] = {}
        self._began_ns: dict[str, int] = {}
        """When telemetry of an environment began, event time; of those whose state is from a snapshot that was long ago."""
        self._reported: dict[str, ReportedEnvironment] = {}
        self._unseen: dict[str, UnseenDecision] = {}
        self._begun_ns = 0
        """When this state was taken up: what was told before may be older than what was decided since."""

    def evidence(self, frame: EvidenceFrame, now_ns: int) -> None:
        """Telemetry came in."""
        self._heard_ns[frame.environment] = now_ns
        if frame.environment not in self._views:
            self._began_ns[frame.environment] = frame.window_ns
        self._views.setdefault(frame.environment, Views()).take(frame)
        self._confirm(frame, now_ns)

    def _confirm(self, frame: EvidenceFrame, now_ns: int) -> None:
        """An incident is told again only when it changes: that it lasts is seen by its services."""
        cases = [c for c in self._cases.values() if c.incident.environment == frame.environment]
        if not cases or frame.signal == Signal.EDGES:
            return
        sick = {s for s, state in zip(frame.services, frame.state, strict=False) if state == ServiceState.ANOMALOUS}
        for case in cases:
            if not sick.isdisjoint(case.incident.services):
                case.confirmed_ns = max(case.confirmed_ns, min(frame.window_ns + frame.width_ns, now_ns))

    @property
    def environments(self) -> tuple[str, ...]:
        """Environments of which something was heard."""
        return tuple(self._heard_ns)

    @property
    def busy(self) -> set[str]:
        """Environments with an incident that is not over."""
        return {case.incident.environment for case in self._cases.values()}

    def forget(self, environment: str) -> None:
        """An environment is gone. What was learnt of playbooks stays."""
        for known in (self._heard_ns, self._views, self._predictions, self._reported, self._began_ns):
            known.pop(environment, None)

    def report(self, report: TargetReport, now_ns: int) -> list[Decision]:
        """Whoever acts told how targets are, and what is under way."""
        self._begun_ns = self._begun_ns or now_ns
        known = self._reported.setdefault(report.environment, ReportedEnvironment())
        was_told = self._told(known, now_ns)
        if not known.take(report, now_ns, self._limits.stale_s) and (was_told or not self._told(known, now_ns)):
            return []
        for run in report.runs:
            self._unseen.pop(run.decision, None)
        cases = [c for c in self._ordered() if c.incident.environment == report.environment]
        return [d for case in cases for d in self._look(case, now_ns)]

    def incident(self, incident: Incident, now_ns: int) -> list[Decision]:
        """An incident opened, changed or is over. An older revision than the one known changes nothing."""
        number, revision = self._known(incident.id)
        if incident.revision <= revision:
            self.counters["stale_incidents"] += 1
            return []
        self._heard_ns[incident.environment] = max(now_ns, self._heard_ns.get(incident.environment, 0))
        if incident.phase is IncidentPhase.RESOLVED:
            self._cases.pop(incident.id, None)
            self._close(incident.id, number, incident.revision)
            return []
        case = self._cases.setdefault(incident.id, PendingDecision(incident, number))
        revise(case, incident, now_ns)
        return self._look(case, now_ns)

    def _known(self, incident: str) -> tuple[int, int]:
        case = self._cases.get(incident)
        if case is not None:
            return case.number, case.incident.revision
        return self._closed.get(incident, (0, -1))

    def _close(self, incident: str, number: int, revision: int) -> None:
        self._closed.pop(incident, None)
        self._closed[incident] = number, revision
        while len(self._closed) > _REMEMBERED:
            del self._closed[next(iter(self._closed))]

    def control(self, control: Control, now_ns: int) -> list[Decision]:
        """A switch was turned. The last that arrives counts, whatever its time says: they arrive in the order of the log.

        What is decided here is only proposed: who acts looks at the switches of all partitions (`playbooks.runs.switches`).
        """
        known = self._controls.get(control.scope)
        if known == control or (control.initial and known is not None):
            return []
        self._controls[control.scope] = control
        return [d for case in self._ordered() for d in self._look(case, now_ns)]

    def feedback(self, feedback: Feedback, now_ns: int) -> list[Decision]:
        """An outcome was verified, or a person judged a run: learn from it, and go on with the incident."""
        before = self.posteriors
        self.posteriors = before.update(feedback, now_ns)
        if self.posteriors is before:
            self.counters["feedback_repeated"] += 1
            return []
        if feedback.by != OURSELVES:
            return []
        self._remember(feedback, now_ns)
        case = self._cases.get(feedback.incident)
        if case is None or any(a.decision == feedback.decision for a in case.attempts):
            return []
        self._finish(case, attempt_of(feedback, now_ns))
        return self._look(case, now_ns)

    def _remember(self, feedback: Feedback, now_ns: int) -> None:
        probability = self._expected.pop(feedback.decision, None)
        if probability is not None and feedback.outcome in _SETTLED_OUTCOMES:
            kept = self._predictions.setdefault(feedback.environment, [])
            kept.append(Prediction(now_ns, probability, feedback.outcome is Outcome.BETTER))
            del kept[:-_REMEMBERED]

    def tick(self, now_ns: int) -> list[Decision]:
        """Look again at what waits."""
        due = [c for c in self._ordered() if now_ns - c.checked_ns >= RECHECK_S * SECOND]
        return [d for case in due for d in self._look(case, now_ns)]

    def _ordered(self) -> list[PendingDecision]:
        return [self._cases[i] for i in sorted(self._cases)]

    def _finish(self, case: PendingDecision, attempt: Attempt) -> None:
        case.attempts.append(attempt)
        case.last = None
        case.repaired_ns, case.repaired = (attempt.time_ns, attempt.target) if attempt.over else (0, "")
        if attempt.decision == case.live:
            case.live = case.live_verdict = ""

    def _look(self, case: PendingDecision, now_ns: int) -> list[Decision]:
        """Decide if it is time to, and if that comes to something else than before."""
        case.checked_ns, self._begun_ns = now_ns, self._begun_ns or now_ns
        environment = case.incident.environment
        reported = self._reported.get(environment) or ReportedEnvironment()
        untold_s = reported.untold_s(self._begun_ns, now_ns, self._limits.stale_s)
        if 0 < untold_s <= self._limits.stale_s:
            self.counters["looks_untold"] += 1
            return []
        history = reported.entries(environment)
        self._adopt(case, history, now_ns)
        there = next_there(case, next((r for r in history if r.decision == case.live), None))
        if (self._under_way(case, history, now_ns) and not there) or not case.incident.settled:
            return []
        if not untold_s and not there and self._ending(case, history, now_ns):
            return []
        if mending(case, now_ns):
            return []
        world = self._world(case, reported, untold_s, now_ns)
        decision = decide(case.incident, world, self._playbooks, self._settings)
        self.counters["looks"] += 1
        if there and (moved_off(decision) != there or decision.chosen.target == case.target):
            return []
        if premature(case, decision, self._settings.min_confidence, now_ns) or not differs(case, decision, now_ns):
            return []
        self._take(case, decision)
        return [decision]

    def _told(self, reported: ReportedEnvironment, now_ns: int) -> bool:
        return reported.told(self._begun_ns, now_ns, self._limits.stale_s)

    def _adopt(self, case: PendingDecision, history: Sequence[RunEntry], now_ns: int) -> None:
        """Runs of the incident's decisions that this state does not know: it is older than they are, and did decide them."""
        found = {number: r for r in history if (number := number_in(r.decision, case.incident.id)) > case.number}
        for number, run in sorted(found.items()):
            self.counters["decisions_adopted"] += 1
            case.number, case.playbook, case.target = number, run.playbook, run.target
            if any(a.decision == run.decision for a in case.attempts):
                continue
            if number < max(found):
                if run.state in TERMINAL_RUN_STATES:  # of others it is still to be told
                    self._finish(case, Attempt(run.decision, run.playbook, run.target, str(run.state), now_ns))
                continue
            waits = run.state is RunState.AWAITING_APPROVAL
            case.live, case.live_verdict = run.decision, str(DecisionVerdict.ASK if waits else DecisionVerdict.ACT)
            case.last, case.decided_ns = (case.live_verdict, run.playbook, run.target), run.created_ns

    def _ending(self, case: PendingDecision, history: Sequence[RunEntry], now_ns: int) -> bool:
        """Whether a run of the incident has had its outcome verified, and its end is about to be reported."""
        over = {a.decision for a in case.attempts}
        return any(r.decision in over and r.state not in TERMINAL_RUN_STATES for r in history) or any(
            decision in over for decision in self._waited_for(case.incident.environment, now_ns)
        )

    def _waited_for(self, environment: str, now_ns: int) -> dict[str, UnseenDecision]:
        """Own decisions of an environment that whoever acts may still begin, and has not told of."""
        patience_ns = 2 * self._limits.decision_expiry_s * SECOND
        self._unseen = {name: u for name, u in self._unseen.items() if now_ns - u.time_ns <= patience_ns}
        return {name: u for name, u in self._unseen.items() if u.environment == environment}

    def _under_way(self, case: PendingDecision, history: Sequence[RunEntry], now_ns: int) -> bool:
        """Whether a remedy is. What the journal says of a run that ended without feedback is taken for its outcome."""
        if not case.live:
            return False
        run = next((r for r in history if r.decision == case.live), None)
        if run is None:
            lapsed = now_ns - case.decided_ns > 2 * self._limits.decision_expiry_s * SECOND
            if lapsed and case.live_verdict == DecisionVerdict.ACT:
                self.counters["decisions_lapsed"] += 1
                case.live, case.live_verdict, case.last = "", "", None
            return case.live_verdict == DecisionVerdict.ACT
        if run.state is RunState.AWAITING_APPROVAL:
            return False
        if run.state not in TERMINAL_RUN_STATES or now_ns - run.updated_ns < FEEDBACK_S * SECOND:
            return True
        self._finish(case, Attempt(run.decision, run.playbook, run.target, str(run.state), now_ns))
        return False

    def _world(
        self, case: PendingDecision, reported: ReportedEnvironment, untold_s: float, now_ns: int
    ) -> DecisionWorld:
        environment, targets = case.incident.environment, {} if untold_s else reported.targets
        services = involved_in(case.incident)
        views = self._views.setdefault(environment, Views())
        return DecisionWorld(
            now_ns=now_ns,
            number=case.number + 1,
            heard_ns=self._heard_ns.get(environment, 0),
            learning_ns=self._learning_ns(environment),
            confirmed_ns=case.confirmed_ns,
            reached_ns=max(views.times.values(), default=0),
            well_ns=case.well_ns,
            posteriors=self.posteriors,
            untold_s=untold_s,
            targets={s: targets.get(s) for s in services},
            services={s: views.view(s) for s in services},
            standings={s: views.standing(s, case.incident.ranked_from_ns) for s in services},
            passed={c.service: views.passed(c, case.incident.ranked_from_ns) for c in top_causes(case.incident)},
            history=(
                *offered(reported.entries(environment), self._cases.values()),
                *(awaited(name, u) for name, u in sorted(self._waited_for(environment, now_ns).items())),
            ),
            known_services=views.services,
            serving=tuple(sorted(views.at_work.established())),
            actions=None if untold_s else frozenset(reported.actions),
            controls=tuple(self._controls[s] for s in sorted(self._controls) if s in ("*", environment)),
            attempts=tuple(a for a in case.attempts if a.time_ns >= case.incident.onset_ns),
            earlier=earlier_than(case, self._ordered(), views.calls.linked, now_ns),
            predictions=tuple(self._predictions.get(environment, ())),
            limits=self._limits,
        )

    def _learning_ns(self, environment: str) -> int:
        """Event time for which telemetry of an environment has been heard of; 0 once that is longer than anybody wants."""
        began_ns = self._began_ns.get(environment)
        if began_ns is None:
            return 0
        known_ns = max(self._views[environment].times.values(), default=began_ns) - began_ns
        if known_ns >= self._settings.learn_s * SECOND:
            del self._began_ns[environment]
            return 0
        return max(known_ns, 1)

    def _take(self, case: PendingDecision, decision: Decision) -> None:
        case.number += 1
        case.last, case.decided_ns = signature(decision), decision.time_ns
        chosen, case.node = decision.chosen, moved_off(decision)
        case.playbook, case.target = chosen.playbook, chosen.target
        if decision.verdict is DecisionVerdict.ASK:
            _, times = case.asked.get(question(decision), (0, 0))
            case.asked = {**case.asked, question(decision): (decision.time_ns, times + 1)}
            case.meant = question(decision), decision.time_ns, decision.time_ns
        stands = decision.verdict is not DecisionVerdict.NOTHING and bool(chosen.target)
        case.live, case.live_verdict = (decision.id, str(decision.verdict)) if stands else ("", "")
        if stands:
            self._unseen[decision.id] = UnseenDecision(
                decision.environment, chosen.target, chosen.playbook, str(decision.verdict), decision.time_ns
            )
            self._expected[decision.id] = chosen.success_probability
            while len(self._expected) > _REMEMBERED:
                del self._expected[next(iter(self._expected))]
        self.counters[f"decisions_{decision.verdict}"] += 1

    def snapshot(self) -> bytes:
        """The whole state."""
        involved: dict[str, set[str]] = {}
        for case in self._cases.values():
            involved.setdefault(case.incident.environment, set()).update(concerned_in(case.incident))
        known = {e: services for e, services in sorted(involved.items()) if e in self._views}
        views = {e: self._views[e].keep(services) for e, services in known.items()}
        kept = {e: self._views[e].rows(services) for e, services in known.items()}
        return msgspec.msgpack.encode(
            SavedPending(
                VERSION,
                self._cases,
                self._closed,
                self.posteriors.to_json(),
                self._controls,
                self._predictions,
                self._expected,
                self._heard_ns,
                views,
                {e: [pack(c.frame) for c in rows] for e, rows in kept.items()},
                {e: [c.time_ns for c in rows] for e, rows in kept.items()},
                {e: views.times for e, views in self._views.items()},
                {e: views.heard for e, views in self._views.items()},
                self._reported,
                self._unseen,
                {e: views.at_work.state() for e, views in self._views.items()},
                self._began_ns,
            )
        )

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: it is no snapshot of this, or of a newer version.
        """
        saved = saved_of(state)
        self._cases, self._closed, self._controls = saved.cases, saved.closed, saved.controls
        self._predictions, self._expected, self._heard_ns = saved.predictions, saved.expected, saved.heard_ns
        self.posteriors = from_json(saved.posteriors, learning_of(self._settings))
        self._views = {}
        for environment in saved.views | saved.services:
            kept = saved.views.get(environment, {})
            frames = [unpack(EvidenceFrame, f) for f in saved.rows.get(environment, ())]
            came = saved.came.get(environment) or [f.window_ns for f in frames]
            rows = [Came(time_ns, frame) for time_ns, frame in zip(came, frames, strict=True)]
            times, heard = saved.times.get(environment, {}), saved.services.get(environment, {})
            self._views.setdefault(environment, Views()).restore(kept, rows, times, heard)
        for environment, serving in saved.serving.items():
            self._views.setdefault(environment, Views()).at_work.load(serving)
        self._reported, self._unseen, self._begun_ns = saved.reported, saved.unseen, 0
        self._began_ns = saved.began_ns
