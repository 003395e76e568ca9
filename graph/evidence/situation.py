"""What the ranking sees: services and calls around an incident, each with what changed since onset."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import msgspec

from contracts.events import Anomaly, Change
from contracts.instance_parts import ComparedInstances
from contracts.mix import Mix
from contracts.nodes import Ground
from graph.judgement import HALVED, SURE_DECADES, UNANSWERED, UNANSWERED_SHARE, WELL_KNOWN


class Shift(msgspec.Struct, frozen=True, gc=False):
    """How one feature changed from before onset to after.

    `before` and `after` are in the feature's own unit; `deviation` is the change in units of what is usual from window to
    window (signed, unit-free); `decades` is -log10 of the chance that nothing changed; `samples` the windows (for ratios:
    trials) seen since onset.
    """

    feature: str
    before: float
    after: float
    deviation: float
    decades: float
    samples: float
    samples_before: float = 0.0

    def strength(self, direction: int = 1) -> float:
        """Evidence in `direction` (+1 higher, -1 lower, 0 either): logarithm of the deviation, held back while it may be chance."""
        signed = abs(self.deviation) if direction == 0 else direction * self.deviation
        return math.log1p(max(0.0, signed) / HALVED) * min(1.0, self.decades / SURE_DECADES)

    @property
    def known(self) -> float:
        """For a rate: how well what is usual is known, from 0 to 1 with the events counted before."""
        return min(1.0, max(0.0, self.before * self.samples_before) / WELL_KNOWN) if math.isfinite(self.before) else 0.0

    @property
    def ratio(self) -> float:
        """After over before; infinite from nothing."""
        return self.after / self.before if self.before > 0 else math.inf


def risen(shift: Shift) -> float:
    """How much higher than before, in the feature's own unit; not below 0."""
    return max(0.0, shift.after - (shift.before if math.isfinite(shift.before) else 0.0))


class MissingTemplate(NamedTuple):
    """A log template (`text`) that came `seen` times since the onset, where the one it keeps step with (`after`) lets expect `expected`,
    which is so many standard deviations more; and how often it came per window, as usual and now."""

    text: str
    after: str
    expected: float
    seen: float
    sigmas: float
    usual: float
    now: float


@dataclass(frozen=True, slots=True)
class Node:
    """A service. `own`: it reports requests it serves; `observer`: it is only a client's view of another."""

    name: str
    kind: str = "service"
    own: bool = True
    observer: bool = False
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    """New log templates since onset."""
    complaints: Mapping[str, str] = field(default_factory=dict)
    """Services that the texts of its error records name, with the text that does; empty unless it writes more of those than usual."""
    onset_ns: int = 0
    """When it first looked anomalous; 0 where it does not."""
    lately: Mapping[str, float] = field(default_factory=dict)
    """Means of its span features over the last windows known of it; without those that were not observed."""
    known_ns: int = 0
    """Up to when it is known what it served; 0 where nothing is."""
    late_ns: int = 0
    """How late it is usually known what it served."""
    mix: Mix = field(default_factory=Mix)
    """What of its latency the mix of what it is asked for explains."""
    operations: tuple[Anomaly, ...] = ()
    """Its operations that stand out at the moment."""
    missing: MissingTemplate | None = None
    """The log template that is missing most, where one is."""
    instances: ComparedInstances | None = None
    """How its instances compare, where one of them fares otherwise than before."""
    grounds: tuple[Ground, ...] = ()
    """The nodes on which its instances ran at the onset, with their zones; empty where that is not known."""
    moved: bool = False
    """Whether an instance of it began to run on another node since."""

    def strength(self, *features: str, direction: int = 1) -> float:
        """The strongest of these features' evidence; 0 where none was observed."""
        return max((self.shifts[f].strength(direction) for f in features if f in self.shifts), default=0.0)

    def risen(self, *features: str) -> float | None:
        """By how much the one of these features (of one unit) that rose most did; None where none was observed."""
        return max((risen(self.shifts[f]) for f in features if f in self.shifts), default=None)


