"""What a trial is worth: each fault, alarm, incident and act of it, judged by the truth. One row per fault, and counts for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.actions import installed_actions
from homeostat.judge.trial import ActSeen, AlarmSeen, FaultSeen, IncidentSeen, Trial
from twin.truth import HARM

GRACE_S: Final = 60.0
"""For so long after a fault is gone what is said still belongs to it."""
WARM_S: Final = 40.0
SOON_S: Final = 120.0
"""Users have to be well so soon after an act that repaired something."""
HARD_HARM: Final = 0.15
HARD_RATE: Final = 50.0
HARD_S: Final = 3
"""A fault is hard where so many of the users are hurt within so many seconds, and a root was asked for so many requests per second."""
WORSE: Final = 0.02
"""By so much more of the users are hurt after a harmful act."""


class FaultRow(msgspec.Struct, frozen=True):
    """One fault that hurt users. Times in seconds from when it began to hurt; None where that never came."""

    case: str
    by: str
    kind: str
    level: str
    style: str
    services: int
    size: float
    repairable: bool
    """Whether something that can be done, to what something can be done to, repairs it."""
    """Whether an action that is installed repairs it."""
    hard: bool
    """Whether many are hurt at once, at much traffic."""
    known: bool
    """Whether an alarm opened, or was already open on a root when the harm began: who is ill already gets no second alarm."""
    found_s: float | None
    after_arrival_s: float | None
    """The same, from when telemetry of the harm could have arrived at the earliest: what its senders delay is not ours to save."""
    incident_s: float | None
    alarms: int
    incidents: int
    open_after_s: float | None
    still_open: bool
    first: bool
    among_three: bool
    told: bool
    path_right: bool
    kind_right: bool
    first_right: bool | None
    """Whether the first act on it was a right one; None where nothing was done."""
    repaired: bool
    well_s: float
    ended_well: bool


class TrialRow(msgspec.Struct, frozen=True):
    """The rest of a trial: what was said and done where nothing was wrong, and how sure it was."""

    case: str
    by: str
    style: str
    services: int
    seconds: int
    calm_service_s: float
    """Services × seconds in which no fault was there and nobody was hurt."""
    false_alarms: int
    true_alarms: int
    false_incidents: int
    true_incidents: int
    harmless_alarms: int
    """Alarms about faults that hurt nobody."""
    acts: int
    needless: int
    wrong: int
    harmful: int
    failed: int
    asks: int
    calm_asks: int
    hurt_s: float
    """Users' seconds: the sum of harm over time."""
    surety: tuple[tuple[float, bool], ...]
    """(probability of the leading cause, whether it was a root) of each incident when first fit to act on."""
    hopes: tuple[tuple[float, bool], ...]
    """(probability of success of what was decided, whether it was right)."""
    cpu_s: float


def fault_rows(trial: Trial) -> list[FaultRow]:
    """Faults of a trial that hurt users."""
    return [_fault(trial, f) for f in trial.faults if f.hurt_from_s is not None]


def _ends(trial: Trial, fault: FaultSeen) -> float:
    return min(float(trial.seconds), (fault.gone_s if fault.gone_s is not None else trial.seconds) + GRACE_S)


def belongs(alarm: AlarmSeen, fault: FaultSeen, end_s: float) -> bool:
    """Whether an alarm is about a fault: on a service that it reaches, while it is there or shortly after."""
    return (
        not alarm.telemetry
        and fault.begin_s <= alarm.opened_s < end_s
        and (alarm.service in fault.path or alarm.peer in fault.roots)
    )


def _fault(trial: Trial, fault: FaultSeen) -> FaultRow:
    hurt_s, end_s = fault.hurt_from_s or fault.begin_s, _ends(trial, fault)
    alarms = [a for a in trial.alarms if belongs(a, fault, end_s)]
    incidents = [i for i in trial.incidents if _about(i, fault, end_s)]
    told = [i for i in incidents if i.final or i.settled]
    leading = (told[0].settled or told[0].final) if told else ()
    first = bool(leading) and leading[0].service in fault.roots
    acts = [a for a in trial.acts if fault.begin_s <= a.at_s < end_s and not a.failed]
    right = [a for a in acts if _right(a, fault)]
    opened_s = min((a.opened_s for a in alarms), default=None)
    until = fault.hurt_until_s if fault.hurt_until_s is not None else hurt_s
    after = [i.resolved_s - until for i in incidents if i.resolved_s is not None]
    return FaultRow(
        case=trial.case,
        by=trial.by,
        kind=fault.kind,
        level=fault.level,
        style=trial.style,
        services=trial.services,
        size=fault.size,
        repairable=any(action in installed_actions() and target in trial.own for action, target in fault.repairs),
        hard=fault.rate >= HARD_RATE and max(trial.harm[int(hurt_s) :][:HARD_S], default=0.0) >= HARD_HARM,
        known=bool(alarms) or any(_open_on(a, fault, hurt_s) for a in trial.alarms),
        found_s=opened_s - hurt_s if opened_s is not None else None,
        after_arrival_s=opened_s - (fault.arrives_s or hurt_s + 1.0) if opened_s is not None else None,
        incident_s=min(i.opened_s for i in incidents) - hurt_s if incidents else None,
        alarms=len(alarms),
        incidents=len(incidents),
        open_after_s=max(after) if after and len(after) == len(incidents) else None,
        still_open=len(after) < len(incidents),
        first=first,
        among_three=any(s.service in fault.roots for s in leading),
        told=bool(leading),
        path_right=first and set(leading[0].path) <= set(fault.path),
        kind_right=first and leading[0].kind in fault.causes,
        first_right=_right(acts[0], fault) if acts else None,
        repaired=any(_well_after(trial, a) for a in right),
        well_s=until - hurt_s,
        ended_well=until < trial.seconds - 10,
    )


