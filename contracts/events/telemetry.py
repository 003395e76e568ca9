"""Events about what was seen: raw measurements, changes, dead letters, anomalies, incidents.

Times named `*_ns` are epoch nanoseconds of *event* time. Services are `namespace/name` or `name`.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from contracts.events.codec import Event
from contracts.verdicts import (
    AnomalyKind,
    AnomalyPhase,
    CauseKind,
    GapKind,
    IncidentPhase,
    ModelStep,
    ServiceState,
    Severity,
)


class RawResponse(msgspec.Struct, frozen=True):
    """One response in a raw measurement."""

    status: int


class RawMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """A message on telemetry.raw; written by anyone. `timestamp` is epoch seconds (float) or ISO 8601."""

    service: str
    timestamp: float | str
    latencies_ms: list[float] = []
    responses: list[RawResponse] = []
    cpu_percent: float | None = None
    memory_mb: float | None = None
    environment: str = "default"
    version: str = ""


class DeadLetter(Event, frozen=True, kw_only=True):
    """Something that could not be read, whole. `payload` is base64 in JSON."""

    source_topic: str
    source_partition: int
    source_offset: int
    reason: str
    detail: str
    payload: bytes
    key: bytes | None = None
    time_ns: int = 0


OURSELVES: Final = "homeostat"
"""Who acted, said or verified something, where it was Homeostat itself."""
PLATFORM: Final = "platform"
"""Who changed something, where all that is known of it is that what runs the service describes it otherwise than before."""
WELL, CORDONED = "well", "cordoned"
"""`after` of a change of a node that is no trouble: it is well again, or somebody lets it take no new pods."""


class Change(Event, frozen=True, kw_only=True):
    """A deploy, a configuration change, a scaling (also our own: `actor` is "homeostat"), or what befell a service's instances.

    Whoever reads it must bear with kinds it doesn't know.
    """

    environment: str
    service: str
    kind: str  # deploy | config | flag | scale | restart | rollback | delete | oom | eviction | scheduling | start | probe | node | other, or the action of a plugin
    time_ns: int
    actor: str = ""
    before: str = ""
    after: str = ""
    text: str = ""
    run: str = ""
    subject: str = ""
    """What exactly changed, where a service has several of it: `pod/shop/cart-7d9f-x2x`, `deployment/shop/cart`, `flag/new-checkout`."""


class FlagChange(msgspec.Struct, frozen=True, kw_only=True):
    """A feature flag of a service that was given another value, as whoever tells of changes has it."""

    name: str
    before: str
    after: str


def flag_of(change: Change) -> FlagChange | None:
    """The flag that a change is about; None where it is about none, or does not name it."""
    name = change.subject.removeprefix("flag/") if change.kind == "flag" else ""
    return FlagChange(name=name, before=change.before, after=change.after) if name else None


def fewer(change: Change) -> bool:
    """Whether a change took instances of a service away."""
    counts = (change.before, change.after)
    return (
        change.kind == "scale" and all(c.isascii() and c.isdigit() for c in counts) and int(counts[1]) < int(counts[0])
    )


class ClockOffset(Event, frozen=True, kw_only=True):
    """How far the clock of a sender is off: `offset_ns` below 0 is behind. It is a fact of telemetry, not of the service.

    Found by `pairs` spans that began before those that called them. Told again while it is true, and with 0 when it is over.
    """

    environment: str
    service: str
    instance: str
    offset_ns: int
    time_ns: int
    pairs: int


class EvidenceGap(msgspec.Struct, frozen=True, kw_only=True):
    """What is missing in the telemetry of a service; `text` says how that is known, with its figures.

    Not `certain`: it may be as it should be (who calls nobody sends no client spans).
    """

    service: str
    kind: GapKind
    text: str
    certain: bool = True


class TelemetryGaps(Event, frozen=True, kw_only=True):
    """All that is missing in the telemetry of one service at `time_ns` (by the clock); none once all is there, or the service is gone.

    Told when it changes, and again every ten minutes. It is a fact of telemetry, not of the service.
    """

    environment: str
    service: str
    time_ns: int
    gaps: tuple[EvidenceGap, ...]


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One feature's part in an anomaly. `decades` is signed: positive where higher than expected.

    `share` is the share of the anomaly's decades that it accounts for (below 0: it speaks against it); those of all contributions add up to 1,
    so that `share` times the anomaly's `decades`, summed, are these. An adoption has none.

    `value` is the mean over about the last `window_s` seconds (0: one window), and lies outside of `low`..`high`, the range
    expected of such a mean: the numbers are those that the evidence rests on. In an adoption they are the new level and the
    range that was expected before.
    """

    signal: str
    feature: str
    value: float | None
    low: float
    high: float
    decades: float
    share: float
    window_s: float = 0.0


class HarmAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A feature that rises steadily, and when it will hurt at this rate: its newest smoothed `value`, the level `hurts`, and in how many
    seconds from the anomaly's `time_ns` on it is there: about, and the ends of the interval."""

    signal: str
    feature: str
    value: float
    hurts: float
    seconds: float
    soonest_s: float
    latest_s: float


