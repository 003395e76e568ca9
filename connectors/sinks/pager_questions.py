"""What people are asked: of all that is published the questions alone, each once, in words that begin with the cause. Pure.

A question is an incident, a cause, and what is proposed. The same one is put once, however often it is decided again; it is escalated if
an approval expired unanswered, withdrawn when the incident is over, and not put after a repair was verified.
"""

from __future__ import annotations

import hashlib
import shlex
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from contracts.events import ActionRecord, Decision, Incident
from contracts.verdicts import DecisionVerdict, HeldReason, IncidentPhase, Outcome, RunState

REMEMBERED: Final = 1000
"""Incidents, and questions, that are remembered."""
OPTIONS: Final = 5
EVIDENCE: Final = 5
_REFUSED: Final = "io.homeostat.run.refused"


class Page(NamedTuple):
    """What is posted, and the key by which a receiver tells a repetition."""

    key: str
    body: dict[str, Any]


class PagerQuestions:
    """Takes published events in the order they come, and says what of them people are told."""

    def __init__(self) -> None:
        self._incidents: OrderedDict[str, Incident] = OrderedDict()
        self._asked: OrderedDict[str, tuple[str, Decision]] = OrderedDict()
        """By key of the question: its incident, and the last decision that put it."""
        self._mended: OrderedDict[str, int] = OrderedDict()
        """When a repair of an incident was last verified."""

    def take(self, event: object) -> list[Page]:
        """The pages that follow from an event."""
        match event:
            case Incident():
                return self._incident(event)
            case Decision() if event.verdict is DecisionVerdict.ASK:
                return self._question(event)
            case ActionRecord():
                return self._record(event)
            case _:
                return []

    def _incident(self, incident: Incident) -> list[Page]:
        known = self._incidents.get(incident.id)
        if known is not None and incident.revision < known.revision:
            return []
        _remember(self._incidents, incident.id, incident)
        if incident.phase is not IncidentPhase.RESOLVED:
            return []
        open_questions = [(key, d) for key, (name, d) in self._asked.items() if name == incident.id]
        for key, _ in open_questions:
            del self._asked[key]
        return [self._page("resolved", key, decision, "the incident is over") for key, decision in open_questions]

    def _question(self, decision: Decision) -> list[Page]:
        if self._mended.get(decision.incident, -1) >= decision.time_ns:
            return []
        key = question_key(decision)
        known = key in self._asked
        _remember(self._asked, key, (decision.incident, decision))
        return [] if known else [self._page("asked", key, decision, decision.text)]

    def _record(self, record: ActionRecord) -> list[Page]:
        if record.state is RunState.SUCCEEDED and record.data.get("outcome") == Outcome.BETTER:
            _remember(self._mended, record.incident, record.time_ns)
        if record.type != _REFUSED or record.data.get("reason") != HeldReason.APPROVAL_EXPIRED:
            return []
        found = [(key, d) for key, (_, d) in self._asked.items() if d.id == record.decision]
        text = "nobody has answered, and the proposal has expired: "
        return [self._page("escalated", key, decision, text + decision.text) for key, decision in found]

    def _page(self, status: str, key: str, decision: Decision, text: str) -> Page:
        incident = self._incidents.get(decision.incident)
        body = page_of(status, decision, incident, text) | {"key": key}
        return Page(key if status == "asked" else f"{key}-{status}", body)


def question_key(decision: Decision) -> str:
    """The name of a question: the same for whatever decision puts it."""
    parts = (decision.environment, decision.incident, decision.cause, decision.cause_service)
    whole = "|".join((*parts, decision.chosen.playbook, decision.chosen.target))
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def page_of(status: str, decision: Decision, incident: Incident | None, text: str) -> dict[str, Any]:
    """A page: the cause first, with its path and evidence, then what could be done, and how to say so."""
    leading = None
    if incident is not None:
        same = [c for c in incident.candidates if (c.service, c.kind) == (decision.cause_service, decision.cause)]
        leading = next(iter(same), None)
    offered = bool(decision.chosen.target)
    return {
        "status": status,
        "summary": text,
        "environment": decision.environment,
        "incident": decision.incident,
        "severity": "" if incident is None else str(incident.severity),
        "cause": {
            "service": decision.cause_service,
            "kind": str(decision.cause),
            "probability": decision.cause_probability,
        },
        "path": [] if leading is None else list(leading.path),
        "evidence": [] if leading is None else [e.text for e in leading.evidence[:EVIDENCE]],
        "suffering": [] if incident is None else list(incident.blast_radius),
        "options": [
            {"playbook": o.playbook, "target": o.target, "score": o.score, "why": o.why}
            for o in decision.options[:OPTIONS]
        ],
        "decision": decision.id,
        "approve": f"homeostat approve {shlex.quote(decision.id)}" if offered else "",
        "deny": f"homeostat deny {shlex.quote(decision.id)}" if offered else "",
    }


def _remember(known: OrderedDict[str, Any], key: str, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > REMEMBERED:
        known.popitem(last=False)
