"""Harm: what those who call a service feel of a departure, by an absolute measure rather than by what was usual.

A departure that harms is never taken for normal by waiting. Objectives (`detect.objectives`) say what a service promises;
where there is none, `detect.availability` bounds failures, and latency is compared with what was expected before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.events import Contribution
from contracts.features import (
    CALL_ERROR_RATE,
    ERROR_RATE,
    FEATURES,
    LATENCY_P95,
    METRIC_ERROR_RATE,
    METRIC_LATENCY_P95,
    POOL_WAIT,
    QUEUE_LAG,
    RESTARTS,
    TRAFFIC,
    FeatureKind,
    Signal,
)
from contracts.frames.decoded import B1
from contracts.frames.feature_frame import FeatureFrame
from contracts.settings import DetectSettings, Objective
from contracts.units import SECOND
from models.judgement import (
    BROKEN,
    BROKEN_DECADES,
    BROKEN_SIGMAS,
    FEWER,
    FORGOTTEN_FAILURES,
    FORGOTTEN_WINDOWS,
    JUDGED_OVER,
    LEAST_REQUESTS,
    LEAST_WINDOWS,
    MOST_SLOW,
    NOTICED_S,
    PROMISE_KEPT,
    PROMISE_OVER,
    SLOWER,
    USED_UP,
)

WORK_WAITS: Final = frozenset({QUEUE_LAG, POOL_WAIT})
FAILURES: Final = frozenset({ERROR_RATE, METRIC_ERROR_RATE, CALL_ERROR_RATE})


def objective_of(settings: DetectSettings, environment: str, service: str) -> Objective:
    """What is promised of a service."""
    found = settings.objectives.get(f"{environment}:{service}") or settings.objectives.get(service)
    return found or Objective()


def allowed_failures(settings: DetectSettings, objective: Objective) -> float:
    """Share of requests that may fail."""
    return 1.0 - (objective.availability or settings.availability)


def harms(part: Contribution, settings: DetectSettings, objective: Objective) -> bool:
    """Whether a departure is felt by those who call: failures beyond what is allowed, latency that is noticed, work left
    undone or waiting, a resource used up, restarts. `part` holds the range that was expected before it."""
    if part.value is None:
        return True
    if part.feature in FAILURES:
        return part.value > max(allowed_failures(settings, objective), part.high)
    if FEATURES[part.feature].kind is FeatureKind.LATENCY:
        if objective.latency_s is not None and part.feature in {LATENCY_P95, METRIC_LATENCY_P95}:
            return part.value > objective.latency_s
        return part.value > SLOWER * part.high and part.value - part.high > NOTICED_S
    if part.feature in TRAFFIC:
        return part.value < FEWER * part.low
    if FEATURES[part.feature].kind is FeatureKind.UTILIZATION:
        return part.value >= USED_UP
    return part.feature == RESTARTS or (part.feature in WORK_WAITS and part.value > part.high)


@dataclass(slots=True)
class Promise:
    """How a service keeps its objective: requests, failures, windows and slow ones among them, decayed over about the last
    `JUDGED_OVER` windows that had requests. It needs no history, so it speaks while models warm up, too."""

    requests: float = 0.0
    failures: float = 0.0
    windows: float = 0.0
    slow: float = 0.0

    def take(self, requests: int, failures: float, *, slow: bool, allowed: float) -> None:
        """Take in one window that had requests. Where it keeps the promise, what was broken is forgotten faster: what is over
        must not seem to last."""
        self.requests = self.requests * PROMISE_KEPT + requests
        self.failures = self.failures * (PROMISE_KEPT if failures > allowed * requests else PROMISE_OVER) + failures
        self.windows = self.windows * PROMISE_KEPT + 1.0
        self.slow = self.slow * (PROMISE_KEPT if slow else PROMISE_OVER) + slow

    @property
    def spotless(self) -> bool:
        """Whether there is nothing left to remember."""
        return self.failures < FORGOTTEN_FAILURES and self.slow < FORGOTTEN_WINDOWS

    def failing(self, allowed: float) -> bool:
        """Whether more fails than is allowed, beyond doubt."""
        expected = allowed * self.requests
        beyond = BROKEN_SIGMAS * (expected * (1.0 - allowed)) ** 0.5
        return self.requests >= LEAST_REQUESTS and self.failures - expected > beyond

    def slowed(self) -> bool:
        """Whether most windows were slower than promised, of enough."""
        return self.windows >= LEAST_WINDOWS and self.slow > MOST_SLOW * self.windows


class Promises:
    """How all services of an environment and signal keep their objectives; only what fails or is slow takes room."""

    def __init__(self, settings: DetectSettings, known: dict[str, Promise] | None = None) -> None:
        self._settings, self.known = settings, known if known is not None else {}

    def take(self, frame: FeatureFrame) -> dict[int, list[Contribution]]:
        """Take in a frame's windows; the reasons, by row, why a service breaks its promise."""
        names = _JUDGED.get(Signal(frame.signal))
        if names is None or frame.revision > 0 or names[0] not in frame.features:
            return {}
        shares = frame.values[:, frame.features.index(names[0])]
        latency = (
            frame.values[:, frame.features.index(names[1])]
            if names[1] in frame.features
            else np.full(len(shares), np.nan)
        )
        failures = np.where(np.isfinite(shares), shares, 0.0) * frame.counts
        found: dict[int, list[Contribution]] = {}
        for i in np.flatnonzero((failures > 0) | self._watched(frame)).tolist():
            broken = self._judge(frame, i, float(failures[i]), float(latency[i]))
            if broken:
                found[i] = broken
        return found

    def _watched(self, frame: FeatureFrame) -> B1:
        """Rows that have something to remember, or an objective for latency."""
        promised = self._settings.objectives
        return np.array(
            [
                name in self.known or name in promised or f"{frame.environment}:{name}" in promised
                for name in frame.services
            ],
            np.bool_,
        )

    def _judge(self, frame: FeatureFrame, i: int, failures: float, latency: float) -> list[Contribution]:
        name, requests = frame.services[i], int(frame.counts[i])
        objective = objective_of(self._settings, frame.environment, name)
        if requests <= 0:
            return []
        promise = self.known.setdefault(name, Promise())
        limit = objective.latency_s
        allowed = 1.0 - objective.availability if objective.availability else BROKEN
        promise.take(requests, failures, slow=limit is not None and latency > limit, allowed=allowed)
        over_s = min(promise.windows, JUDGED_OVER) * frame.width_ns / SECOND
        found = []
        if promise.failing(allowed):
            found.append(_reason(frame, 0, promise.failures / promise.requests, allowed, over_s))
        if limit is not None and promise.slowed() and latency > limit:
            found.append(_reason(frame, 1, latency, limit, 0.0))
        if promise.spotless:
            del self.known[name]
        return found


_JUDGED: Final = {Signal.SPANS: (ERROR_RATE, LATENCY_P95), Signal.METRICS: (METRIC_ERROR_RATE, METRIC_LATENCY_P95)}


def _reason(frame: FeatureFrame, which: int, value: float, limit: float, over_s: float) -> Contribution:
    return Contribution(
        signal=frame.signal,
        feature=_JUDGED[Signal(frame.signal)][which],
        value=value,
        low=0.0,
        high=limit,
        decades=BROKEN_DECADES,
        share=0.0,
        window_s=over_s,
    )
