"""What came of a fault of a drill: who was named, what was done or asked, and when guests were well, each judged by the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from contracts.events import ActionRecord, Anomaly, Candidate, Decision, Incident
from contracts.verdicts import AnomalyKind, AnomalyPhase, DecisionVerdict, IncidentPhase
from homeostat.demo.clients import Normal
from homeostat.demo.load import Second
from homeostat.demo.watching import INTENT, EventsSeen
from homeostat.drills.faults import DrillFault
from homeostat.drills.system_plan import SystemDesign

GOOD_SECONDS = 6
"""Guests are well after so many good seconds in a row: a fault that fails one in twenty leaves good seconds between bad ones."""


class ActJudged(msgspec.Struct, frozen=True):
    """Something that was done, and whether it was right, worth trying (`tried`), wrong or needless."""

    at_s: float
    action: str
    target: str
    judged: str


class DrillRow(msgspec.Struct, frozen=True):
    """A fault and what came of it, in seconds after it. `named` at the opening of the incident, `settled` when fit to act on."""

    fault: str
    detected_s: float | None
    named: str
    settled: str
    kind: str
    first: bool
    first_settled: bool
    kind_right: bool
    acts: tuple[ActJudged, ...]
    asked: tuple[str, ...]
    felt_s: float | None
    well_s: float | None
    passed: bool

    def line(self) -> str:
        """A line for who waits."""
        did = "; ".join(f"{a.action} {a.target} ({a.judged}, {a.at_s:.0f} s)" for a in self.acts) or "nothing done"
        asked = f"; asked: {', '.join(self.asked)}" if self.asked else ""
        named = f"{self.named} → {self.settled} ({self.kind})" if self.named else "nobody named"
        found = "not noticed" if self.detected_s is None else f"noticed {self.detected_s:.1f} s"
        return f"{self.fault}: {found}, {named}; {did}{asked}; felt {_s(self.felt_s)}, well {_s(self.well_s)}"


def row_of(
    fault: DrillFault,
    system: SystemDesign,
    heard: EventsSeen,
    seconds: Sequence[Second],
    normal: Normal,
    before: AbstractSet[str] = frozenset(),
) -> DrillRow:
    """Judge what was heard since the fault began. `before`: incidents that were open by then, which are of something else."""
    opened = heard.first(Incident, lambda i: _of_it(i, before))
    settled = heard.first(Incident, lambda i: i.settled and _of_it(i, before))
    alarm = heard.first(Anomaly, lambda a: a.phase is AnomalyPhase.OPENED and a.kind is AnomalyKind.SERVICE)
    lead = settled[1].candidates[0] if settled else opened[1].candidates[0] if opened else None
    felt, well = _felt_and_well(seconds, normal, heard.began)
    acts = tuple(_acts(fault, system, heard))
    asked = tuple(_asked(heard))
    first = opened is not None and _is_root(fault, system, opened[1].candidates[0].service)
    first_settled = lead is not None and _is_root(fault, system, lead.service)
    return DrillRow(
        fault.name,
        None if alarm is None else round(alarm[0], 1),
        opened[1].candidates[0].service if opened else "",
        _said(lead),
        lead.kind.value if lead else "",
        first,
        first_settled,
        lead is not None and lead.kind in fault.causes,
        acts,
        asked,
        felt,
        well,
        _passed(fault, acts, asked, felt, well),
    )


def _of_it(incident: Incident, before: AbstractSet[str]) -> bool:
    return incident.phase is not IncidentPhase.RESOLVED and bool(incident.candidates) and incident.id not in before


def _passed(
    fault: DrillFault, acts: tuple[ActJudged, ...], asked: tuple[str, ...], felt: float | None, well: float | None
) -> bool:
    """Mended at the first attempt, or asked and left alone; nothing at all where nothing is wrong."""
    if any(a.judged in {"wrong", "needless"} for a in acts):
        return False
    if not fault.roots:
        return not asked
    if fault.heals:
        return True
    if fault.right:
        return (bool(acts) and acts[0].judged == "right" and well is not None) or felt is None
    return bool(asked)


def _acts(fault: DrillFault, system: SystemDesign, heard: EventsSeen) -> Iterable[ActJudged]:
    def named(remedies: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        return {(action, system.identity(service)) for action, service in remedies}

    right, tried = named(fault.right), named(fault.tried)
    for at, event in heard.events:
        if isinstance(event, ActionRecord) and event.type == INTENT:
            done = (str(event.data.get("action", "")), event.target)
            if done[0] in {"", "wait", "webhook"}:
                continue
            judged = "right" if done in right else "tried" if done in tried else "wrong" if fault.roots else "needless"
            yield ActJudged(round(at - heard.began, 1), *done, judged)


def _asked(heard: EventsSeen) -> Iterable[str]:
    seen = set()
    for d in heard.all(Decision, lambda d: d.verdict is DecisionVerdict.ASK):
        text = f"{d.chosen.playbook or 'nothing known'} for {d.cause_service} ({d.cause.value})"
        if text not in seen:
            seen.add(text)
            yield text


def _felt_and_well(seconds: Sequence[Second], normal: Normal, began: float) -> tuple[float | None, float | None]:
    after = [s for s in seconds if s.at >= began - 1]
    bad = [i for i, s in enumerate(after) if normal.hurts(s)]
    if not bad:
        return None, None
    felt = max(0.0, after[bad[0]].at + 1 - began)
    good = len(after) - bad[-1] - 1
    return round(felt, 1), round(after[bad[-1]].at + 1 - began, 1) if good >= GOOD_SECONDS else None


def _is_root(fault: DrillFault, system: SystemDesign, service: str) -> bool:
    for root in fault.roots:
        name = system.identity(root)
        if service == name or ("/" not in name and name in service):
            return True
    return False


def _said(candidate: Candidate | None) -> str:
    return "" if candidate is None else candidate.service + (f" by {candidate.peer}" if candidate.peer else "")


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"
