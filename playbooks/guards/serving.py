"""How large a share of its environment something touches, and of what that is a share: the services at work. Nobody else counts them.

Whoever may send telemetry can name services that do not exist. If each name counted at once, a burst of them would make
any number of services that are acted on together a small share.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Final

from contracts.features import METRIC_REQUEST_RATE, Signal
from contracts.frames.feature_frame import EvidenceFrame
from contracts.units import MINUTE

KEPT: Final = 10
"""Minutes looked back on."""
LEAST: Final = 5
"""Minutes of those in which a service must have served requests. More than telemetry may be late by, so that none are
had at once by what claims to be late."""


_ROUNDING: Final = 1e-9


class Serving:
    """The minutes of event time in which each service served requests."""

    def __init__(self) -> None:
        self._minutes: dict[str, set[int]] = {}
        self._newest = 0

    def observe(self, frame: EvidenceFrame) -> None:
        """Learn who served requests in the window of a frame."""
        minute = frame.window_ns // MINUTE
        if minute <= self._newest - KEPT:
            return
        for service in _served(frame):
            self._minutes.setdefault(service, set()).add(minute)
        if minute > self._newest:
            self._newest = minute
            kept = {s: {m for m in found if m > minute - KEPT} for s, found in self._minutes.items()}
            self._minutes = {s: found for s, found in kept.items() if found}

    def established(self) -> frozenset[str]:
        """Services that served requests in enough of the last minutes."""
        return frozenset(s for s, found in self._minutes.items() if len(found) >= LEAST)

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"newest": self._newest, "minutes": {s: sorted(found) for s, found in sorted(self._minutes.items())}}

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._newest = state.get("newest", 0)
        self._minutes = {s: set(found) for s, found in state.get("minutes", {}).items()}


def share_of(touched: Collection[str], at_work: Collection[str]) -> float:
    """The share of an environment that is touched, 0..1: what is touched is at work, whether or not it was seen so."""
    whole = {*touched, *at_work}
    return len(set(touched)) / max(len(whole), 1)


def within(touched: Collection[str], at_work: Collection[str], most: float) -> bool:
    """Whether so much may be touched at once, `most` being the largest share; one service always may be."""
    return len(set(touched)) <= 1 or share_of(touched, at_work) <= most + _ROUNDING


def _served(frame: EvidenceFrame) -> list[str]:
    """Who served requests: by its spans, or by its own metrics."""
    if frame.signal == Signal.SPANS:
        rows = zip(frame.services, frame.counts, frame.missing, strict=True)
        return [service for service, count, missing in rows if count > 0 and not missing]
    if frame.signal == Signal.METRICS and METRIC_REQUEST_RATE in frame.features:
        rates = frame.values[:, frame.features.index(METRIC_REQUEST_RATE)]
        return [s for s, rate in zip(frame.services, rates, strict=True) if math.isfinite(rate) and rate > 0]
    return []
