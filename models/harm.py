"""Harm: what those who call a service feel of a departure, by an absolute measure rather than by what was usual.

A departure that harms is never taken for normal by waiting. Objectives (`detect.objectives`) say what a service promises;
where there is none, `detect.availability` bounds failures, and latency is compared with what was expected before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
from contracts.frames.decoded import F64
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


def allowed_failures(settings: DetectSettings, objective: Objective) -> float:
    """Share of requests that may fail."""
    return 1.0 - (objective.availability or settings.availability)


def harms(part: Contribution, settings: DetectSettings, objective: Objective, *, at_work: bool = True) -> bool:
    """Whether a departure is felt by those who call: failures beyond what is allowed, latency that is noticed, work left
    undone or waiting (`at_work`: whether work that waits counts), a resource used up, restarts. `part` holds the range that was
    expected before it."""
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
    return part.feature == RESTARTS or (at_work and part.feature in WORK_WAITS and part.value > part.high)


_COLUMNS: Final = ("requests", "failures", "windows", "slow")
_SIGNALS: Final = (Signal.SPANS, Signal.METRICS)


class Promises:
    """How all services of an environment keep their objectives: requests, failures, windows and slow ones among them, decayed over
    about the last `JUDGED_OVER` windows that had requests. It needs no history, so it speaks while models warm up, too. One row per
    service of a ledger."""

    def __init__(self) -> None:
        self.known: F64 = np.zeros((len(_SIGNALS), len(_COLUMNS), 0))
        self._promised: F64 = np.zeros((2, 0))
        """Share of failures that is allowed, and seconds of latency (infinite: none), by row."""

    def take(
        self, settings: DetectSettings, rows: NDArray[np.intp], frame: FeatureFrame, keys: Sequence[tuple[str, str]]
    ) -> dict[int, list[Contribution]]:
        """Take in a frame's windows; the reasons, by row of the frame, why a service breaks its promise. `keys` are those of the
        ledger, and `rows` in it those of the frame. Where a window keeps the promise, what was broken is forgotten faster: what is
        over must not seem to last."""
        names = _JUDGED.get(Signal(frame.signal))
        if names is None or frame.revision > 0 or names[0] not in frame.features:
            return {}
        self._grow(settings, frame.environment, keys)
        signal = _SIGNALS.index(Signal(frame.signal))
        shares = frame.values[:, frame.features.index(names[0])]
        failures = np.where(np.isfinite(shares), shares, 0.0) * frame.counts
        allowed, limit = self._promised[:, rows]
        latency = np.full(len(rows), np.nan)
        if names[1] in frame.features:
            latency = frame.values[:, frame.features.index(names[1])]
        requests, known, windows, slow = self.known[signal][:, rows]
        late = latency > limit
        judged = (frame.counts > 0) & ((failures > 0) | (known > 0) | (slow > 0) | np.isfinite(limit))
        if not judged.any():
            return {}
        at = rows[judged]
        served, failed, too_slow, over = frame.counts[judged], failures[judged], late[judged], limit[judged]
        requests = requests[judged] * PROMISE_KEPT + served
        known = known[judged] * np.where(failed > allowed[judged] * served, PROMISE_KEPT, PROMISE_OVER) + failed
        windows = windows[judged] * PROMISE_KEPT + 1.0
        slow = slow[judged] * np.where(too_slow, PROMISE_KEPT, PROMISE_OVER) + too_slow
        spotless = (known < FORGOTTEN_FAILURES) & (slow < FORGOTTEN_WINDOWS)
        self.known[signal][:, at] = np.where(spotless, 0.0, np.stack([requests, known, windows, slow]))
        expected = allowed[judged] * requests
        beyond = BROKEN_SIGMAS * np.sqrt(expected * (1.0 - allowed[judged]))
        failing = (requests >= LEAST_REQUESTS) & (known - expected > beyond)
        slowed = np.isfinite(over) & (windows >= LEAST_WINDOWS) & (slow > MOST_SLOW * windows) & too_slow
        found: dict[int, list[Contribution]] = {}
        which = np.flatnonzero(judged)
        for k in np.flatnonzero(failing | slowed).tolist():
            i, parts = int(which[k]), []
            over_s = min(float(windows[k]), JUDGED_OVER) * frame.width_ns / SECOND
            if failing[k]:
                parts.append(_reason(frame, 0, float(known[k] / requests[k]), float(allowed[i]), over_s))
            if slowed[k]:
                parts.append(_reason(frame, 1, float(latency[i]), float(limit[i]), 0.0))
            found[i] = parts
        return found

    def _grow(self, settings: DetectSettings, environment: str, keys: Sequence[tuple[str, str]]) -> None:
        """Make room for services that are new."""
        first = self._promised.shape[1]
        if len(keys) <= first:
            return
        new = np.zeros((2, len(keys) - first))
        for i, (name, _) in enumerate(keys[first:]):
            objective = settings.objective_of(environment, name)
            allowed = 1.0 - objective.availability if objective.availability else BROKEN
            new[:, i] = allowed, np.inf if objective.latency_s is None else objective.latency_s
        self._promised = np.concatenate([self._promised, new], axis=1)
        lacking = len(keys) - self.known.shape[2]
        if lacking > 0:
            more = np.zeros((len(_SIGNALS), len(_COLUMNS), lacking))
            self.known = np.concatenate([self.known, more], axis=2)

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Forget all rows but `kept`."""
        room = self.known.shape[2]
        self.known = np.ascontiguousarray(self.known[:, :, kept[kept < room]])
        self._promised = np.ascontiguousarray(self._promised[:, kept[kept < self._promised.shape[1]]])

    def plain(self, rows: int) -> dict[str, F64]:
        """The state as plain values; what is promised is said by the settings."""
        return {"known": self.known[:, :, :rows]}

    @classmethod
    def of(cls, plain: Mapping[str, F64]) -> Promises:
        """Inverse of `plain`."""
        it = cls()
        it.known = plain["known"]
        return it


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
