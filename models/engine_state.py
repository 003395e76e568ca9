"""What detection knows of the services and edges of an environment, beside what its detectors do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from contracts.capacity import surplus
from contracts.events import Contribution
from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import Presence
from contracts.verdicts import ServiceState
from models.adoption import Former
from models.episodes import Episode
from models.fusion import discoveries
from models.harm import Promise
from models.judgement import HOLE_NS, VIEW_NS, VIEW_WINDOWS
from models.service.state import Slots

MOST_SERVICES: Final = 20_000
"""Services (and edges) of one environment in one partition whose state is kept."""


@dataclass(slots=True)
class SignalView:
    """The newest evidence of one signal about a service. `cadence_ns`: how far apart its windows usually are."""

    window_ns: int
    decades: float
    warm: bool
    cadence_ns: int
    contributions: list[Contribution] = field(default_factory=list)

    def counts_at(self, window_ns: int) -> bool:
        """Whether this still says something about `window_ns`."""
        return abs(window_ns - self.window_ns) <= min(VIEW_WINDOWS * self.cadence_ns, VIEW_NS)


@dataclass(slots=True)
class SeriesTrack:
    """Where the rows of one series are: the newest window with something to say, since when they have followed each other, and
    whether the newest row is missing."""

    window_ns: int = -1
    settled_ns: int = 0
    """Nothing opens before this: the series was not watched until a moment ago."""
    missing: bool = False

    def follow(self, window_ns: int, presence: int, width_ns: int) -> bool:
        """Take note of a row; whether it comes after a hole. A quiet row ends none: what is not there has nothing to settle."""
        self.missing, lost = presence == Presence.MISSING, self.missing
        if self.missing:
            return False
        apart = window_ns - self.window_ns
        hole = self.window_ns >= 0 and (apart > max(HOLE_NS, 3 * width_ns) or (lost and presence == Presence.OBSERVED))
        self.window_ns = max(self.window_ns, window_ns)
        if hole:
            self.settled_ns = window_ns + min(apart, HOLE_NS)
        return hole


@dataclass(slots=True)
class ServiceDetection:
    """All that is known of one service."""

    episode: Episode
    views: dict[str, SignalView] = field(default_factory=dict)
    tracks: dict[str, SeriesTrack] = field(default_factory=dict)
    """Per signal."""
    told_ns: int = 0
    """When (by the clock) its last row came."""
    stale: bool = False
    ended_ns: int = 0
    """When its last episode ended: what a later signal says of the time before belongs to that, and opens nothing."""

    @property
    def state(self) -> ServiceState:
        """What may be said of it now: stale or warming is never healthy."""
        return ServiceState.STALE if self.stale or self.lost else self.episode.state

    def troubled(self, window_ns: int) -> bool:
        """Whether a window belongs to the episode that is on, or to the last one: some signals come later than others."""
        since = self.episode.onset_ns <= window_ns
        return since and (self.episode.open or window_ns <= self.ended_ns)

    @property
    def lost(self) -> bool:
        """Whether its requests can't be seen: the rows of its spans are missing or, where it has none, those of all signals."""
        spans = self.tracks.get(Signal.SPANS)
        if spans is not None:
            return spans.missing
        return bool(self.tracks) and all(t.missing for t in self.tracks.values())

    @property
    def cadence_ns(self) -> int:
        """How often something comes of it at the least."""
        return min((v.cadence_ns for v in self.views.values()), default=0)


class Family:
    """The p-values of all series of a signal, of each its newest: the hypotheses among which false discoveries are bounded, in
    however many frames they come."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._p = np.zeros(0)

    def discoveries(self, keys: tuple[tuple[str, ...], tuple[str, ...]], p: F64, rate: float) -> B1:
        """Which of these series' p-values (NaN: none) are discoveries. `keys`: services and peers."""
        rows = self._slots.rows(*keys)
        self._p = np.concatenate([self._p, np.full(len(self._slots) - len(self._p), np.nan)])
        self._p[rows] = p
        found = np.zeros(len(self._p), np.bool_)
        known = np.flatnonzero(np.isfinite(self._p))
        found[known] = discoveries(self._p[known], rate)
        return np.asarray(found[rows], np.bool_)

    def forget(self, keys: set[tuple[str, str]]) -> None:
        """Series that left are hypotheses no more."""
        kept = np.array([i for i, key in enumerate(self._slots.keys) if key not in keys], np.intp)
        self._p = np.concatenate([self._p, np.full(len(self._slots) - len(self._p), np.nan)])[kept]
        self._slots.keep(kept)

    def plain(self) -> list[Any]:
        """The state as plain values."""
        return [[list(k) for k in self._slots.keys], self._p]

    @classmethod
    def of(cls, plain: list[Any]) -> Family:
        """Inverse of `plain`."""
        it = cls()
        it._slots, it._p = Slots(tuple((s, p) for s, p in plain[0])), plain[1]
        return it