class Anomaly(Event, frozen=True, kw_only=True):
    """A service (or edge, `peer` set) departs from what its model expects: one event per phase, one `id` per episode.

    With `kind` telemetry it is not about a service: telemetry of `service` stopped coming, which is a service, `node:` and a
    node's name, or `*` for all of the environment. No incident follows from it and nothing is done because of it.
    """

    id: str
    environment: str
    service: str
    phase: AnomalyPhase
    state: ServiceState
    onset_ns: int
    time_ns: int
    p_value: float
    decades: float
    contributions: tuple[Contribution, ...]
    detector: str
    model_version: str
    text: str
    peer: str = ""
    late_ns: int = 0
    by: str = OURSELVES
    """Who ended it: a person, where one took the new level for normal or refused it."""
    kind: AnomalyKind = AnomalyKind.SERVICE
    pooled_s: float = 0.0
    """Seconds that its evidence is pooled over, where there are too few requests for single windows to show anything; else 0."""
    operation: str = ""
    """The route, method, topic or kind of statement that it is about, where it is about one of the service's operations alone."""
    forecasts: tuple[HarmAhead, ...] = ()
    """Harm that is foreseen of what rises."""
    members: tuple[str, ...] = ()
    """The member whose word counted where it was not the leader's, by name and version of its model: `river@3`. Of kind model: the model that
    it is about, and the one that it is compared with."""
    step: ModelStep | None = None
    """Of kind model: what became of it."""
    early: bool = False
    """Whether it opened by what had come so far of the window that begins at `time_ns`: more of its evidence is to come."""


def anomaly_id(kind: str, *parts: object) -> str:
    """`kind` and a digest of what makes an anomaly this one: the same wherever and whenever it is computed."""
    said = "\0".join(map(str, parts)).encode()
    return f"{kind}-{hashlib.blake2b(said, digest_size=8).hexdigest()}"


class PathStep(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of a causal path: `service` shows `symptom`, because of the next step."""

    service: str
    symptom: str
    edge: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for (positive weight) or against (negative) a candidate; `text` is what an operator reads."""

    channel: str
    weight: float
    text: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A possible root cause. `ruled_out` says in words why it lost; "" for the leading one."""

    service: str
    kind: CauseKind
    probability: float
    evidence: tuple[Evidence, ...]
    path: tuple[PathStep, ...]
    ruled_out: str = ""
    peer: str = ""
    operation: str = ""
    """The operation of the service that stands out, where one does."""
    instances: int = 0
    """How many of its instances are compared; 0 where nothing is told of them (a single one, or none that fares otherwise than before)."""
    instance: str = ""
    """The one of them that is sick while all others are well, by the name its platform has for it."""
    alike: int = 0
    """How many are sick, where all are, alike: then it is nothing of a single instance's own."""
    sickest: str = ""
    """The sickest of those that are sick alike, by the name its platform has for it."""
    flag: FlagChange | None = None
    """The one flag of the service that was changed shortly before, and is as it was changed to."""
    caller: str = ""
    callee: str = ""
    """Whose calls of whom are amiss, where the cause is one path between two services: one of them is the candidate, the other its peer. Nothing
    where several calls of one service are amiss at once: that is no path's doing."""
    node: str = ""
    """Of a cause of the kind `node`: what several services run on, by the name that telemetry or the cluster has for it. `service` is then the
    one of them that is to be looked after first."""
    zone: str = ""
    """Of a cause of the kind `node`: the zone, where it is all of that and no single node."""
    there: tuple[str, ...] = ()
    """Of a cause of the kind `node`: the services that are sick there."""


class Strictness(Event, frozen=True, kw_only=True):
    """How much more than usual is asked for in an environment before an anomaly opens, and why; what came of its incidents.

    `strictness` is in decades: 1 asks for evidence that is ten times rarer by chance, below 0 for less than usual. `opened` and what
    follows are of the last week; an incident that nobody says anything of and that no repair has verified is unknown, not right.
    """

    environment: str
    time_ns: int
    strictness: float
    accepted: float | None
    """False incidents per week that the settings accept. Null: as many as are expected."""
    expected: float
    """False incidents per week that are expected of so many services where nothing is asked for beyond what is usual."""
    services: int
    of_budget: float
    of_verdicts: float
    """Decades that follow of the budget, and of what people said; their sum is bounded."""
    false_alarms: int
    missed: int
    """Verdicts that count: of the last four weeks."""
    opened: int = 0
    said_false: int = 0
    said_right: int = 0
    repaired: int = 0
    """Incidents that nobody said anything of, and that a verified repair ended."""
    unknown: int = 0
    text: str = ""


class Incident(Event, frozen=True, kw_only=True):
    """Anomalies that belong together, with their ranked causes. `text` is the story in one paragraph.

    `settled` is true once the ranking is fit to act on (enough evidence seen since onset). `gaps` are those of the telemetry of its
    candidates and of the services on their paths: what could not be seen.
    """

    id: str
    environment: str
    phase: IncidentPhase
    severity: Severity
    onset_ns: int
    time_ns: int
    revision: int
    anomalies: tuple[str, ...]
    services: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    blast_radius: tuple[str, ...]
    confidence: float
    settled: bool
    text: str
    changes: tuple[Change, ...] = ()
    gaps: tuple[EvidenceGap, ...] = ()
    felt: Severity | None = None
    """How bad it is for users lately; `severity` is how bad it has been. Null where that was not looked at."""
    since_ns: int = 0
    """The onset that the ranking looks from: of what its leading candidate answers for, which may have begun long after the incident. 0 where that
    is not told."""

    @property
    def ranked_from_ns(self) -> int:
        """The onset that whatever is said of the candidates compares with."""
        return self.since_ns or self.onset_ns
