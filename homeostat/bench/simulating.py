"""How fast systems are simulated: CPU seconds of both fidelities for one system, against the time that passes in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twin.configuration import Split
from twin.episode import Plot, SimulatedEpisode

SERVICES: Final = 15
REQUESTS_PER_S: Final = 60.0
SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class SimulationCost:
    """CPU seconds of one episode by fidelity; user requests and bytes of the one that has them."""

    window_s: float
    request_s: float
    requests: int
    megabytes: float

    def lines(self) -> Iterator[str]:
        """For people."""
        yield (
            f"{SERVICES} services, {REQUESTS_PER_S:g} requests/s, {SECONDS} s, windows: {self.window_s:.2f} s of CPU, "
            f"{SECONDS / self.window_s:.0f} x as fast as real time"
        )
        yield (
            f"the same, request by request: {self.request_s:.2f} s of CPU, {SECONDS / self.request_s:.0f} x as fast as real time; "
            f"{self.requests:,} users' requests, {self.megabytes:.0f} MB of OTLP"
        )


def simulation_cost(seed: int = 1) -> SimulationCost:
    """Simulate an episode with a fault at both fidelities."""
    spent, requests, size = {}, 0, 0
    for fidelity in ("window", "request"):
        episode = _episode(seed, fidelity)
        began = time.process_time()
        while not episode.over:
            sent = sum(len(m.value) for m in episode.second())
            size += sent if fidelity == "request" else 0
        spent[fidelity] = time.process_time() - began
        requests = getattr(getattr(episode.fidelity, "requests", None), "arrived", requests)
    return SimulationCost(spent["window"], spent["request"], requests, size / 1e6)


def _episode(seed: int, fidelity: str) -> SimulatedEpisode:
    plot = Plot(((SECONDS / 2, "failing"),), SECONDS)
    episode = SimulatedEpisode.drawn(
        Split.PROVING, seed, services=SERVICES, style="complete", plot=plot, fidelity=fidelity
    )
    usual = sum(e.rate for e in episode.plan.entries)
    episode.system.load.scale(REQUESTS_PER_S / usual)
    return episode