@dataclass(slots=True)
class EngineState:
    """One environment, as far as this partition sees it."""

    services: dict[str, ServiceDetection] = field(default_factory=dict)
    suspended: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], Episode] = field(default_factory=dict)
    """Episodes of edges that have had one."""
    calls: dict[tuple[str, str], SeriesTrack] = field(default_factory=dict)
    """Where the rows of edges are."""
    families: dict[str, Family] = field(default_factory=dict)
    """Per signal."""
    promises: dict[str, dict[str, Promise]] = field(default_factory=dict)
    """How services keep their objectives, by signal and service."""
    formers: dict[tuple[str, str], dict[str, Former]] = field(default_factory=dict)
    """What was normal before the last adoption of a service or edge, by feature."""
    refused: dict[str, str] = field(default_factory=dict)
    """Services whose new levels a person refused to take for normal, and who."""
    words: dict[str, int] = field(default_factory=dict)
    """When the last word on a service was given."""

    def family(self, signal: str) -> Family:
        """The hypotheses of a signal."""
        return self.families.setdefault(signal, Family())

    def make_room(self) -> int:
        """Forget who was not heard of for longest, where there are too many; how many services that were. Who has an episode on
        stays, and so does what a person refused."""
        services, calls = surplus(len(self.services), MOST_SERVICES), surplus(len(self.calls), MOST_SERVICES)
        if not services and not calls:
            return 0
        quiet = {name: s.told_ns for name, s in self.services.items() if not s.episode.open}
        gone = set(sorted(quiet, key=lambda name: (quiet[name], name))[:services])
        idle = {k: t.window_ns for k, t in self.calls.items() if k not in self.edges or not self.edges[k].open}
        left = set(sorted(idle, key=lambda key: (idle[key], key))[:calls])
        left |= {key for key in idle if not gone.isdisjoint(key)}
        tables: list[dict[str, Any]] = [self.services, self.suspended, self.words, *self.promises.values()]
        for known in tables:
            for name in gone & known.keys():
                del known[name]
        for key in left | {(name, "") for name in gone}:
            self.calls.pop(key, None)
            self.edges.pop(key, None)
            self.formers.pop(key, None)
        for family in self.families.values():
            family.forget(left | {(name, "") for name in gone})
        return len(gone)


def plain_world(world: EngineState) -> dict[str, Any]:
    """A world as plain values."""
    services = {name: {**_plain_service(s), "episode": s.episode.plain()} for name, s in world.services.items()}
    edges = [episode.plain() for episode in world.edges.values()]
    return {
        "services": services,
        "suspended": world.suspended,
        "edges": edges,
        "calls": [[a, b, _plain_track(t)] for (a, b), t in world.calls.items()],
        "families": {signal: family.plain() for signal, family in world.families.items()},
        "promises": msgspec.to_builtins(world.promises),
        "formers": [[s, p, msgspec.to_builtins(known)] for (s, p), known in world.formers.items()],
        "refused": world.refused,
        "words": world.words,
    }


def _plain_track(track: SeriesTrack) -> list[Any]:
    return [track.window_ns, track.settled_ns, track.missing]


def _plain_service(service: ServiceDetection) -> dict[str, Any]:
    views = {
        signal: [v.window_ns, v.decades, v.warm, v.cadence_ns, [_plain_contribution(c) for c in v.contributions]]
        for signal, v in service.views.items()
    }
    tracks = {signal: _plain_track(t) for signal, t in service.tracks.items()}
    return {
        "views": views,
        "tracks": tracks,
        "told_ns": service.told_ns,
        "stale": service.stale,
        "ended_ns": service.ended_ns,
    }


def _plain_contribution(c: Contribution) -> dict[str, Any]:
    return msgspec.structs.asdict(c)


def world_of(plain: dict[str, Any]) -> EngineState:
    """Inverse of `plain_world`; also of what it gave before rows had tracks."""
    services = {}
    for name, s in plain["services"].items():
        views = {
            signal: SignalView(window, decades, warm, cadence, [Contribution(**c) for c in parts])
            for signal, (window, decades, warm, cadence, parts) in s["views"].items()
        }
        tracks = {signal: SeriesTrack(*t) for signal, t in s.get("tracks", {}).items()}
        told_ns = s.get("told_ns", s.get("heard_ns", 0))
        services[name] = ServiceDetection(
            Episode.of(s["episode"]), views, tracks, told_ns, s["stale"], s.get("ended_ns", 0)
        )
    edges = [Episode.of(e) for e in plain["edges"]]
    calls = {(a, b): SeriesTrack(*t) for a, b, t in plain.get("calls", [])}
    families = {signal: Family.of(f) for signal, f in plain.get("families", {}).items()}
    return EngineState(
        services,
        plain["suspended"],
        {(e.service, e.peer): e for e in edges},
        calls,
        families,
        msgspec.convert(plain.get("promises", {}), dict[str, dict[str, Promise]]),
        {(s, p): msgspec.convert(f, dict[str, Former]) for s, p, f in plain.get("formers", [])},
        plain.get("refused", {}),
        plain.get("words", {}),
    )
