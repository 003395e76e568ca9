"""How long requests take by metrics, which count them all: a witness of what is told of them where only some of their spans are kept.

Of each service's metrics the quantiles that are usual are remembered, and the latest. Whoever keeps slow traces makes a service look slow
by its spans, however slow these are: where metrics of the same time tell of no slower requests than ever, it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from contracts.features import METRIC_LATENCY_P50, METRIC_LATENCY_P95, METRIC_LATENCY_P99
from contracts.frames import FeatureFrame
from contracts.frames.decoded import B1, F64
from streams.windows.usual import WORSE

QUANTILES: Final = (METRIC_LATENCY_P50, METRIC_LATENCY_P95, METRIC_LATENCY_P99)
READINGS: Final = 4
"""From so many on it is known what is usual."""
_FADES: Final = 1 / 30
"""Weight of a new reading in what is usual, once there were as many."""
_MOST: Final = 20_000


@dataclass(slots=True)
class _Known:
    readings: int = 0
    usual: F64 = field(default_factory=lambda: np.full(len(QUANTILES), np.nan))
    """Logarithms."""
    latest: F64 = field(default_factory=lambda: np.full(len(QUANTILES), np.nan))
    latest_ns: int = 0


class MeteredLatencies:
    """The services of one environment and partition."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def take(self, frame: FeatureFrame, doubted: Container[str]) -> None:
        """Take a frame of metrics in. Of services that are `doubted` it teaches nothing: something is amiss with them."""
        columns = [frame.features.index(name) for name in QUANTILES]
        told = frame.values[:, columns]
        for i in np.flatnonzero(np.isfinite(told).any(axis=1)).tolist():
            name = frame.services[i]
            known = self._known.setdefault(name, _Known())
            self._known.move_to_end(name)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
            if frame.window_ns < known.latest_ns:
                continue
            with np.errstate(divide="ignore", invalid="ignore"):
                known.latest = np.where(told[i] > 0, np.log(told[i]), np.nan)
            known.latest_ns = frame.window_ns
            if name not in doubted:
                _learn(known)

    def knows(self, service: str) -> bool:
        """Whether it is known what is usual of a service."""
        known = self._known.get(service)
        return known is not None and known.readings >= READINGS

    def as_ever(self, service: str, since_ns: int) -> B1 | None:
        """Of each quantile whether requests take no longer than ever, by what was read since a time; None if nothing was."""
        known = self._known.get(service)
        if known is None or known.readings < READINGS or known.latest_ns < since_ns:
            return None
        found: B1 = known.latest <= known.usual + np.log(WORSE)
        return found

    def state(self) -> list[Any]:
        """For a snapshot."""
        return [[name, k.readings, k.usual, k.latest, k.latest_ns] for name, k in self._known.items()]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        self._known = OrderedDict((name, _Known(n, usual, latest, ns)) for name, n, usual, latest, ns in state)


def _learn(known: _Known) -> None:
    known.readings += 1
    step = max(_FADES, 1 / known.readings)
    moved = known.usual + step * (known.latest - known.usual)
    fresh = np.where(np.isnan(known.usual), known.latest, moved)
    known.usual = np.where(np.isnan(known.latest), known.usual, fresh)
