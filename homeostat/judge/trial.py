"""What came of one episode: its truth, and what the product said and did, in seconds of the episode. Kept as JSON, a line each."""

from __future__ import annotations

import msgspec

from twin.episode import SimulatedEpisode


class RankedCause(msgspec.Struct, frozen=True):
    """A candidate cause as an incident ranked it."""

    service: str
    kind: str
    probability: float
    path: tuple[str, ...] = ()
    peer: str = ""


class AlarmSeen(msgspec.Struct):
    """An anomaly's life, in seconds of the episode. `onset_s` is when it says to have begun."""

    id: str
    service: str
    peer: str
    opened_s: float
    onset_s: float
    feature: str
    telemetry: bool = False
    closed_s: float | None = None
    text: str = ""


class IncidentSeen(msgspec.Struct):
    """An incident's life. `settled` are its three leading candidates when it was first fit to act on, `final` when it was last told of."""

    id: str
    opened_s: float
    services: tuple[str, ...] = ()
    settled_s: float | None = None
    settled: tuple[RankedCause, ...] = ()
    final: tuple[RankedCause, ...] = ()
    resolved_s: float | None = None
    text: str = ""


class DecisionSeen(msgspec.Struct, frozen=True):
    """A decision."""

    at_s: float
    incident: str
    verdict: str
    playbook: str
    target: str
    cause: str
    cause_service: str
    probability: float
    success: float
    text: str


class ActSeen(msgspec.Struct, frozen=True):
    """An effect on the system, and the harm (share of users) around it."""

    at_s: float
    action: str
    service: str
    failed: bool
    harm_before: float
    harm_after: float | None


class FaultSeen(msgspec.Struct, frozen=True):
    """What was really wrong (`twin.truth.FaultTruth`)."""

    kind: str
    level: str
    service: str
    roots: tuple[str, ...]
    causes: tuple[str, ...]
    repairs: tuple[tuple[str, str], ...]
    path: tuple[str, ...]
    begin_s: float
    size: float
    hurt_from_s: float | None
    hurt_until_s: float | None
    gone_s: float | None
    rate: float = 0.0
    arrives_s: float | None = None


class Trial(msgspec.Struct):
    """All that came of an episode. `harm` is per second."""

    case: str
    style: str
    services: int
    calls: int
    users_per_s: float
    seconds: int
    acting: bool
    fidelity: str = "window"
    by: str = "homeostat"
    faults: tuple[FaultSeen, ...] = ()
    operations: tuple[tuple[float, str, str], ...] = ()
    alarms: list[AlarmSeen] = []
    incidents: list[IncidentSeen] = []
    decisions: list[DecisionSeen] = []
    acts: tuple[ActSeen, ...] = ()
    outcomes: list[str] = []
    harm: tuple[float, ...] = ()
    cpu_s: float = 0.0
    simulator_cpu_s: float = 0.0
    dead_letters: int = 0
    own: tuple[str, ...] = ()
    """Services that something can be done to."""


def trial_of(episode: SimulatedEpisode, *, acting: bool = True) -> Trial:
    """A trial of an episode, before anything has happened."""
    plan = episode.plan
    return Trial(
        case=episode.name,
        style=plan.style,
        services=len(plan.services),
        calls=len(plan.calls),
        users_per_s=round(sum(e.rate for e in plan.entries), 2),
        seconds=episode.plot.seconds,
        acting=acting,
        fidelity=episode.fidelity.name,
        own=tuple(s.name for s in plan.services if s.own),
    )
