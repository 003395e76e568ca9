"""Hears what the product says and writes it down: the events of the topics as a trial keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.events import Anomaly, Candidate, Decision, Event, Feedback, Incident, decode
from contracts.nodes import ON_NODE
from contracts.ports import Record
from contracts.topics import ANOMALIES, DEADLETTER, DECISIONS, FEEDBACK, INCIDENTS
from contracts.units import SECOND
from contracts.verdicts import ENDED, AnomalyKind, AnomalyPhase, IncidentPhase
from homeostat.judge.trial import ActSeen, AlarmSeen, DecisionSeen, FaultSeen, IncidentSeen, RankedCause, Trial
from twin.truth import EpisodeTruth

LEADING = 3
EVENTS: Mapping[str, type[Event]] = {
    ANOMALIES: Anomaly,
    INCIDENTS: Incident,
    DECISIONS: Decision,
    FEEDBACK: Feedback,
}


class TrialWitness:
    """Fills a trial. Times are counted from `start_ns`."""

    def __init__(self, trial: Trial, start_ns: int) -> None:
        self.trial, self._start_ns = trial, start_ns
        self._alarms: dict[str, AlarmSeen] = {}
        self._incidents: dict[str, IncidentSeen] = {}

    def hear(self, record: Record, now_s: float) -> None:
        """Take note of a record, whatever its topic."""
        if record.topic in EVENTS:
            self.take(decode(EVENTS[record.topic], record.value), now_s)
        elif record.topic == DEADLETTER:
            self.trial.dead_letters += 1

    def take(self, event: Event, now_s: float) -> None:
        """Take note of an event, as `hear` does of its record."""
        match event:
            case Anomaly():
                self._alarm(event, now_s)
            case Incident():
                self._incident(event, now_s)
            case Decision():
                self._decision(event, now_s)
            case Feedback():
                self.trial.outcomes.append(event.outcome.value)
            case _:
                pass

    def _alarm(self, anomaly: Anomaly, now_s: float) -> None:
        if anomaly.kind is AnomalyKind.MODEL:
            return
        seen = self._alarms.get(anomaly.id)
        if seen is None and anomaly.phase is AnomalyPhase.ADOPTED:
            return  # an event: what was unlike before harms nobody and is usual from now on
        if seen is None:
            leading = max(anomaly.contributions, key=lambda c: c.share, default=None)
            seen = self._alarms[anomaly.id] = AlarmSeen(
                id=anomaly.id,
                service=anomaly.service,
                peer=anomaly.peer,
                opened_s=now_s,
                onset_s=(anomaly.onset_ns - self._start_ns) / SECOND,
                feature=leading.feature if leading is not None else "",
                telemetry=anomaly.kind is AnomalyKind.TELEMETRY,
                text=anomaly.text,
            )
            self.trial.alarms.append(seen)
        if anomaly.phase in ENDED:
            seen.closed_s = now_s

    def _incident(self, incident: Incident, now_s: float) -> None:
        seen = self._incidents.get(incident.id)
        if seen is None:
            seen = self._incidents[incident.id] = IncidentSeen(incident.id, now_s)
            self.trial.incidents.append(seen)
        if incident.phase is IncidentPhase.RESOLVED:
            seen.resolved_s = now_s
            return
        seen.services, seen.text = incident.services, incident.text
        seen.final = tuple(_suspect(c) for c in incident.candidates[:LEADING])
        if incident.settled and seen.settled_s is None:
            seen.settled_s, seen.settled = now_s, seen.final

    def _decision(self, decision: Decision, now_s: float) -> None:
        self.trial.decisions.append(
            DecisionSeen(
                at_s=now_s,
                incident=decision.incident,
                verdict=decision.verdict.value,
                playbook=decision.chosen.playbook,
                target=decision.chosen.target,
                cause=decision.cause.value,
                cause_service=decision.cause_service,
                probability=decision.cause_probability,
                success=decision.chosen.success_probability,
                text=decision.text,
            )
        )


def swear(trial: Trial, truth: EpisodeTruth) -> Trial:
    """The trial, with the truth."""
    trial.faults = tuple(
        FaultSeen(
            kind=f.kind,
            level=f.level.value,
            service=f.service,
            roots=tuple(sorted(f.roots)),
            causes=tuple(sorted(c.value for c in f.causes)),
            repairs=tuple(sorted(f.repairs)),
            path=tuple(sorted(f.path)),
            begin_s=f.begin_s,
            size=f.size,
            hurt_from_s=f.hurt_from_s,
            hurt_until_s=f.hurt_until_s,
            gone_s=f.gone_s,
            rate=round(f.rate, 2),
            arrives_s=f.arrives_s,
        )
        for f in truth.faults
    )
    trial.operations = tuple(truth.operations)
    trial.acts = tuple(ActSeen(a.at_s, a.action, a.service, a.failed, a.harm_before, a.harm_after) for a in truth.acts)
    trial.harm = tuple(round(h, 4) for h in truth.harm)
    return trial


def _suspect(candidate: Candidate) -> RankedCause:
    path = tuple(step.service for step in candidate.path if not step.service.startswith(ON_NODE))
    return RankedCause(candidate.service, candidate.kind.value, round(candidate.probability, 4), path, candidate.peer)