@dataclass(frozen=True, slots=True)
class Edge:
    """A call. `per_request_*` is calls per request served by the caller, NaN where that is unknown."""

    caller: str
    callee: str
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    per_request_before: float = math.nan
    per_request_after: float = math.nan
    expected: float = 0.0
    """Calls since onset, had the caller gone on calling as before for each request it served: of each route where that is known."""
    usual: float = 0.0
    """Calls since onset, had the caller also served as many requests as before."""
    observed: float = 0.0
    """Calls since onset that the callee answered."""
    attempted: float = math.nan
    """Calls since onset as the caller counts them, answered or not, by their names or by its client spans; NaN where it does neither."""
    failed: float = math.nan
    """Calls since onset that the caller's requests make which failed beyond the usual, by their routes; NaN where routes don't tell."""
    blamed: float = math.nan
    """Share of the caller's requests that failed since onset beyond the usual in which a call of this edge failed, too, by their spans; NaN
    where those don't tell."""
    known_ns: int = 0
    """Up to when it is known how many calls were answered; 0 where nothing is."""
    in_part: bool = False
    """Whether calls since onset are mostly known in part: a sampler may have left out those of some requests more than others."""
    told: float = 1.0
    """The share of the calls before of which an answer was known: `attempted` are those of which one is due."""
    asked: Shift | None = None
    """The rate of calls as the caller counts them, answered or not, where it does; else of those that were answered, where they are known."""

    @property
    def made(self) -> float:
        """Calls since onset that the caller is known to have made."""
        return self.observed if math.isnan(self.attempted) else self.attempted

    @property
    def unanswered(self) -> float:
        """Calls since onset that were made and not answered: more than are always on their way; 0 where that is not known."""
        missing = self.attempted - self.observed
        return missing if missing > max(UNANSWERED, UNANSWERED_SHARE * self.attempted) else 0.0

    def strength(self, *features: str, direction: int = 1) -> float:
        """The strongest of these features' evidence; 0 where none was observed."""
        return max((self.shifts[f].strength(direction) for f in features if f in self.shifts), default=0.0)


class Violation(NamedTuple):
    """An objective that is known to be violated: whose, and by which kind of symptom (`latency`, `errors`)."""

    service: str
    kind: str


@dataclass(frozen=True)
class Situation:
    """Everything around an incident at one moment."""

    environment: str
    onset_ns: int
    now_ns: int
    nodes: Mapping[str, Node]
    edges: Mapping[tuple[str, str], Edge]
    changes: tuple[Change, ...] = ()
    harm: tuple[Violation, ...] = ()
    """What the incident is known to be about; empty where that is to be found out."""
    stopped: Mapping[str, str] = field(default_factory=dict)
    """Services of which it was known earlier in this incident that the calls they made last all failed at one callee: by name, that callee."""
    proven: Mapping[str, float] = field(default_factory=dict)
    """Nodes and zones that were proven to be gone earlier in this incident: by name, how surely."""
    turned: tuple[Change, ...] = ()
    """Changes of feature flags, in their order, and our own among them: which value each has."""

    def age_s(self, change: Change) -> float:
        """How long before the onset a change was, in seconds; negative after it."""
        return (self.onset_ns - change.time_ns) / 1e9

    def made_s(self, change: Change) -> float:
        """How long before its service was first seen ill somebody made a change, in seconds; negative after that. Something harmless may have
        begun elsewhere before: then the incident's onset is older than what the change did."""
        node = self.nodes.get(change.service)
        ill_ns = self.onset_ns if node is None else max(self.onset_ns, node.onset_ns)
        return (ill_ns - change.time_ns) / 1e9

    def out(self, name: str) -> list[Edge]:
        """Calls that `name` makes."""
        return self._sides[0].get(name, [])

    def into(self, name: str) -> list[Edge]:
        """Calls that `name` receives."""
        return self._sides[1].get(name, [])

    @cached_property
    def _sides(self) -> tuple[dict[str, list[Edge]], dict[str, list[Edge]]]:
        made: dict[str, list[Edge]] = {}
        received: dict[str, list[Edge]] = {}
        for (caller, callee), edge in self.edges.items():
            made.setdefault(caller, []).append(edge)
            received.setdefault(callee, []).append(edge)
        return made, received
