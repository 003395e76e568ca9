"""What is done to a shop while it is measured, the same to the real one and to a drawn one, and what was seen of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from contracts.units import SECOND

WARM_S: Final = 12
LOADS: Final = (0.5, 1.0, 1.5, 2.0, 2.5)
"""Times the usual customers who browse; the catalog, which they ask, serves one request at a time (20 ms)."""
LOAD_S: Final = 18
FAILING_S: Final = 18
SHARE_FAILING: Final = 0.4
"""Of cart's bad release, which the demo has."""
LEAK_S: Final = 12
LEAK_PER_S, LEAK_MOST_S = 0.05, 0.6
"""By how much each request of pricing becomes slower per second of the leak, and at most."""
RESTARTS: Final = 4
AFTER_S: Final = 14
"""How long is looked after each restart."""
PAUSE_S: Final = 6
SETTLES_S: Final = 3
"""The first seconds of each stretch are not looked at."""


class Stretch(NamedTuple):
    """What was done from `begin_s` to `end_s`: `load` (times the usual), `failing`, `leak` or `restart`."""

    what: str
    level: float
    begin_s: float
    end_s: float


class SeenSpan(NamedTuple):
    """One span. Times in seconds from the beginning of the run; `arrived_s`: when it could be read."""

    service: str
    served: bool
    me: bytes
    parent: bytes
    start_s: float
    end_s: float
    failed: bool
    arrived_s: float


class SecondSeen(NamedTuple):
    """A service in one second, by requests that ended in it: how many, share that failed, and of their seconds p50 and p95."""

    requests: float
    failing: float
    p50_s: float
    p95_s: float


SecondTable = Mapping[str, Mapping[int, SecondSeen]]


@dataclass(slots=True)
class ShopCourse:
    """One run: what was done, what each service did per second, spans where there are any, and when its metrics arrived."""

    name: str
    stretches: list[Stretch] = field(default_factory=list)
    seconds: SecondTable = field(default_factory=dict)
    spans: list[SeenSpan] = field(default_factory=list)
    metrics_s: dict[str, list[float]] = field(default_factory=dict)
    start_s: list[float] = field(default_factory=list)
    """Seconds from each order to start anew until the new process was ready."""

    def of(self, what: str, level: float | None = None) -> list[Stretch]:
        """The stretches of a kind."""
        return [s for s in self.stretches if s.what == what and level in (None, s.level)]

    def rows(self, service: str, stretch: Stretch, settles_s: float = SETTLES_S) -> list[SecondSeen]:
        """Whole seconds of a stretch in which the service was asked anything."""
        known = self.seconds.get(service, {})
        first, last = int(np.ceil(stretch.begin_s + settles_s)), int(stretch.end_s)
        return [known[s] for s in range(first, last) if s in known]


def by_second(spans: Iterable[SeenSpan]) -> dict[str, dict[int, SecondSeen]]:
    """The spans of served requests per service and second."""
    held: dict[str, dict[int, list[SeenSpan]]] = {}
    for span in spans:
        if span.served:
            held.setdefault(span.service, {}).setdefault(int(span.end_s), []).append(span)
    return {name: {s: _second(of) for s, of in sorted(seconds.items())} for name, seconds in held.items()}


def _second(spans: list[SeenSpan]) -> SecondSeen:
    took = np.array([s.end_s - s.start_s for s in spans])
    p50, p95 = np.quantile(took, (0.5, 0.95))
    return SecondSeen(float(len(spans)), sum(s.failed for s in spans) / len(spans), float(p50), float(p95))


def seconds_of(time_ns: int, zero_ns: int) -> float:
    """Seconds from the beginning of a run."""
    return (time_ns - zero_ns) / SECOND
