"""The state of the world that a decision is taken in: values only, with a hash, so that a decision can be taken again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from contracts.events import Control, Incident
from contracts.features import REQUEST_RATE
from contracts.ports import RunEntry, TargetState
from contracts.settings import ActSettings, DecideSettings, DetectSettings
from contracts.verdicts import CauseKind, ProbeFinding
from playbooks.guards import OTHERS_ALONE, CircuitLimits, NamedTargets, Ourselves, Standing, named_targets
from playbooks.language.model import Playbook
from playbooks.learning import Posteriors, Prediction

_ENCODER = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What telemetry last said of a service: who it is, features, expected ranges."""

    version: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)


def as_called(view: ServiceView, standing: Standing | None) -> ServiceView:
    """The same; where a service does not tell how many requests it serves, as many as its callers' calls."""
    asked = None if standing is None else standing.called
    if asked is None or REQUEST_RATE in view.values:
        return view
    values, high = {**view.values, REQUEST_RATE: asked.rate}, {**view.high, REQUEST_RATE: asked.most}
    return replace(view, values=values, high=high)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A remedy tried for this incident before. `outcome` is the verified outcome or the run's state, in its own word."""

    decision: str
    playbook: str
    target: str
    outcome: str
    time_ns: int
    well: bool = False
    """Whether all was seen to be well afterwards, whoever mended it."""
    probed: ProbeFinding | None = None
    told: str = ""
    cause: CauseKind = CauseKind.UNKNOWN
    """What it told, where it was a probe, in words, and of which kind of cause."""

    @property
    def helped(self) -> bool:
        """Whether it was verified to have helped."""
        return self.outcome in ("better", "succeeded")

    @property
    def over(self) -> bool:
        """Whether nothing was left to be repaired."""
        return self.helped or self.well


@dataclass(frozen=True, slots=True)
class Earlier:
    """An incident that began before the one to be decided, and is not over: its leading cause, and whether a remedy for it is under way.
    What came after it may come of it."""

    incident: str
    service: str
    kind: CauseKind
    mending: bool


@dataclass(frozen=True, slots=True)
class DecisionLimits:
    """Limits that are not a playbook's own. `stale_s`: telemetry, or an incident that nothing confirms, older than this is no
    ground to act on; `decision_expiry_s`: the executor begins no decision older than this; `named`: what playbooks may call by
    name, None where anything may be."""

    max_concurrent: int = 1
    circuit: CircuitLimits = field(default_factory=CircuitLimits)
    stale_s: float = 30.0
    decision_expiry_s: float = 120.0
    named: NamedTargets | None = None
    ourselves: Ourselves = field(default_factory=Ourselves)


def limits_of(act: ActSettings, detect: DetectSettings) -> DecisionLimits:
    """The limits in the settings."""
    circuit = CircuitLimits(act.circuit_failures, act.circuit_reset_s)
    others = Ourselves(OTHERS_ALONE, act.others_pause_s)
    return DecisionLimits(
        act.max_concurrent, circuit, detect.stale_s, act.decision_expiry_s, named_targets(act), others
    )


@dataclass(frozen=True, slots=True)
class DecisionWorld:
    """Everything a decision depends on besides the incident, the playbooks and the settings.

    `number` counts the decisions on this incident from 1. `heard_ns` is when telemetry of the environment last came in.
    """

    now_ns: int
    number: int
    heard_ns: int
    posteriors: Posteriors
    targets: Mapping[str, TargetState | None] = field(default_factory=dict)
    services: Mapping[str, ServiceView] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """How each suspected service has answered since the onset."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """Of each suspected service whose trouble has passed by the newest windows: how that is known."""
    history: tuple[RunEntry, ...] = ()
    """Runs of the last week, open ones included, and own decisions that have no run yet."""
    known_services: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    """Services that have served requests for some minutes (`playbooks.guards.serving`)."""
    actions: frozenset[str] | None = None
    controls: tuple[Control, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    earlier: tuple[Earlier, ...] = ()
    """Incidents that this one may be an after-effect of, the earliest first."""
    predictions: tuple[Prediction, ...] = ()
    limits: DecisionLimits = field(default_factory=DecisionLimits)
    untold_s: float = 0.0
    """Seconds for which nobody has told how targets are and what is under way; 0: it is known."""
    learning_ns: int = 0
    """Event time for which telemetry of the environment has been heard of, where that is not long yet; 0 where it is."""
    confirmed_ns: int = 0
    """When telemetry last said that a service of the incident is anomalous: until then the diagnosis is of the present."""
    reached_ns: int = 0
    """How far event time has come; 0 where nothing has been heard."""
    well_ns: int = 0
    """Since when users have been served as before, though the incident hurt them; 0 while they are not."""

    @property
    def at_work(self) -> tuple[str, ...]:
        """The services of which shares are taken. Before any has served for long enough those that were heard of: what is begun is
        held to the others again, right before its effect."""
        return self.serving or self.known_services


def world_hash(
    incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook], settings: DecideSettings
) -> str:
    """SHA-256 over the canonical JSON of all that a decision depends on."""
    whole: list[Any] = [
        incident,
        world,
        sorted(playbooks, key=lambda p: p.name),
        settings.model_dump(mode="json", exclude={"recorded"}),
    ]
    return hashlib.sha256(_ENCODER.encode(whole)).hexdigest()