def _open_on(alarm: AlarmSeen, fault: FaultSeen, at_s: float) -> bool:
    """Whether an alarm on a root of a fault is open at a time."""
    on = alarm.opened_s <= at_s and (alarm.closed_s is None or alarm.closed_s > at_s)
    return on and not alarm.telemetry and bool({alarm.service, alarm.peer} & set(fault.roots))


def _about(incident: IncidentSeen, fault: FaultSeen, end_s: float) -> bool:
    """Whether an incident is about a fault; one that was there before and goes on is another one's."""
    named = {*incident.services, *(s.service for s in incident.final), *(s.peer for s in incident.final)}
    return fault.begin_s <= incident.opened_s < end_s and bool(named & (set(fault.path) | set(fault.roots)))


def _right(act: ActSeen, fault: FaultSeen) -> bool:
    """Whether an act is a repair of a fault, or begins it: to restart one instance, as a probe does, where a restart of all is the repair. Where it
    isn't (a flag, a hot key), one instance is one too many: wrong like any other."""
    return (act.action, act.service) in fault.repairs


def _well_after(trial: Trial, act: ActSeen) -> bool:
    """Whether users are well within `SOON_S` of an act, and stay so for ten seconds."""
    harm = trial.harm[int(act.at_s) : int(act.at_s + SOON_S + 10)]
    return any(all(h < HARM for h in harm[i : i + 10]) for i in range(max(len(harm) - 10, 0)))


def trial_row(trial: Trial) -> TrialRow:
    """All of a trial but its faults."""
    spans = [(f.begin_s, _ends(trial, f), f) for f in trial.faults]
    calm_s = sum(not _disturbed(trial, spans, float(s)) for s in range(int(WARM_S), trial.seconds))
    alarms = [a for a in trial.alarms if not a.telemetry and a.opened_s >= WARM_S]
    false = [a for a in alarms if not _disturbed(trial, spans, a.opened_s)]
    hurting = [s for s in spans if s[2].hurt_from_s is not None]
    true = [a for a in alarms if a not in false and any(b <= a.opened_s < e for b, e, _ in hurting)]
    incidents = [i for i in trial.incidents if i.opened_s >= WARM_S]
    wrong_incidents = [i for i in incidents if not _disturbed(trial, spans, i.opened_s)]
    done = [a for a in trial.acts if not a.failed]
    needless = [a for a in done if not _disturbed(trial, spans, a.at_s)]
    right = [a for a in done if any(b <= a.at_s < e and _right(a, f) for b, e, f in spans)]
    asked = {(d.incident, d.playbook, d.target): d for d in trial.decisions if d.verdict == "ask"}
    return TrialRow(
        case=trial.case,
        by=trial.by,
        style=trial.style,
        services=trial.services,
        seconds=trial.seconds,
        calm_service_s=float(calm_s * trial.services),
        false_alarms=len(false),
        true_alarms=len(true),
        false_incidents=len(wrong_incidents),
        true_incidents=len(incidents) - len(wrong_incidents),
        harmless_alarms=len(alarms) - len(false) - len(true),
        acts=len(done),
        needless=len(needless),
        wrong=len([a for a in done if a not in needless and a not in right]),
        harmful=sum(a not in right and (a.harm_after or 0.0) > a.harm_before + WORSE for a in done),
        failed=len(trial.acts) - len(done),
        asks=len(asked),
        calm_asks=sum(not _disturbed(trial, spans, d.at_s) for d in asked.values()),
        hurt_s=float(sum(h for h in trial.harm if h >= HARM)),
        surety=tuple(_surety(trial, spans)),
        hopes=tuple(
            (d.success, any(b <= d.at_s < e and any(t == d.target for _, t in f.repairs) for b, e, f in spans))
            for d in trial.decisions
            if d.verdict == "act"
        ),
        cpu_s=trial.cpu_s,
    )


Spans = Sequence[tuple[float, float, FaultSeen]]


def _disturbed(trial: Trial, spans: Spans, at_s: float) -> bool:
    """Whether something is wrong at a time: a fault is there or just gone, or users are hurt whatever the reason."""
    if any(b <= at_s < e for b, e, _ in spans):
        return True
    near = trial.harm[max(0, int(at_s) - 5) : int(at_s) + 5]
    return any(h >= HARM for h in near)


def _surety(trial: Trial, spans: Spans) -> list[tuple[float, bool]]:
    out = []
    for incident in trial.incidents:
        if incident.settled:
            leading = incident.settled[0]
            roots = {r for b, e, f in spans if b <= incident.opened_s < e for r in f.roots}
            out.append((leading.probability, leading.service in roots))
    return out
