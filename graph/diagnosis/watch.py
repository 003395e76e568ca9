"""Looking at everything from time to time: faults too thin for any one window of any one service.

Where a service serves a request every few seconds, no window of one second can be told from chance. The last half minute and
minute of the whole environment can: calls that no longer follow, error records, time lost between services. The same evidence and
ranking as for incidents are asked; what they say in quiet times is the yardstick for what counts as unusual.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from contracts.events import Anomaly
from contracts.features import Signal
from contracts.units import MINUTE, SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from graph.ranking import Suspect, rank
from graph.world.world import World

EVERY_NS: Final = 5 * SECOND
LOOKS_NS: Final = (30 * SECOND, MINUTE)
LISTEN: Final = 25
"""Windows with requests from which looks teach what is usual."""
MATURE: Final = 100
"""Windows with requests from which a look may open anything."""
SMOOTH: Final = 0.35
"""Share of the newest look in a service's level: what lasts counts, what flickers does not."""
LEAST: Final = 0.28
"""Level from which a suspect is worth an incident at all."""
ABOVE: Final = 1.25
"""Times the highest level its service has had in quiet times."""
OVER: Final = 0.4
"""Share of its opening level below which a finding is over."""
PAUSE_NS: Final = MINUTE
"""After an opening, only a suspect of `STRONGER` times its level opens another this soon."""
STRONGER: Final = 1.5
DECADES: Final = 4.0
"""Decades that a level of one stands for."""
THIN: Final = 5.0
"""Requests per second below which a service is too thin for its windows to speak."""
MAX_SERVICES: Final = 300
"""Looked at, at most: a look takes about half a millisecond for each."""
PATIENCE: Final = 24
"""Looks for which a level may be out of the ordinary before it is taken for the new usual."""


@dataclass(slots=True)
class Watch:
    """What the looks of one environment have shown."""

    last_ns: int = 0
    busy: int = 0
    """Windows with requests so far."""
    busy_ns: int = 0
    peaks: dict[str, float] = field(default_factory=dict)
    """Highest level per service in quiet times."""
    levels: dict[str, float] = field(default_factory=dict)
    """Smoothed score per service."""
    beyond: dict[str, int] = field(default_factory=dict)
    """Looks in a row in which a service was beyond its peak."""
    opened_ns: int = 0
    opened_level: float = 0.0
    open: dict[str, Anomaly] = field(default_factory=dict)
    """What is on, by service."""

    def heard(self, window_ns: int) -> None:
        """Requests were served in this window."""
        if window_ns > self.busy_ns:
            self.busy, self.busy_ns = self.busy + 1, window_ns

    def due(self, world: World) -> bool:
        """Whether it is time for a look: something has happened since the last, and calls are known as far."""
        return (
            self.busy >= LISTEN
            and self.busy_ns > self.last_ns
            and world.time_ns - self.last_ns >= EVERY_NS
            and world.time_ns - self.busy_ns < EVERY_NS
        )

    def noted(self, leader: str, now_ns: int) -> None:
        """An incident has opened: for a while, what else is unusual is most likely its echo."""
        self.opened_ns, self.opened_level = now_ns, max(self.levels.get(leader, 0.0), LEAST)

    def speaks_of(self, services: Iterable[str]) -> bool:
        """Whether one of these services is what a look has found."""
        return any(name in self.open for name in services)

    def look(self, world: World, spoken_for: Iterable[str]) -> list[Anomaly]:
        """What opens and what is over, after looking at the whole environment. `spoken_for`: leaders of incidents that are on."""
        self.last_ns = world.time_ns
        thin = _thin(world)
        best: dict[str, tuple[Suspect, int]] = {}
        if not thin:
            return self._closed(world)
        names = world.topology.neighbourhood(sorted(thin), world.time_ns, 1)
        for back_ns in LOOKS_NS:
            situation = world.situation(names, world.time_ns - back_ns)
            for suspect in rank(situation):
                if suspect.service not in thin:
                    continue
                if suspect.service not in best or suspect.score > best[suspect.service][0].score:
                    best[suspect.service] = (suspect, situation.onset_ns)
        for name in sorted(set(best) | set(self.levels)):
            score, level = best[name][0].score if name in best else 0.0, self.levels.get(name, 0.0)
            self.levels[name] = level + SMOOTH * (score - level)
        return self._closed(world) + self._opened(world, best, set(spoken_for))

    def _opened(self, world: World, best: dict[str, tuple[Suspect, int]], spoken_for: set[str]) -> list[Anomaly]:
        unusual = [n for n in best if self._unusual(n)]
        name = max(unusual, key=lambda n: (self.levels[n], n), default="")
        if not name or name in self.open or name in spoken_for or not self._free(world.time_ns, self.levels[name]):
            return []
        self.noted(name, world.time_ns)
        self.open[name] = _anomaly(world, *best[name], self.levels[name])
        return [self.open[name]]

    def _unusual(self, name: str) -> bool:
        """Whether a service's level is beyond what quiet times have shown; teaches what is usual where it is not."""
        level, peak = self.levels[name], self.peaks.get(name, 0.0)
        if self.busy >= MATURE and level >= max(LEAST, ABOVE * peak) and self.beyond.get(name, 0) < PATIENCE:
            self.beyond[name] = self.beyond.get(name, 0) + 1
            return True
        self.beyond.pop(name, None)
        self.peaks[name] = max(level, peak)
        return False

    def _free(self, now_ns: int, level: float) -> bool:
        quiet = not self.open and now_ns - self.opened_ns >= PAUSE_NS
        return quiet or level >= STRONGER * self.opened_level

    def _closed(self, world: World) -> list[Anomaly]:
        told: list[Anomaly] = []
        for name, anomaly in list(self.open.items()):
            if self.levels.get(name, 0.0) < OVER * anomaly.decades / DECADES:
                told.append(_over(anomaly, world.time_ns))
                del self.open[name]
        return told


def _thin(world: World) -> set[str]:
    """Services with so few requests that single windows say nothing (with more, detection sees for itself)."""
    store = world.series[Signal.SPANS]
    counts = np.maximum(np.nan_to_num(store.counts[: len(store.keys)]), 0.0).sum(axis=1)
    seconds = max(1, int((store.slot >= 0).sum())) * store.width_ns / SECOND
    found = [store.keys[i][0] for i in np.flatnonzero((counts > 0) & (counts < THIN * seconds))]
    return set(found[:MAX_SERVICES])


def _anomaly(world: World, suspect: Suspect, onset_ns: int, level: float) -> Anomaly:
    decades = DECADES * level
    digest = hashlib.sha256(f"{world.environment}\0{suspect.service}\0{world.time_ns}".encode()).hexdigest()
    return Anomaly(
        id=f"an-{digest[:16]}",
        environment=world.environment,
        service=suspect.service,
        phase=AnomalyPhase.OPENED,
        state=ServiceState.ANOMALOUS,
        onset_ns=onset_ns,
        time_ns=world.time_ns,
        p_value=10.0**-decades,
        decades=decades,
        contributions=(),
        detector="diagnosis",
        model_version="1",
        text="; ".join(x.text for x in suspect.findings[:2]),
    )


def _over(anomaly: Anomaly, now_ns: int) -> Anomaly:
    return msgspec.structs.replace(
        anomaly, phase=AnomalyPhase.CLOSED, state=ServiceState.HEALTHY, time_ns=now_ns, text="back to what is usual"
    )
