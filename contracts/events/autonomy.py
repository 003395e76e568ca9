"""Events about what was decided and done: decisions, approvals, audit records, feedback, control, nodes."""

from __future__ import annotations

import msgspec

from contracts.events.codec import Event
from contracts.events.telemetry import OURSELVES, FlagChange
from contracts.verdicts import (
    AdoptionVerdict,
    Autonomy,
    CauseKind,
    DecisionVerdict,
    HeldReason,
    Outcome,
    ProbeFinding,
    RunState,
    VerdictKind,
)


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """One term of an option's score."""

    name: str
    value: float
    text: str = ""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that could be done: a playbook on a target, "do nothing", or "ask a person"."""

    playbook: str  # playbook name, or "do-nothing" / "ask-a-person"
    playbook_version: str = ""
    target: str = ""
    tier: int = 0
    score: float
    success_probability: float = 0.0
    terms: tuple[Term, ...] = ()
    held: HeldReason | None = None
    held_text: str = ""
    why: str = ""
    """Why it won or lost, in words."""


class Decision(Event, frozen=True, kw_only=True):
    """Every option with its score, the chosen one, and the state of the world it was taken in.

    The same `world_hash` gives the same decision. `target` and `cause` are of the leading candidate.
    """

    id: str
    incident: str
    environment: str
    time_ns: int
    verdict: DecisionVerdict
    autonomy: Autonomy
    cause: CauseKind
    cause_service: str
    cause_probability: float
    onset_ns: int
    chosen: Option
    options: tuple[Option, ...]
    world_hash: str
    text: str
    cause_instance: str = ""
    """The one instance of the cause's service that is sick while all others are well (`Candidate.instance`)."""
    cause_flag: FlagChange | None = None
    cause_caller: str = ""
    cause_callee: str = ""
    """The flag that was changed, and whose calls of whom are amiss, of the cause that is acted on (`Candidate`)."""
    cause_node: str = ""
    """The node that is the cause, where one is (`Candidate.node`)."""
    cause_sickest: str = ""
    """The sickest of the instances, where all of them are sick alike (`Candidate.sickest`)."""
    cause_zone: str = ""
    """The zone that is the cause, where one is and no single node (`Candidate.zone`)."""


class Approval(Event, frozen=True, kw_only=True):
    """A person's answer. `by` is who signed in.

    `digest` is SHA-256 (hex) over the bytes of the decision that was read: it proves that the answer comes after it, and is
    about exactly that. Without it `time_ns` must not be before the decision's.
    """

    decision: str
    environment: str
    approve: bool
    by: str
    time_ns: int
    comment: str = ""
    digest: str = ""


class ActionRecord(Event, frozen=True, kw_only=True):
    """The data of one CloudEvent on autonomous.actions: one state change of a run.

    `previous` is the `digest` of the record before it in the same environment's chain; `digest` is SHA-256 over the
    record with `digest` empty. `sequence` counts from 1 within the environment.
    """

    id: str
    type: str  # io.homeostat.run.<state> or io.homeostat.step.<phase>
    environment: str
    sequence: int
    time_ns: int
    run: str
    decision: str
    incident: str
    playbook: str
    playbook_version: str
    target: str
    state: RunState
    actor: str
    text: str
    step: str = ""
    data: dict[str, str | int | float | bool | None] = {}
    previous: str = ""
    digest: str = ""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One feature before the fault, at its worst, after the action, and what was expected."""

    service: str
    feature: str
    baseline: float | None
    during: float | None
    after: float | None
    low: float | None
    high: float | None
    better: bool
    text: str = ""


class Feedback(Event, frozen=True, kw_only=True):
    """The verified outcome of a run, with numbers, or a person's verdict on it."""

    run: str
    decision: str
    incident: str
    environment: str
    playbook: str
    cause: CauseKind
    target: str
    outcome: Outcome
    time_ns: int
    measures: tuple[Measure, ...]
    text: str
    by: str = OURSELVES
    credit: float = 1.0
    """How much of the outcome the action can claim (0..1): less where it was recovering anyway, or untouched peers did too."""
    well: bool = False
    """Whether all that was watched was well again at the end, whoever mended it."""
    probed: ProbeFinding | None = None
    """What the run told, where it was a probe: of the cause, not of whether users are better off. Its outcome is then `inconclusive`."""


class Adoption(Event, frozen=True, kw_only=True):
    """A person's word on the new level of a service: whether it is the new normal.

    It holds for the whole service until another word on it; `time_ns` is when it was given.
    """

    environment: str
    service: str
    verdict: AdoptionVerdict
    by: str
    time_ns: int
    comment: str = ""


class IncidentVerdict(Event, frozen=True, kw_only=True):
    """A person's verdict on what was detected: that an incident was a false alarm or right, or that one was missed.

    `id` is what it is about: an incident's id, or `missed:SERVICE@TIME`. One holds per id, the newest by `time_ns` (when it was
    given), so that it may come in any order and as often as it likes. `about_ns`: when the incident began.
    """

    id: str
    environment: str
    verdict: VerdictKind
    by: str
    time_ns: int
    about_ns: int
    service: str = ""
    """Whom nothing was told of, where an incident was missed."""
    comment: str = ""


class Control(Event, frozen=True, kw_only=True):
    """Kill switch and autonomy mode of a scope: an environment, or "*" for all.

    The order of switches is that of the log, per partition; `time_ns` is for people. `initial` says that an installation has
    begun, in which nobody had said anything yet; it is nothing beside what people say.
    """

    scope: str
    acting: bool
    autonomy: Autonomy
    by: str
    time_ns: int
    reason: str = ""
    initial: bool = False


class NodeStatus(Event, frozen=True, kw_only=True):
    """One process: what it is, how it is, and which switches it follows.

    `controls`: by partition of autonomous.control, the offset after the last record that it follows. `stopped`: the scopes in
    which it does not act, with who stopped it and why. `effects`: runs that have an effect under way at this moment.
    """

    node: str
    stage: str
    lifecycle: str  # starting | recovering | running | stopping | stopped | failed
    healthy: bool
    time_ns: int
    consumes: tuple[str, ...] = ()
    produces: tuple[str, ...] = ()
    partitions: tuple[int, ...] = ()
    software: str = ""
    text: str = ""
    condition: str = ""
    """What it is doing, in one word: starting, joining, recovering, working, standing_by, stuck, stopping."""
    lacks: tuple[str, ...] = ()
    """What it lacks, in words; `healthy` is false then."""
    behind_s: float = 0.0
    """Age of the oldest message that waits to be read."""
    lag: dict[str, int] = {}
    """Messages that wait to be read, by topic."""
    controls: dict[str, int] = {}
    stopped: dict[str, str] = {}
    effects: tuple[str, ...] = ()
