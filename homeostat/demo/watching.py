"""What Homeostat says during a scene: its events, with the moment each became known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.events import ActionRecord, Anomaly, Decision, Event, Feedback, Incident, decode
from contracts.ports import Record
from contracts.topics import ACTIONS, ANOMALIES, DECISIONS, FEEDBACK, INCIDENTS
from contracts.verdicts import AnomalyKind, AnomalyPhase, DecisionVerdict, IncidentPhase, Outcome
from homeostat.demo.scenes import Scene

E = TypeVar("E", bound=Event)
KINDS: dict[str, type[Event]] = {
    ANOMALIES: Anomaly,
    INCIDENTS: Incident,
    DECISIONS: Decision,
    ACTIONS: ActionRecord,
    FEEDBACK: Feedback,
}
INTENT = "io.homeostat.step.intent"
EFFECTS = (INTENT, "io.homeostat.step.applied")


@dataclass
class EventsSeen:
    """Events since `began` (epoch seconds), each with the time it was heard."""

    began: float = field(default_factory=time.time)
    events: list[tuple[float, Event]] = field(default_factory=list)

    def take(self, record: Record) -> None:
        """Note an event."""
        kind = KINDS.get(record.topic)
        if kind is not None:
            self.events.append((time.time(), decode(kind, record.value)))

    def first(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> tuple[float, E] | None:
        """The first event of a kind that is wanted: seconds after the beginning, and itself."""
        for at, event in self.events:
            if isinstance(event, kind) and wanted(event):
                return at - self.began, event
        return None

    def all(self, kind: type[E], wanted: Callable[[E], bool] = lambda _: True) -> list[E]:
        """All events of a kind that are wanted."""
        return [event for _, event in self.events if isinstance(event, kind) and wanted(event)]

    def detected(self) -> tuple[float, Anomaly] | None:
        """The first anomaly that opened."""
        return self.first(Anomaly, lambda a: a.phase is AnomalyPhase.OPENED and a.kind is AnomalyKind.SERVICE)

    def decided(self) -> tuple[float, Decision] | None:
        """The first decision to do something about it, or to ask."""
        return self.first(Decision, lambda d: d.verdict is not DecisionVerdict.NOTHING)

    def verified(self) -> tuple[float, Feedback] | None:
        """The first proof that a repair helped."""
        return self.first(Feedback, lambda f: f.outcome is Outcome.BETTER)

    def over(self) -> bool:
        """Whether every incident that opened was resolved."""
        return bool(self.all(Incident)) and not self.still_open()

    def still_open(self) -> frozenset[str]:
        """Incidents that were heard of and are not resolved."""
        phases = {i.id: i.phase for i in self.all(Incident)}
        return frozenset(i for i, phase in phases.items() if phase is not IncidentPhase.RESOLVED)

    def ended(self, scene: Scene) -> bool:
        """Whether the scene came to its end: a verified repair, or a person asked."""
        if scene.verdict is DecisionVerdict.ASK:
            return self.first(Decision, lambda d: d.verdict is DecisionVerdict.ASK) is not None
        return self.verified() is not None

    def touched(self) -> set[str]:
        """Targets on which an effect was meant or had."""
        return {r.target for r in self.all(ActionRecord, lambda r: r.type in EFFECTS)}

    def actions(self) -> list[str]:
        """What was done or about to be done, each once, in order; waiting is nothing done."""
        meant = [r.data.get("action") for r in self.all(ActionRecord, lambda r: r.type == INTENT)]
        return list(dict.fromkeys(str(action) for action in meant if action is not None))
