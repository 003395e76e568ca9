"""What detection knows of the services and edges of an environment, beside what its detectors do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from contracts.events import Contribution
from contracts.verdicts import ServiceState
from models.adoption import Former
from models.episodes import Episode
from models.harm import Promise
from models.presence import NS

VIEW_WINDOWS: Final = 3
"""A signal's evidence counts beside another's for this many of its windows, and never longer than `VIEW_NS`."""
VIEW_NS: Final = 90 * NS


@dataclass(slots=True)
class View:
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
class Service:
    """All that is known of one service."""

    episode: Episode
    views: dict[str, View] = field(default_factory=dict)
    heard_ns: int = 0
    rate: float = 0.0
    """Usual requests per second."""
    stale: bool = False

    @property
    def state(self) -> ServiceState:
        """What may be said of it now: stale or warming is never healthy."""
        return ServiceState.STALE if self.stale else self.episode.state


@dataclass(slots=True)
class World:
    """One environment, as far as this partition sees it."""

    services: dict[str, Service] = field(default_factory=dict)
    newest_ns: int = 0
    suspended: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], Episode] = field(default_factory=dict)
    """Episodes of edges that have had one."""
    settled_ns: int = 0
    """Nothing opens before this, for event time jumped a moment ago."""
    promises: dict[str, dict[str, Promise]] = field(default_factory=dict)
    """How services keep their objectives, by signal and service."""
    formers: dict[tuple[str, str], dict[str, Former]] = field(default_factory=dict)
    """What was normal before the last adoption of a service or edge, by feature."""
    refused: dict[str, str] = field(default_factory=dict)
    """Services whose new levels a person refused to take for normal, and who."""
    words: dict[str, int] = field(default_factory=dict)
    """When the last word on a service was given."""


def plain_world(world: World) -> dict[str, Any]:
    """A world as plain values."""
    services = {name: {**_plain_service(s), "episode": s.episode.plain()} for name, s in world.services.items()}
    edges = [episode.plain() for episode in world.edges.values()]
    return {
        "services": services,
        "newest_ns": world.newest_ns,
        "suspended": world.suspended,
        "edges": edges,
        "settled_ns": world.settled_ns,
        "promises": msgspec.to_builtins(world.promises),
        "formers": [[s, p, msgspec.to_builtins(known)] for (s, p), known in world.formers.items()],
        "refused": world.refused,
        "words": world.words,
    }


def _plain_service(service: Service) -> dict[str, Any]:
    views = {
        signal: [v.window_ns, v.decades, v.warm, v.cadence_ns, [_plain_contribution(c) for c in v.contributions]]
        for signal, v in service.views.items()
    }
    return {"views": views, "heard_ns": service.heard_ns, "rate": service.rate, "stale": service.stale}


def _plain_contribution(c: Contribution) -> dict[str, Any]:
    return msgspec.structs.asdict(c)


def world_of(plain: dict[str, Any]) -> World:
    """Inverse of `plain_world`."""
    services = {}
    for name, s in plain["services"].items():
        views = {
            signal: View(window, decades, warm, cadence, [Contribution(**c) for c in parts])
            for signal, (window, decades, warm, cadence, parts) in s["views"].items()
        }
        services[name] = Service(Episode.of(s["episode"]), views, s["heard_ns"], s["rate"], s["stale"])
    edges = [Episode.of(e) for e in plain["edges"]]
    known = {(e.service, e.peer): e for e in edges}
    return World(
        services,
        plain["newest_ns"],
        plain["suspended"],
        known,
        plain.get("settled_ns", 0),
        msgspec.convert(plain.get("promises", {}), dict[str, dict[str, Promise]]),
        {(s, p): msgspec.convert(f, dict[str, Former]) for s, p, f in plain.get("formers", [])},
        plain.get("refused", {}),
        plain.get("words", {}),
    )
